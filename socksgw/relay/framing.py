"""
Framings of datagrams inside a control connection.

They are hev's (command 05), gost's (F3), and messages that have an association's ID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar, final

from socksgw.relay.seams import Associated
from socksgw.wire.association import encodeDatagram, readDatagramOf
from socksgw.wire.datagram import (
    Datagram,
    encodeTunnelled,
    encodeWithLengths,
    readTunnelled,
    readWithLengths,
)
from socksgw.wire.reader import NeedMoreData, Reader

__all__ = ["FRAMINGS", "Frames", "Framing", "framingOf"]


T = TypeVar("T")


class Framing(NamedTuple):
    """
    Tell how datagrams stand in the stream.

    @ivar read: decodes one datagram; raises L{NeedMoreData} while it is not whole. It
        returns L{None} for what is none.
    @ivar encode: makes the octets of a datagram from its source's host and port
        and its payload.
    """

    read: Callable[[Reader], Datagram | None]
    encode: Callable[..., bytes]


#: Framings by their name in C{listen.udp.tunnels}.
FRAMINGS: Final[Mapping[str, Framing]] = {
    "hev": Framing(readWithLengths, encodeWithLengths),
    "gost": Framing(readTunnelled, encodeTunnelled),
}


def framingOf(associated: Associated) -> Framing | None:
    """
    Return how datagrams stand in the connection to an upstream.

    @return: L{None} where they go beside it.
    """
    association = associated.association
    if association:
        return Framing(
            readDatagramOf(association), partial(encodeDatagram, association)
        )
    return FRAMINGS[associated.framing] if associated.framing else None


@final
class Frames(Generic[T]):
    """
    The datagrams in one stream.
    """

    __slots__ = ("_buffer", "_read")

    def __init__(self, read: Callable[[Reader], T]) -> None:
        """@param read: as of L{Framing}."""
        self._read = read
        self._buffer = bytearray()

    def receive(self, data: bytes | memoryview) -> Iterator[T]:
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
                    datagram = self._read(reader)
                    start = reader.position
                    yield datagram
        except NeedMoreData:
            pass
        finally:
            del buffer[:start]
