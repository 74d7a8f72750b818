"""
Rules about multicast groups, and which groups are banned before them.
"""

from __future__ import annotations

import pytest

from socksgw.policy.groups import ORDINARY, GroupTerms, isGroup
from socksgw.policy.questions import Verdict
from socksgw.wire.address import Address
from tests.fakes.policy import question, ruleset

RULES = """
[[rule]]
id = "most"
allow = "any"
[[rule]]
id = "tv"
allow = ["multicast"]
to = ["233.1.2.0/24", "ff3e::/16", "224.0.0.0/24"]
ports = [5004]
multicast = { sources = ["198.18.0.0/15"] }
[[rule]]
id = "talk"
allow = ["multicast"]
to = ["239.0.0.0/8", "ff00::/12"]
multicast = { send = true, ttl = 8, interface = "eth2" }
"""


def judged(group: str, port: int = 5004, more: str = "") -> Verdict:
    """Ask the rules about a group."""
    asked = question(command="multicast", port=port)
    return ruleset(more + RULES).judge(asked, Address.parse(group))


@pytest.mark.parametrize(
    ("group", "port", "rule"),
    [
        ("233.1.2.9", 5004, "tv"),
        ("233.1.2.9", 5005, "default"),
        ("ff3e::9", 5004, "tv"),
        ("239.1.1.1", 9, "talk"),
        ("ff05::9", 9, "talk"),
        # Never for what is no group, though "most" allows everything.
        ("192.0.2.7", 9, "never"),
        ("10.0.0.1", 9, "never"),
        # Groups of the local network.
        ("224.0.0.251", 5004, "never"),
        ("ff02::fb", 9, "never"),
        ("ff01::1", 9, "never"),
        ("234.0.0.1", 9, "default"),
    ],
)
def test_rules(group: str, port: int, rule: str) -> None:
    """C{any} does not allow groups, and C{special} bans those of one network alone."""
    assert judged(group, port).rule == rule


@pytest.mark.parametrize(
    ("never", "group", "rule"),
    [
        ('except = ["224.0.0.251"]', "224.0.0.251", "tv"),
        ('except = ["224.0.0.251:5004"]', "224.0.0.251", "tv"),
        ('also = ["233.1.2.9"]', "233.1.2.9", "never"),
        ('also = ["233.1.2.9"]', "233.1.2.10", "tv"),
        ('to = ["multicast"]', "233.1.2.9", "never"),
        ("to = []", "224.0.0.251", "tv"),
        ("to = []", "10.0.0.1", "never"),
    ],
)
def test_never(never: str, group: str, rule: str) -> None:
    """What C{[never]} says of groups."""
    assert judged(group, more=f"[never]\n{never}\n").rule == rule


def test_deniedWithEverything() -> None:
    """C{deny = "any"} denies groups, too."""
    more = '[[rule]]\nid = "none"\ndeny = "any"\nto = ["233.1.2.9"]\n'
    assert judged("233.1.2.9", more=more).rule == "none"
    assert judged("233.1.2.8", more=more).rule == "tv"


def test_terms() -> None:
    """What a rule lets clients do is part of its verdict."""
    assert judged("ff05::9").obligations.groups == GroupTerms(True, 8, None, "eth2")
    terms = judged("233.1.2.9").obligations.groups
    assert (terms.send, terms.ttl, terms.interface) == (False, 1, "")
    assert terms.admits(Address.parse("198.19.0.1"))
    assert not terms.admits(Address.parse("198.20.0.1"))
    assert ORDINARY.admits(Address.parse("192.0.2.1"))


def test_otherCommands() -> None:
    """A datagram of UDP ASSOCIATE to a group is banned, as it was."""
    asked = question(command="udp", port=5004)
    assert ruleset(RULES).judge(asked, Address.parse("233.1.2.9")).rule == "never"


def test_isGroup() -> None:
    """224.0.0.0/4 and ff00::/8."""
    for text, wanted in (
        ("224.0.0.0", True),
        ("239.255.255.255", True),
        ("240.0.0.0", False),
        ("223.255.255.255", False),
        ("ff00::", True),
        ("fe80::1", False),
    ):
        assert isGroup(Address.parse(text)) is wanted
