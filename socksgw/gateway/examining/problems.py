"""
The errors and warnings that an examination has found so far.
"""

from __future__ import annotations

from typing import final

from socksgw.config.problems import Problem

__all__ = ["Problems"]


@final
class Problems:
    """
    Errors and warnings, in the order in which they were found.

    @ivar errors: what must be mended before the configuration can be used.
    @ivar warnings: what is allowed, and is probably not meant.
    """

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def wrong(self, path: str, text: str) -> None:
        """
        Add an error.

        @param path: its TOML path, such as C{rule[2].ports[0]}.
        @param text: what is wrong, and the remedy.
        """
        self.errors.append(Problem(path, text))

    def odd(self, path: str, text: str) -> None:
        """Add a warning; the parameters are those of L{wrong}."""
        self.warnings.append(Problem(path, text))
