"""
From a request to the literals that may be dialled: one look-up at most, and
nothing that was not judged.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.schema import Config
from socksgw.errors import LimitReached, LookupFailed, SocksError
from socksgw.interfaces import Asker
from socksgw.policy.decision import Decision, Judged, Policy
from socksgw.policy.questions import Question
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from tests.fakes.policy import (
    ANONYMOUS,
    PUBLIC,
    Somebody,
    compiled,
    question,
    ruleset,
    texts,
)
from tests.fakes.resolver import Scripted
from tests.policy import naive
from tests.policy.naive import compile_, configurations, questions
from tests.tools.waiting import run

ALL = '[[rule]]\nid = "all"\nallow = "any"\n'


def decide(
    rules: Ruleset | str,
    names: Scripted,
    host: str,
    port: int = 443,
    command: str = "connect",
    user: Somebody = ANONYMOUS,
) -> Decision:
    """Decide one request for a name or a literal."""
    found = ruleset(rules) if isinstance(rules, str) else rules
    try:
        destination: Address | str = Address.parse(host)
    except ValueError:
        destination = host
    source = Address.parse("192.168.7.7")
    policy = Policy(found, names)
    asker = Asker(user, source, "main")
    return run(policy.decide(asker, command, destination, port))


def test_aLiteralIsNeverLookedUp() -> None:
    """An address is judged as it is."""
    names = Scripted()
    assert texts(decide(ALL, names, PUBLIC)) == [PUBLIC]
    assert decide(ALL, names, "127.0.0.1").allowed is False
    assert names.asked == []


def test_aNameIsLookedUpOnceAndEveryAddressJudged() -> None:
    """Only what passed may be dialled; the rest is struck, with why."""
    names = Scripted(["127.0.0.1", "8.8.8.8", "10.0.0.1", "2620:fe::fe"])
    rules = '[[rule]]\nid = "inside"\ndeny = "any"\nto = ["private"]\n' + ALL
    decision = decide(rules, names, "www.example")
    assert decision.allowed
    assert decision.rule == "all"
    assert texts(decision) == ["8.8.8.8", "2620:fe::fe"]
    assert [(a.text, why.split(":")[0]) for a, why in decision.struck] == [
        ("127.0.0.1", "never"),
        ("10.0.0.1", "inside"),
    ]
    assert names.asked == ["www.example"]


def test_aNameWithoutAnyAllowedAddressIsDenied() -> None:
    """The reply is 02, not allowed (RFC 1928 section 6)."""
    decision = decide(ALL, Scripted(["127.0.0.1", "169.254.169.254"]), "www.example")
    assert not decision.allowed
    assert decision.addresses == ()
    assert decision.rule == "never"
    assert decision.error is not None
    assert decision.error.reply == Reply.NOT_ALLOWED


def test_aDeniedLiteralIsToldSo() -> None:
    """The reply is 02, and the record names the rule."""
    decision = decide("", Scripted(), PUBLIC)
    assert (decision.allowed, decision.rule) == (False, "default")
    assert decision.error is not None
    assert decision.error.reply == Reply.NOT_ALLOWED
    assert decision.error.reason == "policy"


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        # No rule at all.
        ("", {}),
        # Each condition that does not depend on the address.
        ('rule = [{ id = "r", allow = ["bind"] }]', {}),
        ('rule = [{ id = "r", allow = "any", who = ["users"] }]', {}),
        ('rule = [{ id = "r", allow = "any", from = ["10.0.0.0/8"] }]', {}),
        ('rule = [{ id = "r", allow = "any", listener = ["second"] }]', {}),
        ('rule = [{ id = "r", allow = "any", ports = [80] }]', {}),
        # Names that do not match.
        ('rule = [{ id = "r", allow = "any", to = ["*.other.example"] }]', {}),
        ('rule = [{ id = "r", allow = "any", to = [] }]', {}),
        ('rule = [{ id = "r", allow = "any", resolving_to = [] }]', {}),
        # A deny before, for this name, or for every address.
        ('[[rule]]\nid = "no"\ndeny = "any"\nto = ["*.example"]\n' + ALL, {}),
        ('[[rule]]\nid = "no"\ndeny = "any"\nwho = ["anonymous"]\n' + ALL, {}),
        (
            '[[rule]]\nid = "no"\ndeny = "any"\nwho = ["anonymous"]\nto = ["any"]\n'
            + ALL,
            {},
        ),
        (ALL, {"port": 0}),
    ],
)
def test_aNameThatNoRuleCouldAllowIsNeverLookedUp(
    rules: str, asked: dict[str, Any]
) -> None:
    """DNS tells nobody what is asked here in vain."""
    names = Scripted()
    decision = decide(rules, names, "www.example", **asked)
    assert not decision.allowed
    assert decision.error is not None
    assert names.asked == []


@pytest.mark.parametrize(
    "rules",
    [
        'rule = [{ id = "r", allow = "any", to = ["8.8.0.0/16"] }]',
        'rule = [{ id = "r", allow = "any", to = ["*.example"] }]',
        'rule = [{ id = "r", allow = "any", resolving_to = ["8.8.8.8"] }]',
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["10.0.0.0/8"]\n' + ALL,
        '[[rule]]\nid = "no"\ndeny = "any"\nto = ["*.example"]\n'
        'resolving_to = ["private"]\n' + ALL,
    ],
)
def test_aNameThatARuleCouldAllowIsLookedUp(rules: str) -> None:
    """And allowed, when its address is."""
    names = Scripted([PUBLIC])
    assert texts(decide(rules, names, "www.example")) == [PUBLIC]
    assert names.asked == ["www.example"]


def test_aFailedLookUpIsNoRulesDoing() -> None:
    """The reply is the resolver's, and no rule is named."""
    decision = decide(ALL, Scripted(LookupFailed("no such host")), "www.example")
    assert (decision.allowed, decision.rule) == (False, "")
    assert decision.error is not None
    assert decision.error.reply == Reply.HOST_UNREACHABLE
    assert decision.error.reason == "no-such-host"


