"""
Read the journal's lines in their order, from a number on, while it is written.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, final

from socksgw.audit import chain
from socksgw.audit.sinks.entries import Line, Lines

__all__ = ["JournalReader", "Misplaced", "hashOf"]

#: Octets read at once.
_CHUNK: Final = 1 << 20
#: Seconds in which the journal takes back a write that failed half way.
_SETTLE: Final = 0.02


def hashOf(line: bytes) -> str:
    """Return the hash at the end of a line."""
    return line[-66:-2].decode("ascii", "replace")


class Misplaced(Exception):
    """The journal is not the one that was followed; the text says how."""


@final
class JournalReader:
    """
    A position in the journal that moves on as lines come.

    @ivar number: the number of the last line that was returned, or passed over.
    @ivar missed: how many lines were not there any more, so far.
    """

    def __init__(self, directory: Path, lines: Lines) -> None:
        """
        Read nothing yet: L{after} says where to begin.

        @param lines: lines that other readers have met.
        """
        self._directory = directory
        self._lines = lines
        self._file: Path | None = None
        self._fd = -1
        self._offset = 0
        self.number = 0
        self.missed = 0

    # Where to begin.

    def before(self) -> int:
        """
        Return the number of the line before the first one that is still there.

        @raise OSError: the journal cannot be read.
        """
        found = self._files()
        return chain.firstOf(found[0]) - 1 if found else 0

    def after(self, number: int, digest: str = "") -> None:
        """
        Begin behind a line.

        @param number: its number.
        @param digest: its hash, where that is known.
        @raise OSError: the journal cannot be read.
        @raise Misplaced: the journal ends before that line, or has another there.
        """
        self.close()
        self._file, self._offset, self.number = None, 0, number
        files = self._files()
        for i in reversed(range(len(files))):
            first = chain.firstOf(files[i])
            if first <= number + 1:
                self._open(files[i])
                last = i + 1 == len(files)
                self._pass(number - first + 1, digest, last)
                return

    def _pass(self, count: int, digest: str, last: bool) -> None:
        """
        Pass over so many lines of the file.

        @param last: whether it is the last file.
        """
        rest = b""
        left = count
        while left:
            chunk = os.pread(self._fd, _CHUNK, self._offset + len(rest))
            octets = rest + chunk
            found = octets.count(b"\n")
            if not chunk and not last:
                # The rest of it was cut off, which the next file tells.
                return
            if not chunk:
                raise Misplaced(
                    f"the sink has line {self.number}, and the journal ends with line "
                    f"{self.number - left}: it was cut, or is another one"
                )
            if found >= left:
                at = -1
                for _ in range(left):
                    before, at = at, octets.index(b"\n", at + 1)
                if digest and hashOf(octets[before + 1 : at]) != digest:
                    raise Misplaced(
                        f"line {self.number} is not the one that the sink has: the "
                        "journal is another one, or was rewritten"
                    )
                self._offset += at + 1
                return
            left -= found
            whole = octets.rfind(b"\n") + 1
            # The last line is needed whole, for its hash.
            if found:
                self._offset += whole
                rest = octets[whole:]
            else:
                rest = octets

    # Reading.

    def read(self) -> list[Line]:
        """
        Return the lines that follow; none if there are none yet.

        @raise OSError: the journal cannot be read.
        @raise Misplaced: what follows are not the lines that should.
        """
        while True:
            if octets := self._whole():
                return self._split(octets)
            following = self._following()
            if following is None:
                return []
            # Once there is a next file the present one does not grow any more; it may
            # have grown before.
            if octets := self._whole():
                return self._split(octets)
            first = chain.firstOf(following)
            if first <= self.number:
                raise Misplaced(
                    f"{following.name} follows line {self.number}: the journal is "
                    "another one"
                )
            try:
                self._open(following)
            except FileNotFoundError:
                # It was dropped just now.
                continue
            self.missed += first - self.number - 1
            self.number = first - 1

    def _whole(self) -> bytes:
        """Return the whole lines that the file has from the offset on, not too many."""
        if self._fd < 0:
            return b""
        octets = os.pread(self._fd, _CHUNK, self._offset)
        whole = octets.rfind(b"\n") + 1
        if len(octets) == _CHUNK and not whole:
            raise Misplaced(f"{self._file}: a line of more than {_CHUNK} octets")
        if not whole or len(octets) == _CHUNK:
            return octets[:whole]
        # A write that the disk does not take whole is taken back, and its lines are
        # written again, with other numbers.
        time.sleep(_SETTLE)
        # The hash of the last one is of all of them.
        last = octets.rfind(b"\n", 0, whole - 1) + 1
        there = os.pread(self._fd, whole - last, self._offset + last)
        return octets[:whole] if there == octets[last:whole] else b""

    def _split(self, octets: bytes) -> list[Line]:
        self._offset += len(octets)
        number, found = self.number, []
        for line in octets.split(b"\n")[:-1]:
            number += 1
            if not line.startswith(b'{"v":1,"n":' + str(number).encode() + b","):
                raise Misplaced(
                    f"{self._file}: line {number} should follow, and another does: "
                    "socksgw audit verify tells more"
                )
            found.append(self._lines.line(number, line))
        self.number = number
        return found

    # Files.

    def _files(self) -> list[Path]:
        return chain.files(self._directory) if self._directory.is_dir() else []

    def _following(self) -> Path | None:
        for file in self._files():
            if self._file is None or file.name > self._file.name:
                return file
        return None

    def _open(self, file: Path) -> None:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.close()
        self._file, self._fd, self._offset = file, fd, 0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
