"""
Questions that nobody has asked: nothing is guessed, and what is told is what
would be decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.schema import Config
from socksgw.interfaces import Asker
from socksgw.policy.facts import Facts
from socksgw.policy.outcome import Outcome, consider
from socksgw.policy.questions import Missing, Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.special import embedded
from socksgw.policy.telling import tellable
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC, Somebody, ruleset
from tests.policy.naive import (
    ADDRESSES,
    LEVELS,
    METHODS,
    MOMENTS,
    compile_,
    configurations,
    questions,
    steps,
)

#: From the names of facts to what becomes of them.
Changes = dict[str, Any]
#: What may be missing, with all that it may be.
CHOICES: dict[str, Sequence[Any]] = {
    "source": [Address.parse(text) for text in ADDRESSES[:16]],
    "listener": ["main", "second"],
    "secured": LEVELS,
    "method": METHODS,
    "at": MOMENTS,
}


def factsOf(question: Question, user: Somebody, address: Address) -> Facts:
    """All there is to know of a question about an address."""
    asker = question.asker
    return Facts(
        user=user.name,
        groups=user.groups,
        command=question.command,
        name=question.name,
        port=question.port,
        addresses=(address,),
        method=user.method,
        source=asker.source,
        listener=asker.listener,
        secured=asker.secured,
        at=question.at,
        tag=asker.tag,
    )


def askedBy(user: Somebody, question: Question) -> Question:
    """The same question of another user."""
    asker = question.asker
    assert asker.source is not None
    assert asker.listener is not None
    assert asker.secured is not None
    assert asker.tag is not None
    return Question(
        Asker(user, asker.source, asker.listener, asker.secured, asker.tag),
        question.command,
        question.name,
        question.port,
        question.at,
    )


def toLiteral(text: str, user: str = "anonymous") -> Facts:
    """What is known of a CONNECT to an address, and no more."""
    return Facts(
        user=user,
        groups=frozenset(),
        command="connect",
        name=None,
        port=443,
        addresses=(Address.parse(text),),
    )


def considered(ruleset: Ruleset, facts: Facts) -> tuple[bool, str] | str:
    """
    The verdict, or what is missing; the same whether every rule is told of or
    not.
    """
    found: list[tuple[bool, str] | str] = []
    for everyRule in (False, True):
        try:
            verdict = consider(ruleset, facts, everyRule=everyRule).verdict
            found.append((verdict.allowed, verdict.rule))
        except Missing as e:
            found.append(e.fact)
    assert found[0] == found[1]
    return found[0]


def live(rules: Ruleset, question: Question, address: Address) -> Verdict:
    """What a live request is judged by."""
    if question.command == "resolve":
        portless = Question(question.asker, "resolve", question.name, 0, question.at)
        return tellable(rules.judge, portless)(address)
    if question.port == 0 or (question.command == "bind" and address.isUnspecified):
        return rules.awaited(question, address)
    return rules.judge(question, address)


@settings(deadline=None, max_examples=100)
@given(configurations(), st.lists(questions(sure=True), min_size=1, max_size=3))
def test_explainAgreesWithTheDecision(
    config: Config, asked: list[tuple[Question, Somebody]]
) -> None:
    """
    Where every fact is known, the verdict is that of a live request; the rules
    told of, and the conditions that do not hold, are those of a naive reading.
    """
    rules = compile_(config)
    for question, user in asked:
        if user.name == "anonymous" and user.method != "none":
            # There is no such user here.
            continue
        if question.command == "bind" and question.port == 80:
            # The peer's port, which is not known yet.
            question.port = 0
        for text in ADDRESSES:
            address = Address.parse(text)
            verdict = live(rules, question, address)
            facts = factsOf(question, user, address)
            assert considered(rules, facts) == (verdict.allowed, verdict.rule)
            outcome = consider(rules, facts)
            assert (outcome.addresses == (address,)) is verdict.allowed
            if question.command == "resolve":
                continue
            if verdict.rule != "never" and not embedded(address):
                if not question.port or address.isUnspecified:
                    continue
                told = [(step.rule, step.unmet) for step in outcome.steps[0][1]]
                assert told == steps(config, question, address, user)


@settings(deadline=None, max_examples=150)
@given(
    configurations(),
    questions(sure=True),
    st.sampled_from(ADDRESSES),
    st.lists(st.sampled_from(list(CHOICES)), min_size=1, max_size=2, unique=True),
)
def test_whatIsToldWithoutAFactHoldsWhateverTheFactIs(
    config: Config, asked: tuple[Question, Somebody], text: str, without: list[str]
) -> None:
    """
    Either it is said which fact is missing, or the verdict is that of every
    request that the facts given could be of.
    """
    rules = compile_(config)
    user: Any
    question, user = asked
    if question.command == "bind" and question.port == 80:
        question.port = 0
    if user.name == "anonymous":
        user = Somebody()
        question = askedBy(user, question)
    facts = factsOf(question, user, Address.parse(text))
    for name in without:
        facts = evolve(facts, **Changes({name: None}))
    told = considered(rules, facts)
    if isinstance(told, str):
        return
    every = [facts]
    for name in without:
        every = [evolve(f, **Changes({name: v})) for f in every for v in CHOICES[name]]
    for each in every:
        found = considered(rules, each)
        assert not isinstance(found, str)
        assert found[0] is told[0]


def test_whatAnAddressWrapsMayDependOnWhatIsMissing() -> None:
    """Not even of the inside of an address is anything guessed."""
    rules = ruleset(
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["private"]\nfrom = ["10.0.0.0/8"]\n'
        '[[rule]]\nid = "all"\nallow = "any"\n'
    )
    facts = toLiteral("64:ff9b::192.168.1.1")
    assert considered(rules, facts) == "from"
    source = Address.parse("10.0.0.1")
    assert considered(rules, evolve(facts, source=source)) == (False, "no")


def test_manyRulesMayDependOnWhatIsMissing() -> None:
    """As many as there are."""
    text = "".join(
        f'[[rule]]\nid = "r{i}"\nallow = "any"\nfrom = ["10.0.{i // 256}.{i % 256}"]\n'
        for i in range(2000)
    )
    facts = toLiteral(PUBLIC)
    assert considered(ruleset(text), facts) == "from"
    with_ = ruleset(text + '[[rule]]\nid = "all"\nallow = "any"\n')
    outcome: Outcome = consider(with_, facts)
    assert outcome.verdict.rule == "all"
    assert len(outcome.steps[0][1]) == 2001
    with pytest.raises(Missing, match="from"):
        consider(ruleset(text), facts, everyRule=False)


@pytest.mark.parametrize(
    "line", ["from = []", "listener = []", "method = []", "secured = []", "during = []"]
)
def test_anEmptyListDependsOnNothing(line: str) -> None:
    """It matches nothing, whatever is not known; and any source is any source."""
    rules = ruleset(
        f'[[rule]]\nid = "none"\ndeny = "any"\n{line}\n'
        '[[rule]]\nid = "all"\nallow = "any"\nfrom = ["any"]\n'
    )
    facts = toLiteral(PUBLIC, user="alice")
    assert considered(rules, facts) == (True, "all")


@settings(deadline=None, max_examples=100)
@given(
    configurations(),
    questions(sure=True),
    st.lists(st.sampled_from(list(CHOICES)), max_size=2, unique=True),
)
def test_associations(
    config: Config, asked: tuple[Question, Somebody], without: list[str]
) -> None:
    """What is said of an association is what a live one is told."""
    rules = compile_(config)
    question, user = asked
    if user.name == "anonymous":
        user = Somebody()
        question = askedBy(user, question)
    facts = evolve(
        factsOf(question, user, Address.parse(PUBLIC)),
        command="udp", name=None, port=0, addresses=(),
    )  # fmt: skip
    live_ = rules.judge(Question(question.asker, "udp", None, 0, question.at), None)
    assert considered(rules, facts) == (live_.allowed, live_.rule)
    less = evolve(facts, **Changes(dict.fromkeys(without)))
    told = considered(rules, less)
    if not isinstance(told, str):
        assert told[0] is live_.allowed


def test_whichRuleDecidesMayBeInDoubt() -> None:
    """What is decided is plain, by which rule is not: that is said, too."""
    rules = ruleset(
        '[[rule]]\nid = "a"\nallow = "any"\nfrom = ["10.0.0.0/8"]\n'
        '[[rule]]\nid = "b"\nallow = "any"\nports = [443]\n'
    )
    facts = toLiteral(PUBLIC)
    outcome = consider(rules, facts)
    assert (outcome.verdict.allowed, outcome.verdict.rule) == (True, "b")
    assert outcome.doubt == "from"
    known = evolve(facts, source=Address.parse("192.0.2.1"))
    assert consider(rules, known).doubt is None
