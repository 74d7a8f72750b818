"""
What changes while sessions live: whoever is not allowed any more ends, and
nobody else, whatever fails meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as evolved
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText

from socksgw.config.defaults import defaultConfig
from socksgw.config.schema import Config
from socksgw.errors import QuotaUsedUp, Revoked
from socksgw.gateway.revocation import Revocation
from socksgw.interfaces import Asker
from socksgw.session.stage import Stage
from socksgw.wire.address import Address
from tests.fakes.changing import Changing
from tests.fakes.gateway import BOUND, CONNECT, LOGIN, Gateway, answer, well
from tests.fakes.policy import Somebody, ruleset


def result(asked: Deferred[int]) -> int:
    """What it has fired with."""
    found: list[int] = []
    asked.addCallback(found.append)
    return found[0]


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
    gateway.generation.login.gone = lambda user: "the user no longer exists"
    gateway.changes += 1
    transport.protocol.dataReceived(CONNECT)
    assert transport.value() == answer("socks5-userpass", 2)
    (line,) = gateway.lines("refused")
    assert (line["user"], line["reason"], line["why"]) == (
        "alice",
        "revoked",
        "the user no longer exists",
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


def test_whatCounts() -> None:
    """
    A reload counts as a change, and so does a store that changes, and an
    address that comes to lead here.
    """
    service = Changing(Config())
    revocation = Revocation(service)
    revocation.look()
    revocation.look()
    assert service.changes == 0
    service.login.changes += 1
    revocation.look()
    revocation.look()
    assert service.changes == 1
    service.hosts.changes += 1
    revocation.look()
    revocation.look()
    assert service.changes == 2
    revocation.changed()
    assert service.changes == 3


def test_aRuleThatEndsAsAGrantDoes() -> None:
    """The end of a rule counts, though a grant changes between it and the next look."""
    service, now = Changing(Config()), [0.0]
    service.generation.policy.ruleset = ruleset(
        '[[rule]]\nid = "a"\nallow = "any"\nuntil = 1970-01-01T00:01:00Z\n'
    )
    revocation = Revocation(service, lambda: now[0])
    revocation.look()
    now[0] = 61.0
    revocation.regranted(())
    assert service.changes == 1
    revocation.look()
    revocation.look()
    assert service.changes == 2


def test_whoCannotBeJudgedAgainEnds() -> None:
    """A session that fails to be judged ends, and the next one is judged."""
    service = Changing(Config())
    ended: list[tuple[int, str]] = []

    def session(number: int, failure: Exception) -> Any:
        def again(*_: Any) -> Any:
            raise failure

        client = SimpleNamespace(end=lambda why: ended.append((number, str(why))))
        asker = SimpleNamespace(user=1, source=2, listener=3, secured=4, tag="")
        return SimpleNamespace(
            remain=lambda generation: None,
            claim=object(), stage=Stage.RELAY, client=client, asker=asker,
            command=SimpleNamespace(again=again),
            record=SimpleNamespace(session=number),
        )  # fmt: skip

    service.sessions.begin(lambda number: session(number, RuntimeError("a defect")))
    service.sessions.begin(lambda number: session(number, Revoked("no longer")))
    with capturedLogs() as events:
        assert result(Revocation(service).recheck()) == 2
    assert ended == [(1, "it could not be judged again"), (2, "no longer")]
    assert len(events) == 1


def test_manySessionsAreJudgedInTurns() -> None:
    """Others have their turns meanwhile; who ends in one is not judged in the next."""
    service = Changing(Config())
    judged: list[int] = []
    turns: list[Callable[[], None]] = []

    def session(number: int) -> Any:
        return SimpleNamespace(
            claim=object(), stage=Stage.RELAY, record=SimpleNamespace(session=number)
        )

    for _ in range(4):
        service.sessions.begin(session)

    def judge(of: Any) -> bool:
        judged.append(of.record.session)
        return bool(of.record.session == 2)

    revocation = Revocation(service, later=turns.append, turn=0.0)
    revocation._judge = judge  # type: ignore[method-assign, assignment]
    judging = revocation.recheck()
    assert judged == [1]
    service.sessions.end(service.sessions.get(3))  # type: ignore[arg-type]
    for each in turns:
        assert not judging.called
        each()
    assert judged == [1, 2, 4]
    assert result(judging) == 1


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
    for _ in range(2):
        service.sessions.begin(session)
    with capturedLogs() as events:
        Revocation(service).cut()
    assert ended == [1, 2]
    assert len(events) == 1


def test_storesThatCannotBeRead() -> None:
    """What is wrong with files of users is recorded when that changes."""
    service = Changing(defaultConfig())
    revocation = Revocation(service)
    revocation.look()
    assert not service.lines
    for problems in ["users: line 3: not a hash"], []:
        service.login.problems = problems
        for _ in range(3):
            revocation.look()
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
        remain=lambda generation: None,
        record=SimpleNamespace(judgedAgain=lambda rule, ticket: None),
        command=SimpleNamespace(
            again=lambda session, ruleset: SimpleNamespace(
                allowed=True, rule="all", ticket=""
            )
        ),
        claim=SimpleNamespace(rule="all"),
        recount=recounted.append,
    )
    Revocation(service).check(session)
    assert recounted == (["all"] if unsure else [])


CANARY = "canary-77b0"


class Defect(Exception):
    """Nobody expects it; its text is a secret."""


def failing(*_: Any) -> Any:
    raise Defect(CANARY)


@pytest.fixture
def logged() -> Iterator[Sequence[Any]]:
    """What is logged has no secret."""
    with capturedLogs() as events:
        yield events
    assert all(CANARY not in f"{each!r}{eventAsText(each)}" for each in events)


class Live:
    """A session, or a client."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)


