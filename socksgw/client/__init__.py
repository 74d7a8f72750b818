"""
The client's side of proxies, for Twisted programs: SOCKS 4a, 5 and 6, HTTP CONNECT.

    from socksgw.client import PasswordLogin, SocksClientEndpoint

    proxy = TCP4ClientEndpoint(reactor, "127.0.0.1", 1080)
    endpoint = SocksClientEndpoint(
        reactor, "www.example.com", 80, proxy, login=PasswordLogin("alice", secret)
    )
    connecting = endpoint.connect(factory)

C{socksgw help client} has more. What is imported from here stays; the modules below it
may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from socksgw.client.endpoint import HTTPClientEndpoint, SocksClientEndpoint
from socksgw.client.logins.login import Login
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.session import Session

if TYPE_CHECKING:
    from socksgw.client.binding import Listening, bind
    from socksgw.client.datagrams import Association, associate
    from socksgw.client.ending import endSession
    from socksgw.client.fastopen import overFastOpen
    from socksgw.client.multicast import Group, Groups, groups
    from socksgw.client.tls import overTLS
    from socksgw.client.web import proxyAgent

__all__ = [
    "Association",
    "Group",
    "Groups",
    "HTTPClientEndpoint",
    "Listening",
    "Login",
    "PasswordLogin",
    "Session",
    "SocksClientEndpoint",
    "associate",
    "bind",
    "endSession",
    "groups",
    "overFastOpen",
    "overTLS",
    "proxyAgent",
]

#: Where the other names are: what they need is not loaded for programs without them.
_LATER: Final = {
    "Association": "datagrams",
    "Group": "multicast",
    "Groups": "multicast",
    "Listening": "binding",
    "associate": "datagrams",
    "bind": "binding",
    "endSession": "ending",
    "groups": "multicast",
    "overFastOpen": "fastopen",
    "overTLS": "tls",
    "proxyAgent": "web",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    try:
        module = import_module(f"socksgw.client.{_LATER[name]}")
    except KeyError:
        raise AttributeError(f"socksgw.client has no {name}") from None
    return getattr(module, name)
