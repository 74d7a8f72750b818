"""
What speaks to an upstream, as its table has it: protocol, TLS and login.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from attrs import asdict

from socksgw.client.kinds import proxyOf
from socksgw.client.logins.certificate import CERTIFICATE_LOGIN
from socksgw.client.logins.gssapi import PROTECTIONS, GssapiLogin
from socksgw.client.logins.initiator import Initiator
from socksgw.client.logins.login import Login
from socksgw.client.logins.negotiate import NegotiateLogin
from socksgw.client.logins.none import NO_LOGIN
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.logins.secret import secretIn
from socksgw.client.logins.token import TokenLogin, isToken
from socksgw.client.proxy import Proxy
from socksgw.client.socks import Socks4Proxy
from socksgw.config.schema import Config, Upstream
from socksgw.config.upstreamurl import UpstreamURL, parseUpstreamURL
from socksgw.system.files import FileError, unreadable
from socksgw.system.secretfile import SecretFile
from socksgw.system.tlsclient import ClientTLS, WrongFile
from socksgw.wire.address import Address

__all__ = ["UpstreamClient", "WrongUpstream", "clientFor", "keepsSecrets", "ledTo"]

#: The protocols that have each method; none of them is for all.
_PROTOCOLS: Final = {
    "userpass": ("socks5", "socks6", "http"),
    "gssapi": ("socks5", "socks6"),
    "negotiate": ("http",),
    "token": ("http",),
}
#: The keys of C{login} that each method can have, besides the certificate's.
_KEYS: Final = {
    "none": ("user",),
    "userpass": ("user", "password_file"),
    "gssapi": ("user", "service", "protection", "keytab", "cache"),
    "negotiate": ("user", "service", "keytab", "cache"),
    "token": ("token_file",),
    "certificate": (),
}
_ALWAYS: Final = ("method", "certificate", "key")
#: The service's name in Kerberos where none is configured.
_SERVICES: Final = {"gssapi": "rcmd", "negotiate": "HTTP"}
#: Octets of a user's name and of a password, at most (RFC 1929 section 2).
_LONGEST: Final = 255


class WrongUpstream(Exception):
    """
    A C{[[upstream]]} that cannot be used.

    @ivar wrong: keys of the table, each with what is wrong, and the remedy.
    """

    def __init__(self, wrong: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {why}" for key, why in wrong))
        self.wrong = wrong


class UpstreamClient(NamedTuple):
    """
    What speaks to one upstream.

    @ivar url: where it is.
    @ivar proxy: the protocol, with the login.
    @ivar tls: what is between it and the connection; L{None} for nothing.
    @ivar certified: whether the login is our certificate.
    """

    url: UpstreamURL
    proxy: Proxy
    tls: ClientTLS | None
    certified: bool

    def passing(self, user: bytes, password: bytes) -> Proxy:
        """Return what logs in with a client's own name and password, once."""
        return proxyOf(self.url.protocol, PasswordLogin(user, password))


def ledTo(config: Config) -> set[str]:
    """Return the upstreams that another one leads to, in some rule."""
    return {
        name for rule in config.rule for place in (rule.via or ())[1:] for name in place
    }


def keepsSecrets(table: Upstream, url: UpstreamURL, later: bool) -> bool:
    """
    Tell whether passwords may go to an upstream.

    @param later: whether another upstream leads to it: its loopback is not ours.
    """
    if table.cleartext_passwords or url.tls:
        return True
    return not later and isinstance(url.host, Address) and url.host.isLoopback


def clientFor(
    table: Upstream, directory: Path, reactor: Any, later: bool = False
) -> UpstreamClient:
    """
    Make what speaks to an upstream.

    @param directory: what relative paths start from.
    @param later: as of L{keepsSecrets}.
    @raise WrongUpstream: with everything that is wrong.
    """
    try:
        url = parseUpstreamURL(table.url)
    except ValueError as e:
        raise WrongUpstream([("url", str(e))]) from None
    maker = _Maker(table, url, directory, reactor, later)
    tls = maker.tls()
    proxy = maker.proxy()
    maker.udp()
    maker.session()
    if maker.wrong or proxy is None:
        raise WrongUpstream(maker.wrong)
    certified = table.login.method == "certificate"
    return UpstreamClient(url, proxy, tls, certified)


