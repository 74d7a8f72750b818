"""
The seam between a dialogue with one proxy and what carries its octets.

A dialogue writes, and awaits what the proxy answers. There are two carriers: a
L{Connection<socksgw.system.connection.Connection>} (L{ConnectionLink}) for the
gateway's hops, and a transport of Twisted's (L{socksgw.client.endpoint}) for
programs.
"""

from __future__ import annotations

from typing import Any, Final, final

from twisted.internet.error import ConnectError, ConnectionDone
from twisted.python.failure import Failure

from socksgw.client.errors import (
    ProtocolBroken,
    ProxyClosed,
    ProxyDistrusted,
    ProxyError,
    ProxyTimedOut,
    unreached,
)
from socksgw.errors import SocksError
from socksgw.system.connection import Connection
from socksgw.system.coroutines import Awaited
from socksgw.system.tlsfailed import TLSCut, TLSFailed
from socksgw.wire.levels import CONFIDENTIALITY

__all__ = ["ConnectionLink", "Link"]

#: So many octets are kept that nobody awaits: then the proxy is read no more.
_MOST: Final = 1 << 16


class Link:
    """
    One connection to a proxy, as a dialogue sees it.

    One dialogue at a time uses it.

    @ivar surplus: what came of the proxy behind its last reply; it belongs to what
        follows the dialogue.
    @ivar asked: whether the request has been sent. What becomes of the connection then
        may be the proxy's answer to it.
    """

    __slots__ = ("_came", "_failure", "_waiting", "asked", "surplus")

    def __init__(self) -> None:
        self.surplus = b""
        self.asked = False
        self._came = b""
        self._failure: ProxyError | None = None
        self._waiting: Awaited[bytes] | None = None

    @property
    def secured(self) -> bool:
        """Whether nobody on the way reads what is said, or changes it."""
        raise NotImplementedError

    def write(self, octets: bytes) -> None:
        """Send octets to the proxy."""
        raise NotImplementedError

    def pause(self) -> None:
        """Read nothing more of the proxy, until something else does."""
        raise NotImplementedError

    async def more(self) -> bytes:
        """
        Return the octets that came, or the next that come.

        @raise ProxyError: the proxy has ended the connection.
        """
        if self._came:
            octets, self._came = self._came, b""
            return octets
        if self._failure is not None:
            raise _fresh(self._failure)
        self._waiting = waiting = Awaited[bytes]()
        try:
            return await waiting
        finally:
            self._waiting = None

    def expire(self) -> None:
        """Have the dialogue fail, since its time is up."""
        self.ended(ProxyTimedOut("the proxy has not answered in time"))

    # What the carrier tells.

    def came(self, octets: bytes) -> None:
        """Take octets of the proxy."""
        waiting = self._waiting
        if waiting is not None and not waiting.called:
            self._waiting = None
            waiting.callback(octets)
            return
        self._came += octets
        if len(self._came) > _MOST:
            self.pause()
            # Whoever reads them and needs more is not kept waiting for it.
            self.ended(ProtocolBroken("the proxy sends what nobody waits for"))

    def ended(self, failure: ProxyError) -> None:
        """Take note that nothing more comes; only the first call counts."""
        if self._failure is not None:
            return
        self._failure = failure
        waiting = self._waiting
        if waiting is not None and not waiting.called:
            self._waiting = None
            waiting.errback(Failure(_fresh(failure)))


def _fresh(failure: ProxyError) -> ProxyError:
    """
    Return another one like it, to be raised.

    What is raised leads by its traceback to the link that would keep it: a circle.
    """
    return type(failure)(str(failure))


@final
class ConnectionLink(Link):
    """
    A link on a connection of the gateway's.

    It is the connection's receiver, until another one takes that.

    @ivar connection: what carries it.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        """
        Read the connection from now on.

        @param connection: to the proxy; it is closed by whoever opened it.
        """
        super().__init__()
        self.connection = connection
        connection.take(self)

    @property
    def secured(self) -> bool:
        """As L{Link.secured}."""
        return self.connection.secured == CONFIDENTIALITY

    def write(self, octets: bytes) -> None:
        """As L{Link.write}."""
        self.connection.write(octets)

    def pause(self) -> None:
        """As L{Link.pause}."""
        self.connection.pauseProducing()

    # As the connection's Receiver.

    def dataReceived(self, data: Any) -> None:
        """Take octets."""
        self.came(bytes(data))

    def readConnectionLost(self) -> None:
        """Take note that the proxy has ended its side."""
        self.ended(ProxyClosed("the proxy closed the connection without a reply"))

    def departed(self) -> None:
        """Octets that wait are told first; the end is told when they are read."""

    def violated(self, failure: SocksError) -> None:
        """Take note that what is below is not what it should be."""
        self.ended(ProxyDistrusted(str(failure)))

    def connectionLost(self, reason: Failure) -> None:
        """Take note that the connection is gone."""
        error = reason.value
        if isinstance(error, TLSFailed) and not isinstance(error, TLSCut):
            self.ended(ProxyDistrusted(f"TLS to the proxy failed: {error}"))
            return
        if isinstance(error, ConnectError):
            self.ended(unreached(error))
            return
        how = "closed" if reason.check(ConnectionDone) else "reset"
        self.ended(ProxyClosed(f"the proxy {how} the connection without a reply"))
