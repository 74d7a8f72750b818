"""
The broker of one network namespace: C{socksgw netns-broker NAME}.

It runs in that namespace, and hands out new sockets of it over a Unix socket
(C{SCM_RIGHTS}, unix(7)), so that the gateway needs no privilege to use them. Only
sockets of L{KINDS} are made, a bounded number for each request, and only for the
user that the broker runs as, or root (C{SO_PEERCRED}).

This module imports nothing but the standard library: the process stays small.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import selectors
import socket
import stat
import struct
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, final

__all__ = [
    "GREETING",
    "HELLO",
    "KINDS",
    "MOST",
    "NAMESPACES",
    "Broker",
    "BrokerError",
    "brokerMain",
    "identityOf",
    "peerOf",
]

#: Where ip-netns(8) keeps its namespaces.
NAMESPACES: Final = Path("/run/netns")
#: What may be asked for, by the octet that asks for it: family, type, protocol.
KINDS: Final[dict[int, tuple[int, int, int]]] = {
    1: (socket.AF_INET, socket.SOCK_STREAM, 0),
    2: (socket.AF_INET6, socket.SOCK_STREAM, 0),
    3: (socket.AF_INET, socket.SOCK_DGRAM, 0),
    4: (socket.AF_INET6, socket.SOCK_DGRAM, 0),
    5: (socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE),
}
#: The most sockets that one request asks for, and that one answer has.
MOST: Final = 32
#: What the broker says first: a magic number, the version, the namespace's inode.
GREETING: Final = struct.Struct("!8sBQ")
#: The magic number and the version.
HELLO: Final = (b"socksgwN", 1)
#: Gateways that are served at a time: one, and another while it is replaced.
_GATEWAYS: Final = 8
#: Seconds between two looks whether the name means another namespace.
_LOOK: Final = 1.0
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_NO_NEW_PRIVS: Final = 38
_CREDENTIALS: Final = struct.Struct("iII")


class BrokerError(Exception):
    """The broker cannot serve; the text is for the operator."""


def identityOf(path: Path) -> int:
    """
    Return what tells a namespace from others: its inode; 0 if there is none.
    """
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def peerOf(connection: socket.socket) -> int:
    """Return the user id of the process at the other end of a Unix socket."""
    octets = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    user: int = _CREDENTIALS.unpack(octets)[1]
    return user


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
    libc = ctypes.CDLL(None, use_errno=True)
    if user is not None and pwd.getpwnam(user).pw_uid != os.getuid():
        entry = pwd.getpwnam(user)
        try:
            os.setgroups([])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        except OSError as e:
            raise BrokerError(f'cannot become "{user}": {e.strerror}') from None
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


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


@final
class Broker:
    """Hands out sockets of the namespace that this process is in."""

    def __init__(
        self,
        listening: socket.socket,
        current: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Serve nobody yet.

        @param listening: the Unix socket, bound.
        @param current: returns whether the name still means this namespace.
        """
        self._listening = listening
        self._current = current
        self._clock = clock
        self._allowed = {0, os.getuid()}
        self._identity = identityOf(Path("/proc/self/ns/net"))
        self._selector = selectors.DefaultSelector()
        self._gateways = 0

    def serve(self) -> None:
        """Serve until the name means another namespace, or none."""
        # The credentials that a gateway sees are those of now.
        self._listening.listen(_GATEWAYS)
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        look = self._clock() + _LOOK
        try:
            while True:
                for key, _ in self._selector.select(max(0.0, look - self._clock())):
                    found: socket.socket = key.fileobj  # type: ignore[assignment]
                    if found is self._listening:
                        self._accept()
                    else:
                        self._answer(found)
                if self._clock() >= look:
                    look = self._clock() + _LOOK
                    if not self._current():
                        return
        finally:
            for each in list(self._selector.get_map().values()):
                each.fileobj.close()  # type: ignore[union-attr]
            self._selector.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        if self._gateways >= _GATEWAYS or peerOf(connection) not in self._allowed:
            connection.close()
            return
        connection.setblocking(False)
        greeting = GREETING.pack(*HELLO, self._identity)
        with suppress(OSError):
            connection.send(greeting)
        self._gateways += 1
        self._selector.register(connection, selectors.EVENT_READ)

    def _answer(self, gateway: socket.socket) -> None:
        try:
            asked = gateway.recv(3)
            # A kind, and how many.
            if len(asked) != 2 or asked[0] not in KINDS or not 0 < asked[1] <= MOST:
                raise ConnectionError
            self._give(gateway, asked[0], asked[1])
        except OSError:
            # It is gone, asked for what it may not have, or takes no answers.
            self._selector.unregister(gateway)
            gateway.close()
            self._gateways -= 1

    def _give(self, gateway: socket.socket, kind: int, count: int) -> None:
        """Send so many sockets; where there are none, the errno."""
        made: list[socket.socket] = []
        code = 0
        try:
            for _ in range(count):
                made.append(socket.socket(*KINDS[kind]))
        except OSError as e:
            code = e.errno or errno.EINVAL
        fds = array("i", [each.fileno() for each in made])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if made else []
        try:
            gateway.sendmsg([bytes((kind, count, min(code, 255)))], rights)
        finally:
            for each in made:
                each.close()


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
