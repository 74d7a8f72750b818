"""
The keys of the configuration file, read from the schema.

Type and default of a key are those of its field; its meaning is the C{@ivar} of
that field. Nothing is written a second time.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final, Literal, get_args, get_origin

from attrs import NOTHING, Attribute, evolve, fields, frozen, has

from socksgw.config.convert import Duration, Octets
from socksgw.config.schema import (
    Commands,
    Config,
    Listed,
    Moment,
    Port,
    Quota,
    Rate,
    Sync,
    Times,
    Via,
    Words,
    Workers,
)

__all__ = ["Key", "Table", "tables", "tomlOf"]

#: Types whose fields are no keys, and what TOML has for them.
_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    str: "string",
    int: "integer",
    Duration: "duration",
    Octets: "size",
    Rate: "octets per second",
    Quota: "octets per window",
    Times: 'integer, or one with a time such as ``"10/1m"``',
    Moment: "date and time with offset",
    date: "date",
    Port: "port or range of ports",
    Words: "string or array of strings",
    Listed: "array of strings, or table with ``file``",
    Via: "array of strings and of arrays of strings",
    Commands: '``"any"``, or array of ``"connect"``, ``"bind"``, ``"udp"``, ``"multicast"``, '
    '``"resolve"``',
    Sync: 'duration, ``"each"`` or ``"never"``',
    Workers: 'integer or ``"auto"``',
}
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES: Final = (
    (10**12, "TB"),
    (10**9, "GB"),
    (10**6, "MB"),
    (2**20, "MiB"),
    (10**3, "kB"),
    (2**10, "KiB"),
)


@frozen
class Key:
    """
    A key that has a value and no keys below it.

    @ivar path: where it stands, without indices: C{rule.timeouts.idle}.
    @ivar kind: what its value is, in words.
    @ivar default: the value where the key is absent, as TOML has it; empty where
        the meaning says what is then.
    @ivar required: whether it has to be there.
    @ivar meaning: one or more sentences.
    """

    path: str
    kind: str
    default: str
    required: bool
    meaning: str


@frozen
class Table:
    """
    A table of the file.

    @ivar path: where it stands, without indices; empty for what stands above the
        first table.
    @ivar header: how it is written in the file.
    @ivar meaning: one or more paragraphs.
    @ivar keys: what it holds, but for other tables.
    @ivar like: the path of the table that has the same keys and their meaning.
    """

    path: str
    header: str
    meaning: str
    keys: tuple[Key, ...]
    like: str = ""


def tables() -> list[Table]:
    """Return all tables of the file, in the order of the schema."""
    found = list(_tables(Config, "", ""))
    home: dict[str, str] = {}
    for table in sorted(found, key=lambda each: each.path.count(".")):
        home.setdefault(table.meaning or table.path, table.path)
    return [
        evolve(each, like=_other(home[each.meaning or each.path], each.path))
        for each in found
    ]


def _other(home: str, path: str) -> str:
    return "" if home == path else home


def _tables(kind: type, path: str, header: str) -> Iterator[Table]:
    """Yield the table of an attrs class, then those below it."""
    meaning, said = _documented(kind)
    keys: list[Key] = []
    below: list[Table] = []
    for attribute in fields(kind):
        name = attribute.metadata.get("toml", attribute.name)
        if name in (None, "*"):
            continue
        place = f"{path}.{name}" if path else name
        if get_origin(attribute.type) is Mapping:
            inner = get_args(attribute.type)[1]
            below += _named(inner, place, said.get(attribute.name, ""))
        elif (table := _classOf(attribute.type)) is not None:
            several = get_origin(attribute.type) is tuple
            shown = f"[[{place}]]" if several else f"[{place}]"
            below += _tables(table, place, shown)
        else:
            keys.append(_key(attribute, place, said.get(attribute.name, "")))
    if path:
        yield Table(path, header, meaning, tuple(keys))
    else:
        yield Table("", "Above the first table", "", tuple(keys))
    yield from below


def _classOf(kind: Any) -> type | None:
    """Return the attrs class of a table, or of an array of tables; else L{None}."""
    found = (each for each in (kind, *get_args(kind)) if has(each))
    return next((each for each in found if each not in _WORDS), None)


def _named(kind: Any, path: str, meaning: str) -> Iterator[Table]:
    """Yield a table whose keys are names that the user chooses."""
    place = f"{path}.NAME"
    if has(kind):
        (table,) = _tables(kind, place, f"[{path}]")
        yield evolve(table, path=path)
    else:
        key = Key(place, _kindOf(kind), "", False, meaning)
        yield Table(path, f"[{path}]", "", (key,))


def _key(attribute: "Attribute[Any]", path: str, meaning: str) -> Key:
    default: Any = attribute.default
    required = default is NOTHING
    shown = ""
    if not required and default is not None and default != "":
        shown = tomlOf(default)
    return Key(path, _kindOf(attribute.type), shown, required, meaning)


def _kindOf(kind: Any) -> str:
    """Return what a value of a type is in TOML, in words."""
    for known, words in _WORDS.items():
        if kind == known or kind == (known | None):
            return words
    options = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) is tuple:
        inner = options[0]
        if get_origin(inner) is Literal:
            return f"array of {_choice(inner)}"
        return {str: "array of strings", Port: "array of ports and ranges"}[inner]
    if get_origin(kind) is Literal:
        return _choice(kind)
    (inner,) = options
    return _kindOf(inner)


def _choice(kind: Any) -> str:
    *others, last = (f'``"{word}"``' for word in get_args(kind))
    return f"{', '.join(others)} or {last}"


def tomlOf(value: Any) -> str:
    """
    Return a value of the schema as TOML has it.

    @param value: a default.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Duration):
        return f'"{_amount(value, _SPANS)}"'
    if isinstance(value, Octets):
        return f'"{_amount(value, _SIZES)}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(tomlOf, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _amount(value: float, units: tuple[tuple[int, str], ...]) -> str:
    """Return a number in the largest unit that it is a multiple of."""
    for size, unit in units:
        if value >= size and value % size == 0:
            return f"{value / size:.0f}{unit}"
    return f"{value:g}"


def _documented(kind: type) -> tuple[str, dict[str, str]]:
    """
    Return what a class's docstring says: of itself, and of its fields.

    Epytext's C{C{…}} becomes reStructuredText.
    """
    text = inspect.getdoc(kind) or ""
    text = re.sub(r"[CL]\{((?:[^{}]|\{[^{}]*\})*)\}", r"``\1``", text)
    head, *parts = re.split(r"(?m)^@ivar (\w+): ", text)
    said = {
        name: " ".join(part.split())
        for name, part in zip(parts[::2], parts[1::2], strict=True)
    }
    return head.strip(), said
