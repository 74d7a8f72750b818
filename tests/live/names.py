"""
A DNS server whose answers are scripted (RFC 1035).
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = [
    "AAAA",
    "PTR",
    "A",
    "KnownNames",
    "NameServer",
    "Script",
    "a",
    "aaaa",
    "answer",
    "cname",
    "ptr",
]

A = 1
CNAME = 5
PTR = 12
AAAA = 28

#: From a name, a type, how often it was asked before, and the query, to the
#: response; None for no response.
Script = Callable[[str, int, int, bytes], bytes | None]


def _record(kind: int, content: bytes) -> bytes:
    # The owner is the question's name (section 4.1.4), class IN, TTL 0.
    return struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(content)) + content


def a(text: str) -> bytes:
    """Make an A record of the asked name."""
    return _record(A, socket.inet_pton(socket.AF_INET, text))


def aaaa(text: str) -> bytes:
    """Make an AAAA record of the asked name (RFC 3596)."""
    return _record(AAAA, socket.inet_pton(socket.AF_INET6, text))


def cname(name: str) -> bytes:
    """Make a CNAME record of the asked name."""
    return _record(CNAME, _labels(name))


def ptr(name: str) -> bytes:
    """Make a PTR record of the asked name."""
    return _record(PTR, _labels(name))


def _labels(name: str) -> bytes:
    labels = [bytes((len(label),)) + label.encode() for label in name.split(".")]
    return b"".join(labels) + b"\0"


def answer(query: bytes, *records: bytes, code: int = 0, flags: int = 0x8180) -> bytes:
    """
    Make a response to the query.

    @param code: the RCODE: 3 when there is no such name.
    """
    end = query.index(b"\0", 12) + 5
    head = query[:2] + struct.pack("!HHHHH", flags | code, 1, len(records), 0, 0)
    return head + query[12:end] + b"".join(records)


def _asked(query: bytes) -> tuple[str, int]:
    """Return the name and type of a query's question."""
    labels = []
    at = 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    return ".".join(labels), int.from_bytes(query[at + 1 : at + 3], "big")


def _sockets(both: bool) -> tuple[socket.socket, socket.socket | None]:
    """
    Open a socket for datagrams, and a listener on the same port if C{both}.
    """
    while True:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        if not both:
            return datagrams, None
        try:
            return datagrams, socket.create_server(datagrams.getsockname())
        except OSError as e:
            # Somebody's connection has that port.
            datagrams.close()
            if e.errno != errno.EADDRINUSE:
                raise


class NameServer:
    """
    The server, in a thread.

    @ivar place: C{address:port}, as the configuration wants it.
    @ivar asked: how often each name and type was asked for.
    @ivar silent: whether it answers nobody.
    """

    def __init__(self, script: Script, streams: Script | None = None) -> None:
        """
        @param streams: what it answers over TCP; L{None} for no such thing.
        """
        self._script = script
        self._socket, self._listener = _sockets(streams is not None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.port: int = self._socket.getsockname()[1]
        self.place = f"127.0.0.1:{self.port}"
        self.asked: Counter[tuple[str, int]] = Counter()
        self.silent = False
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        if streams is not None:
            self._threads.append(
                threading.Thread(target=self._accept, args=(streams,), daemon=True)
            )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", ("127.0.0.1", self.port))
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._socket.close()
        if self._listener is not None:
            self._listener.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            name, kind = _asked(query)
            response = self._script(name, kind, self.asked[name, kind], query)
            self.asked[name, kind] += 1
            if response is not None and not self.silent:
                self._socket.sendto(response, peer)

    def _accept(self, script: Script) -> None:
        assert self._listener is not None
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                # It was shut down.
                return
            # Whoever asks may go before the answer.
            with suppress(ConnectionError), client, client.makefile("rb") as reading:
                length = reading.read(2)
                if not length:
                    continue
                query = reading.read(int.from_bytes(length, "big"))
                response = script(*_asked(query), 0, query)
                if response is not None:
                    client.sendall(len(response).to_bytes(2, "big") + response)


class KnownNames(NameServer):
    """
    A server that knows the addresses it is given, and says of every other name that
    it does not exist.

    @ivar names: the names that it was asked for.
    """

    def __init__(self, known: dict[str, str]) -> None:
        """
        @param known: from a name to its addresses, with spaces between them; from a
            name below C{in-addr.arpa} to the name of that address.
        """
        super().__init__(self._known)
        self._records = known
        self.names: list[str] = []

    def _known(self, name: str, kind: int, before: int, query: bytes) -> bytes:
        self.names.append(name)
        known = self._records.get(name)
        if known is None:
            return answer(query, code=3)
        if name.endswith(".in-addr.arpa"):
            return answer(query, *([ptr(known)] if kind == PTR else []))
        make = {A: a, AAAA: aaaa}.get(kind)
        found = [text for text in known.split() if (":" in text) == (kind == AAAA)]
        return answer(query, *(map(make, found) if make else ()))
