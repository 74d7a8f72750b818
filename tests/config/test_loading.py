"""
The configuration file: its shape (C{socksgw.config}), what it means as a whole
(C{socksgw.gateway.examination}), and what applies without one (C{socksgw.config.defaults}).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import fields, has
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from socksgw.config.defaults import defaultConfig, listeningOn, withoutCheckers
from socksgw.config.loading import ConfigError, load, loads
from socksgw.config.schema import Checker, Config, Group, Quota
from socksgw.gateway.examination import examine
from socksgw.interfaces import IVerifyingMethod
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.passwords import setPassword
from socksgw.login.secrets import setSecret
from socksgw.plugins import auth_none
from tests.fakes.policy import Facts
from tests.live.running import ROOT
from tests.tools.certificates import HOUR, Authority, dns, pemOf, server
from tests.tools.editors import EDITED, wide
from tests.tools.examining import LISTEN, PYTHON, examined, wrong

RULE = '[[rule]]\nid = "r"\nallow = ["connect"]\n'


def problems(text: str) -> list[tuple[str, str]]:
    """What is wrong with the shape of C{text}: places and texts."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "gw.toml")
    for line in caught.value.lines():
        assert re.match(r"gw\.toml(:\d+)?: ", line)
        assert "\n" not in line
    for problem in caught.value.problems:
        assert not PYTHON.search(problem.text), problem.text
    return [(p.path, p.text) for p in caught.value.problems]


# Strictness.

TABLES = {
    "gateway.name": "gateway = {{ name = {} }}",
    "timeouts.idle": "timeouts = {{ idle = {} }}",
    "relay.memory": "relay = {{ memory = {} }}",
    "resolver.servers": "resolver = {{ servers = {} }}",
    "resolver.family": "resolver = {{ family = {} }}",
    "listen[0].name": "listen = [{{ name = {} }}]",
    "listen[0].address": 'listen = [{{ name = "a", address = {} }}]',
    "listen[0].endpoint": 'listen = [{{ name = "a", endpoint = {} }}]',
    "listen[0].protocols": 'listen = [{{ name = "a", protocols = {} }}]',
    "listen[0].half_open": 'listen = [{{ name = "a", half_open = {} }}]',
    "auth.checkers": "auth = {{ checkers = {} }}",
    "auth.cache": "auth = {{ cache = {} }}",
    "auth.choose[0].methods": "auth = {{ choose = [{{ methods = {} }}] }}",
    "auth.choose[0].from": "auth = {{ choose = [{{ methods = [], from = {} }}] }}",
    "auth.choose[0].cleartext_passwords": (
        "auth = {{ choose = [{{ methods = [], cleartext_passwords = {} }}] }}"
    ),
    "groups.g": "groups = {{ g = {} }}",
    "networks.n": "networks = {{ n = {} }}",
    "never.also": "never = {{ also = {} }}",
    "never.to": "never = {{ to = {} }}",
    "never.except": "never = {{ except = {} }}",
    "rule[0].id": "rule = [{{ id = {} }}]",
    "rule[0].allow": 'rule = [{{ id = "r", allow = {} }}]',
    "rule[0].deny": 'rule = [{{ id = "r", deny = {} }}]',
    "rule[0].who": 'rule = [{{ id = "r", who = {} }}]',
    "rule[0].from": 'rule = [{{ id = "r", from = {} }}]',
    "rule[0].listener": 'rule = [{{ id = "r", listener = {} }}]',
    "rule[0].to": 'rule = [{{ id = "r", to = {} }}]',
    "rule[0].resolving_to": 'rule = [{{ id = "r", resolving_to = {} }}]',
    "rule[0].ports": 'rule = [{{ id = "r", ports = {} }}]',
    "rule[0].services": 'rule = [{{ id = "r", services = {} }}]',
    "rule[0].during": 'rule = [{{ id = "r", during = {} }}]',
    "rule[0].until": 'rule = [{{ id = "r", until = {} }}]',
    "rule[0].ticket": 'rule = [{{ id = "r", ticket = {} }}]',
    "rule[0].secured": 'rule = [{{ id = "r", secured = {} }}]',
    "rule[0].report_only": 'rule = [{{ id = "r", report_only = {} }}]',
    "rule[0].timeouts.idle": 'rule = [{{ id = "r", timeouts = {{ idle = {} }} }}]',
    "include": "include = {}",
    "services.s": "services = {{ s = {} }}",
    "schedules.s.hours": "schedules = {{ s = {{ hours = {} }} }}",
    "schedules.s.days": "schedules = {{ s = {{ days = {} }} }}",
    "schedules.s.until": "schedules = {{ s = {{ until = {} }} }}",
    "expect[0].to": 'expect = [{{ verdict = "deny", to = {} }}]',
    "expect[0].verdict": 'expect = [{{ to = "a:1", verdict = {} }}]',
    "limit[0].per": "limit = [{{ per = {}, sessions = 1 }}]",
    "limit[0].sessions": 'limit = [{{ per = "all", sessions = {} }}]',
    "audit.journal": "audit = {{ journal = {} }}",
    "audit.on_failure": "audit = {{ on_failure = {} }}",
    "audit.sync": "audit = {{ sync = {} }}",
    "audit.keep": "audit = {{ keep = {} }}",
    "audit.max_size": "audit = {{ max_size = {} }}",
    "audit.when_full": "audit = {{ when_full = {} }}",
}
VALUES = {
    "a string": '"connect"',
    "an integer": "7",
    "a negative integer": "-7",
    "a float": "7.0",
    "a boolean": "true",
    "false": "false",
    "an array": '["connect"]',
    "an array of integers": "[7]",
    "an array of booleans": "[true]",
    "an array of floats": "[7.0]",
    "an array of arrays": '[["connect"]]',
    "a table": "{ a = 1 }",
    "a date": "2026-01-01",
    "not a number": "nan",
}
STRINGS = {"a string"}
INTEGERS = {"an integer", "a negative integer"}
ARRAYS = {"an array"}
RIGHT = {
    "gateway.name": STRINGS,
    "timeouts.idle": set(),
    "relay.memory": {"an integer"},
    "resolver.family": set(),
    "listen[0].name": STRINGS,
    "listen[0].endpoint": STRINGS,
    "listen[0].protocols": set(),
    "listen[0].half_open": INTEGERS,
    "auth.cache": set(),
    "auth.choose[0].cleartext_passwords": {"a boolean", "false"},
    "rule[0].id": STRINGS,
    "rule[0].ports": {"an array", "an array of integers"},
    "rule[0].until": set(),
    "rule[0].ticket": STRINGS,
    "rule[0].secured": STRINGS | ARRAYS,
    "rule[0].report_only": {"a boolean", "false"},
    "rule[0].timeouts.idle": set(),
    "schedules.s.hours": STRINGS,
    "schedules.s.days": STRINGS | ARRAYS,
    "schedules.s.until": {"a date"},
    "expect[0].to": STRINGS,
    "expect[0].verdict": set(),
    "limit[0].per": set(),
    "limit[0].sessions": INTEGERS,
    "audit.journal": STRINGS,
    "audit.on_failure": set(),
    "audit.sync": set(),
    "audit.keep": set(),
    "audit.max_size": {"an integer"},
    "audit.when_full": set(),
}


