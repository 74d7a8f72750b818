"""
Find rules that can never match, since a rule before them always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from socksgw.policy.conditions import Addresses
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

__all__ = ["COMMANDS", "NAMED", "shadows", "unjudged", "unreachable"]

#: The commands that rules may be for.
COMMANDS: Final = frozenset({"connect", "bind", "udp", "multicast", "resolve"})
#: Those that C{allow = "any"} does not allow: a rule has to name them.
NAMED: Final = frozenset({"multicast", "resolve"})

_UNSPECIFIED: Final = (Address.parse("0.0.0.0"), Address.parse("::"))


def unreachable(ruleset: Ruleset) -> Iterator[tuple[int, str]]:
    """
    Yield the indexes of the rules that can never match, each with the reason.
    """
    commands = COMMANDS
    for each in NAMED:
        # What no rule allows, a rule that denies it makes no difference to.
        if not any(r.allow and each in (r.commands or ()) for r in ruleset.rules):
            commands -= {each}
    for number, rule in enumerate(ruleset.rules):
        if rule.reportOnly or rule.isEmpty:
            continue
        for earlier in ruleset.index.before(number):
            if shadows(earlier, rule, commands):
                yield (
                    number,
                    (
                        f'"{rule.id}" can never match: everything it matches, '
                        f'rule "{earlier.id}" before it matches already'
                    ),
                )
                break


def unjudged(rules: Sequence[Rule]) -> Iterator[tuple[int, str]]:
    """
    Yield the indexes of denials by address that do not hold for some names.

    A rule behind them lets an upstream look these names up.
    """
    found: Rule | None = None
    for number in reversed(range(len(rules))):
        rule = rules[number]
        if rule.reportOnly:
            continue
        if rule.there:
            found = rule
            continue
        byAddress = rule.resolving is not None or (
            rule.to is not None and rule.to.addresses is not None
        )
        if found is None or rule.allow or not byAddress:
            continue
        if rule.commands is None or not rule.commands.isdisjoint(found.commands or ()):
            yield (
                number,
                (
                    f'"{rule.id}" denies no name that rule "{found.id}" has an upstream '
                    "look up: no address is judged there"
                ),
            )


def shadows(earlier: Rule, later: Rule, commands: frozenset[str]) -> bool:
    """
    Tell whether one rule surely matches all that a later one does.

    @param commands: the commands that a rule for any command is for.
    """

    def within(outer: frozenset[str] | None, inner: frozenset[str] | None) -> bool:
        return outer is None or (inner is not None and inner <= outer)

    if earlier.reportOnly or not _shadowsWhen(earlier, later, within):
        return False
    if not within(
        earlier.commands, commands if later.commands is None else later.commands
    ):
        return False
    if _waitsForAnybody(earlier, later, commands):
        return False
    if not within(earlier.listeners, later.listeners):
        return False
    if earlier.who is not None and (
        later.who is None or not earlier.who.contains(later.who)
    ):
        return False
    if not _covers(earlier.sources, later.sources):
        return False
    if earlier.ports is not None and (
        later.ports is None or not earlier.ports.contains(later.ports)
    ):
        return False
    if not _covers(earlier.resolving, later.resolving):
        return False
    return _shadowsTo(earlier, later)


def _waitsForAnybody(earlier: Rule, later: Rule, commands: frozenset[str]) -> bool:
    """
    Tell whether only the later rule decides about a BIND that waits for any peer.

    The earlier one does not, where it does not name the unspecified address, or denies
    only some ports.
    """
    if "bind" not in (commands if later.commands is None else later.commands):
        return False
    named = [each for each in _UNSPECIFIED if later.names(each)]
    if not (later.allow and named):
        return False
    if earlier.allow:
        return not all(map(earlier.names, named))
    return earlier.ports is not None or earlier.services is not None


def _shadowsWhen(
    earlier: Rule,
    later: Rule,
    within: Callable[[frozenset[str] | None, frozenset[str] | None], bool],
) -> bool:
    """
    Tell whether one rule holds whenever a later one does, apart from addresses.

    @param within: whether a set of words, L{None} for all, contains another.
    """
    if earlier.services is not None and (
        later.services is None or not earlier.services.contains(later.services)
    ):
        return False
    if earlier.until is not None and (
        later.until is None or later.until > earlier.until
    ):
        return False
    if earlier.during is not None and (
        later.during is None or not set(later.during) <= set(earlier.during)
    ):
        return False
    if earlier.tags is not None and (
        later.tags is None or not earlier.tags.contains(later.tags)
    ):
        return False
    if earlier.serverNames is not None and (
        later.serverNames is None or not earlier.serverNames.contains(later.serverNames)
    ):
        return False
    return (
        within(earlier.applications, later.applications)
        and within(earlier.secured, later.secured)
        and within(earlier.methods, later.methods)
        and within(earlier.askedBy, later.askedBy)
    )


def _covers(outer: Addresses | None, inner: Addresses | None) -> bool:
    """Tell whether one set of addresses surely covers all that another does."""
    if outer is None or outer.everything:
        return True
    return inner is not None and outer.contains(inner)


def _shadowsTo(earlier: Rule, later: Rule) -> bool:
    outer, inner = earlier.to, later.to
    if outer is None or (outer.addresses is not None and outer.addresses.everything):
        return True
    if inner is None:
        return False
    if inner.addresses is not None and (
        outer.addresses is None or not outer.addresses.contains(inner.addresses)
    ):
        return False
    if inner.names is not None:
        if outer.names is None or not outer.names.contains(inner.names):
            return False
        # An allow by name leaves what is not public to later rules.
        open_ = earlier.allow and earlier.resolving is None
        if open_ and not (later.allow and later.resolving is None):
            return False
    return True
