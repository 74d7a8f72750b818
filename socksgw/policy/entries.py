"""
By which entries of C{[networks]} a rule matches, for people who ask.

It reads every word of an entry again, which takes a moment for a long list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from socksgw.config.lists import placeIn
from socksgw.config.loading import refused
from socksgw.config.problems import Problem
from socksgw.config.schema import Config
from socksgw.policy.facts import Facts
from socksgw.policy.networks import Network
from socksgw.policy.patterns import NamePattern, NamePatterns
from socksgw.wire.address import Address

__all__ = ["entriesOf"]


def entriesOf(config: Config, rule: str, facts: Facts) -> Iterator[str]:
    """
    Yield a line for each word of C{[networks]} by which a rule matches.

    @param config: in which nothing is wrong.
    @param rule: its id; none is yielded for C{never} and the like.
    """
    source = () if facts.source is None else (facts.source,)
    for table in config.rule:
        if table.id != rule:
            continue
        for key, words, name, addresses in (
            ("to", table.to, facts.name, facts.addresses),
            ("resolving_to", table.resolving_to, None, facts.addresses),
            ("from", table.from_, None, source),
        ):
            seen: set[str] = set()
            for word in words or ():
                for place, found in _matching(config, word, name, addresses, seen):
                    yield f'{key} = "{word}": {place}: "{found}"'


def _matching(
    config: Config,
    entry: str,
    name: str | None,
    addresses: Sequence[Address],
    seen: set[str],
) -> Iterator[tuple[str, str]]:
    """
    Yield the words of an entry that match, each with file and line.

    @param seen: the entries that were looked at.
    """
    if entry not in config.networks or entry in seen:
        return
    seen.add(entry)
    place = placeIn(config, entry)
    for i, word in enumerate(config.networks[entry]):
        if word in config.networks:
            yield from _matching(config, word, name, addresses, seen)
        elif _matches(word, name, addresses):
            (said,) = refused(config, [Problem(f"{place}[{i}]", "")]).findings()
            yield said.file, word


def _matches(word: str, name: str | None, addresses: Sequence[Address]) -> bool:
    if NamePattern.isOne(word):
        # Most of a long list is not like the name at all.
        if name is None or word.strip("*.=").lower() not in name:
            return False
        return name in NamePatterns([NamePattern(word)])
    try:
        network = Network.parse(word)
    except ValueError:
        # A built-in name: these are not told apart here.
        return False
    return any(network.covers(each) for each in addresses)