@pytest.mark.parametrize("path", TABLES)
def test_noValueIsTakenForOneOfAnotherType(path: str, tmp_path: Path) -> None:
    """
    No coercion between string, integer, float and boolean; a string is not a
    list. The error is at the value or inside of it.
    """
    for kind, value in VALUES.items():
        text = TABLES[path].format(value)
        if kind in RIGHT.get(path, ARRAYS):
            # For include, it is a file.
            (tmp_path / "connect").touch()
            loads(text, "gw.toml", tmp_path)
        else:
            found = problems(text)
            assert len(found) == 1, (kind, found)
            assert found[0][0].startswith(path), (kind, found)


def test_everyKeyOfTheShapeIsInTheTable() -> None:
    """The test above has one example of everything that is not repeated."""
    seen = {re.sub(r"\[\d+\]", "", path) for path in TABLES}
    tested = {path.split(".")[0] for path in seen}
    ours = {
        a.metadata.get("toml", a.name)
        for a in fields(Config)
        if a.metadata.get("toml", a.name) is not None
    }
    assert ours <= tested
    assert has(Config)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10),
        ("5m", 300),
        ("8h", 28800),
        ("90d", 7776000),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A number and its unit."""
    assert loads(f'timeouts = {{ drain = "{text}" }}', "f").timeouts.drain == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        "-1s",
        "1.5s",
        "1 s",
        "1S",
        "1w",
        "1s ",
        "1s\\n",
        "1_0s",
        "٣s",
        "9" * 400 + "s",
        "9" * 5000 + "s",
    ],
)
def test_whatIsNoDuration(text: str) -> None:
    """Everything else is an error at its place."""
    assert [p for p, _ in problems(f'timeouts = {{ drain = "{text}" }}')] == [
        "timeouts.drain"
    ]


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ('"256MB"', 256_000_000),
        ('"1kB"', 1000),
        ('"64KiB"', 65536),
        ('"1MiB"', 1048576),
        ('"20GB"', 20_000_000_000),
        ('"1GiB"', 1 << 30),
        ('"2TB"', 2 * 10**12),
        ('"5B"', 5),
        ("4096", 4096),
    ],
)
def test_sizes(text: str, octets: int) -> None:
    """MB is 10^6 octets, MiB is 2^20."""
    assert loads(f"relay = {{ memory = {text} }}", "f").relay.memory == octets


@pytest.mark.parametrize(
    "text", ["", "MB", "1.5MB", "-1MB", "1 MB", "1mb", "1M", "9" * 5000 + "MB"]
)
def test_whatIsNoSize(text: str) -> None:
    """Everything else is an error at its place."""
    assert [p for p, _ in problems(f'relay = {{ memory = "{text}" }}')] == [
        "relay.memory"
    ]


def test_valuesAreWhatTheFileSays() -> None:
    """Nothing is lost or turned around on the way."""
    config = loads(
        """
        [resolver]
        servers = ["9.9.9.9"]
        family = "only4"
        [[rule]]
        id = "r"
        deny = ["connect", "udp"]
        from = ["any"]
        ports = [22, "80-90"]
        [never]
        except = ["127.0.0.1:1"]
        [audit]
        sync = "never"
        """,
        "gw.toml",
        Path("/etc"),
    )
    assert config.resolver.servers == ("9.9.9.9",)
    assert config.resolver.family == "only4"
    (rule,) = config.rule
    assert (rule.allow, rule.deny) == (None, ("connect", "udp"))
    assert (rule.from_, rule.ports) == (("any",), (22, "80-90"))
    assert config.never.except_ == ("127.0.0.1:1",)
    assert config.audit.sync == "never"
    assert (config.file, config.directory) == ("gw.toml", Path("/etc"))


# All errors at once.


def test_allErrorsComeAtOnceEachWithItsPath() -> None:
    """Nothing hides behind the first."""
    found = problems(
        """
        nonsense = 1
        [gateway]
        name = 5
        [timeouts]
        idle = 7200
        [[listen]]
        address = "127.0.0.1:1080"
        protocols = ["socks5", "socks6"]
        [[rule]]
        id = "a"
        allow = "connect"
        ports = [1, true, 80.0]
        [[rule]]
        allow = ["connekt"]
        [groups]
        g = ["a", 5]
        """
    )
    assert sorted(path for path, _ in found) == [
        "gateway.name",
        "groups.g[1]",
        "listen[0].address",
        "listen[0].name",
        "listen[0].protocols[1]",
        "nonsense",
        "rule[0].allow",
        "rule[0].ports[1]",
        "rule[0].ports[2]",
        "rule[1].allow",
        "rule[1].id",
        "timeouts.idle",
    ]


@pytest.mark.parametrize(
    ("text", "path", "near"),
    [
        ("gatway = 1", "gatway", "gateway"),
        ("gateway = { nam = 1 }", "gateway.nam", "name"),
        ('listen = [{ name = "a", adress = [] }]', "listen[0].adress", "address"),
        ('rule = [{ id = "r", form = [] }]', "rule[0].form", "from"),
        ('rule = [{ id = "r", port = [] }]', "rule[0].port", "ports"),
        ("never = { excep = [] }", "never.excep", "except"),
        (
            "auth = { choose = [{ methods = [], methds = 1 }] }",
            "auth.choose[0].methds",
            "methods",
        ),
        ("audit = { jurnal = 1 }", "audit.jurnal", "journal"),
    ],
)
def test_unknownKeysAreErrorsWithASuggestion(text: str, path: str, near: str) -> None:
    """A key that we do not know is an error, and the likeliest one is named."""
    ((found, said),) = problems(text)
    assert found == path
    assert f'"{near}"' in said


@pytest.mark.parametrize("key", ["from_", "except_", "file", "directory", "unused"])
def test_ourOwnNamesAreNotKeys(key: str) -> None:
    """What is called so inside is unknown outside."""
    for text, path in (
        (f"{key} = 1", key),
        (f"never = {{ {key} = [] }}", f"never.{key}"),
        (f'rule = [{{ id = "r", {key} = [] }}]', f"rule[0].{key}"),
    ):
        assert [p for p, _ in problems(text)] == [path]


#: Every key of the contract's example that is not built.
NOT_BUILT = {
    "upstream": 'upstream = [{ name = "dmz", url = "socks5://gw2.example:1080" }]',
    "admin": 'admin = { endpoint = "unix:/run/socksgw/admin.sock" }',
    "listen[0].leave_by": 'listen = [{ name = "a", leave_by = ["198.51.100.7"] }]',
    "listen[0].proxy_protocol_from": (
        'listen = [{ name = "a", proxy_protocol_from = ["10.0.0.5"] }]'
    ),
    "rule[0].via": 'rule = [{ id = "r", via = ["dmz"] }]',
    "audit.sinks": 'audit = { sinks = ["sql:sqlite:///audit.db"] }',
    "audit.sink": 'audit = { sink = [{ kind = "sql" }] }',
}


@pytest.mark.parametrize("path", NOT_BUILT)
def test_keysThatAreNotBuiltSaySo(path: str) -> None:
    """A key whose feature is not built yet is an error that says so."""
    ((found, said),) = problems(NOT_BUILT[path])
    assert found == path
    assert "not built yet" in said


def test_groupsAreArraysOrTables() -> None:
    """A group is an array of users, or a table that also names a directory's."""
    text = (
        'groups = { a = ["x"], b = { members = ["y"], directory = ["CN=b"] }, '
        "c = { directory = [] } }"
    )
    assert loads(text, "f").groups == {
        "a": Group(("x",)),
        "b": Group(("y",), ("CN=b",)),
        "c": Group(),
    }
    assert problems('groups = { a = "x", b = { member = [] }, c = [1] }') == [
        ("groups.a", "must be an array of users, or a table with directory and "
         "members, not a string"),
        ("groups.b.member", 'unknown key; did you mean "members"?'),
        ("groups.c[0]", "must be a string, not an integer"),
    ]  # fmt: skip


