"""
TLS sessions of clients with certificates, when they are resumed.

A ticket (RFC 8446 section 4.6.1, RFC 5077) holds the client's certificate, sealed with
a key of the context, and not those between it and the CA. A session that is resumed
shows nothing anew: so the certificate is judged again, with the lists, at the time of
now. Other authorities or lists mean another context, whose keys open no ticket of
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreFlags

from socksgw.system.tlscontext import RESUMABLE

__all__ = ["Resumption"]

#: The most certificates between clients and their CAs that are kept.
_BETWEEN: Final = 64


@final
class Resumption:
    """
    Which sessions of one context may be resumed, and what is said of them then.
    """

    __slots__ = ("_authorities", "_between", "_lists", "_revokes", "_store", "_until")

    def __init__(
        self,
        authorities: Sequence[x509.Certificate],
        lists: Sequence[x509.CertificateRevocationList],
        revokes: bool,
    ) -> None:
        """
        Resume none yet.

        @param authorities: whom the context believes; nobody's sessions are resumed
            where it believes nobody.
        @param revokes: whether each issuer needs one of the lists.
        """
        self._authorities = authorities
        self._lists = lists
        self._revokes = revokes
        ends = [each.next_update_utc for each in lists]
        #: When the first of the lists is stale, in seconds since the epoch.
        self._until = min([each.timestamp() for each in ends if each], default=None)
        #: By their subjects. L{None} when there are too many, or two of one name, so
        #: that a chain may not be found again.
        self._between: dict[bytes, X509] | None = {} if authorities else None
        self._store: X509Store | None = None

    def lasts(self, now: float) -> int:
        """
        Return for how many seconds a session that begins now may be resumed.

        @param now: seconds since the epoch; so it is elsewhere here.
        @return: 0 where none is to be, and none of before either.
        """
        if self._between is None:
            return 0
        if self._until is None:
            return RESUMABLE
        return max(0, min(RESUMABLE, int(self._until - now)))

    def limit(self, connection: SSL.Connection, certificate: X509, now: float) -> None:
        """
        Have no ticket outlive a certificate of a client's chain (TLS 1.3).

        In TLS 1.2 the ticket was promised before the client showed anything.

        @param connection: in whose handshake it has been verified.
        """
        end = certificate.to_cryptography().not_valid_after_utc.timestamp()
        if end < now + RESUMABLE:
            connection.set_options(SSL.OP_NO_TICKET)

    def accepted(self, between: Sequence[X509]) -> None:
        """Keep what leads from a client's certificate, now verified, to the CA."""
        kept = self._between
        for each in between:
            if kept is None:
                return
            found = each.to_cryptography()
            known = kept.setdefault(found.subject.public_bytes(), each)
            other = known is not each and known.to_cryptography() != found
            if other or len(kept) > _BETWEEN:
                kept = self._between = None

    def chainOf(self, leaf: X509) -> tuple[X509, ...]:
        """
        Judge a client's certificate once more, at the time of now.

        Its usage is not looked at: it is the certificate that was verified.

        @return: those between it and the CA.
        @raise X509StoreContextError: it is not accepted now.
        """
        store = self._store
        if store is None:
            store = self._store = self._trusting()
        between = list((self._between or {}).values())
        found = X509StoreContext(store, leaf, between).get_verified_chain()
        return tuple(found[1:-1])

    def _trusting(self) -> X509Store:
        store = X509Store()
        for authority in self._authorities:
            store.add_cert(X509.from_cryptography(authority))
        for each in self._lists:
            store.add_crl(each)
        if self._revokes:
            store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)
        return store
