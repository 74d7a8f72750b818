"""
The security layer of SASL: each message of LDAP is protected by Kerberos.

Messages travel in buffers of four octets of length and a wrapped token (RFC 4422
section 3.7, RFC 4752 section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol, final

__all__ = ["LAYERS", "RECEIVES", "Layer", "LayerBroken", "Layered", "Sealing"]

#: The bits of the layers (RFC 4752 section 3.1), by the words of the configuration.
LAYERS: Final = {"integrity": 2, "confidentiality": 4}
#: Octets of the longest buffer that is taken.
RECEIVES: Final = 1 << 20
_LENGTH: Final = 4


class LayerBroken(Exception):
    """What has come is not protected as was agreed."""


class Sealing(Protocol):
    """An established context of GSSAPI (C{gssapi.SecurityContext})."""

    def wrap(self, message: bytes, encrypt: bool) -> Any:
        """Return the token, as C{message}."""

    def unwrap(self, message: bytes) -> Any:
        """Return what is in a token: C{message}, and whether it is C{encrypted}."""

    def get_wrap_size_limit(self, desired_output_size: int, encrypted: bool) -> int:
        """Return how long a message may be in so long a token."""


@final
class Layer:
    """
    The protection of one connection.
    """

    def __init__(self, context: Sealing, secret: bool, most: int) -> None:
        """
        Take what protects.

        @param secret: whether it encrypts, and what comes has to be encrypted.
        @param most: octets of the longest token that the server takes.
        """
        self._context = context
        self._secret = secret
        self._most = max(1, context.get_wrap_size_limit(most, secret))
        self._came = b""

    def wrapped(self, octets: bytes) -> bytes:
        """Return the buffers that hold these octets."""
        found = []
        for at in range(0, len(octets), self._most):
            piece = octets[at : at + self._most]
            token = self._context.wrap(piece, self._secret).message
            found += [len(token).to_bytes(_LENGTH), token]
        return b"".join(found)

    def unwrapped(self, octets: bytes) -> Iterator[bytes]:
        """
        Take octets, and yield what is in each buffer that is whole.

        @raise LayerBroken: one is too long, was changed, or is not secret.
        """
        self._came += octets
        while len(self._came) >= _LENGTH:
            length = int.from_bytes(self._came[:_LENGTH])
            if length > RECEIVES:
                raise LayerBroken(f"a buffer of {length} octets")
            end = _LENGTH + length
            if len(self._came) < end:
                return
            token, self._came = self._came[_LENGTH:end], self._came[end:]
            try:
                found = self._context.unwrap(token)
            except Exception:
                # The library raises several kinds.
                raise LayerBroken("a message that was changed on the way") from None
            if self._secret and not found.encrypted:
                raise LayerBroken("a message that is not encrypted")
            yield bytes(found.message)


@final
class Layered:
    """A transport whose octets go through a layer."""

    def __init__(self, transport: Any, layer: Layer) -> None:
        self._transport = transport
        self._layer = layer

    def write(self, octets: bytes) -> None:
        """Write octets, protected."""
        self._transport.write(self._layer.wrapped(octets))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
