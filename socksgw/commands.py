"""
What the commands do once a client is logged in: each says what the policy is
asked, and leads the client through route and relay.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, final

from socksgw.errors import (
    AddressTypeNotSupported,
    BadDestination,
    CommandNotSupported,
    LookupFailed,
)
from socksgw.flowjudge import FlowJudge
from socksgw.policy.rules import Question
from socksgw.relay.tunnel import FRAMINGS
from socksgw.route.dialer import Outlet
from socksgw.route.passive import Passive, bindWithin, localTowards
from socksgw.stage import Stage
from socksgw.wire.address import UNSPECIFIED4, Address, BadHost
from socksgw.wire.codes import SOCKS4, Command, Reply

if TYPE_CHECKING:
    from socksgw.policy.decision import Decision
    from socksgw.session import Session
    from socksgw.wire.events import Requested

__all__ = ["commandFor"]


def _named(request: Requested) -> Address | str:
    """
    The destination of a request.

    @raise BadDestination: there is none that could be.
    """
    if isinstance(request.host, BadHost):
        raise BadDestination(request.host.why)
    return request.host


class Connect:
    """CONNECT (RFC 1928 section 4)."""

    name = "connect"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """As everywhere: the destination's addresses, one by one."""
        return await session.generation.policy.decide(
            session.asker, self.name, _named(request), request.port
        )

    async def serve(self, session: Session, request: Requested) -> None:
        """Dial what was judged, tell, relay."""
        record, client = session.record, session.client

        session.stage = Stage.ROUTE
        outlet = await session.generation.dialer.open(
            record.addresses, record.port, session.obligations.connect
        )
        record.dialled, record.bound = outlet.address, outlet.bound
        client.reply(Reply.SUCCEEDED, outlet.bound)

        await _relay(session, outlet)


class Bind:
    """BIND: two replies, one listener, one peer."""

    name = "bind"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Who may be waited for; who comes is judged again."""
        return await session.generation.policy.expect(session.asker, _named(request))

    async def serve(self, session: Session, request: Requested) -> None:
        """Listen, tell where, wait for the peer, tell who it is, relay."""
        record, client, generation = session.record, session.client, session.generation

        session.stage = Stage.ROUTE
        expected = _sayable(request, record.addresses)
        anybody = expected[0].isUnspecified
        # Of the client's own family, where the peer has such an address.
        own = client.local
        peer = next((a for a in expected if a.version == own.version), expected[0])
        inward = own if anybody else localTowards(peer)
        place = generation.places[record.listener]
        passive = Passive(generation.watch, generation.setDeadline, inward, place.ports)
        judge = generation.policy.ruleset.judge

        def admits(peer: Address, port: int) -> bool:
            question = Question(session.asker, self.name, record.name, port)
            return (anybody or peer in expected) and judge(question, peer).allowed

        try:
            record.bound = (place.advertised(inward), passive.bound[1])
            client.reply(Reply.SUCCEEDED, record.bound, more=True)
            client.hold()
            waiting = passive.accept(admits, generation.bindTimeout)
            outlet = await waiting
        finally:
            passive.close()
            client.holding = False
        try:
            record.dialled, record.peerPort = outlet.address, outlet.port
            await session.gateway.journal.commit(record.peerLine(outlet.port))
            client.reply(Reply.SUCCEEDED, (outlet.address, outlet.port))
        except BaseException:
            outlet.close()
            raise

        await _relay(session, outlet)


class Associate:
    """UDP ASSOCIATE: DST is a hint, and every datagram is judged."""

    name = "udp"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Whether an association can be of any use."""
        return session.generation.policy.associate(session.asker)

    async def serve(self, session: Session, request: Requested) -> None:
        """Bind the relay socket, tell where, relay until the client ends."""
        record, client, generation = session.record, session.client, session.generation

        session.stage = Stage.ROUTE
        place = generation.places[record.listener]
        relay = bindWithin(socket.SOCK_DGRAM, client.local, place.ports)
        record.bound = (place.advertised(client.local), relay.getsockname()[1])
        client.reply(Reply.SUCCEEDED, record.bound)

        session.stage = Stage.RELAY
        # What came behind the request counts for nothing.
        client.conversation.surplus()
        await session.relayed(
            lambda tally: generation.associations.over(
                client,
                client.source,
                relay,
                FlowJudge(session),
                place.reassemble,
                tally,
            )
        )


