"""
What a configuration means as a whole: names that are declared nowhere, and
fields that can have no effect.
"""

from __future__ import annotations

import pytest

from tests.tools.examining import examined

HEAD = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.1"]
[groups]
staff = ["alice"]
[services]
web = ["tcp/80", "tcp/443"]
dns = ["udp/53"]
both = ["tcp/53", "udp/53"]
[schedules]
office = { hours = "08:00-18:00" }
"""
RULE = '[[rule]]\nid = "r"\nallow = ["connect"]\n'
EXPECT = '[[expect]]\nto = "8.8.8.8:80"\nverdict = "allow"\nwho = "alice"\n'


def test_remedyForSources() -> None:
    """A word that is none is told to be a host's name only where one can stand."""
    ((_, source),) = problems(RULE + 'from = ["office"]')
    ((_, destination),) = problems(RULE + 'to = ["office"]')
    assert "host name" not in source
    assert '"=office"' in destination


def problems(text: str) -> list[tuple[str, str]]:
    return [
        (each.path, each.text) for each in examined(HEAD + text, checkers=False).errors
    ]


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        # Methods that are not there.
        (RULE + 'method = ["usrpass"]', "rule[0].method", "userpass"),
        (RULE + 'method = "usrpass"', "rule[0].method", "usrpass"),
        (RULE + 'who = ["bot-*"]', "rule[0].who[0]", "no patterns"),
        ('[groups.bots]\nmembers = ["bot-?"]\n', "groups.bots[0]", "no patterns"),
        (
            '[gateway]\ntrusted_groups = ["nobody here"]',
            "gateway.trusted_groups[0]",
            "no such group",
        ),
        # What may be meant.
        (RULE + 'who = ["@staf"]', "rule[0].who[0]", 'did you mean "@staff"?'),
        (RULE + 'services = ["wb"]', "rule[0].services[0]", 'did you mean "web"?'),
        (RULE + 'during = ["offce"]', "rule[0].during[0]", 'did you mean "office"?'),
        (RULE + 'to = ["privat"]', "rule[0].to[0]", 'did you mean "private"?'),
        (RULE + 'listener = ["mian"]', "rule[0].listener[0]", 'did you mean "main"?'),
        (RULE + 'method = "nnone"', "rule[0].method", 'did you mean "none"?'),
        # Facts that cannot be.
        (RULE + EXPECT.replace("alice", "bot-*"), "expect[0].who", "one user"),
        (RULE + EXPECT + 'groups = ["stuff"]', "expect[0].groups", "[groups]"),
        (RULE + EXPECT + 'listener = "lan"', "expect[0].listener", '"lan"'),
        (RULE + EXPECT + 'secured = "very"', "expect[0].secured", '"integrity"'),
        (RULE + EXPECT + 'method = "usrpass"', "expect[0].method", "userpass"),
        (RULE + EXPECT + 'method = "none"', "expect[0].method", "anonymous"),
        (
            RULE + EXPECT.replace("alice", "anonymous") + 'method = "userpass"',
            "expect[0].method",
            "not anonymous",
        ),
        (RULE + EXPECT.replace("alice", "@staff"), "expect[0].who", "name of a user"),
        (
            RULE + EXPECT + 'from = "10.0.1.700"',
            "expect[0].from",
            '"10.0.1.700": not an IPv4 address: four numbers up to 255',
        ),
        (
            RULE + EXPECT + 'resolving_to = ["2001:db8:::1"]',
            "expect[0].resolving_to[0]",
            "not an IPv6 address, such as 2001:db8::7",
        ),
        # Addresses and names.
        (RULE + 'to = ["https://a.example:1/b"]', "rule[0].to[0]", '"=a.example"'),
        (RULE + 'to = ["10.0.0.700"]', "rule[0].to[0]", "up to 255"),
        # What can have no effect.
        (RULE + 'timeouts = { idle = "0s" }', "rule[0].timeouts.idle", "longer"),
        (RULE + 'timeouts = { connect = "0s" }', "rule[0].timeouts.connect", "longer"),
        (
            RULE.replace("connect", "udp") + 'timeouts = { idle = "1m" }',
            "rule[0].timeouts.idle",
            "bind and connect",
        ),
        (
            RULE.replace("connect", "bind") + 'timeouts = { connect = "1m" }',
            "rule[0].timeouts.connect",
            "it is for connect",
        ),
        (
            RULE.replace("allow", "deny") + 'timeouts = { idle = "1m" }',
            "rule[0].timeouts.idle",
            "allows nothing",
        ),
        (RULE + 'udp = { replies = "any" }', "rule[0].udp.replies", "udp"),
        (RULE + 'services = ["dns"]', "rule[0].services", "these are udp"),
        (
            RULE.replace("connect", "udp") + 'services = ["web"]',
            "rule[0].services",
            "these are tcp",
        ),
        (
            RULE + 'asked_by = "address"\nto = ["10.0.0.0/8", "*.example"]',
            "rule[0].to[1]",
            "asked_by",
        ),
    ],
)
def test_wrong(text: str, path: str, said: str) -> None:
    """Each is an error at its place, and the only one."""
    found = problems(text)
    assert [place for place, _ in found] == [path], found
    assert said in found[0][1]


@pytest.mark.parametrize(
    "text",
    [
        RULE + 'method = ["userpass", "none"]',
        RULE + 'timeouts = { connect = "1s", idle = "1m" }',
        '[[rule]]\nid = "r"\nallow = "any"\nudp = { replies = "any" }\n'
        'timeouts = { connect = "1s", idle = "1m" }\nservices = ["dns"]\n',
        RULE + 'services = ["both"]',
        RULE.replace("connect", "udp") + 'services = ["both", "web"]',
        RULE + 'asked_by = ["address", "name"]\nto = ["*.example"]',
        RULE.replace('["connect"]', "[]") + 'services = ["dns"]',
        '[[auth.checker]]\nkind = "memory"\nargument = "alice:x"\n'
        '[[auth.choose]]\nmethods = ["userpass"]\n'
        + RULE
        + EXPECT
        + 'groups = ["staff"]\nlistener = "main"\nmethod = "userpass"',
    ],
)
def test_right(text: str) -> None:
    """These have an effect."""
    assert problems(text) == []


def test_whatOnlyReportsExposesNothing() -> None:
    """A rule that grants nothing makes no open relay, and exposes nobody."""
    text = HEAD.replace("127.0.0.1:1080", "0.0.0.0:1080").replace(
        'from = ["127.0.0.1"]\n', ""
    )
    for only, errors in (("false", 1), ("true", 0)):
        rule = f'[[rule]]\nid = "r"\nallow = ["connect"]\nreport_only = {only}\n'
        found = examined(text + rule, checkers=False)
        assert len(found.errors) == len(found.exposures) == errors
