"""
Search the journal: from its first line on, or from its last one back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, final

from socksgw.audit import chain
from socksgw.audit.shapes import shaped
from socksgw.records.criteria import Criteria, Matcher
from socksgw.records.extents import Extent, Head, extentsOf, headOf, pieces
from socksgw.records.scan import chunks, found
from socksgw.records.workers import overParts

__all__ = ["Following", "behind", "journalSpan", "newest", "search"]

_EVENT: Final = re.compile(rb'"event":"([a-z-]+)"(?:,"session":(\d{1,18}),)?')
_ENDS: Final = (b"end", b"flow-end")
#: Octets behind a time in which the ends of its sessions are looked for.
_BEHIND: Final = 256_000_000
#: Octets that are read at once by who looks for the last lines.
_BACK: Final = 2_000_000


def _lines(matcher: Matcher, extent: Extent) -> list[bytes]:
    return [octets for octets, _ in found(extent, matcher)]


def search(
    directory: Path, criteria: Criteria, processes: int = 0, ends: bool = False
) -> Iterator[bytes]:
    """
    Yield the lines that are wanted, oldest first, without their line feeds.

    @param ends: whether to yield the ends of what wanted lines have allowed, too.
    @raise OSError: the journal cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    matcher = criteria.matcher()
    extents = extentsOf(directory, criteria.since or None, criteria.until or None)
    if ends:
        yield from _withEnds(directory, criteria, matcher, extents)
        return
    for _, lines in overParts(partial(_lines, matcher), extents, processes):
        yield from lines


def _withEnds(
    directory: Path, criteria: Criteria, matcher: Matcher, extents: Sequence[Extent]
) -> Iterator[bytes]:
    """Yield the lines that are wanted, and the ends of what they have allowed."""
    following = Following(matcher)
    for extent in extents:
        for octets in chunks(extent):
            yield from following.read(octets)
    if criteria.until:
        for octets in behind(directory, criteria.until, extents):
            if not following.open:
                return
            yield from following.read(octets)


def behind(directory: Path, until: str, before: Sequence[Extent]) -> Iterator[bytes]:
    """
    Yield the lines behind a time, many at once, but not without end.

    Most sessions of the time end in them.

    @param before: what was read already.
    @raise OSError: the journal cannot be read.
    """
    read = 0
    ends = {each.file: each.end for each in before}
    for extent in extentsOf(directory, until):
        start = max(extent.start, ends.get(extent.file, 0))
        for octets in chunks(extent._replace(start=start)):
            if read > _BEHIND:
                return
            read += len(octets)
            yield octets


def newest(directory: Path, criteria: Criteria, count: int) -> list[bytes]:
    """
    Return the last lines that are wanted, oldest first, without their line feeds.

    @param count: how many at most.
    @raise OSError: the journal cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    matcher = criteria.matcher()
    extents = extentsOf(directory, criteria.since or None, criteria.until or None)
    newestFirst = (
        line
        for extent in reversed(extents)
        for part in reversed(list(pieces([extent], _BACK)))
        for line in reversed(_lines(matcher, part))
    )
    return list(islice(newestFirst, count))[::-1]


def journalSpan(directory: Path) -> tuple[Head, Head] | None:
    """
    Return the heads of a journal's first and last line; L{None} without any.

    @raise OSError: the journal cannot be read.
    """
    heads: list[Head] = []
    for file in chain.files(directory):
        try:
            with file.open("rb") as opened:
                first = headOf(opened.readline())
            last = headOf(chain.tail(file)[1])
        except FileNotFoundError:
            # `keep` or `max_size` has dropped it.
            continue
        heads += [each for each in (first, last) if each is not None]
    return (heads[0], heads[-1]) if heads else None


@final
class Following:
    """
    Finds the lines that are wanted, and the ends of what they have allowed.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._sessions: set[int] = set()

    @property
    def open(self) -> bool:
        """Tell whether something wanted has not ended."""
        return bool(self._sessions)

    def read(self, octets: bytes) -> Iterator[bytes]:
        """Yield the lines among others that are wanted, or end what was."""
        needles, matcher = self._matcher.needles, self._matcher
        for line in octets.splitlines():
            match = _EVENT.search(line, 40)
            if match is None:
                continue
            event, session = match[1], int(match[2] or 0)
            if event == b"start":
                # Each process numbers its sessions from 1 on.
                self._sessions.clear()
            elif event in _ENDS and session in self._sessions:
                if event == b"end":
                    self._sessions.discard(session)
                if shaped(line) is not None:
                    yield line
                continue
            if all(any(each in line for each in kind) for kind in needles):
                fields = shaped(line)
                if fields is not None and matcher.matches(fields):
                    if fields.get("verdict") == "allow" and "session" in fields:
                        self._sessions.add(fields["session"])
                    yield line
