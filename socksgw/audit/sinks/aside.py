"""
Lines that a sink will never take, in a file of C{state_dir/sinks}.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, final

from socksgw.audit.sinks.position import fileOf
from socksgw.interfaces import Entry, SinkFailed

__all__ = ["Aside"]

#: Octets of the file, at most: a server that takes next to nothing is not right.
_MOST: Final = 64 << 20


@final
class Aside:
    """The file of one sink."""

    def __init__(self, directory: Path, name: str) -> None:
        """
        Name the file; it is made with its first line.

        @param directory: C{state_dir/sinks}.
        @param name: the sink's.
        """
        self.path = directory / fileOf(name, "refused")

    def add(self, entry: Entry, why: str) -> None:
        """
        Keep a line, on the disk before this returns.

        @param why: why it is not taken; without a secret.
        @raise SinkFailed: it cannot be kept.
        """
        text = b'{"why":%b,"line":%b}\n' % (
            json.dumps(why).encode("ascii"),
            entry.octets,
        )
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self.path, flags, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size + len(text) > _MOST:
                    raise SinkFailed(
                        f"{why}; {self.path} is full of such lines: move it away, and "
                        "the sink goes on"
                    )
                if os.write(fd, text) != len(text):
                    os.ftruncate(fd, size)
                    raise SinkFailed(f"{why}; {self.path} has no room for the line")
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as e:
            raise SinkFailed(f"{why}; {self.path}: {e.strerror}") from None
