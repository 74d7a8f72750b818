"""
Check that the journal is whole: no line was changed, lost, added or moved.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from attrs import define, field

from socksgw.audit import chain, segments
from socksgw.audit.proofs import Proof, missedBy, proofs

__all__ = ["Verification", "Witness", "verify"]


@define
class Verification:
    """
    What a check of the journal found.

    @ivar lines: how many whole lines were read.
    @ivar first: the number of the first line; 0 when there is none.
    @ivar last: the number of the last line.
    @ivar head: the hash of the last line.
    @ivar problems: what is not whole, each with its file and line.
    @ivar remarks: what is unusual and not a problem.
    """

    lines: int = 0
    first: int = 0
    last: int = 0
    head: str = chain.FIRST
    problems: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)


class Witness(Protocol):
    """What compares a journal with something that was kept elsewhere."""

    def line(self, number: int, digest: str, octets: bytes, /) -> None:
        """Take note of a line of the journal; they come in their order."""

    def end(self, result: Verification, /) -> None:
        """Add what does not agree to the problems."""


def verify(
    directory: Path,
    heads: Sequence[tuple[int, str]] = (),
    patience: float = 0.05,
    witnesses: Sequence[Witness] = (),
) -> Verification:
    """
    Read and check the whole journal.

    Files of which there is a proof are not read again; all others are line by line.

    @param heads: numbers of lines, each with the hash that was kept of it outside
        the journal.
    @param patience: seconds to wait for the rest of a line that is being written.
    @param witnesses: what else the lines are compared with.
    @raise OSError: the journal cannot be read.
    """
    # Read the head before the lines: a gateway that is running writes it after them.
    kept = segments.headOf(directory)
    wanted = [(*head, "--head") for head in heads]
    if kept is not None:
        wanted.append((*kept, segments.HEAD))
    numbers = {number for number, _, _ in wanted}
    hashes: dict[int, str] = {}
    found = chain.files(directory)
    with proofs(found, numbers) as proven:
        result = _read(found, proven, numbers, patience, witnesses, hashes)
    for number, digest, source in wanted:
        if number and hashes.get(number) != digest:
            result.problems.append(_unlike(result, number, hashes, source))
    for each in witnesses:
        each.end(result)
    return result


def _read(
    found: Sequence[Path],
    proven: Iterator[Proof | None],
    numbers: Collection[int],
    patience: float,
    witnesses: Sequence[Witness],
    hashes: dict[int, str],
) -> Verification:
    """
    Read and check the files.

    @param proven: a proof of each, or L{None}.
    @param numbers: lines whose hashes are added to C{hashes}.
    """
    missed: list[tuple[int, int]] = []
    spans: list[tuple[int, int]] = []
    result = Verification()
    previous: str | None = None
    expected: int | None = None
    for file, proof in zip(found, proven, strict=True):
        first = chain.firstOf(file)
        if expected is None:
            expected = first
            previous = chain.FIRST if first == 1 else None
            if first != 1:
                result.remarks.append(f"{file.name}: older files are not kept")
        elif first != expected:
            result.problems.append(
                f"{file.name}: begins with line {first}, and {expected} should follow"
            )
            expected, previous = first, None
        if proof is not None and proof.previous == previous:
            # Else its first line does not follow what is before.
            if proof.lines:
                last = first + proof.lines - 1
                _spread(spans, first, last)
                result.first = result.first or first
                result.last, result.head = last, proof.head
                result.lines += proof.lines
                previous, expected = proof.head, last + 1
            missed += proof.missed
            hashes.update(proof.hashes)
            if witnesses:
                _show(file, proof, witnesses)
            continue
        for place, (octets, whole) in enumerate(chain.lines(file), 1):
            where = f"{file.name}:{place}"
            if not whole:
                if file is not found[-1]:
                    result.problems.append(f"{where}: a torn line")
                    continue
                if not _growing(file, octets, patience):
                    result.problems.append(
                        f"{where}: the last line is cut off (by a crash, or by "
                        "somebody); the next start removes the rest of it, and says so"
                    )
                # Lines that are written from now on are not checked.
                break
            try:
                line = chain.read(octets, previous)
            except chain.Broken as e:
                result.problems.append(f"{where}: {e}")
                # Believe the line's own hash, to find what else is wrong.
                try:
                    line = chain.read(octets, None)
                except chain.Broken:
                    previous = None
                    expected += 1
                    continue
            if line.number != expected:
                result.problems.append(
                    f"{where}: has the number {line.number}, not {expected}"
                )
            missed += missedBy(octets)
            _spread(spans, line.number, line.number)
            for each in witnesses:
                each.line(line.number, line.hash, octets)
            if line.number in numbers:
                hashes[line.number] = line.hash
            previous, expected = line.hash, line.number + 1
            result.first = result.first or line.number
            result.last, result.head = line.number, line.hash
            result.lines += 1
    for first, last in missed:
        # Unless they were put back.
        if not any(span[0] <= first and last <= span[1] for span in spans):
            result.problems.append(
                f"lines {first} to {last} were moved, deleted or cut, as a line says"
            )
    return result


def _spread(spans: list[tuple[int, int]], first: int, last: int) -> None:
    """Add lines to the ranges of those that there are."""
    if spans and spans[-1][1] + 1 == first:
        spans[-1] = (spans[-1][0], last)
    else:
        spans.append((first, last))


def _show(file: Path, proof: Proof, witnesses: Sequence[Witness]) -> None:
    """Show the witnesses the lines of a file that is whole."""
    first = chain.firstOf(file)
    for number, (octets, _) in enumerate(islice(chain.lines(file), proof.lines), first):
        digest = chain.hashIn(octets)
        for each in witnesses:
            each.line(number, digest, octets)


def _growing(file: Path, octets: bytes, patience: float) -> bool:
    """
    Tell whether an unfinished last line is still being written.

    @param octets: what there is of it.
    @param patience: seconds to wait for the rest.
    """
    with file.open("rb") as opened:
        end = opened.seek(0, 2)
        time.sleep(patience)
        if opened.seek(0, 2) != end:
            return True
        opened.seek(max(0, end - len(octets)))
        return opened.read(len(octets)) != octets


def _unlike(
    result: Verification, number: int, hashes: Mapping[int, str], source: str
) -> str:
    """Return how the journal differs from a head that was kept."""
    if number in hashes:
        return f"line {number} is not the one that {source} names: its hash is another"
    if number > result.last:
        return (
            f"{source} names line {number}, and the journal ends with line "
            f"{result.last}: {number - result.last} are missing"
        )
    return f"{source} names line {number}, which is not kept: nothing can be told of it"