def test_aRulesLimitsSayOfWhom() -> None:
    """`per` is needed there, too."""
    text = LISTEN + RULE + "limits = { sessions = 1 }"
    assert problems(text) == [("rule[0].limits.per", "is missing, and is needed")]


@pytest.mark.parametrize("per", ["all", "source", "listener", "user", "group", "rule"])
def test_limits(per: str) -> None:
    """Every amount, of everybody, in general and of a rule."""
    amounts = (
        'sessions = 0, associations = 1, new_sessions = 2, rate = "1MB/s", '
        'quota = "1GB/1d", flows = 3, binds = 4'
    )
    rule = RULE.replace('"connect"', '"udp", "bind"')
    text = (
        f'limit = [{{ per = "{per}", {amounts} }}]\n'
        f'groups = {{ staff = ["alice"] }}\n{LISTEN}'
        f'{rule}limits = {{ per = "{per}", {amounts} }}\n'
    )
    found = examined(text)
    assert found.errors == []
    # Groups that are counted are used.
    assert (not found.warnings) is (per == "group")


def test_oddLimits() -> None:
    """What counts nothing is warned of."""
    text = (
        LISTEN
        + '[[limit]]\nper = "group"\nsessions = 1\n'
        + RULE
        + 'limits = { per = "user", flows = 1, associations = 1, binds = 1, sessions = 1 }'
    )
    assert [problem.path for problem in examined(text).warnings] == [
        "limit[0].per",
        "rule[0].limits.associations",
        "rule[0].limits.flows",
        "rule[0].limits.binds",
    ]


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("rate", ["1B/s", "10MB/s", "64KiB/s"], ["10MB", "0/s", "MB/s", 5, "1MB/m"]),
        ("quota", ["1GB/1d", "500/10s"], ["1GB", "1GB/d", "0/1d", "1GB/0s", 7]),
    ],
)
def test_ratesAndQuotas(key: str, good: list[Any], bad: list[Any]) -> None:
    """Octets per second, octets per window."""
    for value in good:
        loads(f'limit = [{{ per = "all", {key} = {json.dumps(value)} }}]', "f")
    for value in bad:
        text = f'limit = [{{ per = "all", {key} = {json.dumps(value)} }}]'
        assert [path for path, _ in problems(text)] == [f"limit[0].{key}"]


