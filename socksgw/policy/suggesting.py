"""
From requests that were denied to the narrowest rules that allow them.

The requests are taken apart into cells: who, command, port and destination. Cells
become one rule only where their product is made of cells that were seen, all of them:
so the rules together allow what was seen, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from attrs import evolve, field, frozen

from socksgw.config.schema import Config, Expect, Rule
from socksgw.interfaces import ANONYMOUS, OTHER
from socksgw.policy.conditions import HostFacts
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import unmet
from socksgw.policy.facts import Facts, unsureOf
from socksgw.policy.outcome import Admitting
from socksgw.policy.special import kinds
from socksgw.wire.address import Address

__all__ = ["PUBLIC", "Seen", "Subject", "Suggestion", "confirmed", "suggested"]

#: Stands for the addresses of a name that was not looked up: any public one.
PUBLIC: Final = Address.parse("8.8.8.8")


@final
@frozen
class Subject:
    """
    Whose requests are looked at; what is not given is not asked for.

    @ivar group: rules name it in place of its users.
    """

    user: str = ""
    group: str = ""
    tag: str = ""
    listener: str = ""

    def concerns(self, line: Mapping[str, Any]) -> bool:
        """Tell whether a line of the journal is about it."""
        return (
            (not self.user or line.get("user") == self.user)
            and (not self.group or self.group in line.get("groups", ()))
            and (not self.tag or line.get("tag") == self.tag)
            and (not self.listener or line.get("listener") == self.listener)
        )


@final
@frozen
class Seen:
    """
    One request that was denied.

    @ivar facts: with the addresses that may be allowed; none where the name was not
        looked up.
    @ivar number: of its line in the journal.
    @ivar time: as the line has it.
    """

    facts: Facts
    number: int
    time: str


class _Who(NamedTuple):
    """A user or a group; of a client without a login, its address."""

    word: str
    source: str = ""


class _Place(NamedTuple):
    """
    A destination as rules name it.

    @ivar resolving: the addresses that a name may have; empty for public ones, and of
        a destination that is an address.
    """

    word: str
    resolving: tuple[str, ...] = ()


@final
@frozen
class Suggestion:
    """
    A rule that allows some of what was seen.

    @ivar rule: the rule.
    @ivar expects: expectations of the policy that it meets.
    @ivar seen: the requests that it would have allowed.
    """

    rule: Rule
    expects: tuple[Expect, ...]
    seen: tuple[Seen, ...] = field(repr=False)


class _Cell(NamedTuple):
    who: _Who
    command: str
    port: int
    place: _Place


def suggested(
    seen: Iterable[Seen], subject: Subject, config: Config, timed: bool = False
) -> list[Suggestion]:
    """
    Return the rules that allow some requests, and nothing else.

    @param subject: whose they are.
    @param config: whose rules do not allow them.
    @param timed: whether verdicts depend on the time.
    """
    cells = _cells(seen, subject)
    taken = {rule.id for rule in config.rule}
    found: list[Suggestion] = []
    for commands, whos, ports, places in _products(cells):
        evidence = sorted(
            (
                each
                for cell in cells
                if cell.command in commands and cell.who in whos
                if cell.port in ports and cell.place in places
                for each in cells[cell]
            ),
            key=lambda each: each.number,
        )
        name = _free(_named(subject, commands, places), taken)
        rule = _rule(name, subject, commands, whos, ports, places)
        resolving = tuple(map(Address.parse, next(iter(places)).resolving))
        expects = dict.fromkeys(
            _expect(each, name, config, timed, resolving or (PUBLIC,))
            for each in evidence
        )
        found.append(Suggestion(rule, tuple(expects), tuple(evidence)))
    return sorted(found, key=lambda each: (-len(each.seen), each.rule.id))


def confirmed(
    found: Sequence[Suggestion],
    config: Config,
    hosts: HostFacts,
    admitting: Admitting,
    before: int | None = None,
) -> tuple[list[Suggestion], Counter[str]]:
    """
    Return the suggestions that do what they say together with the rules that there are.

    Where two of them allow the same, what is expected names neither.

    @param hosts: about this host.
    @param admitting: who can log in.
    @param before: the index of the rule before which they stand; L{None} for behind all.
    @return: the good ones, and why the others are none, each with its number of
        requests.
    """
    place = len(config.rule) if before is None else before
    rules = (
        *config.rule[:place],
        *(each.rule for each in found),
        *config.rule[place:],
    )
    trial = evolve(config, rule=rules, expect=())
    ruleset = Compiler(trial, hosts).compile().ruleset

    def known(expect: Expect) -> Expect:
        if ruleset.inspects and expect.command == "connect":
            # It was denied before it could be looked at.
            return evolve(expect, application=OTHER, server_name="")
        return expect

    def problem(expect: Expect) -> str:
        wrong = unmet(evolve(trial, expect=(expect,)), ruleset, admitting)
        return next((each.text for each in wrong), "")

    good: list[Suggestion] = []
    failed: Counter[str] = Counter()
    for each in found:
        expects = [
            evolve(one, rule=None) if problem(one) else one
            for one in map(known, each.expects)
        ]
        why = next(filter(None, map(problem, expects)), "")
        if why:
            failed[why] += len(each.seen)
        else:
            good.append(evolve(each, expects=tuple(dict.fromkeys(expects))))
    return good, failed


def _cells(seen: Iterable[Seen], subject: Subject) -> dict[_Cell, list[Seen]]:
    """Return the cells, each with the requests in it."""
    byTarget: dict[tuple[_Who, str, int, str | Address], list[Seen]] = {}
    for each in seen:
        facts = each.facts
        who = _Who(f"@{subject.group}" if subject.group else _word(facts.user))
        if facts.user == ANONYMOUS:
            who = _Who(ANONYMOUS, "" if facts.source is None else facts.source.text)
        targets: Sequence[str | Address] = facts.addresses
        if facts.name is not None:
            targets = (facts.name,)
        for target in targets:
            key = who, facts.command, facts.port, target
            byTarget.setdefault(key, []).append(each)
    cells: dict[_Cell, list[Seen]] = {}
    for (who, command, port, target), requests in byTarget.items():
        place = (
            _Place(target.text)
            if isinstance(target, Address)
            else _place(target, requests)
        )
        cells.setdefault(_Cell(who, command, port, place), []).extend(requests)
    return cells


def _place(name: str, requests: Iterable[Seen]) -> _Place:
    """Return a name, with its addresses where one of them is not public."""
    addresses = {a for each in requests for a in each.facts.addresses}
    if not any(map(kinds, addresses)):
        return _Place(f"={name}")
    return _Place(f"={name}", tuple(sorted(each.text for each in addresses)))


_Product = tuple[tuple[str, ...], frozenset[_Who], frozenset[int], frozenset[_Place]]


def _products(cells: Iterable[_Cell]) -> list[_Product]:
    """Return the cells as products of sets, which have these cells and no others."""
    ports: dict[Any, set[int]] = {}
    for cell in cells:
        ports.setdefault((cell.who, cell.command, cell.place), set()).add(cell.port)
    whos: dict[Any, set[_Who]] = {}
    for (who, command, place), some in ports.items():
        # Clients without a login are named by their addresses, others are not.
        key = who.word == ANONYMOUS, command, place, frozenset(some)
        whos.setdefault(key, set()).add(who)
    places: dict[Any, set[_Place]] = {}
    for (_, command, place, some), those in whos.items():
        key = command, frozenset(those), some, place.resolving
        places.setdefault(key, set()).add(place)
    commands: dict[Any, list[str]] = {}
    for (command, those, some, _), there in places.items():
        # A BIND has no port to ask for, so that it is never one of others.
        commands.setdefault((those, some, frozenset(there)), []).append(command)
    return [
        (tuple(sorted(words)), those, some, there)
        for (those, some, there), words in commands.items()
    ]


def _rule(
    name: str,
    subject: Subject,
    commands: tuple[str, ...],
    whos: Iterable[_Who],
    ports: Iterable[int],
    places: Iterable[_Place],
) -> Rule:
    sources = sorted({who.source for who in whos if who.source})
    resolving = next(iter(places)).resolving
    allow: Any = commands
    return Rule(
        name,
        allow=allow,
        who=tuple(sorted({who.word for who in whos})),
        from_=tuple(sources) if sources else None,
        listener=(subject.listener,) if subject.listener else None,
        tag=(subject.tag,) if subject.tag else None,
        to=tuple(sorted(place.word for place in places)),
        resolving_to=resolving or None,
        ports=None if commands == ("bind",) else tuple(sorted(ports)),
    )


def _expect(
    seen: Seen,
    rule: str,
    config: Config,
    timed: bool,
    supposed: tuple[Address, ...],
) -> Expect:
    """
    Return the expectation that a request is allowed by a rule.

    @param supposed: the addresses of a name that was not looked up.
    """
    facts = seen.facts
    open_ = unsureOf(facts.user, config, None)
    tagged = bool(config.auth.tag_separator) and facts.user != ANONYMOUS
    command: Any = facts.command
    at: Any = facts.at
    return Expect(
        to=_destination(facts),
        verdict="allow",
        command=command,
        who=_word(facts.user),
        groups=tuple(sorted(facts.groups & config.groups.keys() & open_))
        if open_
        else None,
        from_=None if facts.source is None else facts.source.text,
        listener=facts.listener,
        method=facts.method,
        secured=facts.secured,
        tag=facts.tag if tagged else None,
        at=at if timed else None,
        resolving_to=()
        if facts.name is None
        else tuple(a.text for a in facts.addresses or supposed),
        rule=rule,
    )


def _destination(facts: Facts) -> str:
    host = facts.name
    if host is None:
        address = facts.addresses[0]
        host = f"[{address.text}]" if address.version == 6 else address.text
    return f"{host}:{facts.port}" if facts.port else host


def _word(user: str) -> str:
    """Return a user's name as rules have it, where C{*} and C{?} stand for others."""
    return user.replace("*", "\\*").replace("?", "\\?")


def _named(subject: Subject, commands: Sequence[str], places: Iterable[_Place]) -> str:
    """Return an id that tells what a rule is for."""
    whose = subject.user or subject.group or subject.tag or subject.listener
    words = sorted(place.word.lstrip("=") for place in places)
    more = f"-and-{len(words) - 1}" if words[1:] else ""
    command = "" if commands == ("connect",) else f"-{'-'.join(commands)}"
    return f"{whose}-to-{words[0]}{more}{command}"


def _free(name: str, taken: set[str]) -> str:
    """Return an id that no rule has yet, and take it."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found
