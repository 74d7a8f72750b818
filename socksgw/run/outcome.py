"""
What becomes of a coroutine, for those who may not wait for it as long as it takes.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar, final

from socksgw.interfaces import SetDeadline
from socksgw.system.coroutines import Awaited, Running

__all__ = ["Outcome"]

T = TypeVar("T")


@final
class Outcome(Generic[T]):
    """
    A coroutine that runs, and what becomes of it.

    One at a time waits for it.

    @ivar decided: whether it has ended.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Start the coroutine."""
        self.decided = False
        self._value: T
        self._failure: BaseException | None = None
        self._waiting: Awaited[None] | None = None
        self._running = Running(self._run(coroutine))

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self._value = await coroutine
        except Exception as e:
            self._failure = e
        self.decided = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def within(self, setDeadline: SetDeadline, seconds: float) -> bool:
        """Wait for it, and return whether it has ended in so many seconds."""
        if not self.decided:
            deadline = setDeadline(seconds, self._wake)
            self._waiting = waiting = Awaited[None]()
            await waiting
            deadline.clear()
        return self.decided

    async def result(self) -> T:
        """
        Wait for it, and return what it does.

        @raise Exception: what it has raised.
        """
        if not self.decided:
            self._waiting = waiting = Awaited[None]()
            await waiting
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return self._value

    def cancel(self) -> None:
        """Cancel what it waits for."""
        if not self.decided:
            self._running.cancel()
