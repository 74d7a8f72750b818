"""
Tell what the policy would decide, for C{socksgw explain} and C{[[expect]]}.

The rules are asked as for a live request. Facts may be missing: if the verdict depends
on one, that fact is named; nothing is guessed.
"""

from __future__ import annotations

from typing import Protocol, final

from attrs import frozen

from socksgw.policy.answers import TO, Answer, missing, unknown
from socksgw.policy.deciders import concerning
from socksgw.policy.decision import combined
from socksgw.policy.facts import Facts
from socksgw.policy.joining import lackOf
from socksgw.policy.questions import Missing, Question, Verdict
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset, Trace, Tried
from socksgw.policy.telling import tellable
from socksgw.wire.address import Address

__all__ = ["Admitting", "Outcome", "Step", "consider"]


@frozen
class Step:
    """
    One rule that was asked.

    @ivar rule: the id of the rule.
    @ivar unmet: the first condition that does not hold; L{None} for the rule that
        decides.
    """

    rule: str
    unmet: str | None


@frozen
class Outcome:
    """
    The decision about a supposed question.

    @ivar steps: for each address, the rules that were asked.
    @ivar addresses: the addresses that may be dialled.
    @ivar struck: the addresses that may not be dialled, with why.
    @ivar byName: whether an upstream looks the name up, and no address is judged.
    @ivar doubt: a missing fact. It may change which rule decides, but not the verdict.
    @ivar listener: the client's, where it is known.
    """

    verdict: Verdict
    steps: tuple[tuple[Address | None, tuple[Step, ...]], ...]
    addresses: tuple[Address, ...] = ()
    struck: tuple[tuple[Address, str], ...] = ()
    doubt: str | None = None
    byName: bool = False
    listener: str | None = None

    @property
    def via(self) -> str:
        """The upstreams by which it leaves, as text; empty for none."""
        leaving = self.verdict.obligations.leaving
        return "" if leaving is None else leaving.text

    @property
    def header(self) -> str:
        """The version of the PROXY header to the destination; empty for none."""
        leaving = self.verdict.obligations.leaving
        return "" if leaving is None else leaving.header

    @property
    def deciders(self) -> tuple[str, ...]:
        """The services that are asked then, and may deny it."""
        return concerning(self.verdict.obligations.deciders, self.listener)


class Admitting(Protocol):
    """Tells who can log in at all (L{socksgw.gateway.offers.Offers})."""

    def refusal(self, facts: Facts) -> Verdict | None:
        """Return why such a client cannot log in, L{None} when it can."""

    def known(self, facts: Facts) -> Facts:
        """Return the facts, with those that follow from how the client can log in."""


def consider(
    ruleset: Ruleset,
    facts: Facts,
    admitting: Admitting | None = None,
    everyRule: bool = True,
) -> Outcome:
    """
    Return the decision about a client: first whether it can log in, then the rules.

    @param admitting: who can log in; by default everybody.
    @param everyRule: whether the steps include rules that cannot match. Without them
        it takes less time.
    @raise Missing: the verdict depends on a fact that was not given.
    """
    if admitting is not None:
        refusal = admitting.refusal(facts)
        if refusal is not None:
            return Outcome(refusal, ())
        facts = admitting.known(facts)
    case = _Case(ruleset, facts.question(), everyRule)
    verdict = case.unresolved()
    if verdict is not None:
        return Outcome(
            verdict,
            ((None, case.steps(None)),),
            doubt=case.doubt,
            byName=True,
            listener=facts.listener,
        )
    if not facts.addresses:
        verdict = case.about(None)
        if verdict.allowed and facts.name is not None:
            # [never], if nothing else, depends on it.
            raise Missing("resolving_to")
        return Outcome(verdict, ((None, case.steps(None)),), doubt=case.doubt)
    verdicts = [(address, case.about(address)) for address in facts.addresses]
    deciding, allowed, struck = combined(verdicts)
    if deciding.allowed and facts.joining is not None:
        lack = lackOf(facts.joining, deciding.obligations)
        if lack is not None:
            deciding, allowed = Verdict(False, deciding.rule, lack[1]), ()
    steps = tuple((address, case.steps(address)) for address in facts.addresses)
    return Outcome(
        deciding, steps, allowed, struck, case.doubt, listener=facts.listener
    )


@final
class _Case:
    """
    Judges the addresses of one question, and keeps the steps.

    @ivar doubt: as in L{Outcome}.
    """

    def __init__(self, ruleset: Ruleset, question: Question, everyRule: bool) -> None:
        self._ruleset = ruleset
        self._question = question
        self._everyRule = everyRule
        self._traces: dict[Address | None, Trace] = {}
        self._byName = False
        self.doubt: str | None = None

    def unresolved(self) -> Verdict | None:
        """
        Return the verdict about a name that an upstream looks up.

        @return: L{None} where it is looked up here.
        @raise Missing: that depends on a fact that was not given.
        """
        question = self._question
        if not self._ruleset.leaves(question):
            return None
        trace = Trace(self._everyRule)
        verdict = self._ruleset.byName(question, trace)
        tried = [
            (rule, answer)
            for rule, answer in trace.walks[0]
            if isinstance(answer, str) or not answer & TO
        ]
        if not any(rule.there for rule, _ in tried):
            return None
        doubt = _doubt(question, tried)
        if not verdict.there:
            return None
        self.doubt = doubt
        self._byName = True
        self._traces[None] = trace
        return verdict

    def about(self, address: Address | None) -> Verdict:
        """
        Return the verdict about one address, as a live request of that command gets it.

        @param address: L{None} where there is none.
        @raise Missing: the verdict depends on a fact that was not given.
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
        Return the verdict of the rules about one address.

        @raise Missing: the verdict depends on a fact that was not given.
        """
        trace = Trace(self._everyRule)
        verdict = self._ruleset.judge(question, address, trace)
        # For a look-up, several commands are judged: the first is the look-up itself.
        self._traces.setdefault(address, trace)
        self._weigh(question, trace)
        return verdict

    def _weigh(self, question: Question, trace: Trace) -> None:
        """
        Keep the missing fact, if any, that may change which rule decides.

        @raise Missing: the verdict depends on a fact that was not given.
        """
        for tried in trace.walks:
            doubt = _doubt(question, tried)
            self.doubt = self.doubt or doubt

    def steps(self, address: Address | None) -> tuple[Step, ...]:
        """Return the rules that were asked for an address, not for what it embeds."""
        trace = self._traces.get(address)
        if trace is None or not trace.walks:
            return ()
        return tuple(
            _step(self._question, rule, answer, self._byName)
            for rule, answer in trace.walks[0]
        )


def _doubt(question: Question, tried: Tried) -> str | None:
    """
    Return a missing fact that may change which rule decides, if there is one.

    @raise Missing: it may change the verdict.
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


def _step(question: Question, rule: Rule, answer: Answer, byName: bool = False) -> Step:
    """
    Return how a rule is shown.

    @param byName: whether the address is not going to be known.
    """
    if isinstance(answer, str):
        return Step(rule.id, answer)
    if rule.reportOnly:
        return Step(rule.id, "report_only")
    if byName and answer & TO:
        return Step(rule.id, "the address, which is not looked up here,")
    keeps = question.keepsAllowing if rule.allow else question.keepsDenying
    if not answer & keeps:
        return Step(rule.id, None)
    fact = missing(rule.allow, answer)
    if fact is None:
        return Step(rule.id, unknown(answer & ~question.keepsAllowing))
    return Step(rule.id, f"{fact}, which is not known")
