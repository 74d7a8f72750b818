"""
Capsules and what is in them, by RFC 9000 section 16, RFC 9297 and RFC 9298.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.capsule import MOST, Capsules, encodeDatagram, encodeInteger
from socksgw.wire.reader import WireError

#: RFC 9000 appendix A.1; the last one is longer than it has to be.
INTEGERS = [
    ("c2197c5eff14e88c", 151288809941952652),
    ("9d7f3e7d", 494878333),
    ("7bbd", 15293),
    ("25", 37),
]
#: Integers up to 2**62 - 1, and how many octets they take at least.
EDGES = [
    (0, 1), (63, 1), (64, 2), (16383, 2), (16384, 4), ((1 << 30) - 1, 4),
    (1 << 30, 8), ((1 << 62) - 1, 8),
]  # fmt: skip


def integer(number: int, octets: int) -> bytes:
    """An integer in so many octets (RFC 9000 section 16)."""
    mark = {1: 0, 2: 1, 4: 2, 8: 3}[octets]
    whole = number.to_bytes(octets, "big")
    return bytes([whole[0] | mark << 6]) + whole[1:]


def shortest(number: int) -> int:
    """How many octets an integer takes."""
    return next(n for n in (1, 2, 4, 8) if number < 1 << (8 * n - 2))


lengths = st.sampled_from([1, 2, 4, 8])


@st.composite
def integers(draw: st.DrawFn, number: int) -> bytes:
    """An integer in any number of octets that it fits."""
    least = shortest(number)
    return integer(number, draw(lengths.filter(lambda n: n >= least)))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream of capsules, and the payloads of UDP in it."""
    stream, payloads = b"", []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([0, 0, 0, 1, 63, 0x2575, (1 << 62) - 1]))
        value = draw(st.binary(max_size=70))
        if kind == 0:
            context = draw(st.sampled_from([0, 0, 0, 1, 2, 64, (1 << 62) - 1]))
            if context == 0:
                payloads.append(value)
            value = draw(integers(context)) + value
        stream += draw(integers(kind)) + draw(integers(len(value))) + value
    return stream, payloads


def read(parts: Iterable[bytes]) -> tuple[list[bytes], Capsules]:
    """The payloads in a stream that comes in such parts."""
    capsules = Capsules()
    found: list[bytes] = []
    for part in parts:
        found += capsules.receive(part)
    return found, capsules


@pytest.mark.parametrize(("octets", "number"), INTEGERS)
def test_integersOfTheStandard(octets: str, number: int) -> None:
    assert encodeInteger(number).hex() == octets
    # As the length of a capsule that is skipped.
    found, capsules = read([b"\x01" + bytes.fromhex(octets)])
    assert (found, capsules._skipped) == ([], number)


@pytest.mark.parametrize(("number", "octets"), EDGES)
def test_edgesOfIntegers(number: int, octets: int) -> None:
    assert encodeInteger(number) == integer(number, octets)


@pytest.mark.parametrize("number", [-1, 1 << 62])
def test_noInteger(number: int) -> None:
    with pytest.raises(ValueError, match="62 bits"):
        encodeInteger(number)


@pytest.mark.parametrize(
    ("payload", "octets"),
    [(b"", "000100"), (b"ask", "000400" + b"ask".hex()), (bytes(63), None)],
)
def test_datagram(payload: bytes, octets: str | None) -> None:
    """RFC 9297 section 3.5 with RFC 9298 section 5: type, length, context, payload."""
    expected = "00404000" + payload.hex() if octets is None else octets
    assert encodeDatagram(payload).hex() == expected
    assert read([encodeDatagram(payload)])[0] == [payload]


def test_longestDatagram() -> None:
    """RFC 9298 section 5: one octet more is no datagram, in whatever context length."""
    longest = bytes(MOST)
    found, capsules = read([encodeDatagram(longest)])
    assert found == [longest]
    assert not capsules.midway
    for context in (b"\0", b"\x40\0", b"\xc0" + bytes(7)):
        length = integer(len(context) + MOST + 1, 4)
        with pytest.raises(WireError, match="65527"):
            # It is known before its octets come.
            read([b"\0" + length + context])


@given(streams(), st.lists(st.integers(1, 80), max_size=30))
def test_cutAnywhere(stream: tuple[bytes, list[bytes]], sizes: list[int]) -> None:
    octets, payloads = stream
    parts, at = [], 0
    for size in sizes:
        parts.append(octets[at : at + size])
        at += size
    found, capsules = read([*parts, octets[at:]])
    assert found == payloads
    assert not capsules.midway
    # And octet by octet.
    found, capsules = read(bytes([octet]) for octet in octets)
    assert (found, capsules.midway) == (payloads, False)


@given(streams())
def test_midway(stream: tuple[bytes, list[bytes]]) -> None:
    """RFC 9297 section 3.3: a last capsule that is not whole is told from an end."""
    octets, payloads = stream
    ends = {0}
    capsules, found = Capsules(), 0
    for number, octet in enumerate(octets, 1):
        found += len(list(capsules.receive(bytes([octet]))))
        if not capsules.midway:
            ends.add(number)
    assert found == len(payloads)
    for end in ends:
        assert not read([octets[:end]])[1].midway
    for cut in set(range(len(octets))) - ends:
        assert read([octets[:cut]])[1].midway


@pytest.mark.parametrize("capsule", ["0000", "000140", "0003c00000", "00028000"])
def test_withoutAContext(capsule: str) -> None:
    """RFC 9297 section 3.3: a payload that ends before its fields do."""
    with pytest.raises(WireError, match="context"):
        read([bytes.fromhex(capsule)])


def test_whatIsSkippedIsNotHeld() -> None:
    """RFC 9297 section 3.5: of any length, and what follows is read."""
    datagram = encodeDatagram(b"ask")
    for head in (b"\x01", b"\x01\0"):
        kind = b"\x29" if len(head) == 1 else b"\0"
        value = 10_000_000 + len(head) - 1
        start = kind + integer(value, 8) + head[1:].replace(b"\0", b"\x02")
        capsules = Capsules()
        assert list(capsules.receive(start)) == []
        for _ in range(100):
            assert list(capsules.receive(bytes(100_000))) == []
            assert len(capsules._held) == 0
        assert list(capsules.receive(datagram)) == [b"ask"]


def test_whatIsGoodGoesBeforeWhatIsNot() -> None:
    payloads = Capsules().receive(encodeDatagram(b"good") + b"\0\0")
    assert next(payloads) == b"good"
    with pytest.raises(WireError):
        next(payloads)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_anyOctets(parts: list[bytes]) -> None:
    """Nothing else is raised, and no more is held than a datagram."""
    capsules = Capsules()
    try:
        for part in parts:
            list(capsules.receive(part))
            assert len(capsules._held) <= MOST + 17
    except WireError:
        pass
