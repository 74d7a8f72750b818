"""
A connection whose login has agreed on a protection, of a client or through a hop.

What is written goes out wrapped, and what comes is unwrapped.
"""

from __future__ import annotations

from typing import Any, Final, final

from socksgw.errors import ProtocolViolated
from socksgw.system.above import Above
from socksgw.system.connection import Connection, Receiver
from socksgw.wire.levels import LEVELS
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import WireError

__all__ = ["ProtectedConnection"]

#: Octets that become one message of the protection, and less than 64 KiB of it.
_AT_ONCE: Final = 60 << 10


@final
class ProtectedConnection(Above):
    """
    A L{Connection} through a protection, above another one whose receiver it is.

    @ivar halfCloses: as of the connection below.
    @ivar secured: the stronger of the protection and the connection below.
    """

    atOnce: Final = _AT_ONCE

    def __init__(
        self,
        below: Connection,
        protection: Protection,
        receiver: Receiver,
        paused: bool = False,
    ) -> None:
        """
        Go between a connection and who takes what comes.

        @param below: the connection up to now.
        @param paused: whether it is paused, and stays so until L{take}.
        """
        super().__init__(below, receiver)
        self._protection = protection
        self._isStream = isinstance(protection, StreamProtection)
        self.halfCloses = below.halfCloses
        self.secured = max(below.secured, protection.level, key=LEVELS.index)
        if paused:
            # Its end may wait to be told: that is for whoever reads next.
            taken: Any = below
            taken.receiver = self
        else:
            below.take(self)

    # The receiver of what is below.

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Unwrap octets, and hand them on."""
        try:
            octets = self._protection.unwrap(data)
        except WireError as e:
            self.violated(ProtocolViolated(str(e), reason="protection"))
            return
        if octets:
            self.receiver.dataReceived(octets)

    def readConnectionLost(self) -> None:
        """As L{Receiver.readConnectionLost}."""
        self.receiver.readConnectionLost()

    # The connection of what is above.

    def write(self, data: bytes | memoryview) -> None:
        """Send octets, wrapped."""
        if data:
            self._below.write(self._protection.wrap(bytes(data)))

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
