"""
What the policy says of the commands other than CONNECT: associations, BIND,
look-ups.
"""

from __future__ import annotations

import pytest

from socksgw.errors import LookupFailed, SocksError
from socksgw.interfaces import Asker
from socksgw.policy.decision import Decision, Policy
from socksgw.policy.questions import DEFAULT, NEVER, Question
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from tests.fakes.policy import (
    ANONYMOUS,
    PUBLIC,
    PUBLIC6,
    Somebody,
    compiled,
    loggedIn,
    ruleset,
    texts,
)
from tests.fakes.resolver import Scripted
from tests.tools.waiting import run

SOURCE = Address.parse("192.168.7.7")
BOB = loggedIn("bob")


class Asking:
    """
    Who asks the policy.
    """

    def __init__(
        self, rules: str, *answers: list[str] | SocksError, user: Somebody = ANONYMOUS
    ) -> None:
        self.names = Scripted(*answers)
        self.policy = Policy(ruleset(rules), self.names)
        self.who = Asker(user, SOURCE, "main")

    def associate(self) -> Decision:
        return self.policy.associate(self.who)

    def expect(self, host: str) -> Decision:
        return run(self.policy.expect(self.who, _host(host)))

    def resolve(self, host: str) -> Decision:
        return run(self.policy.resolve(self.who, _host(host)))


def _host(text: str) -> Address | str:
    try:
        return Address.parse(text)
    except ValueError:
        return text


