"""
The relay through the process, where one of two connections is not a plain socket.

It is TLS, what a login protects, or a transport of Twisted's. Each connection pauses
the reading of the other while its own buffer is full.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.interfaces import Timer
from socksgw.relay.halves import Half, Input, Output
from socksgw.relay.memory import SCARCE
from socksgw.relay.relay import Done, Relay
from socksgw.relay.seams import Client
from socksgw.relay.settings import RelaySettings
from socksgw.relay.splice import APART, LOOKS
from socksgw.system.connection import Connection
from socksgw.system.sockets import unsent

__all__ = ["CLOSING", "StreamRelay"]

#: Under names of the module, as in L{socksgw.relay.halves}.
_INPUT_DRAINING: Final = Input.DRAINING
_INPUT_ENDED: Final = Input.ENDED
_INPUT_LOST: Final = Input.LOST
_INPUT_OPEN: Final = Input.OPEN
_OUTPUT_DRAINING: Final = Output.DRAINING
_OUTPUT_LOST: Final = Output.LOST

#: Seconds that a destination has, after the relay, to take what is kept for it.
CLOSING: Final = 300.0


class End(Half):
    """
    Receive what comes on one connection, and pass it on to the other.

    It is the L{Receiver<socksgw.system.connection.Receiver>} of its connection, and
    the producer that the other connection pauses.

    @ivar connection: what carries its octets.
    @ivar size: octets that its connection reads at once.
    """

    __slots__ = ("_closing", "_holding", "_rest", "connection", "size")

    relay: StreamRelay

    def __init__(self, relay: StreamRelay, connection: Connection) -> None:
        super().__init__(relay)
        self.connection = connection
        self.size = 0
        # Octets that came and may not move yet: no more than came at once.
        self._rest = b""
        # Octets that count in the memory while this end is paused: as many as the
        # other connection keeps, and those that came too many.
        self._holding = 0
        # The end of its time to close, once the relay is over.
        self._closing: Timer | None = None

    # The connection's calls.

    def dataReceived(self, octets: bytes | memoryview) -> None:
        """Pass on what came, as far as it may move."""
        if self.other.output is _OUTPUT_LOST:
            return
        if self.relay.settings.memory.scarce or self.size < self.relay.most:
            self.relay.resize()
        if self.allowance is not None or self._rest:
            self._keep(self._rest + octets)
            self.paced()
        else:
            self.moved += len(octets)
            self.put(octets)

    def put(self, octets: bytes | memoryview) -> None:
        """Hand octets, which are counted and may move, to the other connection."""
        self.other.connection.write(octets)

    def readConnectionLost(self) -> None:
        """Take note that the peer has ended its side."""
        if self.input is _INPUT_OPEN:
            self.end(held=bool(self._rest))

    def departed(self) -> None:
        """Do nothing: the same is told when what waits has been read."""

    def violated(self, failure: SocksError) -> None:
        """End the connection; of a client's its session hears."""
        self.connection.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """Take note that the connection is gone."""
        self.output = _OUTPUT_LOST
        if self._closing is not None:
            self._closing.clear()
        self._release()
        relay = self.relay
        if self._rest:
            # The session ends now, and so the rest cannot wait.
            allowance, rest = self.allowance, self._rest
            self._keep(b"")
            self._write(rest if allowance is None else allowance.charge(rest))
            if relay.over:
                return
        if self.input is _INPUT_DRAINING or (
            # A connection without half-close (TLS) ends so in order.
            self.input is _INPUT_OPEN and reason.check(ConnectionDone)
        ):
            self.input = _INPUT_ENDED
        elif self.input is _INPUT_OPEN:
            self.input = _INPUT_LOST
        relay.lost(self)

    def endOutput(self) -> None:
        """As L{Half.endOutput}."""
        self.output = _OUTPUT_DRAINING
        connection = self.connection
        connection.unregisterProducer()
        if connection.halfCloses:
            connection.loseWriteConnection()
        else:
            # All that is buffered goes, and then both directions end.
            connection.loseConnection()

    # The other end's connection pauses and resumes our reading.

    def pauseProducing(self) -> None:
        """Read nothing: the other connection keeps as much as it should."""
        if not self._holding:
            self._holding = 2 * self.size
            self.relay.settings.memory.take(self._holding)
        if self.output is not _OUTPUT_LOST:
            self.connection.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Read on: the other connection has sent what it kept.

        That is done where no memory is left, too: a peer that takes everything needs
        none. What is read at once is little then, so that one that stalls holds
        little.
        """
        self._release()
        self.relay.resize()
        self.paced()

    def stopProducing(self) -> None:
        """Hold nothing: the other connection is gone."""
        self._release()

    def _release(self) -> None:
        """Give back the memory of what the other connection keeps."""
        holding, self._holding = self._holding, 0
        if holding:
            self.relay.settings.memory.give(holding)

    # The allowance.

    def paced(self) -> None:
        """
        Pass on what is allowed of what has come, and then read on.
        """
        allowance = self.allowance
        while self._rest and not self._holding:
            rest = self._rest
            room = len(rest)
            if allowance is not None:
                room = allowance.room(room)
                if room == 0:
                    allowance.wait(self.paced)
                    break
                allowance.spend(room)
            # First, since to write may end the relay, or pause this end.
            self._keep(rest[room:])
            self._write(rest[:room])
            if self.output is _OUTPUT_LOST:
                return
        self.readOn()

    def readOn(self) -> None:
        """
        Read, unless something is in the way.
        """
        if self.output is _OUTPUT_LOST:
            return
        if self._rest:
            self.connection.pauseProducing()
        elif self.input is _INPUT_DRAINING:
            self.drained()
        elif self.input is _INPUT_OPEN and not self._holding:
            self.connection.resumeProducing()

    def _write(self, octets: bytes) -> None:
        """Write to the other connection."""
        if octets and self.other.output is not _OUTPUT_LOST:
            self.moved += len(octets)
            self.put(octets)

    def _keep(self, rest: bytes) -> None:
        """Keep what may not move yet, and have the budget count it."""
        memory = self.relay.settings.memory
        before, self._rest = len(self._rest), rest
        if len(rest) > before:
            memory.take(len(rest) - before)
        elif len(rest) < before:
            memory.give(before - len(rest))

    def outlast(self) -> None:
        """
        Bound the time that the connection may outlast the relay.

        Nothing else would end one whose peer takes nothing and stays.
        """
        if self.output is not _OUTPUT_LOST:
            abort = self.connection.abortConnection
            self._closing = self.relay.settings.setDeadline(CLOSING, abort)

    def part(self) -> None:
        """
        Refer to the other end, the relay and the connection no longer.
        """
        self.output = _OUTPUT_LOST
        del self.other, self.relay, self.connection

    def forget(self) -> None:
        """
        Hold nothing, and wait for nothing: the relay is over.
        """
        self._release()
        self._keep(b"")
        if self.allowance is not None:
            self.allowance.forget()


class StreamRelay(Relay):
    """
    Relay between a client and a destination, whatever carries their octets.

    @ivar most: octets that an end reads at once, at most.
    """

    __slots__ = ("_client", "_ended", "_looks", "_tellsByReset", "most")

    client: End
    destination: End

    def __init__(
        self,
        settings: RelaySettings,
        client: Client,
        destination: Connection,
        done: Done | None = None,
    ) -> None:
        """@param done: as of L{Relay}."""
        super().__init__(settings, done)
        self._client = client
        self._ended: tuple[str, bool, bool] | None = None
        self._looks = 0
        self._tellsByReset = False
        self._ends(client.connection, destination)
        self.client.other = self.destination
        self.destination.other = self.client
        self.most = min(client.connection.atOnce, destination.atOnce)

    def _ends(self, client: Connection, destination: Connection) -> None:
        self.client = End(self, client)
        self.destination = End(self, destination)

    def start(self, early: bytes) -> None:
        """As L{Relay.start}."""
        # To take a connection may tell at once that it is lost; whoever hears of the
        # end dissolves this.
        done, self.done = self.done, self
        try:
            self._begin()
            if early:
                self.client.dataReceived(early)
            self._goOn()
        finally:
            self.done = done
        if self._ended is not None:
            done.callback(self._ended)

    def callback(self, result: tuple[str, bool, bool], /) -> None:
        """As L{Done.callback}: keep it until this has started."""
        self._ended = result

    def _begin(self) -> None:
        """Take both connections."""
        self.watchIdle()
        self.resize()
        client, destination = self.client, self.destination
        # First, since what waits to be sent already, or comes now, may pause one.
        destination.connection.take(destination)
        self._client.take(client)
        client.connection.registerProducer(destination, True)
        destination.connection.registerProducer(client, True)
        # What has an end of its own (TLS) lacks it then.
        self._tellsByReset = client.connection.plain is not None

    def _goOn(self) -> None:
        """Read what comes of the client behind what has come."""
        self.client.readOn()
        if self._client.ended:
            self.client.readConnectionLost()

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
                end.size = end.connection.bufferSize = size

    def lost(self, end: End) -> None:
        """Take note that an end's connection is gone."""
        if end.input is _INPUT_ENDED or (
            # A client that has ended its side waits for the rest of the answer.
            end is self.client and end.other.input is _INPUT_ENDED
        ):
            self.finish("closed")
        elif end is self.client and not self._looks:
            self.finish("client-lost")
        else:
            self._cutOff()

    def _cutOff(self) -> None:
        """
        End a relay whose destination's octets are not all there.

        A client on a plain socket shall have those that came, and then learn by a
        reset that they are not all.
        """
        if self.over:
            return
        near = self.client.connection.plain
        if (
            self._tellsByReset
            and self._looks < LOOKS
            and (near is None or unsent(near))
            and self.client.output is not _OUTPUT_LOST
        ):
            self._looks += 1
            self.ignoreIdle()
            self._deadline = self.settings.setDeadline(APART, self._cutOff)
        else:
            self.finish("destination-lost", near is not None)

    def release(self, closing: bool, reset: bool) -> None:
        """As L{Relay.release}."""
        for end in (self.client, self.destination):
            end.forget()
            if end.output is not _OUTPUT_LOST:
                end.connection.unregisterProducer()

    def dissolve(self) -> None:
        """
        Cut references, as L{Relay.dissolve}.

        The destination's end lasts until what is buffered there is sent.
        """
        self.client.part()
        self.destination.outlast()
        del self.destination, self._client