def test_tablesOfPlugins() -> None:
    """What is the plug-in's own business is handed on as it stands."""
    text = (
        'auth = { token = { a = 1, b = [2] }, checker = [{ kind = "k", url = ["u"] }] }'
    )
    auth = loads(text, "f").auth
    assert auth.settings == {"token": {"a": 1, "b": [2]}}
    assert auth.checker == (Checker("k", "", {"url": ["u"]}),)
    assert problems("auth = { token = 1 }") == [("auth.token", "unknown key")]
    ((path, said),) = wrong(LISTEN + "[auth]\nthrotle = { per_user = 1 }\n")
    assert path == "auth.throtle"
    assert 'did you mean "throttle"' in said


def test_identitiesAreTakenWhereAMethodVerifies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The Portal takes verified identities only where a method that verifies is
    offered; whatever checkers the command line brings.
    """

    @implementer(IVerifyingMethod)
    class Verifying:
        name, code, help = "verifying", 0x81, ""

        def build(self, settings: object, reactor: object) -> object:
            return self

    methods = {"none": auth_none.method, "verifying": Verifying()}
    monkeypatch.setattr(
        "socksgw.gateway.examining.methods.findMethods", lambda: (methods, [])
    )
    auth = '[auth]\nstrip_realms = ["A"]\n[[auth.choose]]\nmethods = ["%s"]\n'
    for method, expected in (("verifying", True), ("none", False)):
        for brought in (True, False):
            found = examined(LISTEN + auth % method, brought)
            assert found.errors == []
            kinds = [isinstance(c, VerifiedIdentities) for c in found.checkers]
            assert any(kinds) is expected


@pytest.mark.parametrize("realm", ["", "a@B", "A\n"])
def test_realms(realm: str) -> None:
    """A realm is a word."""
    found = wrong(LISTEN + f"[auth]\nstrip_realms = [{json.dumps(realm)}]\n")
    assert [path for path, _ in found] == ["auth.strip_realms[0]"]


TLS = f'{LISTEN}[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\n'
CERTIFICATE = '[[auth.choose]]\nmethods = ["certificate"]\n'


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A directory with a certificate, a key and a CA."""
    root = Authority()
    server(root).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(root.certificate))
    return tmp_path


