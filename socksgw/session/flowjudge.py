"""
The flows of an association before the policy, and in the record.
"""

from __future__ import annotations

from functools import partial
from typing import Final, final

from twisted.internet.defer import CancelledError

from socksgw.errors import (
    BadDestination,
    ConnectFailed,
    LeadsHere,
    LimitReached,
    NotCounted,
    Revoked,
    SocksError,
)
from socksgw.limits.limits import Claim
from socksgw.policy.decision import Decision, refused
from socksgw.policy.leaving import Leaving
from socksgw.policy.questions import Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.flow import Flow, Permit
from socksgw.relay.flows import Flows
from socksgw.route.ways import DatagramOutlet, Ways
from socksgw.session.case import Case
from socksgw.wire.address import Address, BadHost
from socksgw.wire.datagram import Datagram

__all__ = ["FlowJudge"]

#: One for all: each empty set would take 216 octets.
_NOTHING: Final[frozenset[str]] = frozenset()


@final
class _Grant:
    """
    What a flow lives by.

    @ivar rule: the rule that allows it.
    @ivar ticket: the ticket of that, or of a rule that allowed it before.
    @ivar why: why it is allowed no longer.
    @ivar outlet: where its datagrams leave.
    @ivar host: where they go: the address, or the name that an upstream looks up.
    """

    __slots__ = ("host", "outlet", "rule", "ticket", "why")

    def __init__(
        self, rule: str, ticket: str, outlet: DatagramOutlet, host: Address | str
    ) -> None:
        self.rule = rule
        self.ticket = ticket
        self.outlet = outlet
        self.host = host
        self.why = ""