@final
class _Maker:
    """
    Makes the parts of one upstream.

    @ivar wrong: what is wrong so far.
    """

    def __init__(
        self,
        table: Upstream,
        url: UpstreamURL,
        directory: Path,
        reactor: Any,
        later: bool,
    ) -> None:
        self._table = table
        self._login = table.login
        self._url = url
        self._directory = directory
        self._reactor = reactor
        self._later = later
        self.wrong: list[tuple[str, str]] = []

    def _says(self, key: str, why: str) -> None:
        self.wrong.append((key, why))

    def _path(self, name: str) -> Path | None:
        return self._directory / name if name else None

    # TLS.

    def tls(self) -> ClientTLS | None:
        """Return the TLS to it; L{None} where there is none, or it is wrong."""
        table, login = self._table, self._login
        if not self._url.tls:
            for key in ("ca", "server_name"):
                if getattr(table, key):
                    self._useless(key)
            for key in ("certificate", "key"):
                if getattr(login, key):
                    self._useless(f"login.{key}")
            return None
        if login.key and not login.certificate:
            self._says("login.key", "is of no use without login.certificate")
        try:
            return ClientTLS(
                table.server_name or str(self._url.host),
                self._path(table.ca),
                self._path(login.certificate),
                self._path(login.key),
            )
        except WrongFile as e:
            key = e.key if e.key == "ca" else f"login.{e.key}"
            self._says(key, str(e))
        except ValueError as e:
            self._says("server_name" if table.server_name else "url", str(e))
        return None

    @property
    def _secure(self) -> str:
        """The scheme that has TLS below the same protocol."""
        protocol = self._url.protocol
        return "https" if protocol == "http" else f"{protocol}+tls"

    def _useless(self, key: str) -> None:
        self._says(key, f'is of no use without TLS; say "{self._secure}://…" in url')

    def udp(self) -> None:
        """Look whether datagrams go as their protocol has it."""
        if self._url.protocol == "socks6" and self._table.udp != "associate":
            self._says(
                "udp",
                f'"{self._table.udp}" is of SOCKS 5: in SOCKS 6 datagrams go inside the '
                "connection by themselves; leave it out",
            )

    def session(self) -> None:
        """Look whether there can be sessions, which stand for one login."""
        table = self._table
        if not table.session:
            return
        if self._url.protocol != "socks6":
            self._says(
                "session",
                f"is of SOCKS 6: {self._url.protocol} has none; leave it out, or say "
                '"socks6+tls://…" in url',
            )
        for key in ("pass_through", "identity_key"):
            if getattr(table, key):
                self._says(
                    "session",
                    f"does not go with {key}: a session stands for one user, and each "
                    "client is another; leave one of them out",
                )

    # The protocol and the login.

    def proxy(self) -> Proxy | None:
        """Return the protocol with the login; L{None} where that is wrong."""
        login, protocol = self._login, self._url.protocol
        method = login.method
        if self._table.pass_through and method in _KEYS and method != "none":
            self._says(
                "login.method",
                f'"{method}" does not go with pass_through: the login is the client\'s',
            )
        protocols = _PROTOCOLS.get(method, (protocol,))
        if protocol not in protocols:
            self._says(
                "login.method",
                f'"{method}" is for {" and ".join(protocols)}; {protocol} has no such '
                "login",
            )
            return None
        self._unused(method)
        found = self._loginBy(method)
        if found is None:
            return None
        if protocol == "socks4a":
            return Socks4Proxy(login.user.encode())
        return proxyOf(protocol, found)

    def _unused(self, method: str) -> None:
        """Tell which keys have no effect."""
        usual = asdict(type(self._login)())
        for key, value in asdict(self._login).items():
            known = key in _KEYS[method] or key in _ALWAYS
            if key == "user" and method == "none" and self._url.protocol != "socks4a":
                known = False
            if value != usual[key] and not known:
                self._says(f"login.{key}", f'is of no use with method = "{method}"')

    def _loginBy(self, method: str) -> Login | None:
        makers: dict[str, Callable[[], Login | None]] = {
            "userpass": self._userpass,
            "token": self._token,
            "gssapi": lambda: self._kerberos(method),
            "negotiate": lambda: self._kerberos(method),
            "certificate": self._certificate,
        }
        return makers[method]() if method in makers else NO_LOGIN

    def _secret(self, key: str) -> SecretFile | None:
        """Return the file of a secret, which may not cross a network in the clear."""
        name = getattr(self._login, key)
        if not name:
            self._says(f"login.{key}", "is missing: the file that holds the secret")
            return None
        if not keepsSecrets(self._table, self._url, self._later):
            self._says(
                f"login.{key}",
                "what it holds would cross the network in the clear: use TLS "
                f'("{self._secure}://…" '
                "in url), or say cleartext_passwords = true",
            )
        try:
            return SecretFile(self._directory / name)
        except OSError as e:
            self._says(f"login.{key}", unreadable(self._directory / name, e))
        except FileError as e:
            self._says(f"login.{key}", str(e))
        return None

    def _userpass(self) -> Login | None:
        user = self._login.user.encode()
        socks = self._url.protocol != "http"
        if not user:
            self._says("login.user", "is missing")
        elif socks and len(user) > _LONGEST:
            self._says("login.user", f"has more than {_LONGEST} octets (RFC 1929)")
        elif not socks and b":" in user:
            self._says("login.user", "has a colon, which HTTP cannot have (RFC 7617)")
        file = self._secret("password_file")
        if file is None:
            return None
        if socks and len(file.read()) > _LONGEST:
            self._says(
                "login.password_file",
                f"holds more than {_LONGEST} octets, and RFC 1929 carries no more",
            )
        return PasswordLogin(user, secretIn(file))

    def _token(self) -> Login | None:
        file = self._secret("token_file")
        if file is None:
            return None
        if not isToken(file.read()):
            self._says("login.token_file", "holds no token (RFC 6750 section 2.1)")
        return TokenLogin(secretIn(file))

    def _certificate(self) -> Login | None:
        if not self._url.tls:
            self._says(
                "login.method",
                f'"certificate" needs TLS; say "{self._secure}://…" in url',
            )
        elif not self._login.certificate:
            self._says("login.certificate", "is missing: the file to show")
        return CERTIFICATE_LOGIN

    def _kerberos(self, method: str) -> Login | None:
        login = self._login
        service = login.service or _SERVICES[method]
        if "@" not in service:
            host = self._table.server_name or self._url.host
            if isinstance(host, Address):
                self._says(
                    "login.service",
                    f'Kerberos knows the upstream by name; say "{service}@gw2.example"',
                )
                return None
            service = f"{service}@{host}"
        initiator = self._initiator()
        if initiator is None:
            return None
        if method == "negotiate":
            return NegotiateLogin(initiator, service)
        if self._url.protocol == "socks6":
            if not self._url.tls:
                self._says(
                    "login.method",
                    f'"{method}" protects nothing in SOCKS 6, and needs TLS; say '
                    f'"{self._secure}://…" in url',
                )
            if login.protection is not None:
                self._says("login.protection", "is of no use in SOCKS 6")
        protection = (
            tuple(PROTECTIONS) if login.protection is None else login.protection
        )
        try:
            return GssapiLogin(initiator, service, protection)
        except ValueError as e:
            known = ", ".join(f'"{each}"' for each in PROTECTIONS)
            self._says("login.protection", f"{e}; there are: {known}")
        return None

    def _initiator(self) -> Initiator | None:
        try:
            from socksgw.client.logins.kerberos import Kerberos
        except ImportError as e:
            self._says(
                "login.method",
                f"needs the package gssapi ({e}); remedy: pip install 'socksgw[gssapi]'",
            )
            return None
        login = self._login
        path = self._path(login.keytab)
        try:
            return Kerberos(self._reactor, login.user, path, login.cache)
        except OSError as e:
            assert path is not None
            self._says("login.keytab", unreadable(path, e))
        except FileError as e:
            self._says("login.keytab", str(e))
        return None
