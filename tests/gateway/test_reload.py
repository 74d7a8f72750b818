"""
What changes while sessions live: reloads that fail by a defect, and changes
that come while a session is in the middle of something.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace as evolved
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksgw.config.convert import ConfigError
from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import loads
from socksgw.config.schema import Config, GatewayConfig, Limit, Timeouts
from socksgw.errors import QuotaUsedUp, Revoked
from socksgw.gateway.gateway import Gateway as Service
from socksgw.gateway.reload import Supervisor
from socksgw.interfaces import Asker
from socksgw.session.stage import Stage
from socksgw.system import files
from socksgw.wire.address import Address
from tests.fakes.gateway import BOUND, CONNECT, LOGIN, Gateway, answer, well
from tests.fakes.policy import Somebody, ruleset


@pytest.fixture
def gateway() -> Any:
    """The parts of a gateway, with a recheck that tells of itself."""
    made: Any = Gateway()
    made.recheck = lambda session: made.happened.append(("recheck",))
    yield made
    well(made)


def test_aUserWhoIsRemovedBeforeTheRequest(gateway: Any) -> None:
    """Who has logged in, and is there no longer, is refused, and recorded."""
    transport = gateway.connect(b"\x05\x01\x02" + LOGIN)
    gateway.generation.login.now = lambda user: None
    gateway.changes += 1
    transport.protocol.dataReceived(CONNECT)
    assert transport.value() == answer("socks5-userpass", 2)
    (line,) = gateway.lines("refused")
    assert (line["user"], line["reason"], line["why"]) == (
        "alice",
        "revoked",
        "the user is there no longer",
    )
    assert "decide" not in gateway.order


def test_aChangeBeforeTheRequest(gateway: Any) -> None:
    """The request is judged by the rules of its own time, as today's user."""
    transport = gateway.connect(b"\x05\x01\x02" + LOGIN)
    before, asked = gateway.generation, []

    async def decide(asker: Any, *question: Any) -> Any:
        asked.append(asker.user)
        return await before.policy.decide(asker, *question)

    after = SimpleNamespace(**vars(before))
    after.policy = SimpleNamespace(decide=decide)
    promoted = SimpleNamespace(
        name="alice", method="userpass", groups=frozenset("g"), expires=None
    )
    after.login = SimpleNamespace(now=lambda user: promoted)
    gateway.generation = after
    gateway.changes += 1
    transport.protocol.dataReceived(CONNECT)
    assert asked == [promoted]
    assert transport.value() == answer("socks5-userpass", 0, BOUND)
    assert "recheck" not in gateway.order
    assert gateway.lines("decision")[0]["verdict"] == "allow"


@pytest.mark.parametrize("step", ["policy", "audit"])
def test_aChangeInTheMiddle(gateway: Any, step: str) -> None:
    """
    What changes between the verdict and the dial counts: nothing is dialled
    that has not been judged again.
    """
    waiting: Deferred[None] = Deferred()
    gateway.steps[step] = waiting
    gateway.connect(b"\x05\x01\x00" + CONNECT)
    gateway.changes += 1
    waiting.callback(None)
    order = gateway.order
    assert order.index("recheck") < order.index("dial")


def test_aChangeInTheMiddleThatDenies(gateway: Any) -> None:
    """Then nothing is dialled."""

    def recheck(session: Any) -> None:
        raise Revoked("no longer")

    gateway.recheck = recheck
    waiting: Deferred[None] = Deferred()
    gateway.steps["audit"] = waiting
    transport = gateway.connect(b"\x05\x01\x00" + CONNECT)
    gateway.changes += 1
    waiting.callback(None)
    assert "dial" not in gateway.order
    assert transport.value() == answer("socks5", 2)
    assert gateway.lines("end")[0]["why"] == "no longer"


