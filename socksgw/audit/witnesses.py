"""
What tells of a journal that was rewritten: its signatures, and its sinks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, final

from socksgw.audit.checkpoints import CheckpointKeys
from socksgw.audit.verify import Verification

__all__ = ["Copy", "Signatures"]

_CHECKPOINT: Final = b'"event":"checkpoint"'
#: Problems of one kind that are told; the others are counted.
_TOLD: Final = 10


@final
class _Findings:
    """Problems, of which there may be one for each line."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        if len(self._told) < _TOLD:
            self._told.append(text)
        else:
            self._more += 1

    def end(self, result: Verification) -> None:
        result.problems += self._told
        if self._more:
            result.problems.append(f"and {self._more} more of that kind")


@final
class Signatures:
    """
    The checkpoints of a journal.

    Lines behind the last one are not signed yet. How many those may be, the
    configuration says; a journal that was rewritten has more.
    """

    def __init__(self, keys: CheckpointKeys, gateway: str, lines: int) -> None:
        """
        Expect checkpoints.

        @param keys: the public keys.
        @param gateway: the gateway's name.
        @param lines: how many lines there are between two checkpoints, at most.
        """
        self._keys = keys
        self._gateway = gateway
        # A gateway that writes many lines in one turn signs behind the last of them.
        self._most = 2 * lines + 1000
        self._hashes: dict[int, str] = {}
        self._findings = _Findings()
        self._signed = 0
        self._first = 0
        self._count = 0

    def line(self, number: int, digest: str, octets: bytes) -> None:
        """As L{socksgw.audit.verify.Witness.line}."""
        self._first = self._first or number
        self._hashes[number] = digest
        # A checkpoint signs a line not long before it.
        self._hashes.pop(number - self._most, None)
        if _CHECKPOINT in octets:
            found = json.loads(octets)
            if found.get("event") == "checkpoint":
                self._checkpoint(found)

    def _checkpoint(self, found: dict[str, object]) -> None:
        where = f"line {found['n']}: the checkpoint"
        if wrong := self._keys.wrong(found):
            self._findings.add(f"{where} {wrong}")
            return
        if found["gateway"] != self._gateway:
            self._findings.add(
                f'{where} is of the gateway "{found["gateway"]}", not of '
                f'"{self._gateway}"'
            )
            return
        number, _, digest = str(found["head"]).partition(":")
        signed = int(number)
        if signed >= self._first and self._hashes.get(signed) != digest:
            self._findings.add(
                f"{where} signs another line {signed} than the journal has"
            )
            return
        self._count += 1
        if self._signed and signed - self._signed > self._most:
            self._findings.add(
                f"{where} is the first behind line {self._signed}: {self._most} lines "
                "are signed at the latest"
            )
        self._signed = signed

    def end(self, result: Verification) -> None:
        """As L{socksgw.audit.verify.Witness.end}."""
        self._findings.end(result)
        unsigned = result.last - self._signed
        if not self._count:
            result.problems.append("no checkpoint is signed by the keys that are given")
        elif unsigned > self._most:
            result.problems.append(
                f"the last {unsigned} lines, from {self._signed + 1} on, are not signed: "
                f"{self._most} are signed at the latest"
            )
        else:
            result.remarks.append(
                f"{self._count} checkpoints; signed up to line {self._signed}"
            )


@final
class Copy:
    """
    What a sink has of the journal.
    """

    def __init__(
        self, name: str, lines: Iterator[tuple[int, str]], last: Callable[[], int]
    ) -> None:
        """
        Read the sink's first line.

        @param name: the sink's.
        @param lines: numbers and hashes of its lines. They are read as the journal is.
        @param last: returns the number of the journal's last line of now.
        """
        self._journalLast = last
        self._name = name
        self._lines = lines
        self._next = next(lines, None)
        self._findings = _Findings()
        self._same = 0
        self._last = 0
        self._lacking = 0

    def _advance(self) -> None:
        last = self._next
        self._next = next(self._lines, None)
        # A sink may have got lines again.
        while self._next is not None and last is not None and self._next[0] <= last[0]:
            self._next = next(self._lines, None)

    def line(self, number: int, digest: str, octets: bytes) -> None:
        """As L{socksgw.audit.verify.Witness.line}."""
        # What is dropped from the journal is still in the sink.
        while self._next is not None and self._next[0] < number:
            if self._last:
                self._findings.add(
                    f'the sink "{self._name}" has line {self._next[0]}, and the journal '
                    "does not"
                )
            self._advance()
        self._last = number
        if self._next is None or self._next[0] > number:
            self._lacking += 1
            return
        if self._next[1] == digest:
            self._same += 1
        else:
            self._findings.add(
                f'line {number} is not the one that the sink "{self._name}" has: its '
                "hash is another"
            )
        self._advance()

    def end(self, result: Verification) -> None:
        """As L{socksgw.audit.verify.Witness.end}."""
        self._findings.end(result)
        # A gateway that is running has written on.
        now = max(self._journalLast(), result.last)
        beyond = 0
        while self._next is not None:
            beyond += self._next[0] > now
            self._advance()
        if beyond:
            result.problems.append(
                f'the sink "{self._name}" has {beyond} more lines, and the journal ends '
                f"with line {now}"
            )
        result.remarks.append(
            f'the sink "{self._name}" has {self._same} of the {result.lines} lines'
        )
