"""
The kinds of proxies, by the words that configurations have for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from socksgw.client.http import HTTPProxy
from socksgw.client.logins.login import Login
from socksgw.client.proxy import Proxy
from socksgw.client.socks import Socks4Proxy, Socks5Proxy
from socksgw.client.socks6 import Socks6Proxy

__all__ = ["KINDS", "proxyOf"]


def _four(*logins: Login) -> Proxy:
    """
    Return a proxy that speaks SOCKS 4a.

    @raise ValueError: it has no logins.
    """
    if logins:
        raise ValueError("SOCKS 4a has no login")
    return Socks4Proxy()


#: Each makes one with some logins.
KINDS: Final[Mapping[str, Callable[..., Proxy]]] = {
    "socks5": Socks5Proxy,
    "socks4a": _four,
    "socks6": Socks6Proxy,
    "http": HTTPProxy,
}


def proxyOf(kind: str, *logins: Login) -> Proxy:
    """
    Return what speaks with a proxy.

    @param kind: one of L{KINDS}.
    @param logins: the ways to log in, in order of preference; none for none.
    @raise ValueError: such a proxy cannot have one of them.
    """
    return KINDS[kind](*logins)
