"""
One client between its connection and its session.

Octets of the connection go to the conversation, the conversation's events to the
session, and the session's octets back.
"""

from __future__ import annotations

from contextlib import suppress
from socket import MSG_MORE
from typing import Any, Final, final

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from socksgw.accept.ending import Ending
from socksgw.accept.layers import enter
from socksgw.accept.requests import SURPLUS, Phase
from socksgw.accept.seams import Listening
from socksgw.errors import (
    ClientLost,
    LimitReached,
    ProtocolViolated,
    SocksError,
)
from socksgw.interfaces import Protection, StreamProtection
from socksgw.system.connection import Connection, Receiver
from socksgw.system.coroutines import Awaited
from socksgw.system.owners import programBehind
from socksgw.system.program import Program
from socksgw.system.protected import ProtectedConnection
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.events import Event
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY
from socksgw.wire.proxyheader import Origin
from socksgw.wire.server import ServerConversation, State

__all__ = ["Inbound"]

_DONE: Final = Failure(ConnectionDone())
_OPEN, _, _, _GONE = Phase


def _overfull() -> ProtocolViolated:
    return ProtocolViolated(f"more than {SURPLUS} octets before there is a peer")


@final
class Inbound(Ending):
    """
    One client, what takes the octets of its connection.

    The session is started by the client's first whole message, so one that
    never says anything costs no session.

    @ivar domain: the routing domain by which it came.
    @ivar source: the client's address.
    @ivar port: the client's port.
    @ivar holding: whether the session lasts only while the client holds its side open.
    @ivar identity: what the connection itself has proved of the client
        (L{socksgw.interfaces.IVerifiedIdentity}).
    @ivar gateways: those before this one that it has come through.
    @ivar signer: the one that has signed who it is (L{socksgw.accept.layers.Client}).
    @ivar origin: what a header has told of it (L{socksgw.accept.layers.Client}).
    @ivar ipsec: the mark of IPsec that it came with (L{socksgw.accept.layers.Client}).
    @ivar protection: what every octet goes through, once a login has agreed on it.
    @ivar program: what the kernel says of the program at the other end, as far as it
        has been asked; on a Unix socket it always has.
    """

    __slots__ = (
        "_admitted", "_owned", "_taker", "_waiting", "domain", "gateways", "holding",
        "identity", "ipsec", "origin", "port", "program", "protection", "signer",
        "source",
    )  # fmt: skip

    def __init__(self, listener: Listening, source: Address, port: int) -> None:
        Ending.__init__(self, listener)
        self.domain = listener.domain
        self.source = source
        self.port = port
        self.holding = False
        self.identity: Any = None
        self.gateways: tuple[str, ...] = ()
        self.signer: Any = None
        self.origin: Origin | None = None
        self.ipsec = 0
        self.protection: Protection | None = None
        self.program: Program | None = None
        # Whether the kernel has been asked for that, or must not be.
        self._owned = False
        self._admitted = True
        self._taker: Receiver | None = None
        self._waiting: Awaited[None] | None = None

    # From the connection.

    def makeConnection(self, connection: Connection) -> None:
        """
        Begin: the connection is ready.

        The handshake's deadline counts from here, through all layers.
        """
        self.connection = connection
        listener = self.listener
        # Not as methods: the interpreter finds attributes at once.
        clock, setDeadline = listener.clock, listener.setDeadline
        self.came = clock()
        try:
            self._deadline = setDeadline(listener.handshake, self._expired)
            listener.opened(self)
            if listener.layers:
                enter(listener.layers, connection, self)
            else:
                connection.take(self)
        except Exception:
            # Without a deadline it would stay for ever.
            connection.abortConnection()
            raise

    def adopt(self, connection: Any, came: float, serving: Any) -> None:
        """
        Go on with a client whose request another process has answered.

        @param serving: its session, to be cancelled when it has to end.
        """
        self.connection, self.came, self._serving = connection, came, serving
        self.halfOpen = False
        # The other process has let it in.
        self._admitted = self.listener.admission.census.entered(self.source, True)
        self.listener.opened(self)
        connection.receiver = self

    def comesFrom(self, source: Address, port: int) -> bool:
        """As L{socksgw.accept.layers.Client.comesFrom}."""
        if not self.halfOpen:
            # Another client has its place already.
            return False
        admission = self.listener.admission
        admission.left(self)
        if self.domain.name:
            source = source.among(self.domain.tag)
        self.source, self.port = source, port
        # The program at the other end is a proxy, and not the client.
        self.program, self._owned = None, True
        self._admitted = admission.admit(self)
        if not self._admitted:
            self.halfOpen = False
            self.abort()
        return self._admitted

    def forwarded(self, origin: Origin) -> None:
        """As L{socksgw.accept.layers.Client.forwarded}."""
        self.origin = origin
        # The program at the other end is a proxy, and not the client.
        self.program, self._owned = None, True

    def dataReceived(self, data: bytes | memoryview) -> None:
        """As L{Receiver.dataReceived}."""
        if self._taker is not None:
            self._taker.dataReceived(data)
        elif self._phase is not _OPEN:
            self._discard(len(data))
        elif (lane := self.lane) is not None and lane.listens:
            lane.heard(data)
            self._look()
        elif self._conversation is None and self._serving is None:
            self.early = data
            self._start()
            if self.early:
                # These are good for this call only.
                self.conversation.receive(b"")
            self._look()
        else:
            self.conversation.receive(data)
            if self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                waiting.callback(None)
            elif self._serving is None and not self._full:
                self._start()
            self._look()

    def converse(self, conversation: ServerConversation) -> None:
        """As L{socksgw.accept.layers.Client.converse}."""
        self._conversation = conversation

    def refused(self, failure: SocksError) -> None:
        """
        Have a session record why the client is not let in.

        @param failure: of the layer that does not let it in. What the client sends
            is not read.
        """
        self.ended = True
        self.failure = failure
        self._serving = self.listener.serve(self)

    def violated(self, failure: SocksError) -> None:
        """As L{Receiver.violated}."""
        self.end(failure)

    def readConnectionLost(self) -> None:
        """As L{Receiver.readConnectionLost}."""
        self.ended = True
        if self._taker is not None:
            self._taker.readConnectionLost()
        elif self._phase is not _OPEN:
            self.close()
        elif self._full and self.conversation.held:
            # It has asked for more, and is answered when it takes the answers so far.
            return
        elif (
            self._serving is None
            or self._waiting is not None
            or self.holding
            or (self.lane is not None and self.lane.listens)
        ):
            # Nothing can come of a request that will never be whole.
            self._fail(ClientLost("the client ended its side"))
            self.close()

    def departed(self) -> None:
        """As L{Receiver.departed}."""
        if self.resting:
            self.abort()
        elif self._taker is None:
            # Before there is a peer, it sent more than is held here, and ended its
            # side: no program does that and waits for an answer.
            self._fail(ClientLost("the client went away"))

    def connectionLost(self, reason: Failure = _DONE) -> None:
        """As L{Receiver.connectionLost}."""
        self._phase = _GONE
        if self._deadline is not None:
            self._disarm()
        kept = self.kept
        if kept is not None:
            self.kept = None
            kept.close()
        if self._conversation is not None:
            self._drop()
        if self.halfOpen:
            if self.unasked:
                self.listener.admission.census.checks += 1
            self.requested()
        if self._admitted:
            self.listener.admission.census.left(self.source)
        self.listener.closed(self)
        if self._taker is not None:
            self._taker.connectionLost(reason)
        if self._serving is not None or self._starting:
            self._fail(ClientLost("the client went away"))

    # For the session.

    async def next(self) -> Event:
        """
        Wait for the client's next message.

        @raise socksgw.wire.reader.WireError: it breaks the protocol.
        @raise ClientLost: none will come.
        """
        while (event := self.conversation.next()) is None:
            if self.ended:
                raise self.failure or ClientLost("the client ended its side")
            self._readOn()
            self._waiting = Awaited()
            await self._waiting
        if self._counted:
            self._count()
        return event

    @property
    def first(self) -> bool:
        """
        Whether the client is about to make its first request; no layer told of it.
        """
        if not self.halfOpen or self.ended:
            return False
        if not self.listener.layers:
            return bool(self.connection.secured == CLEAR)
        if self.identity or self.signer or self.origin or self.gateways:
            return False
        secured: str = self.connection.secured
        return secured == CONFIDENTIALITY

    def send(self, octets: bytes) -> None:
        """Send octets, after what was sent before."""
        if self._phase is not _GONE:
            self.connection.write(octets)

    def sendAhead(self, octets: bytes) -> None:
        """
        Send octets ahead of others, which follow soon.

        The kernel sends both in one segment, or these alone after about 200 ms.
        """
        plain = self.connection.plain if self._phase is not _GONE else None
        if plain is not None:
            with suppress(OSError):
                octets = octets[plain.send(octets, MSG_MORE) :]
        if octets:
            self.send(octets)

    def take(self, receiver: Receiver | None) -> None:
        """
        Hand what comes to a receiver from now on, and read.

        @param receiver: L{None} for nobody else any more.
        """
        self._taker = receiver
        if receiver is not None and not self.ended and self._phase is not _GONE:
            self.connection.resumeProducing()

    def protect(self, protection: Protection) -> None:
        """
        Have every octet go through C{protection} from here on.

        @raise socksgw.wire.reader.WireError: what has come already is not as
            it should be.
        @raise ClientLost: the client is gone.
        """
        held = self.surplus()
        if self._phase is _GONE:
            raise ClientLost("the client went away")
        self.connection = ProtectedConnection(self.connection, protection, self)
        self.protection = protection
        # Of what came with the agreement, it may hold something already.
        self.conversation.receive(protection.unwrap(held))

    def requested(self) -> None:
        """Take note that the client made its request: its handshake is over."""
        if self.halfOpen:
            self.halfOpen = False
            self._disarm()
            self.listener.admission.requested(self)
            if self._paused and self.conversation.held <= self._most:
                self._readOn()
        elif self._phase is _OPEN:
            # Another request on the same connection.
            self._disarm()

    def hold(self) -> None:
        """
        End the session as soon as the client ends its side, from here on.

        So that its end is seen, the client may not send more than fits the buffer.

        @raise SocksError: it has ended already, or sent too much.
        """
        self.holding = True
        if self.ended:
            raise ClientLost("the client ended its side")
        if self.conversation.held > SURPLUS:
            raise _overfull()

    def reply(
        self,
        reply: Reply,
        bound: tuple[Address | str, int] | None = None,
        more: bool = False,
    ) -> None:
        """
        Send a reply in the client's protocol.

        @param more: whether another one follows.
        """
        self.send(self.conversation.reply(reply, bound, more))

    def refuse(self, reply: Reply, reason: str, why: str, rule: str = "") -> None:
        """
        Send a refusal in the client's protocol.

        @param reason: a fixed word, as in the record.
        @param why: for the operator.
        @param rule: the id of the rule that denies it.
        """
        self.send(self.conversation.refuse(reply, reason, why, rule))

    def deny(self, reply: Reply, reason: str, why: str) -> None:
        """Tell the client that it is not let in, as L{ServerConversation.deny}."""
        self.send(self.conversation.deny(reply, reason, why))

    @property
    def unasked(self) -> bool:
        """
        Whether this is the connection of a sender of PROXY headers, and nobody's else.

        Where it ends without a request it was a health check, and no client.
        """
        return self.origin is not None and self.origin.own

    def ownedBy(self) -> Program | None:
        """
        Return what the kernel says of the program at the other end.

        For a client on TCP it is asked once, and only of one that has come by a
        loopback address.
        """
        if not self._owned:
            self._owned = True
            plain = self.connection.plain
            # In another network namespace other sockets have the same ends.
            own = self.domain.kind != "netns" and self.source.isLoopback
            if self.port and own and plain is not None:
                self.program = programBehind(plain)
        return self.program

    @property
    def secured(self) -> str:
        """As L{Connection.secured}."""
        secured: str = self.connection.secured
        return secured

    @property
    def securedBeside(self) -> str:
        """
        How datagrams beside the connection are protected, of L{LEVELS}.

        TLS protects the connection alone; GSSAPI protects both.
        """
        protection = self.protection
        if protection is None or isinstance(protection, StreamProtection):
            return CLEAR
        return protection.level

    @property
    def datagrams(self) -> bool:
        """
        Whether the client may have datagrams beside the connection.

        Those of a client on a Unix socket could come from any program here.
        """
        if not self.port:
            return False
        protection = self.protection
        return (
            protection is None
            or not isinstance(protection, StreamProtection)
            or protection.naked
        )

    def abandon(self) -> None:
        """Let go of the client's place: its connection could not be made."""
        if self._phase is not _GONE:
            self.connectionLost()

    def displaced(self) -> None:
        """As L{socksgw.accept.admission.HalfOpen.displaced}."""
        if self.halfOpen:
            # At once: Twisted's transports take another turn to close.
            self.halfOpen = False
            self.listener.admission.requested(self)
        self.end(LimitReached("as many clients as may have not made their request"))

    # Within.

    def _keep(self) -> None:
        """
        Count octets that are not asked for yet; read no more when they are many.
        """
        self._count()
        held = self._counted
        if held <= self._most or self._phase is _GONE:
            return
        if self._waiting is not None:
            # More of a message is awaited, which may have as many as its protocol
            # lets it have; the first one of a stranger only where there is plenty of
            # memory.
            if (
                self.halfOpen
                and self.listener.memory.scarce
                and self.conversation.state is State.START
            ):
                self.end(LimitReached("no memory for a request of that length"))
            return
        self._paused = True
        self.connection.pauseProducing()
        if self.holding and held > SURPLUS:
            self._fail(_overfull())

    def _readOn(self) -> None:
        if self._paused and self._phase is not _GONE:
            self._paused = False
            self.connection.resumeProducing()
