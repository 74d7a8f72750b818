"""
Compile the policy of a configuration into a ruleset, and find its errors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Final, final

from attrs import evolve, field, frozen

from socksgw.config.lists import placeIn
from socksgw.config.problems import Problem, nearest
from socksgw.config.reserved import LOCAL, isLocal, isReserved
from socksgw.config.schema import Config, Limit, RuleMulticast
from socksgw.config.schema import Rule as RuleTable
from socksgw.config.tags import isPatternOfTags
from socksgw.config.userwords import userWord
from socksgw.policy.conditions import (
    Addresses,
    HostFacts,
    Never,
    Who,
)
from socksgw.policy.counting import Counted
from socksgw.policy.groups import ORDINARY, GroupTerms
from socksgw.policy.leaving import Leaving
from socksgw.policy.networks import Network
from socksgw.policy.patterns import NamePatterns
from socksgw.policy.ports import Ports, Services
from socksgw.policy.questions import (
    DECIDER,
    DEFAULT,
    NEVER,
    UNOFFERED,
    Consulting,
    Obligations,
)
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.schedules import Schedule
from socksgw.policy.shadows import COMMANDS, NAMED, unjudged, unreachable
from socksgw.policy.tags import Tags
from socksgw.policy.words import Words
from socksgw.system.aside import collectorAside
from socksgw.wire.address import Address
from socksgw.wire.levels import WORDS, factsOf

__all__ = ["GRANT", "Compiled", "Compiler"]

_DEFAULT_NEVER: Final = ("special", "self")
#: What stands in records in place of the id of a rule.
_OWN: Final = (NEVER, DEFAULT, "limit", UNOFFERED, DECIDER)
#: What the ids of grants begin with.
GRANT: Final = "grant:"
#: Characters of what people are told.
_MESSAGE: Final = 200
_ASKED: Final = frozenset({"name", "address"})
_SECURED: Final = frozenset(WORDS)
_BARE_WORD: Final = "needs a name or a number behind the colon"
_NO_PATTERN: Final = "a group names its users one by one; patterns are for who"


@frozen
class Compiled:
    """
    The compiled policy of a configuration.

    @ivar ruleset: the rules.
    @ivar errors: the errors; if there are any, the ruleset must not be used.
    @ivar warnings: the warnings.
    @ivar counted: who counts in each C{[[limit]]}; L{None} where all do.
    """

    ruleset: Ruleset
    errors: list[Problem] = field(factory=list)
    warnings: list[Problem] = field(factory=list)
    counted: tuple[Counted | None, ...] = ()


@final
class Compiler:
    """
    Compiles the policy of one configuration.

    @ivar errors: the errors found so far.
    @ivar warnings: the warnings found so far.
    """

    def __init__(self, config: Config, facts: HostFacts) -> None:
        self._config = config
        self._used: set[str] = set()
        self._schedules: dict[str, Schedule] = {}
        # Shared by the rules that have the same words.
        self._ports: dict[tuple[str, ...], Ports] = {}
        self._servicesOf: dict[tuple[str, ...], Services] = {}
        self._places: list[str] = []
        self._ruleset: Ruleset | None = None
        errors = self.errors = list[Problem]()
        # Not self._wrong: that would be a cycle.
        self._words = Words(
            config.networks,
            partial(placeIn, config),
            facts,
            lambda *wrong: errors.append(Problem(*wrong)),
        )
        self.warnings: list[Problem] = []

    # The whole.

    def compile(self) -> Compiled:
        """
        Return the compiled policy with all errors and warnings.
        """
        self.prepare()
        ruleset = self._ruleset
        assert ruleset is not None
        counted = tuple(
            self._counted(limit, f"limit[{i}]")
            for i, limit in enumerate(self._config.limit)
        )
        self._unused()
        # An error in a network is found wherever the network is used.
        errors = list(dict.fromkeys(self.errors))
        return Compiled(ruleset, errors, self.warnings, counted)

    def prepare(self) -> None:
        """
        Compile the rules, if that is not done: the largest part of the work.

        It uses nothing but the configuration, so it may run in any thread.
        """
        if self._ruleset is not None:
            return
        with collectorAside():
            self._ruleset = self._rules()

    def _rules(self) -> Ruleset:
        config = self._config
        self._declarations()
        self._places = [
            table.place or f"rule[{i}]" for i, table in enumerate(config.rule)
        ]
        rules = [
            self.rule(table, place)
            for table, place in zip(config.rule, self._places, strict=True)
        ]
        ruleset = Ruleset(rules, self._never())
        self._ids(config.rule)
        for number, why in unreachable(ruleset):
            self._wrong(self._places[number], why)
        for number, why in unjudged(rules):
            self._odd(self._places[number], why)
        return ruleset

    def addresses(self, words: Sequence[str] | None, path: str) -> Addresses | None:
        """
        Return a set of addresses, as L{Words.addresses}.
        """
        return self._words.addresses(words, path)

    # The parts.

    def _wrong(self, path: str, text: str) -> None:
        self.errors.append(Problem(path, text))

    def _odd(self, path: str, text: str) -> None:
        self.warnings.append(Problem(path, text))

    def _declarations(self) -> None:
        self._words.declare()
        for name, group in self._config.groups.items():
            for i, member in enumerate(group.members):
                if _isBareWord(member):
                    self._wrong(f"groups.{name}[{i}]", f'"{member}": {_BARE_WORD}')
                elif isReserved(member) and not isLocal(member):
                    self._wrong(f"groups.{name}[{i}]", f'"{member}" is not a user name')
                elif "*" in member or "?" in member:
                    self._wrong(f"groups.{name}[{i}]", f'"{member}": {_NO_PATTERN}')
            if isLocal(name):
                why = "cannot be the name of a group: it means one of this machine"
                self._wrong(f"groups.{name}", why)
            if not (group.members or group.inDirectory or group.token):
                self._odd(f"groups.{name}", "is empty")
        for name, ports in self._config.services.items():
            try:
                Services(ports)
            except ValueError as e:
                self._wrong(f"services.{name}", str(e))
        for name, table in self._config.schedules.items():
            try:
                schedule = Schedule(
                    table.days, table.hours, table.zone, table.from_, table.until
                )
                self._schedules[name] = schedule
                if schedule.isOver(time.time()):
                    self._odd(f"schedules.{name}", "is over: it never holds again")
            except ValueError as e:
                self._wrong(f"schedules.{name}", str(e))

    def rule(self, table: RuleTable, path: str) -> Rule:
        """
        Compile one rule; what is wrong with it is among L{errors} then.

        @param path: its TOML path.
        """
        if (table.allow is None) == (table.deny is None):
            self._wrong(path, "needs either allow or deny")
        commands = table.allow if table.allow is not None else table.deny
        if not table.id:
            self._wrong(f"{path}.id", "must not be empty")
        elif table.id in _OWN or table.id.startswith(GRANT):
            self._wrong(f"{path}.id", f'"{table.id}" is a name of the gateway\'s own')
        if table.message and table.allow is not None:
            self._wrong(f"{path}.message", "is only for a rule that denies")
        if len(table.message) > _MESSAGE or not table.message.isprintable():
            self._wrong(
                f"{path}.message",
                f"must be one line of at most {_MESSAGE} characters",
            )
        return Rule(
            id=table.id,
            allow=table.allow is not None,
            commands=_commands(commands, table.allow is not None),
            who=self._who(table.who, f"{path}.who"),
            sources=self._words.addresses(table.from_, f"{path}.from"),
            listeners=self.listeners(table.listener, f"{path}.listener"),
            to=self._words.destinations(table.to, f"{path}.to"),
            resolving=self._words.addresses(table.resolving_to, f"{path}.resolving_to"),
            ports=self._portsOf(table.ports, f"{path}.ports"),
            replies=table.udp.replies,
            services=self._services(table.services, f"{path}.services"),
            during=self._during(table.during, f"{path}.during"),
            until=self._until(table, path),
            secured=self._secured(table.secured, f"{path}.secured"),
            methods=None if table.method is None else frozenset(table.method),
            askedBy=self._among(table.asked_by, _ASKED, f"{path}.asked_by"),
            tags=self._tags(table.tag, f"{path}.tag"),
            applications=_several(table.application),
            serverNames=self._serverNames(table.server_name, f"{path}.server_name"),
            ticket=table.ticket,
            message=table.message,
            reportOnly=table.report_only,
            obligations=Obligations(
                table.timeouts.connect,
                table.timeouts.idle,
                self._leaving(table, path),
                self._deciders(table),
                self._groups(table, path),
            ),
        )

    def _groups(self, table: RuleTable, path: str) -> GroupTerms:
        """Return what a rule says of multicast groups."""
        said = table.multicast
        if said == RuleMulticast():
            return ORDINARY
        sources = self._words.addresses(said.sources, f"{path}.multicast.sources")
        return GroupTerms(said.send, said.ttl, sources, said.interface)

    def _deciders(self, table: RuleTable) -> tuple[Consulting, ...]:
        """Return who is asked about what a rule allows."""
        # The examination of deciders finds what is wrong with the names.
        return tuple(
            Consulting(
                each.name, None if each.listener is None else frozenset(each.listener)
            )
            for each in (self._config.decider if table.allow is not None else ())
            if each.name == table.decider
            or (each.rule is not None and table.id in each.rule)
            or (each.rule is None and each.listener is not None)
        )

    def _serverNames(
        self, words: Sequence[str] | None, path: str
    ) -> NamePatterns | None:
        """Return the C{server_name} of a rule: patterns of names, no addresses."""
        found = self._words.destinations(words, path)
        if found is None:
            return None
        if found.addresses is not None:
            self._wrong(path, "has addresses, and here the name of the server counts")
        return found.names or NamePatterns(())

    def _leaving(self, table: RuleTable, path: str) -> Leaving | None:
        """Return how sessions of a rule leave; L{None} where nothing is said."""
        leaveBy = table.leave_by or ()
        said = Leaving(
            leaveBy=(leaveBy,) if isinstance(leaveBy, str) else leaveBy,
            device=table.device,
            mark=table.mark,
            header=table.proxy_header or "",
        )
        if table.via is None:
            return None if said == Leaving() else said
        if table.allow is None:
            self._wrong(f"{path}.via", "is only for a rule that allows")
        # The examination of upstreams finds what is wrong with the names.
        there = any(
            each.resolve == "there"
            for each in self._config.upstream
            if each.name in table.via[-1]
        )
        return evolve(said, via=table.via, balance=table.balance, there=there)

    def _portsOf(self, words: Sequence[int | str] | None, path: str) -> Ports | None:
        if words is None:
            return None
        key = tuple(map(repr, words))
        if key not in self._ports:
            try:
                self._ports[key] = Ports(words)
            except ValueError as e:
                self._wrong(path, str(e))
                return None
        return self._ports[key]

    def _services(self, words: Sequence[str] | None, path: str) -> Services | None:
        if words is None:
            return None
        ports: list[str] = []
        for i, word in enumerate(words):
            if word not in self._config.services:
                self._undeclared(f"{path}[{i}]", word, "services")
            self._used.add(f"services.{word}")
            ports += self._config.services.get(word, ())
        key = tuple(ports)
        if key not in self._servicesOf:
            try:
                self._servicesOf[key] = Services(ports)
            except ValueError:
                # The error is reported where the service is declared.
                self._servicesOf[key] = Services(())
        return self._servicesOf[key]

    def _undeclared(self, path: str, word: str, table: str) -> None:
        prefix = "@" if table == "groups" else ""
        known = [f"{prefix}{each}" for each in getattr(self._config, table)]
        why = f'"{word}" is not declared in [{table}]{nearest(word, known)}'
        self._wrong(path, why)

    def _during(
        self, words: Sequence[str] | None, path: str
    ) -> tuple[Schedule, ...] | None:
        if words is None:
            return None
        for i, word in enumerate(words):
            if word not in self._config.schedules:
                self._undeclared(f"{path}[{i}]", word, "schedules")
            self._used.add(f"schedules.{word}")
        return tuple(self._schedules[w] for w in words if w in self._schedules)

    def _until(self, table: RuleTable, path: str) -> float | None:
        if table.until is not None and table.until <= time.time():
            self._odd(f"{path}.until", f'is over: "{table.id}" matches nothing')
        return table.until

    def _among(
        self, words: Sequence[str] | None, known: frozenset[str], path: str
    ) -> frozenset[str] | None:
        if words is None:
            return None
        for word in words:
            if word not in known:
                choice = ", ".join(f'"{w}"' for w in sorted(known))
                self._wrong(path, f'"{word}" is none of {choice}')
        return frozenset(words)

    def _secured(self, words: Sequence[str] | None, path: str) -> frozenset[str] | None:
        known = self._among(words, _SECURED, path)
        if known is None:
            return None
        return frozenset().union(*map(factsOf, known & _SECURED))

    def _who(self, words: Sequence[str] | None, path: str) -> Who | None:
        if words is None:
            return None
        bad: set[str] = set()
        for i, word in enumerate(words):
            if word.startswith("@"):
                self._used.add(word)
                if word[1:] not in self._config.groups:
                    self._undeclared(f"{path}[{i}]", word, "groups")
            elif not word:
                self._wrong(f"{path}[{i}]", "must not be empty")
            elif _isBareWord(word):
                self._wrong(f"{path}[{i}]", f'"{word}": {_BARE_WORD}')
            elif not isReserved(word):
                try:
                    userWord(word)
                except ValueError as e:
                    self._wrong(f"{path}[{i}]", f'"{word}": {e}')
                    bad.add(word)
        return Who(set(words) - bad)

    def _counted(self, limit: Limit, path: str) -> Counted | None:
        """Return who counts in a limit; L{None} where all do."""
        who = self._who(limit.who, f"{path}.who")
        sources = self.addresses(limit.from_, f"{path}.from")
        for name, found in (("who", limit.who), ("from", limit.from_)):
            if found == ():
                self._wrong(f"{path}.{name}", "is empty: nobody counts")
        if who is None and sources is None:
            return None
        return Counted(who, sources, limit.who or (), limit.from_ or ())

    def _tags(self, words: Sequence[str] | None, path: str) -> Tags | None:
        if words is None:
            return None
        for i, word in enumerate(words):
            if not isPatternOfTags(word):
                why = 'is neither a tag nor a pattern such as "job-*"'
                self._wrong(f"{path}[{i}]", f'"{word}" {why}')
        return Tags(words)

    def listeners(
        self, words: Sequence[str] | None, path: str
    ) -> frozenset[str] | None:
        """
        Return names of listeners; unknown ones are errors.
        """
        if words is None:
            return None
        known = {listen.name for listen in self._config.listen}
        known.update(self._config.unused)
        for i, word in enumerate(words):
            if word not in known:
                why = f'there is no [[listen]] named "{word}"{nearest(word, known)}'
                self._wrong(f"{path}[{i}]", why)
        return frozenset(words)

    def _never(self) -> Never:
        table = self._config.never
        words = _DEFAULT_NEVER if table.to is None else table.to
        if table.to:
            self._odd("never.to", "replaces the default, special and self")
        elif table.to == ():
            self._odd("never.to", "is empty: nothing is banned before the rules")
        banned = None
        if words:
            to = self._words.addresses(words, "never.to")
            also = self._words.addresses(table.also, "never.also")
            assert to is not None
            assert also is not None
            banned = to.joined(also)
        elif table.also:
            self._wrong("never.also", "adds to nothing, since never.to is empty")
        lifted: list[Network] = []
        places: list[tuple[Address, int]] = []
        for i, word in enumerate(table.except_):
            try:
                place = _place(word)
                if isinstance(place, Network):
                    lifted.append(place)
                else:
                    places.append(place)
            except ValueError as e:
                self._wrong(f"never.except[{i}]", f'"{word}": {e}')
        return Never(banned, lifted, places)

    # What the rules are together.

    def _ids(self, tables: Sequence[RuleTable]) -> None:
        known: set[str] = set()
        for i, table in enumerate(tables):
            if table.id in known:
                self._wrong(
                    f"{self._places[i]}.id",
                    f'"{table.id}" is the id of an earlier rule, too',
                )
            known.add(table.id)

    def _unused(self) -> None:
        for name, words in self._config.networks.items():
            if name not in self._words.used:
                self._odd(f"networks.{name}", "is not used")
            elif words.file and not words:
                self._odd(f"networks.{name}.file", f'"{words.file}" is empty')
        config = self._config
        limits = (*config.limit, *(rule.limits for rule in config.rule))
        counted = any(each is not None and each.per == "group" for each in limits)
        for name in config.groups:
            if f"@{name}" not in self._used and not counted:
                self._odd(f"groups.{name}", "is not used")
        for table in ("services", "schedules"):
            for name in getattr(self._config, table):
                if f"{table}.{name}" not in self._used:
                    self._odd(f"{table}.{name}", "is not used")


def _several(words: Sequence[str] | str | None) -> frozenset[str] | None:
    """Return the words of a field that may be one word; L{None} where it is absent."""
    if words is None:
        return None
    return frozenset((words,) if isinstance(words, str) else words)


def _isBareWord(word: str) -> bool:
    """Tell whether a word for a user or a group of this machine names none."""
    return isLocal(word) and word in LOCAL


def _commands(words: Sequence[str] | str | None, allow: bool) -> frozenset[str] | None:
    """
    Return the commands of a rule; L{None} for all.

    C{any} does not allow C{resolve} and C{multicast}: a rule has to name them.
    """
    if words is None or words == "any":
        return COMMANDS - NAMED if allow else None
    return frozenset(words)


def _place(word: str) -> Network | tuple[Address, int]:
    """
    Read an exception of C{[never]}: a network, or an address with a port.

    @raise ValueError: it is neither.
    """
    host, colon, port = word.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if colon and (bracketed or ":" not in host):
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError("the port is not within 1 to 65535")
        return Address.parse(host.strip("[]")), int(port)
    return Network.parse(word.strip("[]"))
