"""
The relay socket of a UDP association (RFC 1928 section 7): the client's
datagrams, and nobody else's.
"""

from __future__ import annotations

import socket
from typing import Final, final

from socksgw.interfaces import SetDeadline, Timer
from socksgw.relay.filter import admitOnly, dropped
from socksgw.relay.flows import BATCH, BUFFER, VIEW, Flows
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
    The relay socket. The sender must be the client's address; the port is the one
    that the client named with its address, else that of the first datagram.

    @ivar strangers: datagrams from elsewhere.
    """

    __slots__ = (
        "_flows", "_fragments", "_owner", "_port", "_reassemble", "_setDeadline",
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
    ) -> None:
        """
        @param relay: bound, non-blocking; closed by L{close}.
        @param source: the client's address.
        @param port: the only one that the client sends from, where it said so.
        @param reassemble: whether fragments are put together; else they are
            dropped.
        """
        self._socket = relay
        self._source = source
        self._text = socket.inet_ntop(relay.family, source.packed)
        self._port = port
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
        """
        Take what has come.
        """
        self._ready(READ)

    def _ready(self, events: int) -> None:
        for _ in range(BATCH):
            try:
                length, peer = self._socket.recvfrom_into(BUFFER)
            except OSError:
                # Nothing more; or the answer of a client that is gone.
                return
            if peer[:2] != self._owner and not self._isOwner(peer[:2], length):
                self.strangers += 1
                continue
            self._take(length)

    def _isOwner(self, peer: tuple[str, int], length: int) -> bool:
        """
        Whether this is the client's first valid datagram: from then on its
        port is the only one.
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
        self._owner = peer
        admitOnly(self._socket, self._source, peer[1])
        return True

    def _take(self, length: int) -> None:
        """
        A datagram of the client's lies in the buffer.
        """
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
        """
        A fragment, the first datagram of a flow, or nothing valid.
        """
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
        A sequence waits no longer than the reassembly timer allows, from its
        first fragment.
        """
        position = self._fragments.position
        if position <= 1 and self._timer is not None:
            self._timer.clear()
            self._timer = None
        if position == 1:
            self._timer = self._setDeadline(_REASSEMBLY, self._abandon)

    def _abandon(self) -> None:
        """
        The timer expired; or a datagram that stands alone came, whose FRAG
        is lower than any fragment's.
        """
        if self._timer is not None:
            self._timer.clear()
            self._timer = None
        self._fragments.reset()

    def deliver(self, header: bytes, length: int) -> None:
        """
        As L{socksgw.relay.flows.Carrier.deliver}. Nothing goes to a client
        that has sent nothing: there is no flow, then, either.
        """
        start = HEADROOM - len(header)
        BUFFER[start:HEADROOM] = header
        assert self._owner is not None
        try:
            self._socket.sendto(VIEW[start : HEADROOM + length], self._owner)
        except OSError:
            # The client does not take it: lost, as datagrams are.
            return

    def close(self) -> None:
        """
        Let go of the socket.
        """
        if self._timer is not None:
            self._timer.clear()
        self.strangers += dropped(self._socket)
        self._watch.remove(self._socket.fileno())
        self._socket.close()
