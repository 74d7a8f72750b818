"""
Clients and servers for the hostile tests: plain sockets, and messages written
from the texts rather than with the gateway's own encoders.
"""

from __future__ import annotations

import os
import resource
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Self

__all__ = [
    "GREETING",
    "Server",
    "connected",
    "descriptorsFor",
    "exactly",
    "four",
    "isClosed",
    "named",
    "opened",
    "powerless",
    "replied5",
    "request4",
    "request5",
    "reset",
    "six",
    "tunnel",
    "verdict4",
    "verdict5",
]
from tests.live.servers import missing, program
from tests.tools.sockets import RESET

#: RFC 1928 section 3: version 5, one method, no authentication.
GREETING = b"\x05\x01\x00"

#: More octets than any test has time for.
ENDLESS = 1 << 62

_IP_BIND_ADDRESS_NO_PORT = 24


def powerless() -> list[str]:
    """
    Return a command that runs another without the powers over files and ports that
    root has.
    """
    if os.geteuid() != 0:
        return []
    setpriv = program("setpriv", "util-linux")
    without = "-dac_override,-dac_read_search,-net_bind_service"
    return [setpriv, f"--bounding-set={without}", "--inh-caps=-all"]


@contextmanager
def descriptorsFor(wanted: int) -> Iterator[None]:
    """Let this process, and those it starts, have that many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        missing(f"{wanted} descriptors are needed (ulimit -Hn says {hard})")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Messages.


def named(name: bytes) -> bytes:
    """RFC 1928 section 5: ATYP 03, a length octet, the name."""
    return b"\x03" + bytes((len(name),)) + name


def four(text: str) -> bytes:
    """RFC 1928 section 5: ATYP 01, four octets."""
    return b"\x01" + socket.inet_pton(socket.AF_INET, text)


def six(text: str) -> bytes:
    """RFC 1928 section 5: ATYP 04, sixteen octets."""
    return b"\x04" + socket.inet_pton(socket.AF_INET6, text)


def request5(target: bytes, port: int, command: int = 1) -> bytes:
    """RFC 1928 section 4: VER CMD RSV ATYP DST.ADDR DST.PORT."""
    return bytes((5, command, 0)) + target + port.to_bytes(2, "big")


def request4(
    packed: bytes, port: int, name: bytes | None = None, userId: bytes = b""
) -> bytes:
    """SOCKS 4: VN CD DSTPORT DSTIP USERID NULL, in 4a also the name and NULL."""
    octets = b"\x04\x01" + port.to_bytes(2, "big") + packed + userId + b"\0"
    return octets if name is None else octets + name + b"\0"


# Clients.


def opened(
    port: int,
    source: str = "127.0.0.1",
    seconds: float = 20.0,
    buffer: int = 0,
    segment: int = 0,
) -> socket.socket:
    """
    Connect to the gateway.

    @param buffer: octets of its receive buffer; 0 is the kernel's choice.
    @param segment: octets of a segment, at most: with short ones the kernel
        keeps little for us on the gateway's side; 0 is its choice.
    """
    client = socket.socket()
    try:
        client.settimeout(seconds)
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if segment:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        # The port is chosen by connect(2), which knows more of them.
        client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((source, 0))
        client.connect(("127.0.0.1", port))
    except BaseException:
        client.close()
        raise
    return client


def reset(client: socket.socket) -> None:
    """Close with a reset: the client is gone, not merely done with sending."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def exactly(client: socket.socket, octets: int) -> bytes:
    """Read that many octets, or fewer when the gateway ends before."""
    came = b""
    while len(came) < octets:
        try:
            more = client.recv(octets - len(came))
        except ConnectionResetError:
            break
        if not more:
            break
        came += more
    return came


