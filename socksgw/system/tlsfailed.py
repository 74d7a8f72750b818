"""
How TLS to a server fails.

Whoever hears of it needs no TLS for that.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

__all__ = ["TLSCut", "TLSFailed"]


class TLSFailed(ConnectionLost):
    """
    A server's TLS failed, or it was cut off without its own end.

    The text says why, and what to do.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class TLSCut(TLSFailed):
    """The connection ended without the end of TLS: octets may be missing."""
