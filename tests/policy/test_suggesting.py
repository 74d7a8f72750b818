"""
Suggested rules allow what was seen of the subject, and nothing else: told by the naive
reading of the rules.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.loading import loads
from socksgw.config.schema import Config
from socksgw.console.suggest import sift
from socksgw.console.suggestion import asToml
from socksgw.gateway.examination import examine
from socksgw.interfaces import Asker
from socksgw.policy.expectations import unmet
from socksgw.policy.questions import Question
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.suggesting import Subject, confirmed, suggested
from socksgw.wire.address import Address
from tests.fakes.policy import Somebody, loggedIn
from tests.policy.naive import FACTS, reference
from tests.tools.examining import examined

TEXT = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[listen]]
name = "second"
address = ["127.0.0.1:1081"]
[auth]
tag_separator = "+"
[[auth.choose]]
from = ["127.0.0.1", "10.0.0.0/8"]
methods = ["userpass", "none"]
[groups]
g = ["alice", "carol"]
[never]
also = ["10.9.0.0/16"]
[[rule]]
id = "smtp"
deny = "any"
ports = [25]
[[rule]]
id = "web"
allow = ["connect"]
who = ["users"]
to = ["8.8.8.8"]
ports = [443]
"""
CONFIG = loads(TEXT, "gw.toml")
USERS = ("alice", "bob", "carol", "anonymous")
#: Names, with what each of them leads to; nothing for one that was not looked up.
NAMES: Mapping[str, tuple[str, ...]] = {
    "a.example": ("1.1.1.1",),
    "b.example": ("10.1.2.3", "1.1.1.1"),
    "c.example": ("10.1.2.3",),
    "d.example": (),
    "e.example": ("10.9.1.1", "10.1.2.4"),
    "f.example": ("10.9.1.1",),
}
ADDRESSES = ("1.1.1.1", "8.8.8.8", "10.1.2.3", "10.1.2.4", "10.9.1.1", "2620:fe::fe")
PORTS = (443, 22, 25, 8080)
#: A request: user, tag, listener, command, name or address, port, source.
Request = tuple[str, str, str, str, str, int, str]
requests = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(["", "job"]),
    st.sampled_from(["main", "second"]),
    st.sampled_from(["connect", "udp", "bind"]),
    st.sampled_from([*NAMES, *ADDRESSES]),
    st.sampled_from(PORTS),
    st.sampled_from(["10.0.0.7", "10.0.0.8"]),
)


def user(request: Request) -> Somebody:
    """Whose a request is."""
    name = request[0]
    if name == "anonymous":
        return Somebody()
    return loggedIn(name, *(["g"] if name in ("alice", "carol") else []))


def verdicts(
    config: Config, request: Request, *others: str
) -> dict[str, tuple[bool, str]]:
    """
    What the naive reading says of each address that a request may lead to.

    @param others: addresses that a name may have besides.
    """
    _, tag, listener, command, host, port, source = request
    who = user(request)
    tag = "" if who.anonymous else tag
    name = host if host in NAMES else None
    asker = Asker(who, Address.parse(source), listener, "clear", tag)
    ask = Question(asker, command, name, 0 if command == "bind" else port, 1.9e9)
    # Nobody has looked it up, so it may lead anywhere.
    texts = (*(NAMES[host] or ("1.1.1.1",)), *others) if name else (host,)
    return {each: reference(config, ask, Address.parse(each), who) for each in texts}


def line(request: Request, number: int) -> dict[str, Any]:
    """What the journal has of a request, which was denied."""
    name, tag, listener, command, host, port, source = request
    who = user(request)
    found: dict[str, Any] = {
        "n": number, "time": f"2026-11-28T02:10:{number:02d}.000Z",
        "event": "flow" if command == "udp" else "decision",
        "session": number, "listener": listener, "client": f"{source}:4711",
        "protocol": "socks5", "user": name, "method": who.method,
        "command": command, "asked": host, "name": host if host in NAMES else None,
        "port": port, "verdict": "deny", "rule": "default", "why": "", "addresses": [],
    }  # fmt: skip
    if NAMES.get(host):
        found["struck"] = [[each, "default: x"] for each in NAMES[host]]
    if tag and not who.anonymous:
        found["tag"] = tag
    if who.groups:
        found["groups"] = sorted(who.groups)
    return found


