"""
Our own client as one of the ways to ask a gateway: a socket for tests, and behind it
the endpoint that asks.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Any, Final

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.client import HTTPClientEndpoint, SocksClientEndpoint
from socksgw.client.errors import ProxyError
from socksgw.wire.codes import Command, Reply
from socksgw.wire.events import Requested
from socksgw.wire.server import ServerConversation

__all__ = ["Asking", "asking", "stopAsking"]


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
                other.transport.loseConnection()
            else:
                other.transport.abortConnection()


class _Near(_Half):
    """A test's side: what it says is asked for by the client."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._conversation = ServerConversation()
        self._greeted = self._refused = False

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
            self._ask(event)

    def _ask(self, request: Requested) -> None:
        assert request.command == Command.CONNECT
        protocol = self._conversation.protocol
        kind: Any = HTTPClientEndpoint if protocol == "http" else SocksClientEndpoint
        options: Any = {"version": 4} if protocol.startswith("socks4") else {}
        reactor = self._asking.reactor
        way = TCP4ClientEndpoint(reactor, "127.0.0.1", self._asking.gateway)
        endpoint = kind(reactor, str(request.host), request.port, way, **options)
        factory: Any = Factory.forProtocol(_Half)
        factory.noisy = False
        endpoint.connect(factory).addCallbacks(self._granted, self._failed)

    def _granted(self, far: _Half) -> None:
        self.transport.write(self._conversation.reply(Reply.SUCCEEDED))
        self.beside(far)
        early = self._conversation.surplus()
        if early:
            far.transport.write(early)

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


class Asking:
    """
    The client, in a thread of its own.

    @ivar port: where tests connect.
    @ivar gateway: the port of the gateway.
    """

    def __init__(self, gateway: int) -> None:
        self.gateway = gateway
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


_running: Final[dict[int, Asking]] = {}


def asking(gateway: int) -> socket.socket:
    """Connect to a client of a gateway, which is kept for others."""
    found = _running.get(gateway)
    if found is None:
        found = _running[gateway] = Asking(gateway)
    return socket.create_connection(("127.0.0.1", found.port), 30)


def stopAsking() -> None:
    """End every client."""
    while _running:
        _running.popitem()[1].stop()
