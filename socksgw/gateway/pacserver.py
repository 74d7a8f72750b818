"""
The program for browsers, served over HTTP: C{[pac]}.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final, Protocol, final

from twisted.web.http import CACHED, PRECONDITION_FAILED
from twisted.web.resource import Resource
from twisted.web.server import Request

from socksgw.config.schema import Config
from socksgw.gateway.generation import Generation
from socksgw.gateway.pac import listenerOf, proxyAt
from socksgw.policy.pac import pacOf
from socksgw.system.webserver import BoundedRequest, BoundedSite

__all__ = ["pacFactory"]

#: Browsers that are answered at a time.
_MOST: Final = 256
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


def pacFactory(gateway: Service) -> Any:
    """Return what serves the program to browsers."""
    root = Resource()
    program = _Program(gateway)
    root.putChild(b"proxy.pac", program)
    root.putChild(b"wpad.dat", program)
    return BoundedSite(root, BoundedRequest, _MOST)
