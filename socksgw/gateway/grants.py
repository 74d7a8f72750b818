"""
Grants: rules with an end that two people make while the gateway runs.

One asks, another approves. A grant stands before the rules of the file, and is gone by
the clock: by the one on the wall, which tells its end also over a restart, and by the
monotonic one, so that none comes back when the other is set back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, final

from attrs import evolve
from cattrs.errors import BaseValidationError
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from socksgw.audit.journal import Journal
from socksgw.audit.process import grantLine
from socksgw.config.convert import problemsIn
from socksgw.config.hooks import CONVERTER
from socksgw.config.schema import Config, GrantAsked
from socksgw.gateway.generation import Generation
from socksgw.gateway.grantfile import Grant, GrantFile, GrantsUnreadable
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.parts import Part
from socksgw.gateway.starting import CannotStart
from socksgw.policy.granting import Granting, NotGrantable, TooWide, ruleIdOf, told
from socksgw.policy.rules import Rule

__all__ = ["GrantRefused", "Grants"]

_log = Logger()

#: Grants and requests at a time, and those that are over and remembered.
_MOST: Final = 200
#: The status of what is not as it should be, whatever may be granted.
_MALFORMED: Final = 400
_REMEMBERED: Final = 100
#: Seconds between two savings while something is granted.
_SAVED: Final = 60.0


class GrantRefused(Exception):
    """
    It is not done; the text says why.

    @ivar status: the status of HTTP that says so.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Service(Protocol):
    """The parts of a gateway that grants need."""

    @property
    def config(self) -> Config: ...

    @property
    def generation(self) -> Generation: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def hosts(self) -> HostAddresses: ...

    @property
    def clock(self) -> Callable[[], float]: ...

    def regranted(self, ended: Sequence[str]) -> None:
        """
        Take note that the rules of grants have changed.

        @param ended: the ids of those that are there no longer.
        """


