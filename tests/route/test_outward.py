"""
Where a BIND for anybody listens.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred, succeed

from socksgw.errors import ConnectFailed
from socksgw.route import outward as module
from socksgw.route.outward import Last, Outward
from socksgw.system.domains import HERE, Domain
from socksgw.wire.address import Address

CAME, FAR, SIX = (Address.parse(t) for t in ("192.0.2.9", "127.0.0.7", "::1"))
#: A routing domain.
RED = Domain("device", "red")


def local(outward: Outward, client: str = "alice", version: int = 4) -> Address:
    """Return where it would listen."""
    found: list[Address] = []
    finding = Deferred.fromCoroutine(outward.local(client, CAME, version, HERE))
    failed: list[Exception] = []
    finding.addCallbacks(found.append, lambda f: failed.append(f.value))
    for each in failed:
        raise each
    return found[0]


def test_theLastDestination() -> None:
    """Of that client and that family; it is the route's address, not its own."""
    outward = Outward()
    outward.connected("alice", FAR)
    outward.connected("alice", SIX)
    assert local(outward).text == "127.0.0.1"
    assert local(outward, version=6) == SIX


def test_withoutAWay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that the client came to, if it is of the wanted family."""

    class Nowhere(socket.socket):
        def connect(self, place: object) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", Nowhere)
    outward = Outward()
    assert local(outward) == CAME
    with pytest.raises(ConnectFailed):
        local(outward, version=6)


def test_theOldestIsForgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """More clients than there is room for cost no more."""
    monkeypatch.setattr(module, "localTowards", lambda address, sockets: address)
    outward = Outward(most=2)
    for client in ("a", "b", "a", "c"):
        outward.connected(client, FAR)
    towards = {client: local(outward, client) for client in "abc"}
    assert [client for client, to in towards.items() if to != FAR] == ["b"]
    assert len(outward._last) == 2


def test_theNewestOfAll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all processes: whoever knows of a later connection than the others."""
    monkeypatch.setattr(module, "localTowards", lambda address, sockets: address)
    others: list[Last] = []
    asked: list[object] = []

    def elsewhere(*question: object) -> Deferred[Sequence[Last]]:
        asked.append(question)
        return succeed(others)

    now = [5.0]
    outward = Outward(RED, elsewhere, clock=lambda: now[0])
    anywhere = local(outward)
    others += [Last(3.0, CAME), Last(4.0, FAR)]
    assert local(outward) == FAR != anywhere
    outward.connected("alice", CAME)
    assert local(outward) == CAME
    others.append(Last(6.0, FAR))
    assert local(outward) == FAR
    assert set(asked) == {(RED, "alice", 4)}
    assert outward.last("alice", 4) == Last(5.0, CAME)
    assert outward.last("bob", 4) is None
