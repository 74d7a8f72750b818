"""
What the kernel says of the program at the other end of a connection.

It is a program of this machine; what it is called, and what it may do, is decided
elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Program", "isUnmapped", "programAt"]

#: C{struct ucred} of unix(7): the process, its effective user and group.
_CREDENTIALS: Final = struct.Struct("iII")
#: SO_PEERGROUPS of C{asm-generic/socket.h}, which Python has no name for.
_PEER_GROUPS: Final = 59
#: Octets of the groups of most processes, and of the most that one may have
#: (NGROUPS_MAX, 65536).
_FEW: Final = 1024
_GROUPS: Final = 4 << 16
#: The user and group of those who are nobody here (user_namespaces(7)), where the
#: system says no other.
_OVERFLOW: Final = 65534
#: In place of a user or group that is not known.
_NO_ID: Final = 0xFFFFFFFF


class Program(NamedTuple):
    """
    A program of this machine, as it was when it connected.

    @ivar uid: the number of its user.
    @ivar gid: the number of its group; L{None} where the kernel says the user alone.
    @ivar groups: the numbers of its supplementary groups; L{None} as before.
    @ivar pid: the number of its process, which may be another's by now; 0 where it
        is not known.
    """

    uid: int
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    pid: int = 0


def _overflow(name: str) -> int:
    try:
        return int(Path(f"/proc/sys/kernel/overflow{name}").read_text())
    except (OSError, ValueError):
        # Units of systemd with ProcSubset=pid do not see it.
        return _OVERFLOW


_UNMAPPED: Final = frozenset({_NO_ID, _OVERFLOW, _overflow("uid"), _overflow("gid")})


def isUnmapped(number: int) -> bool:
    """
    Tell whether the number of a user or group may be anybody's.

    The kernel says so of users whom a user namespace gives no number here.
    """
    return number in _UNMAPPED


def programAt(connection: socket.socket) -> Program | None:
    """
    Return the program at the other end of a Unix socket.

    @return: L{None} where the kernel does not say it.
    """
    try:
        octets = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        pid, uid, gid = _CREDENTIALS.unpack(octets)
        if uid == _NO_ID:
            return None
        return Program(uid, gid, _groupsAt(connection), pid)
    except (OSError, struct.error):
        return None


def _groupsAt(connection: socket.socket) -> tuple[int, ...]:
    """
    Return the supplementary groups of the program at the other end.

    @return: none where the kernel (before Linux 4.13) does not say them.
    """
    try:
        octets = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, _FEW)
    except OSError as e:
        if e.errno != errno.ERANGE:
            return ()
        octets = _manyGroupsAt(connection)
    return struct.unpack(f"{len(octets) // 4}I", octets)


def _manyGroupsAt(connection: socket.socket) -> bytes:
    """
    Ask for groups that do not fit the 1,024 octets that Python asks for at most.

    @raise OSError: the kernel refuses.
    """
    buffer = ctypes.create_string_buffer(_GROUPS)
    length = ctypes.c_uint32(_GROUPS)
    library = ctypes.CDLL(None, use_errno=True)
    if library.getsockopt(
        connection.fileno(),
        socket.SOL_SOCKET,
        _PEER_GROUPS,
        buffer,
        ctypes.byref(length),
    ):
        raise OSError(ctypes.get_errno(), "getsockopt(SO_PEERGROUPS)")
    return buffer.raw[: length.value]
