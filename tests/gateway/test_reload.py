"""
The reload: what it answers, what it leaves as it was, and which files it watches.
"""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksgw.audit.record import SessionRecord
from socksgw.config.convert import Duration
from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import loads
from socksgw.config.problems import ConfigError, Finding, Problem
from socksgw.config.reference import tables
from socksgw.config.schema import Config, GatewayConfig, Limit, Timeouts
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.reload import STOPPING, Answer, Reload, _unchangeable
from socksgw.policy.facts import Facts
from socksgw.policy.outcome import consider
from socksgw.system import files
from socksgw.wire.address import UNSPECIFIED4, Address
from tests.fakes.changing import Changing
from tests.live.running import OPEN
from tests.tools.building import built


def test_descriptorsAreShort() -> None:
    """That is no defect: it is told what to do."""

    def reread() -> Config:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    reload, answers = Reload(Changing(Config()), reread), list[Answer]()
    with capturedLogs() as events:
        reload.ask().addCallback(answers.append)
    assert not any("by a defect" in str(e.get("log_format")) for e in events)
    (line,) = map(str, answers[0].problems)
    assert line.startswith("Too many open files: reload again when there are fewer")


def test_aReloadThatFailsByADefect() -> None:
    """Nothing changes, the log has it, and the journal and the answer say so."""
    service = Changing(Config())

    def reread() -> Config:
        raise RuntimeError("a defect")

    reload, answers = Reload(service, reread), list[Answer]()
    with capturedLogs() as events:
        reload.ask().addCallback(answers.append)
    assert any("by a defect" in str(e.get("log_format")) for e in events)
    assert (reload.count, reload.failures) == (1, 1)
    assert service.lines == [
        '"event":"reload-failed","problems":["internal failure; the log says more"]'
    ]
    (answer,) = answers
    assert [each.text for each in answer.problems] == [
        "internal failure; the log says more"
    ]


def test_aReloadThatIsAskedForDuringAnother() -> None:
    """
    What changes while the file is read is read after that, once, and those who
    asked meanwhile have the answer of that reading.
    """
    read: list[Config] = []
    service = Changing(Config())
    service.later = []

    def reread() -> Config:
        read.append(Config())
        if len(read) == 2:
            raise ConfigError("gw.toml", [Problem("rule", "is none")])
        return read[-1]

    reload = Reload(service, reread)
    answers: list[list[Answer]] = [[], [], []]
    for each in answers:
        reload.ask().addCallback(each.append)
    assert (len(service.later), reload.count) == (1, 1)
    service.later[0].callback(None)
    assert service.config is not read[0]
    # It is used in another turn than it is built.
    service.later[1].callback(None)
    assert service.config is read[0]
    assert (len(service.later), reload.count) == (3, 2)
    assert answers == [[Answer()], [], []]
    service.later[2].callback(None)
    assert service.config is read[0]
    assert answers[1] == answers[2] == [Answer([Finding("gw.toml", "rule", "is none")])]
    assert len(service.later) == 3


@pytest.mark.parametrize("turn", [0, 1], ids=["read", "built"])
def test_aReloadThatComesTooLate(turn: int) -> None:
    """
    A gateway that is told to stop while the file is read, or before what was built is
    used, does not change any more.
    """
    config = Config()
    service = Changing(config)
    service.later = []
    reload, answers = Reload(service, Config), list[Answer]()
    reload.ask().addCallback(answers.append)
    reload.ask().addCallback(answers.append)
    for _ in range(turn):
        service.later[-1].callback(None)
    service.stopping = True
    service.later[-1].callback(None)
    assert service.config is config
    assert service.lines == []
    assert len(service.later) == 1 + turn
    assert answers == [STOPPING, STOPPING]


def test_whoEndsWhileLimitsChange(tmp_path: Any) -> None:
    """
    Other limits let octets go that were kept back, and with them sessions that
    waited for nothing else: the change goes on, and nobody who is over is
    counted again.
    """
    clock = Clock()
    limit = (Limit("all", sessions=5),)
    config = evolve(defaultConfig(), directory=tmp_path, limit=limit)
    service = Gateway(clock, config, clock=clock.seconds)
    service._listeners.change = lambda listens: None  # type: ignore[method-assign]
    counted: list[int] = []
    asker: Any = SimpleNamespace(user=SimpleNamespace(name="alice"))

    class Ending:
        def __init__(self, number: int) -> None:
            self.claim: Any = service.limits.take(asker, "connect", "all")
            self.record = SessionRecord(number, "main", UNSPECIFIED4, 1080, 0.0)

        def recount(self, rule: str) -> None:
            counted.append(self.record.session)
            for each in service.sessions:
                service.left(each)

    for _ in range(2):
        service.sessions.begin(Ending)  # type: ignore[arg-type]
    service.change(config, built(service, config))
    assert counted == [1]
    assert service.limits.live == 0
    assert not list(service._counters.keys)


