"""
The program for browsers, served over HTTP: C{[pac]}.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any, Final, Protocol, final

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.protocols.policies import ThrottlingFactory
from twisted.python.failure import Failure
from twisted.web.http import CACHED, PRECONDITION_FAILED, HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from socksgw.accept.endpoints import remedyFor
from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config
from socksgw.gateway.generation import Generation
from socksgw.gateway.listeners import CannotStart
from socksgw.gateway.pac import listenerOf, proxyAt
from socksgw.policy.pac import pacOf

__all__ = ["PacPorts"]

#: Browsers that are answered at a time, and seconds that one may take to ask and to
#: read the answer.
_MOST: Final = 256
_PATIENCE: Final = 15
#: Seconds for which a browser may keep the program.
_KEEP: Final = 600
#: What a browser has asked at: a name or an IPv4 address, or an IPv6 address.
_HOST: Final = re.compile(
    rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
#: Programs that are kept, one for each name of the gateway.
_KEPT: Final = 64


class Service(Protocol):
    """What this needs of a gateway."""

    @property
    def config(self) -> Config: ...

    @property
    def generation(self) -> Generation: ...


@final
class _Program(Resource):
    """The program, as one browser after another asks for it."""

    def __init__(self, gateway: Service) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gateway = gateway
        self._of: Generation | None = None
        self._kept: dict[str, tuple[bytes, bytes]] = {}

    def render_GET(self, request: Request) -> bytes:
        """Return the program for the name by which it is asked for."""
        pac = self._gateway.config.pac
        if pac is None:
            # The port is about to close.
            request.setResponseCode(404)
            return b""
        host = pac.host
        if not host:
            asked = _HOST.fullmatch(request.getHeader(b"host") or b"")
            if asked is None:
                request.setResponseCode(400)
                return b"the Host field names no host\n"
            host = asked[1].decode("ascii")
        elif ":" in host:
            host = f"[{host}]"
        body, tag = self._made(pac.listener, host)
        request.setHeader(b"content-type", b"application/x-ns-proxy-autoconfig")
        request.setHeader(b"cache-control", b"max-age=%d" % _KEEP)
        if request.setETag(tag) in (CACHED, PRECONDITION_FAILED):
            return b""
        return body

    def _made(self, listener: str, host: str) -> tuple[bytes, bytes]:
        """Return the program, and what tells it from others."""
        gateway = self._gateway
        if self._of is not gateway.generation:
            self._of = gateway.generation
            self._kept.clear()
        found = self._kept.get(host)
        if found is None:
            listen = listenerOf(gateway.config, listener)
            ruleset = gateway.generation.policy.ruleset
            body = pacOf(ruleset, listen.name, proxyAt(listen, host)).encode()
            found = body, b'"%s"' % sha256(body).hexdigest()[:32].encode()
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[host] = found
        return found


class _Once(HTTPChannel):
    """
    One request of one browser.

    What comes behind it is not read: many requests at once, whose answers nobody takes,
    would fill the memory.
    """

    _end: Any = None

    def connectionMade(self) -> None:
        """As C{HTTPChannel.connectionMade}."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        transport: Any = self.transport
        self._end = self.callLater(_PATIENCE, transport.abortConnection)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """As C{HTTPChannel.connectionLost}."""
        if self._end.active():
            self._end.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """As C{HTTPChannel.checkPersistence}."""
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return False


class _Bare(Request):
    """A request whose content is thrown away, not stored in a file."""

    def gotLength(self, length: int | None) -> None:
        """As C{Request.gotLength}."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """As C{Request.handleContentChunk}."""


class _Quiet(Site):
    """A web server that writes no line for each request."""

    protocol = _Once  # type: ignore[assignment]

    def log(self, request: Any) -> None:
        """As C{Site.log}."""


@final
class PacPorts:
    """The ports where the program is served."""

    def __init__(self, gateway: Service, reactor: Any) -> None:
        self._reactor = reactor
        root = Resource()
        program = _Program(gateway)
        root.putChild(b"proxy.pac", program)
        root.putChild(b"wpad.dat", program)
        # The channel sees to the time.
        site = _Quiet(root, _Bare, timeout=None)  # type: ignore[no-untyped-call]
        site.displayTracebacks = False
        self._factory = ThrottlingFactory(site, _MOST)
        self._factory.noisy = False
        self._ports: dict[str, Any] = {}

    def change(self, addresses: Sequence[str]) -> None:
        """
        Serve at these addresses, and at no others.

        @raise CannotStart: one of them cannot be listened on. Nothing has changed then.
        """
        opened: dict[str, Any] = {}
        try:
            for text in addresses:
                if text not in self._ports:
                    opened[text] = self._open(text)
        except CannotStart:
            for port in opened.values():
                maybeDeferred(port.stopListening)
            raise
        for text in [each for each in self._ports if each not in addresses]:
            maybeDeferred(self._ports.pop(text).stopListening)
        self._ports |= opened

    def _open(self, text: str) -> Any:
        address, port = parseListenAddress(text)
        try:
            return self._reactor.listenTCP(port, self._factory, interface=address.text)
        except CannotListenError as e:
            raise CannotStart(f"[pac]: {remedyFor(text, e)}") from None

    def bound(self) -> list[tuple[str, int]]:
        """Return the addresses and ports where it is served."""
        hosts = [port.getHost() for port in self._ports.values()]
        return [(each.host, each.port) for each in hosts]

    def close(self) -> None:
        """Serve nothing more."""
        self.change(())
