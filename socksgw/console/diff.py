"""
Compare two configurations by the recorded traffic: C{socksgw diff}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from socksgw.audit.shapes import shaped
from socksgw.console.judging import Judges, Judging, NoLine
from socksgw.records.extents import Extent, extentsOf
from socksgw.records.scan import chunks, wanted
from socksgw.records.workers import overParts

__all__ = ["diffMain"]

#: How many kinds of changes are shown.
_SHOWN: Final = 100
_START: Final = b'"event":"start"'
_VERDICT: Final = b'"verdict":'
_CARRIED: Final = b'"application":'

#: What a session has carried, by its number.
Carried = dict[int, Mapping[str, Any]]


class _Wrong(Exception):
    """There is a line that is none of a journal; the text says where."""


class _Found(NamedTuple):
    """
    What was found in one part of the journal.

    @ivar decisions: how many there are.
    @ivar changed: those that would change, for people, and how often each comes.
    """

    decisions: int
    changed: Counter[str]


def _carried(extent: Extent) -> list[Carried]:
    """
    Return the lines that tell what sessions have carried.

    @return: those before the first start of the gateway, those behind it, and so on:
        each process numbers its sessions from 1 on.
    """
    runs: list[Carried] = [{}]
    for octets in chunks(extent):
        for each in wanted(octets, [[_START, _CARRIED]]):
            if _START in each:
                runs.append({})
                continue
            line = shaped(each)
            if line is not None and "session" in line:
                runs[-1][line["session"]] = line
    return runs


def _judged(
    judges: Judges, runs: Mapping[Extent, Sequence[Carried]], extent: Extent
) -> _Found:
    """
    Judge the decisions of a part of the journal.

    @param runs: what the sessions of each part have carried, as of L{_carried}.
    @raise _Wrong: there is a line that is none of a journal.
    """
    changed: Counter[str] = Counter()
    decisions = 0
    theirs = iter(runs.get(extent, ()))
    carried = next(theirs, None)
    needles = [_VERDICT] if carried is None else [_VERDICT, _START]
    for octets in chunks(extent):
        for line in wanted(octets, [needles]):
            if carried is not None and _START in line:
                carried = next(theirs, None)
                continue
            try:
                found = judges.of(line, carried)
            except NoLine:
                raise _Wrong(_placeOf(extent, line)) from None
            if found is None:
                continue
            decisions += 1
            if found:
                changed[found] += 1
    return _Found(decisions, changed)


def _placeOf(extent: Extent, line: bytes) -> str:
    """Return the file and the number of a line there, for people."""
    before = 0
    for octets in chunks(extent._replace(start=0)):
        at = octets.find(line + b"\n")
        if at >= 0:
            number = before + octets.count(b"\n", 0, at) + 1
            return f"{extent.file.name}:{number}"
        before += octets.count(b"\n")
    return extent.file.name


def _runs(extents: Sequence[Extent]) -> dict[Extent, Sequence[Carried]]:
    """
    Return what sessions have carried, for each part of the journal.

    @return: for each run of the gateway in a part; a run goes on in the next part.
    """
    parts = list(overParts(_carried, extents))
    joined: list[Carried] = [{}]
    found: dict[Extent, Sequence[Carried]] = {}
    begins: list[int] = []
    for _, runs in parts:
        begins.append(len(joined) - 1)
        joined[-1].update(runs[0])
        joined += runs[1:]
    for (part, runs), begin in zip(parts, begins, strict=True):
        found[part] = joined[begin : begin + len(runs)]
    return found


def _all(extents: Sequence[Extent], judges: Judges) -> Iterator[_Found]:
    runs = _runs(extents) if judges.inspects else {}
    work = partial(_judged, judges, runs)
    for _, found in overParts(work, extents, portable=False):
        yield found


def diffMain(
    old: Judging,
    new: Judging,
    journal: Path,
    out: TextIO,
) -> int:
    """
    Print which decisions of the recorded traffic would change.

    Both configurations judge the facts that the journal has of each decision: source,
    method, addresses, time, user and the rest; first whether the client can log in,
    then the rules.

    @param old: the configuration, its rules, and who can log in.
    @param new: the same of the other configuration.
    @param journal: a journal's directory, or one of its files.
    @return: the exit status: 0 when no decision changes, 1 when some do, 2 when the
        journal cannot be read.
    """
    changed: Counter[str] = Counter()
    decisions = 0
    try:
        if journal.is_dir():
            extents = extentsOf(journal)
        else:
            extents = [Extent(journal, 0, journal.stat().st_size)]
        for found in _all(extents, Judges(old, new)):
            decisions += found.decisions
            changed.update(found.changed)
    except OSError as e:
        print(f"{journal}: {e.strerror}; name a journal with --replay", file=out)
        return 2
    except _Wrong as e:
        print(f"{journal}: not a journal: {e}", file=out)
        return 2
    for text, count in changed.most_common(_SHOWN):
        print(f"{count:>8} × {text}", file=out)
    if len(changed) > _SHOWN:
        print(f"{'…':>8} and {len(changed) - _SHOWN:,} more kinds", file=out)
    print(f"of {decisions:,} decisions {changed.total():,} would change", file=out)
    return 1 if changed else 0
