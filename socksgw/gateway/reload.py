"""
The reload: from a changed configuration to another generation, or to what is
wrong. SIGHUP, watched files and whoever else asks go the same way, and each has
an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar, final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.audit import process
from socksgw.audit.journal import Journal
from socksgw.config.convert import ConfigError, Finding
from socksgw.config.schema import Config
from socksgw.gateway.generation import Generation
from socksgw.gateway.listeners import CannotStart
from socksgw.gateway.watched import WatchedFiles, stampsOf
from socksgw.policy.document import Compiler
from socksgw.system.upkeep import Upkeep, defect

__all__ = ["STOPPING", "Answer", "Reload"]

_log = Logger()

T = TypeVar("T")


@frozen
class Answer:
    """
    What a reload came to.

    @ivar problems: why nothing has changed; empty when the new configuration is
        in force.
    @ivar warnings: what is odd in it, or takes effect at the next start only.
    @ivar ended: how many sessions it does not allow.
    """

    problems: Sequence[Finding] = ()
    warnings: Sequence[Finding] = ()
    ended: int = 0


#: The answer when nothing changes any more.
STOPPING: Final = Answer([Finding("", "", "the gateway is stopping")])


class Service(Protocol):
    """What a reload needs of the gateway."""

    @property
    def config(self) -> Config: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def stopping(self) -> bool: ...

    def elsewhere(self, work: Callable[[], T]) -> Deferred[T]:
        """Have work done in a thread."""

    def compiler(self, config: Config) -> Compiler: ...

    def build(self, config: Config, compiler: Compiler) -> Generation: ...

    def change(self, config: Config, generation: Generation) -> int: ...


@final
class Reload:
    """
    Reads the configuration again.

    @ivar count: how many reloads there were.
    @ivar failures: how many of them changed nothing.
    """

    def __init__(self, gateway: Service, reread: Callable[[], Config] | None) -> None:
        """
        @param reread: reads the configuration again.
        """
        self._gateway = gateway
        self._reread = reread
        self._files = WatchedFiles()
        self._upkeep = Upkeep()
        # Who waits for the reading under way (None: there is none), and who has
        # asked since it began: it may have missed what they changed.
        self._asked: list[Deferred[Answer]] | None = None
        self._again: list[Deferred[Answer]] = []
        self.count = self.failures = 0

    def ask(self) -> Deferred[Answer]:
        """
        Read the configuration again; when anything is wrong with it, nothing
        changes. What takes long (parsing it, compiling its rules) is done in
        a thread. Asked again in the meantime, it is read once more after that,
        for all who have asked since.

        @return: fires with what came of it; never fails.
        """
        answer: Deferred[Answer] = Deferred()
        if self._asked is None:
            self._begin([answer])
        else:
            self._again.append(answer)
        return answer

    def _begin(self, asked: list[Deferred[Answer]]) -> None:
        self._asked = asked
        self.count += 1
        reading: Deferred[Any] = self._gateway.elsewhere(self._read)
        reading.addCallback(self._changed).addErrback(self._failed)
        reading.addCallback(self._done)

    def _read(self) -> tuple[Config, object, Compiler]:
        """Read and compile, in a thread."""
        if self._reread is None:
            raise CannotStart("there is no configuration file to read again")
        config = self._reread()
        stamps = stampsOf(config)
        compiler = self._gateway.compiler(config)
        compiler.prepare()
        return config, stamps, compiler

    def _changed(self, read: tuple[Config, object, Compiler]) -> Answer:
        config, stamps, compiler = read
        gateway, before = self._gateway, self._gateway.config
        if gateway.stopping:
            return STOPPING
        generation = gateway.build(config, compiler)
        ended = gateway.change(config, generation)
        self._files.read(stamps)
        warnings = (*generation.warnings, *_unchangeable(before, config))
        for line in warnings:
            _log.warn("{line}", line=str(line))
        rules = len(generation.policy.ruleset.rules)
        gateway.journal.append(process.reloadedLine(rules, ended))
        _log.info(
            "reloaded: {rules} rules; {ended} sessions ended", rules=rules, ended=ended
        )
        return Answer((), warnings, ended)

    def _failed(self, failure: Failure) -> Answer:
        if self._gateway.stopping:
            return STOPPING
        problems = _problemsOf(failure.value)
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
            self._begin(again)
            again = []
        for each in asked:
            each.callback(answer)
        for each in again:
            each.callback(STOPPING)

    def look(self) -> None:
        """
        Once a second, look whether a file of the configuration has changed,
        where the configuration asks for that. Never raises.
        """
        if self._gateway.config.gateway.reload_on_change:
            self._upkeep.do("the look at the configuration", self._lookAtFiles)

    def _lookAtFiles(self) -> None:
        if self._files.look(self._gateway.config):
            self.ask()


def _problemsOf(error: BaseException | None) -> list[Finding]:
    """Return why a reload changed nothing."""
    if isinstance(error, ConfigError):
        return error.findings()
    if isinstance(error, CannotStart):
        return [Finding("", "", line) for line in str(error).splitlines()]
    assert isinstance(error, Exception)
    defect("a reload", error)
    return [Finding("", "", "internal failure; the log says more")]


def _unchangeable(old: Config, new: Config) -> list[Finding]:
    """
    Return what a reload does not change.
    """
    return [
        Finding(new.file, name, "the change takes effect at the next start")
        for name, before, after in (
            ("gateway.name", old.gateway.name, new.gateway.name),
            ("gateway.state_dir", old.gateway.state_dir, new.gateway.state_dir),
            ("relay.memory", old.relay.memory, new.relay.memory),
            ("audit.journal", old.audit.journal, new.audit.journal),
            ("audit.sync", old.audit.sync, new.audit.sync),
        )
        if before != after
    ]
