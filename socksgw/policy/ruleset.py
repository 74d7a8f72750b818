"""
The rules in their order: first match wins, the end is deny.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

from socksgw.policy.conditions import Never
from socksgw.policy.index import Index
from socksgw.policy.rules import DEFAULT, NEVER, Question, Rule, Verdict
from socksgw.policy.special import embedded
from socksgw.wire.address import Address

__all__ = ["Ruleset"]


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
        if user.unsure and any(r.who and r.who.mayCover(user) for r in self.rules):
            why += f"; {user.doubt}"
        return Verdict(False, DEFAULT, why)

    def judge(self, question: Question, address: Address) -> Verdict:
        """
        May this address be reached? An address that wraps others is judged
        as itself and as each of them, and all must be allowed.
        """
        banned = self.never.hit(address, question.port)
        if banned is not None:
            return Verdict(False, NEVER, banned)
        verdict = self._first(question, address)
        if verdict.allowed:
            for inside in embedded(address):
                other = self._first(question, inside)
                if not other.allowed:
                    return other
        return verdict

    def _first(self, question: Question, address: Address) -> Verdict:
        for rule in self.index.of(question, address):
            if rule.unmet(question) is None and (
                rule.unmetBy(question, address) is None
            ):
                if rule.reportOnly:
                    continue
                if rule.allow:
                    return rule.allows()
                return _denied(rule, question)
        return self.default(question)

    def prospect(self, question: Question, address: Address | None = None) -> Verdict:
        """
        What can be said while the port is not known yet (nor, without
        C{address}, where it goes): denied only if denied in every case.
        """
        if address is None:
            return self._prospect(question, None)
        banned = self.never.hit(address, None)
        if banned is not None:
            return Verdict(False, NEVER, banned)
        verdict = self._prospect(question, address)
        for inside in embedded(address) if verdict.allowed else ():
            other = self._prospect(question, inside)
            if not other.allowed:
                return other
        return verdict

    def _prospect(self, question: Question, address: Address | None) -> Verdict:
        for rule in self.index.ofUnknown(question, address):
            if rule.reportOnly or rule.unmetByAsker(question) is not None:
                continue
            if address is not None:
                if rule.unmetBy(question, address) is not None:
                    continue
                sure = True
            elif question.name is not None:
                if not rule.couldMatch(question):
                    continue
                sure = rule.surelyMatches(question)
            else:
                sure = rule.to is None and rule.resolving is None
            if rule.allow:
                return rule.allows()
            if sure and rule.ports is None and rule.services is None:
                return _denied(rule, question)
        return self.default(question)

    def awaited(self, question: Question, address: Address) -> Verdict:
        """
        Whether a BIND may wait for that address, on a port not known yet; for
        the unspecified one, for anybody.
        """
        if address.isUnspecified:
            return self.namesUnspecified(question, address)
        return self.prospect(question, address)

    def namesUnspecified(self, question: Question, address: Address) -> Verdict:
        """
        Whether a rule says, in so many words, that C{address} (0.0.0.0 or ::)
        may be asked for: a BIND that waits for anybody.
        """
        for rule in self.index.ofUnknown(question, address):
            if rule.reportOnly or rule.unmetByAsker(question) is not None:
                continue
            if not rule.allow:
                some = rule.ports is not None or rule.services is not None
                if not some and rule.unmetBy(question, address) is None:
                    return _denied(rule, question)
                continue
            if rule.names(address):
                return Verdict(True, rule.id, "")
        return Verdict(False, DEFAULT, "no rule names the unspecified address")

    def hopeless(self, question: Question) -> Verdict | None:
        """
        The denial that every address of the asked name would meet, so that
        it need not be looked up; else L{None}.
        """
        for rule in self.index.ofName(question):
            if rule.reportOnly or rule.unmet(question) is not None:
                continue
            if not rule.couldMatch(question):
                continue
            if rule.allow:
                return None
            if rule.surelyMatches(question):
                return _denied(rule, question)
        return self.default(question)

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
        The rules that only report, and come before the one that decides: each
        with what it would have said (where the port is not known: of some).

        @param address: L{None} for a name that is not looked up; then, of the
            addresses that it may have.
        """
        if not self._reporting:
            return []
        port = question.port or None
        if address is not None and self.never.hit(address, port) is not None:
            return []
        rules: Iterable[Rule] = self.rules
        if address is not None and port is not None:
            rules = self.index.of(question, address)
        found = []
        for rule in rules:
            if rule.unmet(question) if port else rule.unmetByAsker(question):
                continue
            if address is not None:
                if rule.unmetBy(question, address):
                    continue
            elif not rule.couldMatch(question) or not (
                rule.reportOnly or rule.surelyMatches(question)
            ):
                continue
            if not rule.reportOnly:
                break
            found.append(f"{rule.id}: {'allow' if rule.allow else 'deny'}")
        # The index may find a rule twice.
        return list(dict.fromkeys(found))

    def revoked(
        self, rule: str, question: Question, address: Address | None, verdict: Verdict
    ) -> str:
        """
        Why something is allowed no longer, for the operator.

        @param rule: the id of the one that has allowed it.
        @param question: of port 0 where that is not known.
        @param address: where it leads; L{None} where that is not known.
        @param verdict: the denial.
        """
        text = f'rule "{verdict.rule}": {verdict.why}'
        was = next((each for each in self.rules if each.id == rule), None)
        if was is None:
            return f'{text}; "{rule}" is there no longer'
        ask = was.unmet if question.port else was.unmetByAsker
        unmet = ask(question) or (address and was.unmetBy(question, address))
        if unmet == "who" and was.who is not None:
            if was.who.mayCover(question.asker.user):
                # The verdict has told what is not known.
                return f'{text}; "{rule}" may match still'
        return f'{text}; "{rule}" matches no longer: {unmet}' if unmet else text

    def explain(
        self, question: Question, address: Address
    ) -> list[tuple[str, str | None]]:
        """
        Each rule up to the deciding one, with the first condition that did
        not hold; L{None} for the one that matched.
        """
        steps: list[tuple[str, str | None]] = []
        for rule in self.rules:
            unmet = rule.unmet(question) or rule.unmetBy(question, address)
            if unmet is None and rule.reportOnly:
                unmet = "report_only"
            steps.append((rule.id, unmet))
            if unmet is None:
                break
        return steps


def _denied(rule: Rule, question: Question) -> Verdict:
    """The denial by a rule; with the doubts about the user, where it may match."""
    user, why = question.asker.user, "a rule denies it"
    if user.unsure and rule.who is not None and not rule.who.covers(user):
        why = f"{why}; {user.doubt}"
    return Verdict(False, rule.id, why)
