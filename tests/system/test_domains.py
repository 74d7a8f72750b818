"""
Sockets of the gateway's own network and of devices.
"""

from __future__ import annotations

import socket

import pytest

from socksgw.errors import ConnectFailed
from socksgw.system.domains import HERE, OWN, Device, Domain
from socksgw.wire.codes import Reply

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_sockets(family: int, kind: int) -> None:
    """They do not block, and are bound to the device if there is one."""
    for sockets, device in ((HERE, b""), (Device("lo"), b"lo\0")):
        with sockets.open(family, kind) as opened:
            assert (opened.family, opened.type) == (family, kind)
            assert opened.gettimeout() == 0
            bound = opened.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
            assert bound == device
        assert sockets.ready(family, kind) is None


def test_noSuchDevice() -> None:
    """Whoever needs it is told which, and that no network is there."""
    with pytest.raises(ConnectFailed, match='device "none": there is no') as raised:
        Device("none").open(socket.AF_INET, STREAM)
    assert raised.value.reply == Reply.NETWORK_UNREACHABLE
    assert raised.value.reason == "network-lost"


def test_names() -> None:
    """For people, and as one word; our own has none."""
    blue = Domain("netns", "blue")
    assert (str(blue), blue.tag) == ('netns "blue"', "netns:blue")
    assert (str(OWN), OWN.tag) == ("this host", "")
