"""
Coroutines that are driven directly.

L{Deferred.fromCoroutine} with plain Deferreds costs a tenth of a whole session: each
time one fires it runs a chain of callbacks, whose only one goes on with the
coroutine. Here the coroutine goes on immediately.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Awaited", "Running", "forget"]

T = TypeVar("T")


@final
class Awaited(Deferred[T]):
    """
    A Deferred that a coroutine awaits: a L{Running} one goes on as soon as it fires.

    Everywhere else it is a Deferred as any other. No callback is to be added while a
    coroutine awaits it.
    """

    #: Goes on with the coroutine that awaits this, if that is all there is.
    _proceed: Callable[[Failure | None], None] | None = None

    def callback(self, result: T | Failure) -> None:
        """
        Fire with a result.

        @raise twisted.internet.defer.AlreadyCalledError: it has fired before.
        """
        proceed = self._proceed
        if proceed is None:
            super().callback(result)
            return
        self._proceed = self._canceller = None
        self.called = True
        self.result = result
        proceed(None)

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """
        Fire with a failure.

        @param fail: by default the exception that is being handled.
        @raise twisted.internet.defer.AlreadyCalledError: it has fired before.
        """
        proceed = self._proceed
        if proceed is None:
            super().errback(fail)
            return
        self._proceed = self._canceller = None
        self.called = True
        # It is not kept: its traceback leads to the frames that await this.
        self.result = None
        proceed(fail if isinstance(fail, Failure) else Failure(fail))


def forget(failure: Failure) -> None:
    """
    Drop the traceback of a failure that has been handled.

    Frames of the coroutines that it went through hold it, and all that these had: a
    cycle that only the garbage collector frees.
    """
    failure.tb = None
    if failure.value is not None:
        failure.value.__traceback__ = None


@final
class Running(Deferred[T]):
    """
    A coroutine that runs, and the Deferred of its result.

    It is what L{Deferred.fromCoroutine} makes. When it is cancelled, what the
    coroutine awaits is cancelled; it fires when the coroutine ends, whatever that
    makes of it.
    """

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> None:
        """
        Start the coroutine, in a copy of the present context.
        """
        super().__init__()
        self._coroutine = coroutine
        self._run = copy_context().run
        self._awaited: Deferred[Any] | None = None
        self._proceed(None)

    def cancel(self) -> None:
        """Cancel what the coroutine awaits."""
        if self._awaited is not None:
            self._awaited.cancel()

    def _proceed(self, failure: Failure | None) -> None:
        """
        Go on with the coroutine to the next Deferred that has no result yet.

        @param failure: what the one that it awaits has failed with.
        """
        coroutine = self._coroutine
        try:
            if failure is None:
                awaited = self._run(coroutine.send, None)
            else:
                awaited = self._run(failure.throwExceptionIntoGenerator, coroutine)
                forget(failure)
        except StopIteration as e:
            if failure is not None:
                forget(failure)
            self._awaited = None
            if self._callbacks:
                self.callback(e.value)
            else:
                # As callback() does, at a fifth of the cost.
                self.called = True
                self.result = e.value
            return
        except BaseException:
            self._awaited = None
            if failure is not None:
                # What is raised now may have it as its context.
                forget(failure)
            self.errback()
            return
        self._awaited = awaited
        if type(awaited) is Awaited and not awaited._callbacks:
            awaited._proceed = self._proceed
        else:
            awaited.addBoth(self._fired)

    def _fired(self, result: Any) -> None:
        """Go on when a Deferred of another kind has fired."""
        self._proceed(result if isinstance(result, Failure) else None)
