"""
Start the broker of a network namespace: C{socksgw netns-broker NAME}.

It enters the namespace, which may need a privilege, and gives up every privilege
before it serves anybody.

This module imports nothing but the standard library: the process stays small.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import Final

from socksgw.system.broker import Broker, identityOf

__all__ = ["NAMESPACES", "BrokerError", "brokerMain", "giveUpPrivileges"]

#: Where ip-netns(8) keeps its namespaces.
NAMESPACES: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38
#: _LINUX_CAPABILITY_VERSION_3 of linux/capability.h.
_CAPABILITY_VERSION: Final = 0x20080522


class BrokerError(Exception):
    """The broker cannot serve; the text is for the operator."""


def _enter(name: str, path: Path) -> None:
    """
    Enter a namespace, unless this process is in it.

    @raise BrokerError: there is no such namespace, or no privilege.
    """
    wanted = identityOf(path)
    if not wanted:
        raise BrokerError(
            f'there is no network namespace "{name}" ({path}): ip netns list shows '
            f"those there are, ip netns add {name} makes one"
        )
    if identityOf(Path("/proc/self/ns/net")) == wanted:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        with path.open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0:
                return
        code = ctypes.get_errno()
    except OSError as e:
        code = e.errno or errno.EINVAL
    if code != errno.EPERM:
        raise BrokerError(f'cannot enter "{name}": {os.strerror(code)}')
    raise BrokerError(
        f'cannot enter the network namespace "{name}": that needs CAP_SYS_ADMIN. '
        "Start the broker as root, which becomes the gateway's user (--user), or start "
        f"it inside: systemd's NetworkNamespacePath={path}, or ip netns exec {name}"
    )


def _drop(user: str | None) -> None:
    """
    Become another user, for good, without any privilege.

    @raise BrokerError: there is no such user, or this process may not.
    """
    if user is not None and pwd.getpwnam(user).pw_uid != os.getuid():
        entry = pwd.getpwnam(user)
        try:
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        except OSError as e:
            raise BrokerError(f'cannot become "{user}": {e.strerror}') from None
    giveUpPrivileges()


def giveUpPrivileges() -> None:
    """
    Give up every capability of this process, and what could bring one back.

    Another user than root has some where its supervisor gives them
    (C{AmbientCapabilities=} of systemd).

    @raise BrokerError: the kernel, or a sandbox, does not let us.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not _isPrivileged():
        return
    # struct __user_cap_header_struct, and two of __user_cap_data_struct (capset(2)).
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    if libc.capset(header, bytes(24)) != 0:
        why = os.strerror(ctypes.get_errno())
        raise BrokerError(f"cannot give up its capabilities: {why}")


def _isPrivileged() -> bool:
    """Tell whether this process has a capability, or may take one."""
    # As octets: the user that this process has become may not read Python's codecs.
    for line in Path("/proc/self/status").read_bytes().splitlines():
        key, _, value = line.partition(b":")
        if key in (b"CapPrm", b"CapEff") and int(value, 16):
            return True
    return False


def _bound(where: Path, user: str | None) -> socket.socket:
    """
    Bind the broker's own socket, readable by its user alone.

    @raise BrokerError: it cannot be; the text says why.
    """
    try:
        _removeStale(where)
    except OSError as e:
        raise BrokerError(f"cannot listen at {where}: {e.strerror}") from None
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        listening.bind(str(where))
        if user is not None and os.getuid() == 0:
            os.chown(where, pwd.getpwnam(user).pw_uid, -1)
    except OSError as e:
        listening.close()
        raise BrokerError(f"cannot listen at {where}: {e.strerror}") from None
    finally:
        os.umask(mask)
    return listening


def _removeStale(where: Path) -> None:
    """
    Remove what a broker that has gone left there.

    @raise BrokerError: another one serves there, or it is no socket.
    @raise OSError: it cannot be removed, or its directory cannot be made.
    """
    where.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        found = where.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise BrokerError(f"{where} is there already, and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(where))
        except ConnectionRefusedError:
            where.unlink()
            return
    raise BrokerError(f"another broker serves at {where}")


def brokerMain(name: str, where: Path, user: str | None) -> int:
    """
    Run C{socksgw netns-broker}.

    @param where: the Unix socket to serve at.
    @param user: whom to become; L{None} to stay the same.
    @return: the exit status: 1 when the namespace is gone or replaced, so that a
        supervisor starts it again; 2 when it cannot be served.
    """
    path = NAMESPACES / name
    try:
        if os.getuid() == 0 and user is None:
            raise BrokerError(
                "name the gateway's user: --user socksgw (the broker becomes it, and "
                "serves nobody else)"
            )
        if user is not None:
            try:
                pwd.getpwnam(user)
            except KeyError:
                raise BrokerError(f'there is no user "{user}"') from None
        _enter(name, path)
        listening = _bound(where, user)
        _drop(user)
    except BrokerError as e:
        print(f"socksgw netns-broker: {e}", file=sys.stderr)
        return 2
    identity = identityOf(Path("/proc/self/ns/net"))
    print(f'serves sockets of the network namespace "{name}" at {where}', flush=True)
    try:
        Broker(listening, lambda: identityOf(path) == identity).serve()
    except KeyboardInterrupt:
        return 0
    print(
        f'socksgw netns-broker: "{name}" is gone, or another namespace has its name '
        "now: ending, to be started again",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    # What the console command has made of its arguments.
    sys.exit(brokerMain(sys.argv[1], Path(sys.argv[2]), sys.argv[3] or None))
