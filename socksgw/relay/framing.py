"""
Framings of datagrams inside a control connection: hev's (command 05), gost's (F3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, final

from socksgw.wire.datagram import (
    Datagram,
    encodeTunnelled,
    encodeWithLengths,
    readTunnelled,
    readWithLengths,
)
from socksgw.wire.reader import NeedMoreData, Reader

__all__ = ["FRAMINGS", "Frames", "Framing"]


class Framing(NamedTuple):
    """
    Tell how datagrams stand in the stream.

    @ivar read: decodes one datagram; raises L{NeedMoreData} while it is not whole.
    @ivar encode: makes the octets of a datagram from its source's host and port
        and its payload.
    """

    read: Callable[[Reader], Datagram]
    encode: Callable[..., bytes]


#: Framings by their name in C{listen.udp.tunnels}.
FRAMINGS: Final = {
    "hev": Framing(readWithLengths, encodeWithLengths),
    "gost": Framing(readTunnelled, encodeTunnelled),
}


@final
class Frames:
    """
    The datagrams in one stream.
    """

    __slots__ = ("_buffer", "_framing")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = bytearray()

    def receive(self, data: bytes | memoryview) -> Iterator[Datagram]:
        """
        Take octets, cut anywhere; what is not whole is kept.

        @return: the datagrams that are whole now. All of them have to be taken.
        @raise WireError: the stream cannot be followed any further.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            with memoryview(buffer) as view:
                reader = Reader(view)
                while start < len(view):
                    datagram = self._framing.read(reader)
                    start = reader.position
                    yield datagram
        except NeedMoreData:
            pass
        finally:
            del buffer[:start]