def near(request: Request) -> Iterable[Request]:
    """Requests that differ in one thing."""
    name, tag, listener, command, host, port, source = request
    yield from ((u, tag, listener, command, host, port, source) for u in USERS)
    for other in ("", "job", "job2"):
        yield name, other, listener, command, host, port, source
    for other in ("main", "second"):
        yield name, tag, other, command, host, port, source
    for other in ("connect", "udp", "bind"):
        yield name, tag, listener, other, host, port, source
    for other in (*NAMES, *ADDRESSES):
        yield name, tag, listener, command, other, port, source
    for number in (*PORTS, port + 1, port - 1):
        yield name, tag, listener, command, host, number, source
    for other in ("10.0.0.7", "10.0.0.8"):
        yield name, tag, listener, command, host, port, other


SUBJECTS = (
    Subject(user="alice"),
    Subject(user="anonymous"),
    Subject(group="g"),
    Subject(tag="job"),
    Subject(listener="main"),
    Subject(user="alice", listener="second"),
)


def isOf(subject: Subject, request: Request) -> bool:
    """Whether a request is the subject's."""
    return subject.concerns(line(request, 1))


def reached(request: Request, subject: Subject, address: str) -> set[tuple[Any, ...]]:
    """
    What a request is to the rules: who (the group's members are one), the command,
    the port and where it leads, by its name and by its address.
    """
    name, tag, listener, command, host, port, source = request
    who = "@g" if subject.group else name
    if name == "anonymous":
        who = f"anonymous at {source}"
    fixed = (
        who,
        tag if subject.tag else "",
        listener if subject.listener else "",
        command,
        0 if command == "bind" else port,
    )
    # Whoever may reach an address may ask for it by any of its names.
    return {(*fixed, host, address), (*fixed, address, address)}


@settings(max_examples=150, deadline=None)
@given(st.lists(requests, min_size=1, max_size=12), st.sampled_from(SUBJECTS))
def test_exactlyWhatWasSeen(made: list[Request], subject: Subject) -> None:
    """
    All that was denied by no rule is allowed, of the subject; and of what differs in
    one thing nothing that was not seen. TOML is read, checked, and its expectations met.
    """
    # A name that the rule "web" may allow is looked up, and so has addresses.
    made = [
        each
        for each in made
        if NAMES.get(each[4], "x") or (each[3], each[5]) != ("connect", 443)
    ]
    lines = [
        line(each, i)
        for i, each in enumerate(made)
        if not any(ok for ok, _ in verdicts(CONFIG, each).values())
    ]
    examination = examined(CONFIG)
    assert examination.errors == []
    sifted = sift(lines, subject, CONFIG, examination.ruleset, examination.offers)
    found, failed = confirmed(
        suggested(sifted.seen, subject, CONFIG), CONFIG, FACTS, examination.offers
    )
    assert not failed
    out = io.StringIO()
    asToml(found, sifted.others, None, out)
    text = TEXT + out.getvalue()
    after = loads(text, "gw.toml")
    again = examined(after)
    assert again.errors == [], text
    assert sum(map(len, (each.expects for each in found))) == len(after.expect)
    assert list(unmet(after, again.ruleset, again.offers)) == []

    allowed: set[tuple[Any, ...]] = set()
    for each in made:
        if not isOf(subject, each):
            continue
        for address, (ok, rule) in verdicts(CONFIG, each).items():
            known = NAMES.get(each[4], (each[4],))
            if rule == "default" and not ok and _denied(each):
                allowed |= reached(each, subject, address)
                now = verdicts(after, each)[address]
                assert now[0], (each, text)
                if not known or all(a in ("1.1.1.1",) for a in known):
                    # A name of public addresses may have others of these.
                    allowed |= reached(each, subject, "public")
    for each in made:
        for other in near(each):
            # A name may come to lead elsewhere.
            strange = ("10.1.2.3", "10.1.2.4", "10.7.7.7")
            earlier = verdicts(CONFIG, other, *strange)
            for address, (ok, _) in verdicts(after, other, *strange).items():
                before = earlier[address][0]
                if not ok or before:
                    continue
                what = reached(other, subject, address)
                if address in ("1.1.1.1", "8.8.8.8", "2620:fe::fe"):
                    what |= {
                        one
                        for one in reached(other, subject, "public")
                        if one[-2] == other[4]
                    }
                assert what & allowed, (other, address, text)
                assert not subject.user or other[0] == subject.user
                assert not subject.listener or other[2] == subject.listener
                assert not subject.tag or other[1] == subject.tag


