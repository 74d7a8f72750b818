"""
The reference of the configuration's keys: it has all that there are, and no other.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import fields, has

from socksgw.config import schema
from socksgw.config.loading import loads
from socksgw.config.reference import Key, Table, tables, tomlOf
from tests.live.running import ROOT

TABLES = tables()
KEYS = {key.path: key for table in TABLES for key in table.keys}
EXAMPLE = (ROOT / "etc" / "socksgw.toml").read_text("utf-8")

#: Keys of which etc/socksgw.toml shows another value than the default, and says so.
OTHERS = {"gateway.name", "gateway.state_dir", "listen.name", "listen.address"}


#: The tables of the schema.
CLASSES = [
    kind
    for kind in (getattr(schema, name) for name in schema.__all__)
    if isinstance(kind, type) and has(kind)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_everyFieldThatIsDocumented(kind: type) -> None:
    """A docstring names no field that is not there."""
    said = set(re.findall(r"(?m)^@ivar (\w+):", inspect.getdoc(kind) or ""))
    assert said <= {each.name for each in fields(kind)}


@pytest.mark.parametrize("key", [*KEYS.values()], ids=lambda key: key.path)
def test_everyKeyHasAMeaning(key: Key) -> None:
    """It is one sentence at least; type and default are known."""
    assert re.match(r"[A-Z`].*\.\Z", key.meaning), key.meaning
    assert key.kind
    assert not (key.required and key.default)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_everyTableHasAMeaning(table: Table) -> None:
    """Unless its keys are names that the user chooses."""
    named = any(key.path.endswith(".NAME") for key in table.keys)
    assert table.meaning or named or not table.path


def _shown(document: Mapping[str, Any], path: str) -> Iterator[Any]:
    """The values at a path, in every table of an array."""
    found: list[Any] = [document]
    for part in path.split("."):
        found = [
            inner[part]
            for each in found
            for inner in (each if isinstance(each, list) else [each])
            if part in inner
        ]
    yield from found


def test_theDefaultsOfTheExample() -> None:
    """etc/socksgw.toml shows the defaults, where it does not say otherwise."""
    document = tomllib.loads(EXAMPLE)
    compared = 0
    for path, key in KEYS.items():
        if not key.default or path in OTHERS or path.startswith(("rule", "expect")):
            continue
        for value in _shown({k: _first(v) for k, v in document.items()}, path):
            default = tomllib.loads(f"x = {key.default}")["x"]
            assert _same(value, default), path
            compared += 1
    assert compared > 35


def _first(value: Any) -> Any:
    return value[:1] if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    """Whether two values mean the same: 60s is 1m."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def normal(value: Any) -> Any:
        match = re.fullmatch(r"(\d+)([smhd])", value) if type(value) is str else None
        return int(match[1]) * units[match[2]] if match else value

    return bool(normal(one) == normal(other))


def everything() -> str:
    """The example with all that stands in it behind a #, once in each table."""
    text = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", EXAMPLE)
    found: set[tuple[int, str]] = set()
    lines, table = [], 0
    for number, line in enumerate(text.split("\n")):
        if line.startswith("["):
            table = number
        key = re.match(r"[a-z_]+ = ", line)
        if key is None or (table, key[0]) not in found:
            lines.append(line)
        if key is not None:
            found.add((table, key[0]))
    return "\n".join(lines)


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all values of a document that are no tables."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        for each in value:
            yield from paths(each, path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if path in ("groups", "networks", "services", "schedules"):
                name = "NAME"
            yield from paths(inner, f"{path}.{name}" if path else name)
    else:
        yield path


def test_theExample() -> None:
    """etc/socksgw.toml shows each key, perhaps behind a #, and no other."""
    text = everything()
    loads(text, "f")
    shown = set(paths(tomllib.loads(text)))
    # What a method or a kind of checker reads is not the schema's.
    own = ("auth.checker.", "auth.gssapi.", "auth.tls.")
    assert {path for path in shown - KEYS.keys() if not path.startswith(own)} == {
        # Written as an array.
        "groups.NAME",
    }
    missing = KEYS.keys() - shown
    assert not {path for path in missing if not path.startswith("rule.limits.")}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (schema.Timeouts().idle, '"2h"'),
        (schema.RelayConfig().memory, '"256MB"'),
        (("a", "b"), '["a", "b"]'),
        (4096, "4096"),
    ],
)
def test_values(value: Any, shown: str) -> None:
    """Defaults are written as the file has them."""
    assert tomlOf(value) == shown