def test_port0IsRefused() -> None:
    """Nobody can connect to port 0."""
    decision = decide(ALL, Scripted(), PUBLIC, port=0)
    assert not decision.allowed
    assert decision.error is not None
    assert decision.error.reason == "bad-destination"


def test_answersThatFlapNeverYieldWhatWasNotJudged() -> None:
    """
    DNS rebinding: what was judged is what is dialled; the next answer counts
    for the next request only.
    """
    names = Scripted([PUBLIC], ["127.0.0.1"], ["169.254.169.254", "8.8.4.4"])
    rules = ruleset(ALL)
    found = [texts(decide(rules, names, "flap.example")) for _ in range(3)]
    assert found == [[PUBLIC], [], ["8.8.4.4"]]
    assert len(names.asked) == 3


ADDRESSES = st.one_of(
    st.sampled_from(
        [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "8.8.8.8",
            "8.8.4.4",
            "9.9.9.1",
            "2620:fe::fe",
            "64:ff9b::10.0.0.1",
            "64:ff9b::8.8.8.8",
            "2002:a00:1::",
            "fd00::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ]
    ),
    st.ip_addresses().map(str),
).map(Address.parse)

RULES = [
    ruleset(ALL),
    ruleset('[[rule]]\nid = "inside"\ndeny = "any"\nto = ["private"]\n' + ALL),
    ruleset('[[rule]]\nid = "name"\nallow = "any"\nto = ["*.example"]\n'),
    ruleset(
        '[[rule]]\nid = "r"\nallow = "any"\nto = ["*.example"]\n'
        'resolving_to = ["10.0.0.0/8"]\n'
    ),
    ruleset(
        '[never]\nto = []\n[[rule]]\nid = "r"\nallow = "any"\nto = ["8.0.0.0/8"]\n'
    ),
]


@settings(deadline=None, max_examples=300)
@given(
    rules=st.sampled_from(RULES),
    answers=st.lists(st.lists(ADDRESSES, min_size=1, max_size=6), max_size=5),
)
def test_whateverTheAnswersOnlyJudgedAddressesComeOut(
    rules: Ruleset, answers: list[list[Address]]
) -> None:
    """
    For any answers: one look-up a decision, and the addresses are exactly
    those of this answer that the rules allow, in its order.
    """
    names = Scripted(*[[a.text for a in answer] for answer in answers])
    for number, answer in enumerate(answers, 1):
        decision = decide(rules, names, "www.example")
        asked = question("www.example")
        assert list(decision.addresses) == [
            address for address in answer if rules.judge(asked, address).allowed
        ]
        assert decision.allowed is bool(decision.addresses)
        assert {a for a, _ in decision.struck} == set(answer) - set(decision.addresses)
        assert len(names.asked) == number


def test_eachAddressHasItsVerdict() -> None:
    """What the rule of another address asks, lets through or says is not its own."""
    rules = ruleset(
        '[[rule]]\nid = "slow"\nallow = "any"\nto = ["8.0.0.0/8"]\n'
        'timeouts = { connect = "9s" }\nticket = "T-1"\n'
        '[[rule]]\nid = "quick"\nallow = "any"\nto = ["9.0.0.0/8"]\n'
        'timeouts = { connect = "1s" }\nudp = { replies = "any" }\n'
    )
    names = Scripted(["9.9.9.9", "10.0.0.1", "8.8.8.8"])
    decision = decide(rules, names, "www.example")
    assert (decision.rule, decision.obligations.connect) == ("quick", 1)
    quick, slow = [decision.verdicts[address] for address in decision.addresses]
    assert (quick.rule, quick.obligations.connect, quick.ticket) == ("quick", 1, "")
    assert (slow.rule, slow.obligations.connect, slow.ticket) == ("slow", 9, "T-1")
    assert (quick.replies, slow.replies) == ("any", "exact")


#: Networks that no stranger's DNS may open, and some of their addresses.
INSIDE = [
    "10.0.0.1",
    "10.255.1.9",
    "172.16.0.1",
    "172.31.9.9",
    "192.168.1.1",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "fd00::1",
    "fc00::7",
    "fe80::1",
    "::1",
    "::",
    "ff02::1",
    "fd00:ec2::254",
]


def wrapped(text: str, how: int) -> str:
    """An IPv4 address as IPv6 may carry it; any other as it is."""
    if ":" in text:
        return text
    packed = Address.parse(text).packed
    high = int.from_bytes(packed[:2], "big")
    low = int.from_bytes(packed[2:], "big")
    return [
        text,
        f"::ffff:{text}",
        f"64:ff9b::{text}",
        f"64:ff9b:1::{text}",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:808:808:0:0:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        f"2001:0:{high:x}:{low:x}::f7f7:f7f7",
        f"2620:fe::5efe:{text}",
        f"2620:fe::200:5efe:{text}",
        f"::ffff:0:{text}",
    ][how]


INSIDES = st.builds(wrapped, st.sampled_from(INSIDE), st.integers(0, 9)).map(
    Address.parse
)
OUTSIDES = st.sampled_from(["8.8.8.8", "8.8.4.4", "2620:fe::fe", "64:ff9b::8.8.8.8"])


@st.composite
def namePolicies(draw: st.DrawFn) -> Ruleset:
    """
    Rules that allow names, and public networks at most; without the ban, so
    that nothing but these rules stands before the inside; few, or so many that
    they are found by an index.
    """
    patterns = ["*.example", ".example", "=www.example", "*.test", "www", "8.8.0.0/16"]
    count = draw(st.integers(1, 4))
    lines = ['never = { to = [] }\nnetworks = { www = [".www.example"] }\n']
    for number in range(count):
        to = draw(st.lists(st.sampled_from(patterns), min_size=1, unique=True))
        what = draw(st.sampled_from(["allow", "allow", "deny"]))
        ports = draw(st.sampled_from(["", 'ports = [443, "8000-8099"]\n']))
        kind = draw(st.sampled_from(["", "", "report_only = true\n"]))
        lines.append(
            f'[[rule]]\nid = "r{number}"\n{what} = ["connect"]\nto = {to}\n{ports}{kind}'
        )
    lines += [
        f'[[rule]]\nid = "x{i}"\nallow = ["connect"]\nto = ["=h{i}.invalid"]\n'
        for i in range(draw(st.sampled_from([0, 20])))
    ]
    return compiled("".join(lines)).ruleset


@settings(deadline=None, max_examples=200)
@given(
    rules=namePolicies(),
    answers=st.lists(
        st.lists(INSIDES | OUTSIDES.map(Address.parse), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    ),
    name=st.sampled_from(["www.example", "a.www.example", "example"]),
)
def test_noAnswersOfDNSOpenTheInsideToARuleForNames(
    rules: Ruleset, answers: list[list[Address]], name: str
) -> None:
    """
    Whatever a stranger's DNS says, and however often it says something else:
    what an allow for names lets through is public, in every wrapping.
    """
    outside = {Address.parse(t) for t in ("8.8.8.8", "8.8.4.4")}
    outside |= {Address.parse(t) for t in ("2620:fe::fe", "64:ff9b::8.8.8.8")}
    names = Scripted(*[[address.text for address in answer] for answer in answers])
    for _ in answers:
        decision = decide(rules, names, name)
        assert set(decision.addresses) <= outside


ASKER = Asker(ANONYMOUS, Address.parse("192.168.7.7"), "main")
REPORTING = """
[[rule]]
id = "new"
deny = "any"
report_only = true
to = ["8.8.0.0/16"]
[[rule]]
id = "named"
allow = "any"
report_only = true
to = ["*.new.example"]
[[rule]]
id = "ported"
deny = "any"
report_only = true
ports = [443]
[[rule]]
id = "old"
allow = ["connect", "bind", "resolve"]
to = ["8.0.0.0/8"]
"""


@pytest.mark.parametrize(
    ("ask", "reports"),
    [
        # Of every address of a name, each once.
        (lambda p: p.decide(ASKER, "connect", "a.example", 80), ["new: deny"]),
        (
            lambda p: p.decide(ASKER, "connect", Address.parse("8.8.8.8"), 443),
            ["new: deny", "ported: deny"],
        ),
        (
            lambda p: p.decide(ASKER, "connect", Address.parse("8.9.8.8"), 80),
            [],
        ),
        # Where the port is not known, those that hold for some.
        (lambda p: p.expect(ASKER, "a.example"), ["new: deny", "ported: deny"]),
        (
            lambda p: p.resolve(ASKER, Address.parse("8.9.8.8")),
            ["ported: deny"],
        ),
    ],
)
def test_whatOnlyReportsIsRecordedOfEveryCommand(ask: Any, reports: list[str]) -> None:
    """It would have decided otherwise, whatever is asked for."""
    decision = run(ask(Policy(ruleset(REPORTING), Scripted(["8.8.8.8", "8.8.4.4"]))))
    assert decision.allowed
    assert decision.reports == reports


def test_whatOnlyReportsOfANameThatIsNotLookedUp() -> None:
    """A name that nothing allows but a rule that only reports: that is told."""
    text = REPORTING.replace('id = "old"', 'id = "old"\nwho = ["alice"]')
    names = Scripted(["8.8.8.8"])
    decision = run(
        Policy(ruleset(text), names).decide(ASKER, "connect", "b.new.example", 80)
    )
    assert not decision.allowed
    assert names.asked == []
    assert decision.reports == ["new: deny", "named: allow"]


# Addresses that the client had from RESOLVE.

BY_NAME = """
[[rule]]
id = "bad"
deny = "any"
to = ["=bad.example"]
[[rule]]
id = "by name"
allow = ["connect", "udp"]
to = [".example"]
[[rule]]
id = "by address"
allow = "any"
to = ["8.8.4.4"]
"""


@pytest.mark.parametrize("command", ["connect", "udp"])
@pytest.mark.parametrize(
    ("name", "address", "hint"),
    [
        ("good.example", "8.8.8.8", 'rule "by name" allows by name'),
        ("bad.example", "8.8.4.4", 'rule "bad" denies by name'),
        ("good.example", "8.8.4.4", None),
        ("bad.example", "8.8.8.8", None),
        ("other.test", "8.8.8.8", None),
    ],
)
def test_anAddressThatResolveGaveMeetsARuleByName(
    command: str, name: str, address: str, hint: str | None
) -> None:
    """
    The decision is that of the address; which name it was is told where the
    rules say something else of it, and to nobody else's request.
    """
    policy = Policy(ruleset(BY_NAME), Scripted())
    asker = Asker(ANONYMOUS, Address.parse("192.168.7.7"), "main")
    other = Asker(ANONYMOUS, Address.parse("192.168.7.8"), "main")
    literal = Address.parse(address)
    before = run(policy.decide(asker, command, literal, 443))
    policy.told.tell(asker, name, literal)
    decision = run(policy.decide(asker, command, literal, 443))
    assert (decision.allowed, decision.rule) == (before.allowed, before.rule)
    assert before.hint == run(policy.decide(other, command, literal, 443)).hint == ""
    if hint is None:
        assert decision.hint == ""
    else:
        assert f"RESOLVE of {name}" in decision.hint
        assert hint in decision.hint


# Without a coroutine.


class Kept(Scripted):
    """A resolver that knows the answer already."""

    def known(self, name: str) -> tuple[Address, ...] | None:
        (answer,) = self._answers
        return None if isinstance(answer, SocksError) else self.parsed(answer)


class Arriving:
    """Counts what arrives, and refuses it where it is told to."""

    def __init__(self, most: int) -> None:
        self.came = 0
        self._most = most

    def __call__(self) -> None:
        self.came += 1
        if self.came > self._most:
            raise LimitReached("too many")


def said(decision: Decision) -> tuple[object, ...]:
    """What a decision says."""
    error = decision.error
    return (
        decision.allowed, decision.rule, decision.why, decision.ticket,
        decision.obligations, decision.pending, decision.reports, decision.hint,
        decision.addresses, decision.struck, type(error), str(error),
        {
            k: (v.allowed, v.rule, v.why, v.pending)
            for k, v in decision.verdicts.items()
        },
    )  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    configurations(),
    questions(),
    st.lists(st.sampled_from(naive.ADDRESSES), min_size=1, max_size=3, unique=True)
    | st.builds(LookupFailed, st.just("no answer")),
    st.booleans(),
)
def test_aNameWithoutACoroutine(
    config: Config,
    asked: tuple[Question, Somebody],
    answer: Any,
    refuses: bool,
) -> None:
    """
    Whatever the rules and the answer are, it is decided as with one, or not at all: not
    looked up when no rule allows it, counted once before it is.
    """
    question = asked[0]
    rules, asker = compile_(config), question.asker
    assert isinstance(asker, Asker)
    whole = asker, question.command, question.name or "www.example", question.port
    arriving, names = Arriving(0 if refuses else 1), Scripted(answer)
    expected = said(run(Policy(rules, names).decide(*whole, arriving)))
    here, other = Arriving(0 if refuses else 1), Scripted(answer)
    later: list[Judged] = []
    found = Policy(rules, other).begin(*whole, here, later.append)
    assert not later
    if found is not None:
        if isinstance(found, tuple):
            address, verdict, _ = found
            found = Decision(verdict, (address,))
        assert isinstance(found, Decision)
        assert (said(found), here.came) == (expected, arriving.came)
        assert other.asked == names.asked
    else:
        assert here.came == 0
        assert other.asked == []
    known = Arriving(1)
    single = Policy(rules, Kept(answer)).atOnce(*whole, known)
    if single is None:
        assert known.came == 0
        return
    address, verdict = single
    if not refuses:
        decision = Decision(verdict, (address,))
        assert (said(decision), known.came) == (expected, arriving.came)


class Always:
    """Surroundings that never change."""

    def seen(self, listener: str) -> int:
        """As L{socksgw.policy.remembered.Surroundings.seen}."""
        return 0


def test_aNameOfOneAddressThatIsAllowed() -> None:
    """
    All there is to decide is told without a decision, in whatever order names come
    that no rule knows.
    """
    rules = ruleset(
        """
        [[rule]]
        id = "not that"
        deny = ["connect"]
        to = ["*.bad.example"]
        [[rule]]
        id = "all"
        allow = ["connect"]
        to = ["any"]
        ports = [443]
        """
    )
    policy = Policy(rules, Scripted(*[[PUBLIC]] * 9), around=Always())
    asker = Asker(ANONYMOUS, Address.parse("192.168.7.7"), "main")

    def begin(name: str, port: int = 443) -> Any:
        return policy.begin(asker, "connect", name, port, Arriving(1), lambda _: None)

    for _ in range(2):
        for name in ("good.example", "other.example"):
            address, verdict, waited = begin(name)
            assert (address.text, verdict.allowed) == (PUBLIC, True)
            assert (verdict.rule, waited >= 0) == ("all", True)
        # The other lane tells why nothing is looked up.
        assert begin("a.bad.example") is None
        assert begin("good.example", 80) is None
