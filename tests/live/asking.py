"""
Our own client as one of the ways to ask a gateway: a socket for tests, and behind it
the endpoint that asks.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any, Final

from attrs import frozen
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.client import (
    HTTPClientEndpoint,
    Login,
    SocksClientEndpoint,
    associate,
    bind,
    overTLS,
)
from socksgw.client.errors import ProxyError
from socksgw.wire.address import Address
from socksgw.wire.codes import Command, Reply
from socksgw.wire.datagram import encodeDatagram, readDatagram
from socksgw.wire.events import Requested
from socksgw.wire.server import ServerConversation

__all__ = ["Asking", "Way", "asking", "stopAsking"]


@frozen
class Way:
    """
    How the client goes to a gateway.

    @ivar gateway: the port of its listener.
    @ivar ca: the file of the authority that its name is verified by; empty for no TLS.
    @ivar login: how it logs in; L{None} for not at all.
    """

    gateway: int
    ca: str = ""
    login: Login | None = None

    def endpoint(self, reactor: Any) -> Any:
        """Return what leads to the listener."""
        way: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", self.gateway)
        if not self.ca:
            return way
        return overTLS(way, "localhost", ca=self.ca, reactor=reactor)


@implementer(IHalfCloseableProtocol)
class _Half(Protocol):
    """One side of what is carried; each end by itself."""

    other: Any = None
    transport: Any
    ended = False

    def beside(self, other: _Half) -> None:
        """Carry octets between this side and another one."""
        self.other, other.other = other, self
        self.transport.registerProducer(other.transport, True)
        other.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        other, self.ended = self.other, True
        other.transport.unregisterProducer()
        if ISSLTransport.providedBy(other.transport):
            # Twisted's TLS ends both sides together.
            other.transport.loseConnection()
        else:
            other.transport.loseWriteConnection()
        if other.ended:
            # Twisted closes no connection of which both sides have ended.
            other.transport.loseConnection()
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None: ...

    def connectionLost(self, reason: Any = None) -> None:
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            if reason.check(ConnectionDone):
                # What has a producer stays open.
                other.transport.unregisterProducer()
                other.transport.loseConnection()
            else:
                other.transport.abortConnection()


class _Near(_Half):
    """A test's side: what it says is asked for by the client."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._conversation = ServerConversation()
        self._greeted = self._refused = False
        self._association: Any = None

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)
        elif not self._refused:
            self._conversation.receive(data)
            self._next()

    def _next(self) -> None:
        conversation = self._conversation
        event = conversation.next()
        if event is not None and not self._greeted:
            self._greeted = True
            self.transport.write(conversation.answerOffer(0))
            event = conversation.admit(event) or conversation.next()
        if event is not None:
            assert isinstance(event, Requested)
            self.transport.write(conversation.welcome())
            self._ask(event)

    def _ask(self, request: Requested) -> None:
        reactor, way = self._asking.reactor, self._asking.way
        options: Any = {} if way.login is None else {"login": way.login}
        protocol = self._conversation.protocol
        factory: Any = Factory.forProtocol(_Half)
        factory.noisy = False
        asked: Any
        if request.command == Command.UDP_ASSOCIATE:
            datagrams = _Datagrams()
            asked = associate(reactor, way.endpoint(reactor), datagrams, **options)
            asked.addCallbacks(self._associated, self._failed, (datagrams,))
            return
        if protocol.startswith("socks4"):
            options["version"] = 4
        elif protocol == "socks6":
            options["version"] = 6
        host, port = str(request.host), request.port
        if request.command == Command.BIND:
            asked = bind(reactor, way.endpoint(reactor), factory, host, port, **options)
            asked.addCallbacks(self._listens, self._failed)
            return
        kind: Any = HTTPClientEndpoint if protocol == "http" else SocksClientEndpoint
        endpoint = kind(reactor, host, port, way.endpoint(reactor), **options)
        endpoint.connect(factory).addCallbacks(self._granted, self._failed)

    def _granted(self, far: _Half, peer: tuple[str, int] | None = None) -> None:
        bound = (Address.parse(peer[0]), peer[1]) if peer else None
        self.transport.write(self._conversation.reply(Reply.SUCCEEDED, bound))
        self.beside(far)
        early = self._conversation.surplus()
        if early:
            far.transport.write(early)

    def _listens(self, listening: Any) -> None:
        host, port = listening.address
        bound = Address.parse(host), port
        self.transport.write(self._conversation.reply(Reply.SUCCEEDED, bound, True))
        listening.peer.addCallbacks(
            lambda far: self._granted(far, listening.peerAddress), self._failed
        )

    def _associated(self, association: Any, datagrams: _Datagrams) -> None:
        place = datagrams.open(self._asking.reactor, association)
        self._association = association
        self.transport.write(self._conversation.reply(Reply.SUCCEEDED, place))

    def _failed(self, failure: Any) -> None:
        failure.trap(ProxyError)
        self._refused = True
        error = failure.value
        self.transport.write(self._conversation.refuse(error.reply, error.reason, ""))
        # What was sent behind is read, so that the end is in order.
        self.transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        if self.other is None:
            self.transport.loseConnection()
        else:
            super().readConnectionLost()

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        if self._association is not None:
            self._association.stopListening()


class _Datagrams(DatagramProtocol):
    """The client's datagrams, each of which a test's side has by SOCKS again."""

    def open(self, reactor: Any, association: Any) -> tuple[Address, int]:
        """Return where the test's datagrams are taken."""
        self._face = _Face(association)
        port = reactor.listenUDP(0, self._face, "127.0.0.1")
        association.ended.addCallback(lambda _: port.stopListening())
        return Address.parse("127.0.0.1"), port.getHost().port

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        octets = encodeDatagram(Address.parse(addr[0]), addr[1], datagram)
        self._face.transport.write(octets, self._face.test)


class _Face(DatagramProtocol):
    """What the test sends its datagrams to."""

    transport: Any
    test: Any = None

    def __init__(self, association: Any) -> None:
        self._association = association

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.test = addr
        found = readDatagram(datagram)
        self._association.write(found.payload, (str(found.host), found.port))


class Asking:
    """
    The client, in a thread of its own.

    @ivar port: where tests connect.
    @ivar way: how it goes to the gateway.
    """

    def __init__(self, way: Way) -> None:
        self.way = way
        self.reactor: Any = SelectReactor()
        factory: Any = Factory.forProtocol(lambda: _Near(self))
        factory.noisy = False
        listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port: int = listening.getHost().port
        self._thread = threading.Thread(target=self.reactor.run, args=(False,))
        self._thread.daemon = True
        self._thread.start()

    def stop(self) -> None:
        """End it, and all that it has open."""
        self.reactor.callFromThread(self._stop)
        self._thread.join(30)
        waker = self.reactor.waker
        for end in (waker.i, waker.o):
            os.close(end)

    def _stop(self) -> None:
        for each in self.reactor.removeAll():
            if each is not self.reactor.waker:
                each.connectionLost(Failure(ConnectionDone()))
        self.reactor.stop()


_running: Final[dict[Way, Asking]] = {}


def asking(way: Way) -> socket.socket:
    """Connect to a client that goes this way, which is kept for others."""
    found = _running.get(way)
    if found is None:
        found = _running[way] = Asking(way)
    return socket.create_connection(("127.0.0.1", found.port), 30)


def stopAsking() -> None:
    """End every client."""
    while _running:
        _running.popitem()[1].stop()
