"""
C{[[decider]]}: services that are asked about what the rules allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from socksgw.config.problems import nearest
from socksgw.config.schema import Config, Decider
from socksgw.gateway.examining.problems import Problems

if TYPE_CHECKING:
    from socksgw.gateway.deciders import HTTPDecider

__all__ = ["examineDeciders", "told"]


def examineDeciders(
    config: Config, reactor: Any, problems: Problems
) -> Mapping[str, HTTPDecider]:
    """
    Examine each decider alone, and what rules and deciders say of one another.

    @return: what asks each of them, by its name.
    """
    known = [each.name for each in config.decider]
    found: dict[str, HTTPDecider] = {}
    for i, table in enumerate(config.decider):
        path = f"decider[{i}]"
        if not table.name or not table.name.isprintable() or "," in table.name:
            why = "must be a name of printable characters, and no comma among them"
            problems.wrong(f"{path}.name", why)
        elif table.name in found:
            problems.wrong(f"{path}.name", f'"{table.name}" is another one\'s, too')
        found[table.name] = _made(table, path, config, reactor, problems)
        _selection(table, path, config, problems)
    for i, rule in enumerate(config.rule):
        path = f"{rule.place or f'rule[{i}]'}.decider"
        if rule.decider and rule.decider not in known:
            near = nearest(rule.decider, known)
            why = f'there is no [[decider]] named "{rule.decider}"{near}'
            problems.wrong(path, why)
        elif rule.decider and rule.allow is None:
            problems.wrong(
                path, "is only for a rule that allows: a decider may only deny"
            )
    return found


def _made(
    table: Decider, path: str, config: Config, reactor: Any, problems: Problems
) -> HTTPDecider:
    # Few gateways have one, and Twisted's web client takes long to import.
    from socksgw.gateway.deciders import deciderFor

    return deciderFor(table, config.directory, reactor, partial(_wrong, problems, path))


def _wrong(problems: Problems, path: str, key: str, why: str) -> None:
    problems.wrong(f"{path}.{key}", why)


def _selection(table: Decider, path: str, config: Config, problems: Problems) -> None:
    """Examine which rules and listeners a decider is for."""
    rules = {rule.id: rule for rule in config.rule}
    for i, word in enumerate(table.rule or ()):
        if word not in rules:
            why = f'there is no [[rule]] with the id "{word}"{nearest(word, rules)}'
            problems.wrong(f"{path}.rule[{i}]", why)
        elif rules[word].allow is None:
            why = f'"{word}" denies: a decider is asked about what rules allow'
            problems.wrong(f"{path}.rule[{i}]", why)
    listeners = {each.name for each in config.listen} | set(config.unused)
    for i, word in enumerate(table.listener or ()):
        if word not in listeners:
            near = nearest(word, listeners)
            why = f'there is no [[listen]] named "{word}"{near}'
            problems.wrong(f"{path}.listener[{i}]", why)
    if not _concerns(table, config):
        why = (
            f'"{table.name}" is asked about nothing: no rule has it as its decider, and '
            "it says neither rule nor listener"
        )
        problems.odd(path, why)


def _concerns(table: Decider, config: Config) -> bool:
    named = any(rule.decider == table.name for rule in config.rule)
    return named or bool(table.rule) or (table.rule is None and bool(table.listener))


def told(config: Config) -> list[str]:
    """Return for people who is asked about what, one line for each decider."""
    return [
        _line(table, config) for table in config.decider if _concerns(table, config)
    ]


def _line(table: Decider, config: Config) -> str:
    ids = [
        rule.id
        for rule in config.rule
        if rule.decider == table.name or rule.id in (table.rule or ())
    ]
    what = f"rule {', '.join(ids)}" if ids else "every rule"
    if table.rule is None and table.listener:
        what = "every rule"
    where = f" on {', '.join(table.listener)}" if table.listener else ""
    place = f"{table.url} by {table.socket}" if table.socket else table.url
    failing = "denied" if table.on_failure == "deny" else "ALLOWED"
    return f'"{table.name}" ({place}) about {what}{where}; without an answer: {failing}'
