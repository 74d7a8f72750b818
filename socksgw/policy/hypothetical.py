"""
Questions that nobody has asked: for C{socksgw explain} and C{[[expect]]}.

Some facts may be missing. Then it is said which one the verdict depends on;
nothing is guessed. Where every fact is known, the rules themselves decide, as
they do for a live request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

from attrs import evolve, frozen

from socksgw.config import Group
from socksgw.policy.rules import DEFAULT, NEVER, Asker, Question, Rule, Ruleset, Verdict
from socksgw.wire.address import Address

__all__ = ["Facts", "Missing", "Outcome", "Step", "consider", "groupsOf"]

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
    What the rules say.

    @raise Missing: they depend on something that is not known.
    """
    if not facts.addresses:
        verdict, steps = _Walk(facts, None).over(ruleset.rules)
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
        _, steps = _Walk(facts, address).over(ruleset.rules)
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

    def over(self, rules: Sequence[Rule]) -> tuple[Verdict, list[Step]]:
        """
        @raise Missing: the verdict depends on it.
        """
        steps: list[Step] = []
        for i, rule in enumerate(rules):
            unmet, missing = self._standing(rule)
            if unmet is None and rule.reportOnly:
                unmet, missing = "report_only", []
            if unmet is not None:
                steps.append(Step(rule.id, unmet))
                continue
            if missing:
                rest, _ = self.over(rules[i + 1 :])
                if rest.allowed != rule.allow:
                    raise Missing(missing[0])
                steps.append(Step(rule.id, f"{missing[0]}, which is not known"))
                return rest, steps
            steps.append(Step(rule.id, None))
            if rule.allow:
                return Verdict(True, rule.id, ""), steps
            return Verdict(False, rule.id, "a rule denies it"), steps
        return Verdict(False, DEFAULT, "no rule allows it"), steps

    def _standing(self, rule: Rule) -> tuple[str | None, list[str]]:
        """
        @return: the first condition that does not hold, whatever the missing
            facts are; and which of them matter.
        """
        facts = self._facts
        missing: list[str] = []
        known = rule
        if rule.listeners is not None and facts.listener is None:
            missing.append("listener")
            known = evolve(known, listeners=None)
        if rule.sources is not None and facts.source is None:
            missing.append("from")
            known = evolve(known, sources=None)
        if rule.methods is not None and facts.method is None:
            if facts.user != "anonymous":
                missing.append("method")
                known = evolve(known, methods=None)
        if rule.secured is not None and facts.secured is None:
            missing.append("secured")
            known = evolve(known, secured=None)
        if rule.timed and facts.at is None:
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
