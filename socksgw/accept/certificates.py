"""
The files of a listener's TLS: certificate, key, CA and CRL.

They are read again when they change. Connections that exist are not touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import (
    X509,
    Error,
    X509Store,
    X509StoreContext,
    X509StoreContextError,
    X509StoreFlags,
)

from socksgw.accept.identity import (
    BadName,
    CertificateIdentity,
    Refused,
    Unacceptable,
    nameOf,
)
from socksgw.accept.resumption import Resumption
from socksgw.config.schema import ListenTLS
from socksgw.system.files import FileError, readFile, readSecret, stampOf, unreadable
from socksgw.system.once import Once
from socksgw.system.tlscontext import (
    RESUMABLE,
    Own,
    certificatesOf,
    keyFor,
    serverContext,
)

__all__ = ["Changes", "ServerTLS", "WrongTLS"]

#: Intermediate certificates between a client's and its CA, at most.
_DEPTH: Final = 8
#: What sessions with client certificates are of; each context has its own keys.
_SESSIONS: Final = b"socksgw"
#: X509_V_FLAG_NO_CHECK_TIME, which pyOpenSSL does not name: certificates and CRLs
#: as if it were their time.
_NO_CHECK_TIME: Final = 0x200000
#: X509_V_ERR_* that say that a CRL is not of now.
_STALE: Final = (11, 12)
#: X509_V_ERR_*, in words.
_WHY: Final[Mapping[int, str]] = {
    3: "there is no CRL of its issuer",
    9: "it is not valid yet",
    10: "it has expired",
    11: "the CRL is not valid yet",
    12: "the CRL is stale",
    18: "it is self-signed, and not in client_ca",
    19: "its CA is not in client_ca",
    20: "its issuer is not in client_ca",
    21: "its issuer is not in client_ca",
    22: "its chain is too long",
    23: "it is revoked",
    26: "its key usage is not that of a client",
    79: "its issuer is no CA",
}


class _Wrong(NamedTuple):
    """One thing that is wrong: the key of C{[listen.tls]}, and why."""

    key: str
    why: str


class WrongTLS(Exception):
    """
    A C{[listen.tls]} that cannot be used.

    @ivar wrong: keys, each with why.
    """

    def __init__(self, wrong: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {why}" for key, why in wrong))
        self.wrong = wrong


class Changes(NamedTuple):
    """
    What became of the files since the last look.

    @ivar read: the keys whose files were read anew, and are good.
    @ivar problems: what is wrong and has not been told yet: a line each.
    @ivar rejudge: whether other clients' certificates may be acceptable now
        than were.
    """

    read: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    rejudge: bool = False


class _Trust(NamedTuple):
    """Whom the gateway believes."""

    authorities: Sequence[x509.Certificate]
    lists: Sequence[x509.CertificateRevocationList]


#: Nobody: what remains of files that cannot be read.
_NOBODY: Final = _Trust((), ())


@final
class _Files:
    """
    Files that are read together.

    @ivar wrong: what is wrong with them.
    """

    def __init__(
        self, keys: Sequence[str], paths: Sequence[Path], read: Callable[[], None]
    ) -> None:
        """
        @param read: raises L{WrongTLS}.
        """
        self._keys = keys
        self._paths = paths
        self._read = read
        self._stamps: object = None
        self.wrong: Sequence[tuple[str, str]] = ()

    def look(self) -> bool:
        """
        Read the files if they have changed since they were read, or were bad then.

        Bad ones are read again each time: the reason may have been a lack of
        descriptors.

        @return: whether that brought anything new.
        """
        stamps = [stampOf(path) for path in self._paths]
        same = stamps == self._stamps
        if same and not self.wrong:
            return False
        before, self._stamps, self.wrong = self.wrong, stamps, ()
        try:
            self._read()
        except WrongTLS as e:
            self.wrong = e.wrong
        except Exception as e:
            # Nobody foresaw it; what was good before is good no longer.
            self.wrong = [(self._keys[0], f"cannot be read: {type(e).__name__}")]
        return not same or not self.wrong or self.wrong != before

    @property
    def good(self) -> Sequence[str]:
        """Their keys, if nothing is wrong with them."""
        return () if self.wrong else self._keys


@final
class ServerTLS:
    """
    The TLS of one listener.

    While the files of its own certificate are broken, the last good one is
    shown; while that of the clients' CA is, the CAs that it had are believed, for a
    bundle that is renewed may be cut. While the CRL is, no client's certificate is
    accepted.

    @ivar successor: what another configuration has put in its place.
    """

    successor: ServerTLS | None = None
    _own: Own
    _context: SSL.Context
    _made: float

    def __init__(
        self,
        settings: ListenTLS,
        directory: Path,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Read all files.

        @param directory: what relative paths start from.
        @param wall: seconds since the epoch.
        @raise WrongTLS: with everything that is wrong.
        """
        self._settings = settings
        self._directory = directory
        self._wall = wall
        self._verifies = settings.client_certificate != "off"
        self._ownFiles = self._files(self._readOwn, "certificate", "key")
        self._trustFiles = self._files(self._readTrust, "client_ca", "crl")
        self._trust = self._good = _NOBODY
        self._told = Once()
        self._ownFiles.look()
        self._trustFiles.look()
        # Which of both were read again, and not told of.
        self._fresh = False, False
        if not self._ownFiles.wrong:
            self._remake()
        self._require()

    def require(self) -> None:
        """
        Look at the files, as a configuration that is to come into force does.

        @raise WrongTLS: with everything that is wrong; what was good before goes
            on as L{refresh} says.
        """
        self._look()
        self._require()

    def _require(self) -> None:
        wrong = [*self._unfit(), *self._ownFiles.wrong, *self._trustFiles.wrong]
        if wrong:
            raise WrongTLS(wrong)

    def _look(self) -> None:
        own, trust = self._ownFiles.look(), self._trustFiles.look()
        if own or trust:
            self._remake()
        self._fresh = self._fresh[0] or own, self._fresh[1] or trust

    def _files(self, read: Callable[[], None], *keys: str) -> _Files:
        named = [key for key in keys if getattr(self._settings, key)]
        paths = [self._directory / getattr(self._settings, key) for key in named]
        return _Files(named, paths, read)

    # What is configured.

    def _unfit(self) -> Iterator[_Wrong]:
        settings = self._settings
        if not self._verifies:
            for key in ("client_ca", "crl", "prefix"):
                if getattr(settings, key):
                    yield _Wrong(
                        key,
                        "is of no use without client certificates; say "
                        'client_certificate = "required" (or "optional")',
                    )
            return
        if not settings.client_ca:
            yield _Wrong(
                "client_ca",
                "is missing: the CA of the client certificates that are wanted",
            )
        if not settings.identity:
            yield _Wrong("identity", "is empty: nobody would have a name")
        if not settings.prefix.isprintable() or "\\" in settings.prefix:
            yield _Wrong("prefix", "must not have control characters or backslashes")

    @property
    def held(self) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Its own certificate and chain; the CAs of clients; and their CRLs."""
        return self._own.chain, *self._trust

    @property
    def expires(self) -> float:
        """When its own certificate expires, in seconds since the epoch."""
        return self._own.chain[0].not_valid_after_utc.timestamp()

    # Reading.

    def _read(self, key: str, read: Callable[[Path], bytes]) -> bytes:
        """
        @raise WrongTLS: the file cannot be read.
        """
        path = self._directory / getattr(self._settings, key)
        try:
            return read(path)
        except OSError as e:
            raise WrongTLS([_Wrong(key, unreadable(path, e))]) from None
        except FileError as e:
            raise WrongTLS([_Wrong(key, str(e))]) from None

    def _wrong(self, key: str, why: str) -> WrongTLS:
        path = self._directory / getattr(self._settings, key)
        return WrongTLS([_Wrong(key, f"{path}: {why}")])

    def _certificates(self, key: str, octets: bytes) -> list[x509.Certificate]:
        try:
            return certificatesOf(octets)
        except ValueError as e:
            raise self._wrong(key, str(e)) from None

    def _readOwn(self) -> None:
        inOne = not self._settings.key
        octets = self._read("certificate", readSecret if inOne else readFile)
        chain = self._certificates("certificate", octets)
        name = "certificate" if inOne else "key"
        if not inOne:
            octets = self._read("key", readSecret)
        try:
            self._own = keyFor(chain, octets)
        except ValueError as e:
            raise self._wrong(name, str(e)) from None

    def _readTrust(self) -> None:
        if not self._verifies or not self._settings.client_ca:
            return
        try:
            authorities = self._authorities()
        except WrongTLS:
            # A list that has been read anew counts all the same.
            self._trust = self._trust._replace(lists=list(self._lists()))
            raise
        self._trust = _Trust(authorities, list(self._lists()))

    def _authorities(self) -> Sequence[x509.Certificate]:
        octets = self._read("client_ca", readFile)
        authorities = self._certificates("client_ca", octets)
        if not any(each.issuer == each.subject for each in authorities):
            raise self._wrong(
                "client_ca",
                "holds no root (self-signed) certificate, where the chains of the "
                "clients' certificates could end",
            )
        return authorities

    def _lists(self) -> Iterator[x509.CertificateRevocationList]:
        if not self._settings.crl:
            return
        mark = b"-----BEGIN X509 CRL-----"
        parts = self._read("crl", readFile).split(mark)[1:]
        if not parts:
            raise self._wrong("crl", "holds no CRL (PEM)")
        for part in parts:
            try:
                found = x509.load_pem_x509_crl(mark + part)
                until = found.next_update_utc
            except Exception:
                # The library raises several kinds.
                raise self._wrong("crl", "holds what is no CRL (PEM)") from None
            if until is None:
                raise self._wrong(
                    "crl", "has no nextUpdate, so that nobody can tell when it is stale"
                )
            yield found

    # Contexts.

    def _remake(self) -> None:
        try:
            self._context = self._make()
        except (SSL.Error, Error):
            # Not the own certificate, which was tried when it was read.
            wrong = _Wrong("client_ca", "OpenSSL refuses it, or what is in crl")
            self._trust = _NOBODY if self._settings.crl else self._good
            self._trustFiles.wrong = [wrong]
            self._context = self._make()
        self._good = self._trust

    def _make(self) -> SSL.Context:
        self._made = self._wall()
        if not self._verifies:
            return serverContext(self._own, RESUMABLE)
        trust = _NOBODY if self._unusable() else self._trust
        revokes = bool(self._settings.crl)
        resumption = Resumption(trust.authorities, trust.lists, revokes)
        context = serverContext(self._own, resumption.lasts(self._made))
        context.set_app_data(resumption)
        store = context.get_cert_store()
        assert store is not None
        for authority in trust.authorities:
            store.add_cert(X509.from_cryptography(authority))
            context.add_client_ca(authority)
        for each in trust.lists:
            store.add_crl(each)
        if revokes:
            store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)
        wanted = SSL.VERIFY_PEER
        if self._settings.client_certificate == "required":
            wanted |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        context.set_verify(
            wanted, partial(_verified, self._unusable(), resumption, self._wall)
        )
        # Without a name for them no session is resumed.
        context.set_session_id(_SESSIONS)
        context.set_verify_depth(_DEPTH)
        return context

    def _unusable(self) -> str:
        """
        Return why no client's certificate can be judged; empty where each can.

        No certificate is accepted then. OpenSSL tells only that, and not why.
        """
        wrong = "; ".join(
            f"{key}: {why}"
            for key, why in self._trustFiles.wrong
            if key != "client_ca" or not self._trust.authorities
        )
        return f"client certificates cannot be judged: {wrong}" if wrong else ""

    def refresh(self) -> Changes:
        """
        Look at the files, and read again those that have changed.

        It costs a few C{stat(2)} when nothing has happened.
        """
        self._look()
        if not 0 <= self._wall() - self._made < RESUMABLE:
            # Other keys for tickets: whoever gets hold of one reads no more than what
            # was sent in their hour.
            self._remake()
        own, trust = self._fresh
        self._fresh = False, False
        wrong = [*self._ownFiles.wrong, *self._kept(), *self.aged()]
        return Changes(
            (
                *(self._ownFiles.good if own else ()),
                *(self._trustFiles.good if trust else ()),
            ),
            tuple(self._told.holds(f"{key}: {why}" for key, why in wrong)),
            # What cannot be read is no reason to turn out those who are in; a stale
            # list is one of several, maybe.
            trust and not self._unusable(),
        )

    def _kept(self) -> Iterator[tuple[str, str]]:
        """Tell what is wrong with the clients' CA and CRL, and what holds meanwhile."""
        for key, why in self._trustFiles.wrong:
            if key == "client_ca" and self._trust.authorities and not self._unusable():
                why += "; the CAs that it had are believed meanwhile"
            yield key, why

    def aged(self) -> Iterator[tuple[str, str]]:
        """
        Tell what was good when it was read, and is so no longer.

        @return: keys of the table, each with the reason.
        """
        if self._wall() > self._own.chain[0].not_valid_after_utc.timestamp():
            yield "certificate", "it has expired: clients will refuse it"
        if self._isStale():
            yield (
                "crl",
                "it is stale (nextUpdate has passed): no client certificate of its "
                "issuer is accepted",
            )

    def _isStale(self) -> bool:
        # The second of nextUpdate is still its own, as OpenSSL has it.
        now = int(self._wall())
        return any(
            each.next_update_utc is not None and now > each.next_update_utc.timestamp()
            for each in self._trust.lists
        )

    # Connections.

    def connection(self) -> SSL.Connection:
        """
        Return the server's side of a new connection, on octets in memory.
        """
        context = self._context
        connection = SSL.Connection(context, None)
        connection.set_accept_state()
        if self._verifies and not context.get_app_data().lasts(self._wall()):
            # Neither a new ticket, nor one of before.
            connection.set_options(SSL.OP_NO_TICKET)
        return connection

    def identityOf(self, connection: SSL.Connection) -> CertificateIdentity | None:
        """
        Return who the client is.

        The handshake is done, and in it OpenSSL has verified the chain; or it has
        resumed a session in which it had, and the chain is judged here.

        @return: L{None} when it has shown no certificate, or one without any
            of the names that are wanted.
        @raise Unacceptable: its name is malformed; or CA or CRL have changed since
            the handshake began, or the session, and it is not accepted any more.
        """
        leaf = connection.get_peer_certificate()
        if leaf is None:
            return None
        if not self._verifies:
            raise AssertionError("a certificate that nobody has verified")
        resumption = connection.get_context().get_app_data()
        verified = connection.get_verified_chain()
        if verified is None:
            try:
                between = resumption.chainOf(leaf)
            except X509StoreContextError as e:
                raise Unacceptable(_WHY.get(e.errors[0], str(e))) from None
        else:
            between = tuple(verified[1:-1])
            resumption.accepted(between)
        name = self._nameOf(leaf)
        if name is None:
            return None
        expires = leaf.to_cryptography().not_valid_after_utc.timestamp()
        identity = CertificateIdentity(name, expires, leaf, between)
        newest = self
        while newest.successor is not None:
            newest = newest.successor
        if connection.get_context() is not newest._context:
            why = newest.objection(identity)
            if why:
                raise Unacceptable(why)
        return identity

    def _nameOf(self, leaf: X509) -> bytes | None:
        name = nameOf(leaf.to_cryptography(), self._settings.identity)
        return None if name is None else (self._settings.prefix + name).encode()

    def objection(self, identity: CertificateIdentity, living: bool = False) -> str:
        """
        Say why a client's certificate, which was accepted once, would not be now.

        @param living: whether the client is in already. That a CRL is stale is
            then no objection; all that is known besides is.
        @return: empty when it would be accepted.
        """
        try:
            if self._nameOf(identity.leaf) != identity.username:
                return "its owner is called otherwise now"
        except BadName as e:
            return str(e)
        unusable = self._unusable()
        if unusable:
            return unusable
        store = self._context.get_cert_store()
        assert store is not None
        error = _errorOf(store, identity)
        if living and error is not None and error.errors[0] in _STALE:
            # OpenSSL stops at that. So once more, with the lists as if they were
            # fresh, and then at the time of now, without any.
            error = _errorOf(self._storeOf(_NO_CHECK_TIME), identity)
            error = error or _errorOf(self._storeOf(None), identity)
        return "" if error is None else _WHY.get(error.errors[0], str(error))

    def _storeOf(self, flags: int | None) -> X509Store:
        """
        Whom the gateway believes, for other questions than the handshake's.

        @param flags: with the lists, and these flags besides; L{None} for none
            of both.
        """
        store = X509Store()
        for authority in self._trust.authorities:
            store.add_cert(X509.from_cryptography(authority))
        if flags is not None:
            for each in self._trust.lists:
                store.add_crl(each)
            store.set_flags(
                X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL | flags
            )
        return store


def _errorOf(
    store: X509Store, identity: CertificateIdentity
) -> X509StoreContextError | None:
    """Return what is wrong with a client's certificate; L{None} when nothing is."""
    try:
        X509StoreContext(store, identity.leaf, identity.chain).verify_certificate()
    except X509StoreContextError as e:
        return e
    return None


def _verified(
    unusable: str,
    resumption: Resumption,
    wall: Callable[[], float],
    connection: SSL.Connection,
    certificate: X509,
    error: int,
    depth: int,
    good: int,
) -> bool:
    """
    Keep for the record why OpenSSL does not accept a certificate of a chain.

    OpenSSL's verdict stands.

    @param unusable: why none can be judged; empty where each can.
    """
    if good:
        resumption.limit(connection, certificate, wall())
        return True
    why = unusable or _WHY.get(error, f"OpenSSL's error {error}")
    connection.set_app_data(Refused(why, None if depth else certificate))
    return False
