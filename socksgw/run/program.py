"""
The program: a process under a filter, whose signals and exit status are handed on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, final

from socksgw.run.calls import Calls
from socksgw.run.filter import assembled, program
from socksgw.run.forbidden import remedy
from socksgw.run.keeper import Keeper
from socksgw.run.notrun import NotRun
from socksgw.run.seccomp import Listener, descriptorOf, install

__all__ = ["Program"]

_libc: Final = ctypes.CDLL(None, use_errno=True)
#: Orphans of the program become children of its supervisor (prctl(2)): where the
#: kernel lets a process look into its descendants only, they stay among them.
_SUBREAPER: Final = 36
#: What shells and env(1) end with when a program is not there, or cannot be run.
_MISSING: Final = 127
_UNUSABLE: Final = 126
#: What shells add to the number of the signal that ended a program.
_SIGNALLED: Final = 128
#: The terminal sends these to the program, too.
_LEFT: Final = (signal.SIGINT, signal.SIGQUIT)
_HANDED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: What Python ignores, and programs expect to be as usual.
_USUAL: Final = (signal.SIGPIPE, signal.SIGXFSZ)
#: The program's process, and its descriptor; or an error number below 0. Then the
#: process is 0 if it is not in namespaces of its own.
_ANSWER: Final = struct.Struct("=ii")


@final
class Program:
    """
    A program that waits to be run.

    Its process is made at once, before the supervisor has threads.

    @ivar keeper: keeps the network that is the program's own; L{None} where the
        program is in that of the supervisor. Then it is the process that is made.
    """

    def __init__(
        self, words: Sequence[str], calls: Calls, keeper: Keeper | None = None
    ) -> None:
        """
        @param words: the program, and its arguments.
        """
        self._calls = calls
        self.keeper = keeper
        _libc.prctl(_SUBREAPER, 1, 0, 0, 0)
        told, self._go = os.pipe()
        self._answer, answer = os.pipe()
        self.process = os.fork()
        if not self.process:
            os.close(self._go)
            os.close(self._answer)

            def become(first: Callable[[], None] | None = None) -> NoReturn:
                _become(words, calls, keeper is not None, first, told, answer)

            if keeper is None:
                become()
            keeper.keep((told, answer), become)
        os.close(told)
        os.close(answer)
        if keeper is not None:
            keeper.begun()

    def listener(self) -> Listener:
        """
        Put the process under its filter.

        @raise NotRun: the system does not do that.
        """
        os.write(self._go, b"1")
        octets = os.read(self._answer, _ANSWER.size)
        if len(octets) < _ANSWER.size:
            raise NotRun("the program's process has ended")
        process, number = _ANSWER.unpack(octets)
        if number < 0 and not process:
            raise NotRun(remedy(OSError(-number, "")))
        if number < 0:
            raise NotRun(
                f"system calls cannot be supervised here ({os.strerror(-number)}): "
                "that needs Linux 5.19 or newer, and nobody else who does it, such as "
                "another socksgw run around this one"
            )
        try:
            found = descriptorOf(process, number, self._calls)
        except OSError as e:
            raise NotRun(
                f"the supervisor may not look into the program ({e.strerror}): "
                "kernel.yama.ptrace_scope has to be 0 or 1"
            ) from None
        os.set_inheritable(found, False)
        return Listener(found)

    def start(self, ended: Callable[[int], None]) -> None:
        """
        Run the program.

        @param ended: is told the exit status, once, within a signal's handler.
        """
        self._ended = ended
        for each in _LEFT:
            signal.signal(each, signal.SIG_IGN)
        for each in _HANDED_ON:
            signal.signal(each, self._handOn)
        signal.signal(signal.SIGCHLD, self._reap)
        os.write(self._go, b"2")
        os.close(self._go)

    def abandon(self) -> None:
        """End the process, which has not run the program yet."""
        os.close(self._go)
        os.waitpid(self.process, 0)

    def _handOn(self, number: int, _: Any) -> None:
        os.kill(self.process, number)

    def _reap(self, *_: Any) -> None:
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            if process == self.process:
                code = os.waitstatus_to_exitcode(status)
                self._ended(code if code >= 0 else _SIGNALLED - code)


def _become(
    words: Sequence[str],
    calls: Calls,
    isolated: bool,
    first: Callable[[], None] | None,
    told: int,
    answer: int,
) -> NoReturn:
    """Become the program, when the supervisor says so."""
    status = _UNUSABLE
    own = os.getpid()
    try:
        if os.read(told, 1):
            answering = 0
            try:
                if first is not None:
                    first()
                answering = own
                number = install(assembled(program(calls, isolated)), calls)
            except OSError as e:
                os.write(answer, _ANSWER.pack(answering, -(e.errno or 1)))
                os._exit(status)
            os.write(answer, _ANSWER.pack(own, number))
            if os.read(told, 1):
                os.close(number)
                for each in _USUAL:
                    signal.signal(each, signal.SIG_DFL)
                os.execvp(words[0], list(words))  # noqa: S606
    except FileNotFoundError:
        status = _MISSING
        print(f"socksgw run: {words[0]}: no such program", file=sys.stderr)
    except OSError as e:
        print(f"socksgw run: {words[0]}: {e.strerror}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)
