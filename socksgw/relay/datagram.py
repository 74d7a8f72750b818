"""
The relay socket of a UDP association (RFC 1928 section 7).

It takes datagrams from the client and from nobody else.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from os import readv
from typing import Final, final

from twisted.python.failure import Failure

from socksgw.interfaces import SetDeadline, Timer
from socksgw.relay.control import Control
from socksgw.relay.flow import Flow
from socksgw.relay.flows import Flows
from socksgw.relay.placed import ASKED, LAST, MORE, askedOf
from socksgw.relay.segments import BATCH, LONGEST, sendRun
from socksgw.system.filter import admitOnly, dropped
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import Reassembly, readDatagram
from socksgw.wire.reader import WireError

__all__ = ["DatagramCarrier"]

#: Octets that the fragments of one association may hold.
_FRAGMENTS: Final = 1 << 16
#: Seconds that fragments may wait for the last one; at least 5 (section 7).
_REASSEMBLY: Final = 6.0
#: Seconds that a client may take for its first datagram, where it has not said
#: which port it sends from: until then any program on its host may send it.
_FIRST: Final = 60.0
_IPV4: Final = 1
_IPV6: Final = 4
_VIEW: Final = memoryview(ASKED)
#: What any datagram is read to.
_WHOLE: Final = (_VIEW,)


@final
class DatagramCarrier(Control):
    """
    Carry datagrams between the client and its flows, on a relay socket.

    It receives what comes on the control connection, too.

    The sender must be the client's address. The port is the one that the client
    named with its address, else that of the first valid datagram.

    @ivar strangers: how many datagrams came from elsewhere.
    """

    __slots__ = (
        "_filtered", "_first", "_flows", "_fragments", "_isClients", "_longest", "_mark", "_owner", "_port",
        "_reassemble", "_setDeadline", "_sifted", "_socket", "_source", "_text", "_timer", "_watch", "strangers",
    )  # fmt: skip

    def __init__(
        self,
        relay: socket.socket,
        source: Address,
        flows: Flows,
        watch: Watcher,
        setDeadline: SetDeadline,
        reassemble: bool,
        end: Callable[[str], None],
        port: int | None = None,
        isClients: Callable[[tuple[str, int]], bool] | None = None,
        mark: int = 0,
    ) -> None:
        """
        Begin to take datagrams.

        @param relay: the socket, bound and non-blocking; L{close} closes it.
        @param source: the client's address.
        @param reassemble: whether fragments are put together; else they are dropped.
        @param end: as of L{Control}.
        @param port: the only port that the client sends from, where it said so.
        @param isClients: tells of the first valid datagram whether a socket there is
            the client's; by default each is.
        @param mark: the mark that its datagrams have to have
            (L{socksgw.system.bpf.admitMarked}, which the socket has let only these
            through by so far); 0: any or none.
        """
        super().__init__(end)
        self._socket = relay
        self._source = source
        self._text = socket.inet_ntop(relay.family, source.packed)
        self._port = port
        self._isClients = isClients
        self._owner: tuple[str, int] | None = None
        self._flows = flows
        self._watch = watch
        self._setDeadline = setDeadline
        self._reassemble = reassemble
        self._fragments = Reassembly(_FRAGMENTS)
        self._timer: Timer | None = None
        #: Until the client's port is known.
        self._first = None if port else setDeadline(_FIRST, self._unclaimed)
        # Each datagram is wrapped by itself where they are protected.
        self._longest = LONGEST if isinstance(relay, socket.socket) else 0
        #: Whether the kernel lets only the owner's datagrams through, and whether all
        #: that came before have been read, so that none has to be looked at.
        self._filtered = self._sifted = False
        self.strangers = 0
        self._mark = mark
        admitOnly(relay, source, port, mark)
        flows.carrier = self
        watch.add(relay.fileno(), READ, self._ready)

    def _unclaimed(self) -> None:
        """End: the client has sent nothing."""
        self._end("idle")

    def readConnectionLost(self) -> None:
        """
        As L{Control.readConnectionLost}.

        A client that sends one datagram and goes (an SNMP trap) was there when it
        sent it.
        """
        self._ready(READ)
        super().readConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """As L{readConnectionLost}."""
        self._ready(READ)
        super().connectionLost(reason)

    def _ready(self, events: int) -> None:
        if self._sifted:
            self._readRuns()
        else:
            self._readEach()

    def _readEach(self) -> None:
        """Take datagrams of which any may be somebody else's."""
        receive = self._socket.recvfrom_into
        for _ in range(BATCH):
            try:
                length, peer = receive(_VIEW)
            except BlockingIOError:
                self._sifted = self._filtered
                return
            except OSError:
                # The client's host says that the port is shut.
                return
            if peer != self._owner and not self._isFrom(peer[:2], length):
                self.strangers += 1
                continue
            flow = self._flowOf(length)
            if flow is None:
                self._takeSlowly(bytes(_VIEW[:length]))
            else:
                flow.send(_VIEW[len(flow.key) : length])

    def _readRuns(self) -> None:
        """Take datagrams of the owner, the only ones that the kernel lets through."""
        fd = self._socket.fileno()
        left = BATCH
        length = MORE
        while left > 0:
            left -= 1
            if length == MORE:
                try:
                    length = readv(fd, _WHOLE)
                except OSError:
                    # As in L{_readEach}.
                    return
            flow = self._flowOf(length)
            if flow is None:
                self._takeSlowly(bytes(_VIEW[:length]))
                length = MORE
                continue
            key = flow.key
            head = len(key)
            if length == head:
                # An empty payload is no part of a run: the kernel would not see it.
                flow.send(b"")
                length = MORE
                continue
            size = length - head
            places = askedOf(head, length)
            count, came = places.fill(fd, key)
            left -= count
            end = length + count * size
            shorter = head < came < length and places.header == key
            if shorter:
                # Nothing comes behind it.
                flow.sendRun(_VIEW[head : end + came - head], size)
                length = MORE
                continue
            flow.sendRun(_VIEW[head:end], size)
            if came == LAST:
                return
            length = came
            if came >= 0:
                # The first of another run.
                aside = bytes(places.header[:came])
                ASKED[:came] = aside + _VIEW[end : end + came - len(aside)]

    def _isFrom(self, peer: tuple[str, int], length: int) -> bool:
        """
        Return whether the datagram in the buffer is the client's.

        Its first valid one tells the port, which is the only one from then on.
        """
        if self._owner is not None:
            return peer == self._owner
        # A link-local address has its interface behind it.
        if peer[0].partition("%")[0] != self._text:
            return False
        if self._port is not None and peer[1] != self._port:
            return False
        try:
            readDatagram(bytes(_VIEW[:length]))
        except WireError:
            return False
        if self._isClients is not None and not self._isClients(peer):
            return False
        self._owner = peer
        if self._first is not None:
            self._first.clear()
            self._first = None
        admitted = admitOnly(self._socket, self._source, peer[1], self._mark)
        self._filtered = admitted and self._longest > 0
        return True

    def _flowOf(self, length: int) -> Flow | None:
        """
        Return the flow that the datagram in the buffer is of.

        @return: L{None} for a fragment, the first one of a flow, and an invalid one.
        """
        kind = ASKED[3] if length > 4 else 0
        if kind == _IPV4:
            head = 10
        elif kind == _IPV6:
            head = 22
        else:
            head = 7 + ASKED[4]
        if length < head:
            return None
        flow = self._flows.get(bytes(_VIEW[:head]))
        if flow is not None and self._timer is not None:
            self._abandon()
        return flow

    def _takeSlowly(self, octets: bytes) -> None:
        """Take a fragment, the first datagram of a flow, or an invalid one."""
        try:
            datagram = readDatagram(octets)
        except WireError:
            return
        key = b"\0\0\0" + octets[3 : len(octets) - len(datagram.payload)]
        if datagram.fragment:
            if not self._reassemble:
                return
            whole = self._fragments.add(datagram)
            self._time()
            if whole is None:
                return
            datagram = whole
        elif self._timer is not None:
            self._abandon()
        flow = self._flows.get(key)
        if flow is not None:
            flow.send(datagram.payload)
        else:
            self._flows.begin(key, datagram)

    def _time(self) -> None:
        """
        Have fragments wait no longer than the reassembly timer allows.

        It runs from the first fragment of a sequence.
        """
        position = self._fragments.position
        if position <= 1 and self._timer is not None:
            self._timer.clear()
            self._timer = None
        if position == 1:
            self._timer = self._setDeadline(_REASSEMBLY, self._abandon)

    def _abandon(self) -> None:
        """
        Drop the fragments of a sequence.

        The timer expired, or a datagram came that stands alone: its FRAG is lower
        than that of any fragment.
        """
        if self._timer is not None:
            self._timer.clear()
            self._timer = None
        self._fragments.reset()

    def deliver(self, header: bytes, octets: memoryview, size: int) -> None:
        """
        Send datagrams to the client, as L{socksgw.relay.exit.Carrier.deliver}.

        A client that has sent nothing has no flow, and so gets nothing.
        """
        owner = self._owner
        assert owner is not None
        length = len(octets)
        try:
            if length <= size:
                self._socket.sendto(octets, owner)
                return
            if size <= self._longest:
                if sendRun(self._socket, (octets,), size, owner):
                    return
                self._longest = size - 1
        except OSError:
            # The kernel has no room for them: lost, as datagrams may be.
            return
        for at in range(0, length, size):
            with suppress(OSError):
                self._socket.sendto(octets[at : at + size], owner)

    def forget(self, header: bytes) -> None:
        """Do nothing: all flows have one socket."""

    def close(self) -> None:
        """Close the socket."""
        for timer in (self._timer, self._first):
            if timer is not None:
                timer.clear()
        self.strangers += dropped(self._socket)
        self._watch.remove(self._socket.fileno())
        self._socket.close()
