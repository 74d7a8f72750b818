"""
How few rules are asked: those that a question can concern.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from unittest import mock

import pytest

from socksgw.policy.questions import Question
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC, errors, judge, loggedIn, question, ruleset

MANY = 500
TABLES = (
    '[auth]\ntag_separator = "+"\n'
    "[services]\n"
    + "".join(f's{i} = ["tcp/{1000 + i}"]\n' for i in range(MANY))
    + "[groups]\n"
    + "".join(f'g{i} = ["u{i}"]\n' for i in range(MANY))
)


def many(lines: Callable[[int], str]) -> str:
    """Many rules, each with lines of its own; without tables before them."""
    return "".join(
        f'[[rule]]\nid = "r{i}"\nallow = "any"\n{lines(i)}\n' for i in range(MANY)
    )


def concerned(rules: Ruleset, asked: Question, address: str) -> list[str]:
    """The rules that are asked about an address."""
    return [rule.id for rule in rules.index.of(asked, Address.parse(address))]


@pytest.mark.parametrize(
    ("lines", "asked", "address"),
    [
        (lambda i: f'to = ["*.x{i}.example"]', question("a.x7.example"), PUBLIC),
        (lambda i: f'to = [".x{i}.example"]', question("x7.example"), PUBLIC),
        (lambda i: f'to = ["=x{i}.example"]', question("x7.example"), PUBLIC),
        (lambda i: f'to = ["44.{i % 250}.{i // 250}.0/24"]', question(), "44.7.0.9"),
        (lambda i: f'to = ["2620:{i}::/32"]', question("a.example"), "2620:7::9"),
        (
            lambda i: f'to = ["*.x{i}.example", "44.{i % 250}.{i // 250}.0/24"]',
            question("x8.example"),
            "44.7.0.9",
        ),
        (lambda i: f'who = ["u{i}"]', question(user=loggedIn("u7")), PUBLIC),
        (
            lambda i: f'who = ["u", "@g{i}"]',
            question(user=loggedIn("v", "g7", "x")),
            PUBLIC,
        ),
        (
            lambda i: f'from = ["44.{i % 250}.{i // 250}.0/24"]',
            question(source="44.7.0.9"),
            PUBLIC,
        ),
        (lambda i: f"ports = [{i + 1000}]", question(port=1007), PUBLIC),
        (lambda i: f'services = ["s{i}"]', question(port=1007), PUBLIC),
        (lambda i: f'tag = ["job-{i}"]', question(tag="job-7"), PUBLIC),
        (lambda i: f'tag = ["job-{i}-*"]', question(tag="job-7-a"), PUBLIC),
        (lambda i: f'tag = ["job-{i}", "run-{i}-*"]', question(tag="run-7-a"), PUBLIC),
        # Two fields that find many each, and few together.
        (
            lambda i: f'who = ["u{i % 25}"]\nports = [{1000 + i // 25}]',
            question(user=loggedIn("u7"), port=1000),
            PUBLIC,
        ),
    ],
)
def test_onlyRulesThatCouldMatchAreAsked(
    lines: Callable[[int], str], asked: Question, address: str
) -> None:
    """Of five hundred rules that differ in one field, or in two, one."""
    rules = ruleset(TABLES + many(lines))
    assert concerned(rules, asked, address) == ["r7"]
    assert judge(rules, address, asked) == (True, "r7")


def test_rulesWhoseTimeItIsNotAreNotAsked() -> None:
    """Of rules that nothing else tells apart, those are asked that hold now."""
    hours = "".join(
        f'h{i} = {{ hours = "{i % 24:02d}:00-{i % 24 + 1:02d}:00" }}\n'
        for i in range(MANY)
    )
    rules = ruleset(
        many(lambda i: f'during = ["h{i}"]' if i else "ports = [22]")
        + f"[schedules]\n{hours}"
    )
    for hour in (3, 17, 3):
        with mock.patch.object(time, "time", lambda hour=hour: hour * 3600.0):
            assert concerned(rules, question(port=22), PUBLIC) == [
                f"r{i}" for i in range(MANY) if not i or i % 24 == hour
            ]
    # What is asked of another time, or of none, is answered from all.
    then = question(port=22)
    then.at = 5.0
    assert len(concerned(rules, then, PUBLIC)) == MANY


def test_rulesForEverybodyAreAskedInTheirPlace() -> None:
    """What no field tells apart is always asked, and the order stays."""
    first = '[[rule]]\nid = "first"\nallow = "any"\nsecured = "integrity"\n'
    last = '[[rule]]\nid = "last"\nallow = "any"\n'
    rules = ruleset(first + many(lambda i: f'to = ["=x{i}.example"]') + last)
    assert concerned(rules, question("x7.example"), PUBLIC) == ["first", "r7", "last"]
    assert judge(rules, PUBLIC, question("x7.example")) == (True, "r7")
    assert judge(rules, PUBLIC) == (True, "last")


def test_whatManyRulesShareIsFiledOnce() -> None:
    """
    A large network that every rule names tells none from another; users do.
    """
    networks = ", ".join(f'"44.{i // 250}.{i % 250}.0/24"' for i in range(5000))
    rules = ruleset(
        f"[networks]\nlarge = [{networks}]\n"
        + many(lambda i: f'to = ["large", "=x{i}.example"]\nwho = ["u{i}"]')
    )
    asked = question(user=loggedIn("u7"))
    assert concerned(rules, asked, "44.1.1.1") == ["r7"]
    assert judge(rules, "44.1.1.1", asked) == (True, "r7")
    assert judge(rules, "45.1.1.1", asked) == (False, "default")
    to = [rule.to.addresses for rule in rules.rules if rule.to is not None]
    assert len({id(each.networks.four[0][1]) for each in to if each is not None}) == 1


def test_aNameThatManyRulesMayLeadToIsLookedUpOrNotAsBefore() -> None:
    """
    Only what could decide for all addresses is asked: a deny of some never
    can.
    """
    deny = many(lambda i: f'to = ["44.{i % 250}.{i // 250}.0/24"]').replace(
        "allow", "deny"
    )
    rules = ruleset(deny + '[[rule]]\nid = "web"\nallow = "any"\nports = [80]\n')
    assert [r.id for r in rules.index.of(question("a.example", port=80), None)] == [
        "web"
    ]
    assert rules.hopeless(question("a.example", port=80)) is None
    denied = rules.hopeless(question("a.example", port=81))
    assert denied is not None
    assert denied.rule == "default"


def test_emptyNetworksAndServicesAreLegalAmongManyRules() -> None:
    """A rule that comes to nothing matches nothing, and is no error."""
    before = TABLES + '[networks]\nnowhere = []\nempty = ["nowhere"]\n'
    for line in ('from = ["empty"]', 'to = ["empty"]', 'resolving_to = ["nowhere"]'):
        text = before + many(lambda i: f'who = ["@g{i}"]\n?').replace("?", line)
        assert errors(text) == []
        assert judge(text, PUBLIC, question(user=loggedIn("u", "g7"))) == (
            False,
            "default",
        )
    text = "services = { none = [] }\n" + many(
        lambda i: f'who = ["u{i}"]\nservices = ["none"]'
    )
    assert errors(text) == []


@pytest.mark.parametrize("tag", ["job-7-a", "job-7-*", "job-7-a*"])
def test_tagsOfAnUnreachableRuleAreFoundAmongMany(tag: str) -> None:
    """A rule for what begins so shadows one for a tag, and one for a longer pattern."""
    text = TABLES + many(lambda i: f'tag = ["job-{i}-*"]')
    last = f'[[rule]]\nid = "last"\ndeny = "any"\ntag = ["{tag}"]\n'
    ((path, said),) = errors(text + last)
    assert path == f"rule[{MANY}]"
    assert 'rule "r7"' in said


@pytest.mark.parametrize("before", [0, 7, MANY - 1])
def test_anUnreachableRuleIsFoundAmongMany(before: int) -> None:
    """And the first of those that shadow it is named."""
    text = many(lambda i: f'to = ["*.x{i}.example", "44.0.{i // 250}.{i % 250}"]')
    last = f'[[rule]]\nid = "last"\ndeny = "any"\nto = ["44.0.{before // 250}.{before % 250}"]\n'
    ((path, said),) = errors(text + last)
    assert path == f"rule[{MANY}]"
    assert f'rule "r{before}"' in said
