"""
The numbers of the system calls that are supervised, for each architecture.
"""

from __future__ import annotations

import platform
from typing import Final, NamedTuple

__all__ = ["ARCHITECTURES", "Calls", "callsHere"]


class Calls(NamedTuple):
    """
    What one architecture calls the system calls.

    @ivar audit: the architecture as seccomp tells it (linux/audit.h).
    @ivar other: the first number of another calling convention under the same
        architecture, as x32's; 0 where there is none.
    """

    audit: int
    other: int
    socket: int
    connect: int
    sendto: int
    recvfrom: int
    sendmsg: int
    recvmsg: int
    getpeername: int
    getsockopt: int
    recvmmsg: int
    sendmmsg: int
    io_uring_setup: int
    seccomp: int
    pidfd_getfd: int
    ioctl: int
    request_key: int


#: By the machine's name (uname): x86-64 of arch/x86/entry/syscalls/syscall_64.tbl,
#: aarch64 of include/uapi/asm-generic/unistd.h.
ARCHITECTURES: Final = {
    "x86_64": Calls(
        audit=0xC000003E,
        other=0x40000000,
        socket=41,
        connect=42,
        sendto=44,
        recvfrom=45,
        sendmsg=46,
        recvmsg=47,
        getpeername=52,
        getsockopt=55,
        recvmmsg=299,
        sendmmsg=307,
        io_uring_setup=425,
        seccomp=317,
        pidfd_getfd=438,
        ioctl=16,
        request_key=249,
    ),
    "aarch64": Calls(
        audit=0xC00000B7,
        other=0,
        socket=198,
        connect=203,
        sendto=206,
        recvfrom=207,
        sendmsg=211,
        recvmsg=212,
        getpeername=205,
        getsockopt=209,
        recvmmsg=243,
        sendmmsg=269,
        io_uring_setup=425,
        seccomp=277,
        pidfd_getfd=438,
        ioctl=29,
        request_key=218,
    ),
}


def callsHere() -> Calls:
    """
    Return the numbers of this machine.

    @raise OSError: they are not known.
    """
    machine = platform.machine()
    found = ARCHITECTURES.get(machine)
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise OSError(f"this machine is {machine}: programs are run on {known}")
    return found
