"""
What an importer asks of its host, and what it says of the lines of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Host", "Said", "Unreadable"]


class Said(NamedTuple):
    """
    One directive of a configuration of words and lines.

    @ivar line: where it begins; lines count from 1.
    @ivar file: the included file that it is in; empty for the first one.
    @ivar words: it and its values.
    """

    line: int
    file: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The directive itself."""
        return self.words[0]

    @property
    def rest(self) -> tuple[str, ...]:
        """Its values."""
        return self.words[1:]

    @property
    def place(self) -> str:
        """Where it is, for comments."""
        within = f" of {self.file}" if self.file else ""
        return f"line {self.line}{within}"


class Host(NamedTuple):
    """
    What a file means on the host where it is read.

    @ivar interface: returns the addresses of an interface; empty where it is not there.
    @ivar members: returns the members of a group; L{None} where it is not there.
    @ivar text: returns what a file beside it has; L{None} where that cannot be read.
    @ivar files: returns the names of the files that a pattern means, in order.
    @ivar zone: the name of its time zone.
    """

    interface: Callable[[str], Sequence[str]]
    members: Callable[[str], Sequence[str] | None]
    text: Callable[[str], str | None]
    files: Callable[[str], Sequence[str]] = lambda _: ()
    zone: str = "UTC"


class Unreadable(Exception):
    """
    The file is no configuration of the kind; the text names the line.
    """
