"""
The fields by which rules are found: destination, user, source, port and so on.

Each field says under which keys a rule is filed, and which rules the same field of a
question finds.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from socksgw.interfaces import ANONYMOUS
from socksgw.policy.questions import Question
from socksgw.policy.rules import Rule
from socksgw.policy.tables import ByAddress, ByName, Keys, Table
from socksgw.wire.address import Address
from socksgw.wire.codes import DATAGRAMS

__all__ = [
    "Field",
    "Listener",
    "Port",
    "Service",
    "Source",
    "Tag",
    "ToAddress",
    "ToName",
    "ToSomewhere",
    "Who",
]

#: A rule with more ports than this is not filed by port.
_PORTS: Final = 256
_USERS: Final = frozenset({"users"})
_ANONYMOUS: Final = frozenset({ANONYMOUS})


class Field(Protocol):
    """One field of all rules of a ruleset."""

    def keys(self, rule: Rule) -> Keys | None:
        """
        Return where a rule is filed; L{None} when it may match any value.
        """

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Add the rules that may match, and perhaps others."""

    def around(self, rule: Rule, found: list[int]) -> None:
        """
        Add the rules that may match all that another rule does, and perhaps others.

        @param rule: the other rule; none of its conditions may be empty.
        """


# Where a rule leads to.


@final
class ToAddress:
    """C{to}, when an address is judged."""

    __slots__ = ("_addresses", "_names")

    def __init__(self) -> None:
        self._names, self._addresses = ByName(), ByAddress()

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for a rule that leads everywhere."""
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
        """Find by the asked name and by the address."""
        if question.name is not None:
            self._names.find(question.name, found)
        self._addresses.find(address, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one name, or by one network."""
        to = rule.to
        if to is not None and to.names is not None:
            self._names.around(to.names, found)
        elif to is not None and to.addresses is not None:
            self._addresses.around(to.addresses, found)


@final
class ToName:
    """
    C{to}, when a name has not been looked up.

    Rules that cannot decide about all addresses which the name may have are not filed.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names = ByName()

    def keys(self, rule: Rule) -> Keys | None:
        """
        Return none for an allow of some addresses, for the name may lead to them.

        A deny of some addresses is not filed, for the name may lead elsewhere.
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
        """Find by the asked name."""
        if question.name is not None:
            self._names.find(question.name, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one name."""
        if rule.to is not None and rule.to.names is not None:
            self._names.around(rule.to.names, found)


@final
class ToSomewhere:
    """C{to}, when nothing is known of the destination."""

    __slots__ = ()

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for an allow; a deny of some destinations is not filed."""
        if rule.reportOnly:
            return []
        limits = (rule.to, rule.resolving, rule.ports, rule.services)
        return None if rule.allow or all(each is None for each in limits) else []

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Find nothing: no rule is filed by this field."""

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find nothing: no rule is filed by this field."""


# Who asks, from where, for which port.


@final
class Who:
    """C{who}."""

    __slots__ = ("_beginnings", "_groups", "_names", "_words")

    def __init__(self) -> None:
        self._names, self._groups, self._words = Table(), Table(), Table()
        # By length.
        self._beginnings: dict[int, Table] = {}

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for a rule that is for everybody."""
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
        for length, beginnings in who.beginnings.items():
            if length not in self._beginnings:
                self._beginnings[length] = Table()
            found.append((self._beginnings[length], beginnings))
        if who.groups:
            found.append((self._groups, who.groups))
        return found

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Find by the name and the groups of the user."""
        user = question.asker.user
        if user.anonymous:
            self._words.find(ANONYMOUS, found)
            return
        self._words.find("users", found)
        self._names.find(user.name, found)
        if self._beginnings:
            self._begun(user.name, found)
        groups = user.groups | user.unsure if user.unsure else user.groups
        for group in self._groups.rules.keys() & groups:
            self._groups.find(group, found)

    def _begun(self, name: str, found: list[int]) -> None:
        for length, table in self._beginnings.items():
            table.find(name[:length], found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one of the users that are meant."""
        who = rule.who
        if who is None:
            return
        if who.anonymous:
            self._words.find(ANONYMOUS, found)
            return
        self._words.find("users", found)
        if who.names:
            name = next(iter(who.names))
            self._names.find(name, found)
            self._begun(name, found)
        elif who.groups:
            self._groups.find(next(iter(who.groups)), found)
        elif who.beginnings:
            # A rule for all that begin so has a beginning that is as short.
            self._begun(next(iter(next(iter(who.beginnings.values())))), found)


@final
class Source:
    """C{from}."""

    __slots__ = ("_addresses",)

    def __init__(self) -> None:
        self._addresses = ByAddress()

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for a rule that is for every source."""
        if rule.sources is None or rule.sources.everything:
            return None
        return self._addresses.keys(rule.sources)

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Find by the client's address."""
        source = question.asker.source
        assert source is not None, "the index leaves out what is not known"
        self._addresses.find(source, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one network."""
        if rule.sources is not None:
            self._addresses.around(rule.sources, found)


@final
class Port:
    """C{ports}."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table = Table()

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for a rule that is for all or many ports."""
        few = None if rule.ports is None else rule.ports.few(_PORTS)
        return None if few is None else [(self._table, few)]

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Find by the requested port."""
        self._table.find(question.port, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one of them."""
        if rule.ports is not None:
            self._table.find(rule.ports.one(), found)


@final
class Service:
    """C{services}."""

    __slots__ = ("_byProtocol",)

    def __init__(self) -> None:
        self._byProtocol = {"tcp": Table(), "udp": Table()}

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for a rule that is for all or many ports."""
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
        """Find by the requested port and the command's protocol."""
        protocol = "udp" if question.command in DATAGRAMS else "tcp"
        self._byProtocol[protocol].find(question.port, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one port of one protocol."""
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
        """Return none for a rule that is for every listener."""
        return None if rule.listeners is None else [(self._table, rule.listeners)]

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Find by the listener that the client connected to."""
        self._table.find(question.asker.listener, found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one of them."""
        if rule.listeners:
            self._table.find(next(iter(rule.listeners)), found)


@final
class Tag:
    """C{tag}."""

    __slots__ = ("_beginnings", "_names")

    def __init__(self) -> None:
        self._names = Table()
        # By length.
        self._beginnings: dict[int, Table] = {}

    def keys(self, rule: Rule) -> Keys | None:
        """Return none for a rule that is for every client."""
        tags = rule.tags
        if tags is None:
            return None
        found: Keys = [(self._names, tags.names)] if tags.names else []
        for length, beginnings in tags.beginnings.items():
            if length not in self._beginnings:
                self._beginnings[length] = Table()
            found.append((self._beginnings[length], beginnings))
        return found

    def find(self, question: Question, address: Address, found: list[int]) -> None:
        """Find by the tag behind the user's name."""
        tag = question.asker.tag
        assert tag is not None, "the index leaves out what is not known"
        self._names.find(tag, found)
        self._begun(tag, found)

    def _begun(self, tag: str, found: list[int]) -> None:
        for length, table in self._beginnings.items():
            table.find(tag[:length], found)

    def around(self, rule: Rule, found: list[int]) -> None:
        """Find by one of the tags that are meant."""
        tags = rule.tags
        if tags is None:
            return
        if tags.names:
            tag = next(iter(tags.names))
            self._names.find(tag, found)
            self._begun(tag, found)
        elif tags.beginnings:
            # A rule for all that begin so has a beginning that is as short.
            self._begun(next(iter(next(iter(tags.beginnings.values())))), found)
