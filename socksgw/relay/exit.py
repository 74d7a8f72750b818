"""
One way out of a UDP association, and whose answers count for which of its flows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable
from typing import Final, Protocol, final

from socksgw.relay.flow import Flow, Permit
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import HEADROOM, encodeHeader

__all__ = ["BATCH", "BUFFER", "VIEW", "Carrier", "Exit", "OwnExit", "Owner"]

#: The most datagrams that are taken from one socket before others have a turn.
BATCH: Final = 64
#: The buffer that every datagram is read into. Payloads from destinations begin at
#: HEADROOM, so that a header fits before them.
BUFFER: Final = bytearray(HEADROOM + 65536)
VIEW: Final = memoryview(BUFFER)
_PAYLOAD: Final = VIEW[HEADROOM:]
#: The most headers that are kept for sources that no flow names (where
#: C{replies} is not C{exact}).
_HEADERS: Final = 256


class Carrier(Protocol):
    """
    What takes datagrams to the client.
    """

    def deliver(self, header: bytes, length: int) -> None:
        """
        Send a datagram whose payload lies in L{VIEW} from HEADROOM on.

        @param header: of a datagram as RFC 1928 section 7 has it, with the
            source.
        @param length: the octets of the payload.
        """

    def forget(self, header: bytes) -> None:
        """
        Let go of what is kept for a flow that is over.

        @param header: the flow's key.
        """


class Owner(Protocol):
    """
    The association that an exit belongs to.

    @ivar carrier: what takes datagrams to the client; L{None} at the end.
    @ivar strangers: how many datagrams came from where no flow leads.
    """

    carrier: Carrier | None
    strangers: int


class Exit:
    """
    One way out: the flows that leave by it, and whose answers count for which.

    @ivar flows: these flows.
    """

    __slots__ = ("any", "byHost", "byPeer", "flows", "owner")

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.flows: dict[Flow, None] = {}
        self.byPeer: dict[Hashable, Flow] = {}
        self.byHost: dict[Hashable, Flow] = {}
        self.any: dict[int, Flow] = {}

    def begin(self, flow: Flow, permit: Permit) -> None:
        """
        Let the datagrams of a flow move; those that wait are left to the caller.

        @param permit: allows it.
        @raise OSError: there is nothing that they could leave by.
        """
        raise NotImplementedError

    def add(self, flow: Flow) -> None:
        """Take a flow that has started, and is named."""
        self.flows[flow] = None
        flow.way = self
        self.byPeer[flow.peer] = flow
        self._index(flow)

    def remove(self, flow: Flow) -> None:
        """Forget a flow."""
        del self.flows[flow]
        flow.way = None
        if self.byPeer.get(flow.peer) is flow:
            del self.byPeer[flow.peer]
            for other in self.flows:
                # It is the same destination under another name.
                if other.peer == flow.peer:
                    self.byPeer[flow.peer] = other
        if flow.replies != "exact":
            self.index()

    def index(self) -> None:
        """Take note of whose answers count, after C{replies} of flows changed."""
        self.byHost.clear()
        self.any.clear()
        for flow in self.flows:
            self._index(flow)

    def _index(self, flow: Flow) -> None:
        """
        Take note of whose answers count for a flow, besides its own destination's.
        """
        if flow.replies != "exact":
            self.byHost[flow.host] = flow
            if flow.replies == "any":
                self.any[flow.version] = flow

    def close(self) -> None:
        """Let go of what the datagrams leave by."""
        raise NotImplementedError


@final
class OwnExit(Exit):
    """
    The way out by sockets of this host: one for each version of IP.
    """

    __slots__ = ("_headers", "_makeSocket", "_outer", "_watch")

    def __init__(
        self,
        owner: Owner,
        watch: Watcher,
        makeSocket: Callable[[int], socket.socket],
    ) -> None:
        """
        Open nothing yet.

        @param makeSocket: opens a socket for datagrams to destinations whose
            addresses are of this version of IP.
        """
        super().__init__(owner)
        self._watch = watch
        self._makeSocket = makeSocket
        self._outer: dict[int, socket.socket] = {}
        self._headers: dict[tuple[str, int], bytes] = {}

    def begin(self, flow: Flow, permit: Permit) -> None:
        """As L{Exit.begin}."""
        address = permit.address
        assert address is not None
        outer = self._socket(address.version)
        peer = socket.inet_ntop(outer.family, address.packed), flow.datagram.port
        flow.peer, flow.host, flow.version = peer, peer[0], address.version
        flow.start(permit, outer, peer)
        self.add(flow)

    def _socket(self, version: int) -> socket.socket:
        """
        Return the socket that the flows of one version of IP leave by.

        @raise OSError: it cannot be opened.
        """
        outer = self._outer.get(version)
        if outer is None:
            made = self._makeSocket(version)
            try:
                self._watch.add(made.fileno(), READ, lambda _: self._ready(made))
            except OSError:
                made.close()
                raise
            outer = self._outer[version] = made
        return outer

    def _ready(self, outer: socket.socket) -> None:
        """Take datagrams that came from destinations to the client."""
        owner, byPeer = self.owner, self.byPeer
        carrier = owner.carrier
        assert carrier is not None
        for _ in range(BATCH):
            try:
                length, peer = outer.recvfrom_into(_PAYLOAD)
            except OSError:
                # There is no more; or ICMP tells of something that we sent.
                return
            flow = byPeer.get(peer[:2])
            if flow is not None:
                header = flow.header
            else:
                version = 4 if outer.family == socket.AF_INET else 6
                flow = self.byHost.get(peer[0]) or self.any.get(version)
                if flow is None:
                    owner.strangers += 1
                    continue
                header = self._headerFor(outer.family, peer)
            if flow.receiving is not None and not flow.receiving.passes(length):
                flow.limited += 1
                continue
            flow.receivedDatagrams += 1
            flow.received += length
            carrier.deliver(header, length)

    def _headerFor(self, family: int, peer: tuple[str, int]) -> bytes:
        """Return the header that names a source which the client has not named."""
        header = self._headers.get(peer)
        if header is None:
            if len(self._headers) >= _HEADERS:
                self._headers.clear()
            packed = socket.inet_pton(family, peer[0].partition("%")[0])
            header = self._headers[peer] = encodeHeader(Address(packed), peer[1])
        return header

    def close(self) -> None:
        """Close the sockets."""
        for outer in self._outer.values():
            self._watch.remove(outer.fileno())
            outer.close()
        self._outer.clear()
