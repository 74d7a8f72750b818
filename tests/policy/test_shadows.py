"""
Rules that can never match, since one before them always does.
"""

from __future__ import annotations

import pytest

from tests.fakes.policy import ALL, errors, rule

UNREACHABLE = [
    # Everything before anything.
    (ALL, rule("r", "ports = [80]")),
    (ALL, rule("r", 'deny = "any"', 'to = ["10.0.0.0/8"]')),
    (ALL, rule("r", 'who = ["alice"]', 'to = ["*.example"]')),
    (rule("d", 'deny = "any"'), rule("r")),
    (rule("c", 'allow = ["connect", "bind", "udp", "resolve"]'), rule("r")),
    (rule("c", 'allow = ["connect", "bind"]'), rule("r", 'deny = ["bind"]')),
    # Each condition within the earlier one's.
    (rule("w", 'who = ["a", "b"]'), rule("r", 'who = ["b"]')),
    (rule("w", 'who = ["users"]'), rule("r", 'who = ["alice"]')),
    (rule("w", 'who = ["users"]'), rule("r", 'who = ["@g"]')),
    (rule("w", 'who = ["anonymous", "users"]'), rule("r", 'who = ["@g"]')),
    (rule("w", 'who = ["ci:*"]'), rule("r", 'who = ["ci:a"]')),
    (rule("w", 'who = ["ci:*"]'), rule("r", 'who = ["ci:a/*", "ci:b:*"]')),
    (rule("w", 'who = ["ci:*", "b"]'), rule("r", "who = ['ci:*', 'b', 'ci:\\*']")),
    (rule("w", 'who = ["users"]'), rule("r", 'who = ["ci:*"]')),
    (rule("f", 'from = ["10.0.0.0/8"]'), rule("r", 'from = ["10.1.0.0/16"]')),
    (rule("f", 'from = ["any"]'), rule("r", 'from = ["10.1.0.0/16"]')),
    (rule("f", 'from = ["any"]'), rule("r")),
    (rule("l", 'listener = ["main", "second"]'), rule("r", 'listener = ["main"]')),
    (rule("p", 'ports = ["1-1000"]'), rule("r", 'ports = [22, "80-90"]')),
    (rule("p", 'ports = ["1-65535"]'), rule("r", "ports = [22]")),
    (rule("t", 'to = ["10.0.0.0/8"]'), rule("r", 'to = ["10.1.0.0/16", "10.2.3.4"]')),
    (rule("t", 'to = ["special"]'), rule("r", 'to = ["loopback", "multicast"]')),
    (rule("t", 'to = ["any"]'), rule("r", 'to = ["private"]')),
    (rule("t", 'to = ["any"]'), rule("r", 'to = ["*.example"]')),
    (rule("t", 'to = ["any"]'), rule("r")),
    (rule("t", 'to = [".example"]'), rule("r", 'to = ["=a.example", "*.b.example"]')),
    (rule("t", 'to = ["*.example"]'), rule("r", 'to = [".a.example"]')),
    (
        rule("t", 'deny = "any"', 'to = ["*.example"]'),
        rule("r", 'to = ["=a.example"]', 'resolving_to = ["private"]'),
    ),
    (
        rule("t", 'to = ["*.x"]', 'resolving_to = ["private"]'),
        rule("r", 'to = ["=a.x"]', 'resolving_to = ["private"]'),
    ),
]
GROUP = '[groups]\ng = ["carol"]\n'
USE = rule("use", 'who = ["@g"]', "ports = [9]", 'listener = ["second"]')
#: Rules that shadow nothing and are not shadowed: so many that all are looked
#: for in the index.
OTHERS = "".join(
    rule(f"x{i}", 'deny = ["udp"]', f'who = ["x{i}"]', f'to = ["=x{i}.example"]')
    for i in range(20)
)


@pytest.mark.parametrize("between", ["", OTHERS], ids=["few", "many"])
@pytest.mark.parametrize(("earlier", "later"), UNREACHABLE)
def test_unreachableRulesAreErrors(earlier: str, later: str, between: str) -> None:
    """A rule whose every match an earlier rule takes is an error."""
    found = errors(GROUP + between + earlier + later)
    assert [path for path, _ in found] == ["rule[21]" if between else "rule[1]"]
    assert '"r"' in found[0][1]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (rule("c", 'allow = ["connect"]'), rule("r", 'deny = ["connect", "bind"]')),
        (rule("w", 'who = ["users"]'), rule("r", 'who = ["anonymous"]')),
        (rule("w", 'who = ["ci:*"]'), rule("r", 'who = ["ci:"]')),
        (rule("w", 'who = ["ci:*"]'), rule("r", 'who = ["ci:a", "cd:a"]')),
        (rule("w", 'who = ["ci:a/*"]'), rule("r", 'who = ["ci:*"]')),
        (rule("w", "who = ['ci:\\*']"), rule("r", 'who = ["ci:*"]')),
        (rule("w", 'who = ["alice"]'), rule("r", 'who = ["users"]')),
        (rule("w", 'who = ["@g"]'), rule("r", 'who = ["carol"]')),
        (rule("w", 'who = ["users"]'), rule("r")),
        (rule("f", 'from = ["10.1.0.0/16"]'), rule("r", 'from = ["10.0.0.0/8"]')),
        (rule("l", 'listener = ["main"]'), rule("r")),
        (rule("p", "ports = [80]"), rule("r", 'ports = ["80-81"]')),
        (rule("t", 'to = ["10.1.0.0/16"]'), rule("r", 'to = ["10.0.0.0/8"]')),
        (rule("t", 'to = ["loopback"]'), rule("r", 'to = ["special"]')),
        (rule("t", 'to = ["special"]'), rule("r", 'to = ["private"]')),
        (rule("t", 'to = ["*.example"]'), rule("r", 'to = [".example"]')),
        (rule("t", 'to = ["*.example"]'), rule("r", 'to = ["10.0.0.0/8"]')),
        # The earlier allow by name leaves the inside to the later rule.
        (
            rule("t", 'to = ["*.x"]'),
            rule("r", 'to = ["*.x"]', 'resolving_to = ["private"]'),
        ),
        (rule("t", 'to = ["*.x"]'), rule("r", 'deny = "any"', 'to = ["*.x"]')),
        (
            rule("t", 'to = ["*.x"]', 'resolving_to = ["private"]'),
            rule("r", 'to = ["*.x"]'),
        ),
    ],
)
def test_reachableRulesAreNotErrors(earlier: str, later: str) -> None:
    """What an earlier rule leaves over is no error."""
    assert errors(GROUP + earlier + later) == []
    assert errors(GROUP + OTHERS + earlier + later) == []


def test_aDenyOfLookUpsIsReachableWhereARuleAllowsThem() -> None:
    """An allow of any command is none of look-ups."""
    deny = rule("r", 'deny = "any"', 'to = ["*.example"]')
    assert [path for path, _ in errors(ALL + deny)] == ["rule[1]"]
    assert errors(ALL + deny + rule("look", 'allow = ["resolve"]')) == []


@pytest.mark.parametrize("field", ["who", "from", "listener", "to", "ports"])
def test_anEmptyListIsLegalAlsoBehindAnotherRule(field: str) -> None:
    """That it matches nothing is not the earlier rule's doing."""
    other = {
        "who": '["alice"]',
        "from": '["10.0.0.0/8"]',
        "listener": '["main"]',
        "to": '["10.0.0.0/8"]',
        "ports": "[80]",
    }[field]
    text = rule("a", f"{field} = {other}") + rule("b", f"{field} = []")
    assert errors(text) == []
