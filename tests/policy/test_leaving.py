"""
How sessions leave, and names that an upstream looks up.
"""

from __future__ import annotations

import io

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.loading import loads
from socksgw.console.explain import printed
from socksgw.gateway.explained import asJson
from socksgw.gateway.offers import Offers
from socksgw.interfaces import Asker
from socksgw.policy.decision import Decision, Policy
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import unmet
from socksgw.policy.facts import Facts
from socksgw.policy.leaving import Leaving
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from tests.fakes.policy import (
    ANONYMOUS,
    LISTEN,
    PUBLIC,
    Somebody,
    compiled,
    question,
    ruleset,
)
from tests.fakes.policy import Facts as Host
from tests.fakes.resolver import Scripted
from tests.tools.waiting import run

#: Nobody is offered a way to log in.
NOBODY = Offers(loads(LISTEN, "gw.toml"), (), (), (), ())

UPSTREAMS = """
[[upstream]]
name = "here"
url = "socks5://gw.example:1080"
[[upstream]]
name = "there"
url = "socks5://gw.example:1080"
resolve = "there"
"""


def rule(name: str, more: str) -> str:
    """Return the table of a rule."""
    return f'[[rule]]\nid = "{name}"\n{more}\n'


THERE = rule("there", 'allow = ["connect"]\nvia = ["here", "there"]')
PRIVATE = rule("no-private", 'deny = "any"\nto = ["private"]')


def decided(
    rules: Ruleset, host: str, names: Scripted, user: Somebody = ANONYMOUS
) -> Decision:
    """Decide one CONNECT."""
    try:
        destination: Address | str = Address.parse(host)
    except ValueError:
        destination = host
    asker = Asker(user, Address.parse("192.168.7.7"), "main")
    return run(Policy(rules, names).decide(asker, "connect", destination, 443))


def test_text() -> None:
    """Of a chain with a choice, as the record and people have it."""
    leaving = Leaving((("a",), ("b1", "b2")))
    assert leaving.text == "a, b1|b2"
    assert hash(leaving) == hash(Leaving((("a",), ("b1", "b2"))))


def test_namesAreLeftToTheUpstream() -> None:
    """Nothing is looked up, and no address judged."""
    names = Scripted(["10.0.0.1"])
    decision = decided(ruleset(UPSTREAMS + PRIVATE + THERE), "www.example", names)
    assert decision.allowed
    assert decision.rule == "there"
    assert decision.addresses == ()
    assert list(decision.verdicts) == ["www.example"]
    assert names.asked == []


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "::ffff:7f00:1"])
def test_literalsAreJudged(host: str) -> None:
    """As always, [never] included."""
    names = Scripted()
    assert not decided(ruleset(UPSTREAMS + PRIVATE + THERE), host, names).allowed
    assert decided(ruleset(UPSTREAMS + THERE), PUBLIC, names).allowed


@pytest.mark.parametrize("host", ["localhost", "www.localhost"])
def test_loopbackIsJudged(host: str) -> None:
    """By whatever name it is asked for, that of an upstream is not reached."""
    rules, names = ruleset(UPSTREAMS + THERE), Scripted(["127.0.0.1"])
    decision = decided(rules, host, names)
    assert (decision.allowed, decision.rule, names.asked) == (False, "never", [host])
    facts = Facts(
        "alice",
        frozenset(),
        "connect",
        host,
        443,
        addresses=(Address.parse("127.0.0.1"),),
    )
    assert consider(rules, facts).verdict.rule == "never"
    # One that is below another name, or that may be reached.
    assert decided(rules, f"{host}.example", Scripted()).allowed
    lifted = ruleset(f'[never]\nexcept = ["127.0.0.0/8"]\n{UPSTREAMS}{THERE}')
    assert decided(lifted, host, Scripted()).allowed
    assert consider(lifted, facts).byName


