"""
The relay through the process, for a client that is not a plain socket: TLS,
or any other transport that a Twisted endpoint gives.

Both ends are Twisted transports, each the other's producer: an end whose
buffer is full pauses the reading of the other.
"""

from __future__ import annotations

import socket
from typing import Any, Final, final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorSocket,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.relay.halves import Half, Input, Output
from socksgw.relay.memory import SCARCE
from socksgw.relay.relay import Relay
from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings

__all__ = ["StreamRelay"]

#: Octets read at once, and as many a transport keeps before it pauses its
#: producer.
_CHUNK: Final = 1 << 16
#: The same for what is to be wrapped: one message then.
_WRAPPED: Final = 60 << 10


@implementer(IHalfCloseableProtocol, IPushProducer)
@final
class End(Half, Protocol):
    """
    One end; as a producer, what the other end's transport pauses.

    @ivar allowance: what bounds this direction; L{None} for nothing.
    @ivar size: octets that its transport reads at once.
    """

    transport: Any
    relay: StreamRelay

    def __init__(self, relay: StreamRelay) -> None:
        super().__init__(relay)
        self.allowance: Allowance | None = None
        self.size = 0
        # What came and may not move yet: no more than what came at once.
        self._rest = b""
        # Octets that count in the memory while we are paused: as many as the
        # other transport keeps, and those that were too many.
        self._holding = 0

    # The transport's calls.

    def connectionMade(self) -> None:
        """Begin: the destination's transport is ready."""
        self.relay.connected()

    def dataReceived(self, octets: bytes) -> None:
        """Pass on what came, as far as it may move."""
        if self.other.output is Output.LOST:
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
        """Take note that the peer has ended its side."""
        if self.input is Input.OPEN:
            self.end(held=bool(self._rest))

    def writeConnectionLost(self) -> None:
        """Take note that our side has ended."""
        if self.output is Output.DRAINING:
            self.output = Output.ENDED

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        """Take note that the connection is gone."""
        self.output = Output.LOST
        if self._rest:
            # It cannot wait: the session ends now.
            allowance, rest = self.allowance, self._rest
            self._write(rest if allowance is None else allowance.charge(rest))
            self._keep(b"")
        if self.input is Input.DRAINING or (
            # In order: how a client ends that has no half-close (TLS).
            self.input is Input.OPEN and reason.check(ConnectionDone)
        ):
            self.input = Input.ENDED
        elif self.input is Input.OPEN:
            self.input = Input.LOST
        self._release()
        self.relay.lost(self)

    def endOutput(self) -> None:
        """As L{Half.endOutput}."""
        self.output = Output.DRAINING
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
        """Read nothing: the other transport keeps as much as it should."""
        if not self._holding:
            self._holding = 2 * self.size
            self.relay.settings.memory.take(self._holding)
        if self.output is not Output.LOST:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Read on: the other transport has sent what it kept. Also where no memory is
        left: a peer that takes everything needs none. What is read at once is
        little then, so that one that stalls holds little.
        """
        self._release()
        self.relay.resize()
        self._pace()

    def stopProducing(self) -> None:
        """Hold nothing: the other connection is gone."""
        self._release()

    def _release(self) -> None:
        holding, self._holding = self._holding, 0
        if holding:
            self.relay.settings.memory.give(holding)

    # The allowance.

    def limit(self, allowance: Allowance | None) -> None:
        """
        Bound this direction by another allowance from now on.
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
        Pass on what is allowed of what has come, and then read on.
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
            # The transport that is written to may have paused us.
            self._keep(rest)
        self.readOn()

    def readOn(self) -> None:
        """
        Read, unless something is in the way.
        """
        if self.output is Output.LOST:
            return
        if self._rest:
            self.transport.pauseProducing()
        elif self.input is Input.DRAINING:
            self.drained()
        elif self.input is Input.OPEN and not self._holding:
            self.transport.resumeProducing()

    def _write(self, octets: bytes) -> None:
        if octets and self.other.output is not Output.LOST:
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
        self.output = Output.LOST
        del self.other, self.relay, self.transport

    def forget(self) -> None:
        """
        Hold nothing, and wait for nothing: the relay is over.
        """
        self._release()
        self._keep(b"")
        if self.allowance is not None:
            self.allowance.forget()


@final
class StreamRelay(Relay):
    """
    Octets between a client's transport and a destination's socket.

    @ivar most: octets that an end reads at once.
    """

    client: End
    destination: End

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
        super().__init__(settings)
        self.client = End(self)
        self.destination = End(self)
        self.client.other = self.destination
        self.destination.other = self.client
        self.client.transport = transport
        self._socket = destination
        self.most = _WRAPPED if wrapped else _CHUNK
        self._early = b""

    def start(self, early: bytes) -> None:
        """As L{Relay.start}."""
        self._early = early
        self.watchIdle()
        factory: Any = Factory.forProtocol(lambda: self.destination)
        factory.noisy = False
        reactor: IReactorSocket = self.settings.reactor
        reactor.adoptStreamConnection(
            self._socket.fileno(), self._socket.family, factory
        )

    def connected(self) -> None:
        """Begin to move octets: the destination's transport is ready."""
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

    def lost(self, end: End) -> None:
        """Take note that an end's connection is gone."""
        if end.input is Input.ENDED or end.other.input is Input.ENDED:
            self.finish("closed")
        else:
            self.finish("client-lost" if end is self.client else "destination-lost")

    def release(self, closing: bool, reset: bool) -> None:
        """As L{Relay.release}; the destination is closed here."""
        for end in (self.client, self.destination):
            end.forget()
            if end.output is not Output.LOST and end.transport is not None:
                end.transport.unregisterProducer()
        destination = self.destination
        if destination.transport is not None and destination.output is not Output.LOST:
            if reset:
                destination.transport.abortConnection()
            else:
                destination.transport.loseConnection()

    def dissolve(self) -> None:
        """
        As L{Relay.dissolve}. The destination's end lasts until what is buffered
        there is sent.
        """
        self.client.part()
        del self.destination
