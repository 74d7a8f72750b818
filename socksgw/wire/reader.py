"""
A cursor over received octets.

Decoders are straight lines on a L{Reader}; L{NeedMoreData} aborts one whose
message is not whole, and the conversation tries again from the message's
start when more has come.
"""

from __future__ import annotations

from typing import final

from socksgw.wire.codes import Reply

__all__ = ["NeedMoreData", "Reader", "WireError"]


class NeedMoreData(Exception):
    """The message is not whole yet. Caught in one place per conversation."""


class WireError(Exception):
    """
    The peer broke the protocol.

    @ivar reply: what a server may answer where the protocol has a reply at
        this point, else L{None}.
    @ivar reason: a fixed word for the record; empty for any violation.
    """

    def __init__(self, text: str, reply: Reply | None = None, reason: str = "") -> None:
        super().__init__(text)
        self.reply = reply
        self.reason = reason


@final
class Reader:
    """
    A cursor that reads one message.

    What it returns are copies: the octets may be a view of a buffer that changes
    afterwards.

    @ivar octets: what is read.
    @ivar position: where the next octet is.
    @ivar scanned: how many of the octets were there when the message was not whole.
    """

    __slots__ = ("octets", "position", "scanned")

    def __init__(
        self,
        octets: bytes | bytearray | memoryview,
        position: int = 0,
        scanned: int = 0,
    ) -> None:
        self.octets = octets
        self.position = position
        self.scanned = scanned

    def u8(self) -> int:
        """Read one octet."""
        position = self.position
        if position >= len(self.octets):
            raise NeedMoreData
        self.position = position + 1
        return self.octets[position]

    def u16(self) -> int:
        """Read two octets, network order."""
        return int.from_bytes(self.take(2), "big")

    def take(self, count: int) -> bytes:
        """Read exactly so many octets."""
        start = self.position
        end = start + count
        if end > len(self.octets):
            raise NeedMoreData
        self.position = end
        return bytes(self.octets[start:end])

    def until(self, delimiter: int, limit: int, what: str) -> bytes:
        """
        Read everything before the next delimiter, which is consumed too.

        @param delimiter: an octet.
        @param limit: the most octets before it.
        @param what: the name of the field, for the error.
        @raise WireError: more than C{limit} octets came without it.
        """
        start = self.position
        within = bytes(self.octets[start : start + limit + 1])
        found, delimiters, _ = within.partition(bytes((delimiter,)))
        if not delimiters:
            if len(within) > limit:
                raise WireError(f"{what} is longer than {limit} octets")
            raise NeedMoreData
        self.position = start + len(found) + 1
        return found