@pytest.mark.parametrize("lookup", [0.0, 5.0])
def test_trustIsThatOfTheConfigurationInForce(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, lookup: float
) -> None:
    """
    Groups that may read secrets are those of the configuration in force, and
    not of one that was only looked at, refused or not.
    """
    monkeypatch.setattr(files, "_groupIsOurs", lambda found: False)
    monkeypatch.setattr(files, "_trusted", set())
    secret = tmp_path / "secret"
    secret.write_bytes(b"sesame")
    secret.chmod(0o640)
    clock = Clock()
    group = (str(secret.stat().st_gid),)
    config = evolve(
        defaultConfig(), directory=tmp_path, gateway=GatewayConfig(trusted_groups=group)
    )
    service = Gateway(clock, config, clock=clock.seconds)
    service._listeners.change = lambda listens: None  # type: ignore[method-assign]
    other = evolve(
        config, gateway=GatewayConfig(), timeouts=Timeouts(lookup=Duration(lookup))
    )
    with nullcontext() if lookup else pytest.raises(ConfigError):
        generation = built(service, other)
    assert files.readSecret(secret) == b"sesame"
    if lookup:
        service.change(other, generation)
        with pytest.raises(files.FileError):
            files.readSecret(secret)


def test_includedFilesAreWatched(tmp_path: Any) -> None:
    """
    With reload_on_change the included files count, wherever they are, and so
    does one that is there no longer.
    """
    inside, outside = tmp_path / "rules.d", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "a.toml").write_text("")
    (outside / "b.toml").write_text("")
    text = (
        f'include = ["rules.d/*.toml", "{outside}/*.toml", "{outside}/b.toml"]\n'
        "[gateway]\nreload_on_change = true\n"
    )
    (tmp_path / "gw.toml").write_text(text)
    config = loads(text, str(tmp_path / "gw.toml"), tmp_path)
    reload = Reload(Changing(config), lambda: config)
    reload.look()
    reload.look()
    assert reload.count == 0
    for count, change in enumerate(
        (
            lambda: (inside / "a.toml").write_text("# more"),
            lambda: (inside / "c.toml").write_text(""),
            lambda: (outside / "b.toml").write_text("# more"),
            lambda: (outside / "b.toml").unlink(),
        ),
        1,
    ):
        change()
        reload.look()
        # An editor may be in the middle of it.
        assert reload.count == count - 1
        reload.look()
        reload.look()
        assert reload.count == count


