"""
Multicast groups through a SOCKS 5 proxy, for a C{DatagramProtocol}.

The proxy speaks Enhanced UDP Mode (draft-ietf-aft-mcast-fw-traversal-01).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from socksgw.client.carrier import TransportLink
from socksgw.client.endpoint import TIMEOUT, socksProxy
from socksgw.client.errors import (
    NotAllowed,
    ProtocolBroken,
    ProxyClosed,
    ProxyRefused,
    refusal,
)
from socksgw.client.logins.login import Login
from socksgw.client.proxy import Accepted
from socksgw.client.reach import asked, within
from socksgw.system.dropping import Dropping
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.codes import SOCKS5, Command
from socksgw.wire.multicast import (
    HEADER,
    NOWHERE,
    Answer,
    Asked,
    Carried,
    Flags,
    Outcome,
    UDPCommand,
    encodeAsked,
    encodeCarried,
    encodeHeader,
    readAnswer,
    readHeader,
)
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["Group", "Groups", "groups"]

#: The longest datagram that is read: any.
_LONGEST: Final = 1 << 16
#: What the replies say that only this mode has (section 4.2 of the draft).
_WHY: Final[Mapping[int, str]] = {
    Outcome.BAD_ASSOCIATION: "there is no such association",
    Outcome.NO_RECEIVING: "to receive from the group",
    Outcome.NO_SENDING: "to send to the group",
    Outcome.BAD_CONTEXT: "not with such an association",
    Outcome.BAD_GROUP: "that is no multicast group",
    Outcome.BAD_TTL: "so high a TTL",
}
_DENIED: Final = frozenset((Outcome.NO_RECEIVING, Outcome.NO_SENDING, Outcome.BAD_TTL))
_BOTH: Final = Flags.RECEIVE | Flags.SEND


@final
class Group:
    """
    One group that a program receives, or sends to: the transport of its protocol.

    @ivar group: the address of the group.
    @ivar port: the port.
    """

    def __init__(self, groups: Groups, protocol: Any, group: str, port: int) -> None:
        self._groups = groups
        self._protocol = protocol
        self._aid = 0
        self.group = group
        self.port = port

    def write(self, datagram: bytes, addr: object = None) -> None:
        """
        Send a datagram to the group, where it was joined with a TTL.

        @param addr: for the sake of C{IUDPTransport}: the group is the only address.
        """
        self._groups._send(self._aid, datagram)

    def setTTL(self, ttl: int) -> Deferred[Any]:
        """
        Have what is sent have another TTL, or hop limit.

        @return: fires once the proxy has done so; fails with a C{ProxyRefused}.
        """
        asking = Asked(UDPCommand.SET_TTL, 0, ttl, 0, self._aid)
        return self._groups._ask(asking)

    def stopListening(self) -> Deferred[Any]:
        """
        Leave the group.

        @return: fires once the proxy has left it.
        """
        self._groups._forget(self._aid)
        return self._groups._ask(Asked(UDPCommand.RELEASE, _BOTH, 0, 0, self._aid))


@final
class Groups(Dropping):
    """
    A program's groups, which live as long as its connection to the proxy.

    Where datagrams go inside that, they are dropped while the proxy does not read.

    @ivar ended: fires when that has ended, with why; C{stopProtocol} of each protocol
        was called.
    """

    def __init__(
        self, protection: Protection | None, inside: bool, far: Address | None
    ) -> None:
        """
        Begin without a group.

        @param inside: whether datagrams go inside the connection.
        @param far: the proxy's address, where it tells none for datagrams.
        """
        naked = isinstance(protection, StreamProtection)
        self._protection = None if naked else protection
        self._inside = inside
        self._far = far
        self._control: Any = None
        self._port: Any = None
        self._local: tuple[Address, int] = (UNSPECIFIED4, 0)
        self._relay: tuple[str, int] | None = None
        self._buffer = b""
        self._last = 0
        self._asked: dict[int, Deferred[Answer]] = {}
        self._groups: dict[int, Group] = {}
        self.ended: Deferred[BaseException | None] = Deferred()

    def _begin(self, reactor: Any, control: Any, near: str) -> None:
        self._control = control
        if self._inside:
            control.transport.registerProducer(self, True)
            return
        self._port = reactor.listenUDP(0, _Face(self), near, maxPacketSize=_LONGEST)
        host = self._port.getHost()
        self._local = Address.parse(host.host.partition("%")[0]), host.port

    def join(
        self,
        protocol: Any,
        group: str,
        port: int,
        *,
        receive: bool = True,
        ttl: int | None = None,
        sources: Sequence[str] = (),
    ) -> Deferred[Group]:
        """
        Join a group.

        The protocol hears C{datagramReceived(octets, (group, port))}: the proxy does
        not tell the sender.

        @param protocol: a C{DatagramProtocol}; its transport is the L{Group}.
        @param receive: whether it receives.
        @param ttl: of what it sends, 1 to 255; L{None} where it does not send.
        @param sources: the only senders that are wanted; empty for all.
        @return: fires with the L{Group}; fails with a
            L{ProxyError<socksgw.client.errors.ProxyError>}.
        @raise ValueError: it is no address, or nothing is wanted.
        """
        if not receive and ttl is None:
            raise ValueError("join() is to receive, or to send with a ttl")
        remote = Address.parse(group), port
        flags = Flags.MULTICAST | Flags.MU_MODE
        flags |= Flags.RECEIVE if receive else Flags(0)
        flags |= Flags.SEND if ttl is not None else Flags(0)
        flags |= Flags.ENCAPSULATED if self._inside else Flags(0)
        flags |= Flags.SOURCES if sources else Flags(0)
        local = NOWHERE if self._inside else self._local
        wanted = tuple(map(Address.parse, sources))
        asking = Asked(UDPCommand.BIND, flags, ttl or 0, 0, 0, local, remote, wanted)
        made = Group(self, protocol, group, port)

        def joined(answer: Answer) -> Group:
            if sources and not answer.flags & Flags.SOURCES:
                self._ask(Asked(UDPCommand.RELEASE, _BOTH, 0, 0, answer.aid))
                raise ProtocolBroken("the proxy cannot choose senders")
            self._tell(answer)
            made._aid = answer.aid
            self._groups[answer.aid] = made
            protocol.makeConnection(made)
            return made

        return self._ask(asking).addCallback(joined)

    def _tell(self, answer: Answer) -> None:
        """Take where datagrams go, and tell the proxy where ours come from."""
        if self._inside:
            return
        host, port = answer.local
        if not isinstance(host, Address) or not port:
            raise ProtocolBroken("the proxy tells no address for datagrams")
        if host.isUnspecified and self._far is not None:
            host = self._far
        self._relay = host.text, port
        # Behind an address translation it knows our port by that.
        self._send(answer.aid, b"")

    def close(self) -> Deferred[BaseException | None]:
        """
        Leave all groups.

        @return: L{ended}.
        """
        if self._control is not None:
            if self._inside:
                # TLS ends no connection before its producer has gone.
                self._control.transport.unregisterProducer()
            self._control.transport.loseConnection()
        return self.ended

    # What goes.

    def _ask(self, asking: Asked) -> Deferred[Any]:
        answered: Deferred[Answer] = Deferred()
        if self._control is None:
            answered.errback(ProxyClosed("the connection to the proxy has ended"))
            return answered
        self._last = (self._last + 1) & 0xFFFF
        self._asked[self._last] = answered
        self._control.transport.write(encodeAsked(asking._replace(tid=self._last)))
        return answered

    def _send(self, aid: int, payload: bytes) -> None:
        if self._control is None:
            return
        if self._inside:
            if not self.full:
                self._control.transport.write(encodeCarried(aid, payload))
        elif self._relay is not None:
            octets = encodeHeader(aid) + payload
            if self._protection is not None:
                octets = self._protection.wrapDatagram(octets)
            self._port.write(octets, self._relay)

    def _forget(self, aid: int) -> None:
        group = self._groups.pop(aid, None)
        if group is not None:
            group._protocol.doStop()

    # What comes.

    def _received(self, octets: bytes) -> None:
        self._buffer += octets
        reader = Reader(self._buffer)
        at = 0
        try:
            while at < len(self._buffer):
                message = readAnswer(reader)
                at = reader.position
                if isinstance(message, Carried):
                    self._deliver(message.aid, message.payload)
                else:
                    self._answered(message)
        except NeedMoreData:
            pass
        except WireError:
            self._control.transport.abortConnection()
        self._buffer = self._buffer[at:]

    def _answered(self, answer: Answer) -> None:
        waiting = self._asked.pop(answer.tid, None)
        if waiting is None:
            raise WireError("the proxy answers what was not asked")
        if answer.reply:
            waiting.errback(_refusal(answer.reply))
        else:
            waiting.callback(answer)

    def _came(self, octets: bytes, sender: tuple[str, int]) -> None:
        if (sender[0].partition("%")[0], sender[1]) != self._relay:
            return
        if self._protection is not None:
            try:
                octets = self._protection.unwrapDatagram(octets)
            except WireError:
                return
        aid = readHeader(octets)
        if aid is not None:
            self._deliver(aid, octets[HEADER:])

    def _deliver(self, aid: int, payload: bytes) -> None:
        group = self._groups.get(aid)
        if group is not None:
            group._protocol.datagramReceived(payload, (group.group, group.port))

    def _end(self, reason: Any) -> None:
        port, self._port, self._control = self._port, None, None
        if port is not None:
            port.stopListening()
        for aid in list(self._groups):
            self._forget(aid)
        waiting, self._asked = self._asked, {}
        for each in waiting.values():
            each.errback(ProxyClosed("the proxy has ended the connection"))
        self.ended.callback(reason.value)


def _refusal(reply: int) -> ProxyRefused:
    """Return what a reply on the control channel means that is not success."""
    why = _WHY.get(reply)
    if why is None:
        return refusal(SOCKS5, reply)
    return (NotAllowed if reply in _DENIED else ProxyRefused)(reply, why)


class _Face(DatagramProtocol):
    """The socket's side of the groups."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Hand a datagram on."""
        self._groups._came(datagram, addr)


