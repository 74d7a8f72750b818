"""
Read lines of the journal that are wanted, and pass over the others unparsed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import define

from socksgw.audit.shapes import shaped
from socksgw.records.criteria import Matcher
from socksgw.records.extents import Extent

__all__ = ["Odd", "chunks", "found", "wanted"]

#: Octets that are read at once: few enough that they stay in the cache of a core.
_CHUNK: Final = 1 << 18
#: Octets in which a line ends, as a rule.
_SOME: Final = 1 << 11
#: Octets of a line that is looked at.
_LONGEST: Final = 1 << 24


def chunks(extent: Extent, octets: int = _CHUNK) -> Iterator[bytes]:
    """
    Yield the whole lines of an extent, many at a time.

    Where the last of them ends is found first, so that nothing is copied again.

    @raise OSError: the file cannot be read; none where it was dropped meanwhile.
    """
    try:
        opened = extent.file.open("rb", buffering=0)
    except FileNotFoundError:
        return
    with opened:
        fd, start = opened.fileno(), extent.start
        while start < extent.end:
            least = start + octets
            # The line that ends there may be a long one.
            end = _ending(fd, least, extent.end)
            # No line of the gateway's is that long: it is passed over.
            whole = bool(end) and end - least <= _LONGEST
            read = os.pread(fd, (end if whole else least) - start, start)
            if whole and read.endswith(b"\n"):
                yield read
            elif lines := read[: read.rfind(b"\n") + 1]:
                yield lines
            if not end:
                return
            start = end


def _ending(fd: int, place: int, end: int) -> int:
    """
    Return where the line ends that has the octet before a place.

    @param end: nothing behind it is of interest.
    @return: 0 where the line does not end.
    """
    at, much = min(place, end) - 1, _SOME
    while at < end:
        read = os.pread(fd, min(much, end - at), at)
        found = read.find(b"\n")
        if found >= 0:
            return at + found + 1
        if not read:
            break
        at += len(read)
        much = _CHUNK
    return 0


def _starts(octets: bytes, needles: Sequence[bytes]) -> Iterator[int]:
    """Yield where the lines begin that have one of the needles, in their order."""
    if len(needles) > 1:
        yield from sorted({each for n in needles for each in _starts(octets, [n])})
        return
    needle = needles[0]
    at = octets.find(needle)
    while at >= 0:
        yield octets.rfind(b"\n", 0, at) + 1
        at = octets.find(needle, octets.find(b"\n", at))


def wanted(octets: bytes, needles: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    """
    Yield the lines that have one needle of each kind, without their line feeds.

    @param octets: whole lines.
    @param needles: of each kind; the first is to be in few lines.
    """
    if not needles:
        yield from octets.splitlines()
        return
    others = needles[1:]
    for start in _starts(octets, needles[0]):
        line = octets[start : octets.index(b"\n", start)]
        if all(any(each in line for each in kind) for kind in others):
            yield line


@define
class Odd:
    """
    Lines that are not as the gateway writes them.

    @ivar lines: how many were passed over.
    """

    lines: int = 0


def found(
    extent: Extent, matcher: Matcher, odd: Odd | None = None
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """
    Yield the lines of an extent that are wanted, as they are and parsed.

    @param odd: counts those that may be wanted, and are passed over.
    @raise OSError: the file cannot be read.
    """
    for octets in chunks(extent):
        for line in wanted(octets, matcher.needles):
            fields = shaped(line)
            if fields is None:
                if odd is not None:
                    odd.lines += 1
            elif matcher.matches(fields):
                yield line, fields
