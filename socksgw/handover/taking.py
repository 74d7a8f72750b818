"""
The new process: it takes over from the one that serves.

Until its reactor runs it waits for what it asks for, which takes moments.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.audit.process import handoverLine
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.starting import CannotStart
from socksgw.handover.leaving import arrived, countsIn
from socksgw.handover.lines import write
from socksgw.handover.place import VERSION
from socksgw.handover.program import Program
from socksgw.system.channel import Channel, ChannelError, ChannelGone, Message

__all__ = ["Taking", "tell"]

_log: Final = Logger()

#: Seconds within which the old process has to answer.
_PATIENCE: Final = 15.0
#: Seconds between two tries to open what the old process had open.
_AGAIN: Final = 1.0


@final
class Taking:
    """The gateway that serves, as its successor sees it."""

    def __init__(
        self, gateway: Gateway, connection: socket.socket, program: Program | None
    ) -> None:
        """
        Ask for nothing yet.

        @param connection: leads to it.
        @param program: takes the pid file.
        """
        self._gateway = gateway
        self._program = program
        self._channel = Channel(
            connection, gateway.watch, self._received, self._closed, self._asked
        )
        self._sockets: dict[tuple[str, ...], list[socket.socket]] = {}
        self._lock = -1
        self._told: Message = {}
        self._gone = ""
        self._went = self._serves = self._isHeard = self._arrived = False
        self.arrived: Callable[[], None] = lambda: None
        self.pid = 0

    # Before the reactor runs.

    def prepare(self) -> None:
        """
        Get the listening sockets; this is before L{Gateway.listen}.

        @raise CannotStart: the old process does not hand anything over.
        """
        count = self._gateway.role.count
        asked = {"what": "sockets", "version": VERSION, "workers": count}
        pid = self._answer({**asked, "pid": os.getpid()}).get("pid")
        if type(pid) is not int:
            raise CannotStart(_refused("it does not say its process"))
        self.pid = pid
        self._gateway.relief.await_(self._sockets)

    def take(self) -> None:
        """
        Take over: from here on the old process serves nobody.

        @raise CannotStart: that is not possible. The old one serves again then, when
            this process ends.
        """
        self._gateway.role.prepare()
        told = self._told = self._answer({"what": "state"})
        lock, self._lock = self._lock, -1
        relief = self._gateway.relief
        relief.inherit(told, lock)
        relief.count(self, countsIn(told["counts"]))
        # Where the old one is gone by now, everything is ours.
        if self._channel.isOpen:
            self._channel.send({"what": "adopted"})
        self._waitFor(lambda: self._went or bool(self._gone))
        relief.predecessors[self] = None
        self._gateway.takeOver()

    def failed(self, lines: Sequence[str]) -> None:
        """Tell the old process why it has to go on."""
        if self._channel.isOpen:
            self._channel.send({"what": "failed", "why": list(lines)})

    def _answer(self, question: Message) -> Mapping[str, Any]:
        answers: list[Any] = []
        try:
            self._channel.ask(question).addBoth(answers.append)
        except ChannelError as e:
            raise CannotStart(_refused(str(e))) from None
        self._waitFor(lambda: bool(answers))
        if isinstance(answers[0], Failure):
            raise CannotStart(_refused(answers[0].getErrorMessage()))
        answer: Mapping[str, Any] = answers[0]
        return answer

    def _waitFor(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + _PATIENCE
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                raise CannotStart(_refused("it does not answer"))
            self._channel.wait(left)

    # What comes.

    def _received(self, message: dict[str, Any], fds: list[int]) -> None:
        what = message.get("what")
        if what == "sockets":
            for place, fd in zip(message["places"], fds, strict=True):
                listening = socket.socket(fileno=fd)
                listening.setblocking(False)
                self._sockets.setdefault(tuple(place), []).append(listening)
            return
        if what == "lock" and fds and self._lock < 0:
            self._lock = fds.pop(0)
            gateway = self._gateway
            gateway.role.succeed(
                message["others"], fds, gateway.throttle, gateway.resumptions
            )
            return
        for fd in fds:
            os.close(fd)
        if what == "go":
            self._went = True
        elif what == "counts" and self._serves:
            self._gateway.relief.count(self, countsIn(message["counts"]))
            self._gateway.relief.meter(message["meters"])
            self._gateway.relief.lived(self, message["living"])
            self._gateway.relief.spend(tuple(each) for each in message["spent"])
        elif what == "left":
            self._arrive()
        else:
            raise ValueError(f"{what!r} was not to be said now")

    def _asked(
        self, message: dict[str, Any], fds: list[int]
    ) -> Message | Deferred[Message]:
        what = message.get("what")
        if what == "sessions" and self._serves:
            arrived(self._gateway, self, message, fds)
            return {}
        for fd in fds:
            os.close(fd)
        if what != "lines" or not self._serves:
            raise ChannelError("that is not to be asked now")
        return write(self._gateway.journal, message)

    def _closed(self, why: str) -> None:
        self._gone = why
        if self._serves:
            self._ended()

    # When the reactor runs.

    def serving(self) -> None:
        """Let the old process go: this is the first that the reactor does."""
        self._serves = True
        config, left = self._gateway.config, int(self._told["left"])
        line = handoverLine(config.gateway.name, self.pid, left, config.digest)
        self._gateway.journal.append(line)
        if self._program is not None:
            self._program.taken()
        if self._gone:
            self._ended()
        else:
            paused = self._gateway.role.paused
            self._channel.send({"what": "serving", "paused": paused})
            if self._channel.isOpen:
                self._channel.start()

    def _ended(self) -> None:
        self._gateway.relief.gone(self)
        self._arrive()
        self._gateway.settled()

    def _arrive(self) -> None:
        """Begin with what only one process can have; try again where that fails."""
        if self._arrived or self._gateway.stopping:
            return
        if not self._isHeard:
            self._isHeard = True
            self.arrived()
        try:
            self._gateway.relief.arrive(self._gateway.config)
        except CannotStart as e:
            _log.error("{why}; it is tried again", why=str(e))
            self._gateway.setDeadline(_AGAIN, self._arrive)
        else:
            self._arrived = True
            if self._channel.isOpen:
                self._channel.send({"what": "arrived"})

    # As the predecessor of a gateway.

    def stop(self, seconds: float) -> None:
        """As L{socksgw.gateway.relief.Predecessor.stop}."""
        if self._channel.isOpen:
            self._channel.send({"what": "stop", "seconds": seconds})

    def reload(self) -> None:
        """As L{socksgw.gateway.relief.Predecessor.reload}."""
        if self._channel.isOpen:
            self._channel.send({"what": "reload"})

    def ask(self, message: Message) -> Deferred[list[Any]]:
        """As L{socksgw.gateway.relief.Predecessor.ask}."""
        try:
            asked: Deferred[Any] = self._channel.ask({"what": "part", "of": message})
        except ChannelError:
            return succeed([])
        return asked.addCallbacks(lambda answer: answer["parts"], _partless)


def tell(connection: socket.socket, lines: Sequence[str]) -> None:
    """
    Tell the gateway that serves why it has to go on, where no other one comes to be.

    @param connection: leads to it; it is closed.
    """
    nothing: Any = None
    channel = Channel(connection, nothing, nothing, nothing)
    with suppress(ChannelError):
        channel.send({"what": "failed", "why": list(lines)})
    channel.close()


def _partless(failure: Failure) -> list[Any]:
    """Do without the parts of the old process."""
    if not failure.check(ChannelGone):
        _log.error(
            "the process before has not told what was asked: {why}",
            why=failure.getErrorMessage(),
        )
    return []


def _refused(why: str) -> str:
    return f"the gateway that serves does not hand over: {why}"
