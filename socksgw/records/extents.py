"""
The parts of the journal's files that hold the lines of a time.

A file's name has the number of its first line, and lines are in order. The part is
found by a binary search, which reads a few lines of each file that is concerned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from socksgw.audit import chain
from socksgw.records.times import stampOf

__all__ = ["Extent", "Head", "extentsOf", "headOf", "pieces"]

#: What each line begins with.
_HEAD: Final = re.compile(rb'\{"v":1,"n":(\d+),"time":"([0-9TZ.:-]+)"')
#: Octets of a line that are read for its head.
_SHORT: Final = 160
#: Octets that are not searched any further.
_CLOSE: Final = 1 << 16
#: A clock that was set back may have written later lines with earlier times.
_SLACK: Final = timedelta(minutes=10)


class Extent(NamedTuple):
    """
    Lines of one file that follow each other.

    @ivar file: the file.
    @ivar start: the octet at which the first line begins.
    @ivar end: the octet behind the last line.
    """

    file: Path
    start: int
    end: int

    @property
    def octets(self) -> int:
        """Return how many octets the lines have."""
        return self.end - self.start


class Head(NamedTuple):
    """
    The number and the time of a line.

    @ivar number: its C{n}.
    @ivar time: its C{time}, a stamp.
    """

    number: int
    time: str


def headOf(line: bytes) -> Head | None:
    """Return the head of a line; L{None} where it is not a line of a journal."""
    match = _HEAD.match(line)
    return Head(int(match[1]), match[2].decode("ascii")) if match else None


def _shifted(stamp: str, by: timedelta) -> str:
    """Return an earlier or later stamp; the same at the end of all time."""
    try:
        return stampOf(datetime.fromisoformat(stamp) + by)
    except OverflowError:
        return stamp


def extentsOf(
    directory: Path, since: str | None = None, until: str | None = None
) -> list[Extent]:
    """
    Return where the lines of a time are, oldest first; only whole lines.

    Lines outside of the time may be among them.

    @param since: a stamp; L{None} for the first line.
    @param until: a stamp, which is not included; L{None} for the last line.
    @raise OSError: the journal cannot be read.
    """
    earliest = None if since is None else _shifted(since, -_SLACK)
    latest = None if until is None else _shifted(until, _SLACK)
    found: list[Extent] = []
    files = chain.files(directory)
    # A file is needed from `since` on where the file after it does not begin before.
    begins = [_begin(file) for file in files] if earliest or latest else []
    for i, file in enumerate(files):
        if begins:
            following = next((each for each in begins[i + 1 :] if each), None)
            if earliest and following and following.time < earliest:
                continue
            begun = begins[i]
            if latest and begun and begun.time >= latest:
                break
        try:
            with file.open("rb") as opened:
                end = _whole(opened)
                start = _around(opened, earliest, end)[0] if earliest else 0
                if latest:
                    end = max(start, _around(opened, latest, end)[1])
        except FileNotFoundError:
            # `keep` or `max_size` has dropped it.
            continue
        if end > start:
            found.append(Extent(file, start, end))
    return found


def _begin(file: Path) -> Head | None:
    """Return the head of a file's first line; L{None} without any."""
    try:
        with file.open("rb") as opened:
            return headOf(opened.read(_SHORT))
    except FileNotFoundError:
        return None


def _whole(opened: BinaryIO) -> int:
    """Return how many octets of a file are whole lines."""
    end = opened.seek(0, 2)
    while end:
        start = max(0, end - _CLOSE)
        opened.seek(start)
        octets = opened.read(end - start)
        found = octets.rfind(b"\n") + 1
        if found:
            return start + found
        end = start
    return 0


def _around(opened: BinaryIO, stamp: str, end: int) -> tuple[int, int]:
    """
    Return two places around the first line of a time.

    All lines that begin before the first place are earlier; none is that begins
    behind the second one.

    @param end: the octet behind the last line.
    """
    low, high = 0, end
    while high - low > _CLOSE:
        middle = (low + high) // 2
        opened.seek(middle)
        octets = opened.read(_CLOSE)
        at = octets.find(b"\n") + 1
        if at and middle + at >= high:
            high = middle
            continue
        head = headOf(octets[at : at + _SHORT]) if at else None
        if head is None:
            # A line that is longer than what was read.
            break
        if head.time >= stamp:
            high = middle + at
        else:
            low = middle + at
    return low, _ending(opened, high, end)


def _ending(opened: BinaryIO, place: int, end: int) -> int:
    """Return where the line ends that a place is in."""
    if place >= end:
        return end
    opened.seek(place)
    while (octets := opened.readline(1 << 20)) and not octets.endswith(b"\n"):
        pass
    return min(opened.tell(), end)


def pieces(extents: Sequence[Extent], octets: int) -> Iterator[Extent]:
    """
    Cut extents into smaller ones of whole lines, in their order.

    @param octets: about how many each has.
    @raise OSError: a file cannot be read.
    """
    for extent in extents:
        start = extent.start
        while extent.end - start > octets + octets // 2:
            with extent.file.open("rb") as opened:
                middle = _ending(opened, start + octets, extent.end)
            yield Extent(extent.file, start, middle)
            start = middle
        if start < extent.end:
            yield Extent(extent.file, start, extent.end)
