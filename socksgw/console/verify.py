"""
Print whether the journal is whole: C{socksgw audit verify}.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from socksgw.audit.verify import verify

__all__ = ["remedy", "verifyMain"]


def remedy(error: OSError) -> str:
    """Return why a journal cannot be read, and what to do about it."""
    if isinstance(error, PermissionError):
        return f"{error.strerror}; run this as the gateway's user, or as root"
    return f"{error.strerror}; is --config right?"


def verifyMain(
    directory: Path, out: TextIO, heads: Sequence[tuple[int, str]] = ()
) -> int:
    """
    Check a journal, and print the result.

    @param heads: numbers and hashes of lines, kept outside the journal.
    @return: the exit status: 0 whole, 1 not whole, 2 when it cannot be read.
    """
    try:
        result = verify(directory, heads)
    except OSError as e:
        print(f"{directory}: {remedy(e)}", file=out)
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
        f"head {result.last}:{result.head}",
        file=out,
    )
    return 0
