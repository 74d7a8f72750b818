"""
Time zones in which it is any time of day.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

__all__ = ["zone"]


def zone(directory: Path, local: str) -> None:
    """
    Make a time zone C{Test/Now}, in which it is that time of day now.

    RFC 8536: a file of version 1 with one type and no transitions.

    @param directory: for C{PYTHONTZPATH}.
    """
    hours, minutes, seconds = map(int, local.split(":"))
    now = time.time()
    offset = hours * 3600 + minutes * 60 + seconds - now % 86400
    # Within a day of UTC, as zones are.
    offset = int((offset + 43200) % 86400 - 43200)
    header = struct.pack(">4s c 15x 6I", b"TZif", b"\0", 0, 0, 0, 0, 1, 4)
    (directory / "Test").mkdir(parents=True, exist_ok=True)
    (directory / "Test" / "Now").write_bytes(
        header + struct.pack(">i B B 4s", offset, 0, 0, b"NOW\0")
    )
