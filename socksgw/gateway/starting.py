"""
Why a gateway cannot start.
"""

from __future__ import annotations

__all__ = ["CannotStart"]


class CannotStart(Exception):
    """
    The gateway cannot start, or cannot use a new configuration.

    The text is for the operator, one line for each cause.

    @ivar taken: the port on which another socket listens already; 0 for none.
    """

    def __init__(self, text: str, taken: int = 0) -> None:
        super().__init__(text)
        self.taken = taken
