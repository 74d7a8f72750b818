"""
Whose socket the other end of a connection is, where it is on this machine.

The kernel is asked by sock_diag(7), which needs no privilege.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from socksgw.system.sockets import FAMILIES, tellOnce
from socksgw.wire.address import Address

__all__ = ["userOf"]

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
#: C{struct nlmsghdr}: length, type, flags, sequence, port.
_HEADER: Final = struct.Struct("=IHHII")
#: C{struct inet_diag_req_v2} up to the ends: family, protocol, extensions, padding,
#: states.
_QUESTION: Final = struct.Struct("=BBBBI")
#: C{struct inet_diag_sockid}: two ports and addresses in the network's order, the
#: interface, and a cookie, which is left open.
_ENDS: Final = struct.Struct("!HH16s16sI8s")
_NO_COOKIE: Final = b"\xff" * 8
_EVERY_STATE: Final = 0xFFFFFFFF
#: C{struct inet_diag_msg} after the ends: expiry, two queues, user, inode.
_OWNER: Final = struct.Struct("=IIIII")
_ENDS_AT: Final = _HEADER.size + 4
_OWNER_AT: Final = _ENDS_AT + _ENDS.size


def userOf(own: tuple[Address, int], other: tuple[Address, int]) -> int | None:
    """
    Return the number of the user whose TCP socket has these ends.

    @param own: the socket's address and port.
    @param other: what it is connected to, as the socket has it.
    @return: L{None} where there is no such socket in this network namespace, or the
        kernel does not say.
    """
    ports, addresses = (own[1], other[1]), (own[0].packed, other[0].packed)
    ends = _ENDS.pack(*ports, *addresses, 0, _NO_COOKIE)
    family = FAMILIES[own[0].version]
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, _EVERY_STATE) + ends
    length = _HEADER.size + len(question)
    header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    try:
        with socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_DGRAM | socket.SOCK_NONBLOCK,
            _NETLINK_SOCK_DIAG,
        ) as asking:
            # The kernel answers within send(2), so this does not wait.
            asking.send(header + question)
            answer = asking.recv(1024)
    except OSError as e:
        tellOnce("sock_diag(7)", e, "a loop in the rules that divert is not noticed")
        return None
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        return None
    # A listening socket is found, too, where there is no other.
    if _ENDS.unpack_from(answer, _ENDS_AT)[:2] != ports:
        return None
    user: int = _OWNER.unpack_from(answer, _OWNER_AT)[3]
    return user
