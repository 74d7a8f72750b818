"""
Keys of Ed25519 (RFC 8032) in files.

They are in PEM: C{openssl genpkey -algorithm ed25519}, and C{openssl pkey -pubout}.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from socksgw.system.files import FileError, readSecret

__all__ = ["idOf", "privateKey", "publicKeys"]

_PEM: Final = re.compile(
    rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL
)
#: Octets of the id of a key.
_ID: Final = 8


def idOf(key: Ed25519PublicKey) -> bytes:
    """Return what tells a key from others: 8 octets."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).digest()[:_ID]


def privateKey(path: Path, making: str) -> Ed25519PrivateKey:
    """
    Read a private key.

    @param making: the command that makes one, for the remedy.
    @raise FileError: it cannot be read, others can read it, or it is none.
    """
    try:
        octets = readSecret(path)
    except OSError as e:
        raise FileError(f"{path}: {e.strerror}") from None
    try:
        key = load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FileError(f"{path}: holds no key in PEM; make one: {making}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FileError(f"{path}: is not a key of Ed25519; make one: {making}")
    return key


def publicKeys(path: Path, remedy: str) -> dict[bytes, Ed25519PublicKey]:
    """
    Read all public keys of a file.

    @param remedy: how to come by one.
    @return: the keys by their ids.
    @raise FileError: it cannot be read, has no key, or one that is not of Ed25519.
    """
    try:
        octets = path.read_bytes()
    except OSError as e:
        raise FileError(f"{path}: {e.strerror}") from None
    found = _PEM.findall(octets)
    if not found:
        raise FileError(f"{path}: holds no public key in PEM; {remedy}")
    keys = {}
    for each in found:
        try:
            key = load_pem_public_key(each)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise FileError(f"{path}: has a key that is none of Ed25519")
        keys[idOf(key)] = key
    return keys