def test_tls(certified: Path) -> None:
    """Each wrong file, and each wrong key, at its place."""
    assert wrong(loads(TLS, "gw.toml", certified)) == []
    assert set(examined(loads(TLS, "gw.toml", certified)).secured) == {"main"}
    text = TLS + 'client_certificate = "required"\n'
    for more, path in (
        ("", "client_ca"),
        ('client_ca = "nowhere.pem"\n', "client_ca"),
        ('client_ca = "ca.pem"\ncrl = "nowhere.pem"\n', "crl"),
        ('client_ca = "ca.pem"\nidentity = []\n', "identity"),
    ):
        ((found, said),) = wrong(loads(text + more, "gw.toml", certified))
        assert found == f"listen[0].tls.{path}"
        assert said
    (certified / "gw.key").chmod(0o644)
    ((found, said),) = wrong(loads(TLS, "gw.toml", certified))
    assert (found, "chmod o-rwx" in said) == ("listen[0].tls.key", True)


def test_tlsGoesWithAddress(certified: Path) -> None:
    """An endpoint has its own transport."""
    text = TLS.replace('address = ["127.0.0.1:1080"]', 'endpoint = "tcp:1080"')
    ((path, said),) = wrong(loads(text, "gw.toml", certified))
    assert path == "listen[0].tls"
    assert "goes with address" in said


def test_tlsThatAges(certified: Path) -> None:
    """What has expired is a warning: it may be replaced while we serve."""
    old = Authority().issue(dns("localhost"), usage=(), after=-HOUR / 2)
    old.write(certified, "gw")
    found = examined(loads(TLS, "gw.toml", certified))
    assert found.errors == []
    paths = [each.path for each in found.warnings]
    assert paths == ["listen[0].tls.certificate"]


def test_certificateWhereThereCanBeNone(certified: Path) -> None:
    """The method is of no use where nobody is asked for a certificate."""
    asking = TLS + 'client_certificate = "optional"\nclient_ca = "ca.pem"\n'
    other = LISTEN.replace("main", "other").replace("1080", "1081")
    named = CERTIFICATE + 'listener = ["main", "other"]\n'
    for text, missing in (
        (LISTEN + CERTIFICATE, "every listener"),
        (TLS + CERTIFICATE, "every listener"),
        (asking + other + named, '"other"'),
        (asking + other + CERTIFICATE, ""),
    ):
        found = wrong(loads(text, "gw.toml", certified))
        if missing:
            ((path, said),) = found
            assert path == "auth.choose[0].methods"
            assert said.endswith(f"missing on: {missing}")
        else:
            assert found == []


INSIDE = '[[auth.choose]]\nmethods = ["tls"]\n[auth.tls]\n'


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "needs a certificate"),
        ('certificate = "nowhere.pem"', "No such file"),
        ('certificate = "gw.pem"', "others can read it"),
        ('certificate = "gw.pem"\nkey = "ca.pem"', "others can read it"),
        ('certificate = "ca.pem"\nkey = "gw.key"', "not that of"),
        ('certificate = "gw.pem"\nkey = "gw.key"\nport = 1', "unknown key"),
        ('certificate = "gw.pem"\nkey = "gw.key"\nmethods = []', "nobody could"),
        *(
            (f'certificate = "gw.pem"\nkey = "gw.key"\nmethods = ["{name}"]', said)
            for name, said in (
                ("none", "no place inside"),
                ("certificate", "no place inside"),
                ("tls", "no place inside"),
                ("nothing", "there is no method"),
            )
        ),
    ],
)
def test_tlsInsideSOCKS(certified: Path, table: str, said: str) -> None:
    """What is wrong with its table is said there."""
    found = wrong(loads(LISTEN + INSIDE + table + "\n", "gw.toml", certified))
    assert [path for path, _ in found] == [
        "auth.tls" if table else "auth.choose[0].methods[0]"
    ]
    assert said in found[0][1]


def test_loginInsideTLS(certified: Path) -> None:
    """A checker is wanted as outside; passwords are not in the clear."""
    text = LISTEN.replace("127.0.0.1", "10.0.0.2") + INSIDE
    text += 'certificate = "gw.pem"\nkey = "gw.key"\n'
    assert wrong(loads(text, "gw.toml", certified)) == []
    ((path, said),) = wrong(loads(text, "gw.toml", certified), checkers=False)
    assert path == "auth.choose[0].methods"
    assert "there is no checker" in said


def test_passwordsInsideTLS(certified: Path) -> None:
    """They are not in the clear there, also where others can listen."""
    text = TLS.replace("127.0.0.1", "10.0.0.2")
    text += '[[auth.choose]]\nmethods = ["userpass"]\n'
    assert wrong(loads(text, "gw.toml", certified)) == []
    plain = LISTEN.replace("127.0.0.1", "10.0.0.3").replace("main", "plain")
    ((_, said),) = wrong(loads(plain + text, "gw.toml", certified))
    assert '"plain"' in said


STUB = LISTEN + '[auth]\ngssapi = { mechanism = "stub"%s }\n'


