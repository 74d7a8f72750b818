"""
A worker is succeeded by one of another supervisor: the two have a channel.

    new                            old
     │ (all new ones are built)   │ serves
     │ "state"? ────────────────→ │
     │ ←────── numbers and counts │ accepts nobody
     │ (all new ones are as far)  │ (goes on, if the new one ends here)
     │ serves                     │
     │                            │ its supervisor says that all others serve
     │ ←──── sessions, and counts │ has its sessions go on there
     │                            │ ends with the last one

The journal is written by both, and what listens is one socket for both.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, final

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.gateway.gateway import Gateway
from socksgw.gateway.starting import CannotStart
from socksgw.handover.leaving import Leaving, arrived, countsIn
from socksgw.system.channel import Channel, ChannelError, Message
from socksgw.system.watch import Watcher

__all__ = ["Before", "Leaver"]

_log: Final = Logger()

#: Seconds that the worker before may take to answer.
_PATIENCE: Final = 5.0
#: Seconds between two messages of what is left.
_TELL: Final = 0.25
#: Seconds in which it reads the last counts.
_LAST: Final = 5.0


@final
class Before:
    """The worker before this one, which has sessions yet."""

    def __init__(
        self, gateway: Gateway, watch: Watcher, connection: socket.socket
    ) -> None:
        """
        Ask for nothing yet.

        @param connection: leads to it.
        """
        self._gateway = gateway
        self._serving = False
        self._channel = Channel(
            connection, watch, self._told, self._closed, self._asked
        )

    def serving(self) -> None:
        """Take note that this one serves from now on, as all who came with it."""
        self._serving = True

    def take(self) -> bool:
        """
        Have it accept nobody any more, and go on with its numbers and counts.

        Where it has died there is nothing to go on with. This waits.

        @return: whether it has told them.
        @raise CannotStart: it stands still, and may go on at any time.
        """
        answers: list[Any] = []
        until = time.monotonic() + _PATIENCE
        with suppress(ChannelError):
            self._channel.ask({"what": "state"}).addBoth(answers.append)
        while not answers and (left := until - time.monotonic()) > 0:
            if not self._channel.wait(left) and not self._channel.isOpen:
                break
        if not answers and self._channel.isOpen:
            raise CannotStart(
                "the worker before this one does not answer: it is stuck or stopped"
            )
        if not answers or isinstance(answers[0], Failure):
            self._channel.close()
            return False
        (told,) = answers
        relief = self._gateway.relief
        self._gateway.sessions.skip(int(told["session"]))
        relief.meter(told["meters"])
        relief.count(self, countsIn(told["counts"]))
        relief.predecessors[self] = None
        self._channel.start()
        return True

    def _told(self, message: dict[str, Any], fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        relief = self._gateway.relief
        relief.count(self, countsIn(message["counts"]))
        relief.meter(message["meters"])
        relief.lived(self, message["living"])

    def _asked(self, message: dict[str, Any], fds: list[int]) -> Message:
        if message.get("what") == "sessions":
            arrived(self._gateway, self, message, fds)
            return {}
        for fd in fds:
            os.close(fd)
        raise ChannelError("that is not to be asked")

    def _closed(self, why: str) -> None:
        self._gateway.relief.gone(self)
        self._gateway.settled()

    # As the predecessor of a gateway: its own supervisor tells it.

    def stop(self, seconds: float) -> None:
        """
        As L{socksgw.gateway.relief.Predecessor.stop}.

        If this one ends before it serves, the other one serves on: it learns that by the
        end of the channel, and nothing of it is to be waited for.
        """
        if not self._serving and self._channel.isOpen:
            self._channel.close()
            self._closed("")

    def reload(self) -> None:
        """As L{socksgw.gateway.relief.Predecessor.reload}."""

    def ask(self, message: Message) -> Deferred[list[Any]]:
        """As L{socksgw.gateway.relief.Predecessor.ask}."""
        return succeed([])


@final
class Leaver:
    """What a worker does when another one takes its place."""

    def __init__(
        self,
        gateway: Gateway,
        reactor: Any,
        watch: Watcher,
        connection: socket.socket,
        over: Callable[[], object],
    ) -> None:
        """
        Answer what the other one asks.

        @param connection: leads to it.
        @param over: called when the last session is over, after L{leave}.
        """
        self._gateway = gateway
        self._over = over
        self._resting = self._done = False
        self._channel = Channel(
            connection, watch, self._told, self._closed, self._asked
        )
        self._leaving = Leaving(gateway, self._channel)
        self._telling = LoopingCall(self._tell)
        self._telling.clock = reactor
        self._channel.start()

    def _asked(self, message: dict[str, Any], fds: list[int]) -> Message:
        for fd in fds:
            os.close(fd)
        if message.get("what") != "state" or self._resting or self._done:
            raise ChannelError("that is not to be asked now")
        relief = self._gateway.relief
        relief.pause()
        self._resting = True
        told = relief.told()
        return {
            "session": told["session"],
            "meters": told["meters"],
            "counts": relief.counts(),
        }

    def _told(self, message: dict[str, Any], fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        raise ValueError("nothing is to be told here")

    def leave(self) -> Deferred[Message]:
        """
        Have the sessions go on there: all others serve.

        @return: fires with how many have moved, and how many are left.
        """
        self._done = True
        over = self._gateway.handOver(None)
        self._telling.start(_TELL, now=False)
        moving = self._move()
        over.addBoth(lambda result: self._leaving.idle().addBoth(lambda _: result))
        over.addBoth(self._ended)
        return moving.addCallback(
            lambda _: {
                "moved": self._leaving.moved,
                "left": sum(n for *_, n in self._gateway.relief.living()),
            }
        )

    def _move(self) -> Deferred[None]:
        if not self._channel.isOpen:
            return succeed(None)
        return ensureDeferred(self._leaving.move()).addErrback(self._unmoved)

    def _tell(self) -> None:
        if self._channel.isOpen:
            self._move()
            self._tellCounts()

    def _tellCounts(self) -> None:
        relief = self._gateway.relief
        if self._channel.hasRoom:
            # What is taken of the meters has to arrive.
            self._channel.send(
                {
                    "counts": relief.counts(),
                    "meters": relief.metered(),
                    "living": relief.living(),
                }
            )

    def _unmoved(self, failure: Failure) -> None:
        if not failure.check(ChannelError, OSError):
            _log.failure("sessions could not move", failure)

    def _closed(self, why: str) -> None:
        """Go on, unless all others serve: the other one has ended."""
        if self._resting and not self._done:
            self._gateway.relief.goOn()
        self._resting = False

    def _ended(self, result: object) -> None:
        if self._telling.running:
            self._telling.stop()
        if self._channel.isOpen:
            self._channel.flush(_LAST)
            with suppress(ChannelError):
                self._tellCounts()
            self._channel.flush(_LAST)
            self._channel.close()
        if isinstance(result, Failure):
            _log.failure("the end of a worker", result)
        self._over()
