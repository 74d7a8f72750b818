"""
What a configuration means as a whole: names that are declared nowhere, and
fields that can have no effect.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from tests.tools.examining import HEAD, LISTEN, RULE, examined, wrong

#: An upstream that is checked, one that looks names up, and a rule's way out.
CHECKED = '[[upstream]]\nname = "u"\nurl = "socks5://192.0.2.1:1"\ncheck = { %s }\n'
THERE = '[[upstream]]\nname = "u"\nurl = "socks5://192.0.2.1:1"\nresolve = "there"\n'
VIA = LISTEN + RULE + "via = [[%s]]"

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
        (RULE + 'who = ["bot-*"]', "rule[0].who[0]", 'a "*" is the end of a pattern'),
        (RULE + 'who = ["https://*"]', "rule[0].who[0]", "names of everybody's"),
        (
            '[groups.bots]\nmembers = ["bot-?"]\n',
            "groups.bots[0]",
            "patterns are for who",
        ),
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
        (RULE + 'timeouts = { idle = "0s" }', "rule[0].timeouts.idle", "more than"),
        (
            RULE + 'timeouts = { connect = "0s" }',
            "rule[0].timeouts.connect",
            "more than",
        ),
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


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "listen"),
        ('listen = [{ name = "a" }]', "listen[0]"),
        ('listen = [{ name = "a", address = [] }]', "listen[0]"),
        (
            'listen = [{ name = "a", address = ["127.0.0.1:1"], endpoint = "tcp:1" }]',
            "listen[0]",
        ),
        ('listen = [{ name = "", address = ["127.0.0.1:1"] }]', "listen[0].name"),
        (LISTEN + LISTEN, "listen[1].name"),
        (LISTEN + "protocols = []", "listen[0].protocols"),
        (LISTEN + "half_open = 0", "listen[0].half_open"),
        (LISTEN + "half_open_per_source = -1", "listen[0].half_open_per_source"),
        ('listen = [{ name = "a", address = ["127.0.0.1"] }]', "listen[0].address[0]"),
        ('listen = [{ name = "a", address = ["::1:80"] }]', "listen[0].address[0]"),
        ('listen = [{ name = "a", address = ["h:80"] }]', "listen[0].address[0]"),
        (
            'listen = [{ name = "a", address = ["1.2.3.4:65536"] }]',
            "listen[0].address[0]",
        ),
        ('listen = [{ name = "a", endpoint = "nonsense:1" }]', "listen[0].endpoint"),
        ('listen = [{ name = "a", endpoint = "tcp:x" }]', "listen[0].endpoint"),
        ('listen = [{ name = "a", endpoint = "tcp" }]', "listen[0].endpoint"),
        (
            'listen = [{ name = "a", endpoint = "tcp6:1:interface=::" }]',
            "listen[0].endpoint",
        ),
        ('timeouts = { handshake = "0s" }\n' + LISTEN, "timeouts.handshake"),
        ("auth.throttle.per_user = -1\n" + LISTEN, "auth.throttle.per_user"),
        ("auth.throttle.per_source = -1\n" + LISTEN, "auth.throttle.per_source"),
        ('auth.throttle.window = "0s"\n' + LISTEN, "auth.throttle.window"),
        ('timeouts = { lookup = "0s" }\n' + LISTEN, "timeouts.lookup"),
        ('timeouts = { connect = "0s" }\n' + LISTEN, "timeouts.connect"),
        ('timeouts = { idle = "0s" }\n' + LISTEN, "timeouts.idle"),
        ('relay = { memory = "1000kB" }\n' + LISTEN, "relay.memory"),
        ('gateway = { name = "" }\n' + LISTEN, "gateway.name"),
        ('resolver = { servers = ["dns"] }\n' + LISTEN, "resolver.servers[0]"),
        ('resolver = { servers = ["1.1.1.1:0"] }\n' + LISTEN, "resolver.servers[0]"),
        ('resolver = { servers = ["[::1"] }\n' + LISTEN, "resolver.servers[0]"),
        ('resolver = { servers = ["[::1]53"] }\n' + LISTEN, "resolver.servers[0]"),
        (LISTEN + '[[limit]]\nper = "all"\nsessions = -1', "limit[0].sessions"),
        (LISTEN + '[[limit]]\nper = "all"\nflows = -1', "limit[0].flows"),
        (LISTEN + '[[limit]]\nper = "user"', "limit[0]"),
        (
            LISTEN + RULE + 'limits = { per = "user", new_sessions = -1 }',
            "rule[0].limits.new_sessions",
        ),
        (LISTEN + RULE + 'limits = { per = "user" }', "rule[0].limits"),
        (
            LISTEN + RULE + 'limits = { per = "user", sessions = 1, who = ["x"] }',
            "rule[0].limits.who",
        ),
        (
            LISTEN + '[[rule]]\nid = "r"\ndeny = "any"\n'
            'limits = { per = "user", sessions = 1 }',
            "rule[0].limits",
        ),
        (CHECKED % 'every = "0s"' + LISTEN, "upstream[0].check.every"),
        (CHECKED % 'every = "1s", fall = 0' + LISTEN, "upstream[0].check.fall"),
        (CHECKED % 'every = "1s", rise = 0' + LISTEN, "upstream[0].check.rise"),
        (
            CHECKED % 'every = "1s", target = "x"' + LISTEN,
            "upstream[0].check.target",
        ),
        (LISTEN + RULE + 'via = [["direct"]]', "rule[0].via[0]"),
        (CHECKED % 'every = "1s"' + VIA % '"direct", "u"', "rule[0].via[0]"),
        (CHECKED % 'every = "1s"' + VIA % '"u", "direct"], ["u"', "rule[0].via[0]"),
        (THERE + VIA % '"u", "direct"', "rule[0].via[0]"),
        (
            CHECKED % 'every = "1s"'
            + CHECKED.replace('"u"', '"direct"') % 'every = "1s"'
            + VIA % '"u", "direct"',
            "upstream[1].name",
        ),
        ("audit = { max_size = 999999 }\n" + LISTEN, "audit.max_size"),
        (LISTEN + '[[auth.choose]]\nmethods = ["x"]', "auth.choose[0].methods[0]"),
        (
            LISTEN + '[[auth.choose]]\nmethods = ["none"]\nlistener = ["x"]',
            "auth.choose[0].listener[0]",
        ),
        (
            LISTEN + '[[auth.choose]]\nmethods = ["none"]\nfrom = ["x"]',
            "auth.choose[0].from[0]",
        ),
        (
            LISTEN + '[[auth.choose]]\nmethods = ["none"]\nfrom = ["*.x"]',
            "auth.choose[0].from[0]",
        ),
    ],
)
def test_whatIsWrongInWhatItMeans(text: str, path: str) -> None:
    """Each mistake once, at its place."""
    assert [place for place, _ in wrong(text)] == [path]


def test_errorsOfEveryPartComeAtOnce() -> None:
    """Listeners, authentication and policy are all looked at."""
    found = wrong(
        """
        timeouts = { idle = "0s" }
        listen = [{ name = "a", address = ["x"] }]
        auth = { choose = [{ methods = ["y"] }] }
        rule = [{ id = "r", allow = "any", to = ["z"] }]
        """
    )
    assert [path for path, _ in found] == [
        "timeouts.idle",
        "listen[0].address[0]",
        "auth.choose[0].methods[0]",
        "rule[0].to[0]",
    ]


def test_theLinesForPeople() -> None:
    """Errors, warnings, what is exposed: each in one line, in this order."""
    config = loads(
        LISTEN + '[groups]\ng = []\n[[rule]]\nid = "r"\nallow = "any"\nto = ["x"]\n',
        "gw.toml",
    )
    found = examined(config)
    lines = list(found.lines(config, "cannot be used"))
    assert lines[0].startswith('gw.toml:9: rule[1].to[1] ("r"): ')
    assert lines[1].startswith("warning: gw.toml:5: groups.g: ")
    assert lines[-1] == "exposed without login: nothing"


def test_whatIsServedBesides(tmp_path: Path) -> None:
    """Sinks, without their secrets, and the admin interface: one line each."""
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("a" * 32)
    (tmp_path / "url").touch(0o600)
    (tmp_path / "url").write_text("http://canary.example/in")
    config = loads(
        LISTEN + RULE + "\n"
        '[audit]\nsinks = ["file:lines.jsonl", "stdout:ocsf"]\n'
        '[[audit.sink]]\nname = "far"\nkind = "http"\nurl_file = "url"\nformat = "ecs"\n'
        '[admin]\nendpoint = ["unix:/run/gw/admin.sock", "tcp:127.0.0.1:1081"]\n'
        '[[admin.token]]\nname = "ops"\nfile = "token"\nroles = ["operate"]\n',
        "gw.toml",
        tmp_path,
    )
    found = examined(config, checkers=False)
    assert found.errors == []
    lines = list(found.lines(config, "is good"))
    at = lines.index("the journal goes to:")
    assert lines[at:] == [
        "the journal goes to:",
        "  file:lines.jsonl",
        "  stdout:ocsf",
        '  "far": http, to where url says, as ecs',
        "admin interface:",
        "  unix:/run/gw/admin.sock: root and the gateway's user, tokens ops (operate); "
        "without a token: health",
        "  tcp:127.0.0.1:1081: tokens ops (operate); without a token: health",
    ]
