"""
The flows of an association before the policy, and in the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from twisted.internet.defer import CancelledError

from socksgw.errors import BadDestination
from socksgw.policy.decision import refused
from socksgw.policy.rules import Question, Ruleset
from socksgw.relay.flows import Flow, Flows, Permit
from socksgw.wire.address import Address, BadHost
from socksgw.wire.datagram import Datagram

if TYPE_CHECKING:
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

    def attach(self, flows: Flows) -> None:
        """These are the association's."""
        self._flows = flows

    def recheck(self, ruleset: Ruleset) -> None:
        """
        End the flows that the rules allow no longer.
        """
        asker = self._session.asker

        def keeps(flow: Flow) -> bool:
            host = flow.datagram.host
            name = host if isinstance(host, str) else None
            question = Question(asker, "udp", name, flow.datagram.port)
            assert flow.address is not None
            return ruleset.judge(question, flow.address).allowed

        if self._flows is not None:
            self._flows.recheck(keeps)

    async def judge(self, datagram: Datagram) -> Permit | None:
        """
        May the flow be?

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
        try:
            await session.gateway.journal.commit(record.decisionLine("flow"))
        except CancelledError:
            if decision.allowed:
                # Its line goes out; nothing else of it ever will.
                self._over(decision.addresses[0], datagram.port, "cut")
            raise
        if not decision.allowed:
            return None
        return Permit(decision.addresses, decision.replies)

    def ended(self, flow: Flow, reason: str) -> None:
        """A flow that was permitted is over."""
        assert flow.address is not None
        self._over(
            flow.address,
            flow.datagram.port,
            reason,
            (flow.sent, flow.sentDatagrams),
            (flow.received, flow.receivedDatagrams),
            self._session.gateway.clock() - flow.began,
        )

    def _over(
        self,
        address: Address,
        port: int,
        reason: str,
        sent: tuple[int, int] = (0, 0),
        received: tuple[int, int] = (0, 0),
        seconds: float = 0.0,
    ) -> None:
        session = self._session
        session.gateway.journal.append(
            session.record.flowEndLine(address, port, sent, received, seconds, reason)
        )

    def tooMany(self, limit: int) -> None:
        """More flows than the limit; told once."""
        session = self._session
        session.gateway.journal.append(
            session.record.flowsRefusedLine(f"{limit} flows of one association")
        )