def _denied(request: Request) -> bool:
    """Whether a request was denied as a whole: what was not is no denial."""
    return not any(ok for ok, _ in verdicts(CONFIG, request).values())


def suggestions(*made: Request, subject: Subject = SUBJECTS[0]) -> list[dict[str, Any]]:
    """The rules for some requests."""
    found = examined(CONFIG)
    lines = [line(each, i) for i, each in enumerate(made)]
    sifted = sift(lines, subject, CONFIG, found.ruleset, found.offers)
    return [
        {
            "id": each.rule.id,
            "who": each.rule.who,
            "to": each.rule.to,
            "ports": each.rule.ports,
            "resolving_to": each.rule.resolving_to,
            "seen": len(each.seen),
        }
        for each in suggested(sifted.seen, subject, CONFIG)
    ]


def alice(host: str, port: int) -> Request:
    """Something that alice asks for."""
    return "alice", "", "main", "connect", host, port, "10.0.0.7"


def test_grouping() -> None:
    """What has the same ports is one rule; what has not, is not."""
    found = suggestions(
        alice("a.example", 22),
        alice("a.example", 22),
        alice("d.example", 22),
        alice("1.1.1.1", 22),
        alice("a.example", 8080),
        alice("c.example", 22),
    )
    assert [(each["to"], each["ports"], each["resolving_to"]) for each in found] == [
        (("=a.example",), (22, 8080), None),
        (("1.1.1.1", "=d.example"), (22,), None),
        (("=c.example",), (22,), ("10.1.2.3",)),
    ]
    assert [each["seen"] for each in found] == [3, 2, 1]


def test_whatIsNotSuggested() -> None:
    """[never], a rule that denies on purpose, and what is allowed by now: counted."""
    found = examined(CONFIG)
    made = (alice("10.9.1.1", 22), alice("a.example", 25), alice("8.8.8.8", 443))
    lines = [line(each, i) for i, each in enumerate(made)]
    lines.append({**line(alice("a.example", 0), 7), "command": "resolve"})
    lines.append({**line(alice("a.example", 9), 8), "command": "udp"})
    sifted = sift(lines, Subject(user="alice"), CONFIG, found.ruleset, found.offers)
    assert sifted.seen == []
    said = " / ".join(sifted.others)
    for text in (
        "[never]",
        '"smtp" denies on purpose',
        "allows today",
        "resolve",
        "UDP",
    ):
        assert text in said
    sifted = sift(
        lines, Subject(user="alice"), CONFIG, found.ruleset, found.offers, "", ["smtp"]
    )
    assert [each.facts.port for each in sifted.seen] == [25]


def test_odd() -> None:
    """Names of users that look like patterns stay names."""
    who = "a*b?\x7f\U0001f600"
    request = line(alice("a.example", 22), 1)
    request["user"] = who
    found = examined(CONFIG)
    subject = Subject(user=who)
    sifted = sift([request], subject, CONFIG, found.ruleset, found.offers)
    out = io.StringIO()
    made = suggested(sifted.seen, subject, CONFIG)
    asToml(made, {}, None, out)
    after = loads(TEXT + out.getvalue(), "gw.toml")
    rules: Ruleset = examine(after, FACTS, None, []).ruleset
    for name, allowed in ((who, True), ("a1b2\x7f\U0001f600", False)):
        asker = Asker(loggedIn(name), Address.parse("10.0.0.7"), "main")
        ask = Question(asker, "connect", "a.example", 22)
        assert rules.judge(ask, Address.parse("1.1.1.1")).allowed is allowed


def test_whatIsCarried() -> None:
    """Where rules ask what a session carries, something else is supposed."""
    text = TEXT.replace(
        "[[rule]]",
        '[[rule]]\nid = "no-ssh"\ndeny = "any"\napplication = ["ssh"]\n[[rule]]',
        1,
    )
    config = loads(text, "gw.toml")
    before = examined(config)
    lines = [line(alice("1.1.1.1", 22), 1)]
    sifted = sift(lines, SUBJECTS[0], config, before.ruleset, before.offers)
    found, failed = confirmed(
        suggested(sifted.seen, SUBJECTS[0], config), config, FACTS, before.offers
    )
    assert not failed
    out = io.StringIO()
    asToml(found, {}, None, out)
    assert "# what it carries is not known" in out.getvalue()
    after = examined(loads(text + out.getvalue(), "gw.toml"))
    assert after.errors == []
