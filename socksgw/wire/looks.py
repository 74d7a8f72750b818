"""
What a client speaks that does not speak what is spoken at its listener.
"""

from __future__ import annotations

from typing import Final

from socksgw.wire.codes import SOCKS4, SOCKS5

__all__ = ["LOOKED_AT", "PROXY1", "insteadOfTLS", "lookOf"]

_HTTP: Final = (
    "HTTP: the client takes this for an HTTP proxy; say socks5h:// to it, and to "
    "Chromium --proxy-server=socks5:// (which under ALL_PROXY=socks5h:// speaks HTTP), "
    'or let the listener take it: protocols = ["socks5", "socks4", "http"]'
)
#: The first letters of requests.
_METHODS: Final = b"CDGHOPT"
_PROXY: Final = (
    "a PROXY header, which is not taken here: switch it off at the balancer "
    "(send-proxy), or name the balancer in listen.proxy_protocol_from"
)
#: What others begin with, by the first octet.
_LOOKS_LIKE: Final = {
    SOCKS4: "SOCKS 4, which is not spoken here; protocols of the listener says what is",
    SOCKS5: "SOCKS 5, which is not spoken here; protocols of the listener says what is",
    0x16: "TLS, which is not spoken here; use a listener with TLS, or none at the "
    "client (http:// in the URL of an HTTP proxy)",
    # The PROXY protocol, version 2, section 2.2.
    0x0D: _PROXY,
    **dict.fromkeys(_METHODS, _HTTP),
}
#: Version 1 (section 2.1), whose first letter several methods of HTTP have.
PROXY1: Final = b"PROXY "
#: How version 2 of a PROXY header begins.
_PROXY2: Final = b"\r\n\r\n"
#: As many of the first octets as are looked at.
LOOKED_AT: Final = len(PROXY1)


def lookOf(octets: bytes) -> str:
    """
    Say what a client speaks that does not speak what is spoken here, and the remedy.

    @param octets: its first ones; as many as C{PROXY} and a space has are looked at.
    """
    if octets.startswith(PROXY1):
        return _PROXY
    return _LOOKS_LIKE.get(octets[0], "no SOCKS that is spoken here")


def insteadOfTLS(octets: bytes) -> str:
    """
    Say what a client speaks in the place of TLS, and the remedy.

    @param octets: its first ones, L{LOOKED_AT} at most.
    @return: empty where it is nothing that is known: scanners send much.
    """
    version = octets[0]
    # In SOCKS 5 the number of methods is behind the version: few, in a greeting.
    if version == SOCKS4 or (version == SOCKS5 and octets[1:2] < b"\x10"):
        return (
            f"SOCKS {version} without TLS, which is wanted here: use a client with TLS "
            "(stunnel, socat), or a listener without"
        )
    if version in _METHODS and octets[:3].isalpha() and octets[:6] != PROXY1:
        return (
            "HTTP without TLS, which is wanted here: write https:// in the proxy's URL, "
            'with "http" in protocols of the listener; or use a listener without'
        )
    if octets[:3].isalpha() or octets.startswith(_PROXY2):
        return f"TLS is wanted here, and this is {lookOf(octets)}"
    return ""
