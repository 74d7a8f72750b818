"""
TLS to a server, over any other connection.

The server proves its name before the first octet is sent to it. Files are read again
when they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import Error
from twisted.logger import Logger

from socksgw.system.connection import Connection
from socksgw.system.files import FileError, readFile, readSecret, stampOf, unreadable
from socksgw.system.tls import Stream
from socksgw.system.tlscontext import Own, certificatesOf, clientContext, keyFor
from socksgw.system.tlsname import Handshake, PeerName, PeerRefused
from socksgw.system.tlsover import TLSOver

__all__ = ["ClientTLS", "WrongFile"]

_log = Logger()

#: The state of OpenSSL that a client comes to only where the server has asked for a
#: certificate, and has been shown one (RFC 8446 section 4.4.3).
_SHOWN: Final = b"write certificate verify"


class WrongFile(ValueError):
    """
    A file cannot be used; the text names it and the remedy.

    @ivar key: of C{ca}, C{certificate} and C{key} the one that names it.
    """

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


@final
class ClientTLS:
    """
    TLS to one server: who it has to be, and what it is shown if it asks.

    While a file that has changed cannot be used, what it held before is.
    """

    def __init__(
        self,
        name: str,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """
        Read the files.

        @param name: the DNS name or IP address that the server's certificate is for.
        @param ca: the authorities that are believed; L{None} for the system's.
        @param certificate: what is shown to a server that asks for it, with its chain.
        @param key: its private key; L{None} where that is in the same file.
        @raise WrongFile: one of them cannot be used.
        @raise ValueError: C{name} is no name.
        """
        self._name = PeerName(name)
        self._ca = ca
        self._certificate = certificate
        self._key = key
        self._stamps = self._stamped()
        self._wrong = ""
        self._context = self._read()

    async def over(self, below: Connection) -> TLSOver:
        """
        Shake hands with the server, on a connection that nobody has taken yet.

        When this is cancelled, the connection is closed.

        @return: the connection through TLS, of which nothing is read yet.
        @raise TLSFailed: there is no TLS, or the server is not who it should be. The
            connection is closed then.
        """
        found = TLSOver(below, self.stream())
        await found.open(self._name)
        return found

    def stream(self) -> Stream:
        """
        Return TLS on octets in memory, before its handshake.

        The server is verified in it, and is to be confirmed after it (L{confirm}).
        """
        connection = self._name.named(self.context())
        connection.set_app_data(Handshake())
        connection.set_connect_state()
        return Stream(connection)

    def confirm(self, stream: Stream) -> None:
        """
        Look at a handshake of L{stream} that is over.

        @raise PeerRefused: the server is not who it should be, or the handshake failed.
        """
        refusal = stream.connection.get_app_data().refusal
        if refusal:
            raise PeerRefused(refusal)
        if stream.failure is not None:
            raise PeerRefused("the handshake failed")
        self._name.confirm(stream.connection)

    def context(self) -> SSL.Context:
        """Return what connections are made with now."""
        self._look()
        return self._context

    def problem(self) -> str:
        """Return what is wrong with the files now, in one line, or nothing."""
        self._look()
        return self._wrong

    def _stamped(self) -> object:
        files = self._ca, self._certificate, self._key
        return [None if file is None else stampOf(file) for file in files]

    def _look(self) -> None:
        """Read the files again, if they have changed."""
        stamps = self._stamped()
        if stamps == self._stamps and not self._wrong:
            return
        self._stamps, before, self._wrong = stamps, self._wrong, ""
        try:
            self._context = self._read()
        except WrongFile as e:
            self._wrong = str(e)
            if self._wrong != before:
                _log.error("{why}; what it held before is used", why=self._wrong)

    def _read(self) -> SSL.Context:
        trust: Sequence[x509.Certificate] | None = None
        if self._ca is not None:
            trust = _certificates("ca", self._ca, _octets("ca", self._ca))
        own = None
        if self._certificate is not None:
            own = self._own(self._certificate)
        try:
            context = clientContext(trust, own)
        except (SSL.Error, Error):
            # Not the own certificate, which was tried when it was read.
            raise WrongFile("ca", f"{self._ca}: OpenSSL refuses it") from None
        self._name.demand(context)
        if own is not None:
            context.set_info_callback(_noted)
        return context

    def _own(self, file: Path) -> Own:
        together = self._key is None
        octets = _octets("certificate", file, secret=together)
        chain = _certificates("certificate", file, octets)
        key, path = "certificate", file
        if self._key is not None:
            key, path = "key", self._key
            octets = _octets(key, path, secret=True)
        try:
            return keyFor(chain, octets)
        except ValueError as e:
            raise WrongFile(key, f"{path}: {e}") from None


def _noted(connection: SSL.Connection, _where: int, _result: int) -> None:
    """Take note that our certificate is shown."""
    if _SHOWN in connection.get_state_string():
        handshake = connection.get_app_data()
        if isinstance(handshake, Handshake):
            handshake.shown = True


def _octets(key: str, path: Path, secret: bool = False) -> bytes:
    """
    @raise WrongFile: it cannot be read, or others can read it.
    """
    try:
        return readSecret(path) if secret else readFile(path)
    except OSError as e:
        raise WrongFile(key, unreadable(path, e)) from None
    except FileError as e:
        raise WrongFile(key, str(e)) from None


def _certificates(key: str, path: Path, octets: bytes) -> list[Any]:
    try:
        return certificatesOf(octets)
    except ValueError as e:
        raise WrongFile(key, f"{path}: {e}") from None
