"""
What check says of what may be granted, and by whom.
"""

from __future__ import annotations

import pytest

from tests.tools.examining import HEAD, RULE, examined, wrong

ADMIN = '[admin]\nendpoint = "unix:/run/admin.sock"\n'
MAY = '[[grants.may]]\nid = "m"\nwho = ["@staff"]\nto = ["10.0.0.0/8"]\nlike = "r"\n'


def grants(more: str = "", may: str = MAY) -> str:
    """Return a configuration that has them."""
    return f"{HEAD}{RULE}{ADMIN}[grants]\n{more}\n{may}"


def test_good() -> None:
    """Nothing is wrong, nor odd."""
    found = examined(grants('approvers = ["uid:1000"]\nticket_pattern = "I-[0-9]+"'))
    assert found.errors == []
    assert [each for each in found.warnings if "grants" in each.path] == []


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (grants('longest = "0s"'), "grants.longest", "more than 0s"),
        (grants('wait = "0s"'), "grants.wait", "more than 0s"),
        (grants('ticket_pattern = "("'), "grants.ticket_pattern", "regular expression"),
        (grants('approvers = ["bob"]'), "grants.approvers[0]", '"uid:NUMBER"'),
        (grants('approvers = ["token:x"]'), "grants.approvers[0]", "admin.token"),
        (grants(may=MAY + MAY), "grants.may[1].id", "another one's"),
        (
            grants(may=MAY.replace('like = "r"', 'like = "rr"')),
            "grants.may[0].like",
            'did you mean "r"',
        ),
        (
            grants(may=MAY.replace("@staff", "@stuff")),
            "grants.may[0].who[0]",
            "not declared",
        ),
        (grants(may=MAY.replace("10.0.0.0/8", "nets")), "grants.may[0].to[0]", "nets"),
        (grants(may=MAY + "ports = [0]\n"), "grants.may[0].ports", "65535"),
        (grants(may=MAY + 'longest = "0s"\n'), "grants.may[0].longest", "0s"),
    ],
)
def test_bad(text: str, path: str, said: str) -> None:
    """Each says where, and what to do."""
    found = dict(wrong(text))
    assert path in found, found
    assert said in found[path]


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (grants(may=""), "grants", "nothing may be granted"),
        (grants().replace(ADMIN, ""), "grants", "nobody can ask"),
        (grants("approvers = []"), "grants.approvers", "nobody can approve"),
    ],
)
def test_odd(text: str, path: str, said: str) -> None:
    """What is of no use is told."""
    found = [each for each in examined(text).warnings if each.path == path]
    assert any(said in each.text for each in found)
