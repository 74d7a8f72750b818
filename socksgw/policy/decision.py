"""
From a request to the literals that may be dialled: looked up once, judged
one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from socksgw.errors import BadDestination, NotAllowed, SocksError
from socksgw.interfaces import NameResolver
from socksgw.policy.rules import DEFAULT, Asker, Question, Ruleset, Verdict
from socksgw.wire.address import Address

__all__ = ["Decision", "Policy", "refused"]


@final
class Decision:
    """
    What became of a request.

    @ivar allowed: whether anything may be dialled.
    @ivar rule: that decided: of the first address allowed, else of the
        first; empty when it was not the rules (the look-up failed).
    @ivar why: for the operator.
    @ivar replies: whose answers come back to a UDP flow, as
        L{socksgw.policy.rules.Verdict}'s.
    @ivar obligations: of the rule that allowed it.
    @ivar ticket: of the rule that allowed it, if it has one.
    @ivar reports: what rules that only report would have said.
    @ivar addresses: what may be dialled, best first.
    @ivar struck: what the name led to and may not be dialled, with why.
    @ivar error: what the client is refused with, when nothing is allowed.
    """

    __slots__ = (
        "addresses", "allowed", "error", "obligations", "replies", "reports", "rule", "struck",
        "ticket", "why",
    )  # fmt: skip

    def __init__(
        self,
        verdict: Verdict,
        addresses: tuple[Address, ...] = (),
        struck: tuple[tuple[Address, str], ...] = (),
        error: SocksError | None = None,
    ) -> None:
        self.allowed = verdict.allowed
        self.rule = verdict.rule
        self.why = verdict.why
        self.replies = verdict.replies
        self.ticket = verdict.ticket
        self.obligations = verdict.obligations
        self.reports: list[str] = []
        self.addresses = addresses
        self.struck = struck
        if error is None and not verdict.allowed:
            error = NotAllowed(verdict.why)
        self.error = error


@final
class Policy:
    """
    A ruleset, and how names are looked up for it.

    @ivar ruleset: the rules.
    """

    __slots__ = ("_resolver", "ruleset")

    def __init__(self, ruleset: Ruleset, resolver: NameResolver) -> None:
        self.ruleset = ruleset
        self._resolver = resolver

    async def decide(
        self,
        asker: Asker,
        command: str,
        host: Address | str,
        port: int,
    ) -> Decision:
        """
        Decide one request. A name is looked up at most once, and not at all
        when no rule could allow it.
        """
        if port == 0:
            return refused(BadDestination("port 0"))
        if isinstance(host, Address):
            question = Question(asker, command, None, port)
            verdict = self.ruleset.judge(question, host)
            decision = Decision(verdict, (host,) if verdict.allowed else ())
            decision.reports = self.ruleset.reports(question, host)
            return decision
        question = Question(asker, command, host, port)
        hopeless = self.ruleset.hopeless(question)
        if hopeless is not None:
            return Decision(hopeless)
        ruleset = self.ruleset
        decision = await self._judgeAll(host, lambda a: ruleset.judge(question, a))
        for address in (*decision.addresses, *(a for a, _ in decision.struck)):
            decision.reports += ruleset.reports(question, address)
        return decision

    async def _judgeAll(
        self, name: str, judge: Callable[[Address], Verdict]
    ) -> Decision:
        """
        Look a name up, once, and judge what it leads to.
        """
        try:
            resolved = await self._resolver.lookUp(name)
        except SocksError as e:
            return refused(e)
        verdicts = [(a, judge(a)) for a in resolved]
        allowed = tuple(a for a, verdict in verdicts if verdict.allowed)
        struck = tuple(
            (a, f"{verdict.rule}: {verdict.why}")
            for a, verdict in verdicts
            if not verdict.allowed
        )
        deciding = next((v for _, v in verdicts if v.allowed), verdicts[0][1])
        return Decision(deciding, allowed, struck)

    def associate(self, asker: Asker) -> Decision:
        """
        Whether a UDP association can be of any use; each datagram is judged
        besides.
        """
        question = Question(asker, "udp", None, 0)
        return Decision(self.ruleset.prospect(question))

    async def expect(self, asker: Asker, host: Address | str) -> Decision:
        """
        Whose connection a BIND may wait for. The peer's port is not known
        yet, so who comes is judged again.

        @return: with the addresses that may come; with the unspecified
            address, anybody.
        """
        ruleset = self.ruleset
        if isinstance(host, Address):
            verdict = ruleset.awaited(Question(asker, "bind", None, 0), host)
            return Decision(verdict, (host,) if verdict.allowed else ())
        question = Question(asker, "bind", host, 0)
        verdict = ruleset.prospect(question)
        if not verdict.allowed:
            return Decision(verdict)
        return await self._judgeAll(host, lambda a: ruleset.prospect(question, a))

    async def resolve(self, asker: Asker, host: Address | str) -> Decision:
        """
        Whether a name may be looked up (or an address, for its name): where
        no command could ever lead, nothing is told.
        """
        ruleset = self.ruleset
        name = host if isinstance(host, str) else None
        question = Question(asker, "resolve", name, 0)

        def judge(address: Address | None) -> Verdict:
            verdict = ruleset.prospect(question, address)
            if verdict.allowed:
                for command in ("connect", "udp", "bind"):
                    other = Question(asker, command, name, 0)
                    if ruleset.prospect(other, address).allowed:
                        return verdict
                return Verdict(False, DEFAULT, "no rule lets the client reach it")
            return verdict

        if isinstance(host, Address):
            verdict = judge(host)
            return Decision(verdict, (host,) if verdict.allowed else ())
        verdict = judge(None)
        if not verdict.allowed:
            return Decision(verdict)
        return await self._judgeAll(host, judge)


def refused(error: SocksError) -> Decision:
    """
    A refusal that no rule is the reason of.
    """
    return Decision(Verdict(False, "", str(error)), error=error)
