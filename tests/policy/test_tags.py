"""
The C{tag} of rules.
"""

from __future__ import annotations

import pytest

from socksgw.interfaces import Asker
from socksgw.policy.questions import Question
from socksgw.policy.tags import Tags
from socksgw.wire.address import Address
from tests.fakes.policy import ALL, compiled, errors, loggedIn, rule, ruleset

HERE = Address.parse("192.0.2.7")


@pytest.mark.parametrize(
    ("words", "meant", "others"),
    [
        (["job"], ["job"], ["", "jo", "job-1", "JOB"]),
        (["job-*"], ["job-1", "job-*"], ["", "job", "job-", "xjob-1"]),
        (["*"], ["a"], [""]),
        (["a", "b*"], ["a", "bc"], ["ab", "b"]),
        ([], [], ["", "a"]),
    ],
)
def test_meant(words: list[str], meant: list[str], others: list[str]) -> None:
    """A pattern means what begins so and goes on; nothing means no tag."""
    tags = Tags(words)
    assert [each for each in meant + others if tags.covers(each)] == meant
    assert bool(tags) == bool(words)


@pytest.mark.parametrize(
    ("outer", "inner", "contains"),
    [
        (["*"], ["a", "b*"], True),
        (["a*"], ["ab", "ab*"], True),
        (["a*"], ["a"], False),
        (["a*"], ["a*"], True),
        (["a", "b"], ["b"], True),
        (["a"], ["a*"], False),
        (["ab*"], ["a*"], False),
    ],
)
def test_contains(outer: list[str], inner: list[str], contains: bool) -> None:
    """What the search for unreachable rules asks."""
    assert Tags(outer).contains(Tags(inner)) == contains


def asked(tag: str) -> Question:
    """Alice asks, with a tag."""
    asker = Asker(loggedIn("alice"), HERE, "main", "clear", tag)
    return Question(asker, "connect", None, 443)


def test_theFirstRuleDecides() -> None:
    """Also among many, where an index finds the rules."""
    some = rule("job", 'tag = ["job-*"]') + rule("release", 'tag = ["release"]')
    many = "".join(rule(f"r{i}", f'tag = ["t{i}"]') for i in range(40))
    for more in ("", many):
        rules = ruleset(
            more + some + rule("untagged", 'tag = ["*"]', 'deny = "any"') + ALL
        )
        for tag, wanted in (
            ("job-1", "job"),
            ("release", "release"),
            ("other", "untagged"),
            ("", "all"),
        ):
            verdict = rules.judge(asked(tag), Address.parse("8.8.8.8"))
            assert verdict.rule == wanted, tag


def test_unreachable() -> None:
    """A rule behind one for more tags is an error."""
    text = rule("any", 'tag = ["*"]') + rule("job", 'tag = ["job-*"]')
    ((path, said),) = errors(text)
    assert (path, '"any" before it' in said) == ("rule[1]", True)
    assert compiled(rule("job", 'tag = ["job-*"]') + rule("any", "")).errors == []


@pytest.mark.parametrize("word", ["", "a b", "jo*b", "a@b", "x" * 65, "**"])
def test_noPattern(word: str) -> None:
    """It could never match."""
    ((path, said),) = errors(rule("r", f'tag = ["ok", "{word}"]'))
    assert path == "rule[0].tag[1]"
    assert "neither a tag nor a pattern" in said
