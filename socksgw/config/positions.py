"""
Line numbers of the keys in a TOML text, for messages about a configuration.

C{tomllib} does not report positions. A text that it could parse is cut into
statements here. C{tomllib} parses each of them again, so that it decides where a
statement ends.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Any, Final

__all__ = ["Positions"]

#: The last line of a value of several lines contains one of these.
_CLOSING: Final = re.compile(r"\]|\}|\"\"\"|'''")
_INDEX: Final = re.compile(r"\[(\d+)\]")
_LAST_INDEX: Final = re.compile(r"\[(\d+)\]\Z")
#: The deepest level at which keys are looked for.
_DEEPEST: Final = 32
#: The keys that name a table for people, in the order of preference.
_NAMES: Final = ("id", "name")


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _above(path: str) -> str:
    """Return the path of what a key or an element is in; empty for the whole."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


class Positions:
    """
    The lines of one text, by TOML path such as C{rule[2].to[0]}.
    """

    def __init__(self, text: str) -> None:
        """
        Keep the text; it is read when the first position is asked for.

        @param text: TOML that C{tomllib} can parse.
        """
        self._text = text
        self._found: dict[str, int] | None = None
        self._names: dict[str, str] = {}
        #: For arrays of several lines: the lines, and the keys in the statement.
        self._long: dict[str, tuple[list[str], tuple[str, ...]]] = {}
        self._arrays: Counter[str] = Counter()

    def prepare(self) -> None:
        """
        Read the text now, which takes longer than to parse it.

        It may be called in any thread.
        """
        self._read()

    def lineOf(self, path: str) -> int | None:
        """
        Return the line of a key, counted from 1.

        For a key that is missing it is the line of its table.

        @return: L{None} if no table of the path is in the text.
        """
        found = self._read()
        while path:
            whole, index = self._split(path)
            if index is not None and whole in self._long:
                return self._within(whole, index)
            if path in found:
                return found[path]
            path = _above(path)
        return None

    def __contains__(self, path: str) -> bool:
        """Tell whether a key is in the text."""
        return path in self._read()

    def shown(self, path: str) -> str:
        """
        Return a path as it is shown to people.

        It counts from 1, and ends with the C{id} or C{name} of the innermost table
        that has one.
        """
        self._read()
        text = _INDEX.sub(lambda match: f"[{int(match[1]) + 1}]", path)
        place = path
        while place:
            if place in self._names:
                return f'{text} ("{self._names[place]}")'
            place = _above(place)
        return text

    @staticmethod
    def _split(path: str) -> tuple[str, int | None]:
        """Split C{networks.dc[3]} into its array and its index, if it has one."""
        last = _LAST_INDEX.search(path)
        return (path, None) if last is None else (path[: last.start()], int(last[1]))

    def _read(self) -> dict[str, int]:
        if self._found is None:
            self._found = {}
            table = ""
            for number, lines, document in self._statements():
                if lines[0].lstrip().startswith("["):
                    table = self._header(document, number)
                else:
                    self._values(document, table, number, lines)
        return self._found

    def _statements(self) -> Iterator[tuple[int, list[str], dict[str, Any]]]:
        """Yield each statement: the number of its first line, its lines, its value."""
        chunk: list[str] = []
        first = 0
        for number, line in enumerate(self._text.split("\n"), 1):
            if not chunk:
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                first = number
            chunk.append(line)
            if len(chunk) > 1 and not _CLOSING.search(line):
                continue
            try:
                document = tomllib.loads("\n".join(chunk))
            except tomllib.TOMLDecodeError:
                # The statement has more lines.
                continue
            yield first, chunk, document
            chunk = []

    def _header(self, document: Any, number: int) -> str:
        """Return the path of the table that a header opens."""
        assert self._found is not None
        path = ""
        while document:
            ((key, document),) = document.items()
            path = _under(path, key)
            self._found.setdefault(path, number)
            if isinstance(document, list):
                self._arrays[path] += 1
                document = document[0]
            if path in self._arrays:
                path = f"{path}[{self._arrays[path] - 1}]"
                self._found.setdefault(path, number)
        return path

    def _values(self, document: Any, table: str, number: int, lines: list[str]) -> None:
        """Store the positions of the keys in one statement."""
        assert self._found is not None
        left: list[tuple[Any, str, tuple[str, ...]]] = [(document, table, ())]
        while left:
            value, path, keys = left.pop()
            if path:
                self._found.setdefault(path, number)
            if isinstance(value, dict):
                for name in _NAMES:
                    if isinstance(value.get(name), str):
                        self._names.setdefault(path, value[name])
                        break
                if len(keys) < _DEEPEST:
                    for key, inner in value.items():
                        left.append((inner, _under(path, key), (*keys, key)))
            elif isinstance(value, list):
                if len(lines) > 1:
                    self._long[path] = lines, keys
                    continue
                for i, inner in enumerate(value):
                    left.append((inner, f"{path}[{i}]", keys))

    def _within(self, path: str, index: int) -> int:
        """
        Return the line of an element of an array of several lines.

        That is the first line up to which the array contains the element, if it
        is closed there. For an array inside an inline table it is the line of the
        table.
        """
        assert self._found is not None
        lines, keys = self._long[path]

        def holds(count: int) -> bool:
            while count < len(lines):
                try:
                    begun: Any = tomllib.loads("\n".join([*lines[:count], "]"]))
                except tomllib.TOMLDecodeError:
                    count += 1
                    continue
                return len(reduce(getitem, keys, begun)) > index
            return True

        low, high = 1, len(lines)
        while low < high:
            middle = (low + high) // 2
            if holds(middle):
                high = middle
            else:
                low = middle + 1
        return self._found[path] + low - 1
