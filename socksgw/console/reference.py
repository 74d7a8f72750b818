"""
The reference of the configuration's keys, as a text of the manual.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from socksgw.config.reference import Key, Table, tables
from socksgw.login.discovery import findCheckers
from socksgw.negotiate.discovery import findMethods

__all__ = ["allTables", "found", "keyText", "referenceText", "tableText"]

_WIDTH: Final = 76
#: What stands for the meaning of a key of the schema where docstrings are left out.
_WITHOUT: Final = "(This text is left out, since Python runs with -OO.)"


def allTables() -> list[Table]:
    """
    Return the tables of the schema, and those of the plug-ins that are installed.
    """
    schema = tables()
    last = max(i for i, table in enumerate(schema) if table.path.startswith("auth"))
    return [*schema[: last + 1], *_pluginTables(), *schema[last + 1 :]]


def _pluginTables() -> Iterator[Table]:
    for name, method in sorted(findMethods()[0].items()):
        keys: Mapping[str, str] = getattr(method, "keys", {})
        if keys:
            meaning = f"The method ``{name}``: {method.help}."
            yield _pluginTable(f"auth.{name}", f"[auth.{name}]", meaning, keys)
    for kind, factory in sorted(findCheckers()[0].items()):
        keys = getattr(factory, "keys", {})
        if keys:
            header = f'[[auth.checker]] kind = "{kind}"'
            yield _pluginTable(f"auth.checker.{kind}", header, factory.authHelp, keys)


def _pluginTable(
    path: str, header: str, meaning: str, keys: Mapping[str, str]
) -> Table:
    found = []
    for name, text in keys.items():
        kind, _, means = text.partition(". ")
        kind, _, state = kind.partition("; ")
        default = state.removeprefix("default ").strip("`")
        required = state == "needed"
        found.append(
            Key(f"{path}.{name}", kind, "" if required else default, required, means)
        )
    return Table(path, header, meaning, tuple(found))


def referenceText() -> str:
    """Return the text of all tables, as sections of a chapter."""
    return "\n\n".join(_section(table) for table in allTables())


def _section(table: Table) -> str:
    heading = f"``{table.header}``" if table.path else table.header
    return f"{heading}\n{'-' * len(heading)}\n\n{_body(table)}\n"


def _body(table: Table) -> str:
    if table.like:
        return f"The keys of ``{_header(table.like)}``, for what this rule allows."
    parts = [_wrapped(each) for each in table.meaning.split("\n\n") if each]
    parts += [_entry(key, key.path.rpartition(".")[2]) for key in table.keys]
    return "\n\n".join(parts)


def _header(path: str) -> str:
    return next(each.header for each in allTables() if each.path == path)


def _entry(key: Key, name: str) -> str:
    """Return a key as an entry of a definition list."""
    state = "needed" if key.required else ""
    if key.default:
        state = f"default ``{key.default}``"
    head = f"``{name}``: {key.kind}" + (f"; {state}" if state else "")
    return f"{head}\n{_wrapped(key.meaning or _WITHOUT, '    ')}"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def keyText(key: Key) -> str:
    """Return all that is known of one key."""
    return _entry(key, key.path)


def tableText(table: Table) -> str:
    """Return a table with all its keys."""
    return _section(table)


def found(word: str) -> Iterator[Key | Table]:
    """
    Yield the tables and keys that a word names.

    @param word: a path, or its end: C{timeouts.idle}, C{idle}, C{[listen.udp]}.
    """
    path = word.strip("[]")
    for table in allTables():
        if table.path and _ends(table.path, path):
            yield table
        for key in table.keys:
            if _ends(key.path, path):
                yield key


def _ends(path: str, end: str) -> bool:
    return path == end or path.endswith(f".{end}")
