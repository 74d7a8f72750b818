"""
Sets of tags: the C{tag} of a rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

__all__ = ["Tags"]


@final
class Tags:
    """
    A set of tags, given by name and by beginning.

    A pattern C{job-*} matches what begins so and goes on; C{*} matches every tag.

    @ivar names: the tags.
    @ivar beginnings: those of the patterns, by length.
    """

    __slots__ = ("_beginnings", "beginnings", "names")

    def __init__(self, words: Iterable[str]) -> None:
        found = frozenset(words)
        patterns = {word for word in found if word.endswith("*")}
        self.names = found - patterns
        self._beginnings = tuple(sorted(each.removesuffix("*") for each in patterns))
        self.beginnings: dict[int, set[str]] = {}
        for each in self._beginnings:
            self.beginnings.setdefault(len(each), set()).add(each)

    def __bool__(self) -> bool:
        return bool(self.names or self._beginnings)

    def covers(self, tag: str) -> bool:
        """
        Tell whether a tag is meant.

        @param tag: empty for a client without one, who is never meant.
        """
        return tag in self.names or any(
            tag.startswith(each) and tag != each for each in self._beginnings
        )

    def contains(self, other: Tags) -> bool:
        """Tell whether these are surely all tags that others are."""
        return all(map(self.covers, other.names)) and all(
            each.startswith(self._beginnings) for each in other._beginnings
        )
