"""
The relay socket of a UDP association (RFC 1928 section 7).

It takes datagrams from the client and from nobody else.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, final

from socksgw.interfaces import SetDeadline, Timer
from socksgw.relay.exit import BATCH, BUFFER, VIEW
from socksgw.relay.filter import admitOnly, dropped
from socksgw.relay.flows import Flows
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import HEADROOM, Reassembly, readDatagram
from socksgw.wire.reader import WireError

__all__ = ["DatagramCarrier"]

#: Octets that the fragments of one association may hold.
_FRAGMENTS: Final = 1 << 16
#: Seconds that fragments may wait for the last one; at least 5 (section 7).
_REASSEMBLY: Final = 6.0
_IPV4: Final = 1
_IPV6: Final = 4


@final
class DatagramCarrier:
    """
    Carry datagrams between the client and its flows, on a relay socket.

    The sender must be the client's address. The port is the one that the client
    named with its address, else that of the first valid datagram.

    @ivar strangers: how many datagrams came from elsewhere.
    """

    __slots__ = (
        "_flows", "_fragments", "_isClients", "_owner", "_port", "_reassemble", "_setDeadline",
        "_socket", "_source", "_text", "_timer", "_watch", "strangers",
    )  # fmt: skip

    def __init__(
        self,
        relay: socket.socket,
        source: Address,
        flows: Flows,
        watch: Watcher,
        setDeadline: SetDeadline,
        reassemble: bool,
        port: int | None = None,
        isClients: Callable[[tuple[str, int]], bool] | None = None,
    ) -> None:
        """
        Begin to take datagrams.

        @param relay: the socket, bound and non-blocking; L{close} closes it.
        @param source: the client's address.
        @param port: the only port that the client sends from, where it said so.
        @param reassemble: whether fragments are put together; else they are dropped.
        @param isClients: tells of the first valid datagram whether a socket there is
            the client's; by default each is.
        """
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
        self.strangers = 0
        admitOnly(relay, source, port)
        flows.carrier = self
        watch.add(relay.fileno(), READ, self._ready)

    @property
    def owned(self) -> bool:
        """Whether it is known which port the client sends from."""
        return self._owner is not None or self._port is not None

    def drain(self) -> None:
        """Take the datagrams that have come."""
        self._ready(READ)

    def _ready(self, events: int) -> None:
        for _ in range(BATCH):
            try:
                length, peer = self._socket.recvfrom_into(BUFFER)
            except OSError:
                # There is no more; or the client's host says that the port is shut.
                return
            if peer[:2] != self._owner and not self._isOwner(peer[:2], length):
                self.strangers += 1
                continue
            self._take(length)

    def _isOwner(self, peer: tuple[str, int], length: int) -> bool:
        """
        Return whether this is the client's first valid datagram.

        From then on its port is the only one.
        """
        # A link-local address has its interface behind it.
        if self._owner is not None or peer[0].partition("%")[0] != self._text:
            return False
        if self._port is not None and peer[1] != self._port:
            return False
        try:
            readDatagram(bytes(VIEW[:length]))
        except WireError:
            return False
        if self._isClients is not None and not self._isClients(peer):
            return False
        self._owner = peer
        admitOnly(self._socket, self._source, peer[1])
        return True

    def _take(self, length: int) -> None:
        """Take a datagram of the client from the buffer."""
        kind = BUFFER[3] if length > 4 else 0
        if kind == _IPV4:
            end = 10
        elif kind == _IPV6:
            end = 22
        else:
            end = 7 + BUFFER[4]
        if length >= end and not (BUFFER[0] or BUFFER[1] or BUFFER[2]):
            flow = self._flows.get(bytes(VIEW[:end]))
            if flow is not None:
                if self._timer is not None:
                    self._abandon()
                flow.send(VIEW[end:length])
                return
        self._takeSlowly(length)

    def _takeSlowly(self, length: int) -> None:
        """Take a fragment, the first datagram of a flow, or an invalid one."""
        octets = bytes(VIEW[:length])
        try:
            datagram = readDatagram(octets)
        except WireError:
            return
        key = b"\0\0\0" + octets[3 : length - len(datagram.payload)]
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

    def deliver(self, header: bytes, length: int) -> None:
        """
        Send a datagram to the client, as L{socksgw.relay.exit.Carrier.deliver}.

        A client that has sent nothing has no flow, and so gets nothing.
        """
        start = HEADROOM - len(header)
        BUFFER[start:HEADROOM] = header
        assert self._owner is not None
        try:
            self._socket.sendto(VIEW[start : HEADROOM + length], self._owner)
        except OSError:
            # The kernel has no room for it: it is lost, as datagrams may be.
            return

    def forget(self, header: bytes) -> None:
        """Do nothing: all flows have one socket."""

    def close(self) -> None:
        """Close the socket."""
        if self._timer is not None:
            self._timer.clear()
        self.strangers += dropped(self._socket)
        self._watch.remove(self._socket.fileno())
        self._socket.close()
