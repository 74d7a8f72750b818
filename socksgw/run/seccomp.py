"""
Notifications of a seccomp filter (seccomp_unotify(2)).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import Final, NamedTuple, final

from socksgw.run.calls import Calls

__all__ = ["Listener", "Notification", "descriptorOf", "install"]

_libc: Final = ctypes.CDLL(None, use_errno=True)

_NO_NEW_PRIVILEGES: Final = 38
_SET_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
#: A call that was received is not interrupted by a signal that does not kill: Go sends
#: itself SIGURG all the time, and would make the same call again (Linux 5.19).
_WAIT_KILLABLE: Final = 1 << 5

# linux/seccomp.h.
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_VALID: Final = 0x40082102
_ADD: Final = 0x40182103
_CONTINUE: Final = 1
_AT_NUMBER: Final = 1

_CALL: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")
_ADDED: Final = struct.Struct("=QIIII")
_ID: Final = struct.Struct("=Q")
#: A thread of a process (PIDFD_THREAD, Linux 6.9).
_THREAD: Final = os.O_EXCL


class Notification(NamedTuple):
    """
    A system call that waits for an answer.

    @ivar key: names it to the kernel.
    @ivar thread: the thread that called.
    @ivar number: the call's number.
    @ivar arguments: six of them.
    """

    key: int
    thread: int
    number: int
    arguments: tuple[int, ...]


def install(code: bytes, calls: Calls) -> int:
    """
    Put this process under a filter, for good, with all that it starts.

    It may gain no privileges then: programs that are setuid run without them.

    @param code: of L{socksgw.run.filter.assembled}.
    @return: the descriptor by which a supervisor is told.
    @raise OSError: the kernel does not do that.
    """
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(buffer))
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise _failure()
    flags = _NEW_LISTENER | _WAIT_KILLABLE
    found: int = _libc.syscall(calls.seccomp, _SET_FILTER, flags, header)
    if found < 0:
        raise _failure()
    return found


def _failure() -> OSError:
    error = ctypes.get_errno()
    return OSError(error, os.strerror(error))


def descriptorOf(process: int, number: int, calls: Calls) -> int:
    """
    Return a descriptor of another process, as one of this process.

    @param process: a process, or one of its threads.
    @raise OSError: there is none, or the kernel does not give it.
    """
    try:
        handle = os.pidfd_open(process, _THREAD)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
        # An older kernel, where threads nearly always share the process's.
        handle = os.pidfd_open(_processOf(process))
    try:
        found: int = _libc.syscall(calls.pidfd_getfd, handle, number, 0)
        if found < 0:
            raise _failure()
    finally:
        os.close(handle)
    return found


def _processOf(thread: int) -> int:
    with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))


@final
class Listener:
    """
    What a supervisor reads and answers.

    @ivar descriptor: of the filter; readable when a call waits.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def receive(self) -> Notification | None:
        """
        Return a call that waits.

        @return: L{None} where the caller is gone again.
        @raise OSError: nobody is under the filter any more.
        """
        buffer = bytearray(_CALL.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, buffer)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        key, thread, _, number, _, _, *arguments = _CALL.unpack(buffer)
        return Notification(key, thread, number, tuple(arguments))

    def isValid(self, call: Notification) -> bool:
        """Return whether the caller still waits, and so its number is its own."""
        try:
            fcntl.ioctl(self.descriptor, _VALID, _ID.pack(call.key))
        except OSError:
            return False
        return True

    def answer(self, call: Notification, result: int) -> None:
        """
        Have a call return.

        @param result: what it returns; an error as its negative number.
        """
        value, error = (result, 0) if result >= 0 else (0, result)
        self._send(call, value, error, 0)

    def proceed(self, call: Notification) -> None:
        """Have the kernel do the call as if nobody had looked."""
        self._send(call, 0, 0, _CONTINUE)

    def _send(self, call: Notification, value: int, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(
                self.descriptor, _SEND, _ANSWER.pack(call.key, value, error, flags)
            )
        except OSError as e:
            # The caller was killed.
            if e.errno != errno.ENOENT:
                raise

    def replace(self, call: Notification, number: int, by: int, closing: bool) -> None:
        """
        Put another file in the place of a descriptor of the caller.

        @param number: the caller's descriptor.
        @param by: a descriptor of this process.
        @param closing: whether it is closed when the caller runs another program.
        @raise OSError: the caller is gone, or may have no more.
        """
        row = _ADDED.pack(call.key, _AT_NUMBER, by, number, closing and os.O_CLOEXEC)
        fcntl.ioctl(self.descriptor, _ADD, row)
