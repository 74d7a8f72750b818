"""
What is allowed no longer, and ends within a second: sessions are judged again
when the configuration changes, users and their groups, certificates, this host's
addresses, or the hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Protocol, final

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
from socksgw.limits.limits import Limits, countedIn
from socksgw.policy.questions import Question
from socksgw.session.session import Session
from socksgw.system.upkeep import Upkeep, defect

__all__ = ["Revocation"]

_log = Logger()


class Service(Protocol):
    """What revocation needs of the gateway."""

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


@final
class Revocation:
    """
    Judges live sessions again.

    @ivar changes: how often something has changed that verdicts depend on.
    """

    def __init__(self, gateway: Service, wall: Callable[[], float] = time.time) -> None:
        """
        @param wall: seconds since the epoch.
        """
        self._gateway = gateway
        self._wall = wall
        self._certificates = Certificates(gateway)
        self._seen: object = None
        self._problems: list[str] = []
        self._upkeep = Upkeep()
        self.changes = 0

    @property
    def _everybody(self) -> bool:
        """Whether what changes counts for those who are in already."""
        return self._gateway.config.gateway.enforce == "all"

    # What changes.

    def changed(self) -> int:
        """
        Judge everything again, by a generation that has just come into force.

        @return: how many sessions were ended.
        """
        self.changes += 1
        self._seen = self._sight()
        ended = self.recheck()
        for name, tls in self._gateway.generation.secured.items():
            ended += self._certificates.recheck(name, tls)
        return ended

    def look(self) -> None:
        """
        Once a second, look whether anything has changed that verdicts depend
        on. Never raises.
        """
        do = self._upkeep.do
        for name, tls in self._gateway.generation.secured.items():
            do(f'TLS of "{name}"', partial(self._certificates.look, name, tls))
        do("the look at what changed", self._lookAtChanges)
        do("the look at the files of users", self._lookAtStores)
        if self._everybody:
            do("the look at logins that end", self._lookAtExpiry)
            do("the look at directories", self._lookAtGroups)

    def _lookAtChanges(self) -> None:
        seen = self._sight()
        before, self._seen = self._seen, seen
        if before is not None and seen != before:
            self.changes += 1
            self.recheck()

    def _sight(self) -> object:
        """
        Return what differs when verdicts may, by the same configuration.
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
                self.changes += 1
                self.recheck(names)

    def _lookAtExpiry(self) -> None:
        """End the sessions whose login has ended."""
        for session in self._gateway.sessions.expired(self._wall()):
            session.client.end(Revoked("the login has expired"))

    # Whoever lives.

    def recheck(self, names: Collection[str] | None = None) -> int:
        """
        Judge every live session again, unless the configuration says that
        only new ones count.

        @param names: only sessions of these users.
        @return: how many were ended.
        """
        if not self._everybody:
            return 0
        ended = 0
        for session in self._gateway.sessions.granted(names):
            try:
                self.check(session)
            except Revoked as e:
                session.client.end(e)
                ended += 1
            except Exception as e:
                defect("the look at a session", e)
                session.client.end(Revoked("it could not be judged again"))
                ended += 1
        return ended

    def check(self, session: Session) -> None:
        """
        Judge a session by the rules, and as the user, of now; from here on it
        lives by these. Without effect where only new ones count.

        @raise Revoked: it is allowed no longer.
        """
        if not self._everybody:
            return
        generation, was = self._gateway.generation, session.asker
        user = generation.login.now(was.user)
        if user is None:
            raise Revoked("the user is there no longer")
        session.asker = Asker(user, was.source, was.listener, was.secured)
        session.generation = generation
        ruleset, facts = generation.policy.ruleset, session.record
        verdict = session.command.again(session, ruleset)
        if not verdict.allowed:
            port = facts.port if session.command.name == "connect" else 0
            question = Question(session.asker, session.command.name, facts.name, port)
            raise Revoked(ruleset.revoked(facts.rule, question, facts.dialled, verdict))
        facts.groups = user.groups
        facts.judgedAgain(verdict.rule, verdict.ticket)
        claim = session.claim
        if claim is not None and (
            verdict.rule != claim.rule or countedIn(user) != countedIn(was.user)
        ):
            session.recount(verdict.rule)

    def recount(self) -> None:
        """
        Count every live session by the limits of now. Octets that may go then
        may be the last of a session, or of several.
        """
        for session in self._gateway.sessions:
            if session.claim is not None:
                try:
                    session.recount(session.claim.rule)
                except Exception as e:
                    defect("the count of a session", e)
                    session.client.end(Revoked("it could not be counted again"))

    def cut(self) -> None:
        """
        End whatever lives on a quota that is used up.
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
                # The others' quotas end, too.
                _log.failure("a session could not be ended")