@pytest.mark.parametrize(
    ("own", "narrowed", "place"),
    [
        ("", '["integrity"]', None),
        ("", '["integrity", "confidentiality"]', None),
        (', protection = ["clear", "integrity"]', '["clear"]', None),
        # Nothing can be added to what the method accepts.
        ("", '["clear"]', "auth.choose[0].protection"),
        ("", '["integrity", "clear"]', "auth.choose[0].protection"),
        (', protection = ["clear"]', '["integrity"]', "auth.choose[0].protection"),
        ("", '["strong"]', "auth.choose[0].protection"),
        ("", "[]", "auth.choose[0].protection"),
        (', protection = "clear"', '["clear"]', "auth.gssapi"),
    ],
)
def test_anEntryNarrowsProtection(own: str, narrowed: str, place: str | None) -> None:
    """What C{[[auth.choose]]} says of protection only takes away."""
    found = wrong(
        STUB % own + f'[[auth.choose]]\nmethods = ["gssapi"]\nprotection = {narrowed}\n'
    )
    assert [path for path, _ in found] == ([place] if place else [])


def test_protectionOfMethodsWithoutLevels() -> None:
    """It would be without effect, and nobody would know."""
    entry = '[[auth.choose]]\nmethods = ["%s"]\nprotection = ["integrity"]\n'
    ((path, said),) = wrong(LISTEN + entry % "none")
    assert path == "auth.choose[0].protection"
    assert "no method of this entry" in said
    both = entry.replace('"%s"', '"gssapi", "none"')
    assert wrong(STUB % "" + both) == []


def test_theStubIsForThisMachine() -> None:
    """It believes everybody: no listener may be reached by other hosts."""
    text = (STUB % "").replace("127.0.0.1", "10.0.0.2")
    text += '[[listen]]\nname = "lo"\naddress = ["127.0.0.1:1081"]\n'
    text += '[[auth.choose]]\nlistener = ["lo"]\nmethods = ["gssapi"]\n'
    ((path, said),) = wrong(text)
    assert path == "auth.gssapi"
    assert "loopback" in said


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a = ", 1, 5),
        ("[gateway]\nname = nothing\n", 2, 8),
        ('[gateway]\nname = "a"\nname = "b"\n', 3, None),
        ("[gateway\n", 1, 9),
        ("\n\n= 1\n", 3, 1),
    ],
)
def test_syntaxErrorsNameLineAndColumn(text: str, line: int, column: object) -> None:
    """A file that is no TOML says where."""
    ((path, said),) = problems(text)
    assert path == ""
    assert f"line {line}" in said
    assert re.search(r"column \d+", said)
    if column is not None:
        assert f"column {column}" in said


@pytest.mark.parametrize(
    "text",
    ["a = " + "9" * 5000, "a = " + "[" * 3000, "a." * 3000 + "a = 1", "\0", "a = 1\r"],
    ids=["a large number", "deep arrays", "a deep key", "NUL", "a bare CR"],
)
def test_hostileTextIsAnErrorAndNothingElse(text: str) -> None:
    """Whatever stands in the file: a L{ConfigError}."""
    assert problems(text)


def test_aFileThatIsMissing(tmp_path: Path) -> None:
    """One line with the remedy."""
    file = str(tmp_path / "none.toml")
    with pytest.raises(ConfigError) as caught:
        load(file)
    (line,) = caught.value.lines()
    assert line.startswith(f"{file}: cannot be read: No such file")


