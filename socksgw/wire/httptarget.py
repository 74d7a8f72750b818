"""
The target of a request that a proxy passes on: an URL in absolute form.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from socksgw.wire.address import Address, BadHost, Host, parseHost
from socksgw.wire.reader import WireError

__all__ = ["Target", "readTarget"]

#: RFC 9112 section 3.2.2. What follows the authority begins with "/" or "?"; a
#: fragment is never sent.
_ABSOLUTE: Final = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([/?][^#]*)?", re.DOTALL
)
#: RFC 9110 section 4.2.1.
_DEFAULT_PORT: Final = 80
_PORT: Final = re.compile(rb"[0-9]{1,5}")


class Target(NamedTuple):
    """
    Where a request goes, and what it says there.

    @ivar host: the host, parsed (L{socksgw.wire.address.parseHost}).
    @ivar port: 1 to 65535.
    @ivar asked: the host as the client spelled it, without brackets.
    @ivar authority: the value of the field C{Host} (RFC 9112 section 3.2.2): the
        host in its normal form, and the port unless it is 80. What was judged and
        what the destination is told are the same.
    @ivar path: the target in origin form, or C{*} (section 3.2.4).
    """

    host: Host
    port: int
    asked: bytes
    authority: bytes
    path: bytes


def readTarget(method: bytes, target: bytes) -> Target:
    """
    Read the target of a request.

    @param method: of the request.
    @param target: as in the request line.
    @raise WireError: it is none that is passed on. The text does not hold it: it may
        have a password in it.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise WireError(
            "the target is no whole URL (http://host/path): this is a proxy, and no "
            "web server",
        )
    scheme, authority, path = match.groups()
    scheme = scheme.lower()
    if scheme in (b"https", b"wss"):
        raise WireError(
            f"{scheme.decode()}:// is not fetched for a client: have it ask for "
            "CONNECT host:port, and speak TLS inside"
        )
    # RFC 6455 section 3: aiohttp asks for a WebSocket in these words.
    if scheme not in (b"http", b"ws"):
        raise WireError(
            "only http:// is passed on, and CONNECT", reason="not-implemented"
        )
    if b"@" in authority:
        # RFC 9110 section 4.2.4.
        raise WireError(
            "user and password do not belong in the URL: send them in Authorization",
        )
    asked, port = _split(authority)
    host = parseHost(asked)
    if not path:
        # RFC 9112 section 3.2.4.
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    if asked.startswith(b"["):
        asked = asked[1:-1]
    return Target(host, port, asked, _authority(host, port), path)


def _split(authority: bytes) -> tuple[bytes, int]:
    """Return the host and the port of an authority (RFC 3986 section 3.2)."""
    if authority.startswith(b"["):
        host, bracket, rest = authority.partition(b"]")
        host += bracket
        if not bracket or rest[:1] not in (b"", b":"):
            raise WireError("the URL has no host that could be read")
        digits = rest[1:]
    else:
        host, _, digits = authority.partition(b":")
    if not host:
        raise WireError("the URL has no host")
    if not digits:
        return host, _DEFAULT_PORT
    if not _PORT.fullmatch(digits) or not 0 < int(digits) <= 0xFFFF:
        raise WireError("the port in the URL is not within 1 to 65535")
    return host, int(digits)


def _authority(host: Host, port: int) -> bytes:
    if isinstance(host, BadHost):
        # It is refused before anybody is told of it.
        return b""
    text = str(host)
    if isinstance(host, Address) and host.version == 6:
        text = f"[{text}]"
    if port != _DEFAULT_PORT:
        text += f":{port}"
    return text.encode("ascii")
