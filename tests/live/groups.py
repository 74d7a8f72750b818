"""
Clients in Enhanced UDP Mode: plain sockets, and messages written from
draft-ietf-aft-mcast-fw-traversal-01; and what the kernel says of memberships.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.live.clients import GREETING, exactly, four, request5, six

__all__ = [
    "ALL",
    "BIND",
    "RELEASE",
    "TTL",
    "Member",
    "Told",
    "heard",
    "member",
    "speaker",
]

#: Section 4.3: commands; section 5.2: flags.
BIND, RELEASE, TTL = 5, 6, 7
RECEIVE, SEND, UNICAST, INSIDE = 1, 2, 4, 8
MULTICAST, MU, MM, SOURCES = 0x10, 0x20, 0x40, 0x80
ALL = "0.0.0.0"


class Told(NamedTuple):
    """A reply on the control channel."""

    reply: int
    flags: int
    tid: int
    aid: int
    local: tuple[str, int]
    remote: tuple[str, int]


def placed(host: str, port: int) -> bytes:
    """ATYP, the address and the port."""
    return (six(host) if ":" in host else four(host)) + port.to_bytes(2, "big")


def asked(
    command: int,
    flags: int,
    remote: tuple[str, int] = (ALL, 0),
    local: tuple[str, int] = (ALL, 0),
    ttl: int = 0,
    aid: int = 0,
    tid: int = 7,
    sources: tuple[str, ...] = (),
) -> bytes:
    """Section 4.3: a request, with the senders behind it where there are any."""
    rest = struct.pack("!BHBHI", command, flags, ttl, tid, aid)
    rest += placed(*local) + placed(*remote)
    if sources:
        rest += bytes([len(sources)])
        rest += b"".join(six(s) if ":" in s else four(s) for s in sources)
    return b"\x01" + (len(rest) + 3).to_bytes(2, "big") + rest


class Member:
    """
    A client with a control channel, and one socket for datagrams.

    @ivar control: the connection.
    @ivar carried: the datagrams that came inside it, with their numbers.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", near: str = "") -> None:
        """
        Enter the mode.

        @param near: the client's own address.
        """
        self.control = socket.create_connection(
            (host, port), 20, (near, 0) if near else None
        )
        self.control.sendall(GREETING + request5(four(ALL), 0, 4))
        assert exactly(self.control, 2) == b"\x05\x00"
        self.entered = exactly(self.control, 10)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind((self.control.getsockname()[0], 0))
        self.carried: list[tuple[int, bytes]] = []
        self.place: tuple[str, int] = ("", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.control.close()
        self.socket.close()

    @property
    def near(self) -> tuple[str, int]:
        """Where its datagrams come from."""
        host, port = self.socket.getsockname()[:2]
        return host, port

    def message(self) -> Told | None:
        """Read one message; L{None} for a datagram, which is kept."""
        kind, size = struct.unpack("!BH", exactly(self.control, 3))
        rest = exactly(self.control, size - 3)
        if kind == 3:
            self.carried.append((int.from_bytes(rest[:4], "big"), rest[4:]))
            return None
        assert kind == 2
        reply, flags, _, tid, aid = struct.unpack("!BHBHI", rest[:10])
        places, at = [], 10
        for _ in range(2):
            octets = {1: 4, 4: 16}[rest[at]]
            host = rest[at + 1 : at + 1 + octets]
            family = socket.AF_INET if octets == 4 else socket.AF_INET6
            port = int.from_bytes(rest[at + 1 + octets : at + 3 + octets], "big")
            places.append((socket.inet_ntop(family, host), port))
            at += 3 + octets
        assert at == len(rest)
        return Told(reply, flags, tid, aid, *places)

    def ask(self, *arguments: Any, **more: Any) -> Told:
        """Ask, and return the reply."""
        self.control.sendall(asked(*arguments, **more))
        while (told := self.message()) is None:
            pass
        return told

    def bind(self, group: str, port: int, flags: int = RECEIVE, **more: Any) -> Told:
        """UDP BIND for a group."""
        inside = flags & INSIDE
        local = (ALL, 0) if inside else self.near
        told = self.ask(BIND, flags | MULTICAST, (group, port), local, **more)
        if not told.reply and not inside:
            self.place = told.local
            # On the gateway's host the first datagram tells the port.
            self.send(told.aid, b"")
        return told

    def send(self, aid: int, payload: bytes, inside: bool = False) -> None:
        """Sections 4.5 and 4.4: a datagram to the group."""
        if inside:
            head = struct.pack("!BHI", 3, len(payload) + 7, aid)
            self.control.sendall(head + payload)
        else:
            head = struct.pack("!BBHI", 0, 0, 0, aid)
            self.socket.sendto(head + payload, self.place)

    def receive(self) -> tuple[int, bytes]:
        """Return the number and the payload of the next datagram of the relay."""
        octets, sender = self.socket.recvfrom(1 << 16)
        assert sender[:2] == self.place
        rsv, frag, dgid, aid = struct.unpack("!BBHI", octets[:8])
        assert (rsv, frag, dgid) == (0, 0, 0)
        return aid, octets[8:]

    def carry(self) -> tuple[int, bytes]:
        """Return the number and the payload of the next datagram in the channel."""
        while not self.carried:
            assert self.message() is None
        return self.carried.pop(0)

    def silent(self) -> bool:
        """Whether nothing waits to be received."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(20)
        return False


def speaker(source: str, interface: str, ttl: int = 4) -> socket.socket:
    """Return a socket that sends to groups from an address, by an interface."""
    index = socket.if_nametoindex(interface)
    if ":" in source:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        by = bytes(8) + struct.pack("=i", index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, by)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    made.bind((source, 0))
    return made


def member(group: str, port: int, interface: str) -> socket.socket:
    """Return a socket that has joined a group, and is told the TTL of what comes."""
    index = socket.if_nametoindex(interface)
    if ":" in group:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((group, port, 0, index))
        joining = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joining)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((group, port))
        joining = socket.inet_aton(group) + bytes(4) + struct.pack("=i", index)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joining)
        # IP_RECVTTL of ip(7), which Python has no name for.
        made.setsockopt(socket.IPPROTO_IP, 12, 1)
    made.settimeout(20)
    return made


def heard(made: socket.socket) -> tuple[bytes, str, int]:
    """Return the next datagram of a L{member}, its sender, and its TTL."""
    octets, ancillary, _, sender = made.recvmsg(1 << 16, 256)
    return octets, sender[0], int.from_bytes(ancillary[0][2][:4], "little")


def memberships(interface: str) -> set[str]:
    """Return the groups that this host has joined at an interface (proc(5))."""
    found, at = set(), ""
    for line in Path("/proc/thread-self/net/igmp").read_text().splitlines()[1:]:
        words = line.split()
        if line[0].isdigit():
            at = words[1]
        elif at == interface:
            found.add(socket.inet_ntoa(bytes.fromhex(words[0])[::-1]))
    for line in Path("/proc/thread-self/net/igmp6").read_text().splitlines():
        _, name, group, *_ = line.split()
        if name == interface:
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(group)))
    return found


def filters(interface: str) -> set[tuple[str, str]]:
    """Return the groups of an interface that have senders, each with one."""
    found = set()
    for line in Path("/proc/thread-self/net/mcfilter").read_text().splitlines()[1:]:
        _, name, group, source, *_ = line.split()
        if name == interface:
            dotted = (
                socket.inet_ntoa(int(h, 16).to_bytes(4, "big")) for h in (group, source)
            )
            found.add(tuple(dotted))
    for line in Path("/proc/thread-self/net/mcfilter6").read_text().splitlines()[1:]:
        _, name, group, source, *_ = line.split()
        if name == interface:
            both = (
                socket.inet_ntop(socket.AF_INET6, bytes.fromhex(h))
                for h in (group, source)
            )
            found.add(tuple(both))
    return found  # type: ignore[return-value]
