"""
How a gateway is succeeded: it waits for a process that takes over, or starts one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger

from socksgw.config.schema import Config
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.parts import Part
from socksgw.gateway.relief import Succeeded
from socksgw.gateway.starting import CannotStart
from socksgw.handover.place import admits, bind, unbind
from socksgw.handover.program import Program
from socksgw.handover.transfer import Transfer
from socksgw.system.channel import channels
from socksgw.system.once import Once
from socksgw.system.watch import READ

__all__ = ["Succession"]

_log: Final = Logger()
#: Seconds that the last answer of the admin interface has.
_ANSWER: Final = 0.1


@final
class Succession(Part):
    """
    The end of this process, when another one takes over.

    @ivar released: called when another process serves.
    """

    named = "the handover"
    alone = True

    def __init__(self, gateway: Gateway, reactor: Any, program: Program) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._program = program
        self._directory = Path()
        self._listening: socket.socket | None = None
        self._transfer: Transfer | None = None
        self._asked: Deferred[Succeeded] | None = None
        self._failing = Once()
        self.released: Callable[[], None] = lambda: None
        gateway.relief.restart = self.restart

    # The life of a part.

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        if self._listening is None:
            self._directory = config.directory / config.gateway.state_dir

    def start(self) -> None:
        """As L{Part.start}: without the socket the gateway serves all the same."""
        try:
            self._listening = bind(self._directory)
        except OSError as e:
            _log.error(
                "no process can take over by itself: {path}: {why}",
                path=str(self._directory),
                why=e.strerror,
            )
            return
        self._gateway.watch.add(self._listening.fileno(), READ, self._comes)

    def close(self) -> None:
        """As L{Part.close}."""
        listening, self._listening = self._listening, None
        if listening is not None:
            self._gateway.watch.closing(listening.fileno())
            listening.close()
            unbind(self._directory)
        if self._transfer is not None and not self._transfer.done:
            self._transfer.close()

    # Successors.

    def restart(self) -> Deferred[Succeeded]:
        """
        Start this program once more, which takes over.

        @return: fires when it serves; fails with L{CannotStart}: this one serves on.
        """
        if self._transfer is not None:
            return fail(CannotStart("another process is about to take over already"))
        if self._gateway.stopping:
            return fail(CannotStart("the gateway is stopping"))
        ours, theirs = channels()
        try:
            with theirs:
                self._program.start(self._reactor, theirs)
        except CannotStart:
            ours.close()
            return fail()
        self._begin(ours)
        self._asked = Deferred()
        return self._asked

    def _comes(self, events: int) -> None:
        assert self._listening is not None
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        if self._transfer is not None or not admits(connection):
            connection.close()
            return
        self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        self._transfer = Transfer(
            self._gateway, self._reactor, connection, self._release, self._over
        )

    def _over(self, transfer: Transfer) -> None:
        """Go on: it has not taken over."""
        self._transfer = None
        for line in transfer.why:
            _log.error("not restarted: {line}", line=line)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.errback(CannotStart("\n".join(transfer.why)))

    def _release(self, transfer: Transfer, over: Deferred[None]) -> None:
        """Leave the rest to it: it serves."""
        self._program.left(transfer.pid)
        _log.warn(
            "process {pid} has taken over; no client was accepted for {ms:.0f} ms",
            ms=transfer.seconds * 1000,
            pid=transfer.pid,
        )
        self.released()
        asked, self._asked = self._asked, None
        arrived = transfer.arrived.addCallback(lambda _: self._moved(transfer))
        if asked is not None:
            arrived.chainDeferred(asked)
        else:
            arrived.addErrback(lambda _: None)
        ending: Deferred[Any] = gatherResults([over, transfer.settled])
        ending.addBoth(lambda _: transfer.idle())
        ending.addBoth(lambda _: self._end(transfer))

    def _moved(self, transfer: Transfer) -> Succeeded:
        moved, left = transfer.sessions
        _log.info(
            "{moved} sessions go on in process {pid}, and {left} here",
            moved=moved,
            pid=transfer.pid,
            left=left,
        )
        return Succeeded(transfer.pid, moved, left)

    def _end(self, transfer: Transfer) -> None:
        """End this process: all is recorded, and the other one has everything."""
        transfer.close()
        # The answer to who asked for it may not be sent yet.
        self._reactor.callLater(_ANSWER, self._reactor.stop)
