"""
A process of a handover, as a test plays it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from socksgw.system.channel import Channel
from tests.fakes.loops import WatchedLoop

__all__ = ["Stub"]


class Stub(WatchedLoop):
    """
    The other process, as the test plays it: it goes as far as the test wants.

    @ivar said: what was told or asked, in order.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self.said: list[str] = []
        self.descriptors: list[int] = []
        self.gone: list[str] = []
        self.answer: Callable[[str], dict[str, Any]] = lambda what: {}
        self.channel = Channel(
            connection, self.watcher, self._told, self.gone.append, self._asked
        )
        self.channel.start()

    def _told(self, message: dict[str, Any], fds: list[int]) -> None:
        self.said.append(message["what"])
        self.descriptors += fds

    def _asked(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self.said.append(message["what"])
        return self.answer(message["what"])

    def ask(self, **question: Any) -> None:
        answers: list[Any] = []
        self.channel.ask(question).addBoth(answers.append)
        self.until(lambda: answers)
        assert isinstance(answers[0], dict), answers

    def end(self) -> None:
        """End, as a process that is killed."""
        self.channel.close()
        for fd in self.descriptors:
            os.close(fd)
        self.closeLoop()
