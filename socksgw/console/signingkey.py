"""
Make the key that signs the journal: C{socksgw audit key}.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from socksgw.audit.checkpoints import MAKING
from socksgw.system.ed25519 import privateKey
from socksgw.system.files import FileError

__all__ = ["keyMain"]


def keyMain(file: Path, public: bool, out: TextIO, errors: TextIO) -> int:
    """
    Make a key, and print its public key in PEM.

    @param public: whether to read the key of the file instead.
    @return: the exit status: 2 when the file exists, or cannot be written or read.
    """
    try:
        key = privateKey(file, MAKING) if public else _make(file)
    except FileError as e:
        print(f"socksgw audit key: {e}", file=errors)
        return 2
    except FileExistsError:
        print(
            f"socksgw audit key: {file} exists already, and is left as it is: --public "
            "prints its public key",
            file=errors,
        )
        return 2
    except OSError as e:
        print(f"socksgw audit key: {file}: {e.strerror}", file=errors)
        return 2
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    print(pem.decode("ascii"), end="", file=out)
    if not public:
        print(
            f'made {file}: name it in [audit] signing_key = "{file}", and keep the '
            "public key on another host: audit verify --key takes it",
            file=errors,
        )
    return 0


def _make(file: Path) -> Ed25519PrivateKey:
    """
    Make a key that nobody else can read.

    @raise OSError: the file exists, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(file, flags, 0o600), "wb") as opened:
        opened.write(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        opened.flush()
        os.fsync(opened.fileno())
    return key
