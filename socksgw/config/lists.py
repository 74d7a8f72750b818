"""
Files that hold a list of networks and names: C{blocked = { file = "blocked.txt" }}.

A line is one word, written as in C{to} and C{from} of a rule. What follows a C{#}
counts for nothing, and neither do empty lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, final

from attrs import evolve

from socksgw.config.positions import Positions
from socksgw.config.problems import ConfigError, Problem
from socksgw.config.schema import Config, Listed

__all__ = ["ListPositions", "listFiles", "listed", "placeIn"]

#: Reads the text of a file, as it is called in errors.
Read = Callable[[Path, str], str]


@final
class ListPositions(Positions):
    """The lines of one list, by paths such as C{line[3]}."""

    def __init__(self, shown: str, numbers: list[int]) -> None:
        """
        Take the lines as they were read.

        @param shown: the path of the list in the configuration.
        @param numbers: the line of each word.
        """
        super().__init__("")
        self._shown = shown
        self._numbers = numbers

    def lineOf(self, path: str) -> int | None:
        """As L{Positions.lineOf}."""
        # A file may be included as well, by mistake: it has other paths then.
        index = path.removeprefix("line[").removesuffix("]")
        known = index.isdecimal() and int(index) < len(self._numbers)
        return self._numbers[int(index)] if known else None

    def shown(self, path: str) -> str:
        """As L{Positions.shown}."""
        return self._shown


def placeIn(config: Config, name: str) -> str:
    """
    Return the path of an entry of C{[networks]}, before the index of a word.

    It is that of the file, where it has one.
    """
    file = config.networks[name].file
    return f"{file}: line" if file else f"networks.{name}"


def listFiles(config: Config) -> Iterator[Path]:
    """Yield the files with lists."""
    for words in config.networks.values():
        if words.file:
            yield config.directory / words.file


def listed(
    config: Config,
    directory: Path,
    read: Read,
    problems: list[Problem],
    positions: dict[str, Positions],
) -> Config:
    """
    Return a configuration with what its lists hold now.

    @param directory: the directory for relative paths.
    @param read: raises L{ConfigError} for a file that cannot be read.
    @param problems: gets what is wrong.
    @param positions: gets the lines of each list.
    """
    networks: dict[str, Any] = dict(config.networks)
    digest = None
    for name, words in networks.items():
        if not words.file:
            continue
        path = f"networks.{name}"
        try:
            text = read(directory / words.file, words.file)
        except ConfigError as e:
            place = _declared(path, positions)
            problems += [
                Problem(f"{place}.file", f'"{words.file}" {each.text}')
                for each in e.problems
            ]
            continue
        digest = digest or sha256(config.written.encode())
        digest.update(text.encode())
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        found = [(line, number) for number, line in enumerate(lines, 1) if line]
        networks[name] = Listed((word for word, _ in found), words.file)
        positions[words.file] = ListPositions(path, [number for _, number in found])
    known = config.digest if digest is None else digest.hexdigest()
    return evolve(config, networks=networks, digest=known)


def _declared(path: str, positions: Mapping[str, Positions]) -> str:
    """Return the path of a key, with the included file that it is in."""
    for name, those in positions.items():
        if name and not isinstance(those, ListPositions) and path in those:
            return f"{name}: {path}"
    return path
