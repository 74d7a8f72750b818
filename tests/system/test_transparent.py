"""
What the kernel says of where clients were going, octet for octet as it does.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from socksgw.system.transparent import (
    MissingRight,
    bindForeign,
    foreign,
    originalOf,
    originalOfDatagram,
    receiveOriginals,
)
from socksgw.wire.address import Address

#: As a kernel 6.18 has put them: the family in the host's order, the port in the
#: network's; then sin6_flowinfo, the address, sin6_scope_id.
IN = bytes.fromhex("02001f905db8d8220000000000000000")
IN6 = bytes.fromhex("0a001f90000000002606280002200001000000000000003400000000")


@pytest.mark.parametrize(
    ("family", "level", "kind", "raw", "host"),
    [
        (socket.AF_INET, 0, 20, IN, "93.184.216.34"),
        (socket.AF_INET6, 41, 74, IN6, "2606:2800:220:1::34"),
    ],
)
def test_messages(family: int, level: int, kind: int, raw: bytes, host: str) -> None:
    """Among others, which say something else."""
    other = (socket.SOL_SOCKET, 29, bytes(16))
    found = originalOfDatagram([other, (level, kind, raw)], family)
    assert found == (Address.parse(host), 8080)
    assert originalOfDatagram([other], family) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams(host: str) -> None:
    """The kernel tells it of any datagram, diverted or not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        try:
            bound.bind((host, 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
        receiveOriginals(bound)
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", bound.getsockname())
        _, ancillary, _, _ = bound.recvmsg(10, socket.CMSG_SPACE(28))
        found = originalOfDatagram(ancillary, family)
        assert found == (Address.parse(host), bound.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections(host: str) -> None:
    """
    Of one that no rule has changed, the kernel says nothing, or the listener itself
    (where conntrack is at work).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listening, socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            itself = Address.parse(host), listening.getsockname()[1]
            assert originalOf(accepted) in (None, itself)


def test_rights() -> None:
    """Each missing capability is told from other failures."""

    class Refused(socket.socket):
        """Has neither capability."""

        def setsockopt(self, *_: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        def bind(self, _: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    with Refused(socket.AF_INET, socket.SOCK_DGRAM) as refused:
        with pytest.raises(MissingRight, match="not permitted"):
            foreign(refused)
        with pytest.raises(MissingRight, match="denied"):
            bindForeign(refused, Address.parse("192.0.2.1"), 53)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as usual:
        with pytest.raises(OSError, match="assign") as raised:
            bindForeign(usual, Address.parse("192.0.2.1"), 5353)
        assert raised.value.errno == errno.EADDRNOTAVAIL
