"""
Whether the journal is whole: no line changed, lost, added or moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from attrs import define, field

from socksgw.audit import chain

__all__ = ["Verification", "verify", "verifyMain"]


@define
class Verification:
    """
    What was found.

    @ivar lines: whole lines read.
    @ivar first: the number of the first; 0 when there is none.
    @ivar last: the number of the last.
    @ivar head: the hash of the last.
    @ivar problems: each with its file and line.
    @ivar remarks: what is unusual, and no problem.
    """

    lines: int = 0
    first: int = 0
    last: int = 0
    head: str = chain.FIRST
    problems: list[str] = field(factory=list)
    remarks: list[str] = field(factory=list)


def verify(directory: Path) -> Verification:
    """
    Read the whole journal, a line at a time.

    @raise OSError: it cannot be read.
    """
    found = chain.files(directory)
    result = Verification()
    previous: str | None = None
    expected: int | None = None
    for file in found:
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
            expected = first
        for place, (octets, whole) in enumerate(chain.lines(file), 1):
            where = f"{file.name}:{place}"
            if not whole:
                if file is found[-1]:
                    result.remarks.append(
                        f"{where}: a torn last line, cut off at the next start"
                    )
                else:
                    result.problems.append(f"{where}: a torn line")
                continue
            try:
                line = chain.read(octets, previous)
            except chain.Broken as e:
                result.problems.append(f"{where}: {e}")
                # Go on from what the line claims, to find what else is wrong.
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
            previous, expected = line.hash, line.number + 1
            result.first = result.first or line.number
            result.last, result.head = line.number, line.hash
            result.lines += 1
    return result


def verifyMain(directory: Path, out: TextIO) -> int:
    """
    C{socksgw audit verify}.

    @return: the exit status: 0 whole, 1 not, 2 unreadable.
    """
    try:
        result = verify(directory)
    except OSError as e:
        print(f"{directory}: {e.strerror}; is --config right?", file=out)
        return 2
    for text in (*result.remarks, *result.problems):
        print(text, file=out)
    if result.problems:
        print(f"{directory}: NOT whole: {len(result.problems)} problems", file=out)
        return 1
    if not result.lines:
        print(f"{directory}: there are no lines yet", file=out)
        return 0
    print(
        f"{directory}: whole: {result.lines} lines, {result.first} to {result.last}, "
        f"head {result.head}",
        file=out,
    )
    return 0
