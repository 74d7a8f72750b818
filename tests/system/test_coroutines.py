"""
Coroutines that are driven directly behave as Twisted's.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any
from weakref import ref

import pytest
from twisted.internet.defer import AlreadyCalledError, CancelledError, Deferred
from twisted.python.failure import Failure

from socksgw.system.coroutines import Awaited, Running

Kind = Callable[[], Deferred[Any]]
KINDS = [Awaited, Deferred]
#: Both ways to run a coroutine, which do the same.
RUN = [Running, Deferred.fromCoroutine]
each = pytest.mark.parametrize("kind", KINDS)
eitherWay = pytest.mark.parametrize("run", RUN)


class Seen:
    """What a coroutine came by, in order."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    async def follow(self, *awaited: Deferred[Any]) -> str:
        """Await one after another; a failure is a step, too."""
        for one in awaited:
            try:
                self.steps.append(await one)
            except Exception as e:
                self.steps.append(type(e))
        return "end"


@each
@eitherWay
def test_resultsAndFailures(run: Any, kind: Kind) -> None:
    seen = Seen()
    first, second, third = kind(), kind(), kind()
    third.callback(3)
    done: list[Any] = []
    run(seen.follow(first, second, third)).addBoth(done.append)
    assert seen.steps == []
    first.callback(1)
    assert seen.steps == [1]
    second.errback(ValueError("no"))
    assert seen.steps == [1, ValueError, 3]
    assert done == ["end"]


@each
@eitherWay
def test_exceptionOfTheCoroutine(run: Any, kind: Kind) -> None:
    async def failing(awaited: Deferred[Any]) -> None:
        await awaited

    awaited = kind()
    done: list[Failure] = []
    run(failing(awaited)).addErrback(done.append)
    try:
        raise KeyError("which")
    except KeyError:
        awaited.errback()
    assert done[0].check(KeyError)
    assert str(done[0].value) == "'which'"


@each
@eitherWay
def test_cancelled(run: Any, kind: Kind) -> None:
    """What is awaited is cancelled; the coroutine may go on after it."""
    seen = Seen()
    first, second, third = kind(), kind(), kind()
    running = run(seen.follow(first, second, third))
    done: list[Any] = []
    running.addBoth(done.append)
    running.cancel()
    assert seen.steps == [CancelledError]
    assert first.called
    assert not done
    running.cancel()
    assert seen.steps == [CancelledError, CancelledError]
    third.callback(3)
    assert done == ["end"]
    running.cancel()


@eitherWay
def test_cancelledByTheOwner(run: Any) -> None:
    """What is awaited may have a canceller that says otherwise."""
    seen = Seen()
    awaited: Deferred[str] = Awaited(lambda d: d.callback("instead"))
    run(seen.follow(awaited)).cancel()
    assert seen.steps == ["instead"]


@eitherWay
def test_cancelledWhileItRuns(run: Any) -> None:
    """A coroutine that has itself cancelled goes on: it awaits nothing."""
    seen: list[Any] = []
    running: list[Deferred[None]] = []

    async def itself(first: Deferred[int], second: Deferred[int]) -> None:
        seen.append(await first)
        running[0].cancel()
        seen.append(await second)

    first, second = Awaited[int](), Awaited[int]()
    running.append(run(itself(first, second)))
    first.callback(1)
    second.callback(2)
    assert seen == [1, 2]


@each
@eitherWay
def test_callbacksComeFirst(run: Any, kind: Kind) -> None:
    """Callbacks that were added before are called before the coroutine goes on."""
    seen = Seen()
    awaited = kind()
    awaited.addCallback(lambda number: number + 1)
    run(seen.follow(awaited))
    awaited.callback(1)
    assert seen.steps == [2]


@each
def test_onlyOnce(kind: Kind) -> None:
    awaited = kind()
    Running(Seen().follow(awaited))
    awaited.callback(1)
    with pytest.raises(AlreadyCalledError):
        awaited.callback(2)
    with pytest.raises(AlreadyCalledError):
        awaited.errback(ValueError())


def test_lateCallbackOfWhatIsCancelled() -> None:
    """As with every Deferred without a canceller, whoever fires it need not know."""
    awaited = Awaited[int]()
    seen = Seen()
    Running(seen.follow(awaited)).cancel()
    awaited.callback(1)
    assert seen.steps == [CancelledError]


@eitherWay
def test_context(run: Any) -> None:
    """The coroutine has a context of its own, the same all the time."""
    variable = ContextVar("variable", default=0)
    seen: list[int] = []

    async def change(awaited: Deferred[None]) -> None:
        variable.set(variable.get() + 1)
        await awaited
        seen.append(variable.get())

    variable.set(1)
    awaited = Awaited[None]()
    run(change(awaited))
    assert variable.get() == 1
    variable.set(7)
    awaited.callback(None)
    assert seen == [2]


@pytest.mark.parametrize("failing", [True, False])
def test_nothingIsLeft(failing: bool) -> None:
    """
    What a coroutine held is free when it has ended, without the garbage
    collector, though whoever fired what it awaited keeps that.
    """

    class Thing:
        def __init__(self) -> None:
            self.awaited = Awaited[None](self.cancel)

        def cancel(self, _: object) -> None:
            """Make a cycle, while it has not fired."""

    async def hold(thing: Thing, awaited: Deferred[None]) -> None:
        try:
            await awaited
        except ValueError:
            pass

    thing = Thing()
    weak, awaited = ref(thing), thing.awaited
    gc.disable()
    try:
        running: Coroutine[Any, Any, None] = hold(thing, awaited)
        Running(running)
        del thing, running
        if failing:
            awaited.errback(ValueError())
        else:
            awaited.callback(None)
        assert weak() is None
    finally:
        gc.enable()
