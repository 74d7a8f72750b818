"""
What the commands do once a client is logged in: each says what the policy is
asked, and leads the client through route and relay.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, final

from socksgw.errors import (
    AddressTypeNotSupported,
    BadDestination,
    CommandNotSupported,
    LeadsHere,
    LimitReached,
    LookupFailed,
)
from socksgw.policy.decision import tellable
from socksgw.policy.rules import Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.tunnel import FRAMINGS
from socksgw.route.dialer import Outlet
from socksgw.route.passive import Passive, bindWithin, localTowards
from socksgw.session.besides import Besides
from socksgw.session.flowjudge import FlowJudge
from socksgw.session.stage import Stage
from socksgw.wire.address import UNSPECIFIED4, Address, BadHost
from socksgw.wire.codes import SOCKS4, Reply
from socksgw.wire.codes import Command as Code

if TYPE_CHECKING:
    from socksgw.policy.decision import Decision
    from socksgw.session.session import Session
    from socksgw.wire.events import Requested

__all__ = ["Command", "commandFor"]


def _named(request: Requested) -> Address | str:
    """
    The destination of a request.

    @raise BadDestination: there is none that could be.
    """
    if isinstance(request.host, BadHost):
        raise BadDestination(request.host.why)
    return request.host


class Command:
    """
    One command.

    @cvar name: the policy's name of it.
    """

    name: str

    async def decide(self, session: Session, request: Requested) -> Decision:
        """
        Ask the policy.

        @raise SocksError: it cannot be asked such a thing.
        """
        raise NotImplementedError

    def again(self, session: Session, ruleset: Ruleset) -> Verdict:
        """
        Ask other rules about a session that these once allowed: the first
        denial of what it has or may still get, else an allow.
        """
        raise NotImplementedError

    async def serve(self, session: Session, request: Requested) -> None:
        """
        Lead the client through route and relay, and record the end.
        """
        raise NotImplementedError


class Connect(Command):
    """CONNECT (RFC 1928 section 4)."""

    name = "connect"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """As everywhere: the destination's addresses, one by one."""
        return await session.generation.policy.decide(
            session.asker,
            self.name,
            _named(request),
            request.port,
            session.arrive,
        )

    def again(self, session: Session, ruleset: Ruleset) -> Verdict:
        """The address that was dialled; before that, each that may be."""
        record = session.record
        question = Question(session.asker, self.name, record.name, record.port)
        addresses = (record.dialled,) if record.dialled else record.addresses
        session.verdicts = {each: ruleset.judge(question, each) for each in addresses}
        return _strictest(session.verdicts.values())

    async def serve(self, session: Session, request: Requested) -> None:
        """Dial what was judged, tell, relay."""
        record, client = session.record, session.client

        session.stage = Stage.ROUTE
        with Besides(session) as besides:

            def admit(address: Address) -> float | None:
                verdict = session.verdicts[address]
                besides.admit(verdict)
                return verdict.obligations.connect

            outlet = await session.generation.dialer.open(
                record.addresses, record.port, admit
            )
            record.dialled, record.bound = outlet.address, outlet.bound
            session.livesBy(session.verdicts[outlet.address])
        if _loops(session, outlet.bound[0], outlet.address, record.port):
            outlet.close()
            raise LeadsHere("the destination turned out to be this host")
        session.generation.outward.connected(_client(session), outlet.address)
        client.reply(Reply.SUCCEEDED, outlet.bound)

        await _relay(session, outlet)


class Bind(Command):
    """BIND: two replies, one listener, one peer."""

    name = "bind"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Who may be waited for; who comes is judged again."""
        return await session.generation.policy.expect(
            session.asker, _named(request), session.arrive
        )

    def again(self, session: Session, ruleset: Ruleset) -> Verdict:
        """The peer that came; before that, each that may come."""
        record = session.record
        if record.dialled is not None:
            question = Question(session.asker, self.name, record.name, record.peerPort)
            return ruleset.judge(question, record.dialled)
        question = Question(session.asker, self.name, record.name, 0)
        session.verdicts = {a: ruleset.awaited(question, a) for a in record.addresses}
        return _strictest(session.verdicts.values())

    async def serve(self, session: Session, request: Requested) -> None:
        """Listen, tell where, wait for the peer, tell who it is, relay."""
        record, client, generation = session.record, session.client, session.generation

        session.stage = Stage.ROUTE
        expected = _sayable(request, record.addresses)
        anybody = expected[0].isUnspecified
        # Of the client's own family, where the peer has such an address.
        own = client.local
        peer = next((a for a in expected if a.version == own.version), expected[0])
        if anybody:
            outward = generation.outward
            inward = outward.local(_client(session), own, peer.version)
        else:
            inward = localTowards(peer)
        place = generation.placeOf(record.listener)
        scope = client.scope if inward == own else 0
        passive = Passive(
            generation.watch, generation.setDeadline, inward, place.ports, scope
        )

        def admits(peer: Address, port: int) -> bool:
            question = Question(session.asker, self.name, record.name, port)
            # By the rules of that moment, not of the request's.
            verdict = session.generation.policy.ruleset.judge(question, peer)
            if (
                not (anybody or peer in expected)
                or not verdict.allowed
                or _loops(session, inward, peer, port)
            ):
                return False
            try:
                with Besides(session) as besides:
                    besides.admit(verdict)
                    session.livesBy(verdict)
            except LimitReached:
                return False
            return True

        try:
            record.bound = (place.advertised(inward), passive.bound[1])
            client.reply(Reply.SUCCEEDED, record.bound, more=True)
            client.hold()
            waiting = passive.accept(admits, generation.bindTimeout)
            outlet = await waiting
        finally:
            passive.close()
            record.strangers = passive.strangers
            client.holding = False
        try:
            record.dialled, record.peerPort = outlet.address, outlet.port
            await session.gateway.journal.commit(record.peerLine(outlet.port))
            client.reply(Reply.SUCCEEDED, (outlet.address, outlet.port))
        except BaseException:
            outlet.close()
            raise

        await _relay(session, outlet)


class Associate(Command):
    """
    UDP ASSOCIATE: DST is a hint, and every datagram is judged.

    @cvar beside: whether the datagrams go beside the control connection.
    """

    name = "udp"
    beside = True

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Whether an association can be of any use."""
        if self.beside and not session.client.datagrams:
            raise CommandNotSupported("datagrams beside TLS (UDP-Naked) not agreed on")
        return session.generation.policy.associate(session.asker)

    def again(self, session: Session, ruleset: Ruleset) -> Verdict:
        """Flow by flow, and then whether the rest is of any use."""
        if session.flows is not None:
            session.flows.recheck(ruleset)
        return ruleset.prospect(Question(session.asker, self.name, None, 0))

    async def serve(self, session: Session, request: Requested) -> None:
        """Bind the relay socket, tell where, relay until the client ends."""
        record, client, generation = session.record, session.client, session.generation

        session.stage = Stage.ROUTE
        place = generation.placeOf(record.listener)
        relay = bindWithin(socket.SOCK_DGRAM, client.local, place.ports, client.scope)
        record.bound = (place.advertised(client.local), relay.getsockname()[1])
        client.reply(Reply.SUCCEEDED, record.bound)

        session.stage = Stage.RELAY
        # What came behind the request counts for nothing.
        client.surplus()
        await session.relayed(
            lambda tally: generation.associations.over(
                client,
                client.source,
                relay,
                FlowJudge(session),
                place.reassemble,
                tally,
                # Other addresses are no hint: clients behind an address
                # translation, or of several addresses, name what nobody sees.
                (request.port or None) if request.host == client.source else None,
            )
        )


