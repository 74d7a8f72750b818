"""
Requests for UDP in HTTP/1.1 (RFC 9298 section 3.2).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

import h11

from socksgw.wire.address import Host, parseHost
from socksgw.wire.httphead import options
from socksgw.wire.reader import WireError

__all__ = ["SWITCHED", "asksForUDP", "readDestination"]

#: The answer, behind which capsules follow (section 3.3).
SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: connect-udp\r\n"
    b"Capsule-Protocol: ?1\r\n"
    b"\r\n"
)
_TOKEN: Final = b"connect-udp"
#: The default template (section 2), in absolute form or not. A colon within the host
#: is encoded, and a host has neither brackets nor a zone.
_TARGET: Final = re.compile(
    rb"(?:(?i:https?)://[^/?#]+)?/\.well-known/masque/udp/([^/?#:\[\]]+)/([0-9]{1,5})/"
)
_ENCODED: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: Fields of messages with a content, which these have not (RFC 9297 section 3.2).
_CONTENT: Final = frozenset((b"content-length", b"content-type", b"transfer-encoding"))
#: A name has as many octets at most, as in SOCKS.
_MOST: Final = 255


def asksForUDP(head: h11.Request) -> bool:
    """Return whether a request is one for UDP."""
    # HTTP/1.0 has no upgrades (RFC 9110 section 7.8).
    return head.http_version != b"1.0" and _TOKEN in options(head.headers, b"upgrade")


def readDestination(head: h11.Request) -> tuple[Host, int, bytes]:
    """
    Return where the datagrams of a request go.

    @return: the host, the port, and the host as the client spelled it.
    @raise WireError: the request is malformed.
    """
    if head.method != b"GET":
        raise WireError("connect-udp wants GET")
    if options(head.headers, b"upgrade") != [_TOKEN]:
        raise WireError("an upgrade to connect-udp or to something else")
    if b"upgrade" not in options(head.headers, b"connection"):
        raise WireError("Upgrade that Connection does not name")
    if any(name in _CONTENT for name, _ in head.headers):
        raise WireError("connect-udp with a content")
    match = _TARGET.fullmatch(head.target)
    if match is None:
        raise WireError(
            "connect-udp wants the path /.well-known/masque/udp/HOST/PORT/, with %3A "
            "for a colon in HOST"
        )
    host, port = match[1], int(match[2])
    if _ENCODED.search(host):
        raise WireError("a % without two hexadecimal digits")
    host = unquote_to_bytes(host)
    if not 1 <= port <= 0xFFFF or len(host) > _MOST or host.startswith(b"["):
        raise WireError("no host, or no port within 1 to 65535")
    return parseHost(host), port, host
