"""
Small disks that can be filled.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.servers import missing

__all__ = ["fill", "smallDisk"]


@contextmanager
def smallDisk(directory: Path, octets: int = 1 << 18) -> Iterator[Path]:
    """A file system of its own, that is soon full."""
    if os.geteuid() != 0:
        missing("only root can mount a small disk: run as root")
    directory.mkdir(mode=0o700)
    options = f"size={octets},mode=700"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True
    )
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(disk: Path) -> None:
    """Leave no room, not an octet."""
    with (disk / "filler").open("ab", buffering=0) as filler:
        for size in (4096, 1):
            try:
                while filler.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
