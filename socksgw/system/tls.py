"""
TLS as a server, on listeners and inside SOCKS.

Versions and ciphers are the same for both, and octets go through memory, record by
record.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import PublicKeyAlgorithmOID
from OpenSSL import SSL
from OpenSSL.crypto import Error

__all__ = [
    "AT_ONCE",
    "RECORD",
    "Excessive",
    "Own",
    "Stream",
    "certificatesOf",
    "keyFor",
    "serverContext",
]

#: AEAD with forward secrecy; TLS 1.3 has nothing else.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
#: Around a certificate in a file (RFC 7468 section 5).
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
#: SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name: a
#: call for every record, where one does for all of them.
_PARTIAL_WRITE: Final = 0x1

#: Octets of application data that one record holds at most (RFC 8446 section
#: 5.1).
RECORD: Final = 1 << 14
#: Octets of a record's header, and of what may follow: TLS 1.2 allows 2 KiB more
#: than the data (RFC 5246 section 6.2.3), TLS 1.3 less.
_HEADER: Final = 5
_LONGEST: Final = RECORD + 2048
#: Octets that are sealed at once: two records.
AT_ONCE: Final = 2 * RECORD
#: Octets that OpenSSL has to send then, at most: also what it had to say about
#: records of the peer before.
_SEALED: Final = AT_ONCE + 4096
#: Content types: from change_cipher_spec to application_data.
_TYPES: Final = range(20, 24)
#: Records that a handshake may take: a chain of certificates in fragments of 512
#: octets, the fewest that a client can ask for (RFC 6066 section 4), is of 200.
OPENING: Final = 256
#: Records without application data that may come after the handshake, for each
#: L{_MEANWHILE} octets of data. Clients change their keys after 2^24 records or
#: more (RFC 8446 section 5.5).
EMPTY: Final = 32
_MEANWHILE: Final = 1 << 20


class Own(NamedTuple):
    """
    What a server shows of itself.

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


def serverContext(own: Own) -> SSL.Context:
    """
    Return a context of TLS 1.2 and 1.3 with sound ciphers.

    It has no compression, no renegotiation and no resumption: a session that is
    resumed would get past a CRL that has changed.

    @raise SSL.Error: OpenSSL does not take the certificate or its key.
    @raise OSError: memfd_create(2) failed, which a key for RSA-PSS alone needs.
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
    if own.pem:
        # OpenSSL reads files only; this one is in memory, and nobody else's.
        with open(os.memfd_create("key"), "wb") as file:
            file.write(own.pem)
            file.flush()
            context.use_privatekey_file(f"/proc/self/fd/{file.fileno()}")
    else:
        context.use_privatekey(own.key)
    context.check_privatekey()
    return context


class Excessive(SSL.Error):
    """
    The peer sends more records without application data than TLS has a use for.
    """


@final
class Stream:
    """
    One connection's TLS, over octets in memory.

    OpenSSL is given one record at a time, so that the work that a call does is
    bounded by the octets it is given, and records without application data (key
    updates, fragments of handshake messages, alerts) are counted. OpenSSL alone
    would work off as many of them as the peer can send, in one call.

    @ivar connection: as OpenSSL has it.
    @ivar established: whether the handshake is done.
    @ivar ended: whether the peer has ended its side (close_notify, RFC 8446
        section 6.1).
    @ivar failure: what broke the connection, if anything did; nothing is read
        after that.
    """

    __slots__ = (
        "_closed", "_data", "_header", "_missing", "_records", "connection", "ended",
        "established", "failure",
    )  # fmt: skip

    def __init__(self, connection: SSL.Connection) -> None:
        """
        @param connection: on octets in memory, and told which side it is.
        """
        self.connection = connection
        self.established = False
        self.ended = False
        self.failure: SSL.Error | None = None
        #: What has come of a header, and octets of a record that are to come.
        self._header = b""
        self._missing = 0
        #: Records that brought no data, and octets of data since that counts.
        self._records = 0
        self._data = 0
        #: Whether our side has ended.
        self._closed = False

    def receive(self, octets: bytes | memoryview) -> bytes:
        """
        Take what came from the peer.

        @return: the application data in it. Octets that came with the end of the
            handshake may be among them: whether L{established} has changed is to
            be looked at first.
        """
        parts: list[bytes] = []
        position, view = 0, memoryview(octets)
        while position < len(view) and not self.ended and self.failure is None:
            if not self._missing:
                position += self._begin(view[position : position + _HEADER])
            part = view[position : position + self._missing]
            if part:
                position += len(part)
                self._missing -= len(part)
                self.connection.bio_write(part)
            if not self._missing and not self._header and self.failure is None:
                self._whole(parts)
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._data += len(data)
        if self._data >= _MEANWHILE:
            self._data = self._records = 0
        return data

    def _begin(self, header: memoryview) -> int:
        """
        Begin a record, or go on with a header of which a part had come.

        @return: how many octets of it were taken. A header that came whole is
            left, to be handed on together with what follows it.
        """
        whole: bytes | memoryview = header
        if self._header or len(header) < _HEADER:
            taken = header[: _HEADER - len(self._header)]
            whole = self._header = self._header + bytes(taken)
            if len(whole) < _HEADER:
                return len(taken)
            self._header = b""
            self.connection.bio_write(whole)
        length = whole[3] << 8 | whole[4]
        if whole[0] not in _TYPES or whole[1] != 3 or length > _LONGEST:
            self.failure = SSL.Error([("", "", "what came is no record of TLS")])
            return 0
        if whole is header:
            self._missing = _HEADER + length
            return 0
        self._missing = length
        return len(taken)

    def _whole(self, parts: list[bytes]) -> None:
        """Have OpenSSL work off a record that is whole."""
        try:
            if self.established:
                parts.append(self.connection.recv(RECORD))
                return
            self.connection.do_handshake()
            self.established = True
            self._records = 0
            return
        except SSL.WantReadError:
            self._records += 1
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as e:
            self.failure = e
        if self._records > (EMPTY if self.established else OPENING):
            self.failure = Excessive("too many records of TLS without data")

    def send(self, data: bytes | memoryview) -> bytes:
        """
        Seal application data.

        @return: what is to be sent.
        @raise SSL.Error: the connection is broken.
        """
        if len(data) <= AT_ONCE:
            self.connection.send(data)
            return self.connection.bio_read(_SEALED)
        view = memoryview(data)
        # OpenSSL keeps a buffer as large as what it was given at once.
        starts = range(0, len(data), AT_ONCE)
        return b"".join([self.send(view[each : each + AT_ONCE]) for each in starts])

    def end(self) -> bytes:
        """
        End our side, once.

        @return: what is to be sent: the rest, and TLS's word for the end.
        @raise SSL.Error: the connection is broken.
        """
        if not self._closed:
            self._closed = True
            self.connection.shutdown()
        return self.outgoing()

    def outgoing(self) -> bytes:
        """
        Take what OpenSSL has to send of its own accord.

        @return: its part of a handshake, an alert, or nothing.
        """
        parts: list[bytes] = []
        try:
            while True:
                parts.append(self.connection.bio_read(_SEALED))
        except SSL.WantReadError:
            return parts[0] if len(parts) == 1 else b"".join(parts)