class Changing:
    """What supervision needs of a gateway."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.lines: list[str] = []
        self.later: list[Deferred[Any]] | None = None
        self.journal: Any = SimpleNamespace(append=self.lines.append)
        self.sessions: dict[int, Any] = {}
        self.expiring: dict[Any, None] = {}
        self.hosts: Any = SimpleNamespace(changes=0)
        self.listeners: dict[str, Any] = {}
        self.limits: Any = SimpleNamespace(usedUp=True)
        policy = SimpleNamespace(ruleset=ruleset('[[rule]]\nid = "a"\nallow = "any"'))
        self.login: Any = SimpleNamespace(
            changes=0, now=lambda user: user, directory=None, problems=[]
        )
        self.generation: Any = SimpleNamespace(
            policy=policy, login=self.login, warnings=[], secured={}
        )

    stopping = False

    def elsewhere(self, work: Callable[[], Any]) -> Deferred[Any]:
        """A thread that is done when the test says so, or at once."""
        if self.later is None:
            return maybeDeferred(work)
        self.later.append(Deferred().addCallback(lambda _: work()))
        return self.later[-1]

    def compiler(self, config: Config) -> Any:
        return SimpleNamespace(prepare=lambda: None)

    def build(self, config: Config, compiler: Any) -> Any:
        return self.generation

    def change(self, config: Config, generation: Any) -> None:
        self.config = config


def test_aReloadThatFailsByADefect() -> None:
    """Nothing changes, the log has it, and the journal says so."""
    service = Changing(Config())

    def reread() -> Config:
        raise RuntimeError("a defect")

    supervisor = Supervisor(service, reread)
    with capturedLogs() as events:
        supervisor.reload()
    assert any("by a defect" in str(e.get("log_format")) for e in events)
    assert (supervisor.reloads, supervisor.failures, supervisor.changes) == (1, 1, 0)
    assert service.lines == [
        '"event":"reload-failed","problems":["internal failure; the log says more"]'
    ]


def test_aReloadThatIsAskedForDuringAnother() -> None:
    """What changes while the file is read is read after that, once."""
    read: list[Config] = []
    service = Changing(Config())
    service.later = []

    def reread() -> Config:
        read.append(Config())
        return read[-1]

    supervisor = Supervisor(service, reread)
    for _ in range(3):
        supervisor.reload()
    assert (len(service.later), supervisor.reloads) == (1, 1)
    service.later[0].callback(None)
    assert service.config is read[0]
    assert (len(service.later), supervisor.reloads) == (2, 2)
    service.later[1].callback(None)
    assert service.config is read[1]
    assert len(service.later) == 2


def test_aReloadThatComesTooLate() -> None:
    """Who is told to stop while the file is read does not change any more."""
    config = Config()
    service = Changing(config)
    service.later = []
    supervisor = Supervisor(service, Config)
    supervisor.reload()
    supervisor.reload()
    service.stopping = True
    service.later[0].callback(None)
    assert service.config is config
    assert service.lines == []
    assert len(service.later) == 1


def test_whatCounts() -> None:
    """
    A reload counts as a change, and so does a store that changes, and an
    address that comes to lead here.
    """
    config = Config()
    service = Changing(config)
    supervisor = Supervisor(service, lambda: config)
    supervisor.look()
    supervisor.look()
    assert supervisor.changes == 0
    service.login.changes += 1
    supervisor.look()
    supervisor.look()
    assert supervisor.changes == 1
    service.hosts.changes += 1
    supervisor.look()
    supervisor.look()
    assert supervisor.changes == 2
    supervisor.reload()
    assert supervisor.changes == 3


def test_whoCannotBeJudgedAgainEnds() -> None:
    """A session that fails to be judged ends, and the next one is judged."""
    service = Changing(Config())
    ended: list[tuple[int, str]] = []

    def session(number: int, failure: Exception) -> Any:
        def again(*_: Any) -> Any:
            raise failure

        client = SimpleNamespace(end=lambda why: ended.append((number, str(why))))
        asker = SimpleNamespace(user=1, source=2, listener=3, secured=4)
        return SimpleNamespace(
            claim=object(), stage=Stage.RELAY, client=client, asker=asker,
            command=SimpleNamespace(again=again), record=None,
        )  # fmt: skip

    service.sessions = {
        1: session(1, RuntimeError("a defect")),
        2: session(2, Revoked("no longer")),
    }
    supervisor = Supervisor(service, None)
    with capturedLogs() as events:
        assert supervisor.recheck() == 2
    assert ended == [(1, "it could not be judged again"), (2, "no longer")]
    assert len(events) == 1


def test_whoCannotBeCutKeepsNobody() -> None:
    """A session that fails to be ended at its quota's end is not the last."""
    ended: list[int] = []

    def session(number: int) -> Any:
        def end(why: Exception) -> None:
            ended.append(number)
            if number == 1:
                raise RuntimeError("a defect")

        over = QuotaUsedUp("over")
        return SimpleNamespace(
            claim=SimpleNamespace(over=over), client=SimpleNamespace(end=end)
        )

    service = Changing(Config())
    service.sessions = {number: session(number) for number in (1, 2)}
    with capturedLogs() as events:
        Supervisor(service, None).cut()
    assert ended == [1, 2]
    assert len(events) == 1