class _Control(Protocol):
    """The control channel."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups

    def dataReceived(self, data: bytes) -> None:
        """Hand octets on."""
        self.groups._received(data)

    def connectionLost(self, reason: Any = None) -> None:
        """End the groups."""
        self.groups._end(reason)


def groups(
    reactor: Any,
    proxyEndpoint: Any,
    *,
    inside: bool = False,
    login: Login | Iterable[Login] | None = None,
    timeout: float | None = TIMEOUT,
) -> Deferred[Groups]:
    """
    Have a SOCKS 5 proxy join multicast groups for a program.

    @param inside: whether datagrams go inside the connection to the proxy; otherwise
        they go beside it, by UDP.
    @param login: as of L{SocksClientEndpoint<socksgw.client.SocksClientEndpoint>}, as
        C{timeout}.
    @return: fires with the L{Groups}, of which there are none yet.
    """
    proxy = socksProxy(SOCKS5, login, b"")

    async def ask(proxy: Any, link: TransportLink) -> Accepted:
        found: Accepted = await proxy.associate(link, command=Command.ENHANCED_UDP_MODE)
        return found

    def done(found: tuple[TransportLink, Accepted], told: Deferred[Any]) -> None:
        link, accepted = found
        try:
            made = _open(reactor, link, accepted, inside)
        except BaseException:
            link.abandon()
            raise
        told.callback(made)
        link.deliver()

    return within(reactor, timeout, asked(proxyEndpoint, Factory(), proxy, ask), done)


def _open(
    reactor: Any, link: TransportLink, accepted: Accepted, inside: bool
) -> Groups:
    """Hand the connection over to the groups."""
    near = getattr(link.transport.getHost(), "host", "")
    far = getattr(link.transport.getPeer(), "host", "")
    address = Address.parse(far.partition("%")[0]) if far else None
    made = Groups(accepted.protection, inside, address)
    control = _Control(made)
    factory: Any = Factory.forProtocol(lambda: control)
    link.handOver(factory, accepted.protection)
    made._begin(reactor, control, near)
    return made
