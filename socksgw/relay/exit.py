"""
One way out of a UDP association, and whose answers count for which of its flows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Mapping
from os import readv
from types import MappingProxyType
from typing import Any, Final, Protocol, final

from socksgw.relay.flow import Flow, Permit, Sender
from socksgw.relay.placed import ANSWERS, LAST, MORE, answersOf, stamp
from socksgw.relay.segments import (
    BATCH,
    BUFFER,
    FULL,
    LONGEST,
    RUN,
    VIEW,
    sendRun,
)
from socksgw.relay.unreached import Report, Reporting
from socksgw.system.filter import admitAll, admitOnly
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import encodeHeader

__all__ = ["Carrier", "Exit", "OwnExit", "Owner"]

#: What most have: only answers of destinations themselves count.
_NOBODY: Final[Mapping[Any, Flow]] = MappingProxyType({})
#: The octets of the header with an address of each version of IP.
_HEADS: Final = {socket.AF_INET: 10, socket.AF_INET6: 22}
#: The most headers that are kept for sources that no flow names (where
#: C{replies} is not C{exact}).
_HEADERS: Final = 256
#: After so many answers to one flow those of others are kept away, where no others
#: count.
_MANY: Final = 64
_ANSWERS: Final = memoryview(ANSWERS)
#: What the first answer of a run is read to, by the octets of its header.
_FIRST: Final = {head: (_ANSWERS[head:],) for head in _HEADS.values()}


class Carrier(Protocol):
    """
    What takes datagrams to the client.
    """

    def deliver(self, header: bytes, octets: memoryview, size: int) -> None:
        """
        Send a run of datagrams from one source (L{socksgw.relay.segments}).

        @param header: of a datagram as RFC 1928 section 7 has it, with the
            source. Each one has it before its payload.
        @param octets: theirs, good for this call only.
        @param size: the octets of each with its header; the last may be shorter.
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
    @ivar report: takes what ICMP tells; L{None} where the client is not told.
    """

    carrier: Carrier | None
    strangers: int
    report: Report | None


class Exit:
    """
    One way out: the flows that leave by it, and whose answers count for which.

    @ivar flows: these flows.
    """

    __slots__ = ("any", "byHost", "byPeer", "flows", "owner")

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.flows: list[Flow] = []
        self.byPeer: dict[Hashable, Flow] = {}
        self.byHost: Mapping[Hashable, Flow] = _NOBODY
        self.any: Mapping[int, Flow] = _NOBODY

    def begin(self, flow: Flow, permit: Permit) -> None:
        """
        Let the datagrams of a flow move; those that wait are left to the caller.

        @param permit: allows it.
        @raise OSError: there is nothing that they could leave by.
        """
        raise NotImplementedError

    def sendRun(self, flow: Flow, octets: memoryview, size: int) -> bool:
        """
        Send payloads of one flow in one call.

        @param octets: theirs, several.
        @param size: the octets of each, at least 1; the last may be shorter.
        @return: whether they went; otherwise they are to be sent one by one.
        @raise OSError: none was sent, and one by one would fare no better.
        """
        return False

    def add(self, flow: Flow) -> None:
        """Take a flow that has started, and is named."""
        self.flows.append(flow)
        flow.way = self
        self.byPeer[flow.peer] = flow
        if flow.replies != "exact":
            self.index()

    def remove(self, flow: Flow) -> None:
        """Forget a flow."""
        self.flows.remove(flow)
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
        wide = [flow for flow in self.flows if flow.replies != "exact"]
        self.byHost = {flow.host: flow for flow in wide} or _NOBODY
        self.any = {
            flow.version: flow for flow in wide if flow.replies == "any"
        } or _NOBODY

    def close(self) -> None:
        """Let go of what the datagrams leave by."""
        raise NotImplementedError


@final
class OwnExit(Exit):
    """
    The way out by sockets of this host: one for each version of IP.

    All flows leave by the same port, whatever their destinations (endpoint-independent
    mapping, RFC 4787 section 4.1), so the sockets are connected to none of them.
    """

    __slots__ = ("_four", "_headers", "_makeSocket", "_six", "_watch")

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
        self._four: _Outer | None = None
        self._six: _Outer | None = None
        self._headers: dict[tuple[str, int], bytes] | None = None

    def begin(self, flow: Flow, permit: Permit) -> None:
        """As L{Exit.begin}."""
        address = permit.address
        assert address is not None
        outer = self._socket(address.version)
        peer = socket.inet_ntop(outer.socket.family, address.packed), flow.datagram.port
        flow.peer, flow.host, flow.version = peer, peer[0], address.version
        flow.start(permit, outer.sender, peer)
        self.add(flow)

    def _socket(self, version: int) -> _Outer:
        """
        Return what the flows of one version of IP leave by.

        @raise OSError: it cannot be opened.
        """
        outer = self._four if version == 4 else self._six
        if outer is None:
            outer = _Outer(self, self._makeSocket(version))
            ready: Callable[[int], None] = outer.ready
            report = self.owner.report
            try:
                if report is not None:
                    outer.sender = reporting = Reporting(
                        outer.socket, self.byPeer, report, outer.ready
                    )
                    ready = reporting.ready
                self._watch.add(outer.socket.fileno(), READ, ready)
            except OSError:
                outer.socket.close()
                raise
            if version == 4:
                self._four = outer
            else:
                self._six = outer
        return outer

    def sendRun(self, flow: Flow, octets: memoryview, size: int) -> bool:
        """As L{Exit.sendRun}."""
        outer = self._four if flow.version == 4 else self._six
        if outer is None or size > outer.longest:
            return False
        if sendRun(outer.socket, (octets,), size, flow.to):
            return True
        outer.longest = size - 1
        return False

    def add(self, flow: Flow) -> None:
        """As L{Exit.add}."""
        self._admitAll()
        super().add(flow)

    def remove(self, flow: Flow) -> None:
        """As L{Exit.remove}."""
        self._admitAll()
        super().remove(flow)

    def index(self) -> None:
        """As L{Exit.index}."""
        self._admitAll()
        super().index()

    def _admitAll(self) -> None:
        """Let the answers of every destination through."""
        for outer in (self._four, self._six):
            if outer is not None and outer.only is not None:
                outer.only, outer.sifted = None, False
                admitAll(outer.socket)

    def _admitOne(self, outer: _Outer, flow: Flow) -> None:
        """
        Let nobody's answers through but those of the only destination.

        The kernel takes them apart for less than it costs to be told the sources.
        """
        address = flow.address
        if len(self.flows) > 1 or flow.replies != "exact" or flow.receiving is not None:
            return
        assert address is not None
        if admitOnly(outer.socket, address, flow.datagram.port):
            outer.only = flow
        else:
            outer.unsifted = True

    def ready(self, outer: _Outer) -> None:
        """Take datagrams that came from destinations to the client."""
        flow = outer.only
        if outer.sifted and flow is not None:
            self._readRuns(outer, flow)
        else:
            flow = self._readEach(outer)
            if flow is not None and flow.receivedDatagrams > _MANY:
                if outer.only is None and not outer.unsifted:
                    self._admitOne(outer, flow)

    def _readRuns(self, outer: _Outer, flow: Flow) -> None:
        """Take the answers of the only destination."""
        carrier = self.owner.carrier
        if carrier is None:
            return
        fd, header = outer.socket.fileno(), flow.header
        head = len(header)
        left = BATCH
        length = MORE
        while left > 0:
            left -= 1
            if length == MORE:
                try:
                    length = readv(fd, outer.first)
                except OSError:
                    # As in L{_readEach}.
                    return
            size = head + length
            count, came = answersOf(head, size).fill(fd, b"")
            left -= count
            count += 1
            end = count * size
            length = came
            if 0 <= came < size - head:
                # Nothing comes behind a shorter one.
                end += head + came
                count += 1
                length = MORE
            stamp(header, size, count)
            flow.receivedDatagrams += count
            flow.received += end - count * head
            carrier.deliver(header, _ANSWERS[:end], size)
            if came == LAST:
                return
            if length >= 0:
                # The first of another run.
                start = end + head
                ANSWERS[head : head + came] = bytes(_ANSWERS[start : start + came])

    def _readEach(self, outer: _Outer) -> Flow | None:
        """
        Take answers, of which each tells its source.

        @return: the flow of the last one.
        """
        receive, head = outer.socket.recvfrom_into, outer.head
        flow: Flow | None = None
        last: Flow | None = None
        header, source = b"", None
        # Of the run: its beginning, its end, the size of each with its header, 0
        # where there is none, and where the last one may end.
        start = end = size = most = 0
        for _ in range(BATCH):
            begin = end + head
            try:
                length, peer = receive(VIEW[begin:])
            except BlockingIOError:
                outer.sifted = outer.only is not None
                break
            except OSError:
                # ICMP tells of something that we sent.
                break
            length += head
            if length <= size and peer == source:
                BUFFER[end:begin] = header
                end += length
                if length == size and end <= most:
                    continue
                # Nothing comes behind a shorter one.
                self._deliver(flow, header, start, end, size)
                start = end = size = 0
                continue
            if size:
                self._deliver(flow, header, start, end, size)
            start, size, source = end, 0, peer
            flow, header = self._found(outer, peer)
            if flow is None:
                self.owner.strangers += 1
                continue
            last = flow
            BUFFER[start:begin] = header
            if flow.receiving is not None and not flow.receiving.passes(length - head):
                flow.limited += 1
                continue
            end, size = start + length, length
            most = min(start + RUN - size, FULL)
            if flow.receiving is not None or end > most:
                self._deliver(flow, header, start, end, size)
                start = end = size = 0
        if size:
            self._deliver(flow, header, start, end, size)
        return last

    def _deliver(
        self, flow: Flow | None, header: bytes, start: int, end: int, size: int
    ) -> None:
        """Count a run of a flow, and send it to the client."""
        carrier = self.owner.carrier
        if flow is None or carrier is None:
            return
        count = (end - start + size - 1) // size
        flow.receivedDatagrams += count
        flow.received += end - start - count * len(header)
        carrier.deliver(header, VIEW[start:end], size)

    def _found(self, outer: _Outer, peer: tuple[str, int]) -> tuple[Flow | None, bytes]:
        """Return whose answer comes from a source, and the header that names it."""
        flow = self.byPeer.get(peer[:2])
        if flow is not None:
            return flow, flow.header
        family = outer.socket.family
        version = 4 if family == socket.AF_INET else 6
        flow = self.byHost.get(peer[0]) or self.any.get(version)
        return flow, b"" if flow is None else self._headerFor(family, peer)

    def _headerFor(self, family: int, peer: tuple[str, int]) -> bytes:
        """Return the header that names a source which the client has not named."""
        if self._headers is None or len(self._headers) >= _HEADERS:
            self._headers = {}
        header = self._headers.get(peer)
        if header is None:
            packed = socket.inet_pton(family, peer[0].partition("%")[0])
            header = self._headers[peer] = encodeHeader(Address(packed), peer[1])
        return header

    def close(self) -> None:
        """Close the sockets."""
        for outer in (self._four, self._six):
            if outer is not None:
                self._watch.remove(outer.socket.fileno())
                outer.socket.close()
        self._four = self._six = None


@final
class _Outer:
    """
    One socket of this host.

    @ivar head: the octets of the header that names a source which it hears.
    @ivar longest: the size of datagrams up to which runs are tried.
    @ivar only: the flow whose answers the kernel lets through, and no others;
        L{None} where it lets all through.
    @ivar sender: what flows are sent by: the socket, or what stands for it.
    @ivar sifted: whether all that came before that have been read.
    @ivar unsifted: whether the kernel does not do it.
    @ivar first: what the first of a run is read to.
    """

    __slots__ = (
        "_exit", "first", "head", "longest", "only", "sender", "sifted", "socket",
        "unsifted",
    )  # fmt: skip

    def __init__(self, exit_: OwnExit, made: socket.socket) -> None:
        self._exit = exit_
        self.socket = made
        self.sender: Sender = made
        self.head = _HEADS[made.family]
        self.longest = LONGEST
        self.only: Flow | None = None
        self.sifted = self.unsifted = False
        self.first = _FIRST[self.head]

    def ready(self, _events: int) -> None:
        """Take datagrams that came."""
        self._exit.ready(self)
