"""
A file that holds a secret, and that the gateway goes on to look at after it
was read at the start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final
from weakref import WeakValueDictionary

from twisted.logger import Logger

from socksgw.system.files import FileError, readSecret, stampOf

__all__ = ["KeptSecret"]

_log = Logger()
#: Those in use.
_known: Final[WeakValueDictionary[Path, KeptSecret]] = WeakValueDictionary()


@final
class KeptSecret:
    """
    Says whether nobody else can read the file: now, and not only when the
    gateway started. Looking costs a stat(2) while nothing changes.
    """

    def __init__(self, path: Path) -> None:
        """
        @raise OSError: it cannot be read.
        @raise FileError: others can read it.
        """
        self._path = path
        self._stamp = stampOf(path)
        self._wrong = ""
        readSecret(path)

    @classmethod
    def of(cls, path: Path) -> KeptSecret:
        """
        Return the one of this file, which several may use: what is wrong with it
        is logged once for all of them. Raises as the constructor does.
        """
        found = _known.get(path)
        if found is None:
            found = _known[path] = cls(path)
        else:
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
        Return what is wrong with the file now, in one line, or nothing. It is
        logged when that changes.
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
