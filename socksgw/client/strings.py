"""
Endpoint strings of proxies: C{socks:HOST:PORT:proxy=…}, C{httpproxy:HOST:PORT:proxy=…}.
"""

from __future__ import annotations

from typing import Any, Final, final

from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor
from twisted.plugin import IPlugin
from zope.interface import implementer

__all__ = ["OPTIONS", "ProxyStrings"]

#: Of SOCKS, and not of HTTP.
_SOCKS: Final = ("version", "userId")
#: What may stand behind host and port.
OPTIONS: Final = (
    *("proxy", "login", "user", "passwordFile", "tokenFile", "service"),
    *(*_SOCKS, "timeout"),
)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
@final
class ProxyStrings:
    """
    Makes endpoints of strings.

    What that takes is imported when a string is parsed: programs look through all
    plug-ins for each of their strings.

    @ivar prefix: what they begin with.
    """

    def __init__(self, prefix: str, kind: str) -> None:
        """@param kind: the name of the endpoint's class in L{socksgw.client.endpoint}."""
        self.prefix = prefix
        self._kind = kind

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> Any:
        r"""
        As C{IStreamClientEndpointStringParserWithReactor}.

        @param args: the destination's host and port.
        @param kwargs: C{proxy}, the endpoint string of the proxy, whose colons are
            C{\:}; and what else L{OPTIONS} has. C{passwordFile} has the password in
            its first line: no secret stands in the string, which others see in lists
            of processes.
        @raise ValueError: an option cannot be used; the text says why.
        """
        unknown = [each for each in kwargs if each not in OPTIONS]
        if unknown or len(args) != 2 or "proxy" not in kwargs:
            raise ValueError(
                rf"an endpoint string is {self.prefix}:HOST:PORT:proxy=tcp\:HOST\:PORT, "
                f"and its options are {', '.join(OPTIONS)}"
            )
        from socksgw.client import endpoint as kinds

        kind = getattr(kinds, self._kind)
        options = _options(reactor, kwargs)
        if kind is kinds.HTTPClientEndpoint and not options.keys().isdisjoint(_SOCKS):
            raise ValueError("version and userId are of SOCKS alone")
        from twisted.internet.endpoints import clientFromString

        way = clientFromString(reactor, kwargs["proxy"])
        return kind(reactor, args[0], _number("port", args[1]), way, **options)


def _options(reactor: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an endpoint."""
    from pathlib import Path

    from socksgw.client.logins.named import loginBy

    found: dict[str, Any] = {}
    if "version" in given:
        found["version"] = _number("version", given["version"])
    if "userId" in given:
        found["userId"] = given["userId"]
    if "timeout" in given:
        found["timeout"] = _number("timeout", given["timeout"]) or None
    password, token = given.get("passwordFile"), given.get("tokenFile")
    login = loginBy(
        given.get("login", ""),
        given.get("user", ""),
        Path(password) if password else None,
        Path(token) if token else None,
        service=given.get("service", ""),
        reactor=reactor,
    )
    if login is not None:
        found["login"] = login
    return found


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{key} is a number, and not {text!r}")
    return int(text)