@final
class Tunnelled(Associate):
    """UDP inside the control connection; off unless the listener says so."""

    def __init__(self, framing: str) -> None:
        """
        @param framing: as in C{listen.udp.tunnels}.
        """
        self.framing = framing

    async def serve(self, session: Session, request: Requested) -> None:
        """Tell, relay until the client ends."""
        record, client, generation = session.record, session.client, session.generation

        session.stage = Stage.ROUTE
        if self.framing == "gost" and request.port:
            raise CommandNotSupported("UDP inside TCP that binds a port")
        echoed = request.host if isinstance(request.host, Address) else UNSPECIFIED4
        client.reply(Reply.SUCCEEDED, (echoed, request.port))

        session.stage = Stage.RELAY
        early = client.conversation.surplus()
        record.bound = None
        await session.relayed(
            lambda tally: generation.associations.inside(
                client, FRAMINGS[self.framing], early, FlowJudge(session), tally
            )
        )


class Resolve:
    """Tor's RESOLVE: an address for a name."""

    name = "resolve"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Whether the client may know it."""
        return await session.generation.policy.resolve(session.asker, _named(request))

    async def serve(self, session: Session, request: Requested) -> None:
        """Tell the address, and end."""
        addresses = _sayable(request, session.record.addresses)
        session.client.reply(Reply.SUCCEEDED, (addresses[0], 0))
        session.answered()


class ResolvePtr(Resolve):
    """Tor's RESOLVE_PTR: a name for an address."""

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Whether the client may know it."""
        if not isinstance(request.host, Address):
            raise AddressTypeNotSupported("RESOLVE_PTR wants an address")
        return await super().decide(session, request)

    async def serve(self, session: Session, request: Requested) -> None:
        """Look the name up, tell it, and end."""
        name = await session.generation.nameOf(session.record.addresses[0])
        session.client.reply(Reply.SUCCEEDED, (name, 0))
        session.answered()


_SOCKS5: Final[Mapping[int, Any]] = {
    Command.CONNECT: Connect(),
    Command.BIND: Bind(),
    Command.UDP_ASSOCIATE: Associate(),
    Command.RESOLVE: Resolve(),
    Command.RESOLVE_PTR: ResolvePtr(),
}
_SOCKS4: Final[Mapping[int, Any]] = {
    Command.CONNECT: Connect(),
    Command.BIND: Bind(),
    Command.RESOLVE: Resolve(),
}
_TUNNELS: Final[Mapping[int, Tunnelled]] = {
    Command.UDP_IN_TCP: Tunnelled("hev"),
    Command.UDP_TUNNEL: Tunnelled("gost"),
}


def commandFor(request: Requested, tunnels: frozenset[str]) -> Any:
    """
    The command that a request names.

    @param tunnels: the framings of UDP in TCP that the listener allows.
    @raise CommandNotSupported: there is no such command here.
    """
    known = _SOCKS4 if request.version == SOCKS4 else _SOCKS5
    command = known.get(request.command)
    if command is None and request.version != SOCKS4:
        tunnel = _TUNNELS.get(request.command)
        if tunnel is not None and tunnel.framing in tunnels:
            command = tunnel
    if command is None:
        raise CommandNotSupported("there is no such command here")
    return command


def _sayable(request: Requested, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """
    The addresses that a reply can say in the client's version.

    @raise LookupFailed: there is none.
    """
    if request.version == SOCKS4:
        addresses = tuple(a for a in addresses if a.version == 4)
        if not addresses:
            raise LookupFailed("no IPv4 address, and SOCKS 4 knows no other")
    return addresses


async def _relay(session: Session, outlet: Outlet) -> None:
    """
    The last stage of what ends in a stream.
    """
    session.stage = Stage.RELAY
    client = session.client
    early = client.conversation.surplus()
    await session.relayed(
        lambda tally: session.generation.relays.between(
            client, outlet.socket, early, tally, session.obligations.idle
        )
    )
