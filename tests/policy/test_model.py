"""
The compiled rules against a naive reading of the same configuration, and found
by the index against asked one by one.
"""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.schema import Config
from socksgw.policy import index
from socksgw.policy.document import Compiler
from socksgw.policy.questions import Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from tests.fakes.policy import Somebody
from tests.policy.naive import (
    ADDRESSES,
    FACTS,
    PORTS,
    compile_,
    configurations,
    questions,
    reference,
    reported,
)


@settings(deadline=None, max_examples=150)
@given(configurations(), st.lists(questions(), min_size=1, max_size=4))
def test_judgeAgreesWithTheNaiveReading(
    config: Config, asked: list[tuple[Question, Somebody]]
) -> None:
    """
    For any rules, any question and any address: the same answer, by the same
    rule; the rules that only report are those before it; and C{hopeless} says deny only where no address at all is
    allowed.
    """
    ruleset = compile_(config)
    for question, user in asked:
        anyAllowed = False
        for text in ADDRESSES:
            address = Address.parse(text)
            verdict = ruleset.judge(question, address)
            found = (verdict.allowed, verdict.rule)
            assert found == reference(config, question, address, user)
            anyAllowed = anyAllowed or verdict.allowed
            if verdict.rule != "never":
                said = reported(config, question, address, user)
                assert ruleset.reports(question, address) == said
        if question.name is not None and anyAllowed:
            assert ruleset.hopeless(question) is None


@settings(deadline=None, max_examples=150)
@given(configurations(), questions())
def test_anUnreachableRuleReallyNeverDecides(
    config: Config, asked: tuple[Question, Somebody]
) -> None:
    """
    Where the compiler says that a rule can never match, it never does (but
    where nobody could be allowed what it denies).
    """
    found = Compiler(config, FACTS).compile()
    unreachable = {
        config.rule[int(error.path[5:-1])].id
        for error in found.errors
        if "can never match: everything" in error.text
    }
    question, _ = asked
    for text in ADDRESSES:
        verdict = found.ruleset.judge(question, Address.parse(text))
        if question.command != "resolve" or verdict.allowed:
            assert verdict.rule not in unreachable
    for text in ("0.0.0.0", "::"):
        anybody = Question(question.asker, "bind", None, 0, question.at)
        verdict = found.ruleset.awaited(anybody, Address.parse(text))
        assert not verdict.allowed or verdict.rule not in unreachable


def said(verdict: Verdict | None) -> tuple[bool, str, str] | None:
    """What of a verdict counts."""
    return None if verdict is None else (verdict.allowed, verdict.rule, verdict.why)


@settings(deadline=None, max_examples=200)
@given(configurations(80), st.lists(questions(), min_size=1, max_size=4))
def test_whatIsFoundByTheIndexDecidesAsAllRulesDo(
    config: Config, asked: list[tuple[Question, Somebody]]
) -> None:
    """
    For any rules: whatever is asked of them, with port and address known or
    not, is answered by the same rule, and the same rules are unreachable.
    """
    with mock.patch.object(index, "_FEW", len(config.rule)):
        whole = Compiler(config, FACTS).compile()
    with mock.patch.object(index, "_FEW", 0), mock.patch.object(index, "_CROWD", 2):
        found = Compiler(config, FACTS).compile()
    assert found.errors == whole.errors
    for question, _ in asked:
        one, other = whole.ruleset, found.ruleset
        if question.name is not None:
            assert said(one.hopeless(question)) == said(other.hopeless(question))
        portless = question.about(question.command, 0)
        assert said(one.judge(portless, None)) == said(other.judge(portless, None))
        for text in ADDRESSES:
            address = Address.parse(text)
            for ask in (Ruleset.judge, Ruleset.awaited):
                for each in (question, portless):
                    assert said(ask(one, each, address)) == said(
                        ask(other, each, address)
                    )
            for each in (question, portless):
                assert one.reports(each, address) == other.reports(each, address)


@settings(deadline=None, max_examples=100)
@given(configurations(), questions())
def test_whatAPortAllowsThePolicyExpects(
    config: Config, asked: tuple[Question, Somebody]
) -> None:
    """
    While the port is not known yet, nothing is denied that some port would be
    allowed; nor is it while nothing is known of where it goes.
    """
    ruleset = compile_(config)
    question, _ = asked
    portless = question.about(question.command, 0)
    for port in PORTS:
        question.port = port
        for text in ADDRESSES:
            address = Address.parse(text)
            if ruleset.judge(question, address).allowed:
                # What does not listen anywhere else is judged with its port.
                assert ruleset.judge(portless, None).allowed
                if "listeners" not in str(config.rule):
                    assert ruleset.judge(portless, address).allowed
