"""
Who may deny is asked about what the rules allow, about nothing else, and once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from socksgw.errors import LimitReached, NotAllowed
from socksgw.interfaces import Asker
from socksgw.policy.deciders import Asked, Opinion, shortened
from socksgw.policy.decision import Decision, Policy
from socksgw.policy.questions import Found
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC, loggedIn, question, ruleset
from tests.fakes.resolver import Scripted
from tests.tools.waiting import run

RULES = """
[[decider]]
name = "opa"
url = "http://127.0.0.1/"
[[decider]]
name = "second"
url = "http://127.0.0.1/"
listener = ["second"]
[[rule]]
id = "inside"
allow = "any"
to = ["private"]
resolving_to = ["private"]
[[rule]]
id = "free"
allow = ["connect"]
ports = [80]
[[rule]]
id = "asked"
allow = ["connect", "udp", "bind", "resolve"]
decider = "opa"
ticket = "T-1"
"""
YES, NO = Opinion(True), Opinion(False, "not today")
LOST = Opinion(True, "no answer in time", failed=True)


class Oracle:
    """
    A decider that says what the test has it say.

    @ivar asked: what it was asked.
    """

    def __init__(self, *answers: Opinion) -> None:
        self._answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    async def ask(self, question: Mapping[str, Any]) -> Opinion:
        self.asked.append(question)
        return self._answers.pop(0)


def decide(
    opa: Oracle,
    host: str,
    port: int = 443,
    command: str = "connect",
    listener: str = "main",
    second: Oracle | None = None,
    names: Scripted | None = None,
    arrive: Callable[[], None] | None = None,
    rules: str = RULES,
) -> Decision:
    """Decide one request."""
    policy = Policy(
        ruleset(rules),
        names or Scripted(),
        deciders={"opa": opa, "second": second or Oracle()},
    )
    asker = Asker(loggedIn("alice", "b", "a"), Address.parse("10.0.0.7"), listener)
    try:
        where: Address | str = Address.parse(host)
    except ValueError:
        where = host
    if command == "bind":
        return run(policy.expect(asker, where, arrive))
    if command == "resolve":
        return run(policy.resolve(asker, where, arrive))
    return run(policy.decide(asker, command, where, port, arrive))


def test_whatItIsAsked() -> None:
    """All that rules could ask for, and which rule allows it."""
    opa = Oracle(YES)
    decision = decide(opa, PUBLIC)
    assert (decision.allowed, decision.rule, decision.decider) == (True, "asked", "opa")
    assert opa.asked == [
        {
            "user": "alice",
            "groups": ["a", "b"],
            "method": "userpass",
            "tag": "",
            "source": "10.0.0.7",
            "listener": "main",
            "secured": "clear",
            "command": "connect",
            "name": None,
            "addresses": [PUBLIC],
            "port": 443,
            "application": None,
            "server_name": None,
            "rule": "asked",
            "ticket": "T-1",
        }
    ]


@pytest.mark.parametrize("command", ["connect", "udp", "bind", "resolve"])
def test_aNo(command: str) -> None:
    """It is a denial of the policy, and says whose; the reply is 02."""
    decision = decide(Oracle(NO), PUBLIC, command=command)
    assert (decision.allowed, decision.rule, decision.addresses) == (
        False,
        "decider",
        (),
    )
    assert decision.why == 'decider "opa": not today (rule "asked" allows it)'
    assert (decision.decider, decision.said) == ("opa", "not today")
    assert isinstance(decision.error, NotAllowed)
    assert int(decision.error.reply or 0) == 2
    assert decision.ticket == ""


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 443), ("10.0.0.1", 443), (PUBLIC, 80)]
)
def test_whatItIsNotAskedAbout(host: str, port: int) -> None:
    """What is denied already, and what rules allow that do not name it."""
    opa = Oracle()
    decision = decide(opa, host, port)
    assert (opa.asked, decision.decider) == ([], "")


def test_someAddressesOfAName() -> None:
    """It is told those that a rule of its own allows; only these it can deny."""
    names = Scripted([PUBLIC, "10.0.0.1", "1.1.1.1"])
    opa = Oracle(NO)
    decision = decide(opa, "x.example", names=names)
    assert opa.asked[0]["name"] == "x.example"
    assert opa.asked[0]["addresses"] == [PUBLIC, "1.1.1.1"]
    assert decision.allowed
    assert (decision.rule, [each.text for each in decision.addresses]) == (
        "inside",
        ["10.0.0.1"],
    )
    assert [each.text for each, _ in decision.struck] == [PUBLIC, "1.1.1.1"]
    assert (decision.decider, decision.said) == ("opa", "not today")


def test_aNameThatAnUpstreamLooksUp() -> None:
    """There are no addresses then, and a no denies all the same."""
    rules = RULES.replace('decider = "opa"', 'decider = "opa"\nvia = ["a"]') + (
        '[[upstream]]\nname = "a"\nurl = "socks5://a"\nresolve = "there"\n'
    )
    opa = Oracle(NO)
    decision = decide(opa, "x.example", rules=rules)
    assert (opa.asked[0]["name"], opa.asked[0]["addresses"]) == ("x.example", [])
    assert (decision.allowed, decision.rule) == (False, "decider")


def test_anyListener() -> None:
    """One that says listeners is asked about what every rule allows these."""
    second = Oracle(NO)
    decision = decide(Oracle(), "10.0.0.1", listener="second", second=second)
    assert (decision.allowed, second.asked[0]["rule"]) == (False, "inside")


def test_twoOfThem() -> None:
    """Both have to agree, and a no is the last word."""
    for first, other, allowed in [(YES, YES, True), (YES, NO, False)]:
        second = Oracle(other)
        decision = decide(Oracle(first), PUBLIC, listener="second", second=second)
        assert (decision.allowed, decision.decider) == (allowed, "opa, second")
    second = Oracle()
    decision = decide(Oracle(NO), PUBLIC, listener="second", second=second)
    assert (second.asked, decision.decider) == ([], "opa")


def test_noAnswer() -> None:
    """The record says that none came, whatever is done then."""
    decision = decide(Oracle(LOST), PUBLIC)
    assert (decision.allowed, decision.said) == (
        True,
        "cannot be asked: no answer in time",
    )
    lost = Opinion(False, LOST.why, failed=True)
    assert "cannot be asked: no answer" in decide(Oracle(lost), PUBLIC).why


def test_arrival() -> None:
    """A request counts as new before its question is asked, and once."""
    arrived: list[str] = []

    def arrive() -> None:
        arrived.append("one")

    decide(Oracle(YES), PUBLIC, arrive=arrive)
    decide(Oracle(YES), "x.example", names=Scripted([PUBLIC]), arrive=arrive)
    decide(Oracle(), PUBLIC, 80, arrive=arrive)
    assert len(arrived) == 2

    def full() -> None:
        raise LimitReached("too many")

    opa = Oracle()
    decision = decide(opa, PUBLIC, arrive=full)
    assert isinstance(decision.error, LimitReached)
    assert opa.asked == []


def test_reasonsAreShort() -> None:
    """A reason is one line of the record."""
    assert shortened("a\n b\x1b\x00") == "a b??"
    assert len(shortened("x" * 5000)) == 201


def test_anotherRule() -> None:
    """Where another rule comes to allow a session, its services are asked, too."""
    opa = Oracle(NO, YES)
    policy = Policy(ruleset(RULES), Scripted(), deciders={"opa": opa})
    rules = {rule.id: rule.verdict for rule in policy.ruleset.rules}
    ask = question(user=loggedIn("alice"))
    ask.found = Found("tls", "x.example")
    target = Address.parse(PUBLIC)

    def again(before: str) -> Asked | None:
        obligations = rules[before].obligations
        asking: Any = policy.askedAgain(ask, target, rules["asked"], obligations)
        found: Any = run(asking)
        return found  # type: ignore[no-any-return]

    assert again("asked") is None
    assert opa.asked == []
    denied, allowed = again("free"), again("free")
    assert denied is not None
    assert denied.denied[target].rule == "decider"
    assert allowed is not None
    assert (allowed.denied, allowed.names) == ({}, "opa")
    assert (opa.asked[0]["application"], opa.asked[0]["server_name"]) == (
        "tls",
        "x.example",
    )
