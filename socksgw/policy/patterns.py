"""
Patterns of host names, and sets of patterns that share their large parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

from socksgw.policy.networks import LARGE
from socksgw.wire.address import parseHost

__all__ = ["NamePattern", "NamePatterns"]

_Names = tuple[frozenset[str], ...]


@final
class NamePattern:
    """
    A pattern of host names.

    C{*.x} matches any name below x, C{.x} matches x and any name below it, C{=host}
    matches that name alone.

    @ivar name: the x or the host, in normal form.
    @ivar exact: whether that name itself matches.
    @ivar below: whether the names below it match.
    """

    __slots__ = ("below", "exact", "name")

    def __init__(self, pattern: str) -> None:
        """
        Read a pattern as it is written in a configuration.

        @raise ValueError: it can never match.
        """
        if pattern.startswith("*."):
            text, self.exact, self.below = pattern[2:], False, True
        elif pattern.startswith("."):
            text, self.exact, self.below = pattern[1:], True, True
        else:
            text, self.exact, self.below = pattern.removeprefix("="), True, False
        octets = text.encode("ascii", "replace")
        host = parseHost(octets)
        if self.below and text.startswith("-"):
            # The first label of a name must not begin with a hyphen, others may.
            host = parseHost(b"a." + octets)
            host = host[2:] if isinstance(host, str) else host
        if not isinstance(host, str):
            raise ValueError(f'"{pattern}" can never match a host name')
        self.name = host

    @staticmethod
    def isOne(word: str) -> bool:
        """Tell whether a word is written as a pattern."""
        return word.startswith(("*", ".", "="))


@final
class NamePatterns:
    """
    A set of patterns. A search takes one step for each label of the name.

    @ivar exact: sets of names that match.
    @ivar below: sets of names below which every name matches.
    """

    __slots__ = ("below", "exact")

    def __init__(
        self, patterns: Iterable[NamePattern], others: Sequence[NamePatterns] = ()
    ) -> None:
        """
        Join patterns and sets of patterns.

        @param others: sets whose patterns are included.
        """
        exact: set[str] = set()
        below: set[str] = set()
        for pattern in patterns:
            if pattern.exact:
                exact.add(pattern.name)
            if pattern.below:
                below.add(pattern.name)
        self.exact: _Names = _joined(exact, [other.exact for other in others])
        self.below: _Names = _joined(below, [other.below for other in others])

    def __bool__(self) -> bool:
        return bool(self.exact or self.below)

    def __contains__(self, name: str) -> bool:
        for names in self.exact:
            if name in names:
                return True
        if self.below:
            dot = name.find(".")
            while dot >= 0:
                rest = name[dot + 1 :]
                for names in self.below:
                    if rest in names:
                        return True
                dot = name.find(".", dot + 1)
        return False

    def contains(self, other: NamePatterns) -> bool:
        """Tell whether these match every name that another set matches."""
        for names in other.exact:
            if not any(names is mine for mine in self.exact):
                if not all(name in self for name in names):
                    return False
        for names in other.below:
            if not any(names is mine for mine in self.below):
                # One label below it stands for any.
                if not all(f"*.{name}" in self for name in names):
                    return False
        return True


def _joined(small: set[str], others: Iterable[_Names]) -> _Names:
    large: dict[int, frozenset[str]] = {}
    for other in others:
        for names in other:
            if len(names) > LARGE:
                large[id(names)] = names
            else:
                small.update(names)
    return (*((frozenset(small),) if small else ()), *large.values())
