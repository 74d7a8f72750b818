"""
Search the journal: from its first line on, or from its last one back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, final

from socksgw.audit import chain
from socksgw.audit.shapes import shaped
from socksgw.records.criteria import Criteria, Matcher
from socksgw.records.extents import Extent, Head, extentsOf, headOf, pieces
from socksgw.records.requests import leadsTo
from socksgw.records.scan import Odd, chunks, found
from socksgw.records.workers import overParts

__all__ = ["Following", "behind", "journalSpan", "newest", "search"]

_EVENT: Final = re.compile(rb'"event":"([a-z-]+)"(?:,"session":(\d{1,18}),)?')
#: Octets behind a time in which the ends of its sessions are looked for.
_BEHIND: Final = 256_000_000
#: Octets that are read at once by who looks for the last lines.
_BACK: Final = 2_000_000


def _lines(matcher: Matcher, extent: Extent) -> tuple[list[bytes], int]:
    odd = Odd()
    return [octets for octets, _ in found(extent, matcher, odd)], odd.lines


def search(
    directory: Path,
    criteria: Criteria,
    processes: int = 0,
    ends: bool = False,
    odd: Odd | None = None,
) -> Iterator[bytes]:
    """
    Yield the lines that are wanted, oldest first, without their line feeds.

    @param ends: whether to yield the ends of what wanted lines have allowed, too.
    @param odd: counts the lines that are passed over.
    @raise OSError: the journal cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    odd = odd or Odd()
    matcher = criteria.matcher()
    extents = extentsOf(directory, criteria.since or None, criteria.until or None)
    if ends:
        following = Following(matcher)
        yield from _withEnds(directory, criteria, following, extents)
        odd.lines += following.odd
        return
    for _, (lines, more) in overParts(partial(_lines, matcher), extents, processes):
        odd.lines += more
        yield from lines


def _withEnds(
    directory: Path, criteria: Criteria, following: Following, extents: Sequence[Extent]
) -> Iterator[bytes]:
    """Yield the lines that are wanted, and the ends of what they have allowed."""
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
        for line in reversed(_lines(matcher, part)[0])
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
                first = headOf(opened.readline(chain.LONGEST))
            last = headOf(chain.tail(file, 2 * chain.LONGEST)[1])
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
        # Flows that have no end yet, of each association.
        self._flows: dict[int, list[dict[str, Any]]] = {}
        #: How many lines were passed over that are not as the gateway writes them.
        self.odd = 0

    @property
    def open(self) -> bool:
        """Tell whether something wanted has not ended."""
        return bool(self._sessions or self._flows)

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
                self._flows.clear()
            elif event == b"flow-end":
                if session in self._flows:
                    yield from self._flowEnds(session, line)
                continue
            elif event == b"end":
                self._flows.pop(session, None)
                if session in self._sessions:
                    self._sessions.discard(session)
                    if self._shaped(line) is not None:
                        yield line
                    continue
            if all(any(each in line for each in kind) for kind in needles):
                fields = self._shaped(line)
                if fields is not None and matcher.matches(fields):
                    if fields.get("verdict") == "allow" and "session" in fields:
                        self._follow(fields)
                    yield line

    def _shaped(self, line: bytes) -> dict[str, Any] | None:
        fields = shaped(line)
        self.odd += fields is None
        return fields

    def _follow(self, fields: dict[str, Any]) -> None:
        """Await the end of what a line has allowed."""
        if fields["event"] == "flow":
            self._flows.setdefault(fields["session"], []).append(fields)
        else:
            self._sessions.add(fields["session"])

    def _flowEnds(self, session: int, line: bytes) -> Iterator[bytes]:
        """Yield the end of a flow, if that flow was wanted."""
        ended = self._shaped(line)
        flows = self._flows[session]
        if ended is None:
            return
        for flow in flows:
            if leadsTo(flow, ended["address"] or ""):
                flows.remove(flow)
                if not flows:
                    del self._flows[session]
                yield line
                return
