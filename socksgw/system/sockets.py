"""
System calls and socket options that a system may refuse although it is Linux.

Sandboxes (seccomp filters of containers, gVisor) refuse some that most systems have.
A refusal is logged once in the life of the process, with what happens instead.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import termios
from typing import Any, Final

from twisted.logger import Logger

from socksgw.system.once import Once

__all__ = [
    "FAMILIES",
    "accept",
    "bare",
    "fastConnect",
    "fastOpen",
    "isRefusal",
    "keepAlive",
    "portLater",
    "quick",
    "resetting",
    "roomy",
    "tellOnce",
    "unsent",
]

_log = Logger()

#: The socket family of each version of IP.
FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_STREAM: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_TCP: Final = socket.IPPROTO_TCP
_NODELAY: Final = socket.TCP_NODELAY
#: Seconds of silence before keep-alive asks: well before firewalls forget a
#: connection.
_KEEPALIVE: Final = 120
#: IP_BIND_ADDRESS_NO_PORT of ip(7), which Python has no name for. IPv6 has it, too,
#: by the level of IPv4.
_NO_PORT: Final = 24
#: What sandboxes answer in place of a system call that works elsewhere.
_REFUSALS: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP,
     errno.ENOPROTOOPT}
)  # fmt: skip
#: Connections that have brought octets and are not confirmed yet, at a listening socket
#: (TCP_FASTOPEN of tcp(7)).
_UNCONFIRMED: Final = 256
#: TCP_FASTOPEN_CONNECT of linux/tcp.h (since 4.11), which Python has no name for.
_FIRST_WRITE: Final = 30
#: SO_LINGER with no time at all: close() sends a reset.
_RESET: Final = struct.pack("ii", 1, 0)

_told: Final = Once()


def bare(family: int, fd: int | None = None) -> socket.socket:
    """
    Return a stream socket without what Python's own class adds.

    That is written in Python, and to make and to close it costs as much as some system
    calls. There is no C{accept}, C{dup} or C{makefile}, and it is no context manager.

    @param fd: the descriptor of one that is there already; else it is new, and does
        not block.
    """
    made: Any = socket.SocketType(family, _STREAM, 0, fd)
    found: socket.socket = made
    return found


def accept(listening: socket.socket, family: int) -> tuple[socket.socket, Any]:
    """
    Accept a connection, as L{bare}; it may block.

    @return: with the address of the peer, as Python has it.
    @raise OSError: as C{socket.accept}.
    """
    taking: Any = listening
    fd, address = taking._accept()
    return bare(family, fd), address


def isRefusal(error: OSError) -> bool:
    """Return whether the system refuses such calls, rather than this one."""
    return error.errno in _REFUSALS


def tellOnce(what: str, error: OSError, instead: str) -> None:
    """
    Log that the system refuses something.

    @param what: the system call or the option.
    @param instead: what happens instead, and the remedy if there is one.
    """
    if _told.begins(what):
        _log.warn(
            "{what} is refused here ({why}): {instead}",
            what=what,
            why=error.strerror,
            instead=instead,
        )


def _prefer(
    connection: socket.socket,
    option: tuple[int, int, int | bytes],
    name: str,
    instead: str,
) -> None:
    """
    Set an option that the connection can do without.

    @param option: level, number and value.
    """
    level, number, value = option
    try:
        connection.setsockopt(level, number, value)
    except OSError as e:
        if isRefusal(e):
            tellOnce(name, e, instead)
        # Any other error: the connection is broken, and using it will tell.


def quick(connection: socket.socket) -> None:
    """
    Have short messages sent at once.
    """
    try:
        connection.setsockopt(_TCP, _NODELAY, 1)
    except OSError:
        _prefer(
            connection,
            (_TCP, _NODELAY, 1),
            "TCP_NODELAY",
            "short messages may wait for the acknowledgement of those before",
        )


def keepAlive(connection: socket.socket) -> None:
    """
    Have a silent peer asked whether it is still there.
    """
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
    except OSError:
        _keepAliveAsFarAs(connection)


def _keepAliveAsFarAs(connection: socket.socket) -> None:
    """
    Do the same as far as it is not refused.
    """
    instead = "a peer that vanished is noticed by [timeouts] idle only"
    _prefer(
        connection,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        "SO_KEEPALIVE",
        instead,
    )
    _prefer(
        connection,
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE),
        "TCP_KEEPIDLE",
        "a peer that vanished is noticed after the system's own time",
    )


def portLater(connection: socket.socket) -> None:
    """
    Have the kernel choose the port when the socket connects, not when it is bound.

    For a datagram socket, which may never connect, that would be port 0.
    """
    _prefer(
        connection,
        (socket.IPPROTO_IP, _NO_PORT, 1),
        "IP_BIND_ADDRESS_NO_PORT",
        "each connection by a chosen address takes a port from all destinations",
    )


def fastOpen(listening: socket.socket, wanted: bool = True) -> None:
    """
    Have a listening socket take the octets that SYNs carry (RFC 7413), or none.

    The kernel does so where C{net.ipv4.tcp_fastopen} has the bit 2, and of those alone
    who have a cookie, which it gives to who asks for one.
    """
    _prefer(
        listening,
        (_TCP, socket.TCP_FASTOPEN, _UNCONFIRMED if wanted else 0),
        "TCP_FASTOPEN",
        "octets in a first packet are not taken",
    )


def fastConnect(dialled: socket.socket) -> None:
    """
    Have a connect wait for the first write, whose octets the SYN carries (RFC 7413).

    The kernel does so where it has a cookie of the other side; else it asks for one,
    and connects as usual. With a cookie the socket is told as connected at once, and a
    failure is that of the first octets: L{socksgw.system.plain.PlainConnection} tells
    it as C{ConnectError}.
    """
    _prefer(
        dialled,
        (_TCP, _FIRST_WRITE, 1),
        "TCP_FASTOPEN_CONNECT",
        "what is said first to upstreams and gateways waits for the connection; set the "
        "bit 1 of net.ipv4.tcp_fastopen (sysctl), or leave fast_open out",
    )


def roomy(connection: socket.socket, octets: int) -> None:
    """
    Have the kernel keep so many octets that came and are not read yet.
    """
    _prefer(
        connection,
        (socket.SOL_SOCKET, socket.SO_RCVBUF, octets),
        "SO_RCVBUF",
        "datagrams that come in a burst may be lost",
    )


def resetting(connection: socket.socket) -> None:
    """
    Have the close of the connection send a reset.
    """
    _prefer(
        connection,
        (socket.SOL_SOCKET, socket.SO_LINGER, _RESET),
        "SO_LINGER",
        "connections that are cut off end as if in order",
    )


def unsent(connection: socket.socket) -> int:
    """
    Return how many octets the kernel still keeps that the peer has not confirmed.

    @return: 0 where that cannot be told, since the connection is gone.
    """
    try:
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    found: int = struct.unpack("i", queued)[0]
    return found
