"""
What a client of each protocol says, and hears, where it wants a connection.

This is the one place that knows them, as L{tests.live.transports} knows transports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.live import raw

__all__ = ["PROTOCOLS", "Protocol"]


class Protocol(NamedTuple):
    """
    One protocol.

    @ivar greeting: what comes before the request.
    @ivar greeted: the answer to that.
    @ivar request: says the request for an address and a port.
    @ivar reply: reads the answer to it, as a number.
    @ivar granted: the number of success.
    @ivar denied: of a rule's denial.
    @ivar refused: of a destination that refuses.
    """

    greeting: bytes
    greeted: bytes
    request: Callable[[str, int], bytes]
    reply: Callable[[Any], int]
    granted: int
    denied: int
    refused: int


def _connect(host: str, port: int) -> bytes:
    """CONNECT of HTTP (RFC 9110 section 9.3.6)."""
    place = f"{host}:{port}"
    return f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()


def _status(connection: Any) -> int:
    """Read an answer of HTTP, with its content."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.exactly(connection, 1)
    for line in head.split(b"\r\n"):
        if line.startswith(b"Content-Length: "):
            raw.exactly(connection, int(line[16:]))
    return int(head[9:12])


#: By the names in C{listen.protocols}.
PROTOCOLS: Final[dict[str, Protocol]] = {
    "socks5": Protocol(
        raw.GREETING,
        b"\x05\x00",
        raw.request5,
        lambda connection: raw.reply5(connection)[0],
        0,
        2,
        5,
    ),
    "socks4": Protocol(
        b"",
        b"",
        raw.request4,
        lambda connection: raw.reply4(connection)[0],
        90,
        91,
        91,
    ),
    "socks6": Protocol(b"", b"", raw.request6, raw.reply6, 0, 2, 5),
    "http": Protocol(b"", b"", _connect, _status, 200, 403, 502),
}
