"""
A quota's window for tests of what moves octets.
"""

from __future__ import annotations


class Quota:
    """
    A window that nothing comes back to.

    @ivar pending: whether another machine may have more for it.
    @ivar ended: whether what it bounds is to end.
    """

    pending = False
    ended = False

    def __init__(self, octets: int) -> None:
        self.octets = octets

    def left(self, wanted: int = 1) -> int:
        return self.octets

    def spend(self, octets: int) -> None:
        self.octets -= octets

    def end(self) -> None:
        """As C{Window.end}."""
        self.ended = True
