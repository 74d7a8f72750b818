"""
Revocation: sessions that are no longer allowed end within a second.

Live sessions are judged again when the configuration changes, users and their
groups, certificates, this host's addresses, or the time of day that a rule names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from socksgw.accept.listener import Listener
from socksgw.audit import process
from socksgw.audit.journal import Journal
from socksgw.config.schema import Config
from socksgw.errors import Revoked
from socksgw.gateway.certificates import Certificates
from socksgw.gateway.generation import Generation
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.sessions import Sessions
from socksgw.interfaces import Asker
from socksgw.limits.bound import countedIn
from socksgw.limits.limits import Limits
from socksgw.policy.questions import Question
from socksgw.session.session import Session
from socksgw.system.upkeep import Upkeep, defect

__all__ = ["Revocation"]

_log = Logger()


#: Seconds of one turn in which sessions are judged: others wait as long.
_TURN: Final = 0.003


def _now(call: Callable[[], None]) -> None:
    """Call it: there is no reactor."""
    call()


class Service(Protocol):
    """The parts of a gateway that revocation needs."""

    @property
    def config(self) -> Config: ...

    @property
    def generation(self) -> Generation: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def sessions(self) -> Sessions: ...

    @property
    def hosts(self) -> HostAddresses: ...

    @property
    def listeners(self) -> Mapping[str, Listener]: ...

    changes: int


@final
class Revocation:
    """
    Judges live sessions again when something has changed.
    """

    def __init__(
        self,
        gateway: Service,
        wall: Callable[[], float] = time.time,
        later: Callable[[Callable[[], None]], object] = _now,
        turn: float = _TURN,
    ) -> None:
        """
        Begin with no change.

        @param wall: returns seconds since the epoch.
        @param later: calls a function in another turn of the reactor.
        @param turn: seconds in which sessions are judged before others have theirs.
        """
        self._gateway = gateway
        self._wall = wall
        self._later = later
        self._turn = turn
        self._certificates = Certificates(gateway)
        self._seen: object = None
        self._problems: list[str] = []
        self._upkeep = Upkeep()

    @property
    def _everybody(self) -> bool:
        """Whether changes apply to live sessions, too."""
        return self._gateway.config.gateway.enforce == "all"

    # Changes.

    def changed(self) -> Deferred[int]:
        """
        Count and judge everything again, after a new generation has come into force.

        @return: fires with the number of sessions and clients that were ended, when
            all are judged.
        """
        self._gateway.changes += 1
        self._seen = self._sight()
        ended = 0
        generation = self._gateway.generation
        for name, tls in generation.secured.items():
            asserted = generation.asserted.get(name)
            ended += self._certificates.recheck(name, tls, asserted)
        counting = self.recount()
        counting.addCallback(lambda _: self.recheck())
        return counting.addCallback(lambda others: ended + others)

    def regranted(self, ended: Collection[str]) -> None:
        """
        Take note that the rules of grants have changed.

        @param ended: the rules of grants that are over. What lives by them is judged
            again whatever C{gateway.enforce} says: a grant has an end.
        """
        # What else has changed since the last look, that sees in the next one.
        self._gateway.changes += 1
        if not ended:
            return
        for session in self._gateway.sessions.granted(None):
            if session.record.rule in ended or session.flows is not None:
                self._judge(session)

    def look(self) -> None:
        """
        Look for changes that may change verdicts; call it once a second.

        It never raises.
        """
        do = self._upkeep.do
        generation = self._gateway.generation
        for name, tls in generation.secured.items():
            look = partial(
                self._certificates.look, name, tls, generation.asserted.get(name)
            )
            do(f'TLS of "{name}"', look)
        do("the check of what changed", self._lookAtChanges)
        do("the check of the files of users", self._lookAtStores)
        if self._everybody:
            do("the check of logins that end", self._lookAtExpiry)
            do("the check of directories", self._lookAtGroups)

    def _lookAtChanges(self) -> None:
        seen = self._sight()
        before, self._seen = self._seen, seen
        if before is not None and seen != before:
            self._gateway.changes += 1
            self.recheck()

    def _sight(self) -> object:
        """
        Return a value that differs when verdicts may differ without a reload.
        """
        generation = self._gateway.generation
        ruleset = generation.policy.ruleset
        moment = ruleset.moment(self._wall()) if ruleset.timed else None
        hosts = self._gateway.hosts.changes
        return moment, generation.login, generation.login.changes, hosts

    def _lookAtStores(self) -> None:
        """Record what is wrong with the files of users, when that changes."""
        problems = self._gateway.generation.login.problems
        if problems != self._problems:
            self._problems = problems
            self._gateway.journal.append(process.storesLine(problems))

    def _lookAtGroups(self) -> None:
        directory = self._gateway.generation.login.directory
        if directory is not None:
            directory.refresh(self._gateway.sessions.users())
            if directory.changed:
                names, directory.changed = directory.changed, set()
                self._gateway.changes += 1
                self.recheck(names)

    def _lookAtExpiry(self) -> None:
        """End the sessions whose login has ended."""
        for session in self._gateway.sessions.expired(self._wall()):
            session.client.end(Revoked("the login has expired"))

    # Live sessions.

    def recheck(self, names: Collection[str] | None = None) -> Deferred[int]:
        """
        Judge every live session again.

        No effect with C{gateway.enforce = "new-only"}.

        @param names: only sessions of these users; by default all.
        @return: fires with the number of sessions that were ended.
        """
        if not self._everybody:
            return succeed(0)
        return self._inTurns(self._gateway.sessions.granted(names), self._judge)

    def _inTurns(
        self, sessions: Iterator[Session], do: Callable[[Session], bool]
    ) -> Deferred[int]:
        """
        Do something with every session, and hold up nobody for long.

        @param do: tells whether it counts.
        @return: fires with the number of those that count.
        """
        done: Deferred[int] = Deferred()
        counted = 0

        def some() -> None:
            nonlocal counted
            ends = time.monotonic() + self._turn
            for session in sessions:
                if self._gateway.sessions.has(session):
                    counted += do(session)
                if time.monotonic() >= ends:
                    self._later(some)
                    return
            done.callback(counted)

        some()
        return done

    def _judge(self, session: Session) -> bool:
        """
        Judge a session again, and end it where it is not allowed any more.

        @return: whether it was ended.
        """
        try:
            self._check(session)
        except Revoked as e:
            session.client.end(e)
        except Exception as e:
            defect("the check of a session", e)
            session.client.end(Revoked("it could not be judged again"))
        else:
            return False
        return True

    def judge(self, session: Session) -> None:
        """As L{check}, and end it where it is not allowed any more."""
        if self._everybody and self._gateway.sessions.has(session):
            self._judge(session)

    def check(self, session: Session) -> None:
        """
        Judge a session by the current rules and the current groups of its user.

        It belongs to the current generation from then on. No effect with
        C{gateway.enforce = "new-only"}.

        @raise Revoked: it is not allowed any more.
        """
        if self._everybody:
            self._check(session)

    def _check(self, session: Session) -> None:
        generation, was = self._gateway.generation, session.asker
        session.remain(generation)
        user = generation.login.now(was.user)
        if user is None:
            raise Revoked(generation.login.gone(was.user))
        session.asker = Asker(user, was.source, was.listener, was.secured, was.tag)
        session.generation = generation
        ruleset, facts = generation.policy.ruleset, session.record
        verdict = session.command.again(session, ruleset)
        if not verdict.allowed:
            port = facts.port if session.command.name == "connect" else 0
            question = Question(
                session.asker,
                session.command.name,
                facts.name,
                port,
                found=session.found,
            )
            raise Revoked(ruleset.revoked(facts.rule, question, facts.dialled, verdict))
        facts.groups = user.groups
        facts.judgedAgain(verdict.rule, verdict.ticket)
        claim = session.claim
        if claim is not None and (
            verdict.rule != claim.rule or countedIn(user) != countedIn(was.user)
        ):
            session.recount(verdict.rule)

    def recount(self) -> Deferred[int]:
        """
        Count every live session by the current limits.

        A session may end in the course of this, and others with it: a higher rate
        lets its last octets go.

        @return: fires when all are counted.
        """
        return self._inTurns(iter(self._gateway.sessions), self._recount)

    def _recount(self, session: Session) -> bool:
        claim = session.claim
        if claim is None:
            return False
        try:
            session.recount(claim.rule)
        except Exception as e:
            defect("the count of a session", e)
            session.client.end(Revoked("it could not be counted again"))
        return True

    def cut(self) -> None:
        """
        End the sessions and UDP flows whose quota is used up.
        """
        self._gateway.limits.usedUp = False
        for session in self._gateway.sessions:
            claim: Any = session.claim
            if claim is None:
                continue
            try:
                over = claim.over
                if over is None:
                    claim.wake()
                    if session.flows is not None:
                        session.flows.cut()
                else:
                    session.client.end(over)
            except Exception:
                # The other sessions have to be ended all the same.
                _log.failure("a session could not be ended")
