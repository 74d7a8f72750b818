"""
The relay through the process, for a client that is not a plain socket: TLS,
or any other transport that a Twisted endpoint gives.

Both ends are Twisted transports, each the other's producer: an end whose
buffer is full pauses the reading of the other.
"""

from __future__ import annotations

import socket
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorSocket,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.interfaces import Timer
from socksgw.relay.memory import SCARCE
from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings

__all__ = ["StreamRelay"]

#: Octets read at once, and as many a transport keeps before it pauses who writes
#: to it.
_CHUNK: Final = 1 << 16
#: The same for what is to be wrapped: one message then.
_WRAPPED: Final = 60 << 10


@implementer(IHalfCloseableProtocol, IPushProducer)
class _End(Protocol):
    """
    One end; as a producer, what the other end's transport pauses.

    @ivar allowance: what bounds this direction; L{None} for nothing.
    @ivar moved: octets handed to the other end.
    @ivar ended: nothing more will come from here.
    @ivar size: octets that its transport reads at once.
    """

    other: _End
    transport: Any
    ended = False
    lost = False
    size = 0
    #: Octets that count in the memory while we are paused: as many as the other
    #: transport keeps, and those that were too many.
    _holding = 0
    allowance: Allowance | None = None
    #: What came and may not move yet: no more than what came at once.
    _rest = b""
    _ending = False

    def __init__(self, relay: StreamRelay) -> None:
        self.relay = relay
        self.moved = 0

    # The transport's calls.

    def connectionMade(self) -> None:
        self.relay.connected()

    def dataReceived(self, octets: bytes) -> None:
        if self.other.lost:
            return
        if self.relay.settings.memory.scarce or self.size < self.relay.most:
            self.relay.resize()
        if self.allowance is not None or self._rest:
            self._keep(self._rest + octets)
            self._pace()
            return
        self.moved += len(octets)
        self.other.transport.write(octets)

    def readConnectionLost(self) -> None:
        if self._rest:
            self._ending = True
        elif not self.ended:
            self.ended = True
            relay = self.relay
            self.other.endWriting()
            relay.settle(self)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        self.lost = True
        if self._rest:
            # It cannot wait: who waits for the session learns of this now.
            allowance, rest = self.allowance, self._rest
            self._write(rest if allowance is None else allowance.charge(rest))
            self._keep(b"")
        if self._ending or reason.check(ConnectionDone):
            # In order: how a client ends that has no half-close (TLS).
            self.ended = True
        self._release()
        self.relay.lost(self)

    def endWriting(self) -> None:
        """
        The other end has sent all it had.
        """
        if self.lost:
            return
        self.transport.unregisterProducer()
        # Asked of the class: TLS hands an instance's unknown names on to the
        # connection below it.
        if hasattr(type(self.transport), "loseWriteConnection"):
            self.transport.loseWriteConnection()
        else:
            # No half-close here (TLS): all that is buffered goes, then both.
            self.transport.loseConnection()

    # The other end's transport pauses and resumes our reading.

    def pauseProducing(self) -> None:
        if not self._holding:
            self._holding = 2 * self.size
            self.relay.settings.memory.take(self._holding)
        if not self.lost:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        # Also where no memory is left: who takes all there is needs none. What
        # is read at once is little then, so that one who stalls holds little.
        self._release()
        self.relay.resize()
        self._pace()

    def stopProducing(self) -> None:
        self._release()

    def _release(self) -> None:
        holding, self._holding = self._holding, 0
        if holding:
            self.relay.settings.memory.give(holding)

    # The allowance.

    def limit(self, allowance: Allowance | None) -> None:
        """
        From now on this direction is bounded by that.
        """
        was, self.allowance = self.allowance, allowance
        if was is not None and was.forget() is not None:
            self._pace()

    @property
    def delayed(self) -> bool:
        """Whether its rate keeps back what there is to move."""
        return self.allowance is not None and self.allowance.delaying

    def _pace(self) -> None:
        """
        Hand on what is allowed of what has come, and then read on.
        """
        rest, allowance = self._rest, self.allowance
        while rest and not self._holding:
            room = len(rest)
            if allowance is not None:
                room = allowance.room(room)
                if room == 0:
                    allowance.wait(self._pace)
                    break
                allowance.spend(room)
            self._write(rest[:room])
            rest = rest[room:]
            # Whoever is written to may have paused us.
            self._keep(rest)
        self.readOn()

    def readOn(self) -> None:
        """
        Read, unless something is in the way.
        """
        if self.lost:
            return
        if self._rest:
            self.transport.pauseProducing()
        elif self._ending:
            self._ending = False
            self.readConnectionLost()
        elif not self.ended and not self._holding:
            self.transport.resumeProducing()

    def _write(self, octets: bytes) -> None:
        if octets and not self.other.lost:
            self.moved += len(octets)
            self.other.transport.write(octets)

    def _keep(self, rest: bytes) -> None:
        memory = self.relay.settings.memory
        before, self._rest = len(self._rest), rest
        if len(rest) > before:
            memory.take(len(rest) - before)
        elif len(rest) < before:
            memory.give(before - len(rest))

    def part(self) -> None:
        """
        Refer to the other end, the relay and the transport no longer.
        """
        self.lost = True
        del self.other, self.relay, self.transport

    def forget(self) -> None:
        """
        The relay is over.
        """
        self._release()
        self._keep(b"")
        if self.allowance is not None:
            self.allowance.forget()


