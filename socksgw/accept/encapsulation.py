"""
A client's transport below a protection: what is written goes out wrapped.

What comes in is unwrapped by the protocol (L{socksgw.accept.protocol}),
before it goes anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import ITransport
from zope.interface import implementer

from socksgw.interfaces import Protection, StreamProtection

__all__ = ["encapsulated"]


@implementer(ITransport)
class _Encapsulated:
    """
    Wraps what is written, and hands everything else on.

    @ivar below: the transport that sends.
    """

    disconnecting: bool

    def __init__(self, below: Any, protection: Protection) -> None:
        self.below = below
        self._wrap = protection.wrap
        self._closing = isinstance(protection, StreamProtection) and protection.close

    def _close(self) -> None:
        """Send the protection's own end, where it has one."""
        if self._closing:
            self.below.write(self._closing())
            self._closing = False

    def loseConnection(self) -> None:
        """Close in order, after what is buffered."""
        self._close()
        self.below.loseConnection()

    @property
    def bufferSize(self) -> int:
        """Octets read at once, and kept before the producer pauses."""
        size: int = self.below.bufferSize
        return size

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self.below.bufferSize = size

    def write(self, data: bytes) -> None:
        """Send octets, wrapped."""
        if data:
            self.below.write(self._wrap(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """As L{write}."""
        self.write(b"".join(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


class _HalfClosing(_Encapsulated):
    """
    The same, over a transport that can end one direction.
    """

    def loseWriteConnection(self) -> None:
        """End our side, after what is buffered."""
        self._close()
        self.below.loseWriteConnection()


def encapsulated(below: Any, protection: Protection) -> Any:
    """
    @param below: the client's transport, one of Twisted's.
    """
    # Asked of the class, as everybody asks this transport in turn.
    halfClosing = hasattr(type(below), "loseWriteConnection")
    return (_HalfClosing if halfClosing else _Encapsulated)(below, protection)
