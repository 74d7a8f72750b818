"""
What TLS is set up with: versions, ciphers, certificates and keys.

Versions and ciphers are the same on listeners, inside SOCKS and on the way to
upstreams.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import PublicKeyAlgorithmOID
from OpenSSL import SSL
from OpenSSL.crypto import X509, Error

__all__ = [
    "RESUMABLE",
    "Own",
    "certificatesOf",
    "clientContext",
    "keyFor",
    "serverContext",
]

#: AEAD with forward secrecy; TLS 1.3 has nothing else.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
#: Seconds that a session may be resumed for.
RESUMABLE: Final = 3600
#: Around a certificate in a file (RFC 7468 section 5).
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
#: SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name: a
#: call for every record, where one does for all of them.
_PARTIAL_WRITE: Final = 0x1


class Own(NamedTuple):
    """
    What one side shows of itself.

    @ivar chain: its certificate, and those between it and the root.
    @ivar key: its private key.
    @ivar pem: the key as it was read, where OpenSSL has to read it itself.
    """

    chain: Sequence[x509.Certificate]
    key: Any
    pem: bytes = b""


def certificatesOf(octets: bytes) -> list[x509.Certificate]:
    """
    Return the certificates in a PEM file.

    @raise ValueError: there is none, one cannot be read, or the file is cut.
    """
    # The library passes over a last one that has no end.
    last = octets.strip().rpartition(b"\n")[2]
    if octets.count(_BEGIN) != octets.count(_END) or (
        last.startswith(b"-----") and not last.endswith(b"-----")
    ):
        raise ValueError("is cut: a certificate in it (PEM) has no end")
    try:
        found = x509.load_pem_x509_certificates(octets)
        for each in found:
            # Read only when they are asked for.
            _ = each.issuer, each.subject, each.not_valid_after_utc
        return found
    except Exception:
        # The library raises several kinds.
        raise ValueError("holds no certificate that can be read (PEM)") from None


def keyFor(chain: Sequence[x509.Certificate], octets: bytes) -> Own:
    """
    Return a chain with its private key, which is in a PEM file.

    @raise ValueError: the key is not that of the first certificate, or cannot be
        used. The text holds nothing of it.
    """
    try:
        key = load_pem_private_key(octets, None)
    except TypeError:
        raise ValueError(
            "the private key is encrypted; store it without a passphrase: "
            "openssl pkey -in FILE -out NEW"
        ) from None
    except Exception:
        # Never its text: it may hold what the file does.
        raise ValueError("holds no private key that can be read (PEM)") from None
    try:
        fits = key.public_key() == chain[0].public_key()
    except Exception:
        raise ValueError("the certificate's key is of an unknown kind") from None
    if not fits:
        raise ValueError("the private key is not that of the (first) certificate")
    # Of a key that is for RSA-PSS alone (RFC 8446 section 4.2.3, rsa_pss_pss) the
    # library makes one of plain RSA, which OpenSSL does not take for the same.
    pss = chain[0].public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
    own = Own(chain, key, octets if pss else b"")
    try:
        serverContext(own)
    except (SSL.Error, Error) as e:
        why = e.args[0][-1][-1] if e.args and e.args[0] else "no reason given"
        raise ValueError(f"OpenSSL refuses it: {why}") from None
    except OSError as e:
        raise ValueError(
            "a key for RSA-PSS alone needs memfd_create(2), and the system says: "
            f"{e.strerror}; allow that call, or use a key of plain RSA or ECDSA"
        ) from None
    return own


def serverContext(own: Own, resumable: int = 0) -> SSL.Context:
    """
    Return a context of TLS 1.2 and 1.3 with sound ciphers.

    It has no compression and no renegotiation.

    @param resumable: for how many seconds a client may resume a session, which saves
        both sides the signature (tickets, RFC 8446 section 4.6.1, RFC 5077). The keys of the tickets
        are this context's.
    @raise SSL.Error: OpenSSL does not take the certificate or its key.
    @raise OSError: memfd_create(2) failed, which a key for RSA-PSS alone needs.
    """
    context = _context(SSL.TLS_SERVER_METHOD)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    if resumable:
        context.set_timeout(resumable)
    else:
        context.set_options(SSL.OP_NO_TICKET)
    _show(context, own)
    return context


def clientContext(
    trust: Sequence[x509.Certificate] | None, own: Own | None = None
) -> SSL.Context:
    """
    Return a context for connections to servers, as L{serverContext} otherwise.

    It does not ask yet that the server proves its name
    (L{socksgw.system.tlsname.PeerName}).

    @param trust: the authorities that are believed; L{None} for those of the system.
    @param own: what is shown to a server that asks for it.
    @raise SSL.Error: as L{serverContext}; or OpenSSL does not take an authority.
    @raise OSError: as L{serverContext}.
    """
    context = _context(SSL.TLS_CLIENT_METHOD)
    if trust is None:
        context.set_default_verify_paths()
    else:
        store = context.get_cert_store()
        assert store is not None
        for authority in trust:
            store.add_cert(X509.from_cryptography(authority))
    if own is not None:
        _show(context, own)
    return context


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.clear_mode(_PARTIAL_WRITE)
    context.set_cipher_list(_CIPHERS)
    return context


def _show(context: SSL.Context, own: Own) -> None:
    """Have a context show a certificate."""
    context.use_certificate(own.chain[0])
    for each in own.chain[1:]:
        context.add_extra_chain_cert(each)
    if own.pem:
        # OpenSSL reads files only; this one is in memory, and nobody else's.
        with open(os.memfd_create("key"), "wb") as file:
            file.write(own.pem)
            file.flush()
            context.use_privatekey_file(f"/proc/self/fd/{file.fileno()}")
    else:
        context.use_privatekey(own.key)
    context.check_privatekey()
