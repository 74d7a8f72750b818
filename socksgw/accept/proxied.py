"""
The layer of the PROXY protocol: a sender in front tells whose connection it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from socksgw.accept.layers import Client, Preface, Upwards
from socksgw.errors import ProtocolViolated
from socksgw.system.connection import Connection
from socksgw.wire.address import Address
from socksgw.wire.proxyheader import HeaderMissing, Origin, readProxyHeader
from socksgw.wire.reader import WireError

__all__ = ["ProxyLayer"]

_STRANGER: Final = (
    "listen.proxy_protocol_from does not have this source: only the balancers that it "
    "lists may connect here; connect to them, or to a listener without that key"
)
_WANTED: Final = (
    "and listen.proxy_protocol_from has this source: have it send one (HAProxy: "
    "send-proxy-v2, nginx: proxy_protocol on), or connect to a listener without that key"
)


@final
class ProxyLayer:
    """
    A header of the PROXY protocol as a layer, below TLS where there is TLS.

    A source that is no sender, and a sender without a header, are refused once they
    say something.
    """

    __slots__ = ("_isSender",)

    def __init__(self, isSender: Callable[[Address], bool]) -> None:
        """@param isSender: whether headers from an address are believed."""
        self._isSender = isSender

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """As L{socksgw.accept.layers.Layer.over}."""
        sender = self._isSender(client.source)
        (_Header if sender else _Stranger)(below, client, upwards, early)


class _Refusing(Preface):
    """
    What can refuse a client.

    What comes meanwhile is not read: the session that records the refusal closes
    the connection.
    """

    _over = False

    def refuse(self, why: str, reason: str) -> None:
        """
        Refuse the client.

        @param why: for the operator.
        @param reason: a fixed word for the record.
        """
        self._over = True
        self.client.refused(ProtocolViolated(why, reason=reason))

    def readConnectionLost(self) -> None:
        """As L{Preface.readConnectionLost}."""
        if not self._over:
            super().readConnectionLost()

    def departed(self) -> None:
        """As L{Preface.departed}."""
        if not self._over:
            super().departed()


@final
class _Stranger(_Refusing):
    """A client that comes to the listener past its senders."""

    def dataReceived(self, data: Any) -> None:
        """Refuse the client."""
        if not self._over:
            self.refuse(_STRANGER, reason="proxy-stranger")


@final
class _Header(_Refusing):
    """The header of one connection, in as many parts as it comes."""

    def __init__(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        self._came = bytearray()
        super().__init__(below, client, upwards, early)

    def dataReceived(self, data: Any) -> None:
        """As L{Preface.dataReceived}."""
        if self._over:
            return
        came = self._came
        came += data
        try:
            found = readProxyHeader(came)
        except HeaderMissing as e:
            self.refuse(f"{e}, {_WANTED}", reason="proxy-missing")
            return
        except WireError as e:
            self.refuse(str(e), reason="proxy-header")
            return
        if found is None:
            return
        header, length = found
        client = self.client
        origin = Origin(header, client.source, client.port)
        client.forwarded(origin)
        source = header.source
        if source is not None and source[0].isLoopback and not origin.sender.isLoopback:
            # Loopback of the sender's machine is not ours.
            source = origin.sender, source[1]
        # The sender's own connections keep the place that they have as a sender's.
        if source is None or origin.own or client.comesFrom(*source):
            self.upwards(self.below, bytes(came[length:]))
