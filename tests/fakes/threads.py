"""
A reactor for pools of threads: what threads ask for is done when the test says.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

#: Seconds that a thread may need; far more than it does.
PATIENCE = 60


class ThreadedReactor:
    """
    Stand for the reactor of a pool of threads.

    What threads ask for is called by L{pump}, in the test's own thread.
    """

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Callable[..., Any], Any]] = queue.Queue()
        self.atShutdown: list[Callable[[], Any]] = []

    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.calls.put((call, arguments))

    def addSystemEventTrigger(
        self, phase: str, event: str, call: Callable[[], Any]
    ) -> Callable[[], Any]:
        assert event == "shutdown"
        self.atShutdown.append(call)
        return call

    def removeSystemEventTrigger(self, call: Callable[[], Any]) -> None:
        self.atShutdown.remove(call)

    def pump(self) -> None:
        """Call the next function that a thread asks for, when it does."""
        call, arguments = self.calls.get(timeout=PATIENCE)
        call(*arguments)

    def result(self, waiting: Deferred[Any]) -> Any:
        """Pump until a Deferred fires, and return its value or its exception."""
        results: list[Any] = []
        waiting.addBoth(results.append)
        while not results:
            self.pump()
        return getattr(results[0], "value", results[0])


class ClockedReactor(ThreadedReactor):
    """A reactor for threads whose time is the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.callLater, self.seconds = self.clock.callLater, self.clock.seconds
