"""
Where a BIND for anybody listens.
"""

from __future__ import annotations

import socket

import pytest

from socksgw.errors import ConnectFailed
from socksgw.route import outward as module
from socksgw.route.outward import Outward
from socksgw.system.domains import HERE
from socksgw.wire.address import Address

OWN, FAR, SIX = (Address.parse(t) for t in ("192.0.2.9", "127.0.0.7", "::1"))


def test_theLastDestination() -> None:
    """Of that client and that family; it is the route's address, not its own."""
    outward = Outward()
    outward.connected("alice", FAR)
    outward.connected("alice", SIX)
    assert outward.local("alice", OWN, 4, HERE).text == "127.0.0.1"
    assert outward.local("alice", OWN, 6, HERE) == SIX


def test_withoutAWay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that the client came to, if it is of the wanted family."""

    class Nowhere(socket.socket):
        def connect(self, place: object) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", Nowhere)
    outward = Outward()
    assert outward.local("alice", OWN, 4, HERE) == OWN
    with pytest.raises(ConnectFailed):
        outward.local("alice", OWN, 6, HERE)


def test_theOldestIsForgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """More clients than there is room for cost no more."""
    monkeypatch.setattr(module, "localTowards", lambda address, sockets: address)
    outward = Outward(2)
    for client in ("a", "b", "a", "c"):
        outward.connected(client, FAR)
    towards = {client: outward.local(client, OWN, 4, HERE) for client in "abc"}
    assert [client for client, to in towards.items() if to != FAR] == ["b"]
    assert len(outward._last) == 2
