"""
Decide requests: look a name up at most once, and judge each of its addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, final

from socksgw.errors import BadDestination, NotAllowed, SocksError
from socksgw.interfaces import Asker
from socksgw.metrics.meters import Meters
from socksgw.policy.deciders import Asked, Decider, ask
from socksgw.policy.naming import Looking, NameResolver
from socksgw.policy.questions import (
    Found,
    Obligations,
    Question,
    Verdict,
)
from socksgw.policy.remembered import Remembered, Surroundings
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.telling import tellable
from socksgw.policy.told import Told
from socksgw.wire.address import Address

__all__ = ["Decision", "Judged", "Policy", "combined", "refused"]

#: Is called before a look-up; may raise a C{SocksError} that refuses the request.
Arrive = Callable[[], None]
_NO_OTHERS: Final[Mapping[str, NameResolver]] = {}
_NO_DECIDERS: Final[Mapping[str, Decider]] = {}


@final
class Decision:
    """
    The policy's decision about a request.

    @ivar allowed: whether any address may be dialled.
    @ivar rule: the deciding rule: of the first address that is allowed, else of the
        first address; empty when not a rule decided (the look-up failed).
    @ivar why: the reason of a denial, for the operator.
    @ivar replies: which datagrams a UDP flow returns to the client, as in
        L{socksgw.policy.questions.Verdict}.
    @ivar obligations: those of the rule that allowed it.
    @ivar ticket: the ticket of the rule that allowed it; empty without one.
    @ivar reports: what rules that only report would have decided.
    @ivar pending: whether the session is looked at, and judged again.
    @ivar hint: a remark for the operator about an address that the client got from
        RESOLVE.
    @ivar addresses: the addresses that may be dialled, best first.
    @ivar verdicts: the verdicts about these, at least; rule, ticket, replies and
        obligations above are those of the first one. Where an upstream looks the name
        up, there are no addresses, and the verdict is about the name.
    @ivar struck: the addresses of the name that may not be dialled, with why.
    @ivar error: the refusal for the client, when nothing is allowed.
    @ivar decider: the services that were asked, as text; empty for none.
    @ivar said: what they said of it, as text.
    @ivar waited: seconds in which the name was looked up, and services were asked.
    """

    __slots__ = (
        "addresses", "allowed", "decider", "error", "hint", "obligations", "pending",
        "replies", "reports", "rule", "said", "struck", "ticket", "verdicts",
        "waited", "why",
    )  # fmt: skip

    def __init__(
        self,
        verdict: Verdict,
        addresses: tuple[Address, ...] = (),
        struck: tuple[tuple[Address, str], ...] = (),
        error: SocksError | None = None,
        verdicts: Mapping[Address | str, Verdict] | None = None,
    ) -> None:
        """
        Take the parts of a decision.

        @param verdict: the deciding one.
        @param verdicts: the verdicts by address, where they differ.
        """
        self.verdicts: Mapping[Address | str, Verdict] = (
            dict.fromkeys(addresses, verdict) if verdicts is None else verdicts
        )
        self.allowed = verdict.allowed
        self.rule = verdict.rule
        self.why = verdict.why
        self.replies = verdict.replies
        self.ticket = verdict.ticket
        self.obligations = verdict.obligations
        self.pending = verdict.pending
        if verdicts is not None and not self.pending:
            self.pending = any(each.pending for each in verdicts.values())
        self.reports: list[str] = []
        self.hint = self.decider = self.said = ""
        self.waited = 0.0
        self.addresses = addresses
        self.struck = struck
        if error is None and not verdict.allowed:
            error = NotAllowed(verdict.why)
        self.error = error


#: An address of a name, the verdict about it, which allows it, and the seconds that its
#: look-up took, where that is all there is to decide; else the whole decision.
Judged = tuple[Address, Verdict, float] | Decision


@final
class Policy:
    """
    The rules, and how names are looked up for them.

    @ivar judge: returns the verdict about one address, as L{Ruleset.judge}; it may
        be remembered.
    @ivar told: the recent answers to RESOLVE.
    """

    __slots__ = (
        "_around", "_clock", "_deciders", "_meters", "_others", "_plain", "_remembered",
        "_resolver", "_ruleset", "judge", "told",
    )  # fmt: skip

    judge: Callable[[Question, Address], Verdict]

    def __init__(
        self,
        ruleset: Ruleset,
        resolver: NameResolver,
        told: Told | None = None,
        others: Mapping[str, NameResolver] = _NO_OTHERS,
        deciders: Mapping[str, Decider] = _NO_DECIDERS,
        meters: Meters | None = None,
        clock: Callable[[], float] = time.monotonic,
        around: Surroundings | None = None,
    ) -> None:
        """
        Take the rules, and how names are looked up.

        @param others: what looks names up in place of C{resolver} for the clients of
            listeners in other networks.
        @param deciders: who may deny what the rules allow, by name.
        @param meters: take the seconds of look-ups, and of services.
        @param clock: monotonic seconds.
        @param around: what verdicts depend on besides; L{None} where that cannot be
            told, and no verdict is remembered.
        """
        self._meters = Meters() if meters is None else meters
        self._clock = clock
        self._around = around
        self._resolver = resolver
        self._others = others
        self.told = Told() if told is None else told
        self._deciders = deciders
        self.ruleset = ruleset

    @property
    def ruleset(self) -> Ruleset:
        """The rules."""
        return self._ruleset

    @ruleset.setter
    def ruleset(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._plain = not self._deciders and not ruleset.reporting
        self._remembered = Remembered(ruleset, self._around)
        self.judge = self._remembered.judge

    async def decide(
        self,
        asker: Asker,
        command: str,
        host: Address | str,
        port: int,
        arrive: Arrive | None = None,
        found: Found | None = None,
    ) -> Decision:
        """
        Decide a request.

        A name is looked up at most once, and not at all when no rule could allow it,
        or when an upstream does that.

        @param arrive: called before a look-up.
        @param found: what the session carries, where that is known already.
        """
        if port == 0:
            return refused(BadDestination("port 0"))
        if isinstance(host, Address):
            question = Question(asker, command, None, port, None, found)
            verdict = self.judge(question, host)
            decision = Decision(verdict, (host,) if verdict.allowed else ())
            name = self.told.name(asker, host)
            if name is not None:
                decision.hint = self._hint(question, name, host, verdict)
            decision = self._reported(decision, question, (host,))
            return (
                await self._asked(decision, question, arrive)
                if self._deciders
                else decision
            )
        question = Question(asker, command, host, port, None, found)
        unresolved = self.ruleset.unresolved(question)
        if unresolved is not None:
            decision = Decision(unresolved, verdicts={host: unresolved})
            decision = self._reported(decision, question, (None,))
            return (
                await self._asked(decision, question, arrive)
                if self._deciders
                else decision
            )
        hopeless = self.ruleset.hopeless(question)
        if hopeless is not None:
            return self._reported(Decision(hopeless), question, (None,))
        return await self._lookUp(
            question, asker, lambda a: self.judge(question, a), arrive
        )

    def atOnce(
        self,
        asker: Asker,
        command: str,
        host: Address | str,
        port: int,
        arrive: Arrive,
    ) -> tuple[Address, Verdict] | None:
        """
        Return an address and the verdict about it, where that is all there is to decide.

        @param host: of a name one address is known, which is allowed.
        @param arrive: called for a name, as in L{decide}.
        @return: L{None} where L{decide} has to be asked.
        @raise socksgw.errors.LimitReached: C{arrive} has raised it.
        """
        if not self._plain or port == 0:
            return None
        if isinstance(host, Address):
            if self.told.name(asker, host) is not None:
                return None
            return host, self._remembered.of(asker, command, None, port, host)
        if self.ruleset.there:
            return None
        known = self._others.get(asker.listener, self._resolver).known(host)
        if known is None or len(known) != 1:
            return None
        address = known[0]
        verdict = self._remembered.of(asker, command, host, port, address)
        if not verdict.allowed or verdict.obligations.leaving is not None:
            return None
        arrive()
        self._meters.lookUps["found"].observe(0.0)
        return address, verdict

    def begin(
        self,
        asker: Asker,
        command: str,
        name: str,
        port: int,
        arrive: Arrive,
        done: Callable[[Judged], None],
    ) -> Judged | Looking | None:
        """
        Decide about a name as L{decide} does, where it waits only for the look-up.

        @param done: called later with what was decided, where it is not returned.
        @return: L{None} where L{decide} has to be asked.
        """
        if not self._plain or port == 0 or self.ruleset.there:
            return None
        if self._remembered.of(asker, command, name, port, None) is not None:
            return None
        began = None

        def answered(answer: tuple[Address, ...] | SocksError) -> None:
            done(self._looked(asker, command, name, port, answer, began))

        answer: tuple[Address, ...] | SocksError | Looking
        try:
            arrive()
            resolver = self._others.get(asker.listener, self._resolver)
            began = self._clock()
            answer = resolver.ask(name, asker.source, answered)
        except SocksError as e:
            answer = e
        if isinstance(answer, (tuple, SocksError)):
            return self._looked(asker, command, name, port, answer, began)
        return answer

    def _looked(
        self,
        asker: Asker,
        command: str,
        name: str,
        port: int,
        answer: tuple[Address, ...] | SocksError,
        began: float | None,
    ) -> Judged:
        """
        Judge the answer of a look-up; usually there is one address, which is allowed.

        @param began: as of L{_judged}.
        """
        if isinstance(answer, tuple) and len(answer) == 1 and began is not None:
            address = answer[0]
            verdict = self._remembered.of(asker, command, name, port, address)
            if verdict.allowed and verdict.obligations.leaving is None:
                waited = self._clock() - began
                self._meters.lookUps["found"].observe(waited)
                return address, verdict, waited
        question = Question(asker, command, name, port)
        return self._judged(question, lambda a: self.judge(question, a), answer, began)

    def _hint(
        self, question: Question, name: str, address: Address, verdict: Verdict
    ) -> str:
        """
        Return a hint where the rules decide otherwise about a name than its address.

        @param name: the name whose address the client got from RESOLVE.
        """
        asked = Question(
            question.asker, question.command, name, question.port, None, question.found
        )
        named = self.ruleset.judge(asked, address)
        if named.allowed == verdict.allowed:
            return ""
        had = f"the client had this address from RESOLVE of {name}, which"
        if named.allowed:
            return (
                f'{had} rule "{named.rule}" allows by name: let the client send names'
                " (socks5h), or allow the address"
            )
        return f'{had} rule "{named.rule}" denies by name: deny the address, too'

    def _reported(
        self,
        decision: Decision,
        question: Question,
        addresses: Iterable[Address | None],
    ) -> Decision:
        """
        Add to a decision what rules that only report would have decided.

        @param addresses: the addresses that were judged; L{None} stands for a name
            that was not looked up.
        """
        if self.ruleset.reporting:
            found: list[str] = []
            for address in addresses:
                found += self.ruleset.reports(question, address)
            decision.reports = list(dict.fromkeys(found))
        return decision

    async def _lookUp(
        self,
        question: Question,
        asker: Asker,
        judge: Callable[[Address], Verdict],
        arrive: Arrive | None,
    ) -> Decision:
        """
        Look a name up, once, and judge its addresses.
        """
        assert question.name is not None
        began = None
        answer: tuple[Address, ...] | SocksError
        try:
            if arrive is not None:
                arrive()
            resolver = self._others.get(asker.listener, self._resolver)
            began = self._clock()
            answer = await resolver.lookUp(question.name, asker.source)
        except SocksError as e:
            answer = e
        decision = self._judged(question, judge, answer, began)
        # It has arrived for the look-up already.
        return (
            await self._asked(decision, question, None) if self._deciders else decision
        )

    def _judged(
        self,
        question: Question,
        judge: Callable[[Address], Verdict],
        answer: tuple[Address, ...] | SocksError,
        began: float | None,
    ) -> Decision:
        """
        Judge the addresses of a name.

        @param answer: the addresses, or why there are none.
        @param began: when the look-up began; L{None} where it did not.
        """
        waited = 0.0 if began is None else self._clock() - began
        if isinstance(answer, SocksError):
            # The decision keeps it, whose frames hold all that asks.
            decision = refused(answer.with_traceback(None))
            if began is not None:
                self._meters.lookUps["failed"].observe(waited)
        else:
            self._meters.lookUps["found"].observe(waited)
            verdicts = [(a, judge(a)) for a in answer]
            deciding, allowed, struck = combined(verdicts)
            byAddress: dict[Address | str, Verdict] = dict(verdicts)
            decision = Decision(deciding, allowed, struck, verdicts=byAddress)
            decision = self._reported(decision, question, answer)
        decision.waited = waited
        return decision

    async def _asked(
        self, decision: Decision, question: Question, arrive: Arrive | None
    ) -> Decision:
        """
        Ask the services that the rules name, where these allow something.

        @param arrive: called before one is asked.
        @return: the decision, without what they deny.
        """
        if not decision.allowed:
            return decision
        waited, began = decision.waited, self._clock()
        try:
            asked = await ask(self._deciders, question, decision.verdicts, arrive)
        except SocksError as e:
            return refused(e.with_traceback(None))
        if asked is None:
            return decision
        took = self._clock() - began
        self._meters.deciders[asked.names].observe(took)
        if asked.denied:
            decision = _without(decision, asked.denied)
        decision.waited = waited + took
        decision.decider, decision.said = asked.names, asked.said
        return decision

    async def addressesOf(
        self, name: str, listener: str, source: Address
    ) -> tuple[Address, ...]:
        """
        Look up a name as for a client of a listener.

        @raise SocksError: there is none, or no answer came in time.
        """
        return await self._others.get(listener, self._resolver).lookUp(name, source)

    async def askedAgain(
        self,
        question: Question,
        target: Address | str,
        verdict: Verdict,
        before: Obligations,
    ) -> Asked | None:
        """
        Ask the services that a session's rule names, when that has become another one.

        @param target: the address that was dialled, or the name.
        @param verdict: by the rule that allows it now.
        @param before: what those obey who have been asked about the session.
        @return: L{None} where all have been asked.
        """
        deciders = verdict.obligations.deciders
        if not self._deciders or set(deciders) <= set(before.deciders):
            return None
        return await ask(self._deciders, question, {target: verdict}, None)

    def associate(self, asker: Asker, command: str = "udp") -> Decision:
        """
        Decide whether an association may be allowed any datagram.

        Each flow of it is a decision of its own.

        @param command: C{udp}, or C{multicast}, whose flows are groups.
        """
        question = Question(asker, command, None, 0)
        return Decision(self.ruleset.judge(question, None))

    async def expect(
        self, asker: Asker, host: Address | str, arrive: Arrive | None = None
    ) -> Decision:
        """
        Decide for which peer a BIND may wait.

        The peer's port is not known yet, so the peer is judged again when it connects.

        @param arrive: as in L{decide}.
        @return: the addresses that may connect; the unspecified address stands for
            any peer.
        """
        ruleset = self.ruleset
        if isinstance(host, Address):
            question = Question(asker, "bind", None, 0)
            verdict = ruleset.awaited(question, host)
            decision = Decision(verdict, (host,) if verdict.allowed else ())
            decision = self._reported(decision, question, (host,))
            return (
                await self._asked(decision, question, arrive)
                if self._deciders
                else decision
            )
        question = Question(asker, "bind", host, 0)
        hopeless = ruleset.hopeless(question)
        if hopeless is not None:
            return self._reported(Decision(hopeless), question, (None,))
        return await self._lookUp(
            question, asker, lambda a: ruleset.awaited(question, a), arrive
        )

    async def resolve(
        self, asker: Asker, host: Address | str, arrive: Arrive | None = None
    ) -> Decision:
        """
        Decide whether a client may look up a name, or an address for its name.

        Addresses that no command of the client may reach are not told.

        @param arrive: as in L{decide}.
        """
        name = host if isinstance(host, str) else None
        question = Question(asker, "resolve", name, 0)
        judge = tellable(self.ruleset.judge, question)
        if isinstance(host, Address):
            verdict = judge(host)
            decision = Decision(verdict, (host,) if verdict.allowed else ())
            decision = self._reported(decision, question, (host,))
            return (
                await self._asked(decision, question, arrive)
                if self._deciders
                else decision
            )
        verdict = judge(None)
        if not verdict.allowed:
            return self._reported(Decision(verdict), question, (None,))
        return await self._lookUp(question, asker, judge, arrive)


def combined(
    verdicts: Sequence[tuple[Address, Verdict]],
) -> tuple[Verdict, tuple[Address, ...], tuple[tuple[Address, str], ...]]:
    """
    Combine the verdicts about the addresses of a name.

    @return: the deciding verdict (of the first address that is allowed, else of the
        first address), the addresses that are allowed, and the others with why.
    """
    deciding: Verdict | None = None
    allowed: list[Address] = []
    struck: list[tuple[Address, str]] = []
    for address, verdict in verdicts:
        if not verdict.allowed:
            struck.append((address, f"{verdict.rule}: {verdict.why}"))
            continue
        deciding = deciding or verdict
        allowed.append(address)
    return deciding or verdicts[0][1], tuple(allowed), tuple(struck)


def _without(decision: Decision, denied: Mapping[Address | str, Verdict]) -> Decision:
    """Return what is left of a decision when some of what it allows is denied."""
    verdicts = {**decision.verdicts, **denied}
    addresses = tuple(each for each in decision.addresses if each not in denied)
    struck = tuple(
        (each, verdict.why)
        for each, verdict in denied.items()
        if isinstance(each, Address) and each in decision.addresses
    )
    deciding = verdicts[addresses[0]] if addresses else next(iter(denied.values()))
    left = Decision(deciding, addresses, (*decision.struck, *struck), verdicts=verdicts)
    left.reports, left.hint = decision.reports, decision.hint
    return left


def refused(error: SocksError) -> Decision:
    """
    Return the decision to refuse a request for a reason that is not a rule.
    """
    return Decision(Verdict(False, "", str(error)), error=error)
