"""
The way out of a UDP association through an upstream.

What the upstream is sent and sends has the header of RFC 1928 section 7, beside its
control connection or inside it. It is believed in one thing: from where an answer
came.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final, final

from socksgw.errors import SocksError
from socksgw.relay.control import Control
from socksgw.relay.exit import Exit, Owner
from socksgw.relay.flow import Flow, Permit
from socksgw.relay.framing import Frames, Framing, framingOf
from socksgw.relay.seams import Associated
from socksgw.relay.segments import (
    BATCH,
    BUFFER,
    LONGEST,
    RUN,
    VIEW,
    sendRun,
)
from socksgw.system.dropping import Dropping
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address, BadHost
from socksgw.wire.datagram import Datagram, encodeHeader, readDatagram
from socksgw.wire.reader import WireError

__all__ = ["UpstreamExit"]

_IPV4: Final = 1
_IPV6: Final = 4
#: The octets of a header with an IPv4 address, with an IPv6 address, and with a name
#: besides the name's own.
_WITH_IPV4: Final = 10
_WITH_IPV6: Final = 22
_WITH_NAME: Final = 7
#: The octets of a port.
_PORT: Final = 2
#: The most octets of a payload inside a control connection.
_LONGEST: Final = 65535


@final
class UpstreamExit(Exit):
    """
    The way out through one association at an upstream.

    It is itself what its flows are sent by. The end of any of its control connections
    is its end.
    """

    __slots__ = (
        "_associated", "_closed", "_inside", "_layers", "_longest", "_lost", "_named", "_pinned",
        "_socket", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        watch: Watcher,
        associated: Associated,
        lost: Callable[[str], None],
    ) -> None:
        """
        Take an association; nothing moves yet.

        @param lost: called with the reason when it ends by itself.
        """
        super().__init__(owner)
        self._watch = watch
        self._associated = associated
        self._lost = lost
        self._socket = associated.socket
        self._layers = tuple(associated.layers)
        self._longest = LONGEST if self._socket and not self._layers else 0
        self._closed = False
        self._inside: _Inside | None = None
        framing = framingOf(associated)
        if framing is not None:
            self._inside = _Inside(framing, self.came, self._over)
        #: The flow to a name, and the address that its answers come from.
        self._named: Flow | None = None
        self._pinned: Address | None = None

    def open(self) -> None:
        """
        Begin to take what the upstream sends.

        @raise OSError: the socket cannot be watched; everything is closed then.
        """
        associated = self._associated
        if self._socket is not None:
            try:
                self._watch.add(self._socket.fileno(), READ, self._ready)
            except OSError:
                self._closed = True
                associated.close()
                raise
        for each in associated.controls[0 if self._inside is None else 1 :]:
            each.take(Control(self._over))
        if self._inside is not None:
            inside = associated.controls[0]
            inside.registerProducer(self._inside, True)
            inside.take(self._inside)
            if associated.surplus:
                self._inside.dataReceived(associated.surplus)

    def _over(self, reason: str) -> None:
        """End, since a control connection ended."""
        self.lost("upstream-protocol" if reason == "protocol" else "upstream-closed")

    # To the upstream.

    def begin(self, flow: Flow, permit: Permit) -> None:
        """As L{Exit.begin}."""
        if self._closed:
            raise OSError(errno.EPIPE, "the upstream has ended the association")
        address, port = permit.address, flow.datagram.port
        host = flow.datagram.host if address is None else address
        assert not isinstance(host, BadHost)
        header = encodeHeader(host, port)
        flow.start(permit, self, header)
        flow.peer, flow.host = header, header[:-_PORT]
        if address is None:
            self._named = flow
        else:
            flow.version = address.version
        self.add(flow)

    def remove(self, flow: Flow) -> None:
        """As L{Exit.remove}; the association ends with the last flow."""
        super().remove(flow)
        if not self.flows:
            self.lost("idle")

    def sendto(self, payload: Any, header: bytes) -> None:
        """
        Send a payload through the upstream.

        @param header: names its destination.
        @raise OSError: it is too long, or there is no room for it.
        """
        if not self._layers and self._socket is not None:
            self._send((header, payload))
            return
        octets = header + bytes(payload)
        try:
            for layer in reversed(self._layers):
                if layer.protection is not None:
                    octets = layer.protection.wrapDatagram(octets)
                octets = layer.header + octets
        except ValueError as e:
            raise OSError(errno.EMSGSIZE, str(e)) from None
        if self._inside is None:
            self._send((octets,))
        else:
            framed = self._inside.framed(octets)
            self._associated.controls[0].write(framed)

    def sendRun(self, flow: Flow, octets: memoryview, size: int) -> bool:
        """As L{Exit.sendRun}."""
        header: bytes = flow.to
        starts = range(0, len(octets), size)
        whole = size + len(header)
        if whole > self._longest or whole * len(starts) > RUN:
            return False
        assert self._socket is not None
        parts = [each for at in starts for each in (header, octets[at : at + size])]
        size = whole
        try:
            went = sendRun(self._socket, parts, size, None)
        except ConnectionRefusedError:
            # As in L{_send}.
            went = sendRun(self._socket, parts, size, None)
        if not went:
            self._longest = size - 1
        return went

    def _send(self, parts: tuple[Any, ...]) -> None:
        assert self._socket is not None
        try:
            self._socket.sendmsg(parts)
        except ConnectionRefusedError:
            # ICMP, of a datagram that was sent before: this one was not sent.
            self._socket.sendmsg(parts)

    # From it.

    def _ready(self, _events: int) -> None:
        """Take the datagrams that have come."""
        assert self._socket is not None
        receive = self._socket.recv_into
        for _ in range(BATCH):
            try:
                length = receive(BUFFER)
            except ConnectionRefusedError:
                # ICMP tells of something that we sent.
                continue
            except OSError:
                # There is no more.
                return
            self._came(length)

    def came(self, octets: bytes) -> None:
        """Take a datagram, with its header, that came inside a control connection."""
        if not self._closed and len(octets) <= len(BUFFER):
            VIEW[: len(octets)] = octets
            self._came(len(octets))

    def _came(self, length: int) -> None:
        """Take a datagram at the beginning of the buffer."""
        if self._layers and (length := self._unwrapped(length)) < 0:
            self.owner.strangers += 1
        else:
            self._take(length)

    def _unwrapped(self, length: int) -> int:
        """
        Take off the layers of a datagram in the buffer.

        @return: the octets that are left; -1 where it is not from the last hop.
        """
        octets = bytes(VIEW[:length])
        try:
            for layer in self._layers:
                if not octets.startswith(layer.header):
                    return -1
                octets = octets[len(layer.header) :]
                if layer.protection is not None:
                    octets = layer.protection.unwrapDatagram(octets)
        except WireError:
            return -1
        VIEW[: len(octets)] = octets
        return len(octets)

    def _take(self, length: int) -> None:
        """Take a datagram, with its header, from the buffer."""
        kind = BUFFER[3] if length > _WITH_NAME else 0
        if kind == _IPV4:
            end = _WITH_IPV4
        elif kind == _IPV6:
            end = _WITH_IPV6
        else:
            end = _WITH_NAME + BUFFER[4]
        owner = self.owner
        if length < end or owner.carrier is None:
            owner.strangers += 1
            return
        header = bytes(VIEW[:end])
        flow = self.byPeer.get(header)
        if flow is None:
            flow, header = self._found(header)
            if flow is None:
                owner.strangers += 1
                return
        if flow.alone:
            header = flow.header
        if flow.receiving is not None and not flow.receiving.passes(length - end):
            flow.limited += 1
            return
        flow.receivedDatagrams += 1
        flow.received += length - end
        if len(header) != end:
            # The client is told another source than the one that came.
            VIEW[len(header) : len(header) + length - end] = VIEW[end:length]
            length += len(header) - end
        BUFFER[: len(header)] = header
        owner.carrier.deliver(header, VIEW[:length], length)

    def _found(self, header: bytes) -> tuple[Flow | None, bytes]:
        """
        Return the flow of an answer that is not from where one leads.

        @return: the flow, if there is one, and the header that tells the source.
        """
        try:
            source = readDatagram(header)
        except WireError:
            return None, header
        host = source.host
        if source.fragment or isinstance(host, BadHost):
            return None, header
        header = encodeHeader(host, source.port)
        flow = self.byPeer.get(header)
        if flow is None and isinstance(host, Address):
            if self._named is not None:
                flow = self._answered(self._named, host, source)
            else:
                flow = self.byHost.get(header[:-_PORT]) or self.any.get(host.version)
        return flow, header

    def _answered(self, flow: Flow, host: Address, source: Datagram) -> Flow | None:
        """
        Return the flow to a name, if an address is that name's.

        Nothing but the name has been sent anything in this association. So the first
        one that answers is it.
        """
        if flow.replies == "any":
            return flow
        if flow.replies == "exact" and source.port != flow.datagram.port:
            return None
        if self._pinned is None:
            self._pinned = host
        return flow if host == self._pinned else None

    def lost(self, reason: str) -> None:
        """End, and with it the flows."""
        if not self._closed:
            self.close()
            self._lost(reason)

    def close(self) -> None:
        """Close the association."""
        if self._closed:
            return
        self._closed = True
        if self._socket is not None:
            self._watch.remove(self._socket.fileno())
        self._associated.close()


@final
class _Inside(Dropping, Control):
    """
    The control connection that datagrams go inside.
    """

    def __init__(
        self,
        framing: Framing,
        came: Callable[[bytes], None],
        end: Callable[[str], None],
    ) -> None:
        """
        Take nothing yet.

        @param came: takes a datagram that came.
        @param end: as of L{Control}.
        """
        super().__init__(end)
        self._framing = framing
        self._frames = Frames(framing.read)
        self._came = came

    def framed(self, octets: bytes) -> bytes:
        """
        Return what the upstream is sent of a datagram.

        @raise OSError: there is no room for it.
        """
        if self.full:
            raise OSError(errno.ENOBUFS, "the upstream does not read")
        datagram = readDatagram(octets)
        if len(datagram.payload) > _LONGEST:
            raise OSError(errno.EMSGSIZE, "longer than a length of two octets tells")
        try:
            return self._framing.encode(datagram.host, datagram.port, datagram.payload)
        except ValueError as e:
            raise OSError(errno.EMSGSIZE, str(e)) from None

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Take the datagrams that are whole."""
        try:
            for datagram in self._frames.receive(data):
                if datagram is not None and not isinstance(datagram.host, BadHost):
                    header = encodeHeader(datagram.host, datagram.port)
                    self._came(header + datagram.payload)
        except WireError:
            # The stream cannot be followed any further.
            self._end("protocol")

    def violated(self, failure: SocksError) -> None:
        """Hear that the upstream breaks the rules of what protects it."""
        self._end("protocol")
