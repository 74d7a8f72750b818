"""
A connection on top of another one.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.system.connection import Connection, Producer, Receiver, SocketName
from socksgw.system.tlssession import TLSSession

__all__ = ["Above"]


class Above:
    """
    What a L{Connection} has that is the receiver of the one below it.

    Flow control, names and the end go through as they are.
    """

    plain: Final = None

    def __init__(self, below: Connection, receiver: Receiver | None = None) -> None:
        """@param below: the connection; it is taken by whoever inherits this."""
        self._below = below
        self.receiver: Any = receiver

    @property
    def tls(self) -> TLSSession | None:
        """As L{Connection.tls}."""
        return self._below.tls

    @property
    def local(self) -> SocketName:
        """As L{Connection.local}."""
        return self._below.local

    @property
    def peer(self) -> SocketName:
        """As L{Connection.peer}."""
        return self._below.peer

    @property
    def bufferSize(self) -> int:
        """As L{Connection.bufferSize}."""
        return self._below.bufferSize

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self._below.bufferSize = size

    # The receiver of what is below.

    def departed(self) -> None:
        """As L{Receiver.departed}."""
        self.receiver.departed()

    def violated(self, failure: SocksError) -> None:
        """As L{Receiver.violated}."""
        self.receiver.violated(failure)

    def connectionLost(self, reason: Failure) -> None:
        """As L{Receiver.connectionLost}."""
        # It refers to nothing that refers to it from here on: what a session held
        # is free without the garbage collector.
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.connectionLost(reason)

    # The connection of what is above.

    def take(self, receiver: Receiver) -> None:
        """As L{Connection.take}."""
        self.receiver = receiver
        self.resumeProducing()

    def release(self) -> int:
        """Never come here: L{plain} is L{None}."""
        raise NotImplementedError

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """As L{Connection.registerProducer}."""
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """As L{Connection.unregisterProducer}."""
        self._below.unregisterProducer()

    def pauseProducing(self) -> None:
        """As L{Connection.pauseProducing}."""
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """As L{Connection.resumeProducing}."""
        self._below.resumeProducing()

    def abortConnection(self) -> None:
        """As L{Connection.abortConnection}."""
        self._below.abortConnection()
