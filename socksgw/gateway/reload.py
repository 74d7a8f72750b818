"""
The reload: from the configuration's files to a new generation, or to problems.

SIGHUP, watched files and other callers use the same function, which answers.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar, final

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.audit import process
from socksgw.audit.journal import Journal
from socksgw.config.loading import relisted
from socksgw.config.problems import ConfigError, Finding
from socksgw.config.schema import Config
from socksgw.gateway.foresight import foresee
from socksgw.gateway.generation import Generation
from socksgw.gateway.networks import Fresh, Networks
from socksgw.gateway.remains import Remains
from socksgw.gateway.role import Role
from socksgw.gateway.starting import CannotStart
from socksgw.gateway.watched import WatchedFiles, stampsOf, stampsOfLists
from socksgw.policy.document import Compiler
from socksgw.system.aside import collectorAside, givingWay
from socksgw.system.upkeep import Upkeep, defect

__all__ = ["STOPPING", "Answer", "Built", "Reload", "problemsOf"]

_log = Logger()

#: Warnings that are told in one turn of the reactor.
_WARNINGS: Final = 20
#: Why the system has no descriptor or memory now; later it may.
_SHORT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

T = TypeVar("T")


@frozen
class Answer:
    """
    The result of a reload.

    @ivar problems: why nothing has changed; empty when the new configuration is
        in force.
    @ivar warnings: its warnings, and the keys that take effect at the next start.
    @ivar ended: the number of sessions that were ended, as it does not allow
        them.
    """

    problems: Sequence[Finding] = ()
    warnings: Sequence[Finding] = ()
    ended: int = 0


#: The answer of a gateway that is stopping.
STOPPING: Final = Answer([Finding("", "", "the gateway is stopping")])


class Service(Protocol):
    """The parts of a gateway that a reload needs."""

    @property
    def config(self) -> Config: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def stopping(self) -> bool: ...

    @property
    def networks(self) -> Networks: ...

    def elsewhere(self, work: Callable[[], T]) -> Deferred[T]:
        """Do work in a thread."""

    def compiler(self, config: Config) -> Compiler: ...

    def build(self, config: Config, compiler: Compiler) -> Deferred[Generation]: ...

    def change(self, config: Config, generation: Generation) -> Deferred[int]: ...

    @property
    def role(self) -> Role: ...

    @property
    def remains(self) -> Remains: ...


def _nothing() -> None:
    """Do nothing, elsewhere: the reactor has its turn meanwhile."""


@frozen
class Built:
    """
    What is ready to come into force.

    @ivar stamps: of the files that it was read from.
    @ivar fresh: what was found of its networks.
    """

    config: Config
    stamps: tuple[object, object]
    generation: Generation
    fresh: Fresh


class Disagreed(Exception):
    """
    Another process cannot use a configuration.

    @ivar problems: why.
    """

    def __init__(self, problems: Sequence[Finding]) -> None:
        super().__init__()
        self.problems = problems


#: What was read.
_Read = tuple[Config, tuple[object, object], Compiler, Fresh]


@final
class Reload:
    """
    The reloads of a gateway, one at a time.

    @ivar count: the number of reloads so far.
    @ivar failures: the number of those that changed nothing.
    @ivar succeeded: the number of those after which what they read was in force.
    @ivar begins: called when one begins.
    @ivar ends: called with the answer of the last one when none follows it at once.
    """

    def __init__(self, gateway: Service, reread: Callable[[], Config] | None) -> None:
        """
        @param reread: reads the configuration again.
        """
        self._gateway = gateway
        self._reread = reread
        self._files = WatchedFiles(stampsOf)
        self._lists = WatchedFiles(stampsOfLists)
        self._lists.read(stampsOfLists(gateway.config))
        self._upkeep = Upkeep()
        # Callers that wait for the reading under way (None if there is none), and
        # those that have asked since: it may have missed their changes.
        self._asked: list[Deferred[Answer]] | None = None
        self._again: list[Deferred[Answer]] = []
        # Whether one of the latter wants more than the lists read again.
        self._wholly = False
        self.count = self.failures = self.succeeded = 0
        self.begins: Callable[[], object] = _nothing
        self.ends: Callable[[Answer], object] = lambda _: None

    def ask(self, wholly: bool = True) -> Deferred[Answer]:
        """
        Read the configuration again, and use it if nothing is wrong with it.

        Parsing it and compiling its rules take long, and are done in a thread.
        If this is called again meanwhile, the files are read once more
        afterwards, for all these calls together.

        @param wholly: whether all is read, and not only the lists of C{[networks]}.
        @return: fires with the result; never fails.
        """
        answer: Deferred[Answer] = Deferred()
        if self._asked is None:
            self._begin([answer], wholly)
        else:
            self._again.append(answer)
            self._wholly |= wholly
        return answer

    def _begin(self, asked: list[Deferred[Answer]], wholly: bool) -> None:
        self._asked = asked
        self.count += 1
        self.begins()
        reading: Deferred[Any] = self._gateway.elsewhere(partial(self._read, wholly))
        reading.addCallback(self._build)
        reading.addCallback(self._agree)
        reading.addErrback(self._failed)
        reading.addCallback(self._done)

    def _read(self, wholly: bool) -> _Read:
        """
        Read the files, compile the rules, find networks; this runs in a thread.
        """
        if self._reread is None:
            raise CannotStart("there is no configuration file to read again")
        with collectorAside(stays=True), givingWay():
            if wholly:
                return self._compiled(self._reread())
            return self._compiled(relisted(self._gateway.config))

    def _compiled(self, config: Config) -> _Read:
        stamps = stampsOf(config), stampsOfLists(config)
        foresee(config)
        compiler = self._gateway.compiler(config)
        compiler.prepare()
        # Warnings name the lines.
        for each in config.positions.values():
            each.prepare()
        return config, stamps, compiler, self._gateway.networks.prepare(config)

    def _aside(self, config: Config) -> _Read:
        with collectorAside(), givingWay():
            return self._compiled(config)

    def prepare(self, config: Config) -> Deferred[Built | None]:
        """
        Build what is to come into force, where somebody else has read the files.

        @return: fires when it is built, with L{None} from a gateway that is stopping;
            fails with what is wrong (L{problemsOf}).
        """
        building: Deferred[Any] = self._gateway.elsewhere(partial(self._aside, config))
        building.addCallback(self._build)
        return building

    def _build(self, read: _Read) -> Deferred[Built | None] | None:
        """Build a generation, in turns with everybody else."""
        config, stamps, compiler, fresh = read
        gateway = self._gateway
        if gateway.stopping:
            gateway.networks.discard(fresh)
            return None
        try:
            gateway.networks.adopt(fresh)
        except BaseException:
            gateway.networks.discard(fresh)
            raise

        def built(generation: Generation) -> Any:
            turn = gateway.elsewhere(_nothing)
            return turn.addCallback(lambda _: Built(config, stamps, generation, fresh))

        def failed(failure: Failure) -> Any:
            gateway.networks.discard(fresh)
            gateway.remains.add(config, compiler)
            return None if gateway.stopping else failure

        building: Deferred[Any] = gateway.build(config, compiler)
        building.addCallbacks(built, failed)
        return building

    def drop(self, built: Built) -> None:
        """Release what will not be used."""
        built.generation.discard()
        self._gateway.networks.discard(built.fresh)
        self._gateway.remains.add(built.config, built.generation.ruleset)

    def use(self, built: Built) -> Deferred[int]:
        """
        Have it in force.

        @return: fires with the number of sessions that it has ended.
        @raise CannotStart: as C{Gateway.change}; it is released then.
        """
        networks = self._gateway.networks
        try:
            judging = self._gateway.change(built.config, built.generation)
        except BaseException:
            networks.discard(built.fresh)
            raise
        networks.keep(built.config, built.fresh)
        return judging

    def _agree(self, built: Built | None) -> Answer | Deferred[Answer]:
        """Use what is built, if all who serve with us can."""
        if built is None:
            return STOPPING
        agreeing = self._gateway.role.agree(built.config)
        if agreeing is None:
            return self._agreed((), built)
        return agreeing.addCallback(self._agreed, built)

    def _agreed(
        self, problems: Sequence[Finding], built: Built
    ) -> Answer | Deferred[Answer]:
        gateway = self._gateway
        role, before = gateway.role, gateway.config
        if problems or gateway.stopping:
            role.forget()
            self.drop(built)
            if gateway.stopping:
                return STOPPING
            raise Disagreed(problems)
        try:
            judging = [self.use(built)]
        except BaseException:
            role.forget()
            raise
        others = role.use()
        if others is not None:
            judging.append(others)
        all_: Deferred[Any] = gatherResults(judging)
        return all_.addCallback(lambda ended: self._told(before, built, sum(ended)))

    def _told(
        self, before: Config, built: Built, ended: int
    ) -> Answer | Deferred[Answer]:
        """Tell that a generation is in force."""
        files, lists = built.stamps
        self._files.read(files)
        self._lists.read(lists)
        warnings = (*built.generation.warnings, *_unchangeable(before, built.config))
        telling = self._warn(iter(warnings))
        if telling is None:
            return self._over(built, warnings, ended)
        return telling.addCallback(lambda _: self._over(built, warnings, ended))

    def _warn(self, lines: Iterator[Finding]) -> Deferred[Any] | None:
        """
        Tell of warnings, some in each turn of the reactor: there may be thousands.

        @return: fires when all are told; L{None} where they are already.
        """
        for told, line in enumerate(lines, 1):
            _log.warn("{line}", line=str(line))
            if told == _WARNINGS:
                turn: Deferred[Any] = self._gateway.elsewhere(_nothing)
                return turn.addCallback(lambda _: self._warn(lines))
        return None

    def _over(self, built: Built, warnings: tuple[Finding, ...], ended: int) -> Answer:
        generation, gateway = built.generation, self._gateway
        self.succeeded += 1
        rules = len(generation.policy.ruleset.rules)
        gateway.journal.append(
            process.reloadedLine(rules, ended, gateway.config.digest)
        )
        _log.info(
            "reloaded: {rules} rules; {ended} sessions ended", rules=rules, ended=ended
        )
        return Answer((), warnings, ended)

    def _failed(self, failure: Failure) -> Answer:
        if self._gateway.stopping:
            return STOPPING
        problems = problemsOf(failure.value)
        lines = [str(each) for each in problems]
        self.failures += 1
        for line in lines:
            _log.error("not reloaded: {line}", line=line)
        self._gateway.journal.append(process.reloadFailedLine(lines))
        return Answer(problems)

    def _done(self, answer: Answer) -> None:
        asked, self._asked = self._asked or [], None
        again, self._again = self._again, []
        if again and not self._gateway.stopping:
            wholly, self._wholly = self._wholly, False
            self._begin(again, wholly)
            again = []
        else:
            self.ends(answer)
        for each in asked:
            each.callback(answer)
        for each in again:
            each.callback(STOPPING)

    def look(self) -> None:
        """
        Reload if a file of the configuration has changed; call it once a second.

        Lists of C{[networks]} are read again alone; all else needs
        C{gateway.reload_on_change}. It never raises.
        """
        if self._reread is not None:
            self._upkeep.do("the check of the lists", self._lookAtLists)
        if self._gateway.config.gateway.reload_on_change:
            self._upkeep.do("the check of the configuration", self._lookAtFiles)

    def _lookAtLists(self) -> None:
        if self._lists.look(self._gateway.config):
            self.ask(wholly=False)

    def _lookAtFiles(self) -> None:
        if self._files.look(self._gateway.config):
            self.ask()


def problemsOf(error: BaseException | None) -> list[Finding]:
    """Return the problems that an exception stands for."""
    if isinstance(error, ConfigError):
        return error.findings()
    if isinstance(error, CannotStart):
        return [Finding("", "", line) for line in str(error).splitlines()]
    if isinstance(error, Disagreed):
        return list(error.problems)
    if isinstance(error, OSError) and error.errno in _SHORT:
        why = f"{error.strerror}: reload again when there are fewer sessions, or allow more"
        return [Finding("", "", why)]
    assert isinstance(error, Exception)
    defect("a reload", error)
    return [Finding("", "", "internal failure; the log says more")]


def _unchangeable(old: Config, new: Config) -> list[Finding]:
    """
    Return a warning for each changed key that takes effect at the next start.
    """
    return [
        Finding(new.file, name, "the change takes effect at the next start")
        for name, before, after in (
            ("gateway.name", old.gateway.name, new.gateway.name),
            ("gateway.state_dir", old.gateway.state_dir, new.gateway.state_dir),
            ("gateway.workers", old.gateway.workers, new.gateway.workers),
            ("gateway.netns_dir", old.gateway.netns_dir, new.gateway.netns_dir),
            ("relay.memory", old.relay.memory, new.relay.memory),
            ("audit.journal", old.audit.journal, new.audit.journal),
            ("audit.sync", old.audit.sync, new.audit.sync),
            ("log.format", old.log.format, new.log.format),
            ("log.level", old.log.level, new.log.level),
        )
        if before != after
    ]