@final
class Grants(Part):
    """The grants of a gateway."""

    named = "the grants"

    def __init__(
        self,
        gateway: Service,
        directory: Path,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Begin without any.

        @param directory: where their file is.
        @param wall: returns seconds since the epoch.
        """
        self._gateway = gateway
        self._file = GrantFile(directory / "grants.json")
        self._wall = wall
        self._grants: dict[int, Grant] = {}
        self._next = 1
        #: The monotonic time at which each one that is active ends.
        self._ends: dict[int, float] = {}
        self._saved = 0.0
        # Whether the file lacks something that was done.
        self._unsaved = False
        self._loaded = False
        # Whether another process keeps the file, and tells the journal.
        self._follows = False
        self._granting: Granting | None = None
        #: The rules of those that are active, by the configuration in force.
        self._compiled: dict[int, Rule] = {}

    # What people do.

    def all(self) -> list[Grant]:
        """Return all that are known, in the order in which they were asked for."""
        return list(self._grants.values())

    def request(self, by: str, asked: Mapping[str, Any]) -> Grant:
        """
        Ask for a grant.

        @param by: who asks.
        @param asked: the fields of L{GrantAsked} as in JSON.
        @raise GrantRefused: that may not be granted.
        """
        wanted = _asked(asked)
        if sum(not each.over for each in self.all()) >= _MOST:
            raise GrantRefused(409, f"there are {_MOST} grants and requests already")
        template = self._granted(wanted, _MALFORMED)[1]
        grant = Grant(self._next, wanted, by, self._wall(), template=template)
        self._keep({**self._grants, grant.number: grant}, grant.number + 1)
        self._tell(grant, "requested", by)
        return grant

    def approve(self, number: int, by: str, operates: bool) -> Grant:
        """
        Approve what somebody else has asked for: it is in force at once.

        @param operates: whether C{by} may operate the gateway; it counts where the
            configuration names no approvers.
        @raise GrantRefused: there is no such request, or C{by} may not approve it.
        """
        grant = self.found(number)
        if grant.state != "pending":
            raise GrantRefused(409, f"grant {number} is {grant.state}, not pending")
        if by == grant.requestedBy:
            why = "who has asked for a grant does not approve it: somebody else has to"
            raise GrantRefused(403, why)
        _, template = self._granted(grant.asked, 409)
        if not self._mayApprove(template, by, operates):
            raise GrantRefused(403, f"{by} may not approve it")
        now, seconds = self._wall(), float(grant.asked.for_)
        approved = evolve(
            grant,
            state="active",
            template=template,
            approvedBy=by,
            approvedAt=now,
            until=now + seconds,
            left=seconds,
        )
        # First it is kept, so that whatever is in force has a known end.
        self._keep({**self._grants, number: approved})
        self._ends[number] = self._gateway.clock() + seconds
        self._tell(approved, "approved", by)
        self._enforce()
        return approved

    def revoke(self, number: int, by: str, operates: bool, why: str = "") -> Grant:
        """
        End a grant, or take back a request.

        @param operates: as of L{approve}.
        @raise GrantRefused: there is none that is not over, or C{by} has neither asked
            for it nor may approve it.
        """
        grant = self.found(number)
        if grant.over:
            raise GrantRefused(409, f"grant {number} is {grant.state} already")
        if not (
            operates
            or by == grant.requestedBy
            or self._mayApprove(grant.template, by, operates)
        ):
            raise GrantRefused(403, f"{by} may not revoke it")
        return self._over(grant, "revoked", by, why[:200])

    def found(self, number: int) -> Grant:
        """
        Return a grant.

        @raise GrantRefused: there is none with that number.
        """
        grant = self._grants.get(number)
        if grant is None:
            raise GrantRefused(404, f"there is no grant {number}")
        return grant

    def _mayApprove(self, template: str, by: str, operates: bool) -> bool:
        settings = self._gateway.config.grants
        if settings is None:
            return operates
        for each in settings.may:
            if each.id == template and each.approvers is not None:
                return by in each.approvers
        return operates if settings.approvers is None else by in settings.approvers

    # From grants to rules.

    def _granted(self, asked: GrantAsked, status: int) -> tuple[Rule, str]:
        """
        Return the rule of a grant by the configuration in force, and its template.

        @raise GrantRefused: it may not be granted; with this status.
        """
        if self._granting is None:
            self._granting = Granting(self._gateway.config, self._gateway.hosts)
        try:
            found = self._granting.granted(asked, self._gateway.generation.ruleset)
        except NotGrantable as e:
            if status == _MALFORMED and isinstance(e, TooWide):
                status = 403
            raise GrantRefused(status, str(e)) from None
        return found.rule, found.template.id

    def adopt(self) -> None:
        """
        Put the grants before the rules of a configuration that has come into force.

        One that it does not let people grant is over.
        """
        self._granting = None
        self._compiled.clear()
        if not self._loaded:
            return
        for grant in [each for each in self.all() if each.state == "active"]:
            try:
                self._granted(grant.asked, 409)
            except GrantRefused as e:
                why = f"the configuration does not allow it any more: {e}"
                self._over(grant, "revoked", "", why, enforce=False)
        self._gateway.generation.grant(self._rules())

    def _rules(self) -> list[Rule]:
        return [
            self._rule(each) for each in self._grants.values() if each.state == "active"
        ]

    def _rule(self, grant: Grant) -> Rule:
        found = self._compiled.get(grant.number)
        if found is None:
            rule = self._granted(grant.asked, 409)[0]
            found = evolve(rule, id=ruleIdOf(grant.number), until=grant.until)
            self._compiled[grant.number] = found
        return found

    def _enforce(self, ended: Sequence[str] = ()) -> None:
        """Put the rules of now in force."""
        self._gateway.generation.grant(self._rules())
        self._gateway.regranted(ended)

    # The clock.

    def start(self) -> None:
        """
        Go on with what the file has.

        @raise CannotStart: the file cannot be used.
        """
        try:
            saved, self._next, grants = self._file.load()
        except GrantsUnreadable as e:
            raise CannotStart(str(e)) from None
        clock = self._take(saved, grants)
        self._loaded, self._saved = True, clock
        self.look()
        self.adopt()

    def _take(self, saved: float, grants: Sequence[Grant]) -> float:
        """
        Have these grants.

        @param saved: when they were saved, in seconds since the epoch.
        @return: monotonic seconds.
        """
        now, clock = self._wall(), self._gateway.clock()
        self._grants = {each.number: each for each in grants}
        for grant in grants:
            if grant.state == "active":
                # No longer than when it was saved, should the clock have gone back.
                left = grant.left - max(0.0, now - saved)
                self._ends[grant.number] = clock + min(left, grant.until - now)
        return clock

    def follow(self) -> None:
        """Do as the file says from now on: another process keeps it."""
        self._follows = True

    def _lookAtFile(self) -> None:
        """Take over what the other process has made of the grants."""
        try:
            saved, self._next, grants = self._file.load()
        except GrantsUnreadable as e:
            _log.error("the file of grants: {why}", why=str(e))
            return
        before = {each.number: each.state for each in self.all()}
        if {each.number: each.state for each in grants} == before:
            return
        self._take(saved, grants)
        active = {each.number for each in grants if each.state == "active"}
        was = {number for number, state in before.items() if state == "active"}
        self._compiled.clear()
        self._enforce([ruleIdOf(number) for number in sorted(was - active)])

    def look(self) -> None:
        """End what has ended; this is called once a second."""
        if self._follows:
            self._lookAtFile()
        now, clock = self._wall(), self._gateway.clock()
        settings = self._gateway.config.grants
        wait = 0.0 if settings is None else settings.wait
        active = False
        for grant in self.all():
            if grant.state == "pending" and now >= grant.requestedAt + wait:
                self._over(grant, "lapsed", "", "nobody has approved it in time")
            elif grant.state == "active":
                if now >= grant.until or clock >= self._ends[grant.number]:
                    self._over(grant, "ended", "", "its time is over")
                else:
                    active = True
        if (active or self._unsaved) and clock >= self._saved + _SAVED:
            self._trySave()

    def _over(
        self, grant: Grant, state: Any, by: str, why: str, enforce: bool = True
    ) -> Grant:
        """
        End a grant, whether or not that can be kept now.

        The file has its end at the latest; that it ended before is kept later.

        @param enforce: whether to put the rules that are left in force.
        """
        ended = evolve(grant, state=state, endedBy=by, endedAt=self._wall(), why=why)
        self._grants[grant.number] = ended
        self._ends.pop(grant.number, None)
        self._compiled.pop(grant.number, None)
        self._trySave()
        self._tell(ended, state, by, why)
        if grant.state == "active" and enforce:
            self._enforce([ruleIdOf(grant.number)])
        return ended

    def close(self) -> Deferred[Any] | None:
        """Keep how much is left of each."""
        if self._loaded and (self._ends or self._unsaved):
            self._trySave()
        return None

    # The file and the journal.

    def _keep(self, grants: dict[int, Grant], following: int | None = None) -> None:
        """
        Keep these grants, and have them from then on.

        @raise GrantRefused: they cannot be kept. Nothing has changed then.
        """
        if not self._loaded:
            raise GrantRefused(503, "the gateway has not started yet")
        over = [number for number, each in grants.items() if each.over]
        for number in over[:-_REMEMBERED]:
            del grants[number]
        following = self._next if following is None else following
        if self._follows:
            self._grants = grants
            return
        try:
            self._file.save(self._wall(), following, self._measured(grants))
        except OSError as e:
            why = f"it cannot be kept: {e.strerror}; see to state_dir"
            raise GrantRefused(500, why) from None
        self._grants, self._next, self._unsaved = grants, following, False
        self._saved = self._gateway.clock()

    def _measured(self, grants: Mapping[int, Grant]) -> list[Grant]:
        """Return grants with what is left of each now."""
        clock = self._gateway.clock()
        return [
            evolve(each, left=max(0.0, self._ends[number] - clock))
            if number in self._ends
            else each
            for number, each in grants.items()
        ]

    def _trySave(self) -> None:
        try:
            self._keep(dict(self._grants))
        except GrantRefused as e:
            self._saved, self._unsaved = self._gateway.clock(), True
            _log.error("the file of grants: {why}", why=str(e))

    def _tell(self, grant: Grant, act: str, by: str, why: str = "") -> None:
        if self._follows:
            return
        self._gateway.journal.append(
            grantLine(
                grant.number,
                act,
                by,
                grant.asked.ticket,
                told(grant.asked),
                grant.until,
                why or grant.asked.why,
            )
        )


def _asked(document: Mapping[str, Any]) -> GrantAsked:
    """
    Read a request.

    @raise GrantRefused: it is none.
    """
    ports = document.get("ports")
    if ports is not None:
        ports = [int(p) if p.isascii() and p.isdigit() else p for p in map(str, ports)]
        document = {**document, "ports": ports}
    try:
        return CONVERTER.structure(document, GrantAsked)
    except BaseValidationError as e:
        wrong = "; ".join(f"{each.path}: {each.text}" for each in problemsIn(e))
        raise GrantRefused(_MALFORMED, wrong) from None
