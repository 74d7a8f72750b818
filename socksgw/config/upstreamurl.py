"""
The URLs of upstreams, as a configuration writes them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from socksgw.wire.address import Address, BadHost, parseHost

__all__ = ["BUILT", "UpstreamURL", "parsePlace", "parseUpstreamURL"]

#: The schemes that work: the protocol, and whether TLS is below it.
BUILT: Final = {
    "socks5": ("socks5", False),
    "socks5+tls": ("socks5", True),
    "socks4a": ("socks4a", False),
    "socks4a+tls": ("socks4a", True),
    "socks6": ("socks6", False),
    "socks6+tls": ("socks6", True),
    "http": ("http", False),
    "https": ("http", True),
}
#: Protocols that answer the request alone.
_AT_ONCE: Final = frozenset({"socks4a", "http"})


class UpstreamURL(NamedTuple):
    """
    Where an upstream is, and what it speaks.

    @ivar protocol: C{socks5}, C{socks4a}, C{socks6} or C{http}.
    @ivar tls: whether TLS is below it.
    @ivar host: an address, or a name.
    @ivar port: its port.
    """

    protocol: str
    tls: bool
    host: Address | str
    port: int

    @property
    def isGreeted(self) -> bool:
        """
        Whether it answers something before it has to connect anywhere.

        Of others a failure to reach them cannot be told from their refusal once the
        request is in the first packet (TCP Fast Open).
        """
        return self.tls or self.protocol not in _AT_ONCE


def parseUpstreamURL(text: str) -> UpstreamURL:
    """
    Return what the URL of an upstream says.

    @raise ValueError: it is none; its own text says what is wrong.
    """
    scheme, separator, place = text.partition("://")
    if not separator:
        raise ValueError('must be a URL such as "socks5://gw2.example:1080"')
    if scheme not in BUILT:
        known = ", ".join(BUILT)
        raise ValueError(f'"{scheme}" is not among the protocols {known}')
    if "@" in place:
        # It is not repeated: it may be a password.
        raise ValueError("may hold no user and no password: these belong to login")
    protocol, tls = BUILT[scheme]
    return UpstreamURL(protocol, tls, *parsePlace(place.removesuffix("/")))


def parsePlace(text: str) -> tuple[Address | str, int]:
    """
    Return what C{host:port} means.

    @raise ValueError: it is something else; its own text says what is wrong.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError('must end with the port, such as ":1080"')
    return _host(host), int(port)


def _host(text: str) -> Address | str:
    """
    Return the address or the name of an upstream.

    @raise ValueError: it is neither.
    """
    if text.startswith("[") and text.endswith("]"):
        return Address.parse(text[1:-1])
    if ":" in text:
        raise ValueError("an IPv6 address stands in brackets: [2001:db8::1]")
    host = parseHost(text.encode("ascii", "replace"))
    if isinstance(host, BadHost):
        raise ValueError(f'"{text}" is neither an address nor the name of a host')
    return host
