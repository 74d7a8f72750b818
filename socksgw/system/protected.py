"""
A connection whose login has agreed on a protection, of a client or through a hop.

What is written goes out wrapped, and what comes is unwrapped.
"""

from __future__ import annotations

from typing import Any, Final, final

from twisted.python.failure import Failure

from socksgw.errors import ProtocolViolated, SocksError
from socksgw.system.connection import (
    Connection,
    Producer,
    Receiver,
    SocketName,
)
from socksgw.wire.levels import LEVELS
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import WireError

__all__ = ["ProtectedConnection"]

#: Octets that become one message of the protection, and less than 64 KiB of it.
_AT_ONCE: Final = 60 << 10


@final
class ProtectedConnection:
    """
    A L{Connection} through a protection, above another one whose receiver it is.

    @ivar halfCloses: as of the connection below.
    @ivar secured: the stronger of the protection and the connection below.
    """

    plain: Final = None
    atOnce: Final = _AT_ONCE

    def __init__(
        self, below: Connection, protection: Protection, receiver: Receiver
    ) -> None:
        """
        @param below: the connection up to now.
        """
        self._below = below
        self._protection = protection
        self.receiver: Any = receiver
        self._isStream = isinstance(protection, StreamProtection)
        self.halfCloses = below.halfCloses
        self.secured = max(below.secured, protection.level, key=LEVELS.index)
        below.take(self)

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

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Unwrap octets, and hand them on."""
        try:
            octets = self._protection.unwrap(bytes(data))
        except WireError as e:
            self.violated(ProtocolViolated(str(e), reason="protection"))
            return
        if octets:
            self.receiver.dataReceived(octets)

    def readConnectionLost(self) -> None:
        """As L{Receiver.readConnectionLost}."""
        self.receiver.readConnectionLost()

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
        self._below.resumeProducing()

    def release(self) -> bool:
        """Never come here: L{plain} is L{None}."""
        raise NotImplementedError

    def write(self, data: bytes | memoryview) -> None:
        """Send octets, wrapped."""
        if data:
            self._below.write(self._protection.wrap(bytes(data)))

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

    def _close(self) -> None:
        """Send the protection's own end, once, where it has one."""
        protection = self._protection
        if self._isStream and isinstance(protection, StreamProtection):
            self._isStream = False
            self._below.write(protection.close())

    def loseWriteConnection(self) -> None:
        """As L{Connection.loseWriteConnection}."""
        self._close()
        self._below.loseWriteConnection()

    def loseConnection(self) -> None:
        """As L{Connection.loseConnection}."""
        self._close()
        self._below.loseConnection()

    def cut(self) -> None:
        """Close without the protection's own end."""
        self._below.cut()

    def abortConnection(self) -> None:
        """As L{Connection.abortConnection}."""
        self._below.abortConnection()
