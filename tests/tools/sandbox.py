"""
A sandbox as containers have it: a seccomp filter of this process, and of all
that it starts, answers some system calls with an error.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["Denied", "denying"]

#: Numbers of system calls, from asm/unistd_64.h and asm-generic/unistd.h.
_NUMBERS: Final = {
    "x86_64": {
        "splice": 275, "pipe2": 293, "setsockopt": 54, "socket": 41, "getrlimit": 97,
        "prlimit64": 302, "flock": 73, "getgroups": 115,
    },
    "aarch64": {
        "splice": 76, "pipe2": 59, "setsockopt": 208, "socket": 198, "getrlimit": 163,
        "prlimit64": 261, "flock": 32, "getgroups": 158,
    },
}  # fmt: skip
# linux/seccomp.h, linux/prctl.h, linux/filter.h: load a word of seccomp_data,
# jump if equal, return.
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_FILTER: Final = 2
_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_NUMBER: Final = 0
_ARGUMENTS: Final = 16


class Denied(NamedTuple):
    """
    A system call that is answered with an error.

    @ivar arguments: of those that are denied, by their position; others are
        allowed.
    """

    call: str
    error: int = errno.EPERM
    arguments: dict[int, int] = {}  # noqa: RUF012


def _program(denied: tuple[Denied, ...]) -> bytes:
    numbers = _NUMBERS[platform.machine()]
    code = b""
    for each in denied:
        wanted = [(_NUMBER, numbers[each.call])]
        # The low halves of 64 bits.
        wanted += [(_ARGUMENTS + 8 * i, n) for i, n in sorted(each.arguments.items())]
        for i, (offset, number) in enumerate(wanted):
            over = 2 * (len(wanted) - 1 - i) + 1
            code += struct.pack("HBBI", _LOAD, 0, 0, offset)
            code += struct.pack("HBBI", _JUMP_EQUAL, 0, over, number)
        code += struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | each.error)
    return code + struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)


def denying(*denied: Denied) -> Callable[[], None]:
    """
    Return what puts a new process into the sandbox (its C{preexec_fn}).
    """
    code = _program(denied)
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> None:
        octets = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("HL", len(code) // 8, ctypes.addressof(octets))
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            _PR_SET_SECCOMP, _FILTER, program, 0, 0
        ):
            raise OSError(ctypes.get_errno(), "seccomp")

    return enter
