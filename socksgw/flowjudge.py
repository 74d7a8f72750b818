"""
The flows of an association before the policy, and in the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from twisted.internet.defer import CancelledError

from socksgw.errors import BadDestination, LimitReached
from socksgw.policy.decision import refused
from socksgw.policy.rules import Question, Ruleset
from socksgw.relay.flows import Flow, Flows, Permit
from socksgw.wire.address import Address, BadHost
from socksgw.wire.datagram import Datagram

if TYPE_CHECKING:
    from socksgw.limits import Claim
    from socksgw.session import Session

__all__ = ["FlowJudge"]


@final
class FlowJudge:
    """
    One association's. Each flow is a decision of its own, with its line
    before its first datagram leaves, and a line when it ends.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        session.flows = self
        self._flows: Flows | None = None
        #: What bounds the datagrams, by the rule that allows them.
        self._bounds: dict[str, Claim] = {}
        self._told: set[str] = set()

    def attach(self, flows: Flows) -> None:
        """These are the association's."""
        self._flows = flows

    def recheck(self, ruleset: Ruleset) -> None:
        """
        End the flows that the rules allow no longer.
        """
        session = self._session
        asker = session.asker

        def keeps(flow: Flow) -> bool:
            host = flow.datagram.host
            name = host if isinstance(host, str) else None
            question = Question(asker, "udp", name, flow.datagram.port)
            assert flow.address is not None
            verdict = ruleset.judge(question, flow.address)
            if verdict.allowed:
                rules[flow] = verdict.rule
            return verdict.allowed

        rules: dict[Flow, str] = {}
        if self._flows is not None:
            self._flows.recheck(keeps)
            self._count(rules)

    def recount(self) -> None:
        """
        The limits are others, or who the client is.
        """
        if self._flows is not None:
            self._count({flow: flow.claim.rule for flow in self._flows.live})

    def _count(self, rules: dict[Flow, str]) -> None:
        """
        Count each flow by the limits of now, and by its rule.
        """
        session = self._session
        before, self._bounds = self._bounds, {}
        for flow, rule in rules.items():
            flow.claim = session.gateway.limits.flowAgain(
                flow.claim, session.asker, rule
            )
            bound = self._bound(rule)
            flow.sending, flow.receiving = bound.sending, bound.receiving
        for each in before.values():
            each.close()
        self._told.clear()

    def _bound(self, rule: str) -> Claim:
        bound = self._bounds.get(rule)
        if bound is None:
            session = self._session
            limits = session.gateway.limits
            bound = self._bounds[rule] = limits.datagrams(session.asker, rule)
        return bound

    def cut(self) -> None:
        """
        End the flows whose quota is used up.
        """
        flows = self._flows
        if flows is not None and any(f.claim.over is not None for f in flows.live):
            flows.recheck(lambda flow: flow.claim.over is None, "quota")

    def close(self) -> None:
        """
        The association is over, and all flows are.
        """
        for each in self._bounds.values():
            each.close()

    async def judge(self, datagram: Datagram) -> Permit | None:
        """
        May the flow be?

        @raise LimitReached: not now.
        @raise AuditFailed: no line could be written.
        """
        session = self._session
        host = datagram.host
        record = session.record.ofFlow(datagram.asked, host, datagram.port)
        if isinstance(host, BadHost):
            decision = refused(BadDestination(host.why))
        else:
            decision = await session.generation.policy.decide(
                session.asker, "udp", host, datagram.port
            )
        record.decided(decision)
        claim = self._claim(decision.rule) if decision.allowed else None
        try:
            await session.gateway.journal.commit(record.decisionLine("flow"))
        except BaseException as e:
            if claim is not None:
                session.gateway.limits.giveFlow(claim)
                if isinstance(e, CancelledError):
                    # Its line goes out; nothing else of it ever will.
                    self._over(decision.addresses[0], datagram.port, "cut")
            raise
        if claim is None:
            return None
        bound = self._bound(claim.rule)
        return Permit(
            decision.addresses, decision.replies, claim, bound.sending, bound.receiving
        )

    def _claim(self, rule: str) -> Claim:
        """
        @raise LimitReached: told once, until one of the flows begins or ends.
        """
        session = self._session
        try:
            claim = session.gateway.limits.takeFlow(session.asker, rule)
        except LimitReached as e:
            if str(e) not in self._told:
                self._told.add(str(e))
                line = session.record.flowsRefusedLine(str(e))
                session.gateway.journal.append(line)
            raise
        self._told.clear()
        return claim

    def failed(self, permit: Permit, port: int) -> None:
        """A flow that was permitted could not begin."""
        self._session.gateway.limits.giveFlow(permit.claim)
        self._over(permit.addresses[0], port, "failed")

    def ended(self, flow: Flow, reason: str) -> None:
        """A flow that was permitted is over."""
        assert flow.address is not None
        over = flow.claim.over if reason == "quota" else None
        self._session.gateway.limits.giveFlow(flow.claim)
        self._told.clear()
        self._over(
            flow.address,
            flow.datagram.port,
            reason,
            (flow.sent, flow.sentDatagrams),
            (flow.received, flow.receivedDatagrams),
            self._session.gateway.clock() - flow.began,
            flow.limited,
            str(over or ""),
        )

    def _over(
        self,
        address: Address,
        port: int,
        reason: str,
        sent: tuple[int, int] = (0, 0),
        received: tuple[int, int] = (0, 0),
        seconds: float = 0.0,
        limited: int = 0,
        why: str = "",
    ) -> None:
        session = self._session
        session.gateway.journal.append(
            session.record.flowEndLine(
                address, port, sent, received, seconds, reason, limited, why
            )
        )

    def tooMany(self, limit: int) -> None:
        """More flows than the limit; told once."""
        session = self._session
        session.gateway.journal.append(
            session.record.flowsRefusedLine(f"{limit} flows of one association")
        )
