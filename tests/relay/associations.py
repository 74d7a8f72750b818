"""
What the tests of UDP associations share: real loopback sockets, an epoll loop
of the test's own, and a judge that says what the test wants.
"""

from __future__ import annotations

import socket
from socket import socket as Socket
from typing import Any

from twisted.internet.defer import Deferred

from socksgw.limits.allowance import Allowance
from socksgw.relay.association import Associations
from socksgw.relay.flow import Flow, Permit
from socksgw.relay.flows import Flows
from socksgw.relay.tally import Tally
from socksgw.route.datagrams import DatagramOutlet
from socksgw.route.probe import routed
from socksgw.wire.address import Address
from socksgw.wire.datagram import Datagram
from tests.fakes.connections import Client
from tests.fakes.loops import WatchedLoop
from tests.tools.sockets import descriptors, udp

__all__ = ["IDLE", "Association", "Judge", "Sea", "header"]

#: Seconds after which a flow is idle.
IDLE = 40.0
#: The most flows of an association.
MOST = 8


def header(host: str | bytes, port: int, frag: int = 0) -> bytes:
    """
    RFC 1928 section 7: RSV FRAG ATYP DST.ADDR DST.PORT; C{host} is a literal,
    or octets for the name field.
    """
    if isinstance(host, bytes):
        where = b"\x03" + bytes([len(host)]) + host
    elif ":" in host:
        where = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    else:
        where = b"\x01" + socket.inet_pton(socket.AF_INET, host)
    return b"\0\0" + bytes([frag]) + where + port.to_bytes(2, "big")


class Judge:
    """
    Who says what flows may do.

    @ivar replies: of every flow that is let out.
    @ivar names: the addresses of names.
    @ivar denied: ports that nothing may go to.
    @ivar failing: raised instead of a verdict.
    @ivar held: verdicts wait for it.
    @ivar asked: host and port of each flow that was judged.
    @ivar over: the flows that have ended, and why.
    @ivar tooManyOf: the limits that were told.
    @ivar lost: what was permitted and could not begin.
    @ivar bounds: what bounds the datagrams of each flow, to and from.
    @ivar flows: those that it judges.
    """

    flows: Flows

    def __init__(self) -> None:
        self.replies = "exact"
        self.names: dict[str, list[str]] = {}
        self.denied: set[int] = set()
        self.failing: list[Exception] = []
        self.held: Deferred[None] | None = None
        self.asked: list[tuple[str, int]] = []
        self.over: list[tuple[Flow, str]] = []
        self.tooManyOf: list[int] = []
        self.lost: list[Permit] = []
        self.bounds: tuple[Allowance | None, Allowance | None] = (None, None)

    async def judge(self, datagram: Datagram) -> Permit | None:
        host = str(datagram.host)
        self.asked.append((host, datagram.port))
        if self.held is not None:
            await self.held
        if self.failing:
            raise self.failing.pop(0)
        if datagram.port in self.denied:
            return None
        addresses = tuple(map(Address.parse, self.names.get(host, [host])))
        return Permit(routed(addresses), self.replies, None, *self.bounds)

    def ended(self, flow: Flow, reason: str) -> None:
        assert flow not in [each for each, _ in self.over]
        self.over.append((flow, reason))

    def failed(self, permit: Permit, port: int, error: Exception) -> None:
        self.lost.append(permit)

    def attach(self, flows: Flows) -> None:
        self.flows = flows

    def tooMany(self, limit: int) -> None:
        self.tooManyOf.append(limit)

    @property
    def counts(self) -> dict[int, tuple[int, int, int, int]]:
        """
        Of the flows that have ended, by port: octets and datagrams sent,
        octets and datagrams received.
        """
        return {
            flow.datagram.port: (
                flow.sent,
                flow.sentDatagrams,
                flow.received,
                flow.receivedDatagrams,
            )
            for flow, _ in self.over
        }


class Sea(WatchedLoop):
    """
    Everything that associations share, and the sockets of a test. At the end
    nothing may be left of any association.
    """

    quiet = 0.012

    def __init__(self) -> None:
        super().__init__()
        self._descriptors = descriptors()
        self._sockets: list[Socket] = []
        self._associations: list[Association] = []

    def socket(self, host: str = "127.0.0.1", port: int = 0) -> Socket:
        """A UDP socket of the test's."""
        made = udp(host, port)
        self._sockets.append(made)
        return made

    def own(self, made: Socket) -> Socket:
        """Close this at the end."""
        self._sockets.append(made)
        return made

    def associate(self, **settings: Any) -> Association:
        """An association."""
        made = Association(self, **settings)
        self._associations.append(made)
        return made

    def relayed(self, receiver: Socket) -> tuple[bytes, tuple[str, int]]:
        """The next datagram that comes there, and from where."""
        found: list[Any] = []

        def came() -> bool:
            try:
                found.append(receiver.recvfrom(1 << 16))
            except BlockingIOError:
                return False
            return True

        self.until(came)
        octets, sender = found[0]
        return octets, sender[:2]

    def silent(self, *receivers: Socket) -> None:
        """Nothing comes there, however often the sockets are looked at."""
        self.settle()
        for receiver in receivers:
            try:
                came = receiver.recvfrom(1 << 16)
            except BlockingIOError:
                continue
            raise AssertionError(f"{came} came")

    def atBase(self) -> None:
        """Nothing is left of any association."""
        for association in self._associations:
            association.end()
        self.advance(1.0)
        for association in self._associations:
            assert association.done
        for each in self._sockets:
            each.close()
        assert descriptors() <= self._descriptors
        self.closeLoop()


class Association:
    """
    One association, without its control connection's octets.

    @ivar relay: its relay socket.
    @ivar place: where that is.
    @ivar done: what it returned.
    """

    def __init__(
        self,
        sea: Sea,
        source: str = "127.0.0.1",
        local: str = "127.0.0.1",
        reassemble: bool = True,
        flows: int = MOST,
        idle: float = IDLE,
        ended: bool = False,
        protection: Any = None,
        port: int | None = None,
        uid: int | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.judge = judge or Judge()
        self.tally = Tally()
        self.client = Client(None, ended, protection)
        self.relay = udp(local)
        self.place: tuple[str, int] = self.relay.getsockname()[:2]
        associations = Associations(
            sea.watcher, sea.setDeadline, lambda: sea.now, idle, flows
        )
        self.done: list[Any] = []
        self.over = Deferred.fromCoroutine(
            associations.over(
                self.client,
                Address.parse(source),
                DatagramOutlet(self.relay, None),
                self.judge,
                reassemble,
                self.tally,
                port,
                uid,
            )
        )
        self.over.addBoth(self.done.append)

    def end(self) -> None:
        """The client ends its control connection."""
        if not self.done:
            assert self.client.taken is not None
            self.client.taken.readConnectionLost()


def echoed(sea: Sea, association: Association, client: Socket, text: bytes) -> Socket:
    """A datagram of the client's goes out; the socket where it came."""
    server = sea.socket()
    port = server.getsockname()[1]
    client.sendto(header("127.0.0.1", port) + text, association.place)
    came, outer = sea.relayed(server)
    assert came == text
    server.sendto(text + b"!", outer)
    reply, sender = sea.relayed(client)
    assert reply == header("127.0.0.1", port) + text + b"!"
    assert sender == association.place
    return server
