"""
The ports where the program for browsers is served: C{[pac]}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from twisted.internet.error import CannotListenError

from socksgw.accept.endpoints import remedyFor
from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config
from socksgw.gateway.parts import Part, Ports
from socksgw.gateway.starting import CannotStart

if TYPE_CHECKING:
    from socksgw.gateway.pacserver import Service

__all__ = ["PacPorts"]


@final
class PacPorts(Part):
    """The ports where the program is served."""

    named = "the program for browsers"
    alone = True

    def __init__(self, gateway: Service, reactor: Any) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._factory: Any = None
        self._ports = Ports(self._open)

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        self._ports.change(() if config.pac is None else config.pac.address)

    def _open(self, text: str) -> Any:
        if self._factory is None:
            # Few gateways do, and Twisted's web server takes long to import.
            from socksgw.gateway.pacserver import pacFactory

            self._factory = pacFactory(self._gateway)
        address, port = parseListenAddress(text)
        try:
            return self._reactor.listenTCP(port, self._factory, interface=address.text)
        except CannotListenError as e:
            raise CannotStart(f"[pac]: {remedyFor(text, e)}") from None

    def draining(self) -> None:
        """As L{Part.draining}: browsers are sent here no longer."""
        self._ports.change(())

    def leave(self) -> None:
        """As L{Part.leave}."""
        self._ports.change(())
