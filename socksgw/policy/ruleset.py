"""
Ask the rules in their order: the first one that matches decides, the end is deny.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, final

from socksgw.policy.answers import GROUPS, INSPECTED, KEEPS_ALLOWING, TO, YES, Answer
from socksgw.policy.conditions import Addresses, Never
from socksgw.policy.groups import bannedGroup
from socksgw.policy.index import Finding, Preceded, indexOf
from socksgw.policy.leaving import Leaving
from socksgw.policy.patterns import NamePatterns
from socksgw.policy.periods import Periods
from socksgw.policy.questions import DEFAULT, NEVER, Question, Verdict
from socksgw.policy.rules import Rule
from socksgw.policy.special import embedded
from socksgw.wire.address import Address

__all__ = ["Ruleset", "Trace", "Tried"]

#: The commands for which an upstream may look names up.
_LEAVING: Final = ("connect", "udp")
#: The name of loopback, and of all names below it; and its address.
_LOCALHOST: Final = "localhost"
_BELOW_LOCALHOST: Final = f".{_LOCALHOST}"
_LOOPBACK: Final = Address(b"\x7f\0\0\1")
#: The rules that were asked in one walk, each with its answer.
Tried = list[tuple[Rule, Answer]]


@final
class Trace:
    """
    Records which rules were asked for a verdict.

    @ivar every: whether to ask also the rules that cannot match, by the index.
    @ivar walks: the rules of each walk: the first is about the address itself, the
        others about addresses that it embeds.
    """

    def __init__(self, every: bool) -> None:
        self.every = every
        self.walks: list[Tried] = []

    def watch(
        self, rules: Iterable[Rule], question: Question, address: Address | None
    ) -> Iterator[Rule]:
        """Yield the rules of a walk, and record which of them are asked."""
        tried: Tried = []
        self.walks.append(tried)
        for rule in rules:
            tried.append((rule, rule.answer(question, address)))
            yield rule


@final
class Ruleset:
    """
    The rules of one configuration, and the ban before them.

    @ivar index: finds the rules that a question may concern.
    @ivar inspects: whether some rules depend on what a session carries.
    @ivar localWords: the words for users and groups of this machine that rules name.
    @ivar names: the patterns of all rules: whether one matches is all that they want to
        know of a name.
    @ivar reporting: whether some rules only report.
    @ivar placed: whether verdicts depend on where the gateway listens.
    @ivar tellsSources: whether some rules are for some sources alone.
    @ivar there: whether upstreams look names up for what some rules allow.
    """

    __slots__ = (
        "_byName", "_leads", "_periods", "_timed", "index", "inspects", "localWords",
        "names", "never", "placed", "reporting", "rules", "tellsSources", "there",
    )  # fmt: skip

    def __init__(
        self, rules: Sequence[Rule], never: Never, index: Finding | None = None
    ) -> None:
        """
        Take the rules in their order, and what is denied before them.

        @param index: an index of the rules that is made already.
        """
        self.rules = tuple(rules)
        self.never = never
        self._timed = tuple(rule for rule in rules if rule.timed)
        self._periods = Periods(self.rules)
        self.index: Finding = (
            indexOf(self.rules, self._periods) if index is None else index
        )
        self.inspects = any(rule.inspects for rule in rules)
        self.reporting = any(rule.reportOnly for rule in rules)
        self.there = any(rule.there for rule in rules)
        words = (rule.who.words for rule in rules if rule.who is not None)
        self.localWords: frozenset[str] = frozenset().union(*words)
        self.names = NamePatterns(
            (), [rule.to.names for rule in rules if rule.to and rule.to.names]
        )
        self.placed = _isPlaced(never.banned) or any(
            _isPlaced(each)
            for rule in rules
            for each in (rule.sources, rule.to and rule.to.addresses, rule.resolving)
        )
        self.tellsSources = any(
            rule.sources is not None and not rule.sources.everything for rule in rules
        )
        self._leads = any(r.verdict.obligations.leaving is not None for r in rules)
        self._byName = any(
            rule.allow and not rule.reportOnly and rule.to and rule.to.names
            for rule in rules
        )

    def preceded(self, rules: Sequence[Rule]) -> Ruleset:
        """Return these rules behind some others, which are few."""
        if not rules:
            return self
        index = Preceded(tuple(rules), self.index)
        return Ruleset((*rules, *self.rules), self.never, index)

    def default(self, question: Question) -> Verdict:
        """
        Return the denial of a request that no rule allows.

        A client may have looked a name up itself, and sent the address: where there are
        rules by name, the text tells the remedy.
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
        Return the verdict about one address.

        An address that embeds others is judged as itself and as each of them, and all
        must be allowed.

        A port of 0 and an address of L{None} are unknown yet, and judged when they are
        known. Until then only what would be denied in every case is denied.
        """
        if address is not None:
            listener = question.asker.listener
            if question.command == "multicast":
                banned = bannedGroup(self.never, address, question.port, listener)
            else:
                banned = self.never.hit(address, question.port or None, listener)
            if banned is not None:
                return Verdict(False, NEVER, banned)
        return self.unbanned(question, address, trace)

    def unbanned(
        self, question: Question, address: Address | None, trace: Trace | None = None
    ) -> Verdict:
        """Return the same verdict about an address that is not banned before all."""
        rule = self._first(question, address, trace)
        if rule is None or not rule.allow:
            return self._denial(rule, question)
        if address is not None:
            for inside in embedded(address):
                other = self._first(question, inside, trace)
                if other is None or not other.allow:
                    return self._denial(other, question)
        if self.inspects and question.found is None:
            # A rule that asks for it would not be the first without it.
            if rule.inspects or self._dependsOnSight(question, address):
                return rule.verdict.untilSeen()
        return rule.verdict

    def _dependsOnSight(
        self, question: Question, address: Address | None, skipped: int = YES
    ) -> bool:
        """
        Tell whether it depends on what the session carries which rule decides.

        @param skipped: as of L{_first}.
        """
        if question.found is not None:
            return False
        inside = () if address is None else tuple(embedded(address))
        for each in (address, *inside):
            for rule in self.index.of(question, each):
                answer = rule.answer(question, each)
                if isinstance(answer, str) or rule.reportOnly:
                    continue
                keeps = question.keepsAllowing if rule.allow else question.keepsDenying
                if answer & (keeps | skipped) & ~INSPECTED:
                    continue
                if answer & INSPECTED:
                    return True
                break
        return False

    def _first(
        self,
        question: Question,
        address: Address | None,
        trace: Trace | None,
        rules: Iterable[Rule] | None = None,
        skipped: int = YES,
    ) -> Rule | None:
        """
        Return the first rule that matches and does not only report.

        Every question to the policy is answered by this walk.

        @param trace: records which rules are asked.
        @param rules: which rules to ask; by default those that the index finds.
        @param skipped: facts besides; a rule that depends on one does not decide.
        @return: L{None} where no rule matches.
        """
        if rules is None:
            every = trace is not None and trace.every
            rules = self.rules if every else self.index.of(question, address)
        if trace is not None:
            rules = trace.watch(rules, question, address)
        allowing = question.keepsAllowing | skipped
        denying = question.keepsDenying | skipped
        for rule in rules:
            answer = rule.answer(question, address)
            if answer and (
                isinstance(answer, str)
                or answer & (allowing if rule.allow else denying)
            ):
                continue
            if not rule.reportOnly:
                return rule
        return None

    def _denial(self, rule: Rule | None, question: Question) -> Verdict:
        """
        Return the denial by a rule; without a rule, the default.

        Where the rule may match by groups that are unknown, the text says so.
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
        Return the verdict about the peer of a BIND, whose port is unknown yet.

        The unspecified address (0.0.0.0 or ::) stands for any peer. Only a rule that
        names it literally allows it.
        """
        if not address.isUnspecified:
            return self.judge(question, address, trace)
        if question.port:
            # The peer's port counts when it connects, not the requested one.
            question = question.about(question.command, 0)
        rules = self.index.of(question, address)
        naming = [rule for rule in rules if not rule.allow or rule.names(address)]
        rule = self._first(question, address, trace, naming)
        if rule is None:
            return Verdict(False, DEFAULT, "no rule names the unspecified address")
        return rule.verdict if rule.allow else self._denial(rule, question)

    def leavings(self, question: Question) -> set[Leaving | None]:
        """
        Return all that rules, which may allow a flow of an association, say of its way.

        @param question: with port 0, and without a name.
        """
        if not self._leads:
            return {None}
        rules = [
            rule
            for rule in self.rules
            if rule.allow and not rule.reportOnly and _mayAllow(rule, question)
        ]
        return {rule.verdict.obligations.leaving for rule in rules}

    def hopeless(self, question: Question) -> Verdict | None:
        """
        Return the denial of all addresses that the asked name may have, if it is one.

        Then the name need not be looked up.
        """
        rule = self._first(question, None, None)
        if rule is not None and rule.allow:
            return None
        return self._denial(rule, question)

    def byName(self, question: Question, trace: Trace | None = None) -> Verdict:
        """
        Return the verdict about a name whose address is not going to be known.

        A rule that depends on the address neither allows nor denies.
        """
        rule = self._first(question, None, trace, None, TO)
        if rule is None or not rule.allow:
            return self._denial(rule, question)
        if self.inspects and self._dependsOnSight(question, None, TO):
            return rule.verdict.untilSeen()
        return rule.verdict

    def leaves(self, question: Question) -> bool:
        """
        Return whether it may be that an upstream looks the name of a question up.

        It is asked to for CONNECT and UDP: the peer of a BIND is judged by its address.
        Where loopback is banned, its names are looked up here: they mean the same
        everywhere (RFC 6761 section 6.3), and an upstream has a loopback of its own.
        """
        name = question.name
        if not self.there or name is None or question.command not in _LEAVING:
            return False
        if name != _LOCALHOST and not name.endswith(_BELOW_LOCALHOST):
            return True
        port, listener = question.port or None, question.asker.listener
        return self.never.hit(_LOOPBACK, port, listener) is None

    def unresolved(self, question: Question) -> Verdict | None:
        """
        Return the verdict about a name that an upstream is to look up.

        @return: L{None} where it is looked up here, and its addresses are judged.
        """
        if not self.leaves(question):
            return None
        verdict = self.byName(question)
        return verdict if verdict.there else None

    @property
    def timed(self) -> bool:
        """Tell whether a verdict may change without a reload, with the time."""
        return bool(self._timed)

    def period(self, now: float) -> int:
        """
        Return a number that differs between times at which other rules hold.

        @param now: seconds since the epoch; times come in their order.
        """
        return self._periods.at(now) if self._timed else 0

    def moment(self, at: float) -> tuple[bool, ...]:
        """
        Return which of the rules with C{during} or C{until} hold at a time.

        @param at: seconds since the epoch.
        """
        return tuple(
            (rule.until is None or at < rule.until)
            and (rule.during is None or any(s.covers(at) for s in rule.during))
            for rule in self._timed
        )

    def reports(self, question: Question, address: Address | None) -> list[str]:
        """
        Return the rules that only report, and come before the deciding one.

        Each comes with what it would have decided. While the port or the address is
        unknown, rules are reported that match for some.

        @param address: L{None} for a name that is not looked up.
        """
        if not self.reporting:
            return []
        if address is not None and (
            self.never.hit(address, question.port or None, question.asker.listener)
            is not None
        ):
            return []
        # Without an address the index does not find these rules.
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
        Return why a session or a flow is not allowed any more, for the operator.

        @param rule: the id of the rule that has allowed it.
        @param question: with port 0 where that is unknown.
        @param address: the destination; L{None} where that is unknown.
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
            # The text of the verdict says what is unknown.
            return f'{text}; "{rule}" may match still'
        return text


def _isPlaced(addresses: Addresses | None) -> bool:
    """Tell whether it depends on where the gateway listens what a set covers."""
    return addresses is not None and "listeners" in addresses.words


def _mayAllow(rule: Rule, question: Question) -> bool:
    """Tell whether a rule allows some of what a question leaves open."""
    answer = rule.answer(question, None)
    return not isinstance(answer, str) and not answer & KEEPS_ALLOWING


def _mayMatch(rule: Rule, answer: Answer) -> bool:
    """
    Tell whether a rule may match, where only facts of a live request are unknown.

    A rule does not allow by groups that are unknown.
    """
    if isinstance(answer, str):
        return False
    return not (rule.allow and answer & GROUPS)
