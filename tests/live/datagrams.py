"""
Clients of UDP ASSOCIATE and servers of UDP for the hostile tests: plain
sockets, and messages written from RFC 1928.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.live.clients import GREETING, exactly, four, named, opened, request5, six
from tests.live.running import Running

__all__ = [
    "ERRORS",
    "Association",
    "Association6",
    "Echo",
    "addressed",
    "asking",
    "associate",
    "letIn",
    "replied",
    "tcpListeners",
    "udpPorts",
]

#: RFC 1928 section 6: a client that does not know its address yet.
UNKNOWN = four("0.0.0.0")


def addressed(host: str | bytes, port: int, frag: int = 0) -> bytes:
    """
    RFC 1928 section 7: the header of a datagram; C{host} is a literal, or
    octets for the name field.
    """
    if isinstance(host, bytes):
        where = named(host)
    else:
        where = six(host) if ":" in host else four(host)
    return b"\0\0" + bytes([frag]) + where + port.to_bytes(2, "big")


def replied(client: socket.socket) -> tuple[int, str, int]:
    """
    RFC 1928 section 6: REP, BND.ADDR and BND.PORT of a reply. Of SOCKS 6 the same, as
    section 7 of the draft has it.
    """
    head = exactly(client, 4)
    assert len(head) == 4, f"ended after {head!r}"
    if head[0] == 6:
        return replied6(client, head)
    assert (head[0], head[2]) == (5, 0)
    family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[head[3]]
    rest = exactly(client, size + 2)
    assert len(rest) == size + 2
    host = socket.inet_ntop(family, rest[:size])
    return head[1], host, int.from_bytes(rest[size:], "big")


def replied6(client: socket.socket, head: bytes) -> tuple[int, str, int]:
    """What stands behind the head of an operation reply; its options are left out."""
    number, padding, kind = exactly(client, 2), exactly(client, 1), exactly(client, 1)
    assert padding == b"\0"
    family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind[0]]
    host = socket.inet_ntop(family, exactly(client, size))
    exactly(client, int.from_bytes(head[2:], "big"))
    return head[1], host, int.from_bytes(number, "big")


def asking(version: int, target: bytes, number: int, command: int) -> bytes:
    """All that a client without a login says up to its request."""
    if version == 5:
        return GREETING + request5(target, number, command)
    # Section 4 of draft-olteanu-intarea-socks-6-11.
    return bytes((6, command, 0, 0)) + number.to_bytes(2, "big") + b"\0" + target


def letIn(client: socket.socket, version: int, login: bool = False) -> None:
    """What comes before the reply to that; of a login by SOCKS 6, too."""
    told = b"\x05\x00" if version == 5 else b"\x06\x00\x00\x00"
    if login:
        # Section 9: the right password.
        told = bytes.fromhex("06 00 0008 0004 0008 02 0100 00")
    assert exactly(client, len(told)) == told


def associate(
    port: int,
    target: bytes = UNKNOWN,
    number: int = 0,
    command: int = 3,
    behind: bytes = b"",
    version: int = 5,
) -> tuple[socket.socket, tuple[int, str, int]]:
    """
    Open a control connection, and return it with the reply to its request.

    @param behind: octets sent right behind the request.
    """
    control = opened(port)
    try:
        control.sendall(asking(version, target, number, command) + behind)
        letIn(control, version)
        return control, replied(control)
    except BaseException:
        control.close()
        raise


class Association:
    """
    A client with an association.

    @ivar control: its control connection.
    @ivar place: where its datagrams go.
    @ivar socket: where they come from.
    """

    def __init__(
        self, port: int, behind: bytes = b"", control: socket.socket | None = None
    ) -> None:
        """
        Open it.

        @param control: a connection that is logged in already.
        """
        if control is None:
            self.control, (code, host, number) = associate(port, behind=behind)
        else:
            self.control = control
            control.sendall(request5(UNKNOWN, 0, 3))
            code, host, number = replied(control)
        assert code == 0
        self.place = (host, number)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(("127.0.0.1", 0))

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

    def send(self, host: str | bytes, port: int, text: bytes, frag: int = 0) -> None:
        """Send a datagram for a destination to the relay."""
        self.socket.sendto(addressed(host, port, frag) + text, self.place)

    def receive(self) -> bytes:
        """Receive the next datagram, with its header; it must come from the relay."""
        octets, sender = self.socket.recvfrom(1 << 16)
        assert sender == self.place
        return octets

    def echo(self, server: Echo, text: bytes) -> None:
        """There and back."""
        self.send(*server.place, text)
        assert self.receive() == addressed(*server.place) + text

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for a while."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1 << 16)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)
        return False


#: Section 8.1.8 of the draft: the client wants to hear of ICMP, and will.
ERRORS = bytes.fromhex("0001 0008 85 01 02 00")


class Association6(Association):
    """
    The same in SOCKS 6: the datagrams go inside the control connection, in messages
    (section 7.3 of draft-olteanu-intarea-socks-6-11).

    @ivar id: what the gateway calls it.
    @ivar confirmed: whether the gateway has said that the first datagram came.
    """

    def __init__(self, port: int, stack: bytes = b"", login: bytes = b"") -> None:
        """
        Open it.

        @param stack: an option that the reply has as the request; empty for none.
        @param login: another one, with user and password.
        """
        self.control = opened(port)
        self.control.settimeout(20)
        self.confirmed = False
        length = len(stack + login).to_bytes(2, "big")
        asked = b"\x06\x03" + length + b"\0\0\0" + UNKNOWN + stack + login
        self.control.sendall(asked)
        letIn(self.control, 6, bool(login))
        head = exactly(self.control, 4)
        assert head == b"\x06\x00" + len(stack).to_bytes(2, "big")
        assert exactly(self.control, 8) == b"\0\0\0" + UNKNOWN
        assert exactly(self.control, len(stack)) == stack
        kind, body = self.message(None)
        assert (kind, body) == (1, b"")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.control.close()

    def framed(self, kind: int, body: bytes = b"") -> bytes:
        """A message of this association."""
        length = (12 + len(body)).to_bytes(2, "big")
        return b"\x06" + bytes([kind]) + length + self.id + body

    def message(self, within: float | None = 20) -> tuple[int, bytes]:
        """The type and the body of the next message."""
        head = exactly(self.control, 12)
        assert head[0] == 6
        if within is None:
            self.id = head[4:]
        assert head[4:] == self.id
        return head[1], exactly(self.control, int.from_bytes(head[2:4], "big") - 12)

    def send(self, host: str | bytes, port: int, text: bytes, frag: int = 0) -> None:
        """Send a datagram for a destination; there are no fragments."""
        assert frag == 0
        where = addressed(host, port)[3:-2]
        place = where[:1] + b"\0" + port.to_bytes(2, "big") + where[1:]
        self.control.sendall(self.framed(3, place + text))

    def receive(self) -> bytes:
        """The next datagram, with its header as SOCKS 5 has it."""
        kind, body = self.message()
        if kind == 2:
            assert (self.confirmed, body) == (False, b"")
            self.confirmed = True
            kind, body = self.message()
        assert (kind, body[1], self.confirmed) == (3, 0, True)
        end = 8 if body[0] == 1 else 20
        return b"\0\0\0" + body[:1] + body[4:end] + body[2:4] + body[end:]

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for a while."""
        self.control.settimeout(seconds)
        try:
            self.control.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.control.settimeout(20)
        return False


