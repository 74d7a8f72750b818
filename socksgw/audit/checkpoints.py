"""
Signed checkpoints: lines that say which line the journal has, signed.

Who rewrites the journal's files makes hashes that fit, and no signature. The text that
is signed says what it is and whose journal it is of, so that no other signature of the
key, and no other gateway's checkpoint, stands in for it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any, Final, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from socksgw.system.ed25519 import idOf, privateKey, publicKeys

__all__ = ["MAKING", "Checkpoints", "CheckpointKeys", "checkpointLine"]

#: The command that makes a key.
MAKING: Final = "socksgw audit key FILE"
_PURPOSE: Final = b"socksgw audit checkpoint 1\n"


def _signed(gateway: str, head: str) -> bytes:
    """
    Return what is signed.

    @param gateway: the gateway's name.
    @param head: number and hash of a line, C{N:HASH}.
    """
    # The head, which has a fixed form, stands before the name, which has none.
    return _PURPOSE + head.encode() + b"\n" + gateway.encode("utf-8", "surrogatepass")


def checkpointLine(gateway: str, head: str, key: str, signature: str) -> str:
    """
    Return the line of a checkpoint.

    @param head: number and hash of the line that it signs, C{N:HASH}.
    @param key: the id of the key, in hexadecimal.
    @param signature: in Base64.
    """
    return (
        f'"event":"checkpoint","gateway":{quoted(gateway)},"head":"{head}",'
        f'"key":"{key}","signature":"{signature}"'
    )


@final
class Checkpoints:
    """
    What signs the head of a journal.

    @ivar dueAt: the number of the line at which the next checkpoint is due.
    """

    def __init__(self, path: Path, gateway: str, lines: int, every: float) -> None:
        """
        Read the key.

        @param gateway: the gateway's name.
        @param lines: how many lines there are between two checkpoints, at most.
        @param every: how many seconds.
        @raise FileError: the key cannot be used.
        """
        self._key = privateKey(path, MAKING)
        self._id = idOf(self._key.public_key()).hex()
        self._gateway = gateway
        self._lines = lines
        self._every = every
        self.dueAt = 0
        self._signed = -2
        self._next = 0.0

    def due(self, number: int, now: float) -> bool:
        """
        Tell whether the time has come, and lines as well.

        @param number: the number of the last line.
        @param now: monotonic seconds.
        """
        # The line behind the one that was signed is the checkpoint itself.
        return number > self._signed + 1 and (number >= self.dueAt or now >= self._next)

    def line(self, number: int, digest: str, now: float) -> str:
        """
        Return a checkpoint.

        @param number: the number of the last line.
        @param digest: its hash.
        @param now: monotonic seconds.
        """
        self._signed, self.dueAt = number, number + self._lines
        self._next = now + self._every
        head = f"{number}:{digest}"
        signature = self._key.sign(_signed(self._gateway, head))
        return checkpointLine(
            self._gateway, head, self._id, b64encode(signature).decode("ascii")
        )


@final
class CheckpointKeys:
    """The public keys that checkpoints are verified with."""

    def __init__(self, *paths: Path) -> None:
        """
        Read them.

        @raise FileError: a file cannot be read, or has no public key.
        """
        self._keys: dict[bytes, Ed25519PublicKey] = {}
        for path in paths:
            self._keys |= publicKeys(path, f"{MAKING} prints it")

    def wrong(self, line: Mapping[str, Any]) -> str:
        """
        Return what is wrong with a checkpoint; empty if it is genuine.

        @param line: its members.
        """
        try:
            key = bytes.fromhex(line["key"])
            signature = b64decode(line["signature"], validate=True)
            text = _signed(line["gateway"], line["head"])
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            return "is none: fields are missing, or malformed"
        found = self._keys.get(key)
        if found is None:
            return f"is signed by the key {key.hex()}, which is not given"
        try:
            found.verify(signature, text)
        except InvalidSignature:
            return "has a signature that is wrong"
        return ""
