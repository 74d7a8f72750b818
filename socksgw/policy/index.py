"""
Find the rules that a question may concern, so that others need not be asked.

Each rule is filed under the field that tells it apart best from the others, and, where
many share a value, under a second field. The values of a question find every rule that
may match it, in their order, and some that do not match: each rule is asked then.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import chain
from typing import Final, Protocol, final

from socksgw.policy.fields import (
    Field,
    Listener,
    Port,
    Service,
    Source,
    Tag,
    ToAddress,
    ToName,
    ToSomewhere,
    Who,
)
from socksgw.policy.periods import Periods
from socksgw.policy.questions import Question
from socksgw.policy.rules import Rule
from socksgw.policy.tables import Table
from socksgw.wire.address import Address

__all__ = ["Finding", "Index", "Preceded", "indexOf"]

#: Up to this number, asking all rules is faster than finding some.
_FEW: Final = 16
#: If more rules than this share a value, a second field tells them apart.
_CROWD: Final = 8
_NOWHERE: Final = Address(bytes(4))
_ASKER: Final[tuple[type[Field], ...]] = (Who, Source, Listener, Tag)
#: Fields that cannot be used while the port is unknown.
_PORTS: Final[tuple[type[Field], ...]] = (Port, Service)


class Finding(Protocol):
    """Finds rules (L{Index})."""

    def of(self, question: Question, address: Address | None) -> Iterable[Rule]:
        """Return the rules that may match a question."""

    def before(self, number: int) -> Iterable[Rule]:
        """Return the rules before one that may match all that it matches."""


@final
class Index:
    """
    The index of one ruleset.
    """

    __slots__ = ("_byAddress", "_byAsker", "_byName", "_few", "_rules")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        # The rules that can match, if they are few; then there are no files.
        self._few: tuple[Rule, ...] | None = None
        many = self._rules
        if len(many) <= _FEW:
            self._few = tuple(rule for rule in rules if not rule.isEmpty)
            many = ()
        kinds: tuple[type[Field], ...] = (ToAddress, ToName, ToSomewhere)
        crowds = {kind: _crowds(kind(), many) for kind in (*kinds, *_ASKER, *_PORTS)}
        self._byAddress = _Files(many, (ToAddress, *_ASKER, *_PORTS), crowds)
        self._byName = _Files(many, (ToName, *_ASKER, *_PORTS), crowds)
        self._byAsker = _Files(many, (ToSomewhere, *_ASKER), crowds)

    def of(self, question: Question, address: Address | None) -> Iterable[Rule]:
        """
        Return the rules that may match a question.

        @param address: L{None} while it is unknown: then the rules that may decide
            about all the addresses that it may be.
        """
        if self._few is not None:
            return self._few
        found = self.find(question, address)
        found.sort()
        return map(self._rules.__getitem__, found)

    def find(self, question: Question, address: Address | None) -> list[int]:
        """
        Return the numbers of the rules that L{of} returns, in no order.

        A number may come twice.
        """
        if self._few is not None:
            return list(range(len(self._rules)))
        if address is not None:
            files = self._byAddress
        else:
            files = self._byAsker if question.name is None else self._byName
            address = _NOWHERE
        asker = question.asker
        if (
            question.port
            and asker.source is not None
            and asker.listener is not None
            and asker.tag is not None
        ):
            return files.find(question, address)
        unknown: list[type[Field]] = []
        if not question.port:
            unknown += _PORTS
        if asker.source is None:
            unknown.append(Source)
        if asker.listener is None:
            unknown.append(Listener)
        if asker.tag is None:
            unknown.append(Tag)
        return files.findUnknown(question, address, unknown)

    def before(self, number: int) -> Iterable[Rule]:
        """
        Return the rules before one that may match all that it matches.

        @param number: the index of that rule, which must not be empty.
        """
        if self._few is not None:
            return self._rules[:number]
        return self._byAddress.before(number)


def indexOf(rules: Sequence[Rule], periods: Periods) -> Finding:
    """
    Return an index of rules.

    @param periods: those of the same rules.
    """
    if sum(rule.timed for rule in rules) > _FEW:
        return _Timely(rules, periods)
    return Index(rules)


@final
class _Timely:
    """
    An index that does not find rules whose time has not come, or is over.

    It is for many rules that nothing but their times tells apart.
    """

    __slots__ = ("_always", "_every", "_held", "_period", "_periods", "_rules")

    def __init__(self, rules: Sequence[Rule], periods: Periods) -> None:
        """
        Index all rules, and apart from them those without times.

        @param periods: those of the same rules.
        """
        self._rules = tuple(rules)
        self._periods = periods
        self._every = Index(rules)
        lasting = [n for n, rule in enumerate(rules) if not rule.timed]
        self._always = _Part(self._rules, lasting)
        # One tuple, since threads may ask, too.
        self._period: tuple[int, _Part] | None = None

    def of(self, question: Question, address: Address | None) -> Iterable[Rule]:
        """As L{Index.of}, for questions about now; for others those of all times."""
        now = question.moment()
        if now is None or question.at is not None:
            return self._every.of(question, address)
        number = self._periods.at(now)
        known = self._period
        if known is None or known[0] != number:
            held = _Part(self._rules, sorted(self._periods.held))
            known = self._period = number, held
        found = self._always.find(question, address)
        found += known[1].find(question, address)
        found.sort()
        return map(self._rules.__getitem__, found)

    def before(self, number: int) -> Iterable[Rule]:
        """As L{Index.before}, at all times."""
        return self._every.before(number)


@final
class _Part:
    """Some of the rules, with an index of their own."""

    __slots__ = ("_index", "_numbers")

    def __init__(self, rules: Sequence[Rule], numbers: Sequence[int]) -> None:
        self._numbers = numbers
        self._index = Index([rules[number] for number in numbers])

    def find(self, question: Question, address: Address | None) -> list[int]:
        """Return the numbers, among all rules, of those that may match a question."""
        found = self._index.find(question, address)
        return list(map(self._numbers.__getitem__, found))


@final
class Preceded:
    """The index of rules that stand behind a few others, which are always asked."""

    __slots__ = ("_index", "_rules")

    def __init__(self, rules: tuple[Rule, ...], index: Finding) -> None:
        """
        Put the few before the others.

        @param rules: the few.
        @param index: that of the others.
        """
        self._rules = rules
        self._index = index

    def of(self, question: Question, address: Address | None) -> Iterable[Rule]:
        """As L{Index.of}."""
        return chain(self._rules, self._index.of(question, address))

    def before(self, number: int) -> Iterable[Rule]:
        """As L{Index.before}, without the others that cannot matter."""
        few = self._rules[:number]
        behind = number - len(self._rules)
        return few if behind < 0 else chain(few, self._index.before(behind))


def _crowds(field: Field, rules: Sequence[Rule]) -> list[int]:
    """
    Return for each rule how many rules at most are found with it by a field.
    """
    keys = [field.keys(rule) for rule in rules]
    tables: dict[int, Table] = {}
    for number, places in enumerate(keys):
        for table, each in places or ():
            tables[id(table)] = table
            table.file(each, number)
    found = {which: table.crowds() for which, table in tables.items()}
    return [
        len(rules) + 1
        if places is None
        else max((found[id(table)][id(each)] for table, each in places), default=0)
        for places in keys
    ]


@final
class _Files:
    """
    Every rule, filed under one field, under two, or under none.
    """

    __slots__ = ("_always", "_filings", "_rules")

    def __init__(
        self,
        rules: Sequence[Rule],
        kinds: tuple[type[Field], ...],
        crowds: Mapping[type[Field], Sequence[int]],
    ) -> None:
        self._rules = rules
        self._always: list[int] = []
        filed: dict[tuple[type[Field], ...], list[int]] = {}
        for number, rule in enumerate(rules):
            if rule.isEmpty:
                continue
            best, other = sorted(kinds, key=lambda kind: crowds[kind][number])[:2]
            crowd = crowds[best][number]
            if crowd > len(rules):
                self._always.append(number)
            elif crowd > _CROWD and crowds[other][number] <= len(rules) // 2:
                filed.setdefault((best, other), []).append(number)
            elif crowd:
                filed.setdefault((best,), []).append(number)
        self._filings = [_Filing(of, numbers, rules) for of, numbers in filed.items()]

    def find(self, question: Question, address: Address) -> list[int]:
        """Return the rules that a question finds; one may come twice."""
        found = self._always.copy()
        for filing in self._filings:
            filing.find(question, address, found)
        return found

    def findUnknown(
        self, question: Question, address: Address, unknown: Collection[type[Field]]
    ) -> list[int]:
        """Return the same without the use of some fields."""
        found = self._always.copy()
        for filing in self._filings:
            filing.findUnknown(question, address, unknown, found)
        return found

    def before(self, number: int) -> Iterator[Rule]:
        """Yield the rules before one that may match all that it matches."""
        found = self._always.copy()
        for filing in self._filings:
            filing.around(self._rules[number], found)
        found = [each for each in found if each < number]
        found.sort()
        return map(self._rules.__getitem__, found)


@final
class _Filing:
    """
    Rules that are filed under the same fields, and found if each of these finds them.
    """

    __slots__ = ("_fields", "_numbers", "_only")

    def __init__(
        self,
        kinds: tuple[type[Field], ...],
        numbers: Sequence[int],
        rules: Sequence[Rule],
    ) -> None:
        self._numbers = numbers
        self._fields = [kind() for kind in kinds]
        self._only = self._fields[0] if len(kinds) == 1 else None
        for field in self._fields:
            tables: dict[int, Table] = {}
            for number in numbers:
                for table, keys in field.keys(rules[number]) or ():
                    tables[id(table)] = table
                    table.file(keys, number)
            for table in tables.values():
                table.close()

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Add the rules that a question finds, as L{Field.find}."""
        if self._only is not None:
            self._only.find(question, address, found)
        else:
            found += _met(self._fields, lambda f, more: f.find(question, address, more))

    def findUnknown(
        self,
        question: Question,
        address: Address,
        unknown: Collection[type[Field]],
        found: list[int],
    ) -> None:
        """Add the rules that a question finds without the use of some fields."""
        known = [field for field in self._fields if type(field) not in unknown]
        if known:
            found += _met(known, lambda f, more: f.find(question, address, more))
        else:
            found += self._numbers

    def around(self, rule: Rule, found: list[int]) -> None:
        """Add the rules that may match all that another does, as L{Field.around}."""
        found += _met(self._fields, lambda field, more: field.around(rule, more))


def _met(
    fields: Sequence[Field], find: Callable[[Field, list[int]], None]
) -> Collection[int]:
    """Return the rules that every field finds."""
    found: list[int] = []
    find(fields[0], found)
    met: Collection[int] = found
    for field in fields[1:]:
        if met:
            found = []
            find(field, found)
            met = set(found).intersection(met)
    return met
