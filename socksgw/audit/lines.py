"""
Find lines of the journal by their numbers, and lines that belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from socksgw.audit import chain
from socksgw.audit.shapes import shaped

__all__ = ["ENDS", "JournalLines", "Line", "having"]

#: Events of decisions, each with the event that ends what was allowed.
ENDS: Final = {"decision": "end", "flow": "flow-end"}

_START: Final = b'"event":"start"'
_HEAD: Final = re.compile(rb'\{"v":1,"n":([0-9]{1,18}),')
#: Octets that are read at once.
_BLOCK: Final = 1 << 18

Line = Mapping[str, Any]


@final
class JournalLines:
    """
    The lines of a journal, found by number.
    """

    def __init__(self, directory: Path) -> None:
        """
        Find the journal's files.

        @raise OSError: the directory cannot be read.
        """
        self._files = chain.files(directory)

    def line(self, number: int) -> Line | None:
        """
        Return the line with a number, or L{None} when there is none (any more).
        """
        for octets in self._from(number):
            line = shaped(octets[: octets.index(b"\n")])
            return line if line is not None and line["n"] == number else None
        return None

    def span(self) -> tuple[int, int] | None:
        """Return the numbers of its first and last line, L{None} without any."""
        for file in reversed(self._files):
            _, octets = chain.tail(file)
            if octets:
                last = shaped(octets)
                if last is not None:
                    return chain.firstOf(self._files[0]), last["n"]
        return None

    def _from(self, number: int) -> Iterator[bytes]:
        """Yield the whole lines from a number on, many at once."""
        for i, file in enumerate(self._files):
            first = chain.firstOf(file)
            following = self._files[i + 1 : i + 2]
            if following and chain.firstOf(following[0]) <= number:
                continue
            for octets in _blocks(file):
                behind = first + octets.count(b"\n")
                if behind > number:
                    yield _without(octets, number - first)
                first = behind

    def outcome(self, line: Line) -> Line | None:
        """
        Return the end of what a line has allowed.

        @return: L{None} while it has not ended, or when the gateway was killed before
            it could write the end.
        """
        end = ENDS[line["event"]].encode()
        mark = b'"event":"%b","session":%d,' % (end, line["session"])
        for octets in self._from(line["n"] + 1):
            for each in having(octets, _START, mark):
                if _START in each:
                    return None
                found = shaped(each)
                if found is not None and (
                    line["event"] == "decision" or _isOf(found, line)
                ):
                    return found
        return None

    def decision(self, line: Line) -> Line | None:
        """Return the decision that a later line of the same session belongs to."""
        event = "flow" if line["event"] == "flow-end" else "decision"
        mark = b'"event":"%b","session":%d,' % (event.encode(), line["session"])
        for file in reversed(self._files):
            first = chain.firstOf(file)
            if first >= line["n"]:
                continue
            found: Line | None = None
            started = False
            for octets in _blocks(file):
                for each in having(octets, _START, mark):
                    if _numberOf(each) >= line["n"]:
                        break
                    if _START in each:
                        # Each process numbers its sessions from 1 on.
                        found, started = None, True
                        continue
                    one = shaped(each)
                    if event == "decision" or (one is not None and _isOf(line, one)):
                        found = one
                first += octets.count(b"\n")
                if first >= line["n"]:
                    break
            if found is not None or started:
                return found
        return None


def _blocks(file: Path) -> Iterator[bytes]:
    """
    Yield the whole lines of a file, many at once.

    @raise OSError: the file cannot be read.
    """
    with file.open("rb", buffering=_BLOCK) as opened:
        while octets := opened.read(_BLOCK):
            octets += opened.readline(chain.LONGEST)
            # What is cut here is too long, or not whole yet.
            lines = octets[: octets.rfind(b"\n") + 1]
            if lines:
                yield lines


def _without(octets: bytes, count: int) -> bytes:
    """Return lines without some at the beginning."""
    at = 0
    for _ in range(count):
        at = octets.index(b"\n", at) + 1
    return octets[at:]


def having(octets: bytes, *marks: bytes) -> Iterator[bytes]:
    """
    Yield the lines that have one of some octets, in their order.

    @param octets: whole lines.
    """
    starts: set[int] = set()
    for mark in marks:
        at = octets.find(mark)
        while at >= 0:
            starts.add(octets.rfind(b"\n", 0, at) + 1)
            at = octets.find(mark, octets.index(b"\n", at))
    for start in sorted(starts):
        yield octets[start : octets.index(b"\n", start)]


def _numberOf(octets: bytes) -> int:
    """Return the number of a line; 0 where it is none of a journal."""
    match = _HEAD.match(octets)
    return int(match[1]) if match else 0


def _isOf(end: Line, flow: Line) -> bool:
    """Tell whether the end of a flow can be that of a flow's decision."""
    host, _, port = (end["address"] or "").rpartition(":")
    return host.strip("[]") in flow["addresses"] and port == str(flow["port"])
