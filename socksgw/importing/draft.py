"""
A configuration that is made of another server's, with what is not the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final, NamedTuple, final

__all__ = ["Draft", "Left"]

#: So many columns a comment has.
_COLUMNS: Final = 88
#: How many requests are expected to be decided by one rule, and by none.
_EACH: Final = 2
_NONE: Final = 10


class Left(NamedTuple):
    """
    Something that is not the same here.

    @ivar line: of the other server's file; 0 for the whole of it.
    @ivar said: what that says.
    @ivar why: what becomes of it.
    @ivar wider: whether more is allowed here than there.
    """

    line: int
    said: str
    why: str
    wider: bool = False

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.said}: {self.why}"


@final
class Draft:
    """
    Tables in the order in which they are written.

    @ivar left: what is not the same, in the order of the lines.
    @ivar secrets: texts of files that go beside the configuration, by their names, and
        that nobody else may read.
    """

    def __init__(self) -> None:
        self._tables: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = []
        self.left: list[Left] = []
        self.secrets: dict[str, str] = {}
        self._expected: Counter[Hashable] = Counter()

    def add(self, table: str, values: Mapping[str, Any], *comments: str) -> None:
        """
        Add a table.

        @param table: its head, such as C{[[rule]]}.
        @param values: by key; L{None} is left out.
        @param comments: lines that go before it.
        """
        said = {key: value for key, value in values.items() if value is not None}
        self._tables.append((table, said, comments))

    def drop(self, number: int, why: str) -> None:
        """
        Take a rule out again, and take note of it.

        @param number: counted from 0 in the order of the rules.
        """
        places = [i for i, each in enumerate(self._tables) if each[0] == "[[rule]]"]
        _, values, comments = self._tables.pop(places[number])
        self.leave(0, f"{values['id']} ({'; '.join(comments)})", why)

    def leave(self, line: int, said: str, why: str, wider: bool = False) -> None:
        """Take note of something that is not the same (L{Left})."""
        self.left.append(Left(line, said, why, wider))

    def leaveOnce(self, line: int, said: str, why: str, wider: bool = False) -> None:
        """Take note of it, if nothing of that name is noted yet."""
        if not any(each.said == said for each in self.left):
            self.leave(line, said, why, wider)

    def hide(self, name: str, text: str) -> None:
        """Add a file with secrets beside the configuration; it is never printed."""
        self.secrets[name] = text

    def isWanted(self, by: Hashable) -> bool:
        """Return whether one more request that something decides should be tried."""
        return self._expected[by] < (_NONE if by is None else _EACH)

    def expect(self, by: Hashable, verdict: str, asked: Mapping[str, Any]) -> None:
        """
        Have C{socksgw check} try a request.

        @param by: what decides it in the other server's file; L{None} where no rule
            does.
        @param verdict: C{allow} or C{deny}.
        @param asked: the keys of C{[[expect]]} that say what is asked, and by whom.
        """
        self._expected[by] += 1
        self.add("[[expect]]", {**asked, "verdict": verdict})

    @property
    def isWider(self) -> bool:
        """Whether more is allowed than by the other server."""
        return any(each.wider for each in self.left)

    def lines(self, title: str) -> Iterator[str]:
        """Return the lines of the file."""
        yield f"# {title}"
        if self.left:
            yield "#"
            yield "# Not the same here:"
            for each in sorted(self.left):
                yield from _comment(f"- {each}{' (WIDER)' if each.wider else ''}")
        for table, values, comments in self._tables:
            yield ""
            for comment in comments:
                yield from _comment(comment)
            yield table
            for key, value in values.items():
                yield f"{key} = {_toml(value)}"


def _comment(text: str) -> Iterator[str]:
    """Break a text into lines of comments."""
    clean = "".join(each if each.isprintable() else "?" for each in text)
    line = "#"
    for word in clean.split():
        if len(line) + 1 + len(word) > _COLUMNS and line.strip("# "):
            yield line
            line = "#  "
        line += f" {word}"
    yield line


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, str):
        # TOML has JSON's escapes, without pairs of surrogates; DEL has one, too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return str(value)
