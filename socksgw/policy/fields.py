"""
The fields of a rule by which it can be found: where it leads to, who asks
from where, the port, the service, the listener.

Each says under which keys a rule is filed, and which rules a question finds
by what it says in the same field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from itertools import chain
from typing import Any, Final, Protocol, final

from socksgw.interfaces import ANONYMOUS
from socksgw.policy.conditions import Addresses
from socksgw.policy.networks import NamePatterns
from socksgw.policy.questions import Question
from socksgw.policy.rules import Rule
from socksgw.policy.special import SPECIAL, kinds
from socksgw.wire.address import Address

__all__ = [
    "Field",
    "Keys",
    "Listener",
    "Port",
    "Service",
    "Source",
    "Table",
    "ToAddress",
    "ToName",
    "ToSomewhere",
    "Who",
]

#: A rule with more ports than this is not filed under them.
_PORTS: Final = 256
_USERS: Final = frozenset({"users"})
_ANONYMOUS: Final = frozenset({ANONYMOUS})


@final
class Table:
    """
    Rules by one kind of key: filed first, found after it has been closed.

    @ivar rules: of a key, the numbers of the rules in several lists, since
        rules that share a set of keys share a list.
    """

    __slots__ = ("_filed", "rules")

    def __init__(self) -> None:
        self.rules: dict[Any, Sequence[list[int]]] = {}
        # By the identity of a set: many rules may have the same large one.
        self._filed: dict[int, tuple[Collection[Any], list[int]]] = {}

    def file(self, keys: Collection[Any], number: int) -> None:
        """A rule is to be found under these keys."""
        self._filed.setdefault(id(keys), (keys, []))[1].append(number)

    def crowds(self) -> dict[int, int]:
        """
        By the identity of a set of keys: how many rules are filed under that
        one of them under which most are.
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
        """Every rule has been filed."""
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
        """Add the rules of a key."""
        for members in self.rules.get(key, ()):
            found += members


#: Sets of keys under which a rule can be found, and where. A rule that has
#: none matches nothing.
Keys = list[tuple[Table, Collection[Any]]]


