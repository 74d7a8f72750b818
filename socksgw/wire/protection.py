"""
What a login may put between one connection's octets and the wire.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Protection", "StreamProtection"]


class Protection(Protocol):
    """
    What stands between one connection's octets and the wire after a login.

    That is GSSAPI encapsulation (RFC 1961 section 4), or TLS inside SOCKS.
    """

    @property
    def level(self) -> str:
        """C{clear}, C{integrity} or C{confidentiality}."""

    def unwrap(self, octets: bytes | memoryview) -> bytes:
        """
        Take octets of the wire, cut anywhere.

        @return: what they hold, as far as it is whole.
        @raise socksgw.wire.reader.WireError: they are not what the peer would
            have sent, or were changed on the way.
        """

    def wrap(self, octets: bytes) -> bytes:
        """Return what to send so that the peer gets these octets."""

    def unwrapDatagram(self, octets: bytes) -> bytes:
        """
        Take one datagram of the wire (RFC 1961 section 5).

        @raise socksgw.wire.reader.WireError: as L{unwrap}.
        """

    def wrapDatagram(self, octets: bytes) -> bytes:
        """
        Return the datagram to send so that the peer gets these octets.

        @raise ValueError: it is too long.
        """


@runtime_checkable
class StreamProtection(Protection, Protocol):
    """
    A L{Protection} of a stream alone.

    It has an end of its own, which tells it from a stream that was cut off. Datagrams
    go beside it as they are.

    @ivar naked: whether the client has agreed to that.
    """

    naked: bool

    def close(self) -> bytes:
        """
        Return what tells the peer that nothing follows.

        Nothing is wrapped after this.
        """
