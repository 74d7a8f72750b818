"""
The files of a configuration, watched for changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import final

from socksgw.config.lists import listFiles
from socksgw.config.loading import included
from socksgw.config.schema import Config

__all__ = ["WatchedFiles", "stampsOf", "stampsOfLists"]


@final
class WatchedFiles:
    """
    The files of the configuration in force, as they were at the last look.
    """

    def __init__(self, stampsOf: Callable[[Config], object]) -> None:
        """
        Begin: nothing is known of the files.

        @param stampsOf: L{stampsOf}, or L{stampsOfLists}.
        """
        self._stampsOf = stampsOf
        self._stamps: object = None
        # Whether they had changed at the last look.
        self._unsettled = False

    def read(self, stamps: object) -> None:
        """
        Compare with the files of a configuration that has been read.

        @param stamps: what was found then.
        """
        self._stamps = stamps

    def look(self, config: Config) -> bool:
        """
        Tell whether a file has changed and is complete.

        A file that is just being written is only half there, so a change counts
        when the next look finds the same.

        @param config: the configuration in force.
        """
        stamps = self._stampsOf(config)
        before, self._stamps = self._stamps, stamps
        if before is not None and stamps != before:
            self._unsettled = True
            return False
        settled, self._unsettled = self._unsettled, False
        return settled


def stampsOf(config: Config) -> object:
    """
    Return a value that differs when a file of the configuration may differ.
    """
    paths = [Path(config.file)]
    for pattern in config.include:
        try:
            paths += included(config.directory, pattern)
        except ValueError:
            # The one file that it names is not there any more.
            paths.append(config.directory / pattern)
    return _stamps(paths)


def stampsOfLists(config: Config) -> object:
    """
    Return a value that differs when a list of C{[networks]} may differ.
    """
    return _stamps(listFiles(config))


def _stamps(paths: Iterable[Path]) -> object:
    found: list[object] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append((path, None))
        else:
            found.append((path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return found
