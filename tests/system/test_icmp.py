"""
What ICMP tells, from the kernel itself.
"""

from __future__ import annotations

import socket
import struct

import pytest

from socksgw.system.icmp import Told, hear, tidings
from tests.tools.sockets import udp
from tests.tools.waiting import until


def closed(host: str) -> int:
    """A port at which nobody is."""
    with udp(host) as made:
        port: int = made.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("host", "told"),
    [("127.0.0.1", (4, 3, 3)), ("::1", (6, 1, 4))],
)
def test_aClosedPort(host: str, told: tuple[int, int, int]) -> None:
    """Port unreachable (RFC 792, RFC 4443 section 3.1), by the host itself."""
    with udp(host) as sender:
        hear(sender)
        port = closed(host)
        sender.sendto(b"x", (host, port))
        found: list[Told] = until(lambda: list(tidings(sender)))
        packed = socket.inet_pton(sender.family, host)
        assert found == [Told(host, port, packed, *told)]
        assert list(tidings(sender)) == []
        # It is told: nothing fails with it any more.
        with pytest.raises(BlockingIOError):
            sender.recv(1)


def test_othersAreNotHeard() -> None:
    """Without asking the kernel keeps nothing."""
    with udp("127.0.0.1") as sender:
        sender.sendto(b"x", ("127.0.0.1", closed("127.0.0.1")))
        assert list(tidings(sender)) == []


def _checksum(octets: bytes) -> int:
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~int(total + (total >> 16)) & 0xFFFF


@pytest.mark.parametrize(("kind", "code"), [(3, 0), (3, 1), (11, 0), (3, 13)])
def test_ofARouter(kind: int, code: int) -> None:
    """The message's type and code, and who has sent it, whoever was meant."""
    with (
        udp("127.0.0.1") as sender,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as router,
    ):
        hear(sender)
        router.bind(("127.0.0.66", 0))
        own = sender.getsockname()[1]
        # The header of IP, without options, and eight octets of the datagram.
        datagram = struct.pack(
            ">BBHHHBBH4s4sHHHH",
            *(0x45, 0, 29, 0, 0, 1, socket.IPPROTO_UDP, 0),
            *(socket.inet_aton("127.0.0.1"), socket.inet_aton("192.0.2.9")),
            *(own, 53, 9, 0),
        )
        octets = struct.pack(">BBHI", kind, code, 0, 0) + datagram
        octets = octets[:2] + _checksum(octets).to_bytes(2, "big") + octets[4:]
        router.sendto(octets, ("127.0.0.1", 0))
        found: list[Told] = until(lambda: list(tidings(sender)))
        reporter = socket.inet_aton("127.0.0.66")
        assert found == [Told("192.0.2.9", 53, reporter, 4, kind, code)]
