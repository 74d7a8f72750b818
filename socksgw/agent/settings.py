"""
What a user says to the agent, by options and in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from attrs import evolve, frozen

from socksgw.config.listening import UNIX, isWithin, parseUnixAddress
from socksgw.config.loading import ConfigError, loadAs
from socksgw.config.problems import Problem
from socksgw.wire.address import Address

__all__ = ["LOGINS", "SCHEMES", "Account", "Login", "Settings", "settingsOf"]

Login = Literal["none", "kerberos", "token", "certificate", "password"]
LOGINS: Final[tuple[Login, ...]] = get_args(Login)

#: How the agent speaks to the gateway, with the default first.
SCHEMES: Final = ("socks5+tls", "socks6+tls", "https", "socks5", "socks6", "http")
_CLEAR: Final = ("socks5", "socks6", "http")
#: The default for tokens, which SOCKS has no method for.
_WITH_TOKENS: Final = "https"
_URL: Final = re.compile(
    r"(?:([\w+]+)://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):(\d{1,5})/?"
)
#: Logins that are in clear where the connection is.
_SECRET: Final = ("password", "token")
#: Settings that are paths.
_PATHS: Final = ("password_file", "token_file", "certificate", "key", "ca")


class Account(NamedTuple):
    """
    Under which names a password is in a keyring.

    @ivar service: the gateway's own name, so that no other one is told the password.
    """

    service: str
    user: str


@frozen
class Settings:
    """
    The settings of an agent; as keys of a file they have the same names.

    @ivar gateway: The gateway: C{"gw.example:1443"}, or a URL of C{socks5+tls},
        C{socks6+tls}, C{https}, C{socks5}, C{socks6} or C{http}. Without a scheme it is SOCKS 5 over TLS, and
        HTTPS for a token.
    @ivar listen: Where programs of this machine connect: C{"127.0.0.1:1080"}, or
        C{"unix:/path"}.
    @ivar login: How the user logs in to the gateway. Absent: by what else is set
        (C{token_file}, C{certificate}, a password), and by Kerberos if nothing is.
    @ivar user: The user's name, for a password. With Kerberos the principal; absent,
        that of the tickets.
    @ivar password_file: The file of the password, which nobody else may read.
    @ivar keyring: C{true}: the password is in the user's keyring (Secret Service,
        KWallet), under C{socksgw:HOST} of the gateway and the user's name.
    @ivar token_file: The file of the token, which is read again when it changes.
    @ivar certificate: The file of the user's certificate, in PEM, likewise.
    @ivar key: The file of its private key. Absent: it is in the same file.
    @ivar ca: The file of the authorities that sign the gateway's certificate. Absent:
        those of this system.
    @ivar server_name: The name that the gateway's certificate has. Absent: the host
        in C{gateway}.
    @ivar udp: How datagrams go to the gateway. C{"hev"}: inside the connection, which
        the gateway has to serve (C{tunnels} of C{[listen.udp]}). C{"associate"}: beside
        it, in clear. C{"off"}: not at all.
    @ivar fast_open: C{true}: what is said to the gateway first goes in the first packet
        where the kernel can (TCP Fast Open), which saves a round trip. Not with
        C{http}.
    @ivar session: C{true}: one login for many connections, with C{socks6}: the later
        ones say the ID of a session.
    """

    gateway: str = ""
    listen: tuple[str, ...] = ("127.0.0.1:1080",)
    login: Login | None = None
    user: str = ""
    password_file: str = ""
    keyring: bool = False
    token_file: str = ""
    certificate: str = ""
    key: str = ""
    ca: str = ""
    server_name: str = ""
    udp: Literal["hev", "associate", "off"] = "hev"
    fast_open: bool = False
    session: bool = False

    @property
    def _place(self) -> tuple[str, str, int]:
        """Scheme, host and port; empty where they are not to be read."""
        found = _URL.fullmatch(self.gateway)
        if found is None or not 0 < int(found[3]) < 65536:
            return "", "", 0
        usual = _WITH_TOKENS if self.method == "token" else SCHEMES[0]
        return found[1] or usual, found[2].strip("[]"), int(found[3])

    @property
    def scheme(self) -> str:
        """The protocol to the gateway."""
        return self._place[0]

    @property
    def host(self) -> str:
        """The gateway's host, without brackets."""
        return self._place[1]

    @property
    def port(self) -> int:
        """The gateway's port."""
        return self._place[2]

    @property
    def url(self) -> str:
        """The gateway's URL in full."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def account(self) -> Account:
        """Where the password is in the keyring."""
        return Account(f"socksgw:{self.host}", self.user)

    @property
    def method(self) -> Login:
        """How the user logs in."""
        if self.login is not None:
            return self.login
        if self.token_file:
            return "token"
        if self.password_file or self.keyring:
            return "password"
        return "certificate" if self.certificate else "kerberos"

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with them, each with its remedy."""
        yield from self._ofGateway()
        for i, each in enumerate(self.listen):
            if (why := _unheard(each)) is not None:
                yield Problem(f"listen[{i}]", f'"{each}": {why}')
        if not self.listen:
            yield Problem("listen", "is empty; leave it out for 127.0.0.1:1080")
        yield from self._ofLogin()

    def _ofGateway(self) -> Iterator[Problem]:
        if not self.gateway:
            yield Problem(
                "gateway", "is missing; name it: socksgw agent gw.example:1443"
            )
            return
        if not self.port:
            why = "is no gateway; write host:port, or scheme://host:port"
            if "@" in self.gateway:
                why = "has a user or a password in it; they have settings of their own"
            yield Problem("gateway", why)
            return
        if self.fast_open and self.scheme == "http":
            yield Problem(
                "fast_open", "does not go with http; use https, or a scheme of socks"
            )
        if self.session and not self.scheme.startswith("socks6"):
            yield Problem(
                "session",
                "is of SOCKS 6; leave it out, or name the gateway as "
                "socks6+tls://host:port",
            )
        if self.scheme not in SCHEMES:
            known = ", ".join(SCHEMES)
            yield Problem("gateway", f'"{self.scheme}" is not known; known: {known}')
        elif self.scheme in _CLEAR and not _isNear(self.host):
            if (self.scheme, self.method) != ("socks5", "kerberos"):
                secure = "https" if self.scheme == "http" else f"{self.scheme}+tls"
                yield Problem(
                    "gateway",
                    f"is reached in clear by {self.scheme}, which shows whatever goes "
                    f"there to the network; use {secure}",
                )
        elif (
            self.scheme in _CLEAR
            and self.host == "localhost"
            and self.method in _SECRET
        ):
            yield Problem(
                "gateway",
                f"a {self.method} goes in clear to a loopback address alone, not to a "
                "name; write 127.0.0.1, or use https",
            )

    def _ofLogin(self) -> Iterator[Problem]:
        method = self.method
        if method == "password":
            if not self.user:
                yield Problem(
                    "user", "is missing; a password is somebody's: --user NAME"
                )
            if not self.password_file and not self.keyring:
                yield Problem(
                    "password_file", "is missing: --password-file FILE, or --keyring"
                )
            if self.password_file and self.keyring:
                yield Problem("password_file", "either this or keyring, not both")
        if method == "kerberos" and self.scheme == "socks6":
            yield Problem(
                "gateway", "Kerberos protects nothing by socks6; use socks6+tls"
            )
        if method == "token" and self.scheme.startswith("socks"):
            yield Problem("gateway", "a token goes by HTTP alone; use https")
        if method == "token" and not self.token_file:
            yield Problem("token_file", "is missing, and login by token needs it")
        if method == "certificate" and not self.certificate:
            yield Problem(
                "certificate", "is missing, and login by certificate needs it"
            )
        if self.key and not self.certificate:
            yield Problem("key", "is the key of nothing; name the certificate, too")
        if self.certificate and self.scheme in _CLEAR:
            yield Problem("certificate", "is shown in TLS alone; use socks5+tls")
        unused = {
            "user": self.user and method not in ("password", "kerberos"),
            "password_file": self.password_file and method != "password",
            "keyring": self.keyring and method != "password",
            "token_file": self.token_file and method != "token",
        }
        for name, isUnused in unused.items():
            if isUnused:
                yield Problem(name, f'is not used by login = "{method}"; remove one')