@pytest.mark.parametrize(
    ("before", "looked", "deciding"),
    [
        # By name alone: it decides, and denies.
        (rule("no", 'deny = "any"\nto = ["*.example"]'), False, "no"),
        (rule("no", 'deny = "any"\nports = [443]'), False, "no"),
        (rule("no", 'deny = "any"\nports = [80]'), False, "there"),
        # By address, in whatever way: it does not.
        (rule("no", 'deny = "any"\nresolving_to = ["private"]'), False, "there"),
        (rule("in", 'allow = ["connect"]\nto = ["10.0.0.0/8"]'), False, "there"),
        # An allow by name is for public addresses: it depends on them.
        (rule("in", 'allow = ["connect"]\nto = ["*.example"]'), False, "there"),
        (
            rule(
                "in", 'allow = ["connect"]\nto = ["*.example"]\nresolving_to = ["any"]'
            ),
            True,
            "in",
        ),
        # It allows by name alone, and has no upstream that looks names up.
        (rule("in", 'allow = ["connect"]\nports = [443]\nvia = ["here"]'), True, "in"),
        # It only reports.
        (rule("no", 'deny = "any"\nreport_only = true'), False, "there"),
    ],
)
def test_whatDecides(before: str, looked: bool, deciding: str) -> None:
    """The first rule that matches by name alone."""
    names = Scripted([PUBLIC])
    decision = decided(ruleset(UPSTREAMS + before + THERE), "www.example", names)
    assert decision.rule == deciding
    assert bool(names.asked) is looked
    assert bool(decision.addresses) is (looked and decision.allowed)


def test_byNameAlone() -> None:
    """A name of C{to} is enough; one that is not there is looked up for other rules."""
    text = UPSTREAMS + rule(
        "there",
        'allow = ["connect"]\nto = ["*.example", "10.0.0.0/8"]\nvia = ["there"]',
    )
    text += rule("rest", 'allow = ["connect"]')
    names = Scripted(["10.0.0.1"])
    assert decided(ruleset(text), "www.example", names).rule == "there"
    assert names.asked == []
    # Its network matches the address of a name that is looked up.
    assert decided(ruleset(text), "www.invalid", names).rule == "there"
    assert names.asked == ["www.invalid"]


def test_reported() -> None:
    """What rules that only report would have decided is recorded all the same."""
    text = UPSTREAMS + rule("maybe", 'deny = "any"\nreport_only = true') + THERE
    assert decided(ruleset(text), "www.example", Scripted()).reports == ["maybe: deny"]


def test_otherCommandsLookNamesUp() -> None:
    """A rule for CONNECT leaves the names of others alone."""
    names = Scripted([PUBLIC])
    text = UPSTREAMS + THERE + rule("bind", 'allow = ["bind"]')
    asker = Asker(ANONYMOUS, Address.parse("192.168.7.7"), "main")
    decision = run(Policy(ruleset(text), names).expect(asker, "www.example"))
    assert (decision.rule, names.asked) == ("bind", ["www.example"])


def test_explained() -> None:
    """What is told of such a name needs no address, and says that none is judged."""
    text = UPSTREAMS + rule("no", 'deny = "any"\nwho = ["@staff"]') + THERE
    rules = ruleset('[groups]\nstaff = ["bob"]\n' + text)
    facts = Facts("alice", frozenset(), "connect", "www.example", 443)
    outcome = consider(rules, facts)
    assert outcome.byName
    assert (outcome.verdict.rule, outcome.via) == ("there", "here, there")
    assert [step.unmet for step in outcome.steps[0][1]] == ["who", None]
    # What addresses it has makes no difference, only whether it is asked by one.
    known = evolve(facts, addresses=(Address.parse("127.0.0.1"),))
    assert consider(rules, known).byName
    literal = evolve(known, name=None)
    assert consider(rules, literal).verdict.rule == "never"
    with pytest.raises(Missing, match="groups"):
        consider(rules, evolve(facts, unsure=frozenset({"staff"})))


def test_explainedDenials() -> None:
    """A denial by address is shown, and why it does not hold."""
    rules = ruleset(UPSTREAMS + PRIVATE + THERE)
    facts = Facts("alice", frozenset(), "connect", "www.example", 443)
    (_, steps), *_ = consider(rules, facts).steps
    assert steps[0].unmet == "the address, which is not looked up here,"
    assert steps[1].unmet is None


def test_expected() -> None:
    """C{[[expect]]} needs no address of such a name; it has no say in it either."""
    expect = '[[expect]]\nto = "www.example:443"\nverdict = "{}"\nrule = "there"\n{}\n'
    more = 'resolving_to = ["10.0.0.1"]'
    text = LISTEN + UPSTREAMS + PRIVATE + THERE + expect.format("allow", "")
    config = loads(text + expect.format("allow", more), "gw.toml")
    rules = Compiler(config, Host()).compile().ruleset
    assert [*unmet(config, rules)] == []
    config = loads(text + expect.format("deny", ""), "gw.toml")
    ((problem),) = unmet(config, rules)
    assert 'it is allow by rule "there"' in problem.text


