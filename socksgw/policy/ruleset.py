"""
The rules in their order: first match wins, the end is deny.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import final

from socksgw.policy.answers import GROUPS, KEEPS_ALLOWING, Answer
from socksgw.policy.conditions import Never
from socksgw.policy.index import Index
from socksgw.policy.questions import DEFAULT, NEVER, Question, Verdict
from socksgw.policy.rules import Rule
from socksgw.policy.special import embedded
from socksgw.wire.address import Address

__all__ = ["Ruleset", "Trace", "Tried"]

#: The rules that one walk asked, in their order, each with its answer.
Tried = list[tuple[Rule, Answer]]


@final
class Trace:
    """
    What is written down of the walks that a verdict took.

    @ivar every: whether to ask also rules of which the index knows that they
        cannot match.
    @ivar walks: the rules that each walk asked: first for the address itself,
        then for what it wraps.
    """

    def __init__(self, every: bool) -> None:
        self.every = every
        self.walks: list[Tried] = []

    def watch(
        self, rules: Iterable[Rule], question: Question, address: Address | None
    ) -> Iterator[Rule]:
        """Yield the rules of a walk, and write down which are asked."""
        tried: Tried = []
        self.walks.append(tried)
        for rule in rules:
            tried.append((rule, rule.answer(question, address)))
            yield rule


@final
class Ruleset:
    """
    The rules of one generation, and the ban before them.

    @ivar index: finds the rules that a question can concern.
    """

    __slots__ = ("_byName", "_reporting", "_timed", "index", "never", "rules")

    def __init__(self, rules: Sequence[Rule], never: Never) -> None:
        self.rules = tuple(rules)
        self.never = never
        self.index = Index(self.rules)
        self._reporting = any(rule.reportOnly for rule in rules)
        self._timed = tuple(rule for rule in rules if rule.timed)
        self._byName = any(
            rule.allow and not rule.reportOnly and rule.to and rule.to.names
            for rule in rules
        )

    def default(self, question: Question) -> Verdict:
        """
        The denial of what no rule allows. A client that sends the address of a
        name that it has looked up itself is told from one that asks for that
        address: as far as there are rules that it could have meant.
        """
        why = "no rule allows it"
        if self._byName and question.name is None:
            why += (
                "; there are rules by name, and the client sent an address: have it "
                "send the name (socks5h://, SOCKS 4a, remote DNS)"
            )
        user = question.asker.user
        if user.doubt and any(r.who and r.who.mayCover(user) for r in self.rules):
            why += f"; {user.doubt}"
        return Verdict(False, DEFAULT, why)

    def judge(
        self, question: Question, address: Address | None, trace: Trace | None = None
    ) -> Verdict:
        """
        Return what the rules say of one address. An address that wraps others is
        judged as itself and as each of them, and all must be allowed.

        What is not known yet (the port where it is 0, the address where it is
        L{None}) is judged when it is: it is denied now only if it would be in
        every case.
        """
        if address is not None:
            banned = self.never.hit(address, question.port or None)
            if banned is not None:
                return Verdict(False, NEVER, banned)
        rule = self._first(question, address, trace)
        if rule is None or not rule.allow:
            return self._denial(rule, question)
        if address is not None:
            for inside in embedded(address):
                other = self._first(question, inside, trace)
                if other is None or not other.allow:
                    return self._denial(other, question)
        return rule.verdict

    def _first(
        self,
        question: Question,
        address: Address | None,
        trace: Trace | None,
        rules: Iterable[Rule] | None = None,
    ) -> Rule | None:
        """
        Return the first rule that matches, and does more than report; L{None}
        where there is none. Every question to the policy is answered by this walk.

        @param rules: which to ask; by default those that the index finds.
        """
        if rules is None:
            every = trace is not None and trace.every
            rules = self.rules if every else self.index.of(question, address)
        if trace is not None:
            rules = trace.watch(rules, question, address)
        for rule in rules:
            answer = rule.answer(question, address)
            if answer and (
                isinstance(answer, str)
                or answer & (KEEPS_ALLOWING if rule.allow else question.keepsDenying)
            ):
                continue
            if not rule.reportOnly:
                return rule
        return None

    def _denial(self, rule: Rule | None, question: Question) -> Verdict:
        """
        Return the denial by a rule, with the doubts about the user where it may
        match; without a rule, the default.
        """
        if rule is None:
            return self.default(question)
        user, verdict = question.asker.user, rule.verdict
        if user.doubt and rule.who is not None and not rule.who.covers(user):
            return Verdict(False, rule.id, f"{verdict.why}; {user.doubt}")
        return verdict

    def awaited(
        self, question: Question, address: Address, trace: Trace | None = None
    ) -> Verdict:
        """
        Return whether a BIND may wait for that address, on a port not known yet;
        for the unspecified one (0.0.0.0 or ::), for anybody. That, only a rule
        allows which names it in so many words.
        """
        if not address.isUnspecified:
            return self.judge(question, address, trace)
        if question.port:
            # Whatever it asks for: whoever comes is judged with the port.
            question = question.about(question.command, 0)
        rules = self.index.of(question, address)
        naming = [rule for rule in rules if not rule.allow or rule.names(address)]
        rule = self._first(question, address, trace, naming)
        if rule is None:
            return Verdict(False, DEFAULT, "no rule names the unspecified address")
        return rule.verdict if rule.allow else self._denial(rule, question)

    def hopeless(self, question: Question) -> Verdict | None:
        """
        Return the denial that every address of the asked name would meet, so
        that it need not be looked up; else L{None}.
        """
        rule = self._first(question, None, None)
        if rule is not None and rule.allow:
            return None
        return self._denial(rule, question)

    @property
    def timed(self) -> bool:
        """Whether the clock alone can change a verdict."""
        return bool(self._timed)

    def moment(self, at: float) -> tuple[bool, ...]:
        """
        Which rules hold at a time, of those that the clock can change.
        """
        return tuple(
            (rule.until is None or at < rule.until)
            and (rule.during is None or any(s.covers(at) for s in rule.during))
            for rule in self._timed
        )

    def reports(self, question: Question, address: Address | None) -> list[str]:
        """
        Return the rules that only report, and come before the one that decides:
        each with what it would have said (where the port is not known: of some).

        @param address: L{None} for a name that is not looked up; then, of the
            addresses that it may have.
        """
        if not self._reporting:
            return []
        if address is not None and (
            self.never.hit(address, question.port or None) is not None
        ):
            return []
        # Where no address is known, the index does not file these rules.
        trace = Trace(every=address is None)
        self._first(question, address, trace)
        found = [
            f"{rule.id}: {'allow' if rule.allow else 'deny'}"
            for rule, answer in trace.walks[0]
            if rule.reportOnly and _mayMatch(rule, answer)
        ]
        # The index may find a rule twice.
        return list(dict.fromkeys(found))

    def revoked(
        self, rule: str, question: Question, address: Address | None, verdict: Verdict
    ) -> str:
        """
        Say why something is allowed no longer, for the operator.

        @param rule: the id of the one that has allowed it.
        @param question: of port 0 where that is not known.
        @param address: where it leads; L{None} where that is not known.
        @param verdict: the denial.
        """
        text = f'rule "{verdict.rule}": {verdict.why}'
        was = next((each for each in self.rules if each.id == rule), None)
        if was is None:
            return f'{text}; "{rule}" is there no longer'
        answer = was.answer(question, address)
        if isinstance(answer, str):
            return f'{text}; "{rule}" matches no longer: {answer}'
        if answer & GROUPS:
            # The verdict has told what is not known.
            return f'{text}; "{rule}" may match still'
        return text


def _mayMatch(rule: Rule, answer: Answer) -> bool:
    """
    Tell whether a rule may match, as far as a live question is known: unknown
    groups let no rule allow.
    """
    if isinstance(answer, str):
        return False
    return not (rule.allow and answer & GROUPS)