def test_aFileThatIsADirectory(tmp_path: Path) -> None:
    """The same."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path))


@pytest.mark.parametrize("edited", EDITED)
def test_filesOfAnyEditor(tmp_path: Path, edited: str) -> None:
    """A byte-order mark and other line ends change nothing, in included files, too."""
    main = 'include = ["rules.d/*.toml"]\n\n' + LISTEN + "\n"
    (tmp_path / "rules.d").mkdir()
    found = []
    for edit in (lambda octets: octets, EDITED[edited]):
        (tmp_path / "gw.toml").write_bytes(edit(main.encode()))
        (tmp_path / "rules.d" / "a.toml").write_bytes(edit(RULE.encode()))
        found.append(load(str(tmp_path / "gw.toml")))
    assert found[0] == found[1]
    assert found[0].rule


def test_aWideFile(tmp_path: Path) -> None:
    """UTF-16 is told by name."""
    file = tmp_path / "gw.toml"
    file.write_bytes(wide(LISTEN.encode()))
    with pytest.raises(ConfigError, match="is UTF-16; save the file as UTF-8"):
        load(str(file))


def test_aFileThatIsNotUtf8(tmp_path: Path) -> None:
    """It says where."""
    file = tmp_path / "latin.toml"
    file.write_bytes(b'[gateway]\nname = "K\xf6ln"\n')
    with pytest.raises(ConfigError, match="octet 19: not UTF-8"):
        load(str(file))


def test_relativePathsStartBesideTheFile(tmp_path: Path) -> None:
    """Never the current directory."""
    file = tmp_path / "gw.toml"
    file.write_text("")
    assert load(str(file)).directory == tmp_path


VALID = (ROOT / "etc" / "socksgw.toml").read_text()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_anyMutationIsAConfigurationOrAConfigError(data: st.DataObject) -> None:
    """Whatever happens to a file, no traceback comes of it."""
    text = VALID
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 40))
        pieces = ["", "[", "]", '"', "true", "1", "{}", "[[rule]]\n", "\\", "=", "\n"]
        piece = data.draw(st.sampled_from(pieces) | st.text(max_size=6))
        text = text[:start] + piece + text[end:]
    try:
        found = examined(loads(text, "gw.toml")).errors
    except ConfigError as e:
        found = e.problems
    for problem in found:
        assert not PYTHON.search(re.sub('".*?"', "", problem.text)), problem


# What it means as a whole.


def test_theShippedExampleIsGood() -> None:
    """`etc/socksgw.toml` loads without errors and warnings."""
    found = examine(
        load(str(ROOT / "etc" / "socksgw.toml")), Facts(), MemoryReactorClock()
    )
    assert (found.errors, found.warnings) == ([], [])


def test_theShippedExampleShowsEveryOption() -> None:
    """Every key of the shape stands in it."""

    def keys(kind: Any) -> set[str]:
        found: set[str] = set()
        for attribute in fields(kind):
            name = attribute.metadata.get("toml", attribute.name)
            if name not in (None, "*"):
                found.add(name)
            for inner in (attribute.type, *getattr(attribute.type, "__args__", ())):
                if has(inner) and inner is not Quota:
                    found |= keys(inner)
        return found

    assert len(keys(Config)) > 40
    missing = [key for key in keys(Config) if not re.search(rf"\b{key}\b", VALID)]
    assert sorted(missing) == []


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
            LISTEN + '[[rule]]\nid = "r"\ndeny = "any"\n'
            'limits = { per = "user", sessions = 1 }',
            "rule[0].limits",
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


@pytest.mark.parametrize("checker", ["nonsense:x", "passwd", "passwd:", "", "file:"])
def test_checkersThatCannotBe(checker: str) -> None:
    """A checker that is not found, or not usable, is a start-up error."""
    found = wrong(f'auth = {{ checkers = ["{checker}"] }}\n{LISTEN}', checkers=False)
    assert [path for path, _ in found] == ["auth.checkers[0]"]


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


ROUTABLE = '[[listen]]\nname = "main"\naddress = ["10.0.0.2:1080"]\n'
USERPASS = '[[auth.choose]]\nmethods = ["userpass"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LISTEN + USERPASS, False),
        (ROUTABLE + USERPASS, True),
        (ROUTABLE + USERPASS + "cleartext_passwords = true", False),
        (ROUTABLE + USERPASS + "cleartext_passwords = false", True),
        (ROUTABLE + USERPASS + 'from = ["10.0.0.0/8"]', True),
        (ROUTABLE + LISTEN.replace("main", "lo") + USERPASS, True),
        (
            ROUTABLE + LISTEN.replace("main", "lo") + USERPASS + 'listener = ["lo"]',
            False,
        ),
        (ROUTABLE + USERPASS.replace('"userpass"', '"none", "userpass"'), True),
        (ROUTABLE + USERPASS.replace("userpass", "none"), False),
        ('listen = [{ name = "main", endpoint = "tcp:1080" }]\n' + USERPASS, True),
        ('listen = [{ name = "main", endpoint = "unix:/tmp/x" }]\n' + USERPASS, False),
    ],
)
def test_passwordsInTheClearAreAnError(text: str, expected: bool) -> None:
    """
    userpass on a routable listener without TLS is a load error, unless the
    entry says C{cleartext_passwords = true}.
    """
    found = wrong(text)
    assert [path for path, _ in found] == (["auth.choose[0]"] if expected else [])
    if expected:
        assert "cleartext_passwords" in found[0][1]


def test_userpassWithoutACheckerIsAnError() -> None:
    """Nobody could log in."""
    found = wrong(LISTEN + USERPASS, checkers=False)
    assert [path for path, _ in found] == ["auth.choose[0].methods"]


@pytest.mark.parametrize("name", ["hashes", "secrets", "both"])
@pytest.mark.parametrize("method", ["userpass", "chap"])
def test_aMethodNeedsACheckerForItsOwnCredentials(
    tmp_path: Path, name: str, method: str
) -> None:
    """
    A file of hashes cannot check a response, and one of secrets no password;
    other hosts may use chap without TLS.
    """
    setPassword(tmp_path / "hashes", "alice", b"x")
    setSecret(tmp_path / "secrets", "alice", b"x")
    texts = {"hashes": '"passwd:hashes"', "secrets": '"secrets:secrets"'}
    both = ", ".join(texts.values())
    (tmp_path / "gw.toml").write_text(
        f"{ROUTABLE}[auth]\ncheckers = [{texts.get(name, both)}]\n"
        + USERPASS.replace("userpass", method)
        + "cleartext_passwords = true\n" * (method == "userpass")
    )
    config = load(str(tmp_path / "gw.toml"))
    found = examined(config, checkers=False).errors
    if (method, name) in (("userpass", "secrets"), ("chap", "hashes")):
        (error,) = found
        assert error.path == "auth.choose[0].methods"
        assert {"chap": "secrets:", "userpass": "passwd:"}[method] in error.text
    else:
        assert found == []


def test_aPasswordFileIsBesideTheFileThatNamesIt(tmp_path: Path) -> None:
    """Never in the current directory."""
    (tmp_path / "users").touch(0o600)
    (tmp_path / "gw.toml").write_text(
        f'auth = {{ checkers = ["passwd:users"] }}\n{LISTEN}'
    )
    found = examined(load(str(tmp_path / "gw.toml")), checkers=False)
    assert found.errors == []
    assert len(found.checkers) == 1


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


# Without a file.


def test_theDefaultIsTheContracts() -> None:
    """
    127.0.0.1:1080 and [::1]:1080, no login for clients of this machine, the
    built-in never, deny private, then allow CONNECT (and UDP) to everywhere
    else; the journal in ./var/.
    """
    config = defaultConfig()
    (listen,) = config.listen
    assert listen.address == ("127.0.0.1:1080", "[::1]:1080")
    (choose,) = config.auth.choose
    assert (choose.methods, set(choose.from_ or ())) == (
        ("none",),
        {"127.0.0.0/8", "::1"},
    )
    private, rest = config.rule
    assert (private.deny, private.to) == ("any", ("private",))
    assert (rest.allow, rest.to) == (("connect", "udp"), None)
    assert (config.never.to, config.never.except_) == (None, ())
    assert config.gateway.state_dir == "var"
    found = examined(config)
    assert (found.errors, found.warnings) == ([], [])


def test_listeningElsewhereKeepsTheNames() -> None:
    """
    The first endpoint takes the place of the file's first listener, so that
    rules go on to mean what they meant; rules may name those left out.
    """
    config = loads(
        LISTEN
        + '[[listen]]\nname = "second"\naddress = ["127.0.0.1:2"]\nhalf_open = 7\n'
        + '[[rule]]\nid = "r"\nallow = "any"\nlistener = ["second"]\n',
        "gw.toml",
    )
    one = listeningOn(config, ["127.0.0.1:9"])
    assert [(x.name, x.address, x.endpoint) for x in one.listen] == [
        ("main", ("127.0.0.1:9",), "")
    ]
    assert examined(one).errors == []
    three = listeningOn(config, ["tcp:9", "[::1]:8", "127.0.0.1:7"])
    assert [(x.name, x.address, x.endpoint) for x in three.listen] == [
        ("main", (), "tcp:9"),
        ("second", ("[::1]:8",), ""),
        ("listen-3", ("127.0.0.1:7",), ""),
    ]
    assert three.listen[1].half_open == 7


def test_listeningElsewhereCanExpose() -> None:
    """`--listen` on a routable address is examined like the file's."""
    config = loads(
        LISTEN
        + '[[auth.choose]]\nmethods = ["none"]\n[[rule]]\nid = "r"\nallow = "any"\n',
        "gw.toml",
    )
    assert examined(config).errors == []
    assert [e.path for e in examined(listeningOn(config, ["0.0.0.0:1"])).errors] == [
        "listen[0]"
    ]
    # The default names its clients, so it is no relay for strangers.
    assert examined(listeningOn(defaultConfig(), ["0.0.0.0:1"])).errors == []


