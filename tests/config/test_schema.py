"""
What the configuration schema takes: each key, and no value of another type.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from attrs import fields, has

from socksgw.config.loading import loads
from socksgw.config.schema import Config, Group
from tests.tools.examining import LISTEN, RULE, problems

TABLES = {
    "gateway.name": "gateway = {{ name = {} }}",
    "timeouts.idle": "timeouts = {{ idle = {} }}",
    "relay.memory": "relay = {{ memory = {} }}",
    "inspect.octets": "inspect = {{ octets = {} }}",
    "inspect.timeout": "inspect = {{ timeout = {} }}",
    "inspect.mismatch": "inspect = {{ mismatch = {} }}",
    "resolver.servers": "resolver = {{ servers = {} }}",
    "resolver.family": "resolver = {{ family = {} }}",
    "listen[0].name": "listen = [{{ name = {} }}]",
    "listen[0].address": 'listen = [{{ name = "a", address = {} }}]',
    "listen[0].endpoint": 'listen = [{{ name = "a", endpoint = {} }}]',
    "listen[0].protocols": 'listen = [{{ name = "a", protocols = {} }}]',
    "listen[0].fast_open": 'listen = [{{ name = "a", fast_open = {} }}]',
    "listen[0].stack": 'listen = [{{ name = "a", stack = {} }}]',
    "listen[0].half_open": 'listen = [{{ name = "a", half_open = {} }}]',
    "listen[0].multicast.interface": (
        'listen = [{{ name = "a", multicast = {{ interface = {} }} }}]'
    ),
    "listen[0].multicast.groups": (
        'listen = [{{ name = "a", multicast = {{ groups = {} }} }}]'
    ),
    "listen[0].multicast.tunnels": (
        'listen = [{{ name = "a", multicast = {{ tunnels = {} }} }}]'
    ),
    "auth.checkers": "auth = {{ checkers = {} }}",
    "auth.cache": "auth = {{ cache = {} }}",
    "auth.choose[0].methods": "auth = {{ choose = [{{ methods = {} }}] }}",
    "auth.choose[0].from": "auth = {{ choose = [{{ methods = [], from = {} }}] }}",
    "auth.choose[0].cleartext_passwords": (
        "auth = {{ choose = [{{ methods = [], cleartext_passwords = {} }}] }}"
    ),
    "groups.g": "groups = {{ g = {} }}",
    "networks.n": "networks = {{ n = {} }}",
    "http.reasons": "http = {{ reasons = {} }}",
    "http.realm": "http = {{ realm = {} }}",
    "pac.host": "pac = {{ address = [], host = {} }}",
    "admin.endpoint": "admin = {{ endpoint = {} }}",
    "cluster.url": 'cluster = {{ members = ["a"], url = {} }}',
    "cluster.members": 'cluster = {{ url = "u", members = {} }}',
    "cluster.ttl": 'cluster = {{ url = "u", members = ["a"], ttl = {} }}',
    "metrics.otlp.url": "metrics = {{ otlp = {{ url = {} }} }}",
    "admin.mode": "admin = {{ mode = {} }}",
    "admin.hosts": "admin = {{ hosts = {} }}",
    "admin.public": "admin = {{ public = {} }}",
    "admin.token[0].file": ('admin = {{ token = [{{ name = "n", file = {} }}] }}'),
    "never.also": "never = {{ also = {} }}",
    "never.to": "never = {{ to = {} }}",
    "never.except": "never = {{ except = {} }}",
    "rule[0].id": "rule = [{{ id = {} }}]",
    "rule[0].allow": 'rule = [{{ id = "r", allow = {} }}]',
    "rule[0].deny": 'rule = [{{ id = "r", deny = {} }}]',
    "rule[0].who": 'rule = [{{ id = "r", who = {} }}]',
    "rule[0].from": 'rule = [{{ id = "r", from = {} }}]',
    "rule[0].listener": 'rule = [{{ id = "r", listener = {} }}]',
    "rule[0].multicast.send": ('rule = [{{ id = "r", multicast = {{ send = {} }} }}]'),
    "rule[0].multicast.ttl": 'rule = [{{ id = "r", multicast = {{ ttl = {} }} }}]',
    "rule[0].multicast.sources": (
        'rule = [{{ id = "r", multicast = {{ sources = {} }} }}]'
    ),
    "rule[0].multicast.interface": (
        'rule = [{{ id = "r", multicast = {{ interface = {} }} }}]'
    ),
    "rule[0].to": 'rule = [{{ id = "r", to = {} }}]',
    "rule[0].resolving_to": 'rule = [{{ id = "r", resolving_to = {} }}]',
    "rule[0].ports": 'rule = [{{ id = "r", ports = {} }}]',
    "rule[0].services": 'rule = [{{ id = "r", services = {} }}]',
    "rule[0].during": 'rule = [{{ id = "r", during = {} }}]',
    "rule[0].until": 'rule = [{{ id = "r", until = {} }}]',
    "rule[0].ticket": 'rule = [{{ id = "r", ticket = {} }}]',
    "rule[0].secured": 'rule = [{{ id = "r", secured = {} }}]',
    "rule[0].application": 'rule = [{{ id = "r", application = {} }}]',
    "rule[0].server_name": 'rule = [{{ id = "r", server_name = {} }}]',
    "rule[0].via": 'rule = [{{ id = "r", via = {} }}]',
    "upstream[0].name": 'upstream = [{{ name = {}, url = "u" }}]',
    "upstream[0].url": 'upstream = [{{ name = "u", url = {} }}]',
    "upstream[0].resolve": 'upstream = [{{ name = "u", url = "u", resolve = {} }}]',
    "decider[0].name": 'decider = [{{ name = {}, url = "u" }}]',
    "decider[0].rule": 'decider = [{{ name = "d", url = "u", rule = {} }}]',
    "decider[0].cleartext": 'decider = [{{ name = "d", url = "u", cleartext = {} }}]',
    "decider[0].on_failure": 'decider = [{{ name = "d", url = "u", on_failure = {} }}]',
    "grants.approvers": "grants = {{ approvers = {} }}",
    "grants.longest": "grants = {{ longest = {} }}",
    "grants.may[0].id": "grants = {{ may = [{{ id = {} }}] }}",
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
    "log.format": "log = {{ format = {} }}",
    "log.level": "log = {{ level = {} }}",
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
    "inspect.octets": {"an integer"},
    "inspect.timeout": set(),
    "inspect.mismatch": set(),
    "resolver.family": set(),
    "listen[0].name": STRINGS,
    "listen[0].endpoint": STRINGS,
    "listen[0].protocols": set(),
    "listen[0].fast_open": {"a boolean", "false"},
    "listen[0].stack": set(),
    "listen[0].half_open": INTEGERS,
    "listen[0].multicast.interface": STRINGS,
    "listen[0].multicast.groups": INTEGERS,
    "listen[0].multicast.tunnels": {"a boolean", "false"},
    "rule[0].multicast.send": {"a boolean", "false"},
    "rule[0].multicast.ttl": INTEGERS,
    "rule[0].multicast.interface": STRINGS,
    "auth.cache": set(),
    "auth.choose[0].cleartext_passwords": {"a boolean", "false"},
    "rule[0].id": STRINGS,
    "rule[0].ports": {"an array", "an array of integers"},
    "rule[0].until": set(),
    "rule[0].ticket": STRINGS,
    "rule[0].secured": STRINGS | ARRAYS,
    "rule[0].application": STRINGS | ARRAYS,
    "rule[0].via": ARRAYS | {"an array of arrays"},
    "upstream[0].name": STRINGS,
    "upstream[0].url": STRINGS,
    "upstream[0].resolve": set(),
    "decider[0].name": STRINGS,
    "decider[0].rule": ARRAYS,
    "decider[0].cleartext": {"a boolean", "false"},
    "decider[0].on_failure": set(),
    "grants.approvers": ARRAYS,
    "grants.longest": set(),
    "grants.may[0].id": STRINGS,
    "rule[0].report_only": {"a boolean", "false"},
    "rule[0].timeouts.idle": set(),
    "schedules.s.hours": STRINGS,
    "schedules.s.days": STRINGS | ARRAYS,
    "schedules.s.until": {"a date"},
    "expect[0].to": STRINGS,
    "expect[0].verdict": set(),
    "limit[0].per": set(),
    "limit[0].sessions": INTEGERS,
    "http.reasons": {"a boolean", "false"},
    "http.realm": STRINGS,
    "pac.host": STRINGS,
    "admin.endpoint": STRINGS | ARRAYS,
    "cluster.url": STRINGS,
    "cluster.members": ARRAYS,
    "cluster.ttl": set(),
    "metrics.otlp.url": STRINGS,
    "admin.mode": STRINGS,
    "admin.public": set(),
    "admin.token[0].file": STRINGS,
    "audit.journal": STRINGS,
    "audit.on_failure": set(),
    "audit.sync": set(),
    "audit.keep": set(),
    "audit.max_size": {"an integer"},
    "audit.when_full": set(),
    "log.format": set(),
    "log.level": set(),
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


def test_groupsAreArraysOrTables() -> None:
    """A group is an array of users, or a table that also names a directory's."""
    text = (
        'groups = { a = ["x"], b = { members = ["y"], directory = ["CN=b"] }, '
        'c = { directory = [] }, d = { token = ["ci"] }, e = { sid = "S-1-5-32-544" } }'
    )
    assert loads(text, "f").groups == {
        "a": Group(("x",)),
        "b": Group(("y",), ("CN=b",)),
        "c": Group(),
        "d": Group(token=("ci",)),
        "e": Group(sid=("S-1-5-32-544",)),
    }
    assert problems('groups = { a = "x", b = { member = [] }, c = [1] }') == [
        ("groups.a", "must be an array of users, or a table with members, "
         "directory, sid and token, not a string"),
        ("groups.b.member", 'unknown key; did you mean "members"?'),
        ("groups.c[0]", "must be a string, not an integer"),
    ]  # fmt: skip


def test_aRulesLimitsSayOfWhom() -> None:
    """`per` is needed there, too."""
    text = LISTEN + RULE + "limits = { sessions = 1 }"
    assert problems(text) == [("rule[0].limits.per", "is missing, and is needed")]