def test_printed() -> None:
    """People see by what it leaves, and that no address is judged."""
    facts = Facts("alice", frozenset(), "connect", "www.example", 443)
    outcome = consider(ruleset(f'{UPSTREAMS}{THERE}proxy_header = "v2"\n'), facts)
    out = io.StringIO()
    found = asJson(outcome, facts, NOBODY)
    printed(found, out)
    assert out.getvalue().splitlines() == [
        '  rule "there": matches',
        "  no address is judged: the upstream looks the name up",
        'allow by rule "there"',
        "  leaves via here, there",
        "  tells the destination the client by PROXY v2",
    ]
    assert (found["via"], found["judged"]) == ("here, there", "name")
    assert found["proxy_header"] == "v2"


@pytest.mark.parametrize(
    ("keys", "leaving", "text"),
    [
        ("", None, ""),
        (
            'leave_by = ["192.0.2.7", "2001:db8::7"]\ndevice = "eth1"\nmark = 0',
            Leaving(leaveBy=("192.0.2.7", "2001:db8::7"), device="eth1", mark=0),
            '192.0.2.7 or 2001:db8::7, device "eth1", mark 0',
        ),
        (
            'leave_by = "same"',
            Leaving(leaveBy=("same",)),
            "the address that the client came to",
        ),
        ('proxy_header = "v1"', Leaving(header="v1"), ""),
    ],
)
def test_by(keys: str, leaving: Leaving | None, text: str) -> None:
    """What a rule says of address, device, mark and header; nothing if it says nothing."""
    rules = ruleset(rule("by", f'allow = ["connect"]\n{keys}'))
    address = Address.parse("198.41.0.4")
    facts = Facts("alice", frozenset(), "connect", None, 443, addresses=(address,))
    outcome = consider(rules, facts)
    said = outcome.verdict.obligations.leaving
    assert said == leaving
    assert ("" if said is None else said.by, outcome.via) == (text, "")


def test_orElse() -> None:
    """Each key of a rule stands in place of the listener's."""
    assert Leaving().orElse(None, None) == Leaving()
    assert Leaving(mark=0).orElse("same", 7) == Leaving(leaveBy=("same",), mark=0)
    own = Leaving(leaveBy=("192.0.2.7",), device="eth1")
    assert own.orElse(("192.0.2.8",), 7) == evolve(own, mark=7)


#: Lines of rules, and whether they make a rule depend on the address of www.example.
TO = {
    "": False,
    'to = ["*.example"]': False,
    'to = ["=www.invalid"]': False,
    'to = ["10.0.0.0/8"]': True,
    'to = ["*.invalid", "10.0.0.0/8"]': True,
    'to = ["=www.example", "10.0.0.0/8"]': False,
}
RESOLVING = {
    "": False,
    'resolving_to = ["any"]': False,
    'resolving_to = ["private"]': True,
}
VERDICTS = [
    'deny = "any"',
    'allow = ["connect"]',
    'allow = ["connect"]\nvia = ["here"]',
    'allow = ["connect"]\nvia = ["here", "there"]',
]
PORTS = ["", "ports = [443]", "ports = [80]"]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(VERDICTS),
            st.sampled_from(list(TO)),
            st.sampled_from(list(RESOLVING)),
            st.sampled_from(PORTS),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_asIfRulesByAddressWereNotThere(
    given_: list[tuple[str, str, str, str, bool]],
) -> None:
    """A name that an upstream looks up is judged by the others alone, in their order."""
    every, others = "", ""
    for i, (verdict, to, resolving, ports, report) in enumerate(given_):
        lines = [verdict, to, resolving, ports, "report_only = true" if report else ""]
        text = rule(f"r{i}", "\n".join(lines))
        every += text
        public = (
            "allow" in verdict
            and "there" not in verdict
            and "example" in to
            and not resolving
        )
        if not (TO[to] or RESOLVING[resolving] or public):
            others += text
    asked = question("www.example", command="connect", port=443)
    found = compiled(UPSTREAMS + every).ruleset.byName(asked)
    wanted = compiled(UPSTREAMS + others).ruleset.judge(asked, Address.parse(PUBLIC))
    assert (found.allowed, found.rule) == (wanted.allowed, wanted.rule)
