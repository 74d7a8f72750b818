"""
What sends datagrams inside a connection, which may be full.
"""

from __future__ import annotations

__all__ = ["Dropping"]


class Dropping:
    """
    A push producer that keeps nothing: while the peer does not read, datagrams are lost.

    So they are where a socket of their own is full.

    @ivar full: whether what is sent now would be lost; whoever sends looks first.
    """

    full = False

    def pauseProducing(self) -> None:
        """Note that the peer does not read."""
        self.full = True

    def resumeProducing(self) -> None:
        """Note that it reads."""
        self.full = False

    def stopProducing(self) -> None:
        """Note that it is gone."""
        self.full = True