class Echo:
    """
    A server of UDP, in a thread, that sends back what comes; an empty
    datagram of its own address ends it.

    @ivar place: its address and port.
    @ivar came: what came, with who sent it.
    """

    def __init__(self, host: str = "127.0.0.1", answers: bool = True) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((host, 0))
        self.place: tuple[str, int] = self.socket.getsockname()[:2]
        self.port = self.place[1]
        self.came: list[tuple[bytes, tuple[str, int]]] = []
        self._answers = answers
        self._ending = False
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
        self._ending = True
        self.socket.sendto(b"", self.place)
        self._thread.join(20)
        self.socket.close()

    def _serve(self) -> None:
        while True:
            octets, sender = self.socket.recvfrom(1 << 16)
            if self._ending:
                return
            self.came.append((octets, sender[:2]))
            if self._answers:
                self.socket.sendto(octets, sender)


def udpPorts(gateway: Running) -> set[int]:
    """Return the ports of the gateway's UDP sockets."""
    return {port for port, _ in _sockets(gateway, "udp")}


def tcpListeners(gateway: Running) -> set[int]:
    """Return the TCP ports that the gateway listens on."""
    # include/net/tcp_states.h: 10 is TCP_LISTEN.
    return {port for port, state in _sockets(gateway, "tcp") if state == 10}


def _sockets(gateway: Running, kind: str) -> list[tuple[int, int]]:
    """Port and state of each of the gateway's sockets."""
    process = f"/proc/{gateway.process.pid}"
    inodes = set()
    # With its workers, if it has any.
    for pid in (gateway.process.pid, *gateway.children):
        with suppress(FileNotFoundError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):
                    target = os.readlink(f"/proc/{pid}/fd/{number}")
                    if match := re.match(r"socket:\[(\d+)\]", target):
                        inodes.add(match[1])
    found = []
    for table in (kind, f"{kind}6"):
        with open(f"{process}/net/{table}", encoding="ascii") as lines:
            for line in list(lines)[1:]:
                words = line.split()
                if words[9] in inodes:
                    port = int(words[1].rpartition(":")[2], 16)
                    found.append((port, int(words[3], 16)))
    return found
