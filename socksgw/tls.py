"""
What sound TLS is, wherever the gateway speaks it: on a listener, and inside
SOCKS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import Error

__all__ = ["Own", "certificatesOf", "keyFor", "serverContext"]

#: AEAD with forward secrecy; TLS 1.3 has nothing else.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
#: SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name: a
#: call for every record, where one does for all of them.
_PARTIAL_WRITE: Final = 0x1


class Own(NamedTuple):
    """
    What a server shows of itself.

    @ivar chain: its certificate, and those between it and the root.
    @ivar key: its private key.
    """

    chain: Sequence[x509.Certificate]
    key: Any


def certificatesOf(octets: bytes) -> list[x509.Certificate]:
    """
    The certificates in a PEM file.

    @raise ValueError: there is none, or one cannot be read.
    """
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
    A chain with its private key, from a PEM file.

    @raise ValueError: it is not that of the first certificate, or cannot be
        used; never with anything of it in the text.
    """
    try:
        key = load_pem_private_key(octets, None)
    except TypeError:
        raise ValueError("the private key is encrypted; store it without") from None
    except Exception:
        # Never its text: it may hold what the file does.
        raise ValueError("holds no private key that can be read (PEM)") from None
    try:
        fits = key.public_key() == chain[0].public_key()
    except Exception:
        raise ValueError("the certificate's key is of an unknown kind") from None
    if not fits:
        raise ValueError("the private key is not that of the (first) certificate")
    own = Own(chain, key)
    try:
        serverContext(own)
    except (SSL.Error, Error) as e:
        why = e.args[0][-1][-1] if e.args and e.args[0] else "no reason given"
        raise ValueError(f"OpenSSL refuses it: {why}") from None
    return own


def serverContext(own: Own) -> SSL.Context:
    """
    TLS 1.2 and 1.3 with sound ciphers, without compression, renegotiation and
    resumption: a session that is resumed would get past a CRL that has
    changed.

    @raise SSL.Error: OpenSSL does not take the certificate or its key.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_NO_TICKET
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.clear_mode(_PARTIAL_WRITE)
    context.set_cipher_list(_CIPHERS)
    context.use_certificate(own.chain[0])
    for each in own.chain[1:]:
        context.add_extra_chain_cert(each)
    context.use_privatekey(own.key)
    context.check_privatekey()
    return context
