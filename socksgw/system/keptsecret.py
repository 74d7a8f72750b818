"""
A file that holds a secret, and is looked at again while the gateway runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from twisted.logger import Logger

from socksgw.system.files import FileError, readSecret, stampOf
from socksgw.system.usage import shared

__all__ = ["KeptSecret"]

_log = Logger()


@final
class KeptSecret:
    """
    Tells whether others can read the file now, not only when it was read.

    Looking costs a stat(2) while nothing changes.
    """

    def __init__(self, path: Path) -> None:
        """
        Read the file once.

        @raise OSError: it cannot be read.
        @raise FileError: others can read it.
        """
        self._path = path
        self._stamp: object = stampOf(path)
        self._wrong = ""
        readSecret(path)

    @classmethod
    def of(cls, path: Path) -> KeptSecret:
        """
        Return the one of this file, which all who use the file share.

        What is wrong with it is logged once for all of them.

        @raise OSError: it cannot be read.
        @raise FileError: it cannot be read any more, or others can read it.
        """
        found = shared(("secret", path), lambda: cls(path))
        # Also when it is as it was: the groups that are trusted may be others.
        found._stamp = None
        found.check()
        return found

    def check(self) -> None:
        """
        Look before each use by a library that reads the file by itself.

        @raise FileError: it cannot be read any more, or others can read it; the
            text names it and the remedy.
        """
        if self.problem():
            raise FileError(self._wrong)

    def problem(self) -> str:
        """
        Return what is wrong with the file now, in one line, or nothing.

        It is logged when that changes.
        """
        stamp = stampOf(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            before, self._wrong = self._wrong, ""
            try:
                readSecret(self._path)
            except OSError as e:
                self._wrong = f"{self._path}: {e.strerror}; put it back"
            except FileError as e:
                self._wrong = str(e)
            if self._wrong and self._wrong != before:
                _log.error("{why}", why=self._wrong)
            elif before and not self._wrong:
                _log.info("{path}: can be used again", path=str(self._path))
        return self._wrong
