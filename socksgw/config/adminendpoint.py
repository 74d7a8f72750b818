"""
Where the admin interface is served, as C{[admin] endpoint} writes it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from socksgw.config.listening import UNIX, parseListenAddress, parseUnixAddress
from socksgw.wire.address import Address

__all__ = ["AdminEndpoint", "parseAdminEndpoint"]

#: Before an address with its port.
_TCP: Final = "tcp:"


class AdminEndpoint(NamedTuple):
    """
    One place.

    @ivar text: as it is written.
    @ivar path: of a Unix socket, or C{@} and its abstract name; else empty.
    @ivar address: of a TCP port; else L{None}.
    @ivar port: of the same.
    @ivar endpoint: any other server endpoint string of Twisted's; else empty.
    """

    text: str
    path: str = ""
    address: Address | None = None
    port: int = 0
    endpoint: str = ""


def parseAdminEndpoint(text: str) -> AdminEndpoint:
    """
    Return the place that C{"unix:/run/gw/admin.sock"} or C{"tcp:127.0.0.1:1081"} means.

    @raise ValueError: it means none; its own text says what is wrong.
    """
    if text.startswith(UNIX):
        return AdminEndpoint(text, path=parseUnixAddress(text))
    if text.startswith(_TCP):
        address, port = parseListenAddress(text.removeprefix(_TCP))
        return AdminEndpoint(text, address=address, port=port)
    if ":" not in text:
        raise ValueError(
            'must be "unix:/absolute/path", "tcp:127.0.0.1:1081" or an endpoint with '
            'TLS, such as "ssl:1081:privateKey=gw.key:certKey=gw.pem"'
        )
    return AdminEndpoint(text, endpoint=text)
