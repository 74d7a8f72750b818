"""
What an examination has found so far.
"""

from __future__ import annotations

from typing import final

from socksgw.config.convert import Problem

__all__ = ["Problems"]


@final
class Problems:
    """
    Collects errors and warnings, in the order of the examination.

    @ivar errors: what must be mended.
    @ivar warnings: what is odd.
    """

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def wrong(self, path: str, text: str) -> None:
        """Add an error: its TOML path, and what would be right."""
        self.errors.append(Problem(path, text))

    def odd(self, path: str, text: str) -> None:
        """Add a warning, as of L{wrong}."""
        self.warnings.append(Problem(path, text))
