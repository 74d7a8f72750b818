"""
Sockets that wait at an address of this host, on any port or within a range.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest

from socksgw.errors import LimitReached
from socksgw.system.binding import bindWithin
from socksgw.wire.address import Address
from tests.tools.sockets import descriptors

ONE = Address.parse("127.0.0.1")
SIX = Address.parse("::1")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("address", [ONE, SIX])
def test_portsOfTheRange(kind: socket.SocketKind, address: Address) -> None:
    """Each once; with none left it says so, and keeps no descriptor."""
    with bindWithin(kind, address, None) as probe:
        first = probe.getsockname()[1]
    ports = range(min(first, 65530), min(first, 65530) + 3)
    before = descriptors()
    bound = []
    try:
        for _ in ports:
            bound.append(bindWithin(kind, address, ports))
            assert bound[-1].getsockname()[0] == address.text
            assert not bound[-1].getblocking()
    except LimitReached:
        # Somebody else has one of them.
        pass
    else:
        assert {each.getsockname()[1] for each in bound} == set(ports)
    with pytest.raises(LimitReached) as raised:
        bindWithin(kind, address, ports)
    assert (raised.value.reply, raised.value.reason) == (1, "resources")
    for each in bound:
        each.close()
    assert descriptors() <= before


def test_thePortCannotBeForetold() -> None:
    """Within the range the first is not always the first."""
    ports = range(20000, 30000)
    found = set()
    for _ in range(20):
        with bindWithin(socket.SOCK_DGRAM, ONE, ports) as bound:
            found.add(bound.getsockname()[1])
    assert len(found) > 10
    assert all(port in ports for port in found)


def test_anAddressThatIsNotOurs() -> None:
    """No listener there, and no descriptor kept."""
    before = descriptors()
    for ports in (None, range(40000, 40003)):
        with pytest.raises(LimitReached):
            bindWithin(socket.SOCK_STREAM, Address.parse("192.0.2.1"), ports)
    assert descriptors() <= before


def test_outOfDescriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as what it is."""

    def none(*_: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", none)
    with pytest.raises(LimitReached) as raised:
        bindWithin(socket.SOCK_STREAM, ONE, None)
    assert raised.value.reason == "resources"


@pytest.mark.parametrize("ports", [None, range(40000, 40010)])
def test_aLinkLocalAddressIsBoundAtItsInterface(
    monkeypatch: pytest.MonkeyPatch, ports: range | None
) -> None:
    """Without it the kernel does not know which link is meant (EINVAL)."""
    asked: list[Any] = []

    class Bound(socket.socket):
        def bind(self, place: Any) -> None:
            asked.append(place)

    monkeypatch.setattr("socksgw.system.binding.socket.socket", Bound)
    bindWithin(socket.SOCK_DGRAM, Address.parse("fe80::1"), ports, 7).close()
    assert [(place[0], *place[2:]) for place in asked] == [("fe80::1", 0, 7)]
