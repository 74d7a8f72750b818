"""
The keeper of a program's own network: a process in it that makes sockets there.

The supervisor stays outside, where the gateway is. It has one end of a socket, by which
it asks for sockets, and gets them.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Final, NoReturn, final

from socksgw.run.enclosure import disinherit, enclose, openDoors, renounce
from socksgw.run.memory import Place
from socksgw.run.notrun import NotRun
from socksgw.system.transparent import bindForeign, foreign
from socksgw.wire.address import Address

__all__ = ["Keeper"]

_DOORS: Final = 4
_MESSAGE: Final = 1 << 12
#: Seconds in which a keeper answers, unless the program has stopped it.
_SECONDS: Final = 5.0
#: The network is made meanwhile; a busy machine takes its time.
_MAKING: Final = 60.0
#: What a shell adds to the number of the signal that ended a program.
_SIGNALLED: Final = 128
_OPEN: Final = "open"
_TAKEN: Final = "taken"


@final
class Keeper:
    """
    The network of a program, and what the supervisor has of it.
    """

    def __init__(self) -> None:
        """Make both ends of what they speak by; the process is made afterwards."""
        self._own, self._its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._questions = 0

    # The supervisor's side.

    def begun(self) -> None:
        """Take note that the keeper's process is there."""
        self._its.close()

    def doors(self) -> list[socket.socket]:
        """
        Return the sockets that everything comes to (L{openDoors}), which do not block.

        @raise NotRun: there is no network for the program; the text says why.
        """
        self._own.settimeout(_MAKING)
        try:
            said, found, _, _ = socket.recv_fds(self._own, _MESSAGE, _DOORS)
        except OSError as e:
            raise NotRun(f"no namespace for the program: {e}") from None
        self._own.settimeout(_SECONDS)
        if len(found) != _DOORS:
            raise NotRun(said.decode() or "the process that makes the namespace ended")
        doors = [socket.socket(fileno=each) for each in found]
        for door in doors:
            door.setblocking(False)
        return doors

    def open(self, family: int, place: Place, near: tuple[str, int]) -> socket.socket:
        """As L{socksgw.run.gates.Gates.open}: bound to the destination itself."""
        here = place.address.text, place.port
        found, number = self._asked(_OPEN, family, here, near)
        if found is None:
            raise OSError(number, os.strerror(number))
        found.setblocking(False)
        return found

    def isGone(self, family: int, near: tuple[str, int]) -> bool:
        """As L{socksgw.run.gates.Gates.isGone}."""
        try:
            _, number = self._asked(_TAKEN, family, near, near)
        except OSError:
            # The program has ended its keeper.
            return True
        return number != errno.EADDRINUSE

    def _asked(
        self, what: str, family: int, here: tuple[str, int], there: tuple[str, int]
    ) -> tuple[socket.socket | None, int]:
        """
        Ask the keeper for something.

        @return: the socket if there is one, and the error number.
        @raise OSError: it does not answer.
        """
        self._questions += 1
        asked = [self._questions, what, int(family), here, there]
        self._own.send(json.dumps(asked).encode())
        while True:
            said, found, _, _ = socket.recv_fds(self._own, _MESSAGE, 1)
            if not said:
                raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
            made = socket.socket(fileno=found[0]) if found else None
            question, number = map(int, said.split())
            if question == self._questions:
                return made, number
            # It is of an earlier question, for which nobody waited any longer.
            if made is not None:
                made.close()

    # The keeper's side.

    def keep(
        self,
        told: tuple[int, ...],
        become: Callable[[Callable[[], None]], NoReturn],
    ) -> NoReturn:
        """
        Be the keeper, until the program has ended, with its exit status.

        @param told: descriptors that are the program's alone.
        @param become: becomes the program, after a call without which it must not.
        """
        status = 1
        try:
            status = self._kept(told, become)
        finally:
            os._exit(status)

    def _kept(
        self,
        told: tuple[int, ...],
        become: Callable[[Callable[[], None]], NoReturn],
    ) -> int:
        self._own.close()
        ids = os.geteuid(), os.getegid()
        try:
            enclose(ids)
            doors = openDoors()
        except NotRun as e:
            self._its.send(str(e).encode())
            return 1
        socket.send_fds(self._its, [b"doors"], [each.fileno() for each in doors])
        for door in doors:
            door.close()
        program = os.fork()
        if not program:
            self._its.close()

            def first() -> None:
                disinherit()
                renounce(ids)

            become(first)
        for each in told:
            os.close(each)
        self._heed(program)
        self._serve()
        return 0

    def _heed(self, program: int) -> None:
        """Hand signals on to the program, and end as it does."""

        def ended(*_: Any) -> None:
            found, status = os.waitpid(program, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else _SIGNALLED - code)

        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda number, _: os.kill(program, number))
        signal.signal(signal.SIGCHLD, ended)
        ended()

    def _serve(self) -> None:
        """Answer the supervisor, until it has ended."""
        while asked := self._its.recv(_MESSAGE):
            question, what, family, here, there = json.loads(asked)
            bound = None
            number, given = 0, []
            try:
                bound = socket.socket(family, socket.SOCK_DGRAM)
                if what == _OPEN:
                    foreign(bound)
                    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    bindForeign(bound, Address.parse(here[0]), here[1])
                    if there[1]:
                        bound.connect(tuple(there))
                    given.append(bound.fileno())
                else:
                    bound.bind(tuple(here))
            except OSError as e:
                number = e.errno or errno.EIO
            try:
                socket.send_fds(self._its, [b"%d %d" % (question, number)], given)
            finally:
                if bound is not None:
                    bound.close()
