"""
What clients want in groups, beside what the rule that allows the group lets them do.
"""

from __future__ import annotations

import pytest

from socksgw.policy.joining import Joining, Lack, lackOf
from socksgw.wire.address import Address
from tests.fakes.policy import question, ruleset

RULES = """
[[upstream]]
name = "far"
url = "socks5://192.0.2.1:1080"
[[rule]]
id = "hear"
allow = ["multicast"]
to = ["239.1.0.0/16"]
multicast = { sources = ["198.51.100.0/24"] }
[[rule]]
id = "talk"
allow = ["multicast"]
to = ["239.2.0.0/16"]
multicast = { send = true, ttl = 8 }
[[rule]]
id = "far"
allow = ["multicast"]
to = ["239.3.0.0/16"]
via = ["far"]
"""
GOOD, OTHER = Address.parse("198.51.100.1"), Address.parse("203.0.113.1")


@pytest.mark.parametrize(
    ("group", "joining", "lack"),
    [
        ("239.1.0.1", Joining(), None),
        ("239.1.0.1", Joining(None, (GOOD,)), None),
        ("239.1.0.1", Joining(None, (GOOD, OTHER)), Lack.SENDERS),
        ("239.1.0.1", Joining(1), Lack.SENDING),
        ("239.2.0.1", Joining(None, (OTHER,)), None),
        ("239.2.0.1", Joining(8), None),
        ("239.2.0.1", Joining(9), Lack.TTL),
        ("239.3.0.1", Joining(), Lack.UPSTREAMS),
    ],
)
def test_lack(group: str, joining: Joining, lack: Lack | None) -> None:
    """What is more than the rule's terms is told by its kind, and nothing else is."""
    asked = question(command="multicast", port=5004)
    verdict = ruleset(RULES).judge(asked, Address.parse(group))
    assert verdict.allowed, verdict.why
    found = lackOf(joining, verdict.obligations)
    assert (found and found[0]) == lack
