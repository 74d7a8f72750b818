"""
Questions that nobody has asked: for C{socksgw explain} and C{[[expect]]}.

Some facts may be missing. Then it is said which one the verdict depends on;
nothing is guessed. Where every fact is known, the rules themselves decide, as
they do for a live request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, final

from attrs import evolve, frozen

from socksgw.config import Group
from socksgw.policy.fields import Listener, Source
from socksgw.policy.rules import DEFAULT, NEVER, Asker, Question, Rule, Ruleset, Verdict
from socksgw.policy.special import embedded
from socksgw.wire.address import Address

__all__ = [
    "Facts",
    "Missing",
    "Outcome",
    "Step",
    "consider",
    "groupsOf",
    "verdictOf",
]

_SOMEWHERE: Final = Address(bytes(4))


@frozen
class Somebody:
    """Who asks."""

    name: str
    groups: frozenset[str]
    method: str
    expires: float | None = None


@frozen
class Facts:
    """
    What is known of a question; L{None} is not known.

    @ivar user: a name, or C{anonymous}.
    @ivar groups: the user's.
    @ivar addresses: the address asked for, or what the name leads to.
    @ivar at: seconds since the epoch.
    """

    user: str
    groups: frozenset[str]
    command: str
    name: str | None
    port: int
    addresses: tuple[Address, ...] = ()
    method: str | None = None
    source: Address | None = None
    listener: str | None = None
    secured: str | None = None
    at: float | None = None

    def question(self) -> Question:
        """
        The question, with something in place of what is missing.
        """
        method = "none" if self.user == "anonymous" else self.method or "?"
        asker = Asker(
            Somebody(self.user, self.groups, method),
            self.source or _SOMEWHERE,
            self.listener or "",
            self.secured or "clear",
        )
        return Question(asker, self.command, self.name, self.port, self.at or 0.0)


class Missing(Exception):
    """
    The verdict depends on a fact that was not given.

    @ivar fact: C{from}, C{listener}, C{method}, C{secured}, C{at} or
        C{resolving_to}.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


@frozen
class Step:
    """
    One rule that was tried.

    @ivar unmet: the first condition that did not hold; L{None} for the rule
        that matched.
    """

    rule: str
    unmet: str | None


@frozen
class Outcome:
    """
    What is decided.

    @ivar steps: for each address, the rules that were tried.
    @ivar addresses: what may be dialled.
    @ivar struck: what may not, with why.
    """

    verdict: Verdict
    steps: tuple[tuple[Address | None, tuple[Step, ...]], ...]
    addresses: tuple[Address, ...] = ()
    struck: tuple[tuple[Address, str], ...] = ()


def consider(ruleset: Ruleset, facts: Facts) -> Outcome:
    """
    What the rules say, with every rule up to the deciding one.

    @raise Missing: they depend on something that is not known.
    """
    return _consider(ruleset, facts, everyRule=True)


def verdictOf(ruleset: Ruleset, facts: Facts) -> Verdict:
    """
    What L{consider} decides, in less time.

    @raise Missing: it depends on something that is not known.
    """
    return _consider(ruleset, facts, everyRule=False).verdict


def _consider(ruleset: Ruleset, facts: Facts, everyRule: bool) -> Outcome:
    """
    @param everyRule: whether to try also those that cannot match.
    """

    def rulesFor(walk: _Walk) -> Iterable[Rule]:
        return ruleset.rules if everyRule else walk.couldMatch(ruleset)

    if not facts.addresses:
        walk = _Walk(facts, None)
        verdict, steps = walk.over(rulesFor(walk))
        if verdict.allowed:
            # [never], if nothing else, depends on it.
            raise Missing("resolving_to")
        return Outcome(verdict, ((None, tuple(steps)),))
    verdicts: list[tuple[Address, Verdict]] = []
    tried: list[tuple[Address | None, tuple[Step, ...]]] = []
    for address in facts.addresses:
        banned = ruleset.never.hit(address, facts.port)
        if banned is not None:
            verdicts.append((address, Verdict(False, NEVER, banned)))
            tried.append((address, ()))
            continue
        walk = _Walk(facts, address)
        verdict, steps = walk.over(rulesFor(walk))
        for inside in embedded(address) if verdict.allowed else ():
            # What it wraps may depend on something else.
            walk = _Walk(facts, inside)
            walk.over(rulesFor(walk))
        verdicts.append((address, ruleset.judge(facts.question(), address)))
        tried.append((address, tuple(steps)))
    deciding = next((v for _, v in verdicts if v.allowed), verdicts[0][1])
    return Outcome(
        deciding,
        tuple(tried),
        tuple(a for a, v in verdicts if v.allowed),
        tuple((a, f"{v.rule}: {v.why}") for a, v in verdicts if not v.allowed),
    )


@final
class _Walk:
    """
    The rules one after the other, with what is known.
    """

    def __init__(self, facts: Facts, address: Address | None) -> None:
        self._facts = facts
        self._address = address
        self._question = facts.question()

    def couldMatch(self, ruleset: Ruleset) -> Iterable[Rule]:
        """The rules that could, whatever is missing."""
        if self._address is None:
            return ruleset.rules
        facts = self._facts
        return ruleset.index.ofUnknown(
            self._question,
            self._address,
            [
                *((Source,) if facts.source is None else ()),
                *((Listener,) if facts.listener is None else ()),
            ],
        )

    def over(self, rules: Iterable[Rule]) -> tuple[Verdict, list[Step]]:
        """
        @raise Missing: the verdict depends on it.
        """
        steps: list[Step] = []
        open_: list[tuple[Rule, str]] = []
        verdict = Verdict(False, DEFAULT, "no rule allows it")
        for rule in rules:
            unmet, missing = self._standing(rule)
            if unmet is None and rule.reportOnly:
                unmet = "report_only"
            elif unmet is None and missing:
                open_.append((rule, missing[0]))
                unmet = f"{missing[0]}, which is not known"
            steps.append(Step(rule.id, unmet))
            if unmet is None:
                why = "" if rule.allow else "a rule denies it"
                verdict = Verdict(rule.allow, rule.id, why)
                break
        for rule, fact in reversed(open_):
            if rule.allow != verdict.allowed:
                raise Missing(fact)
        return verdict, steps

    def _standing(self, rule: Rule) -> tuple[str | None, list[str]]:
        """
        @return: the first condition that does not hold, whatever the missing
            facts are; and which of them matter.
        """
        facts = self._facts
        missing: list[str] = []
        known = rule
        # An empty list matches nothing, whatever is missing.
        if rule.listeners and facts.listener is None:
            missing.append("listener")
            known = evolve(known, listeners=None)
        if rule.sources and not rule.sources.everything and facts.source is None:
            missing.append("from")
            known = evolve(known, sources=None)
        if rule.methods and facts.method is None:
            if facts.user != "anonymous":
                missing.append("method")
                known = evolve(known, methods=None)
        if rule.secured and facts.secured is None:
            missing.append("secured")
            known = evolve(known, secured=None)
        if rule.timed and rule.during != () and facts.at is None:
            missing.append("at")
            known = evolve(known, during=None, until=None)
        unmet = known.unmet(self._question)
        if unmet is not None:
            return unmet, []
        if self._address is not None:
            return known.unmetBy(self._question, self._address), missing
        if not known.couldMatch(self._question):
            return "to", []
        if not known.surelyMatches(self._question):
            missing.append("resolving_to")
        return None, missing


def groupsOf(user: str, groups: Mapping[str, Group]) -> frozenset[str]:
    """The groups that the configuration gives a user."""
    return frozenset(name for name, group in groups.items() if user in group.members)
