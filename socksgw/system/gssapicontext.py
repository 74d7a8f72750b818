"""
What both sides of a GSSAPI context do with the octets that follow it (RFC 1961).
"""

from __future__ import annotations

from typing import Any

from gssapi import raw
from gssapi.raw.misc import GSSError

from socksgw.system.gssapierrors import gssapiWords
from socksgw.wire.gssapi import LONGEST
from socksgw.wire.reader import WireError

__all__ = ["SealingContext"]


class SealingContext:
    """
    Seals by a context of the Kerberos library.

    It is a L{Sealing<socksgw.wire.encapsulation.Sealing>}. Whoever inherits this
    establishes the context.
    """

    _context: Any = None

    def wrap(self, octets: bytes, confidential: bool) -> bytes:
        """As L{Sealing.wrap<socksgw.wire.encapsulation.Sealing.wrap>}."""
        token: bytes = raw.wrap(self._context, octets, confidential)[0]
        return token

    def unwrap(self, token: bytes) -> tuple[bytes, bool]:
        """As L{Sealing.unwrap<socksgw.wire.encapsulation.Sealing.unwrap>}."""
        try:
            octets, encrypted, _ = raw.unwrap(self._context, token)
        except GSSError as e:
            raise WireError(f"GSSAPI: {gssapiWords(e)}") from None
        return octets, encrypted

    def longest(self, confidential: bool) -> int:
        """As L{Sealing.longest<socksgw.wire.encapsulation.Sealing.longest>}."""
        found: int = raw.wrap_size_limit(self._context, LONGEST, confidential)
        return found
