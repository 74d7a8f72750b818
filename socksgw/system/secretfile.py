"""
The secret in a file, which is read again when the file changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from twisted.logger import Logger

from socksgw.system.files import (
    FileError,
    isWide,
    readSecret,
    stampOf,
    unmarked,
    unreadable,
)

__all__ = ["SecretFile"]

_log = Logger()

#: Octets of a secret, at most.
_MOST: Final = 1 << 16


@final
class SecretFile:
    """
    One line that nobody else can read: a password, or a token.

    Looking costs a stat(2) while nothing changes. A file that cannot be used any more
    gives no secret: the one that it held may have been revoked.
    """

    __slots__ = ("_path", "_secret", "_stamp", "_wrong")

    def __init__(self, path: Path) -> None:
        """
        Read the file.

        @raise FileError: it cannot be used; the text names it and the remedy, and
            holds nothing of it.
        """
        self._path = path
        self._secret = b""
        self._wrong = ""
        self._stamp: object = None
        self.read()

    def __repr__(self) -> str:
        return f"<SecretFile {self._path}>"

    def read(self) -> bytes:
        """
        Return the secret, without the end of its line.

        @raise FileError: as the constructor.
        """
        stamp = stampOf(self._path)
        if stamp is None or stamp != self._stamp:
            before, self._wrong, self._secret = self._wrong, "", b""
            self._stamp = stamp
            try:
                self._secret = _secretIn(self._path)
            except OSError as e:
                self._wrong = unreadable(self._path, e)
            except FileError as e:
                self._wrong = str(e)
            if self._wrong and self._wrong != before:
                _log.error("{why}", why=self._wrong)
        if self._wrong:
            raise FileError(self._wrong)
        return self._secret

    def problem(self) -> str:
        """Return what is wrong with the file now, in one line, or nothing."""
        try:
            self.read()
        except FileError as e:
            return str(e)
        return ""


def _secretIn(path: Path) -> bytes:
    octets = readSecret(path)
    if isWide(octets):
        raise FileError(f"{path}: is in UTF-16; store it as UTF-8")
    found = unmarked(octets).removesuffix(b"\n").removesuffix(b"\r")
    if not found:
        raise FileError(f"{path}: is empty; write the secret into it")
    if len(found) > _MOST or b"\n" in found or b"\0" in found:
        raise FileError(f"{path}: holds more than one line; write the secret alone")
    return found
