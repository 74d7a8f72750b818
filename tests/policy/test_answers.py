"""
What a rule answers to a question: yes, no, or which unknown facts it depends on.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from socksgw.policy.answers import (
    AT,
    FROM,
    GROUPS,
    KEEPS_ALLOWING,
    LISTENER,
    METHOD,
    PORTS,
    SECURED,
    TAG,
    TO,
    YES,
    Answer,
    missing,
    unknown,
)
from socksgw.policy.questions import Question, Supposed
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC, ruleset

HEAD = (
    '[groups]\nstaff = { directory = ["cn=staff"] }\n[services]\nweb = ["tcp/443"]\n'
    '[schedules]\nnight = { hours = "22:00-06:00" }\n'
)


@dataclass(frozen=True)
class Person:
    """A user, of whom even the method may be unknown."""

    name: str = "alice"
    anonymous: bool = False
    groups: frozenset[str] = frozenset()
    method: str | None = None
    unsure: frozenset[str] = frozenset({"staff"})
    doubt: str = ""


@dataclass(frozen=True)
class Unknown:
    """A client of which nothing is known but the user's name."""

    user: Person = Person()
    source: Address | None = None
    listener: str | None = None
    secured: str | None = None
    tag: str | None = None


def answered(
    lines: str, *, name: str | None = None, port: int = 0, address: str = ""
) -> Answer:
    """What a rule that denies answers, when nothing else is known."""
    (rule,) = ruleset(f'{HEAD}[[rule]]\nid = "r"\ndeny = ["connect"]\n{lines}').rules
    question = Supposed(Unknown(), "connect", name, port)
    return rule.answer(question, Address.parse(address) if address else None)


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ("", YES),
        ('who = ["alice"]', YES),
        ('who = ["@staff"]', GROUPS),
        ('who = ["bob"]', "who"),
        ('listener = ["main"]', LISTENER),
        ('tag = ["job"]', TAG),
        ("tag = []", "tag"),
        ('from = ["10.0.0.0/8"]', FROM),
        ('from = ["any"]', YES),
        ('method = "userpass"', METHOD),
        ('secured = "clear"', SECURED),
        ('during = ["night"]', AT),
        ("until = 2999-01-01T00:00:00Z", AT),
        ("ports = [443]", PORTS),
        ('services = ["web"]', PORTS),
        ('to = ["10.0.0.0/8"]', TO),
        ('to = ["any"]', YES),
        ('to = ["=x.test"]', YES),
        ('to = ["=y.test"]', "to"),
        ('resolving_to = ["10.0.0.0/8"]', TO),
        ('asked_by = "address"', "asked_by"),
        # What is unknown adds up, and one condition that fails decides.
        ('listener = ["main"]\nfrom = ["10.0.0.0/8"]', LISTENER | FROM),
        ('listener = ["main"]\nto = ["=y.test"]', "to"),
        ('who = ["@staff"]\nlistener = ["main"]\nports = []', "ports"),
    ],
)
def test_eachUnknownFact(lines: str, answer: Answer) -> None:
    """It is told by the conditions that ask for it, unless another one fails."""
    assert answered(lines, name="x.test") == answer


@pytest.mark.parametrize(
    "key",
    ["listener", "from", "method", "secured", "during", "ports", "services", "to"],
)
def test_anEmptyConditionFails(key: str) -> None:
    """Whatever is unknown."""
    assert answered(f"{key} = []", name="x.test") == key


def test_anAllowByNameIsForPublicAddresses() -> None:
    """So before the look-up it depends on the address, and then on its kind."""
    (rule,) = ruleset(
        f'{HEAD}[[rule]]\nid = "r"\nallow = ["connect"]\nto = ["=x.test"]'
    ).rules
    question = Supposed(Unknown(), "connect", "x.test", 443)
    assert rule.answer(question, None) == TO
    assert rule.answer(question, Address.parse(PUBLIC)) == YES
    assert rule.answer(question, Address.parse("10.0.0.1")) == "resolving_to"


def test_whatAnAssociationMayLeadToIsUnknown() -> None:
    """Also to a rule by name."""
    assert answered('to = ["=x.test"]') == TO
    assert answered('to = ["any"]') == TO


def test_whatIsMissing() -> None:
    """What has to be told; not what a live request does not know yet either."""
    assert missing(True, YES) is None
    assert missing(True, "ports") is None
    assert missing(True, PORTS | TO) is None
    assert missing(True, FROM | PORTS) == "from"
    assert missing(False, FROM | LISTENER) == "listener"
    # It denies nothing while the port is unknown.
    assert missing(False, FROM | PORTS) is None
    assert unknown(AT | TO) == "at"


def test_groupsThatAreUnknownDeny() -> None:
    """Of a live request, and never allow; of a supposed one they have to be told."""
    assert not GROUPS & Question.keepsDenying
    assert GROUPS & Supposed.keepsDenying
    assert GROUPS & KEEPS_ALLOWING
