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
        @param fromStart: begin with the first line that is kept, not with
            the next that comes.
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
        Read the whole lines that came since, at most a chunk of them; empty when
        there are none.
        """
        while True:
            if self._file is None:
                self._file = self._next()
                if self._file is None:
                    return b""
                self._offset = 0
            # Asked for first: once it is there, the present file is complete.
            following = self._next()
            try:
                with self._file.open("rb") as opened:
                    opened.seek(self._offset)
                    octets = opened.read(_CHUNK)
            except FileNotFoundError:
                # Dropped by `keep` or `max_size`.
                octets = b""
            whole = octets.rfind(b"\n") + 1
            if whole:
                self._offset += whole
                return octets[:whole]
            if following is None:
                return b""
            self._file, self._offset = following, 0

    def _next(self) -> Path | None:
        """Return the file behind the present one."""
        if not self._directory.is_dir():
            return None
        for file in chain.files(self._directory):
            if self._file is None or file.name > self._file.name:
                return file
        return None
