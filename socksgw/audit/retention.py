"""
Drop the journal's old files, as C{keep} and C{max_size} say.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from socksgw.audit import chain
from socksgw.config.schema import AuditConfig

__all__ = ["Retention"]

#: Seconds between two looks for files that have passed C{keep}.
_HOUR: Final = 3600.0
#: C{keep} drops at most 1/n of the files in an hour: when the clock jumps, people
#: have time to notice.
_SHARE: Final = 20
#: Files that look too old at once, before that is told of.
_MANY: Final = 3


@final
class Retention:
    """
    The files of one journal that are not written to any more.

    @ivar config: the configuration of now; a reload may change it.
    @ivar octets: the size of these files together.
    @ivar needed: returns the number of the first line that a sink still needs; L{None}
        if no sink needs any.
    """

    def __init__(
        self,
        directory: Path,
        config: AuditConfig,
        wall: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        """
        Prepare; L{begun} looks at the files.

        @param wall: returns the time, in seconds since the epoch.
        @param tell: called with one line for the operator.
        """
        self.config = config
        self.octets = 0
        self.needed: Callable[[], int | None] = lambda: None
        self._directory = directory
        self._wall = wall
        self._tell = tell
        self._present: Path | None = None
        self._suspected = False
        self._looked = 0.0

    def begun(self, present: Path) -> None:
        """
        Count the octets of all files but the one that is written to.

        @param present: that file.
        """
        self._present = present
        self.octets = sum(found.st_size for _, found in self._found())

    def _files(self) -> list[Path]:
        return [f for f in chain.files(self._directory) if f != self._present]

    def _found(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield these files. Other programs may remove some in the meantime."""
        for file in self._files():
            with suppress(FileNotFoundError):
                yield file, file.stat()

    def room(self, octets: int) -> None:
        """
        Drop files, as the configuration allows, so that the present one may grow.

        @param octets: the size that the present file is to have.
        @raise OSError: C{max_size} would be exceeded.
        """
        most = self.config.max_size
        if self.octets + octets <= most:
            return
        # Other programs may have removed files, and some may be older than `keep`.
        if self._present is not None:
            self.begun(self._present)
        refuse = self.config.when_full == "refuse"
        for file in self._old() if refuse else self._files():
            if self.octets + octets <= most:
                return
            self._drop(file)
        if refuse and self.octets + octets > most:
            raise OSError(errno.ENOSPC, "[audit] max_size is reached")

    def look(self, now: float) -> None:
        """
        Drop some of the files that are older than C{keep}, once an hour.

        @param now: monotonic seconds.
        """
        if now - self._looked >= _HOUR:
            self._looked = now
            self.expire(max(1, (len(self._files()) + 1) // _SHARE))

    def expire(self, most: int) -> None:
        """
        Drop files that are older than C{keep} and that no sink needs, a few at a time.

        After a jump of the clock all files look too old.

        @param most: how many to drop.
        """
        old = self._unneeded(self._old())
        if len(old) > max(most, _MANY) and not self._suspected:
            self._tell(
                f"{len(old)} files of the journal have passed audit.keep at once; has "
                f"the clock jumped? At most 1/{_SHARE} of the files go in an hour"
            )
        self._suspected = len(old) > max(most, _MANY)
        for file in old[:most]:
            self._drop(file)

    def _old(self) -> list[Path]:
        """Return the files whose times are older than C{keep}, oldest first."""
        oldest = self._wall() - self.config.keep
        return [file for file, found in self._found() if found.st_mtime < oldest]

    def _unneeded(self, files: list[Path]) -> list[Path]:
        """Return those of the oldest files whose every line each sink has."""
        needed = self.needed()
        if needed is None or not files:
            return files
        # A file ends before the next one begins.
        later = [*self._files()[1:], self._present]
        ends = dict(zip(self._files(), later, strict=True))
        return [
            file
            for file in files
            if (end := ends.get(file)) is not None and chain.firstOf(end) <= needed
        ]

    def _drop(self, file: Path) -> None:
        try:
            octets = file.stat().st_size
            file.unlink()
        except FileNotFoundError:
            # Not counted again when this is next asked for room.
            return
        self.octets -= octets
        self._tell(f"the journal dropped {file.name}")
