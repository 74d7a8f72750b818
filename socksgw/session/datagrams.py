"""
The commands that carry datagrams, beside the control connection or inside it.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from contextlib import suppress
from secrets import token_bytes
from typing import final

from twisted.internet.defer import CancelledError

from socksgw.config.reserved import isLocal
from socksgw.errors import CommandNotSupported, LimitReached, Revoked, SocksError
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.flow import Permit
from socksgw.relay.framing import FRAMINGS
from socksgw.relay.tally import Tally
from socksgw.session.case import Case
from socksgw.session.command import Command, Routed
from socksgw.session.flowjudge import FlowJudge
from socksgw.system.bpf import admitMarked
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.association import ID_OCTETS
from socksgw.wire.datagram import Datagram
from socksgw.wire.events import Requested

__all__ = [
    "Associate",
    "ConnectUDP",
    "Diverted",
    "Inside",
    "Tunnelled",
    "demandMark",
]


class Associate(Command):
    """
    UDP ASSOCIATE (RFC 1928 section 7).

    DST is a hint; each flow of datagrams is judged.

    @cvar beside: whether the datagrams go beside the control connection.
    """

    name = "udp"
    beside = True

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask whether an association can be of any use."""
        if self.beside and not case.client.datagrams:
            why = "datagrams beside TLS (UDP-Naked) not agreed on"
            if not case.client.port:
                why = (
                    "a client on a Unix socket has no address for datagrams: they go "
                    "inside the connection ([listen.udp] tunnels)"
                )
            raise CommandNotSupported(why)
        if self.beside:
            # Its flows are judged, and recorded, by this from now on.
            case.asker = case.askerBeside
            case.record.secured = case.asker.secured
        return case.generation.policy.associate(case.asker)

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """Ask flow by flow, and then whether the rest is of any use."""
        if case.flows is not None:
            case.flows.recheck(ruleset)
        return ruleset.judge(Question(case.asker, self.name, None, 0), None)

    async def route(self, case: Case, request: Requested) -> Routed:
        """Bind the relay socket that the client sends its datagrams to."""
        record, client, generation = case.record, case.client, case.generation
        options = generation.udpOf(record.listener)
        behind = None if client.origin is None else client.source
        outlet = await generation.waysOf(record.listener).datagrams(
            client.connection.local, options, behind, case
        )
        assert outlet.bound is not None
        judge = FlowJudge(case, outlet)
        try:
            if client.ipsec:
                assert outlet.inner is not None
                demandMark(client.ipsec, outlet.inner)
            await judge.prepare()
        except BaseException:
            outlet.close()
            raise
        record.bound = outlet.bound
        # Other addresses are no hint: clients behind an address translation, or of
        # several addresses, name an address that is not seen here.
        port = (request.port or None) if request.host == client.source else None
        # Nobody else on this machine may send for somebody who is known to it.
        program = client.program if isLocal(case.asker.user.name) else None
        uid = None if program is None else program.uid

        def relay(_early: bytes, tally: Tally) -> Awaitable[None]:
            # What came behind the request counts for nothing.
            return generation.associations.over(
                client,
                client.source,
                outlet,
                judge,
                options.reassemble,
                tally,
                port,
                uid,
            )

        return Routed(outlet.bound, relay)


def demandMark(mark: int, relay: socket.socket) -> None:
    """
    Have a client that came in by IPsec send its datagrams by it, too.

    @param mark: by which the kernel tells them.
    @param relay: the socket for them.
    @raise LimitReached: the kernel cannot.
    """
    if not admitMarked(relay, mark):
        why = "the kernel takes no filter for datagrams without IPsec"
        raise LimitReached(why, reason="resources")
    # Others may have come before there was a filter.
    with suppress(OSError):
        while True:
            relay.recv(1)


