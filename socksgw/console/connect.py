"""
A connection through a gateway on standard streams: C{socksgw connect}.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from socksgw.client.errors import (
    LoginFailed,
    LoginWanted,
    NoMethodAccepted,
    ProxyDistrusted,
    ProxyError,
    ProxyRefused,
    ProxyTimedOut,
    ProxyUnreachable,
)
from socksgw.client.logins.named import LOGINS, loginBy

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "connectMain", "options"]

HELP: Final = "connect to a host through a gateway, on standard input and output"
DESCRIPTION: Final = (
    "Connect to HOST:PORT through a SOCKS or HTTP proxy, and carry standard input and "
    "output. The proxy looks HOST up. For OpenSSH: ProxyCommand socksgw connect %h %p "
    "--proxy URL"
)
EPILOG: Final = (
    "Exit status 0 when the connection has ended in order, 1 if the proxy refuses the "
    "login or the destination, or the connection breaks, 2 for wrong use, 3 if the "
    "proxy cannot be reached, or is not the one that is meant. See socksgw help client."
)
#: The kinds of proxies, each with whether TLS is below it.
_SCHEMES: Final = {
    "socks5": ("socks5", False),
    "socks5+tls": ("socks5", True),
    "socks4a": ("socks4a", False),
    "socks4a+tls": ("socks4a", True),
    "socks6": ("socks6", False),
    "socks6+tls": ("socks6", True),
    "http": ("http", False),
    "https": ("http", True),
}
_PROXY: Final = "SOCKSGW_PROXY"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("host", metavar="HOST", help="the destination: a name or an address")
    add("port", metavar="PORT", type=int, help="its port")
    add(
        "--proxy",
        metavar="URL",
        default=os.environ.get(_PROXY),
        help=f"{', '.join(f'{each}://' for each in _SCHEMES)} and HOST:PORT; "
        f"default: ${_PROXY}",
    )
    add("--login", choices=LOGINS, default="", help="default: by the other options")
    add("--user", metavar="USER", default="", help="the user's name, for a password")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--password-file",
        metavar="FILE",
        type=Path,
        help="the password is its first line; nobody else may read it",
    )
    secret.add_argument(
        "--password-env",
        metavar="NAME",
        help="the password is in this variable of the environment",
    )
    secret.add_argument(
        "--keyring",
        action="store_true",
        help="take the password from the keyring of the desktop; put it there by: "
        "keyring set socksgw:PROXY-HOST USER",
    )
    secret.add_argument(
        "--token-file", metavar="FILE", type=Path, help="the file of a bearer token"
    )
    add(
        "--service",
        metavar="NAME",
        default="",
        help="the proxy's service in Kerberos; default: rcmd@PROXY-HOST, for HTTP "
        "HTTP@PROXY-HOST",
    )
    add(
        "--ca",
        metavar="FILE",
        type=Path,
        help="who signs the proxy's certificate; default: the system's authorities",
    )
    add(
        "--server-name",
        metavar="NAME",
        help="the name in the proxy's certificate; default: that of the URL",
    )
    add(
        "--certificate",
        metavar="FILE",
        type=Path,
        help="the user's certificate, in PEM",
    )
    add(
        "--key",
        metavar="FILE",
        type=Path,
        help="its key; default: in the same file",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="for all that comes before the connection is open; default: 30",
    )


class _Misused(Exception):
    """An option cannot be used; the text says why."""


def connectMain(options: argparse.Namespace) -> int:
    """Run the command, and return its exit status."""
    try:
        opening = _prepared(options)
    except _Misused as e:
        return _said(str(e), 2)
    return _run(opening, options)


def _theReactor() -> Any:
    """Return the reactor: one that takes a file as standard input, as epoll does not."""
    from twisted.internet import pollreactor
    from twisted.internet.error import ReactorAlreadyInstalledError

    with suppress(ReactorAlreadyInstalledError):
        pollreactor.install()
    from twisted.internet import reactor

    return reactor


def _said(text: str, status: int) -> int:
    print(f"socksgw connect: {text}", file=sys.stderr)
    return status


def _prepared(options: argparse.Namespace) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """
    Return what opens the connection.

    @raise _Misused: an option cannot be used.
    """
    from socksgw.client.dialling import dialled, through
    from socksgw.client.endpoint import destination
    from socksgw.client.kinds import proxyOf

    protocol, secured, where, port = _place(options.proxy)
    try:
        host = destination(options.host)
        if not 0 < options.port <= 0xFFFF:
            raise ValueError("PORT is within 1 to 65535")
        login = _login(options, where)
        logins = () if login is None else (login,)
        if protocol == "socks4a" and logins:
            raise ValueError("SOCKS 4 has no login: use socks5:// or http://")
        proxy: Any = proxyOf(protocol, *logins)
        tls = _tls(options, where) if secured else None
    except ValueError as e:
        raise _Misused(str(e)) from None
    if not secured and (options.ca or options.certificate or options.server_name):
        raise _Misused(
            "--ca, --server-name and --certificate are of TLS: use "
            "socks5+tls:// or https://"
        )

    certified = options.login == "certificate"
    if certified and not options.certificate:
        raise _Misused("--login certificate needs --certificate FILE")

    def opening(watch: Any) -> Coroutine[Any, Any, Any]:
        def dial() -> Any:
            return dialled(where, port, options.timeout)

        return through(dial, watch, tls, proxy, host, options.port, certified)

    return opening


def _place(url: str | None) -> tuple[str, bool, str, int]:
    """
    Return the protocol, whether TLS is below it, the host and the port of an URL.

    @raise _Misused: it is none that can be used.
    """
    if not url:
        raise _Misused(f"name the gateway: --proxy socks5://HOST:1080, or set {_PROXY}")
    scheme, separator, place = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        # It is not repeated: it may have a password in it.
        raise _Misused(
            f"the proxy's URL begins with one of {', '.join(_SCHEMES)}, and ://"
        )
    if "@" in place:
        raise _Misused(
            "no user and no password stand in the proxy's URL, which others "
            "see: use --user and --password-file"
        )
    host, colon, port = place.removesuffix("/").rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 0 < int(port) <= 0xFFFF):
        raise _Misused("the proxy's URL ends with a port, such as :1080")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed):
        raise _Misused("the proxy's URL has a host; an IPv6 address in brackets")
    return *_SCHEMES[scheme], host.strip("[]"), int(port)


def _login(options: argparse.Namespace, where: str) -> Any:
    """
    Return the login, or L{None} for none.

    @raise ValueError: the options do not go together, or there is no secret.
    """
    from socksgw.client.logins.password import PasswordLogin

    if options.keyring:
        from socksgw.agent.settings import Account
        from socksgw.agent.wallet import Wallet

        if not options.user:
            raise ValueError("--keyring needs --user USER")
        wallet = Wallet(Account(f"socksgw:{where}", options.user), time.monotonic)
        trouble = wallet.look()
        if trouble is not None:
            raise ValueError(str(trouble))
        return loginBy("userpass", options.user, Path(wallet.path))
    if options.password_env:
        password = os.environ.get(options.password_env)
        if not password or not options.user:
            raise ValueError(
                f"--password-env needs --user USER, and ${options.password_env}"
            )
        return PasswordLogin(options.user, password)
    if options.login in ("gssapi", "negotiate"):
        return loginBy(
            options.login,
            options.user,
            options.password_file,
            options.token_file,
            where,
            options.service,
            _theReactor(),
        )
    if options.user and not options.password_file and not options.login:
        raise ValueError(
            "name the password of --user: --password-file, --password-env or --keyring"
        )
    return loginBy(
        options.login, options.user, options.password_file, options.token_file
    )


def _tls(options: argparse.Namespace, where: str) -> Any:
    from socksgw.system.tlsclient import ClientTLS

    name = options.server_name or where
    return ClientTLS(name, options.ca, options.certificate, options.key)


def _run(opening: Callable[[Any], Any], options: argparse.Namespace) -> int:
    from socksgw.client.reach import within
    from socksgw.client.standard import Streams
    from socksgw.system.watch import Watch

    reactor = _theReactor()
    watch = Watch(reactor)
    watch.start()
    statuses: list[int] = []

    def opened(found: Any, told: Any) -> None:
        connection, early = found
        Streams(reactor, connection, early, 0, 1).done.chainDeferred(told)

    def over(result: Any) -> None:
        failure = getattr(result, "value", None)
        statuses.append(0 if failure is None else _failed(failure, options))
        reactor.stop()

    def begin() -> None:
        within(reactor, options.timeout, opening(watch), opened).addBoth(over)

    reactor.callWhenRunning(begin)
    reactor.run()
    watch.stop()
    return statuses[0] if statuses else 1


def _failed(failure: BaseException, options: argparse.Namespace) -> int:
    """Say what went wrong, with the remedy, and return the exit status."""
    if not isinstance(failure, ProxyError):
        return _said(f"it failed: {type(failure).__name__}: {failure}", 1)
    if isinstance(failure, ProxyUnreachable):
        return _said(f"{failure}: is the gateway there, and --proxy right?", 3)
    if isinstance(failure, ProxyTimedOut):
        return _said(f"{failure}: try again, or a longer --timeout", 3)
    if isinstance(failure, ProxyDistrusted):
        return _said(
            f"no TLS with the proxy ({failure}): check --proxy, --ca, --server-name, "
            "--certificate and the clock",
            3,
        )
    if isinstance(failure, NoMethodAccepted | LoginWanted):
        given = options.user or options.token_file or options.login
        other = "or with none" if given else "such as --user USER --password-file FILE"
        return _said(f"{failure}: log in by another method, {other}", 1)
    if isinstance(failure, LoginFailed):
        return _said(f"{failure}: are --user and the secret right?", 1)
    place = f"{options.host} port {options.port}"
    if isinstance(failure, ProxyRefused):
        return _said(f"{place}: {failure}", 1)
    return _said(f"{place}: {failure}: is --proxy of the right kind?", 1)
