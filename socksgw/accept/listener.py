"""
One C{[[listen]]}: its name, what may be spoken there, who is let in.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, final
from typing import Protocol as Seam

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from socksgw.accept.admission import Admission, Census
from socksgw.accept.inbound import Inbound
from socksgw.accept.layers import Layer
from socksgw.accept.seams import Budget, Serving
from socksgw.interfaces import Timer
from socksgw.system.domains import OWN, Domain
from socksgw.wire.address import Address
from socksgw.wire.dialect import Dialect
from socksgw.wire.server import DIALECTS, spoken

__all__ = ["Listener", "Service", "addressOf"]

_log: Final = Logger()
_LOOPBACK: Final = Address(b"\x7f\x00\x00\x01")


class Service(Seam):
    """What a listener needs of the gateway."""

    census: Census

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""

    @property
    def memory(self) -> Budget:
        """What everything counts in that waits for a reader."""

    def setDeadline(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call C{call} in so many seconds, unless the timer is cleared."""

    def serve(self, client: Inbound) -> Serving:
        """Start the session of a client."""

    def settled(self) -> None:
        """Take note that a client's connection is gone."""

    def exhausted(self) -> None:
        """Rest from accepting: a client could not be taken."""

    def lost(self, name: str) -> None:
        """Take note that a port is gone that was not told to close."""


@lru_cache(maxsize=4096)
def addressOf(host: str) -> Address:
    """Return the address of a peer, which the kernel names so."""
    if ":" in host:
        return Address(socket.inet_pton(socket.AF_INET6, host.partition("%")[0]))
    return Address(socket.inet_pton(socket.AF_INET, host))


@final
class Listener:
    """
    What holds for the clients of one listener, and who they are.

    @ivar name: as in the configuration.
    @ivar dialects: what may be spoken, by the first octet of a client.
    @ivar domain: the routing domain that it is in, and that its clients leave by.
    @ivar handshake: seconds from accept to request.
    @ivar layers: what stands between a client's socket and its conversation, the
        lowest first.
    @ivar bounds: most clients that have not made their request, in all and by source.
    @ivar clients: who is connected.
    @ivar leaving: how many of its ports have been told to close.
    @ivar closing: whether its clients may make no further requests.
    @ivar senders: tells whether PROXY headers from an address are believed; L{None}
        where none are read.
    @ivar memory: what everything that waits for a reader is counted in.
    """

    def __init__(self, service: Service, name: str) -> None:
        self.name = name
        self.dialects: Mapping[int, Dialect] = {}
        self.handshake = 0.0
        self.domain = OWN
        self.layers: Sequence[Layer] = ()
        self.senders: Callable[[Address], bool] | None = None
        self.admission = Admission(service.census, 0, 0, name)
        self.bounds = 0, 0
        self.clients: dict[Inbound, None] = {}
        self.memory = service.memory
        self.clock = service.clock
        self.setDeadline = service.setDeadline
        self.serve = service.serve
        self._settled = service.settled
        self._lost = service.lost
        self._exhausted = service.exhausted
        self.leaving = 0
        self.closing = False
        #: The client that was built last, as long as it has no connection.
        self._built: Inbound | None = None

    def configure(
        self,
        protocols: tuple[str, ...],
        halfOpen: int,
        halfOpenPerSource: int,
        handshake: float,
        layers: Sequence[Layer] = (),
        known: Mapping[str, Dialect] = DIALECTS,
        senders: Callable[[Address], bool] | None = None,
        domain: Domain = OWN,
    ) -> None:
        """
        Set what holds for the clients that come from now on.

        @param halfOpen: most clients that have not made their request.
        @param halfOpenPerSource: the same for one source.
        @param handshake: seconds from accept to request.
        @param known: every protocol (L{socksgw.wire.server.configured}).
        @param senders: as the attribute; they are not bounded as one source.
        """
        self.closing = False
        self.dialects = spoken(protocols, known)
        self.handshake = handshake
        self.layers = layers
        self.bounds = halfOpen, halfOpenPerSource
        self.senders = senders
        self.domain = domain
        self.admission.limit(halfOpen, halfOpenPerSource)

    def buildProtocol(self, addr: IAddress | None) -> Inbound | None:
        """
        Let a client in, as Twisted's ports ask for it.

        @return: L{None} when there is no room: the connection is closed.
        """
        host: Any = getattr(addr, "host", None)
        # A client on a Unix socket is on this machine.
        source = _LOOPBACK if host is None else addressOf(host)
        return self.letIn(source, getattr(addr, "port", 0))

    def letIn(self, source: Address, port: int) -> Inbound | None:
        """
        Let a client in.

        @param port: the client's; 0 where it has none.
        @return: L{None} when there is no room: the connection is to be closed.
        """
        if self.domain.name:
            source = source.among(self.domain.tag)
        built, self._built = self._built, None
        if built is not None and built.connection is None:
            # Twisted could not make its transport, and logged why.
            built.abandon()
            self._exhausted()
        try:
            client = Inbound(self, source, port)
            senders = self.senders
            shared = senders is not None and senders(source)
            if not self.admission.admit(client, shared):
                return None
        except MemoryError:
            # Closed here, and not by whoever collects what Twisted has logged.
            _log.error("there is no memory for a client, which was closed")
            self._exhausted()
            return None
        self._built = client
        return client

    def close(self) -> None:
        """
        Have its clients make no further requests.

        Those that were answered, and make none just now, are closed.
        """
        self.closing = True
        self.relieve()

    def relieve(self) -> None:
        """
        Close the clients that were answered, and make no request just now.

        No limit counts them: others need their descriptors more.
        """
        for client in list(self.clients):
            if client.resting:
                client.close()

    def doStart(self) -> None:
        """Take note that a port is open."""

    def doStop(self) -> None:
        """
        Take note that a port is gone: it was told to, or it could not be kept.
        """
        if self.leaving:
            self.leaving -= 1
        else:
            self._lost(self.name)

    def opened(self, client: Inbound) -> None:
        """Take note that a client's connection is ready."""
        self._built = None
        self.clients[client] = None

    def closed(self, client: Inbound) -> None:
        """Take note that a client's connection is gone."""
        if self._built is client:
            self._built = None
        self.clients.pop(client, None)
        self._settled()