def _isNear(host: str) -> bool:
    try:
        return Address.parse(host).isLoopback
    except ValueError:
        return host == "localhost"


def _unheard(listen: str) -> str | None:
    """Return why the agent does not listen at a place; L{None} if it does."""
    if listen.startswith(UNIX):
        try:
            parseUnixAddress(listen)
        except ValueError as e:
            return str(e)
        return None
    if isWithin(listen) and not listen.startswith(("0.0.0.0:", "[::]:")):
        return None
    return (
        "is no loopback address with a port: the agent serves programs of this machine"
    )


def _absolute(settings: Settings, directory: Path) -> Settings:
    changes: dict[str, Any] = {}
    for name in _PATHS:
        if path := getattr(settings, name):
            changes[name] = str(directory / Path(path).expanduser())
    return evolve(settings, **changes)


def settingsOf(
    file: Path, needed: bool, options: Mapping[str, Any], directory: Path
) -> Settings:
    """
    Return the settings of a file, with what the command line says instead.

    @param file: of settings.
    @param needed: whether the file has to exist.
    @param options: the settings that were given, by their names.
    @param directory: where relative paths among them start.
    @raise ConfigError: they cannot be used; every reason is in it.
    """
    found = Settings()
    if needed or file.exists():
        found = _absolute(loadAs(str(file), Settings), file.absolute().parent)
    if options:
        given = _absolute(Settings(**options), directory)
        found = evolve(found, **{name: getattr(given, name) for name in options})
    if problems := list(found.problems()):
        name = "the command line" if options else str(file)
        raise ConfigError(name, problems)
    return found
