"""
Where a gateway waits for the process that takes over from it: C{state_dir/handover}.

Only its own user, and root, may come (C{SO_PEERCRED}, unix(7)).
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from socksgw.system.broker import peerOf

__all__ = ["NAME", "VERSION", "Nobody", "admits", "bind", "connect", "unbind"]

#: The name of the socket in the directory.
NAME: Final = "handover"
#: Of what both processes say.
VERSION: Final = 1
_ROOT: Final = 0
_KIND: Final = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class Nobody(Exception):
    """There is no gateway to take over from; the text says why."""


def _within(directory: int) -> str:
    """Return the path of the socket, which no length of the directory's makes too long."""
    return f"/proc/self/fd/{directory}/{NAME}"


def _opened(directory: Path) -> int:
    return os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def bind(directory: Path) -> socket.socket:
    """
    Wait for a successor; one that waited before and has ended is replaced.

    @raise OSError: that is not possible.
    """
    listening = socket.socket(socket.AF_UNIX, _KIND)
    held = -1
    try:
        held = _opened(directory)
        with suppress(FileNotFoundError):
            os.unlink(NAME, dir_fd=held)
        mask = os.umask(0o177)
        try:
            listening.bind(_within(held))
        finally:
            os.umask(mask)
        listening.listen(4)
    except OSError:
        listening.close()
        raise
    finally:
        if held >= 0:
            os.close(held)
    return listening


def unbind(directory: Path) -> None:
    """Remove the socket."""
    with suppress(OSError):
        (directory / NAME).unlink()


def admits(connection: socket.socket) -> bool:
    """Return whether the process at the other end is our user's, or root's."""
    return peerOf(connection) in (_ROOT, os.geteuid())


def connect(directory: Path) -> socket.socket:
    """
    Connect to the gateway that keeps its state in a directory.

    @raise Nobody: there is none.
    """
    connection = socket.socket(socket.AF_UNIX, _KIND)
    held = -1
    try:
        held = _opened(directory)
        connection.connect(_within(held))
        owner = peerOf(connection)
    except OSError as e:
        connection.close()
        gone = e.errno in (errno.ENOENT, errno.ECONNREFUSED)
        why = "none serves" if gone else (e.strerror or str(e))
        raise Nobody(
            f"there is no gateway to take over from in {directory} ({why}): start "
            "without --take-over, or name the [gateway] state_dir of the one that serves"
        ) from None
    finally:
        if held >= 0:
            os.close(held)
    # Root may take over from anybody, since it becomes another user afterwards.
    if os.geteuid() not in (_ROOT, owner):
        connection.close()
        raise Nobody(f"the gateway in {directory} belongs to user {owner}, not to us")
    return connection
