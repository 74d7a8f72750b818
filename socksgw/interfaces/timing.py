"""
Deadlines, as a stage is given them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["SetDeadline", "Timer"]


class Timer(Protocol):
    """A deadline that was set."""

    def clear(self) -> None:
        """Forget it."""


#: Calls the function in so many seconds.
SetDeadline = Callable[[float, Callable[[], None]], Timer]
