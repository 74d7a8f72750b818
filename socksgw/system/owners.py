"""
Whose socket the other end of a loopback connection is, or what a datagram came from.

The kernel is asked by sock_diag(7), which needs no privilege: about one connection,
which costs no more where there are many. pyroute2 only lists all of them.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from socksgw.system.program import Program
from socksgw.system.sockets import FAMILIES, tellOnce
from socksgw.wire.address import Address

__all__ = ["programBehind", "senderOf", "userOf"]

#: NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY and NLM_F_REQUEST of linux/netlink.h and
#: linux/sock_diag.h.
_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = 1
#: C{struct nlmsghdr}: length, type, flags, sequence, port.
_HEADER: Final = struct.Struct("=IHHII")
#: C{struct inet_diag_req_v2} up to the connection: family, protocol, extensions,
#: padding, states.
_ASKED: Final = struct.Struct("=BBBxI")
#: C{struct inet_diag_sockid}: the ends' ports and addresses, the interface and a cookie.
_ENDS: Final = struct.Struct("!HH16s16s")
_ANY_COOKIE: Final = bytes(4) + b"\xff" * 8
#: C{struct inet_diag_msg} up to the connection: family, state, timer, retransmissions.
_FOUND: Final = struct.Struct("=BBBB")
#: Behind the connection: timer, queues, user, inode.
_OWNER: Final = struct.Struct("=IIIII")
_ENDS_SIZE: Final = 48
_ANSWER: Final = 4096

#: States of TCP (C{include/net/tcp_states.h}) in which a connection has both ends.
_ESTABLISHED: Final = 1
_CLOSE_WAIT: Final = 8
#: The same, of an end that has been closed for writing.
_FIN_WAITS: Final = (4, 5)
_CONNECTED: Final = (_ESTABLISHED, _CLOSE_WAIT)

#: What the kernel says where there is no such socket.
_GONE: Final = (errno.ENOENT, errno.ESRCH)


def programBehind(ours: socket.socket) -> Program | None:
    """
    Return the program at the other end of a TCP connection within this host.

    The user is the one who has made the socket; the kernel says no group and no
    process.

    @param ours: our end.
    @return: L{None} where the kernel does not say, or the other end is closed.
    """
    try:
        here, there = ours.getsockname(), ours.getpeername()
        octets = _ask(ours.family, there, here)
        # Where our end is still connected, what was found is the other one: the same
        # two addresses and ports can be no second connection's.
        state = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError as e:
        if e.errno not in (*_GONE, errno.ENOTCONN):
            tellOnce("sock_diag(7)", e, 'clients on TCP cannot log in by "peer"')
        return None
    uid = _ownerIn(octets, there, here)
    return None if uid is None or state not in _CONNECTED else Program(uid)


def userOf(theirs: tuple[Address, int], ours: tuple[Address, int]) -> int | None:
    """
    Return the number of the user who has made a TCP socket of this host.

    @param theirs: the socket's own address and port.
    @param ours: those that it is connected to, as it has them: not ours, where a rule
        of the kernel's diverts the connection.
    @return: L{None} where there is no such socket, or the kernel does not say.
    """
    ends = (theirs[0].text, theirs[1]), (ours[0].text, ours[1])
    try:
        octets = _ask(FAMILIES[theirs[0].version], *ends)
    except OSError as e:
        if e.errno not in _GONE:
            tellOnce("sock_diag(7)", e, "a loop of diverted connections is not noticed")
        return None
    return _ownerIn(octets, *ends)


def senderOf(theirs: tuple[str, int], ours: socket.socket) -> int | None:
    """
    Return the number of the user whose UDP socket of this host sends from a port.

    @param theirs: where a datagram came from.
    @param ours: the socket that it came to.
    @return: L{None} where there is no such socket any more, or the kernel does not
        say.
    """
    here = ours.getsockname()[:2]
    try:
        # Of UDP the kernel finds the socket that a datagram between these ends would
        # come to (udp_dump_one): the ends are the other way around than TCP's.
        octets = _ask(ours.family, here, theirs, socket.IPPROTO_UDP)
    except OSError as e:
        if e.errno not in _GONE or not _knowsUDP(ours.family, here, theirs):
            instead = (
                'clients that logged in by "peer" have no datagrams beside TCP (is the '
                "kernel's module udp_diag there?)"
            )
            tellOnce("sock_diag(7) of UDP", e, instead)
        return None
    if len(octets) < _FOUND.size + _ENDS_SIZE + _OWNER.size:
        return None
    family = _FOUND.unpack_from(octets)[0]
    port, _, host, _ = _ENDS.unpack_from(octets, _FOUND.size)
    bound = Address(host[: 4 if family == socket.AF_INET else 16])
    address = Address.parse(theirs[0].partition("%")[0])
    *_, uid, inode = _OWNER.unpack_from(octets, _FOUND.size + _ENDS_SIZE)
    # Most clients are bound to no address.
    found = port == theirs[1] and (bound.isUnspecified or bound == address)
    return uid if found and inode else None


def _knowsUDP(family: int, here: tuple[str, int], there: tuple[str, int]) -> bool:
    """
    Tell whether the kernel finds our own socket; without its module it finds none.
    """
    try:
        _ask(family, there, here, socket.IPPROTO_UDP)
    except OSError:
        return False
    return True


def _packed(family: int, name: tuple[str, int]) -> bytes:
    host = name[0].partition("%")[0]
    return socket.inet_pton(family, host).ljust(16, b"\0")


def _ask(
    family: int,
    theirs: tuple[str, int],
    ours: tuple[str, int],
    protocol: int = socket.IPPROTO_TCP,
) -> bytes:
    """
    Ask about one connection, by the ends as the other side sees them.

    The answer is there when the question has been sent.

    @raise OSError: the kernel has no answer, or refuses.
    """
    ends = _ENDS.pack(
        theirs[1], ours[1], _packed(family, theirs), _packed(family, ours)
    )
    every = 0xFFFFFFFF
    body = _ASKED.pack(family, protocol, 0, every) + ends + _ANY_COOKIE
    length = _HEADER.size + len(body)
    header = _HEADER.pack(length, _BY_FAMILY, _REQUEST, 1, 0)
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _SOCK_DIAG) as asking:
        asking.sendto(header + body, (0, 0))
        answer = asking.recv(_ANSWER)
    if len(answer) < _HEADER.size + 4:
        raise OSError(errno.EPROTO, "a short answer")
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        raise OSError(code, "no answer")
    return answer[_HEADER.size :]


def _ownerIn(
    octets: bytes, theirs: tuple[str, int], ours: tuple[str, int]
) -> int | None:
    """
    Return the user of the socket that an answer is about.

    @return: L{None} where it is another one (where a connection is gone, the kernel
        finds a listener on the port), or nobody's: a closed socket has no inode, and
        kernels that look there for the user say 0, which is root.
    """
    if len(octets) < _FOUND.size + _ENDS_SIZE + _OWNER.size:
        return None
    family, state, _, _ = _FOUND.unpack_from(octets)
    ports = _ENDS.unpack_from(octets, _FOUND.size)
    size = 4 if family == socket.AF_INET else 16
    ends = [Address(packed[:size]) for packed in ports[2:]]
    wanted = [Address.parse(name[0].partition("%")[0]) for name in (theirs, ours)]
    if (
        ports[:2] != (theirs[1], ours[1])
        or ends != wanted
        or state not in (*_CONNECTED, *_FIN_WAITS)
    ):
        return None
    *_, uid, inode = _OWNER.unpack_from(octets, _FOUND.size + _ENDS_SIZE)
    return uid if inode else None
