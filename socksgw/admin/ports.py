"""
The places where the admin interface is served: C{[admin] endpoint}.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final, final

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.tcp import Connection
from twisted.internet.unix import Server
from twisted.python.failure import Failure

from socksgw.accept.endpoints import remedyFor
from socksgw.accept.unixport import UnixPort, permissionsOf, remedyForPath
from socksgw.admin.access import Access
from socksgw.admin.events import Events
from socksgw.config.adminendpoint import AdminEndpoint, parseAdminEndpoint
from socksgw.config.schema import AdminConfig, Config
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.parts import Part, Ports
from socksgw.gateway.starting import CannotStart

if TYPE_CHECKING:
    from socksgw.admin.server import AdminSite

__all__ = ["AdminPorts"]


#: Seconds until clients are accepted again, after descriptors were short for one.
_REST: Final = 1.0
#: Seconds that clients have to ask, when another process has the interface.
_ASKING: Final = 2.0


@final
class _Client(Server):
    """A client at a Unix socket: descriptors that it passes are not taken."""

    def doRead(self) -> Any:
        """As C{Connection.doRead}, without C{recvmsg(2)}."""
        return Connection.doRead(self)


@final
class _Socket(UnixPort):
    """A Unix socket whose clients are Twisted's."""

    numberAccepts = 8
    reactor: Any

    def _accepting(self, accepting: bool) -> None:
        """As L{UnixPort._accepting}, by the reactor, which outlives all sessions."""
        if accepting:
            self.reactor.addReader(self)
        else:
            self.reactor.removeReader(self)

    def exhausted(self) -> None:
        """Rest, after there was no descriptor for a client."""
        self.stopReading()
        self.reactor.callLater(_REST, self._goOn)

    def _goOn(self) -> None:
        if self.connected:
            self.startReading()

    def _take(self, accepted: socket.socket, address: Any) -> bool:
        """As L{UnixPort._take}."""
        factory: Any = self.factory
        client = factory.buildProtocol(UNIXAddress(None))
        if client is None:
            accepted.close()
            return True
        accepted.setblocking(False)
        transport: Any = _Client
        client.makeConnection(transport(accepted, client, b"", self, 0, self.reactor))
        return True


@final
class AdminPorts(Part):
    """The ports of the admin interface."""

    named = "the admin interface"
    alone = True

    def __init__(self, gateway: Gateway, reactor: Any) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._admin = AdminConfig()
        self._access: Access | None = None
        self._events = Events(gateway, reactor)
        self._sites: dict[str, AdminSite] = {}
        self._sockets: dict[str, _Socket] = {}
        self._ports = Ports(self._open)

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        before = self._admin, self._access
        admin = config.admin or AdminConfig(endpoint=())
        self._admin, self._access = admin, Access(config)
        try:
            self._permit(admin)
            self._ports.change(admin.endpoint)
        except BaseException:
            self._admin, self._access = before
            self._permit(self._admin)
            raise
        self._sites = {text: self._sites[text] for text in admin.endpoint}
        self._sockets = {t: s for t, s in self._sockets.items() if t in admin.endpoint}
        for site in self._sites.values():
            site.access = self._access
            # Whoever listens may not be allowed to any longer, and asks again.
            for channel in [each for each in site.channels if each.streaming]:
                channel.cut()

    def _permit(self, admin: AdminConfig) -> None:
        """
        Give the sockets that are open their modes and owners.

        @raise CannotStart: that is not permitted.
        """
        for text, port in self._sockets.items():
            try:
                port.permit(*permissionsOf(admin.mode, admin.owner))
            except OSError as e:
                raise CannotStart(f"[admin]: {remedyForPath(text, e)}") from None

    def _open(self, text: str) -> Any:
        # Few gateways have it, and Twisted's web server takes long to import.
        from socksgw.admin.server import AdminSite

        place = parseAdminEndpoint(text)
        assert self._access is not None
        site = AdminSite(
            self._gateway, self._reactor, self._access, self._events, bool(place.path)
        )
        try:
            port = self._listen(place, site)
        except (CannotListenError, OSError) as e:
            remedy = remedyForPath if place.path else remedyFor
            raise CannotStart(f"[admin]: {remedy(text, e)}") from None
        self._sites[text] = site
        return port

    def _listen(self, place: AdminEndpoint, site: AdminSite) -> Any:
        """
        Listen at one place.

        @raise CannotListenError: the kernel does not let us.
        @raise CannotStart: the endpoint cannot be used.
        """
        if place.path:
            permissions = permissionsOf(self._admin.mode, self._admin.owner)
            port = _Socket(place.path, *permissions, site, self._reactor)
            port.startListening()
            self._sockets[place.text] = port
            return port
        if place.address is not None:
            return self._reactor.listenTCP(
                place.port, site, interface=place.address.text
            )
        opened: list[Any] = []
        try:
            listening: Deferred[Any] = serverFromString(
                self._reactor, place.endpoint
            ).listen(site)
        except Exception as e:
            # Parsers of endpoints raise whatever their arguments raise.
            raise CannotStart(f"[admin]: endpoint {place.text}: {e}") from None
        listening.addBoth(opened.append)
        if not opened:
            listening.cancel()
            raise CannotStart(f"[admin]: endpoint {place.text}: does not open at once")
        if isinstance(opened[0], Failure):
            raise CannotStart(f"[admin]: {remedyFor(place.text, opened[0].value)}")
        return opened[0]

    def bound(self) -> list[tuple[str, int]]:
        """Return the addresses and ports where it is served."""
        return self._ports.bound()

    def leave(self) -> None:
        """As L{Part.leave}: what was asked is still answered, however long it takes."""
        self._ports.change(())
        self._reactor.callLater(_ASKING, self._cut, True)

    def close(self) -> None:
        """As L{Part.close}: until the last session is over, it can be looked at."""
        self._ports.change(())
        self._cut()

    def _cut(self, answering: bool = False) -> None:
        """
        Cut the clients off.

        @param answering: whether those may stay whose answer is being made.
        """
        for site in self._sites.values():
            for channel in list(site.channels):
                if not (answering and channel.asked and not channel.streaming):
                    channel.cut()
