"""
Which groups a client may be in: what the policy says, and what the record has of it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Final, final

from twisted.internet.defer import CancelledError

from socksgw.config.schema import ListenMulticast
from socksgw.errors import (
    AuditFailed,
    CommandNotSupported,
    LimitReached,
    NotCounted,
    Revoked,
    SocksError,
)
from socksgw.interfaces import Asker, StreamProtection
from socksgw.limits.limits import Claim
from socksgw.policy.decision import Decision, refused
from socksgw.policy.groups import isGroup
from socksgw.policy.joining import Joining, Lack, lackOf
from socksgw.policy.questions import Obligations, Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.groups import Unpermitted, Wanted
from socksgw.relay.groupsocket import Relayed
from socksgw.relay.membership import GroupPermit, Membership, Memberships
from socksgw.relay.protected import ProtectedSocket
from socksgw.route.ways import groupSockets, scopeSender
from socksgw.session.case import Case
from socksgw.session.datagrams import demandMark
from socksgw.system.owners import senderOf
from socksgw.wire.address import Address
from socksgw.wire.multicast import Flags, Outcome

__all__ = ["GroupJudge"]

_NOTHING: Final[frozenset[str]] = frozenset()
#: What a client is told of what its rule does not let it do.
_TOLD: Final = {
    Lack.SENDERS: Outcome.NO_RECEIVING,
    Lack.SENDING: Outcome.NO_SENDING,
    Lack.TTL: Outcome.BAD_TTL,
    Lack.UPSTREAMS: Outcome.NOT_SUPPORTED,
}
#: Where it might receive all the same (section 4.3.1.2 of the draft).
_RECEIVING: Final = frozenset((Lack.SENDING, Lack.TTL))


@final
class _Grant:
    """
    What a membership lives by.

    @ivar rule: the rule that allows it.
    @ivar ticket: the ticket of that.
    @ivar interface: where the group is joined.
    @ivar why: why it is allowed no longer.
    """

    __slots__ = ("interface", "rule", "ticket", "why")

    def __init__(self, rule: str, ticket: str, interface: str) -> None:
        self.rule = rule
        self.ticket = ticket
        self.interface = interface
        self.why = ""


class _Less(Exception):
    """The rule allows the group, and not all that the client wants there."""

    def __init__(self, outcome: Outcome, possible: Flags, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.possible = possible


def _demand(wanted: Wanted, obligations: Obligations) -> None:
    """
    See whether a rule lets a client do all that it wants in a group.

    @raise _Less: it does not.
    """
    lack = lackOf(Joining(wanted.ttl, wanted.sources), obligations)
    if lack is not None:
        what, why = lack
        receive = Flags.RECEIVE if wanted.receive and what in _RECEIVING else Flags(0)
        raise _Less(_TOLD[what], receive, why)


@final
class GroupJudge:
    """
    What judges the groups of one client, and records them.

    Each has a line before it is joined, and a line when it is left.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        case.flows = self
        self._memberships: Memberships | None = None
        self._inner: socket.socket | None = None
        #: What has been recorded that the limits forbid.
        self._told = _NOTHING

    # As L{socksgw.relay.groups.GroupJudge}.

    def attach(self, memberships: Memberships) -> None:
        """Take the groups that will be asked about."""
        self._memberships = memberships

    def ownedBy(self, uid: int) -> Callable[[tuple[str, int]], bool]:
        """Return what tells whether a socket of this host is a user's."""

        def isTheirs(peer: tuple[str, int]) -> bool:
            inner = self._inner
            return inner is not None and senderOf(peer, inner) == uid

        return isTheirs

    @property
    def _options(self) -> ListenMulticast:
        case = self._case
        return case.gateway.generation.groupsOf(case.record.listener)

    @property
    def most(self) -> int:
        """The most groups of one connection."""
        return self._options.groups

    def tooMany(self) -> None:
        """Record that more groups than that were asked for."""
        self._forbidden(f"{self.most} groups of one connection")

    @property
    def tunnels(self) -> bool:
        """Whether datagrams may go inside the connection."""
        return self._options.tunnels

    async def open(self) -> Relayed:
        """
        Open the relay socket.

        @raise SocksError: the client can have none.
        """
        case = self._case
        client, generation = case.client, case.gateway.generation
        if not client.datagrams:
            raise CommandNotSupported(
                "datagrams of this client go inside its connection"
            )
        behind = None if client.origin is None else client.source
        listener = case.record.listener
        outlet = await generation.waysOf(listener).datagrams(
            client.connection.local, generation.udpOf(listener), behind, case
        )
        inner = outlet.inner
        assert inner is not None
        assert outlet.bound is not None
        try:
            if client.ipsec:
                demandMark(client.ipsec, inner)
        except SocksError:
            outlet.close()
            raise
        self._inner = inner
        case.record.bound = outlet.bound
        protection = client.protection
        if protection is None or isinstance(protection, StreamProtection):
            return Relayed(inner, outlet.bound)
        return Relayed(ProtectedSocket(inner, protection), outlet.bound)

    def scope(self, membership: Membership, ttl: int) -> None:
        """
        Have what a client sends to a group have another TTL.

        @raise OSError: the kernel refuses.
        """
        permit = membership.permit
        if permit is not None and permit.sender is not None:
            scopeSender(permit.sender, ttl)
            membership.ttl = ttl

    async def permit(self, wanted: Wanted, before: Membership | None) -> GroupPermit:
        """
        Decide about a group, record it, and join it.

        @raise Unpermitted: the client may not be in it, with what it is told.
        """
        case = self._case
        group, port = wanted.group, wanted.port
        record = case.record.ofFlow(group.text.encode("ascii"), group, port)
        record.policy = case.gateway.generation.mark
        changes = case.gateway.changes
        asker = self._askerOf(wanted)
        record.secured = asker.secured
        decision = await self._decided(asker, group, port)
        terms = decision.obligations.groups
        interface = terms.interface or self._options.interface
        record.ofGroup(
            "receive" if wanted.ttl is None else "both" if wanted.receive else "send",
            interface,
            wanted.ttl,
            wanted.sources,
        )
        refusal = Outcome.NO_RECEIVING if wanted.receive else Outcome.NO_SENDING
        told = Unpermitted(refusal if isGroup(group) else Outcome.BAD_GROUP)
        if decision.allowed:
            try:
                _demand(wanted, decision.obligations)
            except _Less as e:
                told = Unpermitted(e.outcome, e.possible)
                decision = Decision(Verdict(False, decision.rule, str(e)))
        record.decided(decision)
        journal, line = case.gateway.journal, partial(record.decisionLine, "flow")
        if not decision.allowed:
            try:
                await journal.refusal(record.denial(), line)
            except AuditFailed:
                raise Unpermitted(Outcome.FAILED) from None
            raise told
        claim = None if before is not None else await self._claim(decision.rule)
        grant = _Grant(decision.rule, decision.ticket, interface)
        try:
            await journal.commit(line(), stranger=not record.loggedIn)
        except BaseException as e:
            self._give(claim)
            if isinstance(e, CancelledError):
                # Its line is written all the same, so its end is recorded, too.
                self._over(wanted, grant, "cut")
            if isinstance(e, (OSError, SocksError)):
                raise Unpermitted(Outcome.FAILED) from None
            raise
        if before is not None and not self._lives(before):
            self._over(wanted, grant, "revoked", "the membership before it ended")
            raise Unpermitted(Outcome.BAD_ASSOCIATION)
        if case.gateway.changes != changes:
            # The rules, or the user, changed meanwhile: the current ones count.
            ruleset = case.gateway.generation.policy.ruleset
            verdict = self._again(ruleset, wanted, grant)
            if not verdict.allowed:
                self._give(claim)
                self._over(wanted, grant, "revoked", grant.why)
                raise Unpermitted(Outcome.NOT_ALLOWED)
            terms = verdict.obligations.groups
            if claim is not None:
                limits = case.gateway.limits
                claim = limits.groupAgain(claim, case.asker, grant.rule)
        try:
            sockets = groupSockets(
                (group, port), interface, wanted.receive, wanted.sources, wanted.ttl
            )
        except SocksError as e:
            self._give(claim)
            self._over(wanted, grant, e.reason, str(e))
            raise Unpermitted(Outcome.FAILED if e.reply is None else e.reply) from None
        return GroupPermit(
            *sockets,
            wanted.ttl or 1,
            terms.ttl,
            None if terms.sources is None else terms.admits,
            claim,
            grant,
        )

    def begun(self, before: Membership | None, permit: GroupPermit) -> GroupPermit:
        """Take note that what was permitted begins, in place of what was before."""
        self._told = _NOTHING
        if before is None:
            return permit
        case = self._case
        assert before.permit is not None
        claim = case.gateway.limits.groupAgain(
            before.permit.claim, case.asker, permit.grant.rule
        )
        assert self._memberships is not None
        self._memberships.over(before, reason="changed")
        return permit._replace(claim=claim)

    def _askerOf(self, wanted: Wanted) -> Asker:
        """Return who asks for a group, by the way that its datagrams go."""
        case = self._case
        return case.asker if wanted.inside else case.askerBeside

    async def _decided(self, asker: Asker, group: Address, port: int) -> Decision:
        """Ask the current policy."""
        case, generation = self._case, self._case.gateway.generation
        try:
            case.remain(generation)
        except Revoked as e:
            return refused(e)
        return await generation.policy.decide(asker, "multicast", group, port)

    async def _claim(self, rule: str) -> Claim:
        """
        Take a group's part of the limits.

        @raise Unpermitted: a limit forbids it. That is recorded once, until one of
            the groups begins or ends.
        """
        case = self._case
        try:
            while True:
                try:
                    return case.gateway.limits.takeGroup(case.asker, rule)
                except NotCounted as e:
                    known = e.known
                await known
        except LimitReached as e:
            self._forbidden(str(e))
            raise Unpermitted(Outcome.NOT_ALLOWED) from None

    def _forbidden(self, why: str) -> None:
        """Record what a limit forbids, once until a group begins or ends."""
        if why not in self._told:
            self._told |= {why}
            case = self._case
            case.gateway.journal.append(case.record.flowsRefusedLine(why))

    def _give(self, claim: Claim | None) -> None:
        if claim is not None:
            self._case.gateway.limits.giveGroup(claim)

    def _lives(self, membership: Membership) -> bool:
        memberships = self._memberships
        return (
            memberships is not None
            and memberships.byNumber.get(membership.aid) is membership
        )

    def failed(
        self, membership: Membership, permit: GroupPermit, error: Exception
    ) -> None:
        """Record that what was permitted could not begin, and close its sockets."""
        for each in (permit.receiver, permit.sender):
            if each is not None:
                each.close()
        wanted = Wanted(
            membership.group, membership.port, False, None, (), membership.inside
        )
        self._give(permit.claim)
        self._over(wanted, permit.grant, "resources", str(error))

    def ended(self, membership: Membership, reason: str) -> None:
        """Record that what was permitted is over, and count it no longer."""
        permit, case = membership.permit, self._case
        assert permit is not None
        self._told = _NOTHING
        grant: _Grant = permit.grant
        why = grant.why if reason == "revoked" else ""
        if reason == "quota":
            why = str(permit.claim.over or "")
        if reason != "changed":
            self._give(permit.claim)
        line = case.record.flowEndLine(
            membership.group,
            membership.port,
            (membership.sent, membership.sentDatagrams),
            (membership.received, membership.receivedDatagrams),
            case.gateway.clock() - membership.began,
            reason,
            membership.limited,
            why,
            grant.ticket,
            "",
            grant.rule,
        )
        case.gateway.journal.append(line)

    def _over(self, wanted: Wanted, grant: _Grant, reason: str, why: str = "") -> None:
        """Record that nothing came of what was permitted."""
        case = self._case
        line = case.record.flowEndLine(
            wanted.group,
            wanted.port,
            (0, 0),
            (0, 0),
            0.0,
            reason,
            0,
            why,
            grant.ticket,
            "",
            grant.rule,
        )
        case.gateway.journal.append(line)

    # As L{socksgw.session.case.Flows}.

    def recheck(self, ruleset: Ruleset) -> None:
        """Leave the groups that the rules allow no longer."""
        for each in self._live():
            permit = each.permit
            assert permit is not None
            ttl = each.ttl if each.sends else None
            wanted = Wanted(
                each.group, each.port, each.receives, ttl, each.sources, each.inside
            )
            verdict = self._again(ruleset, wanted, permit.grant)
            if not verdict.allowed:
                self._end(each, "revoked")
                continue
            terms = verdict.obligations.groups
            limits = self._case.gateway.limits
            claim = limits.groupAgain(permit.claim, self._case.asker, verdict.rule)
            admits = None if terms.sources is None else terms.admits
            each.changed(permit._replace(most=terms.ttl, admits=admits, claim=claim))

    def _again(self, ruleset: Ruleset, wanted: Wanted, grant: _Grant) -> Verdict:
        """Ask other rules about a group that was allowed, and note the answer."""
        question = Question(self._askerOf(wanted), "multicast", None, wanted.port)
        verdict = ruleset.judge(question, wanted.group)
        if not verdict.allowed:
            grant.why = ruleset.revoked(grant.rule, question, wanted.group, verdict)
            return verdict
        terms = verdict.obligations.groups
        try:
            _demand(wanted, verdict.obligations)
            if (terms.interface or self._options.interface) != grant.interface:
                why = "it is joined at another interface now"
                raise _Less(Outcome.NOT_ALLOWED, Flags(0), why)
        except _Less as e:
            grant.why = str(e)
            return Verdict(False, verdict.rule, grant.why)
        grant.rule, grant.ticket = verdict.rule, verdict.ticket or grant.ticket
        return verdict

    def _live(self) -> list[Membership]:
        memberships = self._memberships
        return [] if memberships is None else list(memberships.byNumber.values())

    def _end(self, membership: Membership, reason: str) -> None:
        if self._memberships is not None:
            self._memberships.end(membership, reason)

    def recount(self) -> None:
        """Count the groups by the limits, and as the user, of now."""
        case = self._case
        for each in self._live():
            permit = each.permit
            assert permit is not None
            claim = case.gateway.limits.groupAgain(
                permit.claim, case.asker, permit.grant.rule
            )
            each.changed(permit._replace(claim=claim))

    def cut(self) -> None:
        """Leave the groups whose quota is used up."""
        for each in self._live():
            if each.permit is not None and each.permit.claim.over is not None:
                self._end(each, "quota")

    def close(self) -> None:
        """Let go of the groups: all are over."""
        self._memberships = None