@final
class Tunnelled(Associate):
    """UDP inside the control connection; off unless the listener says so."""

    beside = False

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
        early = client.surplus()
        record.bound = None
        await session.relayed(
            lambda tally: generation.associations.inside(
                client, FRAMINGS[self.framing], early, FlowJudge(session), tally
            )
        )


class Resolve(Command):
    """Tor's RESOLVE: an address for a name."""

    name = "resolve"

    async def decide(self, session: Session, request: Requested) -> Decision:
        """Whether the client may know it."""
        return await session.generation.policy.resolve(
            session.asker, _named(request), session.arrive
        )

    def again(self, session: Session, ruleset: Ruleset) -> Verdict:
        """The answer, as long as it is on its way."""
        record = session.record
        judge = tellable(ruleset, Question(session.asker, self.name, record.name, 0))
        return _strictest(map(judge, record.addresses))

    async def serve(self, session: Session, request: Requested) -> None:
        """Tell the address, and end."""
        sayable = _sayable(request, session.record.addresses)
        # One answer: in the family that every client takes. Programs that look
        # names up so (torsocks) fail with an IPv6 address.
        address = next((a for a in sayable if a.version == 4), sayable[0])
        verdict = session.verdicts[address]
        with Besides(session) as besides:
            besides.admit(verdict)
            session.livesBy(verdict)
        if session.record.name is not None:
            told = session.generation.policy.told
            told.tell(session.asker, session.record.name, address)
        session.client.reply(Reply.SUCCEEDED, (address, 0))
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
        name = await session.generation.nameOf(
            session.record.addresses[0], session.asker.source
        )
        session.client.reply(Reply.SUCCEEDED, (name, 0))
        session.answered()


_SOCKS5: Final[Mapping[int, Command]] = {
    Code.CONNECT: Connect(),
    Code.BIND: Bind(),
    Code.UDP_ASSOCIATE: Associate(),
    Code.RESOLVE: Resolve(),
    Code.RESOLVE_PTR: ResolvePtr(),
}
_SOCKS4: Final[Mapping[int, Command]] = {
    Code.CONNECT: Connect(),
    Code.BIND: Bind(),
    Code.RESOLVE: Resolve(),
}
_TUNNELS: Final[Mapping[int, Tunnelled]] = {
    Code.UDP_IN_TCP: Tunnelled("hev"),
    Code.UDP_TUNNEL: Tunnelled("gost"),
}


def commandFor(request: Requested, tunnels: frozenset[str]) -> Command:
    """
    The command that a request names.

    @param tunnels: the framings of UDP in TCP that the listener allows.
    @raise CommandNotSupported: there is no such command here.
    """
    known = _SOCKS4 if request.version == SOCKS4 else _SOCKS5
    command: Command | None = known.get(request.command)
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


def _client(session: Session) -> tuple[bytes, str]:
    """What tells a client's sessions from others."""
    return session.asker.source.sourceKey, session.asker.user.name


def _loops(session: Session, own: Address, other: Address, port: int) -> bool:
    """
    Whether both ends of a connection have one address, so that it does not leave
    this host, and that is banned. The last net: a route may have changed since
    the policy was asked.
    """
    if own != other:
        return False
    return session.generation.policy.ruleset.never.bansSelf(other, port)


def _strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """The first denial; without one the first allow."""
    every = tuple(verdicts)
    return next((verdict for verdict in every if not verdict.allowed), every[0])


async def _relay(session: Session, outlet: Outlet) -> None:
    """
    The last stage of what ends in a stream.
    """
    session.stage = Stage.RELAY
    client = session.client
    early = client.surplus()
    claim = session.claim
    assert claim is not None
    await session.relayed(
        lambda tally: session.generation.relays.between(
            client,
            outlet.socket,
            early,
            tally,
            session.obligations.idle,
            claim.sending,
            claim.receiving,
        )
    )
