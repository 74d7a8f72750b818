"""
Verdicts that are remembered, against a naive reading that remembers nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.schema import Config
from socksgw.interfaces import Asker
from socksgw.policy import index, remembered
from socksgw.policy.questions import UNSEEN, Question
from socksgw.policy.remembered import Remembered
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC, Facts, Somebody, doubted, loggedIn, ruleset
from tests.policy import naive
from tests.policy.naive import (
    ADDRESSES,
    COMMANDS,
    LEVELS,
    MOMENTS,
    NAMES,
    PORTS,
    TAGS,
    USERS,
    compile_,
    configurations,
    questions,
    reference,
)

CLIENT = Address.parse("192.0.2.1")
TARGET = Address.parse(PUBLIC)
ALICE = loggedIn("alice")


@dataclass
class Around:
    """What the test says has changed."""

    number: int | None = 0

    def seen(self, listener: str) -> int | None:
        """As L{socksgw.policy.remembered.Surroundings.seen}."""
        return self.number


def alike(question: Question) -> Iterator[Question]:
    """A live request, and others that differ from it in one fact each."""
    asker, command, name, port = (
        question.asker,
        question.command,
        question.name,
        question.port,
    )
    user, source = asker.user, asker.source
    listener, secured, tag = asker.listener, asker.secured, asker.tag

    def by(*facts: Any) -> Question:
        return Question(Asker(*facts), command, name, port)

    yield by(user, source, listener, secured, tag)
    for other in USERS:
        yield by(other, source, listener, secured, tag)
    for text in ADDRESSES[:4]:
        yield by(user, Address.parse(text), listener, secured, tag)
    for word in ("main", "second"):
        yield by(user, source, word, secured, tag)
    for word in LEVELS:
        yield by(user, source, listener, word, tag)
    for word in TAGS:
        yield by(user, source, listener, secured, word)
    for each in COMMANDS:
        yield Question(asker, each, name, port)
    for host in NAMES:
        yield Question(asker, command, host, port)
    for number in PORTS:
        yield Question(asker, command, name, number)


def elsewhere(config: Config) -> Config:
    """The same rules without the word for what nothing is remembered of."""

    def other(words: tuple[str, ...] | None) -> Any:
        return words and tuple("home" if w == "listeners" else w for w in words)

    never = evolve(
        config.never, to=other(config.never.to), also=other(config.never.also)
    )
    rules = [
        evolve(
            rule,
            from_=other(rule.from_),
            to=other(rule.to),
            resolving_to=other(rule.resolving_to),
        )
        for rule in config.rule
    ]
    return evolve(config, never=never, rule=tuple(rules))


@settings(deadline=None, max_examples=100)
@given(configurations(), questions(), st.sampled_from(ADDRESSES), st.booleans())
def test_whatIsRememberedIsWhatTheNaiveReadingSays(
    config: Config, asked: tuple[Question, Somebody], text: str, selfish: bool
) -> None:
    """
    For any rules and any questions, also such as are nearly the same, while the time
    goes on, and while this host gets and loses addresses.
    """
    config = elsewhere(config)
    around, address = Around(), Address.parse(text)
    # However few rules have times, those that do not hold are not found.
    with mock.patch.object(index, "_FEW", 0):
        verdicts = Remembered(compile_(config), around)
    for moment in (*MOMENTS, MOMENTS[0]):
        # The same two states come again and again.
        around.number = selfish = not selfish
        own = (text,) if selfish else naive.FACTS.own
        with (
            mock.patch.object(time, "time", lambda at=moment: at),
            mock.patch.object(
                Facts, "isSelf", lambda _, a, __=None, own=own: a.text in own
            ),
        ):
            for question in alike(asked[0]):
                verdict = verdicts.judge(question, address)
                question.at = moment
                user: Any = question.asker.user
                found = (verdict.allowed, verdict.rule)
                assert found == reference(config, question, address, user)


RULES = """
[[rule]]
id = "party"
allow = ["connect"]
who = ["carol"]
to = ["any"]
during = ["party"]
[[rule]]
id = "web"
allow = ["connect"]
who = ["users"]
to = ["any"]
ports = [443]
[schedules]
party = { days = ["fri"], hours = "22:00-06:00" }
"""
FROM = """
[[rule]]
id = "near"
allow = ["connect"]
from = ["192.0.2.1"]
to = ["any"]
"""
PLACED = """
[[rule]]
id = "ours"
allow = ["connect"]
to = ["listeners", "any"]
"""


def ask(
    user: Somebody = ALICE, port: int = 443, source: Address = CLIENT, **others: object
) -> Question:
    """What a client asks."""
    return Question(Asker(user, source, "main"), "connect", None, port, **others)  # type: ignore[arg-type]


@pytest.fixture
def asked() -> Iterator[mock.Mock]:
    """Counts how often the rules themselves are asked."""
    with mock.patch.object(
        Ruleset, "judge", autospec=True, side_effect=Ruleset.judge
    ) as judge:
        yield judge


def test_theSameQuestionIsAnsweredOnce(asked: mock.Mock) -> None:
    """Another user, port, name or address is another question; a source is none."""
    verdicts = Remembered(ruleset(RULES), Around())
    for _ in range(3):
        assert verdicts.judge(ask(), TARGET).rule == "web"
    assert asked.call_count == 1
    verdicts.judge(ask(source=TARGET), TARGET)
    assert asked.call_count == 1
    others = [
        ask(loggedIn("bob")),
        ask(port=80),
        ask(loggedIn("alice", "g")),
        ask(Somebody("alice", frozenset(), "gssapi")),
        Question(Asker(ALICE, CLIENT, "second"), "connect", None, 443),
        Question(Asker(ALICE, CLIENT, "main", "integrity"), "connect", None, 443),
        Question(Asker(ALICE, CLIENT, "main", tag="t"), "connect", None, 443),
        Question(ask().asker, "udp", None, 443),
        Question(ask().asker, "connect", "www.example", 443),
    ]
    for other in others:
        before = asked.call_count
        verdicts.judge(other, TARGET)
        assert asked.call_count == before + 1
    verdicts.judge(ask(), CLIENT)
    assert asked.call_count == 1 + len(others) + 1


NAMED = """
[[rule]]
id = "theirs"
deny = ["connect"]
to = ["*.theirs.example"]
[[rule]]
id = "ours"
allow = ["connect"]
to = ["=www.example", "192.0.2.0/24"]
"""


def test_namesThatNoRuleKnowsAreOne(asked: mock.Mock) -> None:
    """Each name is asked about by itself only where a rule has a pattern for it."""
    verdicts = Remembered(ruleset(NAMED), Around())
    public = Address.parse("8.8.8.8")

    def told(name: str, address: Address) -> tuple[bool, str]:
        question = Question(Asker(ALICE, CLIENT, "main"), "connect", name, 443)
        verdict = verdicts.judge(question, address)
        return verdict.allowed, verdict.rule

    for _ in range(2):
        for name in ("a.example", "b.example", "theirs.example"):
            assert told(name, public) == (False, "default")
        assert asked.call_count == 1
    assert told("www.example", public) == (True, "ours")
    assert told("a.theirs.example", public) == (False, "theirs")
    assert told("b.theirs.example", public) == (False, "theirs")
    assert asked.call_count == 4


def test_whatNoAddressCanMendIsRememberedToo() -> None:
    """And apart from what is remembered of addresses."""
    verdicts = Remembered(ruleset(NAMED), Around())
    asker = Asker(ALICE, CLIENT, "main")
    with mock.patch.object(
        Ruleset, "hopeless", autospec=True, side_effect=Ruleset.hopeless
    ) as hopeless:
        for _ in range(3):
            assert verdicts.of(asker, "connect", "a.example", 443, None) is None
            denied = verdicts.of(asker, "connect", "a.theirs.example", 443, None)
            assert denied is not None
            assert denied.rule == "theirs"
            found = verdicts.of(asker, "connect", "a.example", 443, TARGET)
            assert found.rule == "default"
    assert hopeless.call_count == 2


def test_sourcesCountWhereRulesTellThemApart(asked: mock.Mock) -> None:
    """One source is allowed, another one is not, in whatever order they come."""
    verdicts = Remembered(ruleset(FROM), Around())
    for _ in range(2):
        assert verdicts.judge(ask(), TARGET).allowed
        assert not verdicts.judge(ask(source=TARGET), TARGET).allowed
    assert asked.call_count == 2


@pytest.mark.parametrize(
    ("rules", "question"),
    [
        # Where the gateway listens may change at any moment.
        (PLACED, ask()),
        (RULES, ask(doubted("dave", "g"))),
        (RULES, ask(found=UNSEEN)),
        (RULES, ask(at=1.0)),
    ],
)
def test_whatIsNotRemembered(asked: mock.Mock, rules: str, question: Question) -> None:
    """What may change without a word is asked each time."""
    verdicts = Remembered(ruleset(rules), Around())
    for times in range(1, 4):
        verdicts.judge(question, TARGET)
        assert asked.call_count == times


def test_aRuleOfATimeIsRememberedWhileItHolds(asked: mock.Mock) -> None:
    """And while it does not; 1970-01-02 was a Friday."""
    verdicts = Remembered(ruleset(RULES), Around())
    carol = ask(loggedIn("carol"))
    friday = 24 * 3600.0
    night = friday + 22 * 3600
    for at, rule, times in [
        (friday, "web", 1),
        (night - 1, "web", 1),
        (night, "party", 2),
        (night + 8 * 3600 - 1, "party", 2),
        (night + 8 * 3600, "web", 3),
        (friday, "web", 3),
        (night, "party", 4),
    ]:
        with mock.patch.object(time, "time", lambda at=at: at):
            assert verdicts.judge(carol, TARGET).rule == rule
        assert asked.call_count == times


def test_nothingIsRememberedWhereChangesAreNotNoticed(asked: mock.Mock) -> None:
    """Nor what was found out while something changed."""
    around = Around(None)
    verdicts = Remembered(ruleset(RULES), around)
    for times in range(1, 4):
        verdicts.judge(ask(), TARGET)
        assert asked.call_count == times
    around.number = 1

    def changing(*arguments: object) -> object:
        around.number = 2
        return original(*arguments)

    original = asked.side_effect
    asked.side_effect = changing
    verdicts.judge(ask(), TARGET)
    around.number = 1
    asked.side_effect = original
    verdicts.judge(ask(), TARGET)
    assert asked.call_count == 5


def test_itIsBounded(asked: mock.Mock) -> None:
    """A client that asks for everything there is takes no more memory than that."""
    with mock.patch.object(remembered, "_MOST", 8):
        verdicts = Remembered(ruleset(RULES), Around())
        for port in range(1, 100):
            verdicts.judge(ask(port=port), TARGET)
            assert len(verdicts._known) <= 8
