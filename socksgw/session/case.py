"""
The facts of one session that its commands and flows read and change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from socksgw.accept.inbound import Inbound
from socksgw.audit.journal import Journal
from socksgw.audit.proxied import proxiedMembers
from socksgw.audit.record import SessionRecord
from socksgw.audit.secured import tlsMembers
from socksgw.config.schema import ListenMulticast
from socksgw.errors import Revoked
from socksgw.interfaces import Asker
from socksgw.limits.limits import Claim, Limits
from socksgw.login.portal import Login
from socksgw.metrics.meters import Meters
from socksgw.negotiate.methods import Methods
from socksgw.policy.decision import Policy
from socksgw.policy.leaving import Leaving
from socksgw.policy.questions import Found, Obligations, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.association import Associations
from socksgw.relay.between import Relays
from socksgw.relay.inspection import Inspection
from socksgw.relay.membership import GroupSettings
from socksgw.relay.tally import Tally
from socksgw.route.ways import UDPOptions, Ways
from socksgw.system.connection import SocketName
from socksgw.system.domains import Domain
from socksgw.wire.address import Address
from socksgw.wire.levels import factOf

__all__ = ["Case", "Flows", "Gateway", "Generation"]


class Generation(Protocol):
    """What a session reads of one reading of the configuration."""

    @property
    def methods(self) -> Methods:
        """The methods that clients are offered."""

    @property
    def login(self) -> Login:
        """What decides about credentials."""

    @property
    def policy(self) -> Policy:
        """The rules, and how names are looked up for them."""

    def domainOf(self, listener: str) -> Domain:
        """Return the routing domain of a listener."""

    def waysOf(self, listener: str, leaving: Leaving | None = None) -> Ways:
        """
        Return the ways by which the sessions of a listener leave.

        @param leaving: what the rule says of that; L{None} for nothing.
        """

    def namesOf(self, listener: str) -> Callable[[Address, Address], Awaitable[str]]:
        """
        Return what looks up the name of an address for a listener's clients.

        It is given the address, and the client's.
        """

    @property
    def mark(self) -> str:
        """Which configuration it is of, as records name it."""

    @property
    def handsOn(self) -> bool:
        """Whether an upstream is given the passwords of clients."""

    @property
    def relays(self) -> Relays:
        """What moves octets between two connections."""

    @property
    def inspection(self) -> Inspection:
        """How sessions are looked at."""

    @property
    def associations(self) -> Associations:
        """What moves datagrams."""

    def udpOf(self, listener: str) -> UDPOptions:
        """
        Return the C{[listen.udp]} of a listener.

        @param listener: its name; it may be gone and still have clients.
        """

    @property
    def groups(self) -> GroupSettings:
        """What all multicast groups share."""

    def groupsOf(self, listener: str) -> ListenMulticast:
        """
        Return the C{[listen.multicast]} of a listener.

        @param listener: as of L{udpOf}; one that is gone serves no groups.
        """

    def stackOf(self, listener: str) -> Collection[str]:
        """Return the C{stack} of a listener."""


class Gateway(Protocol):
    """What commands and flows need of the running gateway."""

    @property
    def generation(self) -> Generation:
        """What new sessions use."""

    @property
    def changes(self) -> int:
        """How often something has changed that verdicts depend on."""

    @property
    def journal(self) -> Journal:
        """Where sessions are recorded."""

    @property
    def limits(self) -> Limits:
        """Where sessions and flows are counted."""

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""

    @property
    def meters(self) -> Meters:
        """What sessions count."""


class Flows(Protocol):
    """What judges the datagrams of a session, told of what changes."""

    def recheck(self, ruleset: Ruleset) -> None:
        """End the flows that these rules do not allow."""

    def recount(self) -> None:
        """Count the flows by the limits, and as the user, of now."""

    def cut(self) -> None:
        """End the flows whose quota is used up."""

    def close(self) -> None:
        """Let go of what bounds the flows: all are over."""


class Used(Protocol):
    """What counts the sessions of an upstream."""

    @property
    def name(self) -> str:
        """Of the upstream."""

    def end(self) -> None:
        """Count one session less."""


class Asked(Protocol):
    """What a client asked for (L{socksgw.session.command.Command})."""

    @property
    def name(self) -> str:
        """The policy's name of it."""

    def again(self, case: Any, ruleset: Ruleset) -> Verdict:
        """Ask other rules about a session that was allowed."""


