"""
Read the file of a Squid server (squid.conf, Squid 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from socksgw.importing.host import Host, Said, Unreadable

__all__ = ["directives", "valuesOf"]

#: Files within files, at most (Squid has 16).
_DEPTH: Final = 16


def directives(text: str, host: Host, file: str = "", depth: int = 0) -> Iterator[Said]:
    """
    Return the directives of a file, and those of the files that it includes.

    @raise Unreadable: a line is none of Squid's, or a file cannot be read.
    """
    where = f"{file}: " if file else ""
    for number, line in _lines(text):
        words = tuple(_words(line))
        if words[0] in ("if", "else", "endif"):
            raise Unreadable(
                f"{where}line {number}: {words[0]}: write what holds, without conditions"
            )
        if words[0] != "include":
            yield Said(number, file, words)
            continue
        if depth == _DEPTH:
            raise Unreadable(f"{where}line {number}: files are included {_DEPTH} deep")
        for pattern in words[1:]:
            for name in host.files(pattern):
                included = host.text(name)
                if included is None:
                    raise Unreadable(f"{where}line {number}: {name} cannot be read")
                yield from directives(included, host, name, depth + 1)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return lines that say something; one that ends in a backslash goes on."""
    begun = ""
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not begun:
            first = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        whole, begun = begun + line, ""
        if whole.strip():
            yield first, whole
    if begun.strip():
        yield first, begun


def _words(line: str) -> Iterator[str]:
    """Break a line into words; what follows a # at the begin of a word is a comment."""
    for word in line.split():
        if word.startswith("#"):
            return
        yield word


def valuesOf(
    said: Said, words: Sequence[str], load: Callable[[str], str | None]
) -> list[str]:
    """
    Return values, those of files among them: C{"/etc/squid/list"}.

    @raise Unreadable: a file cannot be read.
    """
    found: list[str] = []
    for word in words:
        name = word.removeprefix("parameters(").removesuffix(")").strip('"')
        if not word.startswith(('"', "parameters(")):
            found.append(word)
            continue
        text = load(name)
        if text is None:
            raise Unreadable(f"{said.place}: {name} cannot be read")
        for line in text.splitlines():
            found += line.partition("#")[0].split()
    return found
