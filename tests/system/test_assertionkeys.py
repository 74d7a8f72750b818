"""
The keys of gateways: whose word is believed, and what is wrong with a file.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from socksgw.system.assertionkeys import SigningKey, VerifyingKeys
from socksgw.system.files import FileError
from socksgw.wire.assertion import Assertion, open_
from socksgw.wire.reader import WireError

SAID = Assertion("alice", "chap", frozenset("a"), "t", "clear", None, ("edge/1",))
RSA = generate_private_key(65537, 2048)


def private(key: object, path: Path) -> Path:
    """Write a key as openssl genpkey does."""
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    path.write_bytes(octets)
    path.chmod(0o600)
    return path


def public(key: object) -> bytes:
    """What openssl pkey -pubout prints."""
    found: bytes = key.public_key().public_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return found


def test_signed(tmp_path: Path) -> None:
    """What one side signs the other believes, for that connection alone."""
    edge, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    key = SigningKey(private(edge, tmp_path / "edge.pem"), "edge")
    assert key.name.startswith("edge/")
    assert key.name != SigningKey(private(other, tmp_path / "b.pem"), "edge").name
    # Two keys in one file, while one is replaced by the other.
    (tmp_path / "edge.pub").write_bytes(public(other) + public(edge))
    keys = VerifyingKeys([tmp_path / "edge.pub"])
    found = open_(key.sign(SAID, b"b" * 32))
    assert keys.verify(found, b"b" * 32) == SAID
    with pytest.raises(WireError, match="another connection"):
        keys.verify(found, b"c" * 32)
    (tmp_path / "edge.pub").write_bytes(public(other))
    with pytest.raises(WireError, match="not known"):
        VerifyingKeys([tmp_path / "edge.pub"]).verify(found, b"b" * 32)


def test_filesOfPrivateKeys(tmp_path: Path) -> None:
    """Each with its name and the remedy."""
    file = tmp_path / "edge.pem"
    with pytest.raises(FileError, match=r"edge\.pem: No such file"):
        SigningKey(file, "edge")
    file.write_bytes(b"nothing")
    file.chmod(0o600)
    with pytest.raises(FileError, match="openssl genpkey -algorithm ed25519"):
        SigningKey(file, "edge")
    with pytest.raises(FileError, match="not a key of Ed25519"):
        SigningKey(private(RSA, file), "edge")
    private(Ed25519PrivateKey.generate(), file).chmod(0o644)
    with pytest.raises(FileError, match=r"others can read it|chmod"):
        SigningKey(file, "edge")


def test_filesOfPublicKeys(tmp_path: Path) -> None:
    """Each with its name and the remedy."""
    file = tmp_path / "edge.pub"
    with pytest.raises(FileError, match=r"edge\.pub: No such file"):
        VerifyingKeys([file])
    file.write_bytes(b"nothing")
    with pytest.raises(FileError, match="-pubout"):
        VerifyingKeys([file])
    file.write_bytes(public(RSA))
    with pytest.raises(FileError, match="none of Ed25519"):
        VerifyingKeys([file])
    broken = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    file.write_bytes(broken)
    with pytest.raises(FileError, match="none of Ed25519"):
        VerifyingKeys([file])