class Case:
    """
    One client's facts, as far as they are known.

    @ivar client: the client's connection.
    @ivar gateway: what runs.
    @ivar generation: what the session uses: of the time when it began, or, once
        it was judged again, a later one.
    @ivar record: what the journal is told.
    @ivar command: what the client asked for.
    @ivar asker: who the client is, for the policy; known after the login.
    @ivar verdicts: what the rules say of each address that may be used, or of the
        name where an upstream looks that up.
    @ivar obligations: what the rule asks that the session lives by.
    @ivar pending: whether the session is looked at, and judged again, before the
        client's octets go on.
    @ivar found: what it carries, for the rules; L{None} while that is not known.
    @ivar arrived: whether the session is counted as new already (L{arrive}).
    @ivar claim: what the session takes of the limits, once it is allowed.
    @ivar tally: what it moves, while that is moved, and afterwards; L{None} before.
    @ivar flows: what judges its datagrams, where it has any.
    @ivar shown: the name and the password of this login, for an upstream that is to
        have them; L{None} again as soon as the session has its way out.
    @ivar outgoing: our address on the way to its first upstream; L{None} where it
        leaves by none.
    """

    __slots__ = (
        "_used", "arrived", "asker", "claim", "client", "command", "flows", "found",
        "gateway", "generation", "obligations", "outgoing", "pending", "record",
        "shown", "tally", "verdicts",
    )  # fmt: skip

    asker: Asker
    command: Asked
    obligations: Obligations

    def __init__(self, gateway: Gateway, client: Inbound, number: int) -> None:
        """
        @param number: of the session, in this process.
        """
        self.gateway = gateway
        self.generation: Generation = gateway.generation
        self.client = client
        clock = gateway.clock
        self.record = SessionRecord(
            number, client.listener.name, client.source, client.port, clock()
        )
        if client.origin is not None:
            self.record.proxied = proxiedMembers(client.origin)
        tls = client.connection.tls
        if tls is not None:
            self.record.tls = tlsMembers(tls)
        if client.domain.name:
            self.record.within(client.domain.tag)
        self.verdicts: Mapping[Address | str, Verdict] = {}
        self.claim: Claim | None = None
        self.flows: Flows | None = None
        self.arrived = False
        self.pending = False
        self.found: Found | None = None
        self._used: tuple[Used, ...] = ()
        self.shown: tuple[bytes, bytes] | None = None
        self.outgoing: Address | None = None
        self.tally: Tally | None = None

    @property
    def askerBeside(self) -> Asker:
        """Who asks for datagrams that go beside the client's connection."""
        asker, client = self.asker, self.client
        # By IPsec these have to come, too.
        secured = factOf(client.securedBeside, client.ipsec > 0)
        return Asker(asker.user, asker.source, asker.listener, secured, asker.tag)

    @property
    def whose(self) -> tuple[bytes, str]:
        """What tells the sessions of this user at this source from others."""
        return self.asker.source.sourceKey, self.asker.user.name

    @property
    def moved(self) -> tuple[int, int]:
        """The octets so far from the client to its destination, and back."""
        return (0, 0) if self.tally is None else self.tally.moved

    @property
    def port(self) -> int:
        """The client's port; 0 where it has none."""
        return self.client.port

    @property
    def gateways(self) -> tuple[str, ...]:
        """The gateways before this one that the client's connection came through."""
        return self.client.gateways

    @property
    def local(self) -> SocketName:
        """Our end of the client's connection."""
        local: SocketName = self.client.connection.local
        return local

    def remain(self, generation: Generation) -> None:
        """
        Make sure that the client's listener is in the network that it came by.

        @param generation: whose rules and ways are to be used.
        @raise Revoked: it is in another one by now: the same address means
            something else there.
        """
        domain, now = self.client.domain, generation.domainOf(self.record.listener)
        if now is not domain and now != domain:
            raise Revoked("the listener is not in the client's network any more")

    def loops(self, own: Address, other: Address, port: int) -> bool:
        """
        Return whether a connection does not leave this host, and that is banned.

        Both of its ends have one address then. The policy was asked before, but a
        route may have changed since.

        @param port: of the other end.
        """
        if own != other:
            return False
        return self.generation.policy.ruleset.never.bansSelf(other, port)

    def arrive(self) -> None:
        """
        Count the session as new, since a name is about to be looked up for it.

        @raise LimitReached: a limit forbids it.
        @raise socksgw.errors.NotCounted: that is not known yet; the policy is asked
            once more then.
        """
        if not self.arrived:
            self.gateway.limits.arrive(self.asker)
            self.arrived = True

    def joins(self, standing: Used) -> None:
        """Count the session as one of an upstream's (L{Traveller})."""
        self._used = (*self._used, standing)

    def parts(self, standing: Used) -> None:
        """Count it there no longer, if the session is not over."""
        if standing not in self._used:
            return
        used = list(self._used)
        used.remove(standing)
        self._used = tuple(used)
        standing.end()

    @property
    def upstreams(self) -> Sequence[Used]:
        """The upstreams that it goes through."""
        return self._used

    def leave(self) -> None:
        """Count the session, which is over, as no upstream's any more."""
        used, self._used = self._used, ()
        for each in used:
            each.end()

    def livesBy(self, verdict: Verdict) -> None:
        """
        Have the session live by the rule that allows the address which it uses.

        It is counted, bounded and recorded by that.
        """
        self.obligations = verdict.obligations
        self.pending = verdict.pending
        self.record.livesBy(verdict.rule, verdict.ticket)
        if self.claim is not None and self.claim.rule != verdict.rule:
            self.recount(verdict.rule)

    def recount(self, rule: str) -> None:
        """
        Count the session by the limits, and as the user, of now.

        @param rule: the one that allows it now.
        """
        before = self.claim
        if before is None:
            return
        self.claim = claim = self.gateway.limits.again(
            before, self.asker, self.command.name, rule
        )
        if self.tally is not None and self.tally.relay is not None:
            self.tally.relay.limit(claim.sending, claim.receiving)
        before.close()
        if self.flows is not None:
            self.flows.recount()
