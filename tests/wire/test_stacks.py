"""
Stack options of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 8.1).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire import stacks as wire
from socksgw.wire.reader import WireError
from socksgw.wire.stacks import Leg, Stack

#: The data of an option: leg and level, code, two octets more; from the figures.
VECTORS: dict[str, Stack] = {
    "81 01 b8 00": Stack(Leg.REMOTE, wire.TOS, 0xB8),
    "41 01 b8 00": Stack(Leg.CLIENT, wire.TOS, 0xB8),
    "81 02 02 00": Stack(Leg.REMOTE, wire.HAPPY_EYEBALLS, wire.YES),
    "81 03 05 00": Stack(Leg.REMOTE, wire.TTL, 5),
    "81 04 01 00": Stack(Leg.REMOTE, wire.NO_FRAGMENTATION, wire.NO),
    "84 01 0200": Stack(Leg.REMOTE, wire.FAST_OPEN, 512),
    "84 02 02 00": Stack(Leg.REMOTE, wire.MULTIPATH, wire.YES),
    "84 03 0010": Stack(Leg.REMOTE, wire.BACKLOG, 16),
    "85 01 02 00": Stack(Leg.REMOTE, wire.UDP_ERRORS, wire.YES),
    "85 02 01 01": Stack(Leg.REMOTE, wire.PORT_PARITY, 0x0101),
}


@pytest.mark.parametrize("octets", VECTORS)
def test_vectors(octets: str) -> None:
    """Read and written."""
    data = bytes.fromhex(octets)
    assert wire.readStacks([data]) == (VECTORS[octets],)
    assert wire.encodeStack(VECTORS[octets]) == data


def test_bothLegs() -> None:
    """Leg 3 is leg 1 and leg 2."""
    assert wire.readStacks([bytes.fromhex("c1 03 05 00")]) == (
        Stack(Leg.CLIENT, wire.TTL, 5),
        Stack(Leg.REMOTE, wire.TTL, 5),
    )


def test_unknownOnesAreIgnored() -> None:
    """A level, a code or a leg that the draft does not have."""
    datas = [bytes.fromhex(each) for each in ("81 7f 0000", "a1 01 0000", "01 01 0100")]
    assert wire.readStacks([*datas, bytes.fromhex("86 01 00000000 0000")]) == ()


@pytest.mark.parametrize(
    "datas",
    [["81 01"], [""], ["81 01 b8 00 0000 0000"], ["81 01 b8 00", "c1 01 00 00"]],
)
def test_broken(datas: list[str]) -> None:
    """No data, too much of it, and options that contradict one another."""
    with pytest.raises(WireError):
        wire.readStacks([bytes.fromhex(each) for each in datas])


@given(st.lists(st.binary(max_size=8), max_size=6))
def test_onlyWireErrors(datas: list[bytes]) -> None:
    """Whatever octets they are; no leg has an option twice."""
    try:
        found = wire.readStacks(datas)
    except WireError:
        return
    assert len({each[:2] for each in found}) == len(found)