@final
class FlowJudge:
    """
    What judges the flows of one association, and records them.

    Each flow is a decision of its own, with a line before its first datagram leaves,
    and a line when it ends.
    """

    __slots__ = ("_bounds", "_case", "_flows", "_others", "_outlet", "_told")

    def __init__(self, case: Case, outlet: DatagramOutlet) -> None:
        """
        @param outlet: where the datagrams leave whose rule does not say how.
        """
        self._case = case
        self._outlet = outlet
        #: The outlets of flows that leave by other ways.
        self._others: dict[Ways, DatagramOutlet] | None = None
        case.flows = self
        self._flows: Flows | None = None
        #: What bounds the datagrams, by the rule that allows them.
        self._bounds: dict[str, Claim] = {}
        #: What has been recorded that the limits forbid.
        self._told = _NOTHING

    async def prepare(self) -> None:
        """
        Open what all flows leave by, where that is an upstream.

        So the client is told that there is no UDP.

        @raise SocksError: the upstream does not do it.
        """
        case = self._case
        question = Question(case.asker, "udp", None, 0)
        leavings = case.generation.policy.ruleset.leavings(question)
        if len(leavings) == 1:
            upstream = (await self._outletFor(leavings.pop())).upstream
            if upstream is not None:
                await upstream.prepare()
                case.record.path = upstream.path

    def attach(self, flows: Flows) -> None:
        """Take the flows that will be asked about."""
        self._flows = flows

    def recheck(self, ruleset: Ruleset) -> None:
        """
        End the flows that the rules allow no longer.
        """

        def again(flow: Flow) -> str | None:
            verdict = self._again(ruleset, flow.datagram, flow.address, flow.grant)
            if not verdict.allowed:
                return None
            rules[flow] = verdict.rule
            return verdict.replies

        rules: dict[Flow, str] = {}
        if self._flows is not None:
            self._flows.recheck(again)
        if self._flows is not None:
            # The association may have ended with its flow.
            self._count(rules)

    def _again(
        self,
        ruleset: Ruleset,
        datagram: Datagram,
        address: Address | None,
        grant: _Grant,
    ) -> Verdict:
        """Ask other rules about a flow that was allowed, and note the answer."""
        name = datagram.host if isinstance(datagram.host, str) else None
        question = Question(self._case.asker, "udp", name, datagram.port)
        if address is None:
            verdict = ruleset.byName(question)
        else:
            verdict = ruleset.judge(question, address)
        if verdict.allowed:
            grant.rule, grant.ticket = verdict.rule, verdict.ticket or grant.ticket
        else:
            grant.why = ruleset.revoked(grant.rule, question, address, verdict)
        return verdict

    def recount(self) -> None:
        """Count the flows by the limits, and as the user, of now."""
        if self._flows is not None:
            self._count({flow: flow.claim.rule for flow in self._flows.live})

    def _count(self, rules: dict[Flow, str]) -> None:
        """
        Count each flow by the limits of now, and by its rule.
        """
        case = self._case
        if self._flows is not None:
            self._flows.changed()
        before, self._bounds = self._bounds, {}
        for flow, rule in rules.items():
            flow.claim = case.gateway.limits.flowAgain(flow.claim, case.asker, rule)
            bound = self._bound(rule)
            flow.sending, flow.receiving = bound.sending, bound.receiving
        for each in before.values():
            each.close()
        self._told = _NOTHING

    def _bound(self, rule: str) -> Claim:
        bound = self._bounds.get(rule)
        if bound is None:
            case = self._case
            limits = case.gateway.limits
            bound = self._bounds[rule] = limits.datagrams(case.asker, rule)
        return bound

    def cut(self) -> None:
        """
        End the flows whose quota is used up.
        """
        flows = self._flows
        if flows is not None and any(f.claim.over is not None for f in flows.live):
            flows.recheck(
                lambda flow: flow.replies if flow.claim.over is None else None, "quota"
            )

    def close(self) -> None:
        """Let go of what bounds the flows: all are over."""
        self._flows = None
        for each in self._bounds.values():
            each.close()
        for outlet in (self._others or {}).values():
            if outlet.upstream is not None:
                outlet.upstream.close()
        self._others = None

    async def judge(self, datagram: Datagram) -> Permit | None:
        """
        Decide about a flow, and record it.

        @return: what it may do; L{None} when it is denied.
        @raise LimitReached: not now.
        @raise AuditFailed: no line could be written.
        """
        found = await self.decide(datagram)
        return found if isinstance(found, Permit) else None

    async def decide(self, datagram: Datagram) -> Permit | SocksError:
        """
        Decide about a flow, and record it.

        @return: what it may do, or what it is denied with.
        @raise LimitReached: not now.
        @raise AuditFailed: no line could be written.
        """
        case = self._case
        host, changes = datagram.host, case.gateway.changes
        record = case.record.ofFlow(datagram.asked, host, datagram.port)
        record.policy = case.gateway.generation.mark
        if isinstance(host, BadHost):
            decision = refused(BadDestination(host.why))
        else:
            # A flow is a request of its own: the current rules judge it.
            decision = await self._decided(host, datagram.port)
        failure: ConnectFailed | None = None
        outlet, address = self._outlet, None
        if decision.allowed:
            leaving = decision.obligations.leaving
            record.via = "" if leaving is None else leaving.text
            record.judged = "" if decision.addresses else "name"
            try:
                outlet = await self._outletFor(leaving)
                address = _chosen(decision, outlet, datagram.port)
            except LeadsHere as e:
                decision = refused(e)
            except ConnectFailed as e:
                failure = e
                address = decision.addresses[0] if decision.addresses else None
        record.decided(decision)
        journal, line = case.gateway.journal, partial(record.decisionLine, "flow")
        if not decision.allowed:
            await journal.refusal(record.denial(), line)
            assert decision.error is not None
            decision.error.rule = decision.rule
            return decision.error
        where = host if address is None else address
        assert not isinstance(where, BadHost)
        verdict = decision.verdicts[where]
        record.livesBy(verdict.rule, verdict.ticket)
        claim = await self._claim(verdict.rule)
        grant = _Grant(verdict.rule, verdict.ticket, outlet, where)
        try:
            await journal.commit(line(), stranger=not record.loggedIn)
        except BaseException as e:
            case.gateway.limits.giveFlow(claim)
            if isinstance(e, CancelledError):
                # Its line is written all the same, so its end is recorded, too.
                self._over(datagram.port, "cut", grant)
            raise
        if failure is not None:
            case.gateway.limits.giveFlow(claim)
            self._over(datagram.port, failure.reason, grant, why=str(failure))
            failure.rule = verdict.rule
            return failure
        if case.gateway.changes != changes:
            # The rules, or the user, changed meanwhile: the current ones count.
            ruleset = case.gateway.generation.policy.ruleset
            verdict = self._again(ruleset, datagram, address, grant)
            limits = case.gateway.limits
            if not verdict.allowed:
                limits.giveFlow(claim)
                self._over(datagram.port, "revoked", grant)
                return Revoked(grant.why)
            claim = limits.flowAgain(claim, case.asker, grant.rule)
        bound = self._bound(claim.rule)
        return Permit(
            address,
            verdict.replies,
            claim,
            bound.sending,
            bound.receiving,
            grant,
            None if outlet is self._outlet else outlet,
        )

    async def _outletFor(self, leaving: Leaving | None) -> DatagramOutlet:
        """
        Return where flows leave of which a rule says so.

        @raise SocksError: it cannot be opened.
        """
        if leaving is None:
            return self._outlet
        case = self._case
        generation, listener = case.gateway.generation, case.record.listener
        ways = generation.waysOf(listener, leaving)
        outlet = None if self._others is None else self._others.get(ways)
        if outlet is None:
            options = generation.udpOf(listener)
            outlet = await ways.datagrams(None, options, None, case)
            if self._others is None:
                self._others = {}
            # Another flow may have been faster.
            outlet = self._others.setdefault(ways, outlet)
        return outlet

    async def _decided(self, host: Address | str, port: int) -> Decision:
        """Ask the current policy."""
        case, generation = self._case, self._case.gateway.generation
        try:
            case.remain(generation)
        except Revoked as e:
            return refused(e)
        return await generation.policy.decide(case.asker, "udp", host, port)

    async def _claim(self, rule: str) -> Claim:
        """
        Take a flow's part of the limits.

        @raise LimitReached: a limit forbids it. That is recorded once, until one of
            the flows begins or ends.
        """
        case = self._case
        try:
            claim = None
            while claim is None:
                try:
                    claim = case.gateway.limits.takeFlow(case.asker, rule)
                except NotCounted as e:
                    known = e.known
                if claim is None:
                    await known
        except LimitReached as e:
            if str(e) not in self._told:
                self._told |= {str(e)}
                line = case.record.flowsRefusedLine(str(e))
                case.gateway.journal.append(line)
            raise
        self._told = _NOTHING
        return claim

    def failed(self, permit: Permit, port: int, error: Exception) -> None:
        """Record that a flow which was permitted could not begin."""
        self._case.gateway.limits.giveFlow(permit.claim)
        reason, why = "failed", ""
        if isinstance(error, SocksError):
            reason, why = error.reason, str(error)
        self._over(port, reason, permit.grant, why=why)

    def ended(self, flow: Flow, reason: str) -> None:
        """Record that a flow which was permitted is over."""
        over = flow.claim.over if reason == "quota" else None
        self._case.gateway.limits.giveFlow(flow.claim)
        self._told = _NOTHING
        self._over(
            flow.datagram.port,
            reason,
            flow.grant,
            (flow.sent, flow.sentDatagrams),
            (flow.received, flow.receivedDatagrams),
            self._case.gateway.clock() - flow.began,
            flow.limited,
            str(over or ""),
        )

    def _over(
        self,
        port: int,
        reason: str,
        grant: _Grant,
        sent: tuple[int, int] = (0, 0),
        received: tuple[int, int] = (0, 0),
        seconds: float = 0.0,
        limited: int = 0,
        why: str = "",
    ) -> None:
        case = self._case
        if reason == "revoked":
            why = grant.why or why
        upstream = grant.outlet.upstream
        line = case.record.flowEndLine(
            grant.host,
            port,
            sent,
            received,
            seconds,
            reason,
            limited,
            why,
            grant.ticket,
            "" if upstream is None else upstream.path,
            grant.rule,
        )
        case.gateway.journal.append(line)

    def tooMany(self, limit: int) -> None:
        """Record that more flows than the limit were asked for."""
        case = self._case
        case.gateway.journal.append(
            case.record.flowsRefusedLine(f"{limit} flows of one association")
        )


def _chosen(decision: Decision, outlet: DatagramOutlet, port: int) -> Address | None:
    """
    Return the address that the datagrams of a flow go to.

    It is one of those whose rule says the same of the way out as the first one's.

    @return: L{None} where an upstream looks the name up.
    @raise SocksError: as L{DatagramOutlet.choose}.
    """
    addresses, verdicts = decision.addresses, decision.verdicts
    if len(addresses) > 1:
        leaving = verdicts[addresses[0]].obligations.leaving
        addresses = tuple(
            each for each in addresses if verdicts[each].obligations.leaving == leaving
        )
    return outlet.choose(addresses, port) if addresses else None
