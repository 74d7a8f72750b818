"""
Read the words of C{to}, C{from} and the like.

They are networks, entries of C{[networks]}, built-in names, and patterns of names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import final

from attrs import frozen

from socksgw.config.problems import nearest
from socksgw.policy.conditions import WORDS, Addresses, Destinations, HostFacts
from socksgw.policy.networks import Network, Networks
from socksgw.policy.patterns import NamePattern, NamePatterns

__all__ = ["Words"]


@frozen(eq=False)
class _Sorted:
    """
    Words, sorted by what they are.

    @ivar places: the TOML path and the text of each pattern, without those of
        C{entries}.
    @ivar entries: the entries of C{[networks]} that these words name.
    """

    words: list[str]
    networks: Networks
    names: NamePatterns
    places: list[tuple[str, str]]
    entries: list[_Sorted]

    def allPlaces(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the text of each pattern, with those of entries, once."""
        found, known = [self], {self}
        for each in found:
            yield from each.places
            found += [entry for entry in each.entries if entry not in known]
            known.update(each.entries)


@final
class Words:
    """
    Reads the words of one configuration.

    @ivar used: the entries of C{[networks]} that some word names.
    """

    def __init__(
        self,
        networks: Mapping[str, Sequence[str]],
        placeOf: Callable[[str], str],
        facts: HostFacts,
        wrong: Callable[[str, str], None],
    ) -> None:
        """
        Begin with nothing read.

        @param networks: the C{[networks]}.
        @param placeOf: returns the path of one of these, before the index of a word.
        @param wrong: is called with the path and the text of each error.
        """
        self._networks = networks
        self._placeOf = placeOf
        self._facts = facts
        self._wrong = wrong
        # Read once for all rules that name them.
        self._entries: dict[str, _Sorted | None] = {}
        self.used: set[str] = set()

    def declare(self) -> None:
        """Read C{[networks]}, and check the names of its entries."""
        for name in self._networks:
            if name in WORDS:
                self._wrong(f"networks.{name}", "is a built-in name; choose another")
            elif not name or NamePattern.isOne(name) or "/" in name or ":" in name:
                self._wrong(f"networks.{name}", "cannot be the name of a network")
            else:
                self._entry(name)

    def addresses(self, words: Sequence[str] | None, path: str) -> Addresses | None:
        """
        Return the set of addresses that words mean.

        Patterns of names are errors here.

        @param words: L{None} where the key is not set.
        @param path: the TOML path, for errors.
        """
        if words is None:
            return None
        found = self._sorted(words, path, names=False)
        for place, pattern in found.allPlaces():
            self._wrong(place, f'"{pattern}" is a name, and here an address counts')
        return Addresses(found.words, found.networks, self._facts)

    def destinations(
        self, words: Sequence[str] | None, path: str
    ) -> Destinations | None:
        """Return the C{to} of a rule: addresses, patterns of names, or both."""
        if words is None:
            return None
        found = self._sorted(words, path)
        addresses = Addresses(found.words, found.networks, self._facts)
        return Destinations(addresses or None, found.names or None)

    def _sorted(self, words: Iterable[str], path: str, names: bool = True) -> _Sorted:
        """
        Sort words into addresses and patterns, and resolve entries of C{[networks]}.

        @param names: whether names of hosts are allowed here.
        """
        builtin: list[str] = []
        networks: list[Network] = []
        patterns: list[NamePattern] = []
        places: list[tuple[str, str]] = []
        entries: list[_Sorted] = []
        for i, word in enumerate(words):
            place = f"{path}[{i}]"
            if NamePattern.isOne(word):
                try:
                    patterns.append(NamePattern(word))
                    places.append((place, word))
                except ValueError as e:
                    self._wrong(place, str(e))
            elif word in self._networks:
                self.used.add(word)
                entry = self._entry(word)
                if entry is None:
                    self._wrong(place, f'"{word}" contains itself')
                else:
                    entries.append(entry)
            elif word in WORDS:
                builtin.append(word)
            elif "://" in word:
                host = word.partition("://")[2].partition("/")[0].partition(":")[0]
                self._wrong(place, f'"{word}": a URL; a host name is written "={host}"')
            elif ":" in word or word[:1].isdigit():
                try:
                    networks.append(Network.parse(word))
                except ValueError as e:
                    self._wrong(place, f'"{word}": {e}')
            else:
                self._wrong(
                    place,
                    f'"{word}" is neither a built-in name nor declared in [networks]'
                    + (f'; a host name is written "={word}"' if names else "")
                    + nearest(word, [*self._networks, *WORDS]),
                )
        if len(entries) == 1 and not (builtin or networks or patterns):
            return entries[0]
        for entry in entries:
            builtin += entry.words
        return _Sorted(
            builtin,
            Networks(networks, [entry.networks for entry in entries]),
            NamePatterns(patterns, [entry.names for entry in entries]),
            places,
            entries,
        )

    def _entry(self, name: str) -> _Sorted | None:
        """
        Return an entry of C{[networks]}; L{None} while it is being read.

        Each entry is read once, and shared.
        """
        if name not in self._entries:
            self._entries[name] = None
            self._entries[name] = self._sorted(
                self._networks[name], self._placeOf(name)
            )
        return self._entries[name]