@final
class StreamRelay:
    """
    Octets between a client's transport and a destination's socket.

    @ivar most: octets that an end reads at once.
    @ivar done: fires with the reason, a fixed word, and with whether the
        client and the destination are to be closed with a reset.
    """

    def __init__(
        self,
        settings: RelaySettings,
        transport: Any,
        destination: socket.socket,
        wrapped: bool = False,
    ) -> None:
        """
        @param transport: the client's; its protocol hands L{client} what
            comes from now on.
        @param wrapped: whether what goes to the client is made longer by a
            protection.
        """
        self.settings = settings
        self.client = _End(self)
        self.destination = _End(self)
        self.client.other = self.destination
        self.destination.other = self.client
        self.client.transport = transport
        self._socket = destination
        self.most = _WRAPPED if wrapped else _CHUNK
        self.done: Deferred[tuple[str, bool, bool]] = Deferred(lambda _: self._cancel())
        self._early = b""
        self._deadline: Timer | None = None
        self._last = -1
        self._quiet = 0
        self._over = False

    def start(self, early: bytes) -> None:
        """
        @param early: octets that came behind the request; they go first.
        """
        self._early = early
        self._deadline = self.settings.setDeadline(self.settings.idle / 4, self._idle)
        factory: Any = Factory.forProtocol(lambda: self.destination)
        factory.noisy = False
        reactor: IReactorSocket = self.settings.reactor
        reactor.adoptStreamConnection(
            self._socket.fileno(), self._socket.family, factory
        )

    def connected(self) -> None:
        """The destination's transport is ready."""
        self.resize()
        self.client.transport.registerProducer(self.destination, True)
        self.destination.transport.registerProducer(self.client, True)
        if self._early:
            self.client.dataReceived(self._early)
            self._early = b""
        self.client.readOn()

    def resize(self) -> None:
        """
        Read as much at once as there is memory for, should it not be taken.
        """
        memory = self.settings.memory
        size = self.most
        if memory.scarce:
            size = min(size, max(SCARCE, memory.room()))
        for end in (self.client, self.destination):
            if size != end.size:
                end.size = end.transport.bufferSize = size

    def limit(self, sending: Allowance | None, receiving: Allowance | None) -> None:
        """
        Bound what moves from now on, from the client and to it.
        """
        self.client.limit(sending)
        self.destination.limit(receiving)

    def settle(self, end: _End) -> None:
        """An end has sent all it had."""
        if not self._over and end.other.ended:
            self._finish("closed")

    def lost(self, end: _End) -> None:
        """An end's connection is gone."""
        if self._over:
            return
        if end.ended or end.other.ended:
            self._finish("closed")
            return
        end.ended = True
        self._finish("client-lost" if end is self.client else "destination-lost")

    def _idle(self) -> None:
        moved = self.client.moved + self.destination.moved
        quiet = moved == self._last and not (
            self.client.delayed or self.destination.delayed
        )
        self._quiet = self._quiet + 1 if quiet else 0
        self._last = moved
        if self._quiet >= 4:
            self._finish("idle", True)
        else:
            self._deadline = self.settings.setDeadline(
                self.settings.idle / 4, self._idle
            )

    def _finish(self, reason: str, reset: bool = False) -> None:
        if not self._over:
            # Closing the one end may tell at once that it is lost.
            self._over = True
            self._release(reset)
            self.done.callback((reason, reset, reset))

    def _cancel(self) -> None:
        self._over = True
        self._release()

    def dissolve(self) -> None:
        """
        It is over, and its figures are read: what refers to each other lets
        go. The destination's end lasts until what is buffered there is sent.
        """
        self.client.part()
        del self.destination

    def _release(self, reset: bool = False) -> None:
        if self._deadline is not None:
            self._deadline.clear()
        for end in (self.client, self.destination):
            end.forget()
            if not end.lost and end.transport is not None:
                end.transport.unregisterProducer()
        if self.destination.transport is not None and not self.destination.lost:
            if reset:
                self.destination.transport.abortConnection()
            else:
                self.destination.transport.loseConnection()
