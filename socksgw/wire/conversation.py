"""
What both ends of a conversation have: the buffer, and the message that may come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["Conversation", "OutOfOrder"]


class OutOfOrder(Exception):
    """
    A conversation was used in an order that the protocol does not have.

    That is a defect of the program, never of the peer.
    """


class Conversation:
    """
    A peer's octets, decoded to events.

    However the octets are split, the events are the same: a message is decoded from
    its start until it is whole.

    Octets that may hold a password are overwritten as soon as they are consumed.

    @ivar version: 4 or 5; 0 until it is known.
    @ivar failed: whether the peer broke the protocol; nothing more is read.
    """

    __slots__ = (
        "_buffer", "_decode", "_limit", "_scanned", "_secret", "_skipped", "failed",
        "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.version = 0
        self.failed = False
        self._buffer = bytearray()
        self._skipped = 0
        self._decode: Callable[[Reader], Any] | None = None
        self._limit = 0
        self._scanned = 0
        self._secret = False

    def receive(self, octets: bytes | memoryview) -> None:
        """
        Take octets of the peer.

        The caller looks at L{held}, and reads no more from the peer while it is
        large.
        """
        if self._skipped:
            skipped = min(self._skipped, len(octets))
            self._skipped -= skipped
            octets = octets[skipped:]
        self._buffer += octets

    def skip(self, count: int) -> None:
        """
        Drop so many of the octets that come next, or have come already.
        """
        held = min(count, len(self._buffer))
        self._overwrite(held)
        del self._buffer[:held]
        self._skipped = count - held

    @property
    def held(self) -> int:
        """How many octets were received and are not consumed yet."""
        return len(self._buffer)

    def surplus(self) -> bytes:
        """
        Return and consume everything behind the last message.
        """
        if not self._buffer:
            return b""
        octets = bytes(self._buffer)
        self._overwrite(len(octets))
        self._buffer.clear()
        return octets

    def drop(self) -> None:
        """
        Forget what has come: neither it nor a message will be asked for.
        """
        self._decode = None
        if self._buffer:
            self._overwrite(len(self._buffer))
            self._buffer.clear()

    def _overwrite(self, count: int) -> None:
        self._buffer[:count] = bytes(count)

    def _await(
        self, decode: Callable[[Reader], Any], limit: int, secret: bool = False
    ) -> None:
        """
        Await a message.

        @param decode: reads it.
        @param limit: the most octets that it may have.
        @param secret: whether it may hold a password. Then no octet of it is copied
            but by C{decode}, and it is overwritten.
        """
        self._decode = decode
        self._limit = limit
        self._scanned = 0
        self._secret = secret

    def _take(self) -> Any:
        """
        Return the message that is awaited.

        @return: L{None} while it is not whole, or none is awaited.
        @raise WireError: it breaks the protocol, or the limit.
        """
        decode, buffer = self._decode, self._buffer
        if decode is None or not buffer:
            return None
        view = None
        if self._secret or len(buffer) > self._limit:
            view = memoryview(buffer)[: self._limit]
        reader = Reader(buffer if view is None else view, 0, self._scanned)
        try:
            message = decode(reader)
        except NeedMoreData:
            if len(buffer) < self._limit:
                self._scanned = len(buffer)
                return None
            self._fail()
            text = f"a message of more than {self._limit} octets"
            raise WireError(text) from None
        except WireError:
            self._fail()
            raise
        finally:
            if view is not None:
                # Before the buffer changes: no exception's frame may hold it.
                view.release()
        if self._secret:
            self._overwrite(reader.position)
        del buffer[: reader.position]
        self._decode = None
        return message

    def _fail(self) -> None:
        self.failed = True
        self._decode = None
