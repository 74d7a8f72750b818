"""
Find the lines of one session of the present process, fast and bounded.

The journal is searched as octets, without parsing what belongs to others.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from socksgw.audit import chain

__all__ = ["Traced", "trace"]

#: Octets that are read at once, and that are searched at most.
_CHUNK: Final = 1 << 20
_BUDGET: Final = 1 << 28
#: Lines that are returned: so many of the first, and of the last.
_FIRST: Final = 20
_LAST: Final = 80
_TIME: Final = re.compile(rb'"time":"([0-9T:.Z-]{20,32})"')


@frozen
class Traced:
    """
    What was found.

    @ivar lines: parsed, in their order.
    @ivar omitted: how many there are between them.
    @ivar whole: whether all of the journal that could have some was searched.
    """

    lines: list[dict[str, Any]]
    omitted: int = 0
    whole: bool = True


def trace(
    directory: Path, session: int, since: str = "", budget: int = _BUDGET
) -> Traced:
    """
    Return the lines of a session; this reads files, and is for a thread.

    @param since: the time of day before its first line, as in the journal; empty
        where it is not known: the end of the journal is searched.
    @param budget: octets that are searched at most.
    @raise OSError: the journal cannot be read.
    """
    files, whole = _from(directory, since, budget)
    wanted = re.compile(rb'"session":%d,|"event":"start"' % session)
    first: list[bytes] = []
    last: deque[bytes] = deque(maxlen=_LAST)
    omitted = 0
    for line in _matching(files, wanted, budget):
        if b'"event":"start"' in line:
            # Another process has counted from one.
            first, omitted, whole = [], 0, True
            last.clear()
        elif len(first) < _FIRST:
            first.append(line)
        else:
            omitted += len(last) == _LAST
            last.append(line)
    lines = [_read(each) for each in (*first, *last)]
    return Traced([each for each in lines if each is not None], omitted, whole)


def _read(octets: bytes) -> dict[str, Any] | None:
    """Return a line; L{None} where somebody has made something else of it."""
    try:
        line = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _from(
    directory: Path, since: str, budget: int
) -> tuple[list[tuple[Path, int]], bool]:
    """
    Return the files to search, each from an offset on, and whether that is all.
    """
    found: list[tuple[Path, int]] = []
    left = budget
    for file in reversed(chain.files(directory)):
        size = file.stat().st_size
        if size > left:
            found.insert(0, (file, size - left))
            return found, False
        left -= size
        found.insert(0, (file, 0))
        if since and _begins(file) <= since.encode():
            break
    return found, True


def _begins(file: Path) -> bytes:
    """Return the time of a file's first line; empty for none."""
    with file.open("rb") as opened:
        match = _TIME.search(opened.read(4096))
    return match[1] if match is not None else b""


def _matching(
    files: list[tuple[Path, int]], wanted: re.Pattern[bytes], budget: int
) -> Iterator[bytes]:
    """Yield the whole lines in which something is."""
    for file, offset in files:
        with file.open("rb") as opened:
            opened.seek(offset)
            if offset:
                opened.readline()
            rest = b""
            while budget > 0 and (chunk := opened.read(_CHUNK)):
                budget -= len(chunk)
                octets = rest + chunk
                end = octets.rfind(b"\n") + 1
                # No line of the gateway's is longer.
                rest = octets[end:] if len(octets) - end < 1 << 24 else b""
                at = 0
                for match in wanted.finditer(octets, 0, end):
                    if match.start() >= at:
                        start = octets.rfind(b"\n", 0, match.start()) + 1
                        at = octets.find(b"\n", match.end())
                        yield octets[start:at]
