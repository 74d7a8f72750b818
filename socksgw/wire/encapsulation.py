"""
The encapsulation that protects what follows a login by GSSAPI (RFC 1961 section 5).

It is the same on both sides.
"""

from __future__ import annotations

from typing import Protocol, final

from socksgw.wire.gssapi import Level, MessageType, Tokens, encode, readData
from socksgw.wire.levels import CONFIDENTIALITY, INTEGRITY
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["Encapsulation", "Sealing"]


class Sealing(Protocol):
    """What an established security context does with octets."""

    def wrap(self, octets: bytes, confidential: bool) -> bytes:
        """Return a token that holds C{octets}."""

    def unwrap(self, token: bytes) -> tuple[bytes, bool]:
        """
        Open a token.

        @return: what the token holds, and whether it was encrypted.
        @raise WireError: it is not one of the peer's, was changed, or comes again or
            out of turn.
        """

    def longest(self, confidential: bool) -> int:
        """Return how many octets fit into a token of L{socksgw.wire.gssapi.LONGEST}."""


@final
class Encapsulation:
    """
    The protection that a context and a level give (RFC 1961 section 5).

    At the selective level everything that is sent is encrypted, and what is
    received need not be.
    """

    __slots__ = ("_confidential", "_context", "_longest", "_tokens", "level")

    def __init__(self, context: Sealing, level: Level) -> None:
        """
        @param level: any but clear.
        """
        self.level = INTEGRITY
        if level == Level.CONFIDENTIALITY:
            self.level = CONFIDENTIALITY
        self._confidential = level != Level.INTEGRITY
        self._context = context
        self._longest = context.longest(self._confidential)
        self._tokens = Tokens()

    def unwrap(self, octets: bytes | memoryview) -> bytes:
        """As L{Protection.unwrap}."""
        return b"".join([self._open(x) for x in self._tokens.receive(octets)])

    def wrap(self, octets: bytes) -> bytes:
        """As L{Protection.wrap}."""
        longest = self._longest
        if len(octets) <= longest:
            return self._close(octets)
        return b"".join(
            [
                self._close(octets[start : start + longest])
                for start in range(0, len(octets), longest)
            ]
        )

    def unwrapDatagram(self, octets: bytes) -> bytes:
        """As L{Protection.unwrapDatagram}."""
        reader = Reader(octets)
        try:
            token = readData(reader)
        except NeedMoreData:
            raise WireError("a datagram that is not whole") from None
        if reader.position != len(octets):
            raise WireError("octets behind a datagram's token")
        return self._open(token)

    def wrapDatagram(self, octets: bytes) -> bytes:
        """As L{Protection.wrapDatagram}."""
        return self._close(octets)

    def _open(self, token: bytes) -> bytes:
        octets, encrypted = self._context.unwrap(token)
        if not encrypted and self.level == CONFIDENTIALITY:
            raise WireError("octets that are not encrypted, as was agreed")
        return octets

    def _close(self, octets: bytes) -> bytes:
        token = self._context.wrap(octets, self._confidential)
        return encode(MessageType.DATA, token)