def rule(name: str, **fields: object) -> str:
    """A rule in TOML."""
    keys = {"sources": "from"}
    lines = [f"{keys.get(k, k)} = {_toml(v)}" for k, v in fields.items()]
    return "\n".join(["[[rule]]", f'id = "{name}"', *lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def denied(decision: Decision, rule: str = DEFAULT) -> bool:
    """Whether it is a no of the policy's, 02 to the client."""
    assert decision.addresses == ()
    return (
        not decision.allowed
        and decision.rule == rule
        and decision.error is not None
        and decision.error.reply == Reply.NOT_ALLOWED
    )


# Associations.


@pytest.mark.parametrize(
    ("rules", "allowed", "by"),
    [
        ("", False, DEFAULT),
        (rule("tcp", allow=["connect", "bind", "resolve"]), False, DEFAULT),
        (rule("one", allow=["udp"], to=[PUBLIC], ports=[53]), True, "one"),
        (rule("any", allow="any"), True, "any"),
        (rule("bob", allow=["udp"], who=["bob"]), False, DEFAULT),
        (rule("there", allow=["udp"], listener=["second"]), False, DEFAULT),
        (rule("from", allow=["udp"], sources=["10.0.0.0/8"]), False, DEFAULT),
        # A deny of everything before it, and one that leaves something.
        (rule("no", deny=["udp"], who=["anonymous"]) + rule("x", allow=["udp"]), False, "no"),
        (rule("no", deny=["udp"], ports=[53]) + rule("x", allow=["udp"]), True, "x"),
        (rule("no", deny=["udp"], to=[PUBLIC]) + rule("x", allow=["udp"]), True, "x"),
    ],
    ids=str,
)  # fmt: skip
def test_associations(rules: str, allowed: bool, by: str) -> None:
    """Only where some datagram could ever go; its port is not known yet."""
    decision = Asking(rules).associate()
    assert (decision.allowed, decision.rule) == (allowed, by)
    assert allowed or denied(decision, by)


# BIND.


def test_whoMayBeWaitedFor() -> None:
    """A literal that a rule for BIND lets come, on some port; nobody else."""
    rules = rule("bind", allow=["bind"], to=[f"{PUBLIC}/32"], ports=[20])
    asker = Asking(rules)
    assert texts(asker.expect(PUBLIC)) == [PUBLIC]
    assert denied(asker.expect("8.8.4.4"))
    assert denied(Asking(rules.replace("bind", "connect")).expect(PUBLIC))
    assert denied(
        Asking(rules + rule("no", deny=["bind"], ports=[1])).expect("8.8.4.4")
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "::1"])
def test_whatIsBannedIsNotWaitedFor(host: str) -> None:
    """[never] comes before every rule."""
    assert denied(Asking(rule("all", allow="any")).expect(host), NEVER)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize(
    ("to", "allowed"),
    [
        (None, False),
        (["any"], False),
        (["0.0.0.0/0", "::/0"], False),
        (["0.0.0.0", "::"], True),
        (["unspecified"], True),
    ],
)
def test_anybodyOnlyWhereARuleSaysSo(
    host: str, to: list[str] | None, allowed: bool
) -> None:
    """
    The unspecified address stands for anybody, where a rule names it: not
    where a rule merely has no C{to}, or covers everything.
    """
    fields: dict[str, object] = {} if to is None else {"to": to}
    decision = Asking(rule("bind", allow=["bind"], **fields)).expect(host)
    assert decision.allowed is allowed
    assert allowed or denied(decision)


def test_anybodyIsDeniedBeforeItIsAllowed() -> None:
    """First match wins, here as everywhere."""
    rules = (
        rule("not-bob", deny=["bind"], who=["bob"])
        + rule("anybody", allow=["bind"], who=["users"], to=["0.0.0.0"])
    )  # fmt: skip
    assert denied(Asking(rules, user=BOB).expect("0.0.0.0"), "not-bob")
    assert Asking(rules, user=loggedIn("eve")).expect("0.0.0.0").allowed
    assert denied(Asking(rules).expect("0.0.0.0"))


@pytest.mark.parametrize(
    ("earlier", "shadowed"),
    [
        (rule("first", allow="any", to=["any"]), False),
        (rule("first", allow="any"), False),
        (rule("first", allow=["bind"], to=["0.0.0.0/0", "::/0"]), False),
        (rule("first", allow=["bind"], to=["0.0.0.0"]), False),
        (rule("first", allow=["bind"], to=["0.0.0.0", "::"]), True),
        (rule("first", deny=["bind"]), True),
        (rule("first", deny=["bind"], to=["any"]), True),
        (rule("first", deny=["bind"], ports=["1-65535"]), False),
    ],
)
def test_theRuleForAnybodyCanMatch(earlier: str, shadowed: bool) -> None:
    """
    A rule that covers everything says nothing of a BIND that waits for anybody,
    so that one behind it which does is reached.
    """
    text = earlier + rule("anybody", allow=["bind"], to=["0.0.0.0", "::"])
    found = compiled(text)
    assert [error.path for error in found.errors] == ["rule[1]"] * shadowed
    question = Question(Asker(ANONYMOUS, SOURCE, "main"), "bind", None, 0)
    deciding = {
        found.ruleset.awaited(question, Address.parse(host)).rule
        for host in ("0.0.0.0", "::")
    }
    assert ("anybody" in deciding) is not shadowed


def test_namesThatAreWaitedFor() -> None:
    """Looked up once, every address judged; what is denied is struck."""
    rules = rule("bind", allow=["bind"], to=["8.8.0.0/16"])
    asker = Asking(rules, [PUBLIC, "1.1.1.1", "127.0.0.1"])
    decision = asker.expect("peer.example")
    assert texts(decision) == [PUBLIC]
    assert [address.text for address, _ in decision.struck] == ["1.1.1.1", "127.0.0.1"]
    assert asker.names.asked == ["peer.example"]


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (rule("bind", allow=["bind"]), False),
        (rule("bind", allow=["bind"], to=["*.example"]), False),
        (rule("bind", allow=["bind"], to=["0.0.0.0"]), True),
    ],
)
def test_aNameOfTheUnspecifiedAddress(rules: str, allowed: bool) -> None:
    """Whoever answers for a name cannot make a BIND wait for any peer."""
    asker = Asking("[never]\nto = []\n" + rules, ["0.0.0.0"])
    assert asker.expect("peer.example").allowed is allowed


def test_aNameThatNobodyMayWaitForIsNotLookedUp() -> None:
    """Nothing is learnt from the look-up."""
    asker = Asking(rule("bind", allow=["bind"], to=["*.other.example"]))
    assert denied(asker.expect("peer.example"))
    assert asker.names.asked == []


