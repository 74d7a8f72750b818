"""
What changes while the gateway runs: the configuration, users and their
groups, the hour. What is allowed no longer ends within a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.audit import process
from socksgw.config.loading import ConfigError, included
from socksgw.config.schema import Config
from socksgw.errors import Revoked
from socksgw.gateway.listeners import CannotStart
from socksgw.interfaces import Asker
from socksgw.limits.limits import countedIn
from socksgw.policy.rules import Question
from socksgw.session.stage import Stage
from socksgw.system.upkeep import Upkeep, defect

if TYPE_CHECKING:
    from socksgw.accept.certificates import ServerTLS
    from socksgw.accept.listener import Listener
    from socksgw.audit.journal import Journal
    from socksgw.gateway.generation import Generation
    from socksgw.gateway.host import HostAddresses
    from socksgw.limits.limits import Limits
    from socksgw.policy.document import Compiler
    from socksgw.session.session import Session

__all__ = ["Supervisor"]

_log = Logger()

T = TypeVar("T")

#: Stages in which a session lives on what the policy said.
_GRANTED: Final = (Stage.ROUTE, Stage.RELAY)


class Service(Protocol):
    """What supervision needs of the gateway."""

    @property
    def config(self) -> Config: ...

    @property
    def generation(self) -> Generation: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def sessions(self) -> dict[int, Session]: ...

    @property
    def expiring(self) -> dict[Session, None]: ...

    @property
    def hosts(self) -> HostAddresses: ...

    @property
    def listeners(self) -> Mapping[str, Listener]: ...

    @property
    def stopping(self) -> bool: ...

    def elsewhere(self, work: Callable[[], T]) -> Deferred[T]:
        """Have work done in a thread."""

    def compiler(self, config: Config) -> Compiler: ...

    def build(self, config: Config, compiler: Compiler) -> Generation: ...

    def change(self, config: Config, generation: Generation) -> None: ...


@final
class Supervisor:
    """
    Reloads, and judges again.

    @ivar changes: how often something has changed that verdicts depend on.
    @ivar reloads: how many there were.
    @ivar failures: how many of them changed nothing.
    """

    def __init__(
        self,
        service: Service,
        reread: Callable[[], Config] | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        @param reread: reads the configuration again.
        @param wall: seconds since the epoch.
        """
        self._service = service
        self._reread = reread
        self._wall = wall
        self._seen: object = None
        self._files: object = None
        # They had changed at the last look.
        self._unsettled = False
        self._problems: list[str] = []
        self._upkeep = Upkeep()
        self._reading: Deferred[Any] | None = None
        self._again = False
        self.changes = self.reloads = self.failures = 0

    # The configuration.

    def reload(self) -> None:
        """
        Read the configuration again; when anything is wrong with it, nothing
        changes. What takes long (parsing it, compiling its rules) is done in
        a thread; told again in the meantime, it is read again after that.
        """
        if self._reread is None:
            self.reloads += 1
            self._failed(["there is no configuration file to read again"])
        elif self._reading is not None:
            self._again = True
        else:
            self.reloads += 1
            reading = self._reading = self._service.elsewhere(self._read)
            reading.addCallback(self._changed).addErrback(self._refused)
            reading.addBoth(self._done)

    def _read(self) -> tuple[Config, object, Compiler]:
        """In a thread."""
        assert self._reread is not None
        config = self._reread()
        files = _stampsOf(config)
        compiler = self._service.compiler(config)
        compiler.prepare()
        return config, files, compiler

    def _changed(self, read: tuple[Config, object, Compiler]) -> None:
        config, files, compiler = read
        service = self._service
        if service.stopping:
            return
        generation = service.build(config, compiler)
        unchangeable = _unchangeable(service.config, config)
        service.change(config, generation)
        self.changes += 1
        self._files = files
        self._seen = self._sight()
        for line in (*generation.warnings, *unchangeable):
            _log.warn("{line}", line=line)
        ended = self.recheck()
        for name, tls in generation.secured.items():
            ended += self._recheckIdentities(name, tls)
        rules = len(generation.policy.ruleset.rules)
        service.journal.append(process.reloadedLine(rules, ended))
        _log.info(
            "reloaded: {rules} rules; {ended} sessions ended", rules=rules, ended=ended
        )

    def _refused(self, failure: Failure) -> None:
        error = failure.value
        if self._service.stopping:
            return
        if isinstance(error, ConfigError):
            self._failed(error.lines())
        elif isinstance(error, CannotStart):
            self._failed(str(error).splitlines())
        else:
            assert isinstance(error, Exception)
            defect("a reload", error)
            self._failed(["internal failure; the log says more"])

    def _done(self, _: None) -> None:
        self._reading = None
        again, self._again = self._again, False
        if again and not self._service.stopping:
            self.reload()

    def _failed(self, problems: list[str]) -> None:
        self.failures += 1
        for line in problems:
            _log.error("not reloaded: {line}", line=line)
        self._service.journal.append(process.reloadFailedLine(problems))

    # Whoever lives.

    def look(self) -> None:
        """
        Once a second: did anything change that verdicts depend on? Never
        raises.
        """
        service, do = self._service, self._upkeep.do
        if service.config.gateway.reload_on_change:
            do("the look at the configuration", self._lookAtFiles)
        for name, tls in service.generation.secured.items():
            do(f'TLS of "{name}"', partial(self._lookAtCertificates, name, tls))
        do("the look at what changed", self._lookAtChanges)
        do("the look at the files of users", self._lookAtStores)
        if service.config.gateway.enforce == "all":
            do("the look at logins that end", self._lookAtExpiry)
            do("the look at directories", self._lookAtGroups)

    def _lookAtFiles(self) -> None:
        files = _stampsOf(self._service.config)
        before, self._files = self._files, files
        if before is not None and files != before:
            # Perhaps one is being written just now; half of it may be a whole one.
            self._unsettled = True
        elif self._unsettled:
            self._unsettled = False
            self.reload()

    def _lookAtChanges(self) -> None:
        seen = self._sight()
        before, self._seen = self._seen, seen
        if before is not None and seen != before:
            self.changes += 1
            self.recheck()

    def _lookAtStores(self) -> None:
        """Record what is wrong with the files of users, when that changes."""
        problems = self._service.generation.login.problems
        if problems != self._problems:
            self._problems = problems
            self._service.journal.append(process.storesLine(problems))

    def _lookAtGroups(self) -> None:
        service = self._service
        directory = service.generation.login.directory
        if directory is not None:
            live = service.sessions.values()
            users = [s.asker.user for s in live if s.claim is not None]
            directory.refresh({user.name for user in users if not user.anonymous})
            if directory.changed:
                names, directory.changed = directory.changed, set()
                self.changes += 1
                self.recheck(names)

    def _lookAtCertificates(self, name: str, tls: ServerTLS) -> None:
        """
        Have files that changed read again, and say so; look again at those
        who are in by a certificate.
        """
        journal = self._service.journal
        changes = tls.refresh()
        if changes.problems:
            for line in changes.problems:
                _log.error('TLS of "{name}": {line}', name=name, line=line)
            journal.append(process.tlsFailedLine(name, changes.problems))
        if changes.read:
            journal.append(process.tlsReadLine(name, changes.read))
        if changes.rejudge:
            self._recheckIdentities(name, tls)

    def _recheckIdentities(self, name: str, tls: ServerTLS) -> int:
        """
        End whose certificate would not be accepted now.

        @return: how many.
        """
        service, ended = self._service, 0
        lenient = service.config.gateway.enforce != "all"
        for client in list(service.listeners[name].clients):
            if client.identity is None or (lenient and not client.halfOpen):
                continue
            try:
                why = tls.objection(client.identity, living=True)
            except Exception as e:
                defect("the look at a certificate", e)
                why = "it could not be judged again"
            if why:
                client.end(Revoked(f"the client's certificate: {why}"))
                ended += 1
        return ended

    def _lookAtExpiry(self) -> None:
        """End whose login has ended."""
        now = self._wall()
        for session in list(self._service.expiring):
            expires = session.asker.user.expires
            if expires is not None and now >= expires:
                session.client.end(Revoked("the login has expired"))

    def _sight(self) -> object:
        """Differs when verdicts may, while the configuration is the same."""
        generation = self._service.generation
        ruleset = generation.policy.ruleset
        moment = ruleset.moment(self._wall()) if ruleset.timed else None
        hosts = self._service.hosts.changes
        return moment, generation.login, generation.login.changes, hosts

    def recheck(self, names: Collection[str] | None = None) -> int:
        """
        Judge every live session again, unless the configuration says that
        only new ones count.

        @param names: only sessions of these users.
        @return: how many were ended.
        """
        service = self._service
        if service.config.gateway.enforce != "all":
            return 0
        ended = 0
        for session in list(service.sessions.values()):
            if (
                session.claim is not None
                and session.stage in _GRANTED
                and (names is None or session.asker.user.name in names)
            ):
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
        service = self._service
        if service.config.gateway.enforce != "all":
            return
        generation, was = service.generation, session.asker
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

    def cut(self) -> None:
        """
        End whatever lives on a quota that is used up.
        """
        service = self._service
        service.limits.usedUp = False
        for session in list(service.sessions.values()):
            claim = session.claim
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


def _stampsOf(config: Config) -> object:
    """
    Differs when a file of the configuration may differ.
    """
    paths = [Path(config.file)]
    for pattern in config.include:
        try:
            paths += included(config.directory, pattern)
        except ValueError:
            # The one file that it names is not there any more.
            paths.append(config.directory / pattern)
    found: list[object] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append((path, None))
        else:
            found.append((path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return found


def _unchangeable(old: Config, new: Config) -> list[str]:
    """
    What a reload does not change: a line each.
    """
    return [
        f"{new.file}: {name}: the change takes effect at the next start"
        for name, before, after in (
            ("gateway.name", old.gateway.name, new.gateway.name),
            ("gateway.state_dir", old.gateway.state_dir, new.gateway.state_dir),
            ("relay.memory", old.relay.memory, new.relay.memory),
            ("audit.journal", old.audit.journal, new.audit.journal),
            ("audit.sync", old.audit.sync, new.audit.sync),
        )
        if before != after
    ]