def test_onePartFails(logged: Sequence[Any]) -> None:
    """
    Files of a listener's TLS that nobody can read, and directories that
    cannot be asked, keep nobody in whose login has ended.
    """
    service, ended = Changing(defaultConfig()), list[str]()
    user = SimpleNamespace(name="alice", anonymous=False, expires=5.0)
    session: Any = Live(
        claim=SimpleNamespace(rule="r"),
        stage=Stage.RELAY,
        asker=SimpleNamespace(user=user),
        client=SimpleNamespace(end=lambda e: ended.append(str(e))),
    )
    service.generation.secured = {"one": SimpleNamespace(refresh=failing)}
    service.generation.login.directory = SimpleNamespace(refresh=failing, changed=())
    service.sessions.begin(lambda number: session)
    service.sessions.expiring[session] = None
    revocation = Revocation(service, lambda: 10.0)
    for _ in range(3):
        revocation.look()
    assert ended == ["the login has expired"] * 3
    assert len(logged) == 2


def test_certificateFails(logged: Sequence[Any]) -> None:
    """Whose certificate cannot be judged again is out."""
    service = Changing(defaultConfig())
    ended: list[Revoked] = []
    client = Live(identity=object(), signer=None, halfOpen=False, end=ended.append)
    service.listeners["one"] = SimpleNamespace(clients={client: None})
    service.generation.secured = {
        "one": SimpleNamespace(
            objection=failing,
            refresh=lambda: SimpleNamespace(problems=(), read=(), rejudge=True),
        )
    }
    Revocation(service).look()
    assert [str(each) for each in ended] == [
        "the client's certificate: it could not be judged again"
    ]


def test_whoCannotBeCountedAgainEnds() -> None:
    """
    By other limits a session that fails to be counted ends, the next one is
    counted: the reload is in force, and says so.
    """
    service, ended, counted = Changing(defaultConfig()), list[str](), list[int]()

    def session(number: int) -> Any:
        def recount(rule: str) -> None:
            counted.append(number)
            if number == 1:
                raise RuntimeError("a defect")

        return SimpleNamespace(
            claim=SimpleNamespace(rule="all"),
            recount=recount,
            client=SimpleNamespace(end=lambda why: ended.append(str(why))),
            record=SimpleNamespace(session=number),
        )

    for _ in range(2):
        service.sessions.begin(session)
    with capturedLogs() as events:
        Revocation(service).recount()
    assert (counted, len(events)) == ([1, 2], 1)
    assert ended == ["it could not be counted again"]
