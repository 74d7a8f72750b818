"""
Sum up what the journal has of a time, in one pass over its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from attrs import evolve, frozen

from socksgw.audit.shapes import shaped
from socksgw.records.criteria import Criteria
from socksgw.records.extents import Extent, extentsOf
from socksgw.records.requests import Joining, Request, allows
from socksgw.records.scan import chunks
from socksgw.records.searching import behind
from socksgw.records.tally import Sums, Tally
from socksgw.records.workers import overParts
from socksgw.system.aside import collectorAside
from socksgw.warehouse.rows import REFUSED

__all__ = ["Summing", "summed"]

#: Criteria about what only the end of a session tells.
_LATE: Final = ("application", "server_name", "upstream")


@frozen
class Summing:
    """
    What is summed up.

    @ivar criteria: which requests and refusals count.
    @ivar tables: names of the tables.
    @ivar unit: as of L{Tally}.
    """

    criteria: Criteria
    tables: tuple[str, ...]
    unit: int = 13


@final
class Part:
    """
    The sums of a part of the journal, and what has to be joined with the next part.

    @ivar tally: what sums up.
    @ivar joining: decisions without an end, and ends without a decision.
    """

    def __init__(self, summing: Summing) -> None:
        criteria = summing.criteria
        late = {name: getattr(criteria, name) for name in _LATE}
        early = evolve(criteria, application=(), server_name=(), upstream=())
        self._matcher = early.matcher()
        # Whether a request is denied, its end may tell.
        self._verdict = criteria.verdict
        decided = evolve(early, verdict="").matcher()
        self._late = Criteria(**late).matcher()
        self.tally = Tally(summing.tables, summing.unit)
        keep = None if decided.everything else decided.matches
        self.joining = Joining(keep, decided.needles)
        self._kinds: dict[bytes, Callable[[dict[str, Any]], None]] = {
            b"login-failed": self._loginFailed,
            b"refused": self._refused,
            b"refusals": self._refusals,
            b"denials": self._denials,
        }

    def read(self, octets: bytes) -> None:
        """Take whole lines."""
        self._count(self.joining.read(octets, self._other))

    def _count(self, requests: Iterator[Request]) -> None:
        for line, ended in requests:
            allowed = "allow" if allows(line, ended) else "deny"
            if self._verdict and allowed != self._verdict:
                continue
            if self._late.everything or self._late.fits(
                {**line, **(ended.more if ended else {})}
            ):
                self.tally.request(line, ended)

    def _other(self, event: bytes, octets: bytes) -> None:
        count = self._kinds.get(event)
        if count is None or not self._late.everything:
            return
        line = shaped(octets)
        if line is None or line["event"].encode("ascii") != event:
            self.joining.odd += 1
            return
        if self._matcher.matches(line):
            count(line)

    def _loginFailed(self, line: dict[str, Any]) -> None:
        self.tally.refusal("logins", line, line["reason"], 1)

    def _refused(self, line: dict[str, Any]) -> None:
        self.tally.refusal("refused", line, line["reason"], 1)

    def _refusals(self, line: dict[str, Any]) -> None:
        for reason, count in line["reasons"].items():
            table = "refused" if reason in REFUSED else "logins"
            self.tally.refusal(table, line, reason, count)

    def _denials(self, line: dict[str, Any]) -> None:
        place = line["first"] if line["first"] == line["last"] else f"{line['first']} …"
        for reason, count in line["reasons"].items():
            told = {
                "event": "denials", "time": line["time"], "user": line.get("user") or "many",
                "source": line.get("source"), "rule": line.get("rule"), "verdict": "deny",
                "reason": reason, "spoken": place,
            }  # fmt: skip
            self.tally.request(told, None, count)

    def follow(self, sums: Sums, joining: Joining) -> None:
        """Take in the next part."""
        self.tally.sums.merge(sums)
        self._count(self.joining.follow(joining))

    def close(self) -> None:
        """Count what has not ended."""
        left = [*self.joining.lost, *self.joining.left()]
        self._count(Request(line, None) for line in left)


def summed(
    directory: Path,
    summing: Summing,
    processes: int = 0,
    told: Callable[[int, int], object] | None = None,
) -> Sums:
    """
    Sum up a journal.

    @param told: is called with the octets that were read, and all that will be.
    @raise OSError: the journal cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    criteria = summing.criteria
    criteria.matcher()
    extents = extentsOf(directory, criteria.since or None, criteria.until or None)
    total = sum(each.octets for each in extents)
    done = 0
    whole = Part(summing)
    with collectorAside():
        for extent, part in overParts(partial(_partOf, summing), extents, processes):
            whole.follow(*part)
            done += extent.octets
            if told is not None:
                told(done, total)
        if criteria.until:
            for octets in behind(directory, criteria.until, extents):
                if not whole.joining.left():
                    break
                more = Part(summing)
                more.read(octets)
                whole.follow(more.tally.sums, more.joining)
        whole.close()
        sums = whole.tally.sums
        sums.odd = whole.joining.odd
        sums.close()
    return sums


def _partOf(summing: Summing, extent: Extent) -> tuple[Sums, Joining]:
    part = Part(summing)
    for octets in chunks(extent):
        part.read(octets)
    # The part after it needs them no more.
    part.joining.passed.clear()
    return part.tally.sums, part.joining
