"""
Why a program is not run.
"""

from __future__ import annotations

__all__ = ["NotRun"]


class NotRun(Exception):
    """The program cannot be supervised on this system; the text says why."""
