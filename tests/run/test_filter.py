"""
The filter, run by the rules of classic BPF for both architectures; real kernels run it
in C{tests/interop/test_run.py}.
"""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from socksgw.run.calls import ARCHITECTURES, Calls
from socksgw.run.filter import ALLOW, NOTIFY, assembled, failing, program

NONE = failing(errno.ENOSYS)
TCP, UDP, SCTP, MPTCP = 6, 17, 132, 262
STREAM, DGRAM, RAW = 1, 2, 3
CLOEXEC = 0o2000000


def judged(
    calls: Calls,
    number: int,
    *arguments: int,
    arch: int | None = None,
    isolated: bool = False,
) -> int:
    """What becomes of a call: an interpreter of the instructions that are used."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    audit = calls.audit if arch is None else arch
    data = struct.pack("=IIQ6Q", number, audit, 0, *padded)
    rows = list(struct.iter_unpack("=HBBI", assembled(program(calls, isolated))))
    at = word = 0
    while True:
        code, true, false, value = rows[at]
        at += 1
        if code == 0x20:
            (word,) = struct.unpack_from("=I", data, value)
        elif code == 0x15:
            at += true if word == value else false
        elif code == 0x35:
            at += true if word >= value else false
        elif code == 0x54:
            word &= value
        else:
            assert code == 0x06
            result: int = value
            return result


@pytest.fixture(params=ARCHITECTURES)
def calls(request: pytest.FixtureRequest) -> Calls:
    """The numbers of each architecture."""
    return ARCHITECTURES[request.param]


def test_always(calls: Calls) -> None:
    """What connects, and what may hold an address, is handed over; other calls not."""
    for each in (
        "connect",
        "getpeername",
        "sendmsg",
        "recvmsg",
        "sendmmsg",
        "recvmmsg",
    ):
        assert judged(calls, getattr(calls, each), 3) == NOTIFY
    for number in (0, 1, 2, 59, 280, 439):
        assert judged(calls, number, 3, 1 << 40) == ALLOW
    assert judged(calls, calls.io_uring_setup, 8) == NONE


def test_isolated(calls: Calls) -> None:
    """
    In a network of its own a program is told who it speaks with by the kernel; what
    the supervisor refuses is handed over all the same.
    """
    for each in ("getpeername", "recvmsg", "recvmmsg"):
        assert judged(calls, getattr(calls, each), 3, isolated=True) == ALLOW
    assert judged(calls, calls.recvfrom, 3, 9, 9, 0, 1, 16, isolated=True) == ALLOW
    for each in ("connect", "sendmsg", "sendmmsg"):
        assert judged(calls, getattr(calls, each), 3, isolated=True) == NOTIFY
    assert judged(calls, calls.sendto, 3, 9, 9, 0, 1, 16, isolated=True) == NOTIFY
    assert judged(calls, calls.socket, 40, STREAM, isolated=True) == NOTIFY
    assert judged(calls, calls.io_uring_setup, 8, isolated=True) == NONE
    assert judged(calls, 1, arch=0x40000003, isolated=True) == NONE


def test_outside(calls: Calls) -> None:
    """
    Of a network of its own a program does not type for the shell outside, and has the
    kernel ask nobody for keys; other calls of the same numbers are made.
    """
    typing = (0x5412, 0x541C)
    for each in typing:
        # The kernel looks at 32 bits.
        for word in (each, each | 1 << 32):
            found = judged(calls, calls.ioctl, 0, word, 9, isolated=True)
            assert found == failing(errno.EPERM)
        assert judged(calls, calls.ioctl, 0, each, 9) == ALLOW
    # TCGETS, TIOCGWINSZ, FIONBIO.
    for each in (0x5401, 0x5413, 0x5421):
        assert judged(calls, calls.ioctl, 0, each, 9, isolated=True) == ALLOW
    assert judged(calls, calls.request_key, 1, 2, 3, 4, isolated=True) == NONE
    assert judged(calls, calls.request_key, 1, 2, 3, 4) == ALLOW


def test_addresses(calls: Calls) -> None:
    """sendto and recvfrom are handed over with an address, wherever it stands."""
    for number in (calls.sendto, calls.recvfrom):
        assert judged(calls, number, 3, 9, 9, 0, 0, 0) == ALLOW
        for pointer in (1, 1 << 31, 1 << 32, 0x7FFF_0000_0000):
            assert judged(calls, number, 3, 9, 9, 0, pointer, 16) == NOTIFY


def test_outcome(calls: Calls) -> None:
    """Of getsockopt it is SO_ERROR alone."""
    sol, error = socket.SOL_SOCKET, socket.SO_ERROR
    assert judged(calls, calls.getsockopt, 3, sol, error) == NOTIFY
    assert judged(calls, calls.getsockopt, 3, sol, socket.SO_TYPE) == ALLOW
    assert judged(calls, calls.getsockopt, 3, TCP, error) == ALLOW


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_internet(calls: Calls, family: int) -> None:
    """TCP and UDP are made at once; raw sockets, ping, SCTP are handed over."""
    for kind, protocol in ((STREAM, 0), (STREAM, TCP), (STREAM, MPTCP), (DGRAM, 0),
                           (DGRAM, UDP), (STREAM | CLOEXEC, TCP)):  # fmt: skip
        assert judged(calls, calls.socket, family, kind, protocol) == ALLOW
    for kind, protocol in ((RAW, 1), (RAW, 0), (DGRAM, 1), (DGRAM, 58), (DGRAM, 136),
                           (STREAM, SCTP), (5, SCTP), (DGRAM, TCP)):  # fmt: skip
        assert judged(calls, calls.socket, family, kind, protocol) == NOTIFY


def test_families(calls: Calls) -> None:
    """Sockets of this host are made at once; packets, VSOCK, Bluetooth are not."""
    for family in (socket.AF_UNIX, socket.AF_NETLINK, socket.AF_ALG):
        assert judged(calls, calls.socket, family, RAW, 5) == ALLOW
    for number in (17, 40, 31, 44, 0):
        assert judged(calls, calls.socket, number, RAW, 5) == NOTIFY


def test_otherConventions(calls: Calls) -> None:
    """Numbers of another architecture, and of x32, would mean something else."""
    # i386, 32 bits of ARM, aarch64, x86-64.
    for each in (0x40000003, 0x40000028, 0xC00000B7, 0xC000003E):
        if each != calls.audit:
            assert judged(calls, 1, arch=each) == NONE
    if calls.other:
        assert judged(calls, calls.other | 42) == NONE
