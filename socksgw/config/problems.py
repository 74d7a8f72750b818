"""
Problems of a configuration, as the program finds them and as people read them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from attrs import frozen

from socksgw.config.positions import Positions

__all__ = ["ConfigError", "Finding", "Problem", "nearest"]


@frozen
class Problem:
    """
    One thing wrong with a configuration.

    @ivar path: its TOML path, such as C{rule[2].ports[0]}; empty for the file.
    @ivar text: what is wrong and what would be right.
    """

    path: str
    text: str


@frozen
class Finding:
    """
    One thing that is wrong or odd, as people are told of it.

    @ivar file: the file's name as the user gave it, with the line where that is
        known; empty for what no file says.
    @ivar path: the place in it, counted from 1 and with the name of its table;
        empty for the whole file.
    @ivar text: what is wrong and what would be right.
    """

    file: str
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(each for each in (self.file, self.path, self.text) if each)


class ConfigError(Exception):
    """
    The configuration cannot be used.

    @ivar file: the file's name as the user gave it.
    @ivar problems: everything that is wrong, in the order of the file.
    """

    def __init__(
        self,
        file: str,
        problems: list[Problem],
        positions: Mapping[str, Positions] | None = None,
    ) -> None:
        """
        @param positions: the lines of the file, by the empty name, and of the
            files that it includes, by theirs.
        """
        self.file = file
        self.problems = problems
        self._positions = positions or {}
        super().__init__("\n".join(self.lines()))

    def findings(self) -> list[Finding]:
        """
        Return the problems as people are told of them.
        """
        return [self._finding(each) for each in self.problems]

    def lines(self) -> list[str]:
        """
        Return a line for each problem: file and line, place, what to do. The
        place counts from 1, and has the name of its table.
        """
        return [str(each) for each in self.findings()]

    def _finding(self, problem: Problem) -> Finding:
        file, path = self.file, problem.path
        positions = self._positions.get("")
        for name, those in self._positions.items():
            if name and path.startswith(f"{name}: "):
                file, path = f"{file}: {name}", path[len(name) + 2 :]
                positions = those
        if positions is not None and path:
            number = positions.lineOf(path)
            if number is not None:
                file = f"{file}:{number}"
            path = positions.shown(path)
        return Finding(file, path, problem.text)


def nearest(word: str, known: Iterable[str]) -> str:
    """
    Return the end of a message about a word that is none of those known: which
    of them may be meant, or nothing.
    """
    near = difflib.get_close_matches(word, [*known], 1)
    return f'; did you mean "{near[0]}"?' if near else ""
