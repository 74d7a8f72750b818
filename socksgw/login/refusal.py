"""
Not being let in.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin

__all__ = ["Refused", "busy"]


class Refused(UnauthorizedLogin):
    """
    Not logged in, with the reason for the journal.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def busy() -> Refused:
    """Too many are being asked for already."""
    return Refused("busy")
