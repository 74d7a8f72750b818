"""
The filter that hands system calls of a program to its supervisor (seccomp(2)).

It is a program of classic BPF. A filter sees the numbers in a call's arguments, and
cannot follow pointers: calls of which it depends on an address are handed over when
there is one.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from socksgw.run.calls import Calls

__all__ = ["ALLOW", "NOTIFY", "Instruction", "assembled", "failing", "program"]

#: What becomes of a call (linux/seccomp.h): the supervisor answers, or the kernel
#: does it, or it fails at once.
NOTIFY: Final = 0x7FC00000
ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000

# linux/bpf_common.h: load a word, compare, mask, return.
_LOAD: Final = 0x20
_EQUALS: Final = 0x15
_AT_LEAST: Final = 0x35
_AND: Final = 0x54
_RETURN: Final = 0x06

# struct seccomp_data.
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16

#: Families of sockets that lead to no other machine.
_LOCAL: Final = (socket.AF_UNIX, socket.AF_NETLINK, socket.AF_ALG)
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
#: The kind of a socket without SOCK_NONBLOCK and SOCK_CLOEXEC.
_KIND: Final = 0xF
#: Multipath TCP, which goes on as TCP where the peer has none.
_MPTCP: Final = 262
#: The protocols of each kind that go through a gateway; 0 is the kind's own.
_PROTOCOLS: Final = {
    int(socket.SOCK_STREAM): (0, int(socket.IPPROTO_TCP), _MPTCP),
    int(socket.SOCK_DGRAM): (0, int(socket.IPPROTO_UDP)),
}


#: By these a program types on its terminal what the shell outside reads after it:
#: TIOCSTI and TIOCLINUX of ioctl_tty(2).
_TYPING: Final = (0x5412, 0x541C)


class Instruction(NamedTuple):
    """One instruction: C{struct sock_filter} of linux/filter.h."""

    code: int
    true: int
    false: int
    value: int


def failing(error: int) -> int:
    """Return the result of a filter by which a call fails."""
    return _ERRNO | error


def _load(offset: int) -> Instruction:
    return Instruction(_LOAD, 0, 0, offset)


def _returns(result: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, result)


def _always(number: int, result: int) -> list[Instruction]:
    """Have a call handled in one way; the number is loaded, and stays so."""
    return [Instruction(_EQUALS, 0, 1, number), _returns(result)]


def _ifGiven(number: int, argument: int) -> list[Instruction]:
    """Hand a call over whose argument is a pointer that is not NULL."""
    low = _ARGUMENTS + 8 * argument
    return [
        Instruction(_EQUALS, 0, 6, number),
        _load(low),
        Instruction(_EQUALS, 0, 2, 0),
        _load(low + 4),
        Instruction(_EQUALS, 1, 0, 0),
        _returns(NOTIFY),
        _returns(ALLOW),
    ]


def _ifEqual(number: int, wanted: Mapping[int, int]) -> list[Instruction]:
    """Hand a call over some of whose arguments have certain values."""
    rows = []
    for i, (argument, value) in enumerate(wanted.items()):
        last = 2 * (len(wanted) - i) - 1
        rows += [_load(_ARGUMENTS + 8 * argument), Instruction(_EQUALS, 0, last, value)]
    rows += [_returns(NOTIFY), _returns(ALLOW)]
    return [Instruction(_EQUALS, 0, len(rows), number), *rows]


def _ifAmong(
    number: int, argument: int, values: tuple[int, ...], result: int
) -> list[Instruction]:
    """Have a call fail one of whose arguments is one of some words."""
    among = [Instruction(_EQUALS, len(values) - i, 0, each)
             for i, each in enumerate(values)]  # fmt: skip
    rows = [_load(_ARGUMENTS + 8 * argument), *among, _returns(ALLOW), _returns(result)]
    return [Instruction(_EQUALS, 0, len(rows), number), *rows]


def _sockets(number: int) -> list[Instruction]:
    """Hand a call of socket(2) over that makes no socket of TCP, UDP or this host."""
    kinds = []
    for kind, protocols in _PROTOCOLS.items():
        allowed = [Instruction(_EQUALS, len(protocols) - i, 0, each)
                   for i, each in enumerate(protocols)]  # fmt: skip
        rows = [_load(_ARGUMENTS + 16), *allowed, _returns(NOTIFY), _returns(ALLOW)]
        kinds += [Instruction(_EQUALS, 0, len(rows), kind), *rows]
    kinds.append(_returns(NOTIFY))
    families = [
        *(each for family in _LOCAL for each in _always(family, ALLOW)),
        Instruction(_EQUALS, 2, 0, _INTERNET[0]),
        Instruction(_EQUALS, 1, 0, _INTERNET[1]),
        _returns(NOTIFY),
    ]
    body = [
        _load(_ARGUMENTS),
        *families,
        _load(_ARGUMENTS + 8),
        Instruction(_AND, 0, 0, _KIND),
        *kinds,
    ]
    return [Instruction(_EQUALS, 0, len(body), number), *body]


def program(calls: Calls, isolated: bool = False) -> list[Instruction]:
    """
    Return the filter for an architecture.

    @param isolated: whether the program is in a network of its own: there the kernel
        itself tells it where it is connected to, and where datagrams come from.

    Calls of another architecture, or of another convention, fail with ENOSYS: their
    numbers mean something else.
    """
    refused = failing(errno.ENOSYS)
    rows = [
        _load(_ARCHITECTURE),
        Instruction(_EQUALS, 1, 0, calls.audit),
        _returns(refused),
        _load(_NUMBER),
    ]
    if calls.other:
        rows += [Instruction(_AT_LEAST, 0, 1, calls.other), _returns(refused)]
    # The kernel does what is queued there by itself, past every filter.
    rows += _always(calls.io_uring_setup, refused)
    for each in (calls.connect, calls.sendmsg, calls.sendmmsg):
        rows += _always(each, NOTIFY)
    # The fifth argument is an address.
    rows += _ifGiven(calls.sendto, 4)
    if isolated:
        # The kernel has a key looked for by a program of root, outside: a name, too.
        rows += _always(calls.request_key, refused)
        rows += _ifAmong(calls.ioctl, 1, _TYPING, failing(errno.EPERM))
    else:
        for each in (calls.getpeername, calls.recvmsg, calls.recvmmsg):
            rows += _always(each, NOTIFY)
        rows += _ifGiven(calls.recvfrom, 4)
    # By it a program learns what has become of a connect that it did not wait for.
    asked = {1: int(socket.SOL_SOCKET), 2: int(socket.SO_ERROR)}
    rows += _ifEqual(calls.getsockopt, asked)
    return [*rows, *_sockets(calls.socket), _returns(ALLOW)]


def assembled(rows: Iterable[Instruction]) -> bytes:
    """Return instructions as the kernel reads them: an array of sock_filter."""
    return b"".join(struct.pack("=HBBI", *row) for row in rows)
