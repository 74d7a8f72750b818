"""
C{[[rule]]} and C{[[expect]]}, as far as they can be judged without compiling.

That is: fields that have no effect, and names that are declared elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from socksgw.config.problems import nearest
from socksgw.config.schema import Config, Rule
from socksgw.gateway.examining.methods import Methods
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.offers import Offers
from socksgw.interfaces import OTHER, UNKNOWN
from socksgw.policy.expectations import wrongFacts
from socksgw.policy.rules import Rule as Compiled
from socksgw.relay.inspectors import findInspectors
from socksgw.wire.codes import DATAGRAMS
from socksgw.wire.levels import CONFIDENTIALITY

__all__ = [
    "examineExpectations",
    "examineProtected",
    "examineRules",
    "wrongApplications",
]


_NO_TAGS: Final = (
    "can never match: there are no tags, since auth.tag_separator is empty"
)


def examineRules(config: Config, methods: Methods, problems: Problems) -> None:
    """
    Examine the methods that each rule names, and its fields without effect.
    """
    for i, rule in enumerate(config.rule):
        path = rule.place or f"rule[{i}]"
        for why in methods.wrongNames(_several(rule.method)):
            problems.wrong(f"{path}.method", why)
        for key, why in _withoutEffect(rule, config.services):
            problems.wrong(f"{path}.{key}", why)
        for why in wrongApplications(_several(rule.application)):
            problems.wrong(f"{path}.application", why)
        if rule.tag and not config.auth.tag_separator:
            problems.wrong(f"{path}.tag", _NO_TAGS)


def examineProtected(
    config: Config, rules: Sequence[Compiled], offers: Offers, problems: Problems
) -> None:
    """
    Report the rules that want datagrams protected where nothing protects them.

    @param rules: the compiled ones, in the order of the configuration.
    """
    for i, (rule, compiled) in enumerate(zip(config.rule, rules, strict=True)):
        wanted, commands = compiled.secured, compiled.commands
        if not wanted or CONFIDENTIALITY not in wanted:
            continue
        if not commands or not commands <= DATAGRAMS:
            continue
        levels = offers.levels(compiled.listeners, commands)
        if levels and None not in levels and wanted.isdisjoint(levels):
            problems.odd(
                f"{rule.place or f'rule[{i}]'}.secured",
                "can never match: at no listener of this rule do datagrams go inside "
                "TLS, and beside it they are clear (socksgw help tls)",
            )


def examineExpectations(config: Config, methods: Methods, problems: Problems) -> None:
    """
    Examine the facts of each expectation; whether it is met is examined later.
    """
    for i, expect in enumerate(config.expect):
        path = expect.place or f"expect[{i}]"
        if expect.method is not None:
            for why in methods.wrongNames([expect.method]):
                problems.wrong(f"{path}.method", why)
        if expect.application is not None:
            for why in wrongApplications([expect.application]):
                problems.wrong(f"{path}.application", why)
        for key, why in wrongFacts(
            config,
            expect.who,
            expect.groups or (),
            expect.listener,
            expect.method,
            expect.secured,
            expect.tag,
            methods.capabilities,
        ):
            problems.wrong(f"{path}.{key}", why)


def wrongApplications(words: Sequence[str]) -> Iterator[str]:
    """Yield why words are not what inspection may find."""
    known = {*findInspectors()[0], OTHER, UNKNOWN} if words else set[str]()
    for word in words:
        if word not in known:
            choice = ", ".join(f'"{each}"' for each in sorted(known))
            yield f'"{word}" is none of {choice}{nearest(word, known)}'


def _several(words: Sequence[str] | str | None) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words or ()


def _withoutEffect(
    rule: Rule, services: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """
    Yield the fields of a rule that have no effect, or keep it from ever matching.

    @return: TOML paths within the rule, each with the reason.
    """
    words = rule.allow if rule.allow is not None else rule.deny or ()
    commands = {"connect", "bind", "udp"} if words == "any" else set(words)
    timeouts = (("connect", {"connect"}), ("idle", {"connect", "bind"}))
    for name, those in timeouts:
        seconds = getattr(rule.timeouts, name)
        if seconds is None:
            continue
        if seconds <= 0:
            yield f"timeouts.{name}", "must be more than 0s"
        if rule.allow is None:
            yield f"timeouts.{name}", "has no effect: the rule allows nothing"
        elif commands and not commands & those:
            yield (
                f"timeouts.{name}",
                f"has no effect: it is for {' and '.join(sorted(those))}",
            )
    if rule.udp.replies != "exact" and (rule.allow is None or "udp" not in commands):
        yield "udp.replies", "has no effect: the rule does not allow udp"
    if rule.asked_by is not None and "name" not in _several(rule.asked_by):
        for i, word in enumerate(rule.to or ()):
            if word.startswith(("*", ".", "=")):
                yield f"to[{i}]", f'"{word}" can never match: asked_by is "address"'
    for key in ("application", "server_name"):
        if getattr(rule, key) is not None and commands and "connect" not in commands:
            yield key, "can never match: only connect is looked into"
    if rule.services:
        wanted = {"udp" if each in DATAGRAMS else "tcp" for each in commands}
        has = {
            each.partition("/")[0]
            for word in rule.services
            for each in services.get(word, ())
        }
        if commands and has and not wanted & has:
            yield (
                "services",
                f"can never match: these are {'/'.join(sorted(has))}, and the rule is "
                f"for {', '.join(sorted(commands))}",
            )
