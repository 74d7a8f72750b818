"""
From a request to the literals that may be dialled: looked up once, judged
one by one.
"""

from __future__ import annotations

from typing import final

from socksgw.errors import BadDestination, NotAllowed, SocksError
from socksgw.interfaces import NameResolver, User
from socksgw.policy.rules import Question, Ruleset, Verdict
from socksgw.wire.address import Address

__all__ = ["Decision", "Policy"]


@final
class Decision:
    """
    What became of a request.

    @ivar allowed: whether anything may be dialled.
    @ivar rule: that decided: of the first address allowed, else of the
        first; empty when it was not the rules (the look-up failed).
    @ivar why: for the operator.
    @ivar addresses: what may be dialled, best first.
    @ivar struck: what the name led to and may not be dialled, with why.
    @ivar error: what the client is refused with, when nothing is allowed.
    """

    __slots__ = ("addresses", "allowed", "error", "rule", "struck", "why")

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
        user: User,
        source: Address,
        listener: str,
        command: str,
        host: Address | str,
        port: int,
    ) -> Decision:
        """
        Decide one request. A name is looked up at most once, and not at all
        when no rule could allow it.
        """
        if port == 0:
            return _failed(BadDestination("port 0"))
        if isinstance(host, Address):
            question = Question(user, source, listener, command, None, port)
            verdict = self.ruleset.judge(question, host)
            return Decision(verdict, (host,) if verdict.allowed else ())
        question = Question(user, source, listener, command, host, port)
        hopeless = self.ruleset.hopeless(question)
        if hopeless is not None:
            return Decision(hopeless)
        try:
            resolved = await self._resolver.lookUp(host)
        except SocksError as e:
            return _failed(e)
        verdicts = [(a, self.ruleset.judge(question, a)) for a in resolved]
        allowed = tuple(a for a, verdict in verdicts if verdict.allowed)
        struck = tuple(
            (a, f"{verdict.rule}: {verdict.why}")
            for a, verdict in verdicts
            if not verdict.allowed
        )
        deciding = next((v for _, v in verdicts if v.allowed), verdicts[0][1])
        return Decision(deciding, allowed, struck)


def _failed(error: SocksError) -> Decision:
    """
    No rule was the reason.
    """
    return Decision(Verdict(False, "", str(error)), error=error)
