"""
C{[[upstream]]}, and C{via} of rules: other gateways that sessions leave by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from socksgw.config.problems import nearest
from socksgw.config.schema import Config, Rule, Upstream
from socksgw.config.upstreamurl import UpstreamURL
from socksgw.gateway.examining.carrying import cannotBind, cannotCarry
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.upstreamclients import (
    UpstreamClient,
    WrongUpstream,
    clientFor,
    ledTo,
)
from socksgw.policy.conditions import HostFacts
from socksgw.policy.leaving import DIRECT, MOST
from socksgw.wire.address import Address

__all__ = ["examineUpstreams"]

#: They stand between names in the record.
_SEPARATORS: Final = ",|"


def examineUpstreams(
    config: Config, facts: HostFacts, reactor: Any, problems: Problems
) -> dict[str, UpstreamClient]:
    """
    Examine each upstream alone, and the chains that rules make of them.

    @param facts: which addresses are listeners of the gateway itself.
    @return: what speaks to each, by its name; without those that are wrong.
    """
    later = ledTo(config)
    first = {name for rule in config.rule if rule.via for name in rule.via[0]}
    clients: dict[str, UpstreamClient] = {}
    known: dict[str, Upstream] = {}
    for i, table in enumerate(config.upstream):
        path = f"upstream[{i}]"
        if table.name in known:
            problems.wrong(f"{path}.name", f'"{table.name}" is another one\'s, too')
        elif why := _wrongName(table.name):
            problems.wrong(f"{path}.name", why)
        known[table.name] = table
        try:
            clients[table.name] = found = clientFor(
                table, config.directory, reactor, table.name in later
            )
        except WrongUpstream as e:
            for key, why in e.wrong:
                problems.wrong(f"{path}.{key}", why)
        else:
            begins = table.name not in later or table.name in first
            _url(found.url, f"{path}.url", facts, begins, problems)
    used: set[str] = set()
    for i, rule in enumerate(config.rule):
        if rule.via is not None:
            path = f"{rule.place or f'rule[{i}]'}.via"
            _chain(rule.via, known, path, problems)
            _commands(rule, known, path, problems)
            used.update(*rule.via)
    for i, table in enumerate(config.upstream):
        if table.name not in used:
            problems.odd(f"upstream[{i}]", f'"{table.name}" is in via of no rule')
    return clients


def _wrongName(name: str) -> str:
    """Return why something cannot be the name of an upstream; empty if it can."""
    if name == DIRECT:
        return f'"{DIRECT}" is what via has for no upstream at all'
    if not name or not name.isprintable() or any(each in name for each in _SEPARATORS):
        return "must be a name of printable characters, and no comma or | among them"
    return ""


def _url(
    url: UpstreamURL, path: str, facts: HostFacts, begins: bool, problems: Problems
) -> None:
    """
    Look whether an upstream is this gateway itself.

    @param begins: whether this host connects to it; else loopback is that of the
        upstream before it.
    """
    host = url.host
    if not isinstance(host, Address) or (host.isLoopback and not begins):
        return
    if facts.isListener(host, url.port):
        why = "is a listener of this gateway: sessions would go round in a circle"
        problems.wrong(path, why)


def _commands(
    rule: Rule, known: Mapping[str, Upstream], path: str, problems: Problems
) -> None:
    """
    Examine whether the upstreams of a rule do the commands that it allows.

    C{"any"} allows what they can do.
    """
    allow, via = rule.allow, rule.via
    if allow is None or allow == "any" or not via:
        return
    for command, cannot in (("bind", cannotBind), ("udp", cannotCarry)):
        if command in allow:
            for why in cannot(via, known):
                problems.wrong(path, why)


def _chain(
    via: Sequence[Sequence[str]],
    known: Mapping[str, Upstream],
    path: str,
    problems: Problems,
) -> None:
    """Examine the chain of one rule."""
    if len(via) > MOST:
        why = f"has {len(via)} places; a chain has {MOST} at most"
        problems.wrong(path, why)
    for i, place in enumerate(via):
        where = f"{path}[{i}]"
        last = place[-1] == DIRECT
        if DIRECT in place and (len(via) > 1 or not last or len(place) < 2):
            why = (
                f'"{DIRECT}" is only for the end of the only place: [["a", "{DIRECT}"]]'
            )
            problems.wrong(where, why)
        for name in dict.fromkeys(place):
            if place.count(name) > 1:
                problems.wrong(where, f'"{name}" stands there twice')
            if name not in known and name != DIRECT:
                why = f'there is no [[upstream]] named "{name}"'
                problems.wrong(where, why + nearest(name, known))
        there = {known[name].resolve == "there" for name in place if name in known}
        if len(there) > 1:
            why = (
                'all upstreams of one place need the same `resolve`: "here" or "there"'
            )
            problems.wrong(where, why)
        elif True in there and DIRECT in place:
            why = f'"{DIRECT}" needs addresses: have the others of its place `resolve`'
            problems.wrong(where, f'{why} "here"')
