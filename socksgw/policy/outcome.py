"""
What the policy would decide, for C{socksgw explain} and C{[[expect]]}.

The rules are walked as for a live request. Facts may be missing: then it is
said which one the verdict depends on; nothing is guessed.
"""

from __future__ import annotations

from typing import Protocol, final

from attrs import frozen

from socksgw.policy.answers import KEEPS_ALLOWING, Answer, missing, unknown
from socksgw.policy.decision import combined, tellable
from socksgw.policy.facts import Facts
from socksgw.policy.questions import Missing, Question, Verdict
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset, Trace, Tried
from socksgw.wire.address import Address

__all__ = ["Admitting", "Outcome", "Step", "consider"]


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
    @ivar doubt: a fact that is not known, and that which rule decides depends
        on (never what is decided).
    """

    verdict: Verdict
    steps: tuple[tuple[Address | None, tuple[Step, ...]], ...]
    addresses: tuple[Address, ...] = ()
    struck: tuple[tuple[Address, str], ...] = ()
    doubt: str | None = None


class Admitting(Protocol):
    """Who gets in at all (L{socksgw.gateway.offers.Offers})."""

    def refusal(self, facts: Facts) -> Verdict | None:
        """Return why such a client is not let in, L{None} when it is."""

    def known(self, facts: Facts) -> Facts:
        """Return the facts with those that follow from the only ways in."""


def consider(
    ruleset: Ruleset,
    facts: Facts,
    admitting: Admitting | None = None,
    everyRule: bool = True,
) -> Outcome:
    """
    Return what is decided of a client, from its entrance on.

    @param admitting: who gets in; by default everybody.
    @param everyRule: whether to tell also of rules that cannot match; without
        them it takes less time.
    @raise Missing: it depends on something that is not known.
    """
    if admitting is not None:
        refusal = admitting.refusal(facts)
        if refusal is not None:
            return Outcome(refusal, ())
        facts = admitting.known(facts)
    case = _Case(ruleset, facts.question(), everyRule)
    if not facts.addresses:
        verdict = case.about(None)
        if verdict.allowed and facts.name is not None:
            # [never], if nothing else, depends on it.
            raise Missing("resolving_to")
        return Outcome(verdict, ((None, case.steps(None)),), doubt=case.doubt)
    verdicts = [(address, case.about(address)) for address in facts.addresses]
    deciding, allowed, struck = combined(verdicts)
    steps = tuple((address, case.steps(address)) for address in facts.addresses)
    return Outcome(deciding, steps, allowed, struck, case.doubt)


@final
class _Case:
    """
    Judges the addresses of one question, and writes down how.

    @ivar doubt: as L{Outcome.doubt}.
    """

    def __init__(self, ruleset: Ruleset, question: Question, everyRule: bool) -> None:
        self._ruleset = ruleset
        self._question = question
        self._everyRule = everyRule
        self._traces: dict[Address | None, Trace] = {}
        self.doubt: str | None = None

    def about(self, address: Address | None) -> Verdict:
        """
        Return what is decided of one address, as for a live request; L{None}
        where there is none.

        @raise Missing: it depends on something that is not known.
        """
        question = self._question
        if question.command == "resolve":
            return tellable(self._judge, question)(address)
        if question.command == "bind" and address and address.isUnspecified:
            trace = Trace(self._everyRule)
            verdict = self._ruleset.awaited(question, address, trace)
            self._weigh(question, trace)
            return verdict
        return self._judge(question, address)

    def _judge(self, question: Question, address: Address | None) -> Verdict:
        """
        Return what the rules say.

        @raise Missing: it depends on something that is not known.
        """
        trace = Trace(self._everyRule)
        verdict = self._ruleset.judge(question, address, trace)
        # The first is that of the question itself.
        self._traces.setdefault(address, trace)
        self._weigh(question, trace)
        return verdict

    def _weigh(self, question: Question, trace: Trace) -> None:
        """
        Keep what the deciding rule depends on.

        @raise Missing: what is decided depends on it, too.
        """
        for tried in trace.walks:
            doubt = _doubt(question, tried)
            self.doubt = self.doubt or doubt

    def steps(self, address: Address | None) -> tuple[Step, ...]:
        """Return the rules that were tried for an address, what it wraps aside."""
        trace = self._traces.get(address)
        if trace is None or not trace.walks:
            return ()
        return tuple(
            _step(self._question, rule, answer) for rule, answer in trace.walks[0]
        )


def _doubt(question: Question, tried: Tried) -> str | None:
    """
    Return a missing fact that which rule decides depends on.

    @raise Missing: what is decided depends on one.
    """
    allowed = False
    if tried:
        rule, answer = tried[-1]
        allowed = rule.allow and _step(question, rule, answer).unmet is None
    facts = [
        (rule.allow, fact)
        for rule, answer in tried
        if not rule.reportOnly and (fact := missing(rule.allow, answer))
    ]
    for allow, fact in reversed(facts):
        if allow != allowed:
            raise Missing(fact)
    return facts[0][1] if facts else None


def _step(question: Question, rule: Rule, answer: Answer) -> Step:
    """Return what is told of a rule."""
    if isinstance(answer, str):
        return Step(rule.id, answer)
    if rule.reportOnly:
        return Step(rule.id, "report_only")
    if not answer & (KEEPS_ALLOWING if rule.allow else question.keepsDenying):
        return Step(rule.id, None)
    fact = missing(rule.allow, answer)
    if fact is None:
        return Step(rule.id, unknown(answer & ~KEEPS_ALLOWING))
    return Step(rule.id, f"{fact}, which is not known")