class Turns:
    """What waits for threads, one at a time, as the test says."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any]] = []

    def elsewhere(self, work: Any) -> Deferred[Any]:
        """Keep it."""
        self.waiting.append((Deferred(), work))
        return self.waiting[-1][0]

    def take(self) -> bool:
        """Do the next; tell whether there was one."""
        if not self.waiting:
            return False
        told, work = self.waiting.pop(0)
        maybeDeferred(work).chainDeferred(told)
        return True


@pytest.mark.parametrize("meanwhile", ["stop", "drain", "reload", "file"])
def test_whatHappensBetweenTheTurns(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """
    Whenever a gateway is told to stop or to drain, or to reload again with other
    files, while it builds: the answer is that of a reload in one go, and what was built
    in vain is released.
    """
    files = [OPEN]
    gateway = Gateway(
        EPollReactor(),
        loads(OPEN, "gw.toml", tmp_path),
        reread=lambda: loads(files[0], "gw.toml", tmp_path),
    )
    closed: list[None] = []
    monkeypatch.setattr(gateway._listeners, "change", lambda listens: None)
    monkeypatch.setattr(gateway._listeners, "close", lambda: closed.append(None))
    turns = Turns()
    monkeypatch.setattr(gateway, "elsewhere", turns.elsewhere)
    for at in (0, 1, 3, 5):
        files[0] = OPEN
        before, answers = gateway.generation, list[Answer]()
        gateway.reload().addCallback(answers.append)
        for _ in range(at):
            assert turns.take()
        assert answers == []
        files[0] = OPEN.replace('id = "all"', 'id = "other"')
        if meanwhile == "stop":
            gateway.stopping = True
        elif meanwhile == "drain":
            gateway.drain()
        elif meanwhile == "reload":
            gateway.reload().addCallback(answers.append)
        while turns.take():
            pass
        assert bool(closed) == (meanwhile == "drain")
        uses = gateway._shared.pool.uses
        if meanwhile == "stop":
            assert answers == [STOPPING]
            assert gateway.generation is before
            assert [key for key in before._holding._keys if uses(key) != 1] == []
            gateway.stopping = False
            continue
        assert len(answers) == (2 if meanwhile == "reload" else 1)
        assert not any(each.problems for each in answers)
        assert gateway.generation is not before
        # The files of then, or as they are now where it had not read them.
        (rule,) = gateway.generation.ruleset.rules
        assert rule.id == ("other" if meanwhile == "reload" or at == 0 else "all")


def test_listsAreReadAgain(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A list of C{[networks]} is read again when it has changed, and nothing else is. With
    a wrong line, or without its file, the last good one goes on; so it is with a reload.
    """
    monkeypatch.setattr(Gateway, "elsewhere", lambda self, work: maybeDeferred(work))
    file, log = tmp_path / "blocked.txt", list[str]()
    file.write_text("# whom nobody needs\n203.0.113.0/24\n\n=bad.example  # really\n")
    text = OPEN.replace(
        "[[rule]]",
        '[networks]\nblocked = { file = "blocked.txt" }\n'
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["blocked"]\n[[rule]]',
        1,
    )
    whole: list[Config] = []

    def reread() -> Config:
        whole.append(loads(text, "gw.toml", tmp_path))
        return whole[-1]

    gateway = Gateway(EPollReactor(), loads(text, "gw.toml", tmp_path), reread=reread)
    monkeypatch.setattr(gateway._listeners, "change", lambda listens: None)
    monkeypatch.setattr(gateway.journal, "append", log.append)

    def deniedAfter(change: Any) -> str:
        change()
        for _ in range(3):
            gateway.reloads.look()
        ruleset = gateway.generation.ruleset
        return " ".join(
            name
            for name in ("bad.example", "worse.example")
            if consider(ruleset, _asking(name)).verdict.rule == "no"
        )

    assert deniedAfter(lambda: None) == "bad.example"
    assert gateway.reloads.count == 0
    both = "=bad.example\n.worse.example\n"
    assert deniedAfter(lambda: file.write_text(both)) == "bad.example worse.example"
    assert (gateway.reloads.count, gateway.reloads.failures) == (1, 0)
    wrong = "=worse.example\n\nhttp://bad.example/\n"
    assert deniedAfter(lambda: file.write_text(wrong)) == "bad.example worse.example"
    (said,) = [line for line in log if "reload-failed" in line]
    assert "blocked.txt:3: networks.blocked" in said
    assert deniedAfter(file.unlink) == "bad.example worse.example"
    assert "blocked.txt" in log[-1]
    answers: list[Answer] = []
    gateway.reload().addCallback(answers.append)
    assert answers[0].problems
    assert deniedAfter(lambda: None) == "bad.example worse.example"
    assert deniedAfter(lambda: file.write_text("=worse.example\n")) == "worse.example"
    # Empty is what it may be, and is told.
    with capturedLogs() as events:
        assert deniedAfter(lambda: file.write_text("# nobody\n")) == ""
    assert any("is empty" in str(each.get("line")) for each in events)
    assert whole == []
    gateway.reload().addCallback(answers.append)
    assert answers[1].problems == ()
    assert gateway.config is whole[0]


def _asking(name: str) -> Facts:
    there = (Address.parse("8.8.8.8"),)
    return Facts("anonymous", frozenset(), "connect", name, 443, there)


def addressOf(gateway: Gateway) -> set[tuple[str, int]]:
    """Where it listens."""
    return set(gateway.bound())