def test_checkersOfTheCommandLine() -> None:
    """
    `--auth` replaces the file's checkers and, without a file, offers userpass
    to every source.
    """
    config = withoutCheckers(loads(f'auth={{checkers=["passwd:x"]}}\n{LISTEN}', "f"))
    assert config.auth.checkers == ()
    assert config.auth.choose == ()
    (choose,) = withoutCheckers(defaultConfig()).auth.choose
    assert (choose.methods, choose.from_, choose.listener) == (
        ("userpass",),
        None,
        None,
    )


@pytest.mark.parametrize("where", ["0.0.0.0:1080", "tcp:1080", "[::]:1080"])
def test_passwordsInTheClearOfTheCommandLine(where: str) -> None:
    """
    `--auth` alone does not accept that passwords cross a network: the remedy
    is an option, since there is no file. Loopback needs none.
    """
    config = listeningOn(withoutCheckers(defaultConfig()), [where])
    ((path, said),) = wrong(config)
    assert path == "--auth"
    assert "say --cleartext-passwords to accept that" in said
    accepted = withoutCheckers(defaultConfig(), cleartext=True)
    assert wrong(listeningOn(accepted, [where])) == []
    assert wrong(withoutCheckers(defaultConfig())) == []


@pytest.mark.filterwarnings("ignore:X509.get_:DeprecationWarning")
def test_passwordsInsideAnEndpointsTLS(certified: Path) -> None:
    """Twisted's own TLS endpoints hide them, too; others do not."""
    both = (certified / "gw.pem").read_bytes() + (certified / "gw.key").read_bytes()
    (certified / "pems").mkdir()
    (certified / "pems" / "gw.pem").write_bytes(both)
    for endpoint, clear in (
        (f"tls:{certified}/pems:1443", False),
        (f"ssl:1443:privateKey={certified}/gw.key:certKey={certified}/gw.pem", False),
        ("tcp:1443", True),
    ):
        text = f'listen = [{{ name = "main", endpoint = "{endpoint}" }}]\n' + USERPASS
        assert [path for path, _ in wrong(text)] == ["auth.choose[0]"] * clear, endpoint
