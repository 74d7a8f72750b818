"""
Find lines of the journal by their numbers, and lines that belong together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from socksgw.audit import chain

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
            line: Line = json.loads(octets)
            return line if line["n"] == number else None
        return None

    def span(self) -> tuple[int, int] | None:
        """Return the numbers of its first and last line, L{None} without any."""
        for file in reversed(self._files):
            _, octets = chain.tail(file)
            if octets:
                return chain.firstOf(self._files[0]), json.loads(octets)["n"]
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
                found: Line = json.loads(octets)
                if line["event"] == "decision" or _isOf(found, line):
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
                    each: Line = json.loads(octets)
                    found = each if _isOf(line, each) else found
                elif line["event"] != "flow-end" and mark in octets:
                    found = json.loads(octets)
            if found is not None or started:
                return found
        return None


def _isOf(end: Line, flow: Line) -> bool:
    """Tell whether the end of a flow can be that of a flow's decision."""
    host, _, port = end["address"].rpartition(":")
    return host.strip("[]") in flow["addresses"] and int(port) == flow["port"]
