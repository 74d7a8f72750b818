"""
Which address a session leaves by, of those that are configured.
"""

from __future__ import annotations

from collections import Counter

import pytest

from socksgw.errors import ConnectFailed, LeadsHere
from socksgw.route.leaving import Departure, LeaveBy, away
from socksgw.system.connection import SocketName
from socksgw.system.domains import HERE
from socksgw.system.outgoing import Marked, Near, Outgoing
from socksgw.wire.address import Address

FOURS = [Address.parse(f"192.0.2.{n}") for n in range(1, 5)]
SIXES = [Address.parse(f"2001:db8::{n}") for n in range(1, 3)]
LOOP, FAR = Address.parse("127.0.0.1"), Address.parse("127.0.0.7")
USERS = [f"user{n}".encode() for n in range(400)]


def test_oneOfEach() -> None:
    """Everybody has the same; a version without an address does not leave."""
    only = LeaveBy([FOURS[0]])
    assert only.near(b"alice", None) == Near(FOURS[0], None)
    both = LeaveBy([SIXES[0], FOURS[0]])
    assert both.near(b"alice", None) is both.near(b"bob", None)
    assert both.near(b"alice", None) == Near(FOURS[0], SIXES[0])


def test_severalOfOneVersion() -> None:
    """A user has the same one each time, and users are spread evenly."""
    leaveBy = LeaveBy(FOURS + SIXES)
    chosen = {user: leaveBy.near(user, None) for user in USERS}
    assert chosen == {user: leaveBy.near(user, None) for user in USERS}
    for counts, most in (
        (Counter(near.four for near in chosen.values()), 4),
        (Counter(near.six for near in chosen.values()), 2),
    ):
        assert len(counts) == most
        assert min(counts.values()) > 0.7 * len(USERS) / most


def test_fewMoveWhenTheListChanges() -> None:
    """Those of the address that is gone, and the others stay."""
    before, after = LeaveBy(FOURS), LeaveBy(reversed(FOURS[:3]))
    for user in USERS:
        was = before.near(user, None).four
        if was != FOURS[3]:
            assert after.near(user, None).four == was


@pytest.mark.parametrize(
    ("local", "near"),
    [
        ("192.0.2.1", Near(FOURS[0], None, True)),
        ("2001:db8::1", Near(None, SIXES[0], True)),
        # Where nobody else could answer to it.
        ("127.0.0.1", Near(None, None, True)),
        ("::1", Near(None, None, True)),
        ("fe80::1", Near(None, None, True)),
        ("febf::1", Near(None, None, True)),
        ("fec0::1", Near(None, Address.parse("fec0::1"), True)),
    ],
)
def test_same(local: str, near: Near) -> None:
    """The address that the client came to; of the other version any."""
    leaveBy = LeaveBy((), same=True)
    assert leaveBy.near(b"alice", SocketName(Address.parse(local), 1080)) == near


def test_sameWithoutOne() -> None:
    """Without an end of the client's connection, it leaves as usual."""
    assert LeaveBy((), same=True).near(b"", None) == Near(None, None, True)


def departure(near: Near, *banned: Address) -> Departure:
    bare = Marked(HERE)
    return Departure(near, bare, Outgoing(bare, near), lambda each, _: each in banned)


def test_reachable() -> None:
    """Destinations of a version of IP that may leave."""
    only = departure(Near(LOOP, None))
    assert list(only.reachable([SIXES[0], FOURS[0], FOURS[1]])) == FOURS[:2]
    with pytest.raises(ConnectFailed, match="no IPv6 address") as raised:
        only.reachable(SIXES)
    assert raised.value.reason == "leave-by"
    every = departure(Near(LOOP, None, True))
    assert list(every.reachable(SIXES)) == SIXES


def test_leadsHere() -> None:
    """As the kernel routes it from there, if that is banned; never without a way."""
    own = departure(Near(LOOP, None), FAR)
    # The whole of 127.0.0.0/8 is ours, and a datagram to it comes from 127.0.0.1.
    assert not own.leadsHere(FAR, 80)
    banned = departure(Near(None, None, True), LOOP, FOURS[0])
    assert banned.leadsHere(LOOP, 80)
    assert not departure(Near(None, None, True)).leadsHere(LOOP, 80)
    with pytest.raises(LeadsHere):
        banned.leading((LOOP,), 80)
    assert departure(Near(LOOP, None)).leading((FAR,), 80) == (FAR,)


def test_away() -> None:
    """None is left: that is what it is refused with."""
    assert away([FAR]) == (FAR,)
    with pytest.raises(LeadsHere):
        away([])


def test_inward() -> None:
    """Peers come to the address that the client's connections come from."""
    six = Address.parse("::1")
    found = departure(Near(FAR, None))
    assert found.inward(4) == FAR
    with pytest.raises(ConnectFailed, match="no IPv6"):
        found.inward(6)
    assert departure(Near(None, six, True)).inward(4) is None
    assert departure(Near(None, six, True)).inward(6) == six
    with pytest.raises(ConnectFailed, match="is no address of this host"):
        departure(Near(FOURS[0], None)).inward(4)