class Field(Protocol):
    """One of them, of all rules of a ruleset."""

    def keys(self, rule: Rule) -> Keys | None:
        """
        Where the rule can be found; L{None} when it could match whatever a
        question says here.
        """

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Add the rules here that could match, and maybe others."""

    def around(self, rule: Rule, found: list[int]) -> None:
        """
        Add the rules here that could match all that C{rule} does, and maybe
        others. None of its fields may be empty.
        """


# Sets of names and of addresses.


@final
class _ByName:
    __slots__ = ("_below", "_exact")

    def __init__(self) -> None:
        self._exact, self._below = Table(), Table()

    def keys(self, names: NamePatterns) -> Keys:
        return [
            *((self._exact, each) for each in names.exact),
            *((self._below, each) for each in names.below),
        ]

    def find(self, name: str, found: list[int]) -> None:
        self._exact.find(name, found)
        below = self._below.rules
        dot = name.find(".") if below else -1
        while dot >= 0:
            for members in below.get(name[dot + 1 :], ()):
                found += members
            dot = name.find(".", dot + 1)

    def around(self, names: NamePatterns, found: list[int]) -> None:
        # What matches all of them matches any one.
        if names.exact:
            self.find(next(iter(names.exact[0])), found)
        else:
            self.find(f"*.{next(iter(names.below[0]))}", found)


@final
class _ByAddress:
    __slots__ = ("_four", "_six", "_words")

    def __init__(self) -> None:
        # By shift, as in Networks.
        self._four: dict[int, Table] = {}
        self._six: dict[int, Table] = {}
        self._words = Table()

    def keys(self, addresses: Addresses) -> Keys:
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
            # Where they are, the host knows.
            self._words.find("self", found)
            self._words.find("listeners", found)

    def around(self, addresses: Addresses, found: list[int]) -> None:
        # What covers all of them covers any one.
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


# Where a rule leads to.


@final
class ToAddress:
    """C{to}, when an address is judged."""

    __slots__ = ("_addresses", "_names")

    def __init__(self) -> None:
        self._names, self._addresses = _ByName(), _ByAddress()

    def keys(self, rule: Rule) -> Keys | None:
        """None where it leads everywhere."""
        to = rule.to
        if to is None or (to.addresses is not None and to.addresses.everything):
            return None
        found: Keys = []
        if to.addresses is not None:
            found += self._addresses.keys(to.addresses)
        if to.names is not None:
            found += self._names.keys(to.names)
        return found

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the asked name and by the address."""
        if question.name is not None:
            self._names.find(question.name, found)
        self._addresses.find(address, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one name, or one network."""
        to = rule.to
        if to is not None and to.names is not None:
            self._names.around(to.names, found)
        elif to is not None and to.addresses is not None:
            self._addresses.around(to.addresses, found)


@final
class ToName:
    """
    C{to}, when it is asked what holds for all that a name may lead to: rules
    that cannot say so are nowhere.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names = _ByName()

    def keys(self, rule: Rule) -> Keys | None:
        """
        None for an allow of some addresses: the name may lead there; nothing
        for a deny of some, for it may not.
        """
        to, resolving = rule.to, rule.resolving
        if rule.reportOnly:
            return []
        if not rule.allow and resolving is not None and not resolving.everything:
            return []
        if to is None:
            return None
        if to.addresses is not None and (rule.allow or to.addresses.everything):
            return None
        return [] if to.names is None else self._names.keys(to.names)

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the asked name."""
        if question.name is not None:
            self._names.find(question.name, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one name."""
        if rule.to is not None and rule.to.names is not None:
            self._names.around(rule.to.names, found)


@final
class ToSomewhere:
    """C{to}, when nothing is known of where it goes."""

    __slots__ = ()

    def keys(self, rule: Rule) -> Keys | None:
        """None for an allow; nothing for a deny of something."""
        if rule.reportOnly:
            return []
        limits = (rule.to, rule.resolving, rule.ports, rule.services)
        return None if rule.allow or all(each is None for each in limits) else []

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Nothing is ever filed here."""

    def around(self, rule: Rule, found: list[int]) -> None:
        """Nothing is ever filed here."""


# Who asks, from where, for which port.


@final
class Who:
    """C{who}."""

    __slots__ = ("_groups", "_names", "_words")

    def __init__(self) -> None:
        self._names, self._groups, self._words = Table(), Table(), Table()

    def keys(self, rule: Rule) -> Keys | None:
        """None for everybody."""
        who = rule.who
        if who is None:
            return None
        found: Keys = []
        if who.anonymous:
            found.append((self._words, _ANONYMOUS))
        if who.users:
            found.append((self._words, _USERS))
        if who.names:
            found.append((self._names, who.names))
        if who.groups:
            found.append((self._groups, who.groups))
        return found

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the name and the groups of a user."""
        user = question.asker.user
        if user.anonymous:
            self._words.find(ANONYMOUS, found)
            return
        self._words.find("users", found)
        self._names.find(user.name, found)
        groups = user.groups | user.unsure if user.unsure else user.groups
        for group in self._groups.rules.keys() & groups:
            self._groups.find(group, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one of those meant."""
        who = rule.who
        if who is None:
            return
        if who.anonymous:
            self._words.find(ANONYMOUS, found)
            return
        self._words.find("users", found)
        if who.names:
            self._names.find(next(iter(who.names)), found)
        elif who.groups:
            self._groups.find(next(iter(who.groups)), found)


@final
class Source:
    """C{from}."""

    __slots__ = ("_addresses",)

    def __init__(self) -> None:
        self._addresses = _ByAddress()

    def keys(self, rule: Rule) -> Keys | None:
        """None for everywhere."""
        if rule.sources is None or rule.sources.everything:
            return None
        return self._addresses.keys(rule.sources)

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the client's address."""
        source = question.asker.source
        assert source is not None, "the index leaves out what is not known"
        self._addresses.find(source, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one network."""
        if rule.sources is not None:
            self._addresses.around(rule.sources, found)


@final
class Port:
    """C{ports}."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table = Table()

    def keys(self, rule: Rule) -> Keys | None:
        """None for all or many."""
        few = None if rule.ports is None else rule.ports.few(_PORTS)
        return None if few is None else [(self._table, few)]

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the asked one."""
        self._table.find(question.port, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one of them."""
        if rule.ports is not None:
            self._table.find(rule.ports.one(), found)


@final
class Service:
    """C{services}."""

    __slots__ = ("_byProtocol",)

    def __init__(self) -> None:
        self._byProtocol = {"tcp": Table(), "udp": Table()}

    def keys(self, rule: Rule) -> Keys | None:
        """None for all or many."""
        if rule.services is None:
            return None
        found: Keys = []
        for protocol, ports in rule.services.byProtocol.items():
            few = ports.few(_PORTS)
            if few is None:
                return None
            found.append((self._byProtocol[protocol], few))
        return found

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the asked port, and the command's protocol."""
        protocol = "udp" if question.command == "udp" else "tcp"
        self._byProtocol[protocol].find(question.port, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one port of one protocol."""
        if rule.services is not None:
            protocol, ports = next(iter(rule.services.byProtocol.items()))
            self._byProtocol[protocol].find(ports.one(), found)


@final
class Listener:
    """C{listener}."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table = Table()

    def keys(self, rule: Rule) -> Keys | None:
        """None for all."""
        return None if rule.listeners is None else [(self._table, rule.listeners)]

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """By the one that the client came to."""
        self._table.find(question.asker.listener, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """By one of them."""
        if rule.listeners:
            self._table.find(next(iter(rule.listeners)), found)
