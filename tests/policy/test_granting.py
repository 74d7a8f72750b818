"""
What may be granted: a part of a template, and never more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.config.hooks import CONVERTER
from socksgw.config.schema import GrantAsked
from socksgw.policy.granting import Granting, NotGrantable, ruleIdOf, told
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from tests.fakes.policy import Facts, compiled, config, loggedIn, question

TEXT = """
[groups]
ops = ["alice", "bob"]
[networks]
db = ["10.1.0.0/16", "*.db.example"]
[never]
also = ["10.1.9.0/24"]
[[rule]]
id = "slow"
allow = ["connect"]
to = ["1.1.1.1"]
timeouts = { idle = "10m" }
[grants]
longest = "4h"
ticket_pattern = "INC-[0-9]+"
[[grants.may]]
id = "databases"
who = ["@ops", "carol"]
from = ["192.168.0.0/16"]
to = ["db"]
resolving_to = ["10.1.0.0/16"]
ports = [5432, "6000-6099"]
like = "slow"
[[grants.may]]
id = "web"
allow = ["connect", "udp"]
who = ["users"]
to = ["*.example"]
ports = [443]
longest = "1h"
"""
#: What the first template allows a part of.
GOOD: Mapping[str, Any] = {
    "who": ["carol"],
    "to": ["=a.db.example", "10.1.2.3"],
    "ports": [5432],
    "for": "2h",
    "ticket": "INC-7",
}


def asked(**fields: Any) -> GrantAsked:
    """Ask for that, with some fields of its own."""
    document = {**GOOD, **fields}
    return CONVERTER.structure(
        {key: value for key, value in document.items() if value is not None},
        GrantAsked,
    )


def granting(text: str = TEXT) -> tuple[Granting, Ruleset]:
    """Of a configuration that is good."""
    found = compiled(text)
    assert found.errors == []
    made = Granting(config(text), Facts())
    assert made.errors == []
    return made, found.ruleset


def granted(**fields: Any) -> Rule:
    """Return the rule of a grant."""
    made, rules = granting()
    return made.granted(asked(**fields), rules).rule


def refusal(**fields: Any) -> str:
    """Return why it may not be granted."""
    with pytest.raises(NotGrantable) as caught:
        granted(**fields)
    return str(caught.value)


def test_aPart() -> None:
    """What the request leaves out is as the template has it."""
    rule = granted()
    assert rule.ticket == "INC-7"
    rules = Ruleset([rule], granting()[1].never)

    def verdict(user: str, source: str, name: str | None, at: str, port: int) -> bool:
        ask = question(name, user=loggedIn(user), source=source, port=port)
        return rules.judge(ask, Address.parse(at)).allowed

    assert verdict("carol", "192.168.7.7", "a.db.example", "10.1.2.9", 5432)
    assert verdict("carol", "192.168.7.7", None, "10.1.2.3", 5432)
    # Each fact alone makes it none of its business.
    assert not verdict("alice", "192.168.7.7", None, "10.1.2.3", 5432)
    assert not verdict("carol", "172.16.7.7", None, "10.1.2.3", 5432)
    assert not verdict("carol", "192.168.7.7", None, "10.1.2.4", 5432)
    assert not verdict("carol", "192.168.7.7", "b.db.example", "10.1.2.9", 5432)
    assert not verdict("carol", "192.168.7.7", "a.db.example", "10.2.2.9", 5432)
    assert not verdict("carol", "192.168.7.7", None, "10.1.2.3", 6000)
    # Its time-outs are those of another rule.
    assert rule.obligations.idle == 600


@pytest.mark.parametrize(
    "fields",
    [
        {"who": ["@ops"]},
        {"who": ["alice", "carol"]},
        {"ports": ["6000-6010"]},
        {"from": ["192.168.7.0/24"]},
        {"resolving_to": ["10.1.2.0/24"]},
        {"to": ["db"]},
        {"who": ["dave"], "to": ["=x.example"], "ports": [443], "for": "1h"},
        {"who": ["dave"], "to": ["=x.example"], "ports": [443], "for": "1h",
         "allow": ["udp"]},
    ],
)  # fmt: skip
def test_within(fields: Mapping[str, Any]) -> None:
    """No wider than a template."""
    granted(**fields)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"who": ["dave"]},
            'wider than each of what may be granted: "databases", "web"',
        ),
        ({"who": ["users"]}, "wider"),
        ({"to": ["10.0.0.0/8"]}, "wider"),
        ({"to": ["any"]}, "wider"),
        ({"to": ["*.example"]}, "wider"),
        ({"ports": [22]}, "wider"),
        ({"ports": ["5000-7000"]}, "wider"),
        ({"from": ["any"]}, "wider"),
        ({"resolving_to": ["any"]}, "wider"),
        ({"allow": ["bind"]}, "wider"),
        ({"allow": "any"}, "wider"),
        ({"for": "5h"}, "at most 4h"),
        ({"for": "0s"}, "more than 0s"),
        ({"ticket": "none"}, "does not match INC-[0-9]+"),
        ({"ticket": ""}, "1 to 64"),
        ({"who": ["anonymous"]}, "for users"),
        ({"who": []}, "name somebody"),
        ({"who": ["@nobody"]}, "not declared"),
        ({"who": ["gid:docker"]}, "no rule names"),
        ({"to": ["10.1.9.7"]}, "[never]"),
        ({"to": ["127.0.0.1"]}, "[never]"),
        ({"to": ["dbb"]}, "dbb"),
        ({"ports": [0]}, "1 to 65535"),
        ({"why": "a\nb"}, "one line"),
        ({"to": ["10.1.2.3"] * 65}, "to: has more than 64 words"),
        ({"from": ["10.1.2.3"] * 65}, "from: has more than 64 words"),
        ({"who": ["dave"], "to": ["=x.example"], "ports": [443]}, "at most 1h"),
    ],
)
def test_beyond(fields: Mapping[str, Any], why: str) -> None:
    """Whatever is wider, or not good, with the reason."""
    assert why in refusal(**fields)


def test_nothing() -> None:
    """Without a template nothing may be granted."""
    for text in ("", "[grants]\n"):
        made, rules = granting(text)
        with pytest.raises(NotGrantable, match=r"no \[\[grants\.may"):
            made.granted(asked(), rules)


NAMES = ("a.db.example", "x.example", "y.example", "db.example")
ADDRESSES = ("10.1.2.3", "10.1.9.9", "10.2.0.1", "8.8.8.8")
words = st.sampled_from(
    ["=a.db.example", "*.db.example", "*.example", "10.1.2.0/24", "10.0.0.0/8", "db",
     "any", "private", "8.8.8.8"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["alice", "carol", "dave", "users", "@ops"]), min_size=1),
    st.lists(words, min_size=1, max_size=3),
    st.none() | st.lists(st.sampled_from([443, 5432, "6000-6099", "1-65535"]), min_size=1),
    st.none() | st.lists(st.sampled_from(["private", "any", "10.1.2.0/24"]), min_size=1),
    st.sampled_from([["connect"], ["udp"], ["connect", "udp"], ["bind"]]),
)  # fmt: skip
def test_neverWider(
    who: list[str],
    to: list[str],
    ports: list[int | str] | None,
    resolving: list[str] | None,
    allow: list[str],
) -> None:
    """What a grant allows, its template as a rule allows, whoever asks for what."""
    made, rules = granting()
    fields = {"who": who, "to": to, "ports": ports, "resolving_to": resolving}
    try:
        found = made.granted(asked(**fields, allow=allow, **{"for": "1h"}), rules)
    except NotGrantable:
        return
    template = next(r for t, r in made._templates if t is found.template)
    narrow, wide = (Ruleset([r], rules.never) for r in (found.rule, template))
    for user in ("alice", "carol", "dave"):
        groups = ("ops",) if user == "alice" else ()
        for name in (None, *NAMES):
            for address in map(Address.parse, ADDRESSES):
                for port in (443, 5432, 6050, 80):
                    for command in ("connect", "udp", "bind"):
                        ask = question(
                            name,
                            user=loggedIn(user, *groups),
                            command=command,
                            port=port,
                        )
                        if narrow.judge(ask, address).allowed:
                            assert wide.judge(ask, address).allowed


def test_words() -> None:
    """How a grant is told of, and what its rule is called."""
    assert ruleIdOf(7) == "grant:7"
    assert told(asked(**{"from": ["192.168.0.0/16"]})) == (
        "connect for carol to =a.db.example, 10.1.2.3 ports 5432 from 192.168.0.0/16"
    )
