"""
What an importer asks of its host, and what it says of a file that it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Host", "Unreadable"]


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
