"""
A naive reading of the rules, and rulesets and questions to compare it on.

The reference below knows nothing of the compiled form: it walks the tables
with Python's C{ipaddress}, and takes of the gateway only the kinds of
addresses (tested by themselves in C{test_special}).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from ipaddress import ip_address as parseAddress
from ipaddress import ip_network as parseNetwork
from random import Random
from typing import Any

from hypothesis import strategies as st

from socksgw.config.schema import (
    Config,
    Group,
    Listed,
    Listen,
    Moment,
    Never,
    Rule,
    Schedule,
)
from socksgw.config.schema.values import CommandName
from socksgw.interfaces import Asker
from socksgw.policy.document import Compiler
from socksgw.policy.questions import Question
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.special import embedded, kinds
from socksgw.wire.address import Address
from tests.fakes.policy import ANONYMOUS, Facts, Somebody, doubted, loggedIn

FACTS = Facts()
NETWORKS = {
    "dc": Listed(("10.1.0.0/16", "*.corp.example")),
    "home": Listed(("192.168.0.0/16",)),
}
GROUPS = {"g": ("alice",), "h": ("bob",)}
SERVICES = {
    "web": ("tcp/80", "tcp/443"),
    "dns": ("udp/53", "tcp/53"),
    "high": ("tcp/1024-65535", "udp/8000-8100"),
}
SCHEDULES = {
    "office": Schedule(days=("mon-fri",), hours="08:00-18:00"),
    "party": Schedule(days=("fri",), hours="22:00-06:00"),
}


# The reference.


@cache
def ip_address(text: str) -> IPv4Address | IPv6Address:
    return parseAddress(text)


@cache
def ip_network(text: str) -> IPv4Network | IPv6Network:
    return parseNetwork(text)


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


def inServices(words: Iterable[str], command: str, port: int) -> bool:
    """Whether a command at a port is one of some services."""
    protocol = "udp" if command == "udp" else "tcp"
    return any(
        inPorts([service.removeprefix(f"{protocol}/")], port)
        for word in words
        for service in SERVICES[word]
        if service.startswith(protocol)
    )


def isDuring(words: Iterable[str], at: float) -> bool:
    """Whether a moment is in one of some schedules."""
    now = datetime.fromtimestamp(at, UTC)
    weekday, hour = now.weekday(), now.hour
    return ("office" in words and weekday < 5 and 8 <= hour < 18) or (
        "party" in words
        and ((weekday == 4 and hour >= 22) or (weekday == 5 and hour < 6))
    )


def isOneOf(words: Iterable[str] | None, word: str | None) -> bool:
    """Whether a word is among those that a rule asks for."""
    return words is None or word in tuple(words)


def isMeant(who: Iterable[str], user: Somebody, allow: bool) -> bool:
    if user.method == "none":
        return "anonymous" in who
    for word in who:
        if word == "users" or (word.startswith("@") and word[1:] in user.groups):
            return True
        if word[1:] in user.unsure and word.startswith("@") and not allow:
            return True
        if word == user.name and word not in ("anonymous", "users"):
            return True
        if word.endswith("*") and word[-2:] != "\\*":
            if user.name.startswith(word[:-1]) and user.name != word[:-1]:
                return True
        elif word.replace("\\*", "*") == user.name and word != "anonymous":
            return True
    return False


def isTagged(words: Iterable[str], tag: str) -> bool:
    """Whether a tag is one of those, or begins as a pattern does, and goes on."""
    return any(
        len(tag) >= len(word) and tag.startswith(word[:-1])
        if word.endswith("*")
        else tag == word
        for word in words
    )


def unmet(
    rule: Rule, question: Question, address: Address, user: Somebody
) -> str | None:
    """
    The first condition of one rule that does not hold for one address, in the
    order of the contract.
    """
    commands = rule.allow if rule.allow is not None else rule.deny
    source = question.asker.source
    assert commands is not None
    assert question.at is not None
    assert source is not None
    if commands == "any":
        # Look-ups are allowed only by name.
        commands = COMMANDS if rule.allow is None else COMMANDS[:-1]
    if question.command not in commands:
        return "command"
    if rule.who is not None and not isMeant(rule.who, user, rule.allow is not None):
        return "who"
    if not isOneOf(rule.listener, question.asker.listener):
        return "listener"
    if rule.from_ is not None and not inSet(rule.from_, source, 0):
        return "from"
    if not isOneOf(rule.method, user.method):
        return "method"
    if not isOneOf(rule.secured, question.asker.secured):
        return "secured"
    if rule.tag is not None and not isTagged(rule.tag, question.asker.tag or ""):
        return "tag"
    if not isOneOf(rule.asked_by, "address" if question.name is None else "name"):
        return "asked_by"
    if rule.until is not None and question.at >= rule.until:
        return "until"
    if rule.during is not None and not isDuring(rule.during, question.at):
        return "during"
    if rule.ports is not None and not inPorts(rule.ports, question.port):
        return "ports"
    if rule.services is not None and not inServices(
        rule.services, question.command, question.port
    ):
        return "services"
    byName = False
    if rule.to is not None and not inSet(rule.to, address, question.port):
        if not nameIn(rule.to, question.name):
            return "to"
        byName = True
    if rule.resolving_to is not None:
        isThere = inSet(rule.resolving_to, address, question.port)
    else:
        # An allow by name is for public addresses.
        isThere = not (byName and rule.allow is not None and kinds(address))
    return None if isThere else "resolving_to"


def matches(rule: Rule, question: Question, address: Address, user: Somebody) -> bool:
    """Whether one rule matches one address."""
    return unmet(rule, question, address, user) is None


def steps(
    config: Config, question: Question, address: Address, user: Somebody
) -> list[tuple[str, str | None]]:
    """Every rule up to the deciding one, with the first condition that fails."""
    found: list[tuple[str, str | None]] = []
    for rule in config.rule:
        why = unmet(rule, question, address, user)
        if why is None and rule.report_only:
            why = "report_only"
        found.append((rule.id, why))
        if why is None:
            break
    return found


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
            if rule.report_only:
                continue
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


def reported(
    config: Config, question: Question, address: Address, user: Somebody
) -> list[str]:
    """The rules that only report, and stand before the one that decides."""
    found = []
    for rule in config.rule:
        if matches(rule, question, address, user):
            if not rule.report_only:
                break
            found.append(f"{rule.id}: {'deny' if rule.allow is None else 'allow'}")
    return found


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
    doubted("dave", "g"),
    loggedIn("anonymous"),
    Somebody("bob", frozenset("gh"), "gssapi"),
    *(loggedIn(f"ci:{rest}") for rest in ("", "a", "a/", "a/b", "a/*", "A/b")),
]
COMMANDS: tuple[CommandName, ...] = ("connect", "bind", "udp", "resolve")
PORTS = [1, 53, 80, 443, 1080, 8080, 65535]
LEVELS = ["clear", "integrity", "confidentiality"]
METHODS = ["none", "userpass", "gssapi"]
#: A Monday in the office, its evening, a Friday night and how it ends.
MOMENTS = [
    datetime.fromisoformat(f"2026-{text}:00Z").timestamp()
    for text in ("03-02T10:00", "03-02T19:00", "03-06T23:00", "03-07T05:00")
]
WHO = [
    "alice", "bob", "@g", "@h", "anonymous", "users", "ci:*", "ci:a/*", "ci:a/b", "ci:a/\\*",
]  # fmt: skip
RULE_TAGS = ["job", "job-*", "job-4*", "*", "release"]
TAGS = ["", "job", "job-", "job-1", "job-47", "release", "release-1"]
RULE_PORTS = [80, 443, "1-1023", "443-8080", "52-54"]


def draw(random: Random, words: Sequence[Any], one: float = 0.5) -> Any:
    """
    Some of the words, or L{None} for a field that a rule does not have.

    @param one: how likely the field is.
    """
    if random.random() > one:
        return None
    count = random.choice([0, 1, 1, 2, 3]) if random.random() < 0.9 else len(words)
    return tuple(random.sample(words, min(count, len(words))))


def someRule(random: Random, number: int) -> Rule:
    """A rule of any fields."""
    commands: Any = "any" if random.random() < 0.5 else draw(random, COMMANDS, 1)
    isAllow = random.random() < 0.5
    return Rule(
        id=f"r{number}",
        allow=commands if isAllow else None,
        deny=None if isAllow else commands,
        who=draw(random, WHO),
        from_=draw(random, PLAIN, 0.3),
        listener=draw(random, ["main", "second"], 0.3),
        to=draw(random, ADDRESS_WORDS + PATTERNS, 0.8),
        resolving_to=draw(random, PLAIN, 0.2),
        ports=draw(random, RULE_PORTS, 0.4),
        services=draw(random, list(SERVICES), 0.2),
        during=draw(random, list(SCHEDULES), 0.2),
        until=Moment(random.choice(MOMENTS)) if random.random() < 0.1 else None,
        secured=draw(random, LEVELS, 0.3),
        method=draw(random, METHODS, 0.3),
        tag=draw(random, RULE_TAGS, 0.3),
        asked_by=draw(random, ["name", "address"], 0.2),
        report_only=random.random() < 0.1,
    )


@st.composite
def configurations(draw_: st.DrawFn, most: int = 40) -> Config:
    """
    Rules of every kind, a few of them or so many that they are found by an
    index; and any [never].
    """
    count = draw_(st.integers(0, 5) | st.integers(17, most))
    random = (
        draw_(st.randoms(use_true_random=False))
        if count <= 5
        else Random(draw_(st.integers(0, 2**32)))
    )
    to = draw(random, PLAIN, 0.3)
    lifted = ["127.0.0.1:80", "127.0.0.0/8", "[::1]:443", "10.1.2.3", "::1"]
    return Config(
        listen=(Listen(name="main"), Listen(name="second")),
        groups={name: Group(members) for name, members in GROUPS.items()},
        networks=NETWORKS,
        services=SERVICES,
        schedules=SCHEDULES,
        never=Never(
            to=to,
            also=() if to == () else draw(random, PLAIN, 1),
            except_=draw(random, lifted, 1),
        ),
        rule=tuple(someRule(random, number) for number in range(count)),
    )


def compile_(config: Config) -> Ruleset:
    """The rules, also where one of them is unreachable."""
    found = Compiler(config, FACTS).compile()
    for error in found.errors:
        assert "can never match: everything" in error.text, error
    return found.ruleset


@st.composite
def questions(draw_: st.DrawFn, sure: bool = False) -> tuple[Question, Somebody]:
    """
    Anybody's question.

    @param sure: only of users whose groups are known.
    """
    random = draw_(st.randoms(use_true_random=False))
    user = random.choice([each for each in USERS if not (sure and each.unsure)])
    asker = Asker(
        user,
        Address.parse(random.choice(ADDRESSES[:16])),
        random.choice(["main", "second"]),
        random.choice(LEVELS),
        random.choice(TAGS),
    )
    return Question(
        asker,
        random.choice(COMMANDS),
        random.choice(NAMES),
        random.choice(PORTS),
        random.choice(MOMENTS),
    ), user