def isClosed(client: socket.socket) -> bool:
    """Whether the gateway has closed the connection; octets are dropped."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def replied5(client: socket.socket) -> int | None:
    """Read a reply (RFC 1928 section 6), and return its REP; L{None} without one."""
    head = exactly(client, 4)
    if len(head) < 4:
        return None
    assert head[0] == 5
    assert head[2] == 0
    assert len(exactly(client, {1: 6, 4: 18}[head[3]])) in (6, 18)
    return head[1]


def connected(
    port: int,
    target: bytes,
    destination: int,
    source: str = "127.0.0.1",
    buffer: int = 0,
    segment: int = 0,
    version: int = 5,
) -> tuple[socket.socket, int | None]:
    """
    Connect a client, and return it with the reply to its CONNECT, or L{None}.

    @param version: 5, or 6 (draft-olteanu-intarea-socks-6-11).
    """
    client = opened(port, source, buffer=buffer, segment=segment)
    try:
        if version == 6:
            place = destination.to_bytes(2, "big") + b"\0" + target
            client.sendall(b"\x06\x01\0\0" + place)
            if exactly(client, 4) != b"\x06\0\0\0":
                return client, None
            head = exactly(client, 8)
            exactly(client, {1: 4, 4: 16}[head[-1]])
            return client, head[1]
        client.sendall(GREETING + request5(target, destination))
        reply = replied5(client) if exactly(client, 2) == b"\x05\x00" else None
    except BaseException:
        client.close()
        raise
    return client, reply


def tunnel(
    port: int,
    destination: tuple[str, int],
    source: str = "127.0.0.1",
    buffer: int = 0,
    segment: int = 0,
    version: int = 5,
) -> socket.socket:
    """Connect a client to a destination through the gateway."""
    host, number = destination
    target = six(host) if ":" in host else four(host)
    client, reply = connected(port, target, number, source, buffer, segment, version)
    if reply != 0:
        client.close()
    assert reply == 0
    return client


def verdict5(port: int, target: bytes, destination: int) -> int | None:
    """Ask for a CONNECT in SOCKS 5, and return its REP; L{None} without a reply."""
    client, reply = connected(port, target, destination)
    client.close()
    return reply


def verdict4(
    port: int, packed: bytes, destination: int, name: bytes | None = None
) -> int | None:
    """Ask for a CONNECT in SOCKS 4 or 4a, and return its CD; L{None} without a reply."""
    with closing(opened(port)) as client:
        client.sendall(request4(packed, destination, name))
        reply = exactly(client, 8)
    if len(reply) < 8:
        return None
    assert reply[0] == 0
    return reply[1]


# Servers.


class Server:
    """
    A server in a thread.

    @ivar place: its address and port.
    @ivar peers: who connected.
    @ivar sent: octets that the kernel took, of all connections.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        flood: bool = False,
        octets: int = ENDLESS,
        deaf: bool = False,
    ) -> None:
        """
        @param flood: send and do not read, instead of sending back what comes.
        @param octets: how many a flood has.
        @param deaf: neither send nor read.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.socket(family)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self._listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if flood and octets == ENDLESS:
            # The kernel need not keep what nobody will read.
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        self._listening.bind((host, port))
        self._listening.listen(4096)
        self._listening.setblocking(False)
        self.place: tuple[str, int] = self._listening.getsockname()[:2]
        self.port = self.place[1]
        self.peers: list[tuple[str, int]] = []
        self.sent = 0
        self._flood = flood
        self._deaf = deaf
        self._octets = octets
        self._left: dict[socket.socket, int] = {}
        self._held: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wake.close()
        self._thread.join(20)
        for kept in (*self._left, self._listening, self._woken):
            kept.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, events in self._selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._woken:
                    return
                if ready is self._listening:
                    self._accept()
                    continue
                try:
                    self._go(ready, events)
                except BlockingIOError:
                    pass
                except OSError:
                    self._close(ready)

    def _accept(self) -> None:
        try:
            while True:
                accepted, peer = self._listening.accept()
                accepted.setblocking(False)
                self.peers.append(peer[:2])
                self._left[accepted] = self._octets
                if self._deaf:
                    continue
                events = selectors.EVENT_WRITE if self._flood else selectors.EVENT_READ
                self._selector.register(accepted, events)
        except OSError:
            return

    def _go(self, ready: socket.socket, events: int) -> None:
        if self._flood:
            most = min(65536, self._left[ready])
            went = ready.send(bytes(most))
            self.sent += went
            self._left[ready] -= went
            if not self._left[ready]:
                self._close(ready)
            return
        held = self._held.pop(ready, b"")
        if events & selectors.EVENT_READ:
            came = ready.recv(65536)
            if not came:
                self._close(ready)
                return
            held += came
        try:
            went = ready.send(held)
        except BlockingIOError:
            went = 0
        self.sent += went
        if went < len(held):
            self._held[ready] = held[went:]
            self._selector.modify(ready, selectors.EVENT_WRITE)
        else:
            self._selector.modify(ready, selectors.EVENT_READ)

    def _close(self, ready: socket.socket) -> None:
        self._selector.unregister(ready)
        ready.close()
        self._left.pop(ready, None)
        self._held.pop(ready, None)
