"""
Rules by what a session carries: before that is known, and then.
"""

from __future__ import annotations

import pytest

from socksgw.policy.questions import UNSEEN, Found, Question
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC, errors, question, ruleset

ADDRESS = Address.parse(str(PUBLIC))
TLS = 'allow = ["connect"]\napplication = ["tls"]\nserver_name = ["*.x.example"]\n'
NO_SSH = 'deny = ["connect"]\napplication = ["ssh"]\n'
ANY = 'allow = ["connect"]\n'


def judged(
    rules: list[str], found: Found | None = None, command: str = "connect"
) -> tuple[bool, str, bool]:
    text = "".join(f'[[rule]]\nid = "r{i}"\n{each}' for i, each in enumerate(rules))
    asked = question(command=command)
    asked = Question(asked.asker, command, None, 443, None, found)
    verdict = ruleset(text).judge(asked, ADDRESS)
    return verdict.allowed, verdict.rule, verdict.pending


def test_unknown() -> None:
    """A session is looked at only where that may change which rule decides."""
    assert judged([TLS]) == (True, "r0", True)
    assert judged([NO_SSH]) == (False, "default", False)
    assert judged([NO_SSH, ANY]) == (True, "r1", True)
    assert judged([NO_SSH + "ports = [22]\n", ANY]) == (True, "r1", False)
    assert judged([TLS], command="bind") == (False, "default", False)


@pytest.mark.parametrize(
    ("found", "first", "second"),
    [
        (Found("tls", "a.x.example"), (True, "r0"), (True, "r1")),
        (Found("tls", "x.example"), (False, "default"), (True, "r1")),
        (Found("ssh", ""), (False, "default"), (False, "r0")),
        (Found("other", ""), (False, "default"), (True, "r1")),
        (UNSEEN, (False, "default"), (False, "r0")),
    ],
)
def test_known(found: Found, first: tuple[bool, str], second: tuple[bool, str]) -> None:
    """What cannot be told allows nothing, and is denied by a rule for any of it."""
    assert judged([TLS], found) == (*first, False)
    assert judged([NO_SSH, ANY], found) == (*second, False)


def test_aRuleIsNotShadowedByOneForSomeApplications() -> None:
    """Nor is one for a name by one for another; by one for all of them it is."""
    text = '[[rule]]\nid = "a"\n%s[[rule]]\nid = "b"\n%s'
    assert errors(text % (TLS, ANY)) == []
    assert errors(text % (ANY, TLS)) != []
