"""
Ask many at once, each for a bounded time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, final

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from socksgw.errors import SocksError
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.login.refusal import Refused
from socksgw.login.stores.remote import within
from socksgw.system.certificateprobe import Said
from socksgw.system.inwords import inWords
from socksgw.system.threads import Threads

__all__ = ["Asking", "Given", "Probe", "answers"]

T = TypeVar("T")

#: Probes at a time, and those of them that block.
_AT_ONCE: Final = 32
_THREADS: Final = 16
_WAITING: Final = 4096


@frozen
class Probe:
    """
    One thing to be asked.

    @ivar place: the TOML path that names it.
    @ivar what: what it is, where its answer does not say that.
    @ivar ask: asks; raises what went wrong.
    """

    place: str
    what: str
    ask: Callable[[], Awaitable[Sequence[Answer]]]


@frozen
class Given:
    """
    An answer, and to what.

    @ivar place: the TOML path.
    @ivar seconds: how long it took.
    """

    place: str
    answer: Answer
    seconds: float


@final
class Asking:
    """
    The means that probes have.

    @ivar seconds: that each probe may take.
    """

    def __init__(self, reactor: Any, seconds: float) -> None:
        self.reactor = reactor
        self.seconds = seconds
        self._threads = Threads(
            reactor, "probes", _THREADS, _WAITING, lambda: RuntimeError("busy")
        )

    def aside(self, work: Callable[[], T]) -> Deferred[T]:
        """Have work done in a thread: it may block."""
        return self._threads.do(work)

    async def all(
        self, probes: Sequence[Probe], told: Callable[[Probe, Sequence[Given]], object]
    ) -> list[Given]:
        """
        Ask all, and return the answers in the order of the probes.

        @param told: called when one has answered.
        """
        turns = DeferredSemaphore(_AT_ONCE)

        async def one(probe: Probe) -> list[Given]:
            found = await self._one(probe)
            told(probe, found)
            return found

        waiting = [turns.run(one, probe) for probe in probes]
        return [each for found in await gatherResults(waiting) for each in found]

    async def _one(self, probe: Probe) -> list[Given]:
        began = self.reactor.seconds()

        async def ask() -> Sequence[Answer]:
            return await probe.ask()

        found: Sequence[Answer]
        try:
            found = await within(self.reactor, self.seconds, ask())
        except Exception as e:
            # Plug-ins of others may raise anything.
            found = [_failure(probe.what, e)]
        took = self.reactor.seconds() - began
        return [Given(probe.place, each, took) for each in found]


def _failure(what: str, error: Exception) -> Answer:
    if isinstance(error, ProbeFailed):
        return Answer(what, str(error), "failed", error.remedy)
    if isinstance(error, Refused):
        said, _, remedy = error.why.partition("; ")
        return Answer(what, said, "failed", remedy)
    if isinstance(error, SocksError):
        return Answer(what, str(error) or error.reason, "failed")
    words = inWords(error)
    return Answer(what, words.said, "failed", words.remedy)


def answers(what: str, said: Iterable[Said]) -> list[Answer]:
    """Return what was said of one file."""
    return [Answer(what, text, state, remedy) for text, state, remedy in said]