@pytest.mark.parametrize("where", ["start", "listen"])
def test_aGenerationThatCannotStart(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """
    When something of a new generation cannot start, or a listener cannot be
    had, nothing has changed: not the ports, not the generation, and the answer
    says why. The next reload is like any other.
    """
    reactor: Any = EPollReactor()
    monkeypatch.setattr(Gateway, "elsewhere", lambda self, work: maybeDeferred(work))
    first = loads(OPEN, "gw.toml", tmp_path)
    text = OPEN.replace('["127.0.0.1:0"]', '["127.0.0.2:0"]')
    second = loads(text, "gw.toml", tmp_path)
    second = evolve(second, timeouts=evolve(second.timeouts, lookup=Duration(7.0)))
    gateway = Gateway(reactor, first, reread=lambda: second)
    gateway.listen()
    gateway.start()
    before, generation = addressOf(gateway), gateway.generation

    def fail(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    what = (
        "socksgw.route.resolver.Resolver.start"
        if where == "start"
        else "socksgw.gateway.role.Role.address"
    )
    answers: list[Answer] = []
    with monkeypatch.context() as patch, capturedLogs():
        patch.setattr(what, fail)
        gateway.reload().addCallback(answers.append)
    assert answers[0].problems
    assert addressOf(gateway) == before
    assert (gateway.config, gateway.generation) == (first, generation)
    with capturedLogs():
        gateway.reload().addCallback(answers.append)
    assert answers[1].problems == ()
    assert {host for host, _ in addressOf(gateway)} == {"127.0.0.2"}
    stopped: list[object] = []
    gateway.stop().addBoth(stopped.append)
    while not stopped:
        reactor.iterate(0.01)


def test_whatTheAnswerSays(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    File, line, TOML path and remedy of each problem, as C{socksgw check} has
    them; and what takes effect at the next start only.
    """
    monkeypatch.setattr(Gateway, "elsewhere", lambda self, work: maybeDeferred(work))
    texts = [
        OPEN + '[[rule]]\nid = "x"\nallow = "any"\nwho = ["@nobody"]\n',
        OPEN.replace("[[listen]]", '[gateway]\nname = "other"\n[[listen]]', 1),
    ]
    clock, config = Clock(), loads(OPEN, "gw.toml", tmp_path)
    gateway = Gateway(
        clock,
        config,
        reread=lambda: loads(texts.pop(0), "gw.toml", tmp_path),
        clock=clock.seconds,
    )
    monkeypatch.setattr(gateway._listeners, "change", lambda listens: None)
    answers: list[Answer] = []
    for _ in range(2):
        with capturedLogs():
            gateway.reload().addCallback(answers.append)
    (problem,) = answers[0].problems
    assert (problem.file.partition(":")[0], problem.path) == (
        "gw.toml",
        'rule[2].who[1] ("x")',
    )
    assert "nobody" in problem.text
    assert (answers[1].problems, [str(each) for each in answers[1].warnings]) == (
        (),
        ["gw.toml: gateway.name: the change takes effect at the next start"],
    )
    without = Gateway(clock, config, clock=clock.seconds)
    with capturedLogs():
        without.reload().addCallback(answers.append)
    (problem,) = answers[2].problems
    assert problem.text == "there is no configuration file to read again"


def test_theReferenceSaysWhatAReloadDoesNotApply() -> None:
    """Each such key says that its change takes effect at the next start."""
    changed = loads(
        '[gateway]\nname = "x"\nstate_dir = "x"\nenforce = "new-only"\nnetns_dir = "x"\nworkers = 2\n'
        '[relay]\nmemory = "64MB"\n[audit]\njournal = "x"\nsync = "each"\n'
        'keep = "1d"\n',
        "f",
    )
    found = {each.path for each in _unchangeable(defaultConfig(), changed)}
    said = "takes effect at the next start."
    keys = (key for table in tables() for key in table.keys)
    assert {key.path for key in keys if said in key.meaning} == found


def test_manyWarnings() -> None:
    """Each is told once, in their order, some in a turn; then that it has reloaded."""
    service = Changing(Config())
    warnings = [Finding("gw.toml", "", f"warning {number}") for number in range(50)]
    service.generation.warnings = warnings
    reload, answers = Reload(service, Config), list[Answer]()
    service.later = []
    with capturedLogs() as events:
        reload.ask().addCallback(answers.append)
        turns = 0
        told = []
        while not answers:
            service.later[turns].callback(None)
            turns += 1
            told.append(sum("line" in each for each in events))
    # Read, built, and then twenty, forty, and the last ten.
    assert (turns, told) == (4, [0, 20, 40, 50])
    assert [each["line"] for each in events if "line" in each] == list(
        map(str, warnings)
    )
    assert answers[0].warnings == tuple(warnings)
    assert reload.succeeded == 1
    assert len(service.lines) == 1
