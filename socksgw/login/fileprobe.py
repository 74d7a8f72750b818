"""
What a file of users holds, for C{socksgw check --probe}.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path

from socksgw.interfaces import Answer, ProbeFailed

__all__ = ["askFile"]


def askFile(
    path: Path, users: Sized | None, problems: Sequence[str], option: str = ""
) -> list[Answer]:
    """
    Say how many users a file has, and what is wrong in it.

    @param users: L{None} where the file cannot be used.
    @param problems: as L{IReportingStore.problems<socksgw.interfaces.IReportingStore>}.
    @param option: the option of C{socksgw passwd} for such files.
    @raise ProbeFailed: the file cannot be used.
    """
    if users is None:
        said, _, remedy = "; ".join(problems).partition("; ")
        raise ProbeFailed(said or f"{path}: cannot be used", remedy)
    what, count = str(path), len(users)
    if count:
        found = [Answer(what, f"{count:,} user{'' if count == 1 else 's'}")]
    else:
        said = "holds no user: nobody can log in"
        remedy = f"add one: socksgw passwd {option}{what} USER"
        found = [Answer(what, said, "warning", remedy)]
    for each in problems:
        said, _, remedy = each.removeprefix(f"{what}: ").partition("; ")
        found.append(Answer(what, said, "warning", remedy))
    return found
