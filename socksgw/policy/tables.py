"""
Tables of rules, by keys of one kind, by names of hosts, or by addresses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from itertools import chain
from typing import Any, final

from socksgw.policy.conditions import Addresses
from socksgw.policy.patterns import NamePatterns
from socksgw.policy.special import SPECIAL, kinds
from socksgw.wire.address import Address

__all__ = ["ByAddress", "ByName", "Keys", "Table"]


@final
class Table:
    """
    The numbers of rules by keys of one kind. It is filled, then closed, then searched.

    @ivar rules: the numbers of a key's rules, in several lists: rules that share a
        set of keys share a list.
    """

    __slots__ = ("_filed", "rules")

    def __init__(self) -> None:
        self.rules: dict[Any, Sequence[list[int]]] = {}
        # By the identity of the set of keys: many rules may share a large one.
        self._filed: dict[int, tuple[Collection[Any], list[int]]] = {}

    def file(self, keys: Collection[Any], number: int) -> None:
        """File a rule under some keys."""
        self._filed.setdefault(id(keys), (keys, []))[1].append(number)

    def crowds(self) -> dict[int, int]:
        """
        Return how many rules are filed under the key that has most.

        @return: that number for each set of keys, by the identity of the set.
        """
        having: Counter[Any] = Counter()
        for keys, members in self._filed.values():
            if len(members) == 1:
                having.update(keys)
            else:
                for key in keys:
                    having[key] += len(members)
        return {
            which: max(map(having.__getitem__, keys), default=0)
            for which, (keys, _) in self._filed.items()
        }

    def close(self) -> None:
        """Prepare for searches; nothing is filed any more."""
        rules = self.rules
        for keys, members in self._filed.values():
            alone = (members,)
            for key in keys:
                before = rules.setdefault(key, alone)
                if before is alone:
                    continue
                if isinstance(before, list):
                    before.append(members)
                else:
                    rules[key] = [*before, members]
        for key, lists in rules.items():
            if len(lists) > 1 and all(len(members) == 1 for members in lists):
                rules[key] = (list(chain.from_iterable(lists)),)
        del self._filed

    def find(self, key: Hashable, found: list[int]) -> None:
        """Add the rules of a key to those found."""
        for members in self.rules.get(key, ()):
            found += members


#: Sets of keys under which a rule is filed, each with its table. A rule without any
#: cannot match.
Keys = list[tuple[Table, Collection[Any]]]


@final
class ByName:
    """
    Rules by the names of hosts that they are for.
    """

    __slots__ = ("_below", "_exact")

    def __init__(self) -> None:
        self._exact, self._below = Table(), Table()

    def keys(self, names: NamePatterns) -> Keys:
        """Return where a rule for these names is filed."""
        return [
            *((self._exact, each) for each in names.exact),
            *((self._below, each) for each in names.below),
        ]

    def find(self, name: str, found: list[int]) -> None:
        """Add the rules that are for a name."""
        self._exact.find(name, found)
        below = self._below.rules
        dot = name.find(".") if below else -1
        while dot >= 0:
            for members in below.get(name[dot + 1 :], ()):
                found += members
            dot = name.find(".", dot + 1)

    def around(self, names: NamePatterns, found: list[int]) -> None:
        """Add the rules that are for all of these names, and maybe others."""
        # A rule that matches all of them matches any one.
        if names.exact:
            self.find(next(iter(names.exact[0])), found)
        else:
            self.find(f"*.{next(iter(names.below[0]))}", found)


@final
class ByAddress:
    """
    Rules by the addresses that they are for: networks and built-in names.
    """

    __slots__ = ("_four", "_six", "_words")

    def __init__(self) -> None:
        # By shift, as in L{socksgw.policy.networks.Networks}.
        self._four: dict[int, Table] = {}
        self._six: dict[int, Table] = {}
        self._words = Table()

    def keys(self, addresses: Addresses) -> Keys:
        """Return where a rule for these addresses is filed."""
        found: Keys = []
        networks = addresses.networks
        for byShift, tables in ((networks.four, self._four), (networks.six, self._six)):
            for shift, prefixes in byShift:
                if shift not in tables:
                    tables[shift] = Table()
                found.append((tables[shift], prefixes))
        if addresses.words:
            found.append((self._words, addresses.words))
        return found

    def find(self, address: Address, found: list[int]) -> None:
        """Add the rules that may be for an address."""
        packed = address.packed
        byShift = self._four if len(packed) == 4 else self._six
        if byShift:
            number = int.from_bytes(packed, "big")
            for shift, table in byShift.items():
                lists = table.rules.get(number >> shift)
                if lists is not None:
                    for members in lists:
                        found += members
        if self._words.rules:
            for kind in kinds(address):
                self._words.find(kind, found)
            # Their addresses may change: the rules themselves ask the host.
            self._words.find("self", found)
            self._words.find("listeners", found)

    def around(self, addresses: Addresses, found: list[int]) -> None:
        """Add the rules that are for all of these addresses, and maybe others."""
        # A rule that covers all of them covers any one.
        networks = addresses.networks
        if networks:
            tables = self._four if networks.four else self._six
            shift, prefixes = (networks.four or networks.six)[0]
            prefix = next(iter(prefixes))
            for wider, table in tables.items():
                if wider >= shift:
                    table.find(prefix >> (wider - shift), found)
        else:
            self._words.find(next(iter(addresses.words)), found)
            self._words.find(SPECIAL, found)