@pytest.mark.parametrize(
    "what",
    [
        "_supervisor.look",
        "_supervisor.cut",
        "_quotas.save",
        "_counters.sweep",
        "_allowances.sweep",
        "generation.login.look",
    ],
)
def test_deadlinesGoOn(tmp_path: Any, what: str) -> None:
    """
    Whatever fails that is done once in a while takes nobody's time-outs, and is
    said once.
    """
    clock = Clock()
    config = evolve(defaultConfig(), directory=tmp_path)
    service = Service(clock, config, clock=clock.seconds)
    came: list[float] = []
    service.setDeadline(5, lambda: came.append(clock.seconds()))

    def fail() -> None:
        raise RuntimeError("a defect")

    *of, name = what.split(".")
    owner: Any = service
    for each in of:
        owner = getattr(owner, each)
    setattr(owner, name, fail)
    with capturedLogs() as events:
        for _ in range(48):
            clock.advance(0.25)
            service._tick()
    assert len(came) == 1
    assert len(events) == 1


def test_whoEndsWhileLimitsChange(tmp_path: Any) -> None:
    """
    Other limits let octets go that were kept back, and with them sessions that
    waited for nothing else: the change goes on, and nobody who is over is
    counted again.
    """
    clock = Clock()
    limit = (Limit("all", sessions=5),)
    config = evolve(defaultConfig(), directory=tmp_path, limit=limit)
    service = Service(clock, config, clock=clock.seconds)
    service._doors.change = lambda listen: None  # type: ignore[method-assign]
    counted: list[int] = []
    asker: Any = SimpleNamespace(user=SimpleNamespace(name="alice"))

    class Ending:
        def __init__(self, number: int) -> None:
            self.claim: Any = service.limits.take(asker, "connect", "all")
            self.record = SimpleNamespace(session=number)

        def recount(self, rule: str) -> None:
            counted.append(self.record.session)
            for each in list(service.sessions.values()):
                service.left(each)

    service.sessions = {number: Ending(number) for number in (1, 2)}  # type: ignore[misc]
    compiler = service.compiler(config)
    compiler.prepare()
    service.change(config, service.build(config, compiler))
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
    service = Service(clock, config, clock=clock.seconds)
    service._doors.change = lambda listen: None  # type: ignore[method-assign]
    other = evolve(config, gateway=GatewayConfig(), timeouts=Timeouts(lookup=lookup))
    compiler = service.compiler(other)
    compiler.prepare()
    with nullcontext() if lookup else pytest.raises(ConfigError):
        generation = service.build(other, compiler)
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
    supervisor = Supervisor(Changing(config), lambda: config)
    supervisor.look()
    supervisor.look()
    assert supervisor.reloads == 0
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
        supervisor.look()
        # An editor may be in the middle of it.
        assert supervisor.reloads == count - 1
        supervisor.look()
        supervisor.look()
        assert supervisor.reloads == count


def test_storesThatCannotBeRead() -> None:
    """What is wrong with files of users is recorded when that changes."""
    service = Changing(defaultConfig())
    supervisor = Supervisor(service, None)
    supervisor.look()
    assert not service.lines
    for problems in ["users: line 3: not a hash"], []:
        service.login.problems = problems
        for _ in range(3):
            supervisor.look()
    found = [json.loads("{" + line + "}") for line in service.lines]
    assert [(line["event"], line["problems"]) for line in found] == [
        ("stores", ["users: line 3: not a hash"]),
        ("stores", []),
    ]


@pytest.mark.parametrize("unsure", [frozenset(), frozenset({"staff"})])
def test_whoseGroupsAreNotKnownAnyMore(unsure: frozenset[str]) -> None:
    """The limits of these groups count the session from then on."""
    service = Changing(defaultConfig())
    before = Somebody("alice")
    service.login.now = lambda user: evolved(user, unsure=unsure)
    recounted: list[str] = []
    session: Any = SimpleNamespace(
        asker=Asker(before, Address.parse("192.0.2.7"), "lan"),
        generation=None,
        record=SimpleNamespace(judgedAgain=lambda rule, ticket: None),
        command=SimpleNamespace(
            again=lambda session, ruleset: SimpleNamespace(
                allowed=True, rule="all", ticket=""
            )
        ),
        claim=SimpleNamespace(rule="all"),
        recount=recounted.append,
    )
    Supervisor(service, None).check(session)
    assert recounted == (["all"] if unsure else [])
