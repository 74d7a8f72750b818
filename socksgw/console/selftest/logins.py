"""
How to log in at a place, as far as the caller has given what that needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from socksgw.client.logins.certificate import CERTIFICATE_LOGIN
from socksgw.client.logins.chap import ChapLogin
from socksgw.client.logins.inside import InsideLogin
from socksgw.client.logins.none import NO_LOGIN
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.logins.token import TokenLogin
from socksgw.console.selftest.places import SILENT, Inside, Place
from socksgw.system.tlsclient import ClientTLS
from socksgw.wire.assertion import TYPE, Assertion
from socksgw.wire.levels import CONFIDENTIALITY
from socksgw.wire.proxywriter import proxyHeader

__all__ = ["Material", "Missing", "Way", "signedBy", "tokenIn", "waysOf"]

_USER: Final = "--user and --password-file"
#: What a login inside TLS can be.
_INSIDE: Final = ("none", "userpass", "chap")


class Material(NamedTuple):
    """
    What the caller has given.

    @ivar user: a name and password; L{None} for none.
    @ivar token: reads a bearer token; L{None} for none.
    @ivar tickets: makes a login by tickets, for C{"gssapi"} or C{"negotiate"} and the
        name of the proxy's host; L{None} for none.
    @ivar certified: whether there is a certificate to show.
    @ivar signed: returns what a gateway says first on a connection inside TLS, of a user
        of its own; L{None} where there is no key of one.
    """

    user: tuple[str, str] | None = None
    token: Callable[[], bytes] | None = None
    tickets: Callable[[str, str], Any] | None = None
    certified: bool = False
    signed: Callable[[Any], bytes] | None = None


class Way(NamedTuple):
    """
    One way to log in.

    @ivar method: the method of the configuration.
    @ivar called: what is said of it behind the protocol; empty for no login.
    @ivar login: how (L{socksgw.client.logins.login.Login}); L{None} for not.
    @ivar certified: whether the client's certificate is the login.
    @ivar preface: returns what is said first on a connection; L{None} for nothing.
    """

    method: str = "none"
    called: str = ""
    login: Any = None
    certified: bool = False
    preface: Callable[[Any], bytes] | None = None


class Missing(NamedTuple):
    """
    A method that cannot be tried.

    @ivar why: what it needs, or why nothing helps.
    @ivar remedy: what helps.
    """

    method: str
    why: str
    remedy: str


_LOGINLESS: Final = Missing(
    "none",
    "a login is wanted of this host, and SOCKS 4 has none",
    "run this on a host that comes in without a login, with --proxy",
)


def waysOf(protocol: str, place: Place, material: Material) -> Iterator[Way | Missing]:
    """
    Yield each way to log in at a place, and each method that lacks something.

    Where the methods of the place are not known, everything is tried that there is
    material for.

    @param protocol: one of C{listen.protocols}.
    @raise OSError, ValueError: a file of TLS inside SOCKS cannot be used.
    """
    methods = place.methods
    known = methods is not None
    if methods is None:
        methods = ("none", "userpass", "chap", "gssapi", "token", "certificate")
    if any(each in SILENT for each in methods):
        if protocol == "socks4" and not place.loginless:
            yield _LOGINLESS
        else:
            yield Way()
    if protocol == "socks4":
        # It has no login, but for those below it.
        methods = tuple(each for each in methods if each in ("certificate", "gateway"))
    for method in methods:
        if method in SILENT:
            continue
        for found in _of(protocol, method, place, material):
            if known or isinstance(found, Way):
                yield found


def _of(
    protocol: str, method: str, place: Place, material: Material
) -> Iterator[Way | Missing]:
    """Yield how a method is tried; nothing where the protocol does not have it."""
    if method == "userpass":
        yield _byPassword(method, "as {}", PasswordLogin, material)
    elif method == "chap":
        if protocol in ("socks5", "socks6"):
            yield _byPassword(method, "as {} by CHAP", ChapLogin, material)
    elif method == "gssapi":
        yield _byTickets(protocol, place, material)
    elif method == "token":
        if protocol == "http":
            yield _byToken(material)
    elif method == "certificate":
        if place.secured:
            yield _byCertificate(protocol, material)
    elif method == "gateway":
        if place.secured:
            yield _signed(material)
    elif method == "tls":
        if protocol == "socks5" and place.inside is not None:
            yield from _inside(place, place.inside, material)
    else:
        yield Missing(
            method, "socksgw's own client does not know it", "try it from a client"
        )


def _byPassword(
    method: str, called: str, login: Callable[[str, str], Any], material: Material
) -> Way | Missing:
    if material.user is None:
        return Missing(method, "a user and a password", _USER)
    return Way(method, called.format(material.user[0]), login(*material.user))


def _byToken(material: Material) -> Way | Missing:
    if material.token is None:
        return Missing("token", "a bearer token", "--token-file")
    return Way("token", "by a token", TokenLogin(material.token))


def _byCertificate(protocol: str, material: Material) -> Way | Missing:
    if not material.certified:
        return Missing("certificate", "a client certificate", "--certificate and --key")
    login = None if protocol == "socks4" else CERTIFICATE_LOGIN
    return Way("certificate", "by a certificate", login, True)


def _signed(material: Material) -> Way | Missing:
    if material.signed is None:
        why = "the key of a gateway that may say who its clients are"
        return Missing("gateway", why, "--identity-key")
    return Way("gateway", "as a gateway's user", preface=material.signed)


def _inside(
    place: Place, inside: Inside, material: Material
) -> Iterator[Way | Missing]:
    """
    Yield the logins inside TLS inside SOCKS.

    @raise OSError, ValueError: a file cannot be used.
    """
    for method in inside.methods:
        if method not in _INSIDE:
            why = f"socksgw's own client has no login by {method} inside TLS"
            yield Missing("tls", why, "try it from a client")
            continue
        tls = ClientTLS(inside.name, inside.ca)
        if method == "none":
            yield Way("tls", "inside TLS", InsideLogin(tls, NO_LOGIN))
            continue
        for found in _of("socks5", method, place, material):
            if isinstance(found, Missing):
                yield found._replace(method="tls")
            else:
                login = InsideLogin(tls, found.login)
                yield Way("tls", f"{found.called} inside TLS", login)


def _byTickets(protocol: str, place: Place, material: Material) -> Way | Missing:
    if protocol == "socks6" and not place.secured:
        # It protects nothing of what follows (draft-olteanu-intarea-socks-6-11 section 6).
        why = "in SOCKS 6, socksgw's own client logs in by GSSAPI inside TLS alone"
        return Missing("gssapi", why, "give the listener tls, to have it tried")
    if material.tickets is None:
        return Missing("gssapi", "a ticket of Kerberos", "--ccache or --client-keytab")
    if protocol == "http":
        return Way("gssapi", "by Negotiate", material.tickets("negotiate", place.name))
    return Way("gssapi", "by GSSAPI", material.tickets("gssapi", place.name))


def tokenIn(file: Path) -> Callable[[], bytes]:
    """
    Return what reads a token.

    @raise socksgw.system.files.FileError: it cannot, or others can.
    """
    from socksgw.client.logins.secret import secretIn
    from socksgw.system.secretfile import SecretFile

    return secretIn(SecretFile(file))


def signedBy(file: Path, user: str) -> Callable[[Any], bytes]:
    """
    Return what says, as a gateway does, that a user has logged in there.

    It returns a PROXY header for a connection over TLS.

    @raise socksgw.system.files.FileError: the key cannot be used, or others can read it.
    """
    from socksgw.system.assertionkeys import SigningKey

    key = SigningKey(file, "selftest")

    def header(connection: Any) -> bytes:
        said = Assertion(
            user, "userpass", frozenset(), "", CONFIDENTIALITY, None, (key.name,)
        )
        value = key.sign(said, connection.binding)
        near, far = connection.local, connection.peer
        source, there = (near.address, near.port), (far.address, far.port)
        return proxyHeader("v2", source, there, [(TYPE, value)])

    return header
