"""
Find lines of the journal by their numbers, and lines that belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from socksgw.audit import chain
from socksgw.audit.shapes import shaped

__all__ = ["ENDS", "JournalLines", "Line"]

#: Events of decisions, each with the event that ends what was allowed.
ENDS: Final = {"decision": "end", "flow": "flow-end"}

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
            line = shaped(octets)
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
        """Yield the whole lines from a number on."""
        for i, file in enumerate(self._files):
            first = chain.firstOf(file)
            following = self._files[i + 1 : i + 2]
            if following and chain.firstOf(following[0]) <= number:
                continue
            for at, (octets, whole) in enumerate(chain.lines(file), first):
                if whole and at >= number:
                    yield octets

    def outcome(self, line: Line) -> Line | None:
        """
        Return the end of what a line has allowed.

        @return: L{None} while it has not ended, or when the gateway was killed before
            it could write the end.
        """
        end = ENDS[line["event"]].encode()
        mark = b'"event":"%b","session":%d,' % (end, line["session"])
        for octets in self._from(line["n"] + 1):
            if b'"event":"start"' in octets:
                return None
            if mark in octets:
                found = shaped(octets)
                if found is not None and (
                    line["event"] == "decision" or _isOf(found, line)
                ):
                    return found
        return None

    def decision(self, line: Line) -> Line | None:
        """Return the decision that a later line of the same session belongs to."""
        mark = b'"event":"decision","session":%d,' % line["session"]
        flow = b'"event":"flow","session":%d,' % line["session"]
        for file in reversed(self._files):
            if chain.firstOf(file) >= line["n"]:
                continue
            found: Line | None = None
            started = False
            lines = enumerate(chain.lines(file), chain.firstOf(file))
            for at, (octets, whole) in lines:
                if not whole or at >= line["n"]:
                    break
                if b'"event":"start"' in octets:
                    # Each process numbers its sessions from 1 on.
                    found, started = None, True
                elif line["event"] == "flow-end" and flow in octets:
                    each = shaped(octets)
                    if each is not None and _isOf(line, each):
                        found = each
                elif line["event"] != "flow-end" and mark in octets:
                    found = shaped(octets)
            if found is not None or started:
                return found
        return None


def _isOf(end: Line, flow: Line) -> bool:
    """Tell whether the end of a flow can be that of a flow's decision."""
    host, _, port = (end["address"] or "").rpartition(":")
    return host.strip("[]") in flow["addresses"] and port == str(flow["port"])