@final
class Tunnelled(Associate):
    """UDP inside the control connection; off unless the listener says so."""

    beside = False

    def __init__(self, framing: str) -> None:
        """
        @param framing: as in C{listen.udp.tunnels}.
        """
        self.tunnel = framing

    async def route(self, case: Case, request: Requested) -> Routed:
        """Open no relay socket: the datagrams come on the control connection."""
        client, generation = case.client, case.generation
        if self.tunnel == "gost" and request.port:
            raise CommandNotSupported("UDP inside TCP that binds a port")
        listener = case.record.listener
        outlet = await generation.waysOf(listener).datagrams(
            None, generation.udpOf(listener), None, case
        )
        judge = FlowJudge(case, outlet)
        await judge.prepare()
        echoed = request.host if isinstance(request.host, Address) else UNSPECIFIED4

        def relay(early: bytes, tally: Tally) -> Awaitable[None]:
            return generation.associations.inside(
                client,
                FRAMINGS[self.tunnel],
                early,
                outlet,
                judge,
                tally,
            )

        return Routed((echoed, request.port), relay)


@final
class Inside(Associate):
    """
    UDP in messages inside the control connection, as its protocol has it.

    The client is told no address: it needs none, and those by which datagrams leave
    are chosen with the first one.
    """

    beside = False

    async def route(self, case: Case, request: Requested) -> Routed:
        """Open no relay socket: the datagrams come on the control connection."""
        client, generation = case.client, case.generation
        listener = case.record.listener
        outlet = await generation.waysOf(listener).datagrams(
            None, generation.udpOf(listener), None, case
        )
        judge = FlowJudge(case, outlet)
        await judge.prepare()
        reports = client.conversation.dialect.wantsErrors(request)

        def relay(early: bytes, tally: Tally) -> Awaitable[None]:
            return generation.associations.messages(
                client, token_bytes(ID_OCTETS), reports, early, outlet, judge, tally
            )

        return Routed((UNSPECIFIED4, 0), relay)


@final
class Diverted(Associate):
    """UDP of a client that knows no gateway: its datagrams are its connection."""

    beside = False

    async def route(self, case: Case, request: Requested) -> Routed:
        """Open no relay socket: the datagrams come by the client's own."""
        client, generation = case.client, case.generation
        listener = case.record.listener
        options = generation.udpOf(listener)
        outlet = await generation.waysOf(listener).datagrams(None, options, None, case)

        def relay(_early: bytes, tally: Tally) -> Awaitable[None]:
            return generation.associations.diverted(
                client, outlet, FlowJudge(case, outlet), tally
            )

        return Routed((UNSPECIFIED4, 0), relay)


@final
class ConnectUDP(Associate):
    """
    UDP to one destination in capsules (RFC 9298); off unless the listener says so.

    That is an association with one flow, which is judged before the reply.
    """

    beside = False
    tunnel = "connect-udp"
    unserved = "not-implemented"

    async def route(self, case: Case, request: Requested) -> Routed:
        """Have the flow judged, and open its socket."""
        record, client, generation = case.record, case.client, case.generation
        options = generation.udpOf(record.listener)
        outlet = await generation.waysOf(record.listener).datagrams(
            None, options, None, case
        )
        judge = FlowJudge(case, outlet)
        datagram = Datagram(0, request.host, request.port, request.asked, b"")
        try:
            found = await judge.decide(datagram)
        except OSError as e:
            raise LimitReached(str(e), reason="resources") from None
        if not isinstance(found, Permit):
            # It was not the rule that allowed the association.
            record.livesBy(found.rule, "")
            raise found
        # The client cannot tell who has sent a datagram (section 3.1).
        permit = found._replace(replies="exact")
        leaving, changes = permit.grant.outlet, case.gateway.changes
        associated = None
        try:
            if leaving.upstream is not None:
                associated = await leaving.upstream.associate()
            if case.gateway.changes != changes:
                if associated is not None:
                    associated.close()
                raise Revoked("the rules, or the user, changed before it began")
            if associated is None:
                assert permit.address is not None
                leaving.hold(permit.address.version)
        except CancelledError:
            judge.failed(permit, request.port, SocksError(reason="cut"))
            raise
        except Exception as e:
            judge.failed(permit, request.port, e)
            raise

        def relay(early: bytes, tally: Tally) -> Awaitable[None]:
            return generation.associations.single(
                client, early, outlet, judge, datagram, permit, tally, associated
            )

        return Routed((permit.address or UNSPECIFIED4, request.port), relay)
