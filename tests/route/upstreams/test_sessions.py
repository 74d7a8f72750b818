"""
Which requests to an upstream are of one session.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from socksgw.route.upstreams.sessions import MOST, Sessions
from socksgw.system.connection import SocketName
from socksgw.wire.address import Address

#: In the place of a proxy.
NOBODY: Any = None


def fromHere(address: str) -> Any:
    """A connection from an address, at any port."""
    return SimpleNamespace(local=SocketName(Address.parse(address), 40000))


def itself(_: object, session: Any) -> Any:
    """The session alone."""
    return session


def test_ways() -> None:
    """Each own address has one, and each chain."""
    sessions = Sessions(itself)
    ways = [
        (fromHere(address), [SimpleNamespace(name=each) for each in before])
        for address in ("192.0.2.1", "2001:db8::1")
        for before in ("", "a", "b", "ab")
    ]
    found = [sessions.within(NOBODY, *way) for way in ways]  # type: ignore[arg-type]
    assert len({id(each) for each in found}) == len(ways)
    again = [sessions.within(NOBODY, *way) for way in ways]  # type: ignore[arg-type]
    assert all(a is b for a, b in zip(found, again, strict=True))


def test_bounded() -> None:
    """The one that was used longest ago is forgotten."""
    sessions = Sessions(itself)
    kept, lost = (sessions.within(NOBODY, fromHere(f"192.0.2.{i}"), ()) for i in (1, 2))
    for i in range(MOST - 1):
        sessions.within(NOBODY, fromHere(f"198.51.100.{i}"), ())
        assert sessions.within(NOBODY, fromHere("192.0.2.1"), ()) is kept
    assert sessions.within(NOBODY, fromHere("192.0.2.2"), ()) is not lost
