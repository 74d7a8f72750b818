"""
A quota's window for tests of what moves octets.
"""

from __future__ import annotations


class Quota:
    """
    A window that nothing comes back to.

    @ivar pending: whether another machine may have more for it.
    """

    pending = False

    def __init__(self, octets: int) -> None:
        self.octets = octets

    def left(self, wanted: int = 1) -> int:
        return self.octets

    def spend(self, octets: int) -> None:
        self.octets -= octets
