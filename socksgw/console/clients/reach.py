"""
How programs reach a listener: where it is, what it speaks, how they log in.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import quote

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config, Listen
from socksgw.wire.address import Address

__all__ = ["LOGINS", "Reach", "addOptions", "reaches"]

#: What people type as the user where none is given.
_SOMEBODY: Final = "USER"
#: What clients show, by the names of methods in C{auth.choose}.
_SHOWN: Final[Mapping[str, str]] = {
    "none": "none",
    "gssapi": "kerberos",
    "certificate": "certificate",
    "userpass": "password",
    "chap": "chap",
}
#: The logins that C{--login} takes, those that ask least of people first.
LOGINS: Final = ("none", "kerberos", "certificate", "chap", "password")
_ALL: Final = frozenset({"socks5", "socks4", "http"})


class Reach(NamedTuple):
    """
    One listener, as its clients see it.

    @ivar listener: its name; empty where it is known by its address alone.
    @ivar host: the name or the address that clients connect to.
    @ivar port: its port.
    @ivar protocols: what it speaks, as in C{listen.protocols}.
    @ivar tls: whether all of it is inside TLS.
    @ivar logins: what clients may show, of L{LOGINS}.
    @ivar user: who logs in.
    """

    listener: str
    host: str
    port: int
    protocols: frozenset[str]
    tls: bool
    logins: frozenset[str]
    user: str

    def __str__(self) -> str:
        return f'"{self.listener}"' if self.listener else self.at

    @property
    def at(self) -> str:
        """Host and port, as URLs and most programs have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def isAddress(self) -> bool:
        """Whether the host is an address, and no name."""
        try:
            Address.parse(self.host)
        except ValueError:
            return False
        return True

    @property
    def words(self) -> Mapping[str, object]:
        """What stands for C{{these}} in the texts of programs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return {
            "host": self.host,
            "bracketed": host,
            "port": self.port,
            "at": self.at,
            "user": self.user,
            "quoted": self.user if self.user == _SOMEBODY else quote(self.user, ""),
        }


def addOptions(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which listener is meant."""
    parser.add_argument(
        "--proxy",
        metavar="HOST:PORT",
        help="a gateway or an agent (socksgw agent) whose configuration is not here; "
        "it is taken to serve SOCKS and HTTP, without TLS",
    )
    parser.add_argument(
        "--listener", metavar="L", help="default: the first that the program can use"
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="what clients call the gateway; default: the listener's address",
    )
    parser.add_argument(
        "--login",
        choices=LOGINS,
        help="how to log in; default: of what the listener accepts, the one that asks "
        "least of people",
    )
    parser.add_argument(
        "--user", metavar="U", default=_SOMEBODY, help="who logs in; default: USER"
    )


def reaches(config: Config, options: argparse.Namespace) -> list[Reach]:
    """
    Return the listeners that are meant, in order.

    @param options: as of L{addOptions}.
    @raise ValueError: there is none; or an option is wrong.
    """
    if not options.user or not options.user.isprintable() or '"' in options.user:
        raise ValueError("--user is not a user's name")
    if options.proxy is not None:
        if options.listener is not None:
            raise ValueError("--listener is one of a configuration: leave out --proxy")
        return [_elsewhere(options)]
    found = [
        reach
        for listen in config.listen
        if options.listener in (None, listen.name)
        for reach in _of(config, listen, options)
    ]
    if found:
        return found
    where = config.file or "the configuration"
    if options.listener is not None:
        names = ", ".join(f'"{each.name}"' for each in config.listen)
        raise ValueError(
            f'{where}: "{options.listener}" is no listener with a port that clients '
            f"speak to a proxy on; its listeners: {names}"
        )
    login = "" if options.login is None else f' and the login "{options.login}"'
    raise ValueError(
        f"{where} has no listener with a port{login}; say --proxy HOST:PORT"
    )


def _elsewhere(options: argparse.Namespace) -> Reach:
    """
    Return what C{--proxy} says.

    @raise ValueError: it is no host with a port.
    """
    host, colon, port = options.proxy.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('--proxy: an IPv6 address stands in brackets: "[::1]:1080"')
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    if not colon or not _isHost(host) or not 1 <= number <= 65535:
        raise ValueError("--proxy must be HOST:PORT, such as 127.0.0.1:1080")
    login = options.login or "none"
    return Reach("", host, number, _ALL, False, frozenset({login}), options.user)


def _of(config: Config, listen: Listen, options: argparse.Namespace) -> Iterator[Reach]:
    """Yield how one listener is reached; nothing where programs cannot be told."""
    if listen.transparent is not None:
        return
    if options.host is not None and not _isHost(options.host):
        raise ValueError("--host is neither a name nor an address")
    for text in listen.address:
        with suppress(ValueError):
            address, port = parseListenAddress(text)
            if not port:
                continue
            host = options.host or _hostOf(address)
            logins = _logins(config, listen.name)
            if options.login is not None:
                if options.login not in logins:
                    continue
                logins = frozenset({options.login})
            yield Reach(
                listen.name,
                host,
                port,
                frozenset(listen.protocols),
                listen.tls is not None,
                logins,
                options.user,
            )


def _hostOf(address: Address) -> str:
    """Return what clients call a listener; a placeholder where it has all addresses."""
    return "GATEWAY" if address.isUnspecified else address.text


def _logins(config: Config, listener: str) -> frozenset[str]:
    """Return what clients of a listener may show, wherever they come from."""
    return frozenset(
        _SHOWN[method]
        for choose in config.auth.choose
        if choose.listener is None or listener in choose.listener
        for method in choose.methods
        if method in _SHOWN
    )


def _isHost(text: str) -> bool:
    return bool(text) and not any(c in "/@'\"\\$`" or c.isspace() for c in text)
