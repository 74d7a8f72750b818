"""
How far a sink has come, in a file of C{state_dir/sinks}.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, final
from urllib.parse import quote

__all__ = ["Place", "Position", "fileOf"]

#: Characters of the longest name of a sink that is part of a file's name as it is.
_LONGEST: Final = 120


class Place(NamedTuple):
    """
    A line of the journal.

    @ivar number: its number.
    @ivar hash: its hash; empty if it is not known.
    @ivar start: the number of the line behind which the sink has begun.
    """

    number: int
    hash: str = ""
    start: int = 0


def fileOf(name: str, ending: str = "position") -> str:
    """
    Return the name of a file of a sink.

    @param name: the sink's.
    @param ending: what the file holds.
    """
    text = quote(name, safe="@:+,= ")
    if len(text) > _LONGEST or text.startswith("."):
        text = sha256(name.encode()).hexdigest()
    return f"{text}.{ending}"


@final
class Position:
    """The file of one sink."""

    def __init__(self, directory: Path, name: str) -> None:
        """
        Name the file; it need not be there.

        @param directory: C{state_dir/sinks}.
        @param name: the sink's.
        """
        self.path = directory / fileOf(name)

    def read(self) -> Place | None:
        """
        Return what is kept, L{None} if there is nothing.

        @raise OSError: the file cannot be read.
        @raise ValueError: it is damaged; the text has the remedy.
        """
        try:
            octets = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = json.loads(octets)
            place = Place(found["n"], found["hash"], found.get("start", 0))
            if list(map(type, place)) == [int, str, int]:
                return place
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise ValueError(
            f"{self.path} is damaged: remove it, and the sink begins anew, or write "
            '{"n": N, "hash": ""} with the number of the last line that it has'
        )

    def write(self, place: Place) -> None:
        """
        Keep a place, on the disk before this returns.

        @raise OSError: it cannot be kept; what was kept before still is.
        """
        beside = self.path.with_suffix(".new")
        text = json.dumps({"n": place.number, "hash": place.hash, "start": place.start})
        with beside.open("w") as opened:
            opened.write(text + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        beside.rename(self.path)
