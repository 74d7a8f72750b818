"""
Follow the journal while it is written, from a position that moves on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from socksgw.audit import chain

__all__ = ["Follower"]

#: Octets read at once.
_CHUNK: Final = 1 << 20


@final
class Follower:
    """
    A position in the journal that moves on as lines come.
    """

    def __init__(self, directory: Path, fromStart: bool) -> None:
        """
        Begin at one end of the journal.

        @param fromStart: whether to begin with the first line that is kept; else
            with the next line that is written.
        @raise OSError: the journal cannot be read.
        """
        self._directory = directory
        self._file: Path | None = None
        self._offset = 0
        if not fromStart:
            found = chain.files(directory) if directory.is_dir() else []
            if found:
                self._file = found[-1]
                self._offset, _ = chain.tail(self._file)

    def poll(self) -> bytes:
        """
        Read the whole lines that were written since the last call.

        @return: at most L{_CHUNK} octets; empty when there are no new lines.
        @raise OSError: the journal cannot be read.
        """
        while True:
            if self._file is None:
                self._file = self._next()
                if self._file is None:
                    return b""
                self._offset = 0
            # Look for the next file before the read: once it exists, the present one
            # does not grow any more.
            following = self._next()
            try:
                with self._file.open("rb") as opened:
                    opened.seek(self._offset)
                    octets = opened.read(_CHUNK)
            except FileNotFoundError:
                # `keep` or `max_size` has dropped it.
                octets = b""
            whole = octets.rfind(b"\n") + 1
            if whole:
                self._offset += whole
                return octets[:whole]
            if following is None:
                return b""
            self._file, self._offset = following, 0

    def _next(self) -> Path | None:
        """Return the file after the present one, L{None} when there is none yet."""
        if not self._directory.is_dir():
            return None
        for file in chain.files(self._directory):
            if self._file is None or file.name > self._file.name:
                return file
        return None