# Look-ups.

REACH = rule("reach", allow=["connect"], to=["8.8.0.0/16"], ports=[443])
RESOLVE = rule("look-up", allow=["resolve"])


@pytest.mark.parametrize(
    "rules",
    [
        "",
        REACH,
        rule("any", allow="any"),
        rule("all", allow=["connect", "bind", "udp"]),
    ],
)
@pytest.mark.parametrize("host", ["good.example", PUBLIC])
def test_lookUpsAreOffUnlessNamed(rules: str, host: str) -> None:
    """C{"any"} does not allow them, and nothing is looked up."""
    asker = Asking(rules, [PUBLIC])
    assert denied(asker.resolve(host))
    assert asker.names.asked == []


@pytest.mark.parametrize("command", ["connect", "udp", "bind"])
def test_whatCanBeReachedCanBeKnown(command: str) -> None:
    """By whatever command, on some port."""
    asker = Asking(RESOLVE + REACH.replace("connect", command), [PUBLIC])
    decision = asker.resolve("good.example")
    assert texts(decision) == [PUBLIC]
    assert decision.rule == "look-up"
    assert texts(asker.resolve(PUBLIC)) == [PUBLIC]


def test_whatCannotBeReachedCannotBeKnown() -> None:
    """Of the answers only those that some rule could let the client reach."""
    asker = Asking(RESOLVE + REACH, ["1.1.1.1", PUBLIC, "10.0.0.1"], ["10.0.0.1"])
    decision = asker.resolve("mixed.example")
    assert texts(decision) == [PUBLIC]
    assert [address.text for address, _ in decision.struck] == ["1.1.1.1", "10.0.0.1"]
    assert denied(asker.resolve("inside.example"))
    assert denied(asker.resolve("10.0.0.1"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "169.254.169.254"])
def test_whatIsBannedIsNotTold(host: str) -> None:
    """The ban holds for look-ups, of names and of addresses."""
    rules = RESOLVE + rule("all", allow="any")
    assert denied(Asking(rules, [host]).resolve("inside.example"), NEVER)
    assert denied(Asking(rules).resolve(host), NEVER)


def test_anotherUsersReach() -> None:
    """It is the asker who must be able to reach it."""
    rules = RESOLVE + REACH + 'who = ["bob"]\n'
    assert denied(Asking(rules, [PUBLIC]).resolve("good.example"))
    rules = (
        rule("look-up", allow=["resolve"], who=["users"]) + REACH + 'who = ["bob"]\n'
    )
    assert Asking(rules, [PUBLIC], user=BOB).resolve("good.example").allowed


def test_aNameThatLeadsNowhereIsNotLookedUp() -> None:
    """A name that no rule could allow is never looked up."""
    rules = RESOLVE + rule("reach", allow=["connect"], to=["*.other.example"])
    asker = Asking(rules, [PUBLIC])
    assert denied(asker.resolve("good.example"))
    assert asker.names.asked == []


def test_deniedLookUps() -> None:
    """A deny before the rule that allows."""
    rules = rule("no", deny=["resolve"], to=["=bad.example"]) + RESOLVE + REACH
    asker = Asking(rules, [PUBLIC])
    assert denied(asker.resolve("bad.example"), "no")
    assert asker.names.asked == []
    assert asker.resolve("good.example").allowed


def test_theLookUpFails() -> None:
    """As everywhere: 04, by no rule."""
    decision = Asking(RESOLVE + REACH, LookupFailed("no")).resolve("none.example")
    assert not decision.allowed
    assert decision.rule == ""
    assert decision.error is not None
    assert decision.error.reply == Reply.HOST_UNREACHABLE


def test_bothFamilies() -> None:
    """Told in the resolver's order."""
    rules = RESOLVE + rule("all", allow="any")
    decision = Asking(rules, [PUBLIC6, PUBLIC]).resolve("both.example")
    assert texts(decision) == [PUBLIC6, PUBLIC]
