"""
The compiled rules against a naive reading of the same configuration.

The reference below knows nothing of the compiled form: it walks the tables
with Python's C{ipaddress}, and takes of the gateway only the kinds of
addresses (tested by themselves in C{test_special}).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config import Config, Group, Listen, Never, Rule
from socksgw.policy.document import Compiler
from socksgw.policy.rules import Asker, Question, Ruleset
from socksgw.policy.special import embedded, kinds
from socksgw.wire.address import Address
from tests.policy.asking import ANONYMOUS, Facts, Somebody, loggedIn

FACTS = Facts()
NETWORKS = {"dc": ("10.1.0.0/16", "*.corp.example"), "home": ("192.168.0.0/16",)}
GROUPS = {"g": ("alice",), "h": ("bob",)}


# The reference.


def inSet(words: Iterable[str], address: Address, port: int) -> bool:
    """Whether an address is among networks, entries and built-in words."""
    for word in words:
        if word in NETWORKS:
            if inSet(NETWORKS[word], address, port):
                return True
        elif word == "any":
            return True
        elif word == "self":
            if FACTS.isSelf(address):
                return True
        elif word == "listeners":
            if FACTS.isListener(address, port):
                return True
        elif word[0] in "*.=":
            continue
        elif word[0].isdigit() or ":" in word:
            if ip_address(address.text) in ip_network(word):
                return True
        elif word in kinds(address):
            return True
    return False


def nameIn(words: Iterable[str], name: str | None) -> bool:
    """Whether the asked name is among the patterns."""
    if name is None:
        return False
    for word in words:
        if word in NETWORKS:
            if nameIn(NETWORKS[word], name):
                return True
        elif word.startswith("*."):
            if name.endswith(word[1:]):
                return True
        elif word.startswith("."):
            if name.endswith(word) or name == word[1:]:
                return True
        elif word.startswith("=") and name == word[1:]:
            return True
    return False


def inPorts(ports: Iterable[int | str], port: int) -> bool:
    for word in ports:
        first, _, last = str(word).partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def isMeant(who: Iterable[str], user: Somebody) -> bool:
    if user.method == "none":
        return "anonymous" in who
    for word in who:
        if word == "users" or (word.startswith("@") and word[1:] in user.groups):
            return True
        if word == user.name and word not in ("anonymous", "users"):
            return True
    return False


def matches(rule: Rule, question: Question, address: Address, user: Somebody) -> bool:
    """Whether one rule matches one address."""
    commands = rule.allow if rule.allow is not None else rule.deny
    assert commands is not None
    if commands == "any":
        # Look-ups are allowed only by name.
        commands = COMMANDS if rule.allow is None else COMMANDS[:-1]
    if question.command not in commands:
        return False
    if rule.who is not None and not isMeant(rule.who, user):
        return False
    if rule.listener is not None and question.asker.listener not in rule.listener:
        return False
    if rule.from_ is not None and not inSet(rule.from_, question.asker.source, 0):
        return False
    if rule.ports is not None and not inPorts(rule.ports, question.port):
        return False
    byName = False
    if rule.to is not None and not inSet(rule.to, address, question.port):
        if not nameIn(rule.to, question.name):
            return False
        byName = True
    if rule.resolving_to is not None:
        return inSet(rule.resolving_to, address, question.port)
    isPublic = not kinds(address)
    return not (byName and rule.allow is not None) or isPublic


def reference(
    config: Config, question: Question, address: Address, user: Somebody
) -> tuple[bool, str]:
    """What the text of the contract says of one address."""
    forms = (address, *embedded(address))
    never = config.never
    banned = ("special", "self") if never.to is None else never.to
    if never.to != ():
        banned = (*banned, *never.also)
    for form in forms:
        # "except" lifts the ban for a literal, not for what is wrapped in one.
        lifted = form == address and any(
            inExcept(word, form, question.port) for word in never.except_
        )
        if inSet(banned, form, question.port) and not lifted:
            return False, "never"
    for form in forms:
        for rule in config.rule:
            if matches(rule, question, form, user):
                if form is address:
                    verdict = (rule.allow is not None, rule.id)
                if rule.allow is None:
                    return False, rule.id
                break
        else:
            return False, "default"
    return verdict


def inExcept(word: str, address: Address, port: int) -> bool:
    if word.startswith("["):
        host, _, number = word[1:].partition("]:")
        return address.text == host and port == int(number)
    if word.count(":") == 1:
        host, _, number = word.partition(":")
        return address.text == host and port == int(number)
    return ip_address(address.text) in ip_network(word)


# What may be asked, small enough for collisions.

CONTENTS = ["10.1.2.3", "10.2.0.1", "192.168.1.1", "8.8.8.8", "9.9.9.1", "127.0.0.1"]
ADDRESSES = [
    *CONTENTS,
    "169.254.169.254",
    "224.0.0.9",
    "0.0.0.0",
    "::1",
    "fd00::1",
    "fe80::1",
    "2620:fe::fe",
    "2001:db8::5",
    *(f"64:ff9b::{inner}" for inner in CONTENTS),
    *(f"2620:fe::5efe:{inner}" for inner in CONTENTS),
]
ADDRESS_WORDS = [
    "any",
    "special",
    "private",
    "loopback",
    "multicast",
    "metadata",
    "self",
    "listeners",
    "home",
    "dc",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "8.0.0.0/7",
    "127.0.0.1",
    "0.0.0.0/0",
    "::/0",
    "2620:fe::/48",
    "fd00::/8",
]
PATTERNS = ["*.corp.example", ".example", "=db.corp.example", "*.example", "=x.test"]
PLAIN = [word for word in ADDRESS_WORDS if word != "dc"]
NAMES = [None, "db.corp.example", "corp.example", "example", "x.test", "y.x.test"]
USERS = [
    ANONYMOUS,
    loggedIn("alice", "g"),
    loggedIn("bob", "h"),
    loggedIn("carol"),
    loggedIn("anonymous"),
]
COMMANDS = ["connect", "bind", "udp", "resolve"]
PORTS = [1, 80, 443, 1080, 8080, 65535]


def some(words: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(words), max_size=3, unique=True).map(tuple)


def maybe(words: list[str]) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | some(words)


@st.composite
def rules(draw: st.DrawFn, number: int) -> Rule:
    commands = draw(st.just("any") | some(COMMANDS))
    isAllow = draw(st.booleans())
    return Rule(
        id=f"r{number}",
        allow=commands if isAllow else None,  # type: ignore[arg-type]
        deny=None if isAllow else commands,  # type: ignore[arg-type]
        who=draw(maybe(["alice", "bob", "@g", "@h", "anonymous", "users"])),
        from_=draw(st.none() | some(PLAIN)),
        listener=draw(st.none() | some(["main", "second"])),
        to=draw(maybe(ADDRESS_WORDS + PATTERNS)),
        resolving_to=draw(st.none() | st.none() | some(PLAIN)),
        ports=draw(
            st.none()
            | st.lists(
                st.sampled_from([80, 443, "1-1023", "443-8080"]), max_size=2
            ).map(tuple)
        ),
    )


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    count = draw(st.integers(0, 5))
    to = draw(st.none() | st.none() | some(PLAIN))
    return Config(
        listen=(Listen(name="main"), Listen(name="second")),
        groups={name: Group(members) for name, members in GROUPS.items()},
        networks=NETWORKS,
        never=Never(
            to=to,
            also=() if to == () else draw(some(PLAIN)),
            except_=draw(
                some(["127.0.0.1:80", "127.0.0.0/8", "[::1]:443", "10.1.2.3", "::1"])
            ),
        ),
        rule=tuple(draw(rules(number)) for number in range(count)),
    )


def compile_(config: Config) -> Ruleset:
    """The rules, also where one of them is unreachable."""
    found = Compiler(config, FACTS).compile()
    assert all("can never match: everything" in e.text for e in found.errors)
    return found.ruleset


@st.composite
def questions(draw: st.DrawFn) -> tuple[Question, Somebody]:
    user = draw(st.sampled_from(USERS))
    return Question(
        Asker(
            user,
            Address.parse(draw(st.sampled_from(ADDRESSES[:16]))),
            draw(st.sampled_from(["main", "second"])),
        ),
        draw(st.sampled_from(COMMANDS)),
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(PORTS)),
    ), user


@settings(deadline=None, max_examples=200)
@given(configurations(), st.lists(questions(), min_size=1, max_size=4))
def test_judgeAgreesWithTheNaiveReading(
    config: Config, asked: list[tuple[Question, Somebody]]
) -> None:
    """
    For any rules, any question and any address: the same answer, by the same
    rule; C{explain} ends with that rule; and C{hopeless} says deny only where
    no address at all is allowed.
    """
    ruleset = compile_(config)
    for question, user in asked:
        anyAllowed = False
        for text in ADDRESSES:
            address = Address.parse(text)
            verdict = ruleset.judge(question, address)
            found = (verdict.allowed, verdict.rule)
            assert found == reference(config, question, address, user)
            anyAllowed = anyAllowed or verdict.allowed
            if not embedded(address) and verdict.rule != "never":
                explained(ruleset, question, address, verdict.rule)
        if question.name is not None and anyAllowed:
            assert ruleset.hopeless(question) is None


def explained(
    ruleset: Ruleset, question: Question, address: Address, rule: str
) -> None:
    """
    Every rule up to the deciding one is told of with what did not hold, and
    the deciding one with nothing.
    """
    steps = ruleset.explain(question, address)
    assert [each for each, _ in steps] == [r.id for r in ruleset.rules[: len(steps)]]
    matched = [each for each, unmet in steps if unmet is None]
    if rule == "default":
        assert matched == []
        assert len(steps) == len(ruleset.rules)
    else:
        assert matched == [rule]
        assert steps[-1] == (rule, None)


@settings(deadline=None, max_examples=150)
@given(configurations(), questions())
def test_anUnreachableRuleReallyNeverDecides(
    config: Config, asked: tuple[Question, Somebody]
) -> None:
    """Where the compiler says that a rule can never match, it never does."""
    found = Compiler(config, FACTS).compile()
    unreachable = {
        config.rule[int(error.path[5:-1])].id
        for error in found.errors
        if "can never match: everything" in error.text
    }
    question, _ = asked
    for text in ADDRESSES:
        verdict = found.ruleset.judge(question, Address.parse(text))
        assert verdict.rule not in unreachable
