"""
The keys by which gateways sign, and verify, what they say of clients.

Keys are those of Ed25519 (L{socksgw.system.ed25519}).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from OpenSSL import SSL

from socksgw.system.ed25519 import idOf, privateKey, publicKeys
from socksgw.wire.assertion import Assertion, Signed, decode, encode, signed
from socksgw.wire.reader import WireError

__all__ = ["SigningKey", "VerifyingKeys", "bindingOf"]

_MAKING: Final = "openssl genpkey -algorithm ed25519"
_TAKING: Final = "take it from the other gateway's key: openssl pkey -in KEY -pubout"
#: RFC 9266 section 2.
_LABEL: Final = b"EXPORTER-Channel-Binding"
_BINDING: Final = 32


def bindingOf(connection: Any) -> bytes:
    """
    Return what only the two ends of a TLS connection know (RFC 9266).

    Before TLS 1.3 it holds only with the extended master secret (section 1), of which
    OpenSSL's connections tell nothing here.

    @param connection: OpenSSL's, after its handshake.
    @raise WireError: it is of an earlier version.
    """
    if connection.get_protocol_version() < SSL.TLS1_3_VERSION:
        raise WireError("a signed identity needs TLS 1.3 between the gateways")
    found: bytes = connection.export_keying_material(_LABEL, _BINDING, b"")
    return found


@final
class SigningKey:
    """
    A gateway's own key.

    @ivar name: what the gateway is called in the path of an assertion.
    """

    def __init__(self, path: Path, gateway: str) -> None:
        """
        Read the key.

        @param gateway: the gateway's name.
        @raise FileError: it cannot be read, others can read it, or it is none.
        """
        self._key = privateKey(path, _MAKING)
        self._id = idOf(self._key.public_key())
        self.name = f"{gateway}/{self._id[:4].hex()}"

    def sign(self, assertion: Assertion, binding: bytes) -> bytes:
        """
        Return an assertion as the value of a header.

        @raise ValueError: it is too long.
        """
        claims = encode(assertion)
        signature = self._key.sign(signed(claims, binding))
        return Signed(self._id, signature, claims).value


@final
class VerifyingKeys:
    """The keys of the gateways that are believed."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """
        Read the files; each may have several keys.

        @raise FileError: one cannot be read, or has no key.
        """
        self._keys: dict[bytes, Ed25519PublicKey] = {}
        for path in paths:
            self._keys |= publicKeys(path, _TAKING)

    def knows(self, key: bytes) -> bool:
        """Return whether a key is among them, by its id."""
        return key in self._keys

    def verify(self, found: Signed, binding: bytes) -> Assertion:
        """
        Return what an assertion says.

        @param binding: of the connection that it came on.
        @raise WireError: it is not signed by one of the keys, for this connection.
        """
        key = self._keys.get(found.key)
        if key is None:
            raise WireError("an assertion that is signed with a key that is not known")
        try:
            key.verify(found.signature, signed(found.claims, binding))
        except InvalidSignature:
            raise WireError(
                "an assertion whose signature is wrong, or is for another connection"
            ) from None
        return decode(found.claims)
