"""
Options of commands that name a proxy, and a login for it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

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

__all__ = ["SCHEMES", "Chosen", "Misused", "chosen", "failed", "proxyOptions"]

#: By the scheme of an URL, what the proxy speaks (L{socksgw.client.kinds.KINDS}), and
#: whether TLS is below it.
SCHEMES: Final = {
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


def proxyOptions(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "--proxy",
        metavar="URL",
        default=os.environ.get(_PROXY),
        help=f"{', '.join(f'{each}://' for each in SCHEMES)} and HOST:PORT; "
        f"default: ${_PROXY}, or the agent in agent.toml",
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


class Misused(Exception):
    """An option cannot be used; the text says why."""


class Chosen(NamedTuple):
    """
    A proxy, and how to get there.

    @ivar protocol: C{"socks5"}, C{"socks4a"}, C{"socks6"} or C{"http"}.
    @ivar host: where the proxy is.
    @ivar port: its port.
    @ivar proxy: speaks to it (L{socksgw.client.proxy.Proxy}).
    @ivar login: how to log in; L{None} for not.
    @ivar tls: TLS to it (L{socksgw.system.tlsclient.ClientTLS}); L{None} for none.
    @ivar certified: whether the client's certificate is its login.
    """

    protocol: str
    host: str
    port: int
    proxy: Any
    login: Any
    tls: Any
    certified: bool


def chosen(options: argparse.Namespace, reactor: Callable[[], Any]) -> Chosen:
    """
    Return what the options of L{proxyOptions} mean.

    @param reactor: returns the reactor whose threads ask the Kerberos library.
    @raise Misused: they cannot be used.
    """
    from socksgw.client.kinds import proxyOf

    protocol, secured, where, port = _place(options.proxy or _ofAgent())
    try:
        login = _login(options, where, reactor)
        logins = () if login is None else (login,)
        if protocol == "socks4a" and logins:
            raise ValueError("SOCKS 4 has no login: use socks5:// or http://")
        proxy: Any = proxyOf(protocol, *logins)
        tls = _tls(options, where) if secured else None
    except ValueError as e:
        raise Misused(str(e)) from None
    if not secured and (options.ca or options.certificate or options.server_name):
        raise Misused(
            "--ca, --server-name and --certificate are of TLS: use "
            "socks5+tls:// or https://"
        )
    certified = options.login == "certificate"
    if certified and not options.certificate:
        raise Misused("--login certificate needs --certificate FILE")
    return Chosen(protocol, where, port, proxy, login, tls, certified)


def _ofAgent() -> str | None:
    """
    Return the URL of the user's agent; L{None} where no settings are of one.

    @raise Misused: it cannot be told from them.
    """
    from socksgw.agent.directories import settingsFile

    try:
        file = settingsFile(os.environ)
        if not file.exists():
            return None
    except (ValueError, OSError):
        # There is no such directory, or it is somebody else's.
        return None
    from socksgw.agent.settings import settingsOf
    from socksgw.config.problems import ConfigError

    try:
        places = settingsOf(file, True, {}, Path.cwd()).listen
    except ConfigError as e:
        raise Misused(f"the agent's settings: {e.lines()[0]}") from None
    for each in places:
        if not each.startswith("unix:"):
            return f"socks5://{each}"
    raise Misused(f"{file}: the agent has no TCP port: name the gateway by --proxy")


def _place(url: str | None) -> tuple[str, bool, str, int]:
    """
    Return the protocol, whether TLS is below it, the host and the port of an URL.

    @raise Misused: it is none that can be used.
    """
    if not url:
        raise Misused(f"name the gateway: --proxy socks5://HOST:1080, or set {_PROXY}")
    scheme, separator, place = url.partition("://")
    if not separator or scheme not in SCHEMES:
        # It is not repeated: it may have a password in it.
        raise Misused(
            f"the proxy's URL begins with one of {', '.join(SCHEMES)}, and ://"
        )
    if "@" in place:
        raise Misused(
            "no user and no password stand in the proxy's URL, which others "
            "see: use --user and --password-file"
        )
    host, colon, port = place.removesuffix("/").rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 0 < int(port) <= 0xFFFF):
        raise Misused("the proxy's URL ends with a port, such as :1080")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed):
        raise Misused("the proxy's URL has a host; an IPv6 address in brackets")
    return *SCHEMES[scheme], host.strip("[]"), int(port)


def _login(options: argparse.Namespace, where: str, reactor: Callable[[], Any]) -> Any:
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
            reactor(),
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


def failed(
    failure: BaseException, options: argparse.Namespace, place: str
) -> tuple[str, int]:
    """
    Return what to say of a failure, with the remedy, and the exit status.

    @param place: the destination.
    """
    if not isinstance(failure, ProxyError):
        return (f"it failed: {type(failure).__name__}: {failure}", 1)
    if isinstance(failure, ProxyUnreachable):
        return (f"{failure}: is the gateway there, and --proxy right?", 3)
    if isinstance(failure, ProxyTimedOut):
        return (f"{failure}: try again, or a longer --timeout", 3)
    if isinstance(failure, ProxyDistrusted):
        return (
            f"no TLS with the proxy ({failure}): check --proxy, --ca, --server-name, "
            "--certificate and the clock",
            3,
        )
    if isinstance(failure, NoMethodAccepted | LoginWanted):
        given = options.user or options.token_file or options.login
        other = "or with none" if given else "such as --user USER --password-file FILE"
        return (f"{failure}: log in by another method, {other}", 1)
    if isinstance(failure, LoginFailed):
        return (f"{failure}: are --user and the secret right?", 1)
    if isinstance(failure, ProxyRefused):
        return (f"{place}: {failure}", 1)
    return (f"{place}: {failure}: is --proxy of the right kind?", 1)
