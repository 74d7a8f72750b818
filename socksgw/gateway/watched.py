"""
The files of a configuration, watched for changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from socksgw.config.loading import included
from socksgw.config.schema import Config

__all__ = ["WatchedFiles", "stampsOf"]


@final
class WatchedFiles:
    """
    The files of the configuration in force, as they were at the last look.
    """

    def __init__(self) -> None:
        self._stamps: object = None
        # Whether they had changed at the last look.
        self._unsettled = False

    def read(self, stamps: object) -> None:
        """
        Compare with the files of a configuration that has been read.

        @param stamps: what L{stampsOf} returned then.
        """
        self._stamps = stamps

    def look(self, config: Config) -> bool:
        """
        Tell whether a file has changed and is complete.

        A file that is just being written is only half there, so a change counts
        when the next look finds the same.

        @param config: the configuration in force.
        """
        stamps = stampsOf(config)
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
    found: list[object] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append((path, None))
        else:
            found.append((path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return found
