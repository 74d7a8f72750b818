"""
How to log in at a place, as far as the caller has given what that needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from socksgw.client.logins.certificate import CERTIFICATE_LOGIN
from socksgw.client.logins.chap import ChapLogin
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.logins.token import TokenLogin

__all__ = ["Material", "Missing", "Way", "waysOf"]

_USER: Final = "--user and --password-file"
#: Methods of which a client says nothing: the gateway asks somebody else.
_SILENT: Final = ("none", "peer")
#: Why no option helps.
_NEVER: Final = {
    "gateway": (
        "it is for gateways, which prove themselves by a key",
        "socksgw check --probe on the gateway before this one",
    ),
    "tls": ("socksgw's own client has no TLS inside SOCKS", "try it from a client"),
}


class Material(NamedTuple):
    """
    What the caller has given.

    @ivar user: a name and password; L{None} for none.
    @ivar token: reads a bearer token; L{None} for none.
    @ivar tickets: makes a login by tickets, for C{"gssapi"} or C{"negotiate"} and the
        name of the proxy's host; L{None} for none.
    @ivar certified: whether there is a certificate to show.
    """

    user: tuple[str, str] | None = None
    token: Callable[[], bytes] | None = None
    tickets: Callable[[str, str], Any] | None = None
    certified: bool = False


class Way(NamedTuple):
    """
    One way to log in.

    @ivar method: the method of the configuration.
    @ivar called: what is said of it behind the protocol; empty for no login.
    @ivar login: how (L{socksgw.client.logins.login.Login}); L{None} for not.
    @ivar certified: whether the client's certificate is the login.
    """

    method: str = "none"
    called: str = ""
    login: Any = None
    certified: bool = False


class Missing(NamedTuple):
    """
    A method that cannot be tried.

    @ivar why: what it needs, or why nothing helps.
    @ivar remedy: what helps.
    """

    method: str
    why: str
    remedy: str


def waysOf(
    protocol: str,
    methods: Sequence[str] | None,
    secured: bool,
    host: str,
    material: Material,
) -> Iterator[Way | Missing]:
    """
    Yield each way to log in at a place, and each method that lacks something.

    @param protocol: one of C{listen.protocols}.
    @param methods: those that the listener has; L{None} where that is not known: then
        everything is tried that there is material for.
    @param secured: whether TLS is below.
    @param host: the proxy's name, for tickets.
    """
    known = methods is not None
    if methods is None:
        methods = ("none", "userpass", "chap", "gssapi", "token", "certificate")
    if any(each in _SILENT for each in methods):
        yield Way()
    if protocol == "socks4":
        # It has no login, but for one below it.
        methods = tuple(each for each in methods if each == "certificate")
    for method in methods:
        if method in _SILENT:
            continue
        found = _one(protocol, method, secured, host, material)
        if found is not None and (known or isinstance(found, Way)):
            yield found


def _one(
    protocol: str, method: str, secured: bool, host: str, material: Material
) -> Way | Missing | None:
    """Return how a method is tried; L{None} where the protocol does not have it."""
    if method == "userpass":
        if material.user is None:
            return Missing(method, "a user and a password", _USER)
        user = material.user
        return Way(method, f"as {user[0]}", PasswordLogin(*user))
    if method == "chap":
        if protocol != "socks5":
            return None
        if material.user is None:
            return Missing(method, "a user and a password", _USER)
        user = material.user
        return Way(method, f"as {user[0]} by CHAP", ChapLogin(*user))
    if method == "gssapi":
        return _byTickets(protocol, host, material)
    if method == "token":
        if protocol != "http":
            return None
        if material.token is None:
            return Missing(method, "a bearer token", "--token-file")
        return Way(method, "by a token", TokenLogin(material.token))
    if method == "certificate":
        if not secured:
            return None
        if not material.certified:
            return Missing(method, "a client certificate", "--certificate and --key")
        login = None if protocol == "socks4" else CERTIFICATE_LOGIN
        return Way(method, "by a certificate", login, True)
    why, remedy = _NEVER.get(
        method, ("socksgw's own client does not know it", "try it from a client")
    )
    return Missing(method, why, remedy)


def _byTickets(protocol: str, host: str, material: Material) -> Way | Missing | None:
    if protocol == "socks6":
        # Its draft has no such method.
        return None
    if material.tickets is None:
        return Missing("gssapi", "a ticket of Kerberos", "--ccache or --client-keytab")
    if protocol == "http":
        return Way("gssapi", "by Negotiate", material.tickets("negotiate", host))
    return Way("gssapi", "by GSSAPI", material.tickets("gssapi", host))


def tokenIn(file: Path) -> Callable[[], bytes]:
    """
    Return what reads a token.

    @raise socksgw.system.files.FileError: it cannot, or others can.
    """
    from socksgw.client.logins.secret import secretIn
    from socksgw.system.secretfile import SecretFile

    return secretIn(SecretFile(file))
