"""
Files that the configuration names: read whole and bounded, never waited for,
and not believed when they hold a secret that others can read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["FileError", "readFile", "readOwn", "readSecret", "stampOf"]

#: Octets of the largest file that is read.
_MOST: Final = 64 << 20


class FileError(Exception):
    """
    The file cannot be used; the text names it and the remedy.
    """


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    # Never wait for the other end of a FIFO.
    with open(
        path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)
    ) as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FileError(f"{path}: not a regular file; name another")
        octets = opened.read(_MOST + 1)
    if len(octets) > _MOST:
        raise FileError(f"{path}: larger than {_MOST >> 20} MiB")
    return octets, found


def readFile(path: Path) -> bytes:
    """
    The content of a regular file.

    @raise OSError: it cannot be read.
    @raise FileError: it is not a regular file, or is larger than 64 MiB.
    """
    return _read(path)[0]


def readSecret(path: Path, private: bool = False) -> bytes:
    """
    The content of a file that nobody else can read.

    @param private: whether it has to be ours, or root's.
    @raise OSError: it cannot be read.
    @raise FileError: others can read it, or as L{readFile}.
    """
    octets, found = _read(path)
    if found.st_mode & (0o007 if _isCredential(path) else 0o077):
        raise FileError(f"{path}: others can read it; remedy: chmod 600 {path}")
    if private:
        _checkOwner(path, found)
    return octets


def readOwn(path: Path) -> bytes:
    """
    The content of a file that nobody else can change.

    @raise OSError: it cannot be read.
    @raise FileError: others can change it, or as L{readFile}.
    """
    octets, found = _read(path)
    if found.st_mode & 0o022:
        raise FileError(f"{path}: others can change it; remedy: chmod 600 {path}")
    _checkOwner(path, found)
    return octets


def _checkOwner(path: Path, found: os.stat_result) -> None:
    us = os.geteuid()
    if us not in (0, found.st_uid) and found.st_uid != 0:
        raise FileError(
            f"{path}: it is somebody else's, who can change it; remedy: chown {us} {path}"
        )


def _isCredential(path: Path) -> bool:
    """
    Whether systemd handed the file to this service (systemd.exec(5),
    C{LoadCredential}); it lets us read by an access control list, whose mask
    shows as permissions of the group.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory is not None and path.is_relative_to(directory)


def stampOf(path: Path) -> object:
    """
    Differs when the file may; L{None} when it is not there.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid
