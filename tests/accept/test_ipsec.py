"""
The layer that asks for the mark of IPsec, with real sockets; the mark of an accepted
socket is the test's. L{tests.interop.test_ipsec} has real IPsec.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from socksgw.accept.ipsec import IPsecLayer
from socksgw.errors import LimitReached
from tests.live.servers import missing
from tests.tools.sockets import pair

BIT = 0x1000000


def mark(some: socket.socket, number: int) -> None:
    """Set the mark of a socket and of what it sends."""
    try:
        some.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", number))
    except PermissionError:
        missing("root, to mark packets")


class Below:
    """A connection."""

    def __init__(self, plain: socket.socket | None) -> None:
        self.plain = plain


class Told:
    """A client."""

    ipsec = 0

    def __init__(self) -> None:
        self.ended: list[Any] = []

    def end(self, failure: Any) -> None:
        self.ended.append(failure)


def through(accepted: socket.socket | None, mark: int = BIT) -> tuple[Told, list[Any]]:
    client, found = Told(), []
    below: Any = Below(accepted)
    layer = IPsecLayer(mark)
    layer.over(below, client, lambda *above: found.append(above), b"early")  # type: ignore[arg-type]
    assert found in ([], [(below, b"early")])
    return client, found


def test_without() -> None:
    """Whoever has no mark is led on, and so is one without a socket of its own."""
    near, far = pair()
    with near, far:
        for accepted in (near, None):
            client, found = through(accepted)
            assert (client.ipsec, len(found)) == (0, 1)
        far.sendall(b"x")
        near.setblocking(True)
        assert near.recv(1) == b"x"


def test_anotherBit() -> None:
    """Other bits of the mark mean nothing."""
    near, far = pair()
    with near, far:
        mark(near, 0xFFFFFFFF ^ BIT)
        assert through(near)[0].ipsec == 0


def test_marked() -> None:
    """A marked client counts so; what comes without the mark is dropped from then on."""
    near, far = pair()
    with near, far:
        mark(near, BIT | 7)
        client, found = through(near)
        assert (client.ipsec, len(found)) == (BIT, 1)
        far.sendall(b"x")
        near.settimeout(0.1)
        with pytest.raises(TimeoutError):
            near.recv(1)
        mark(far, BIT)
        far.sendall(b"y")
        near.settimeout(10)
        assert near.recv(1) in (b"x", b"y")


def test_noFilter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel takes no filter, the client is ended, and not believed."""
    monkeypatch.setattr("socksgw.accept.ipsec.admitMarked", lambda *_: False)
    near, far = pair()
    with near, far:
        mark(near, BIT)
        client, found = through(near)
        assert (client.ipsec, found) == (0, [])
        assert isinstance(client.ended[0], LimitReached)
