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
    An error or a warning about a configuration.

    @ivar path: its TOML path, such as C{rule[2].ports[0]}, counted from 0; empty
        for the whole file.
    @ivar text: what is wrong, and the remedy.
    """

    path: str
    text: str


@frozen
class Finding:
    """
    An error or a warning as it is shown to people.

    @ivar file: the file's name as the user gave it, followed by the line if that
        is known; empty if the problem is in no file.
    @ivar path: the TOML path, counted from 1, with the name of the table; empty
        for the whole file.
    @ivar text: what is wrong, and the remedy.
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
    @ivar problems: every error, in the order of the file.
    """

    def __init__(
        self,
        file: str,
        problems: list[Problem],
        positions: Mapping[str, Positions] | None = None,
    ) -> None:
        """
        Keep the problems, with what is known of their lines.

        @param positions: the lines of the included files by their names, and
            those of the file itself by the empty name.
        """
        self.file = file
        self.problems = problems
        self._positions = positions or {}
        super().__init__("\n".join(self.lines()))

    def findings(self) -> list[Finding]:
        """
        Return the problems as they are shown to people.
        """
        return [self._finding(each) for each in self.problems]

    def lines(self) -> list[str]:
        """
        Return a line of text for each problem, as L{Finding} has it.
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
    Return the end of a message about an unknown word: what may be meant.

    @param known: the words that are known.
    @return: empty when none of them is similar.
    """
    near = difflib.get_close_matches(word, [*known], 1)
    return f'; did you mean "{near[0]}"?' if near else ""
