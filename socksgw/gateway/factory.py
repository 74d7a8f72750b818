"""
The gateway as a protocol factory, for endpoints of other programs.
"""

from __future__ import annotations

from typing import final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from socksgw.accept.bridge import TwistedProtocol
from socksgw.gateway.gateway import Gateway

__all__ = ["SocksFactory"]


@final
class SocksFactory(Factory):
    """
    A factory for any Twisted endpoint: C{endpoint.listen(SocksFactory(gateway))}.

    It starts the gateway when the endpoint listens. L{Gateway.stop} stops it.
    """

    noisy = False

    def __init__(self, gateway: Gateway, listener: str | None = None) -> None:
        """
        Serve the clients of one listener.

        @param listener: the C{[[listen]]} whose protocols, limits and name
            apply; by default the first.
        @raise KeyError: there is no such listener.
        """
        self._gateway = gateway
        name = listener or next(iter(gateway.listeners))
        self._listener = gateway.listeners[name]

    def startFactory(self) -> None:
        """
        Start the gateway; Twisted calls this when the endpoint listens.
        """
        self._gateway.start()

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol | None:
        """
        Return the protocol of a client, or L{None} when there is no room for it.
        """
        client = self._listener.buildProtocol(addr)
        if client is None:
            return None
        # The endpoint is not ours: what its sockets are set to is not known.
        return TwistedProtocol(client, self._gateway.watch, ours=False)
