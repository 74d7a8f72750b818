"""
Logins by their names, with secrets from files: for endpoint strings and commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from socksgw.client.logins.certificate import CertificateLogin
from socksgw.client.logins.login import Login
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.logins.secret import Secret, secretIn
from socksgw.client.logins.token import TokenLogin
from socksgw.system.files import FileError
from socksgw.system.secretfile import SecretFile

__all__ = ["LOGINS", "loginBy"]

#: What a login may be called.
LOGINS: Final = (
    *("none", "userpass", "gssapi", "negotiate", "token", "certificate"),
)  # fmt: skip
_KERBEROS: Final = ("gssapi", "negotiate")
#: The service of a proxy by login, where nothing else is named (RFC 1961 section 3.1,
#: RFC 4559 section 4.1).
_SERVICES: Final = {"gssapi": "rcmd", "negotiate": "HTTP"}


def _secret(path: Path) -> Secret:
    """
    Return what has the secret in a file.

    @raise ValueError: it cannot be read, others can read it, or it is empty.
    """
    try:
        return secretIn(SecretFile(path))
    except FileError as e:
        raise ValueError(str(e)) from None


def loginBy(
    name: str,
    user: str = "",
    passwordFile: Path | None = None,
    tokenFile: Path | None = None,
    proxy: str = "",
    service: str = "",
    reactor: Any = None,
) -> Login | None:
    """
    Return a login.

    @param name: one of L{LOGINS}; empty where the other options tell it.
    @param user: the name for a password; the principal of tickets, if it is not that
        of the cache.
    @param proxy: the proxy's name, of which that of its service is made.
    @param service: the proxy's service, as C{rcmd@gw.example}.
    @param reactor: whose threads ask the Kerberos library.
    @return: L{None} for none.
    @raise ValueError: the options do not go together, or a file cannot be used.
    """
    if not name:
        name = "userpass" if user or passwordFile else "token" if tokenFile else "none"
    if name not in LOGINS:
        raise ValueError(f"login is one of {', '.join(LOGINS)}, and not {name!r}")
    if passwordFile is not None and name != "userpass":
        raise ValueError(f"a password is of login=userpass, and not of {name}")
    if tokenFile is not None and name != "token":
        raise ValueError(f"a token is of login=token, and not of {name}")
    if user and name not in ("userpass", *_KERBEROS):
        raise ValueError(f"a user is not of login={name}")
    if name in _KERBEROS:
        return _kerberos(name, user, service or f"{_SERVICES[name]}@{proxy}", reactor)
    if name == "certificate":
        return CertificateLogin()
    if name == "token":
        if tokenFile is None:
            raise ValueError("login=token needs the file of the token")
        return TokenLogin(_secret(tokenFile))
    if name == "none":
        return None
    if not user or passwordFile is None:
        raise ValueError("login=userpass needs a user, and the file of the password")
    return PasswordLogin(user, _secret(passwordFile))


def _kerberos(name: str, user: str, service: str, reactor: Any) -> Login:
    """
    Return a login by the user's tickets.

    @raise ValueError: the library is missing, or the proxy has no name.
    """
    if service.endswith("@"):
        raise ValueError(
            f"login={name} needs the proxy's service, as in rcmd@gw.example"
        )
    try:
        from socksgw.client.logins.kerberos import Kerberos
    except (ImportError, OSError) as e:
        raise ValueError(
            f"login={name} needs the Kerberos library ({e}): "
            "pip install 'socksgw[gssapi]'"
        ) from None
    tickets = Kerberos(reactor, user)
    if name == "negotiate":
        from socksgw.client.logins.negotiate import NegotiateLogin

        return NegotiateLogin(tickets, service)
    from socksgw.client.logins.gssapi import GssapiLogin

    return GssapiLogin(tickets, service)
