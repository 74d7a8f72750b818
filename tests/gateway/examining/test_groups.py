"""
What is said of C{listen.multicast} and of C{multicast} of rules.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining.groups import examineGroups
from socksgw.gateway.examining.problems import Problems

LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
{}
[listen.multicast]
{}
"""
RULE = """
[[rule]]
id = "r"
{}
multicast = {{ {} }}
"""
SERVES = LISTEN.format("", 'interface = "lo"')
ALLOW = 'allow = ["multicast"]'


def found(text: str) -> Problems:
    """Examine a configuration."""
    problems = Problems()
    examineGroups(loads(text, "gw.toml"), problems)
    return problems


@pytest.mark.parametrize(
    ("more", "keys", "path", "text"),
    [
        ("", "groups = 0", "groups", "1, at least"),
        ("", 'interface = "no such/one"', "interface", "no name of an interface"),
        ("", f'interface = "{"x" * 16}"', "interface", "no name of an interface"),
        ('netns = "blue"', 'interface = "lo"', "interface", "listener with netns"),
        ('device = "v1"', 'interface = "lo"', "interface", "listener with device"),
        (
            'protocols = ["http"]',
            'interface = "lo"',
            "interface",
            "none of its protocols",
        ),
    ],
)
def test_listeners(more: str, keys: str, path: str, text: str) -> None:
    """Each with its place and the remedy."""
    (problem,) = found(LISTEN.format(more, keys)).errors
    assert problem.path == f"listen[0].multicast.{path}"
    assert text in problem.text


@pytest.mark.parametrize(
    ("allow", "keys", "path", "text"),
    [
        (ALLOW, "send = true, ttl = 0", ".ttl", "from 1 to 255"),
        (ALLOW, "send = true, ttl = 256", ".ttl", "from 1 to 255"),
        (ALLOW, "ttl = 7", ".ttl", "nobody may send"),
        (ALLOW, 'interface = "a/b"', ".interface", "no name of an interface"),
        ('allow = ["udp"]', "send = true", "", "does not allow multicast"),
        ('allow = "any"', "send = true", "", "does not allow multicast"),
        ('deny = ["multicast"]', "send = true", "", "does not allow multicast"),
    ],
)
def test_rules(allow: str, keys: str, path: str, text: str) -> None:
    """What has no effect is an error."""
    (problem,) = found(SERVES + RULE.format(allow, keys)).errors
    assert problem.path == f"rule[0].multicast{path}"
    assert text in problem.text


def test_upstreams() -> None:
    """Groups do not go through them."""
    text = SERVES + RULE.format(f'{ALLOW}\nvia = ["a"]', "send = true")
    (problem,) = found(text).errors
    assert problem.path == "rule[0].via"


def test_warnings() -> None:
    """No listener serves groups; an interface is not there."""
    problems = found(RULE.format(ALLOW, 'interface = "none0"'))
    assert not problems.errors
    assert [each.path for each in problems.warnings] == [
        "rule[0].multicast.interface",
        "rule[0].allow",
    ]


def test_good() -> None:
    """Nothing is wrong, and nothing is odd."""
    problems = found(SERVES + RULE.format(ALLOW, "send = true, ttl = 255"))
    assert not problems.errors
    assert not problems.warnings


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("groups = 4", True),
        ("tunnels = false", True),
        ("", False),
        ("groups = 16", False),
    ],
)
def test_withoutInterface(keys: str, told: bool) -> None:
    """A listener that serves no groups has no use for what is said of them."""
    problems = found(LISTEN.format("", keys))
    assert problems.errors == []
    assert [each.path for each in problems.warnings] == (
        ["listen[0].multicast"] if told else []
    )
