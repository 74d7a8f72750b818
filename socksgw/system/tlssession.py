"""
What two sides of TLS have agreed on, for the record.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL
from OpenSSL.crypto import X509

__all__ = ["TLSSession", "sessionOf"]


class TLSSession(NamedTuple):
    """
    A session of TLS, and the certificate that the peer has shown in it.

    @ivar version: as OpenSSL names it, C{TLSv1.3}.
    @ivar group: of the key exchange, as OpenSSL names it; empty where there was none
        (RSA key transport in TLS 1.2).
    @ivar fingerprint: the SHA-256 of the certificate, in hexadecimal; empty without one.
    @ivar serial: the certificate's number as C{openssl x509 -serial} prints it.
    """

    version: str
    group: str
    fingerprint: str = ""
    serial: str = ""


@lru_cache(64)
def _agreed(version: str, group: str) -> TLSSession:
    """Return the session of a peer without a certificate: most are alike."""
    return TLSSession(version, group)


def sessionOf(connection: SSL.Connection, shown: X509 | None = None) -> TLSSession:
    """
    Return what a connection has agreed on.

    The server has chosen both by then: the handshake is done, or has come to the
    client's certificate.

    @param shown: the peer's certificate, where OpenSSL has not accepted it.
    """
    version = connection.get_protocol_version_name()
    group = connection.get_group_name() or ""
    leaf = shown or connection.get_peer_certificate()
    if leaf is None:
        return _agreed(version, group)
    certificate = leaf.to_cryptography()
    return TLSSession(
        version, group, certificate.fingerprint(SHA256()).hex(), _serial(leaf)
    )


def _serial(leaf: X509) -> str:
    """Return whole octets in hexadecimal, with the sign that no serial should have."""
    number = leaf.get_serial_number()
    digits = f"{abs(number):X}"
    return "-" * (number < 0) + "0" * (len(digits) % 2) + digits
