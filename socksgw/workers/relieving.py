"""
What a supervisor does with its processes when another supervisor takes over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

from twisted.python.failure import Failure

from socksgw.gateway.starting import CannotStart
from socksgw.metrics.merging import packed, unpacked
from socksgw.metrics.snapshot import Snapshot
from socksgw.system.channel import Message, channels
from socksgw.system.watch import Watcher
from socksgw.workers.child import Child

__all__ = ["Together", "awaitAll", "moved", "relieved"]

#: Seconds that a process may take to start.
_STARTING: Final = 60.0


@final
class Together:
    """
    Has all workers of a supervisor that takes over accept clients at one moment.

    No worker has clients before all can have them: where one fails, the workers before
    serve on, and no client is with a worker that ends.

    What a worker before has counted is with the one in its place when that has taken it.
    Where it has died before, it is what it had counted when the other supervisor came.

    @ivar paused: for how many seconds nobody was accepted.
    """

    def __init__(
        self,
        count: int,
        told: Mapping[str, Any],
        started: Callable[[Child, dict[str, Any]], object],
        failed: Callable[[Child, Failure], object],
        lost: Callable[[Snapshot], object],
    ) -> None:
        """
        Wait for nobody yet.

        @param count: how many workers there are.
        @param told: what the supervisor before has told of its own, as of L{relieved}.
        @param started: called with what each has answered when it begins to serve.
        @param failed: called with one that cannot do what it was asked.
        @param lost: called with what a worker before has counted and not handed over.
        """
        self._count = count
        self._started = started
        self._failed = failed
        self._lost = lost
        # A supervisor of an older release does not tell that.
        self._counted = dict(
            zip(told["numbers"], told.get("counted") or (), strict=False)
        )
        self._built: list[Child] = []
        self._taken: list[tuple[Child, dict[str, Any]]] = []
        self.paused = 0.0

    def built(self, child: Child) -> None:
        """
        Take note of a worker that is built.

        The last one has all take the places of the workers before.
        """
        self._built.append(child)
        if len(self._built) < self._count:
            return
        for each in self._built:
            each.ask({"do": "take"}).addCallbacks(
                partial(self._took, each), partial(self._failed, each)
            )

    def _took(self, child: Child, answer: dict[str, Any]) -> None:
        if "counted" not in answer:
            self._started(child, answer)
            return
        self._taken.append((child, answer))
        if len(self._taken) < self._count:
            return
        for each, _ in self._taken:
            each.tell({"do": "accept"})
        # Processes of one machine have one clock.
        since = min(float(answer["since"]) for _, answer in self._taken)
        self.paused = time.monotonic() - since
        for each, answer in self._taken:
            counts = self._counted.get(each.number)
            if answer["lost"] and counts is not None:
                self._lost(unpacked(counts))
            self._started(each, answer)


def awaitAll(children: Sequence[Child], reactor: Any, watch: Watcher) -> None:
    """
    Start processes, and wait until they hear orders.

    @raise CannotStart: there cannot be as many.
    """
    try:
        for each in children:
            each.spawn(reactor, watch)
    except OSError as e:
        raise CannotStart(f"a worker cannot be started: {e.strerror}") from None
    for each in children:
        each.awaitStart(_STARTING)


def relieved(children: Iterable[Child]) -> tuple[Message, list[int]]:
    """
    Give each worker a channel to the one that is to take its place.

    One that does not serve yet hears of it when it does: it would have numbers of
    sessions that the one in its place has, too.

    @return: the numbers of the workers, with what each has counted so far (not in the
        last second); and the other ends.
    """
    numbers, others = [], []
    counted: list[Message | None] = []
    for each in children:
        ours, theirs = channels()
        with ours:
            each.tell({"do": "relieve"}, [ours.fileno()])
        numbers.append(each.number)
        counted.append(None if each.measured is None else packed(each.measured))
        others.append(theirs.detach())
    return {"numbers": numbers, "counted": counted}, others


def moved(answers: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many sessions have moved, and how many are left, of all workers."""
    found = [(int(each["moved"]), int(each["left"])) for each in answers]
    return sum(each for each, _ in found), sum(each for _, each in found)
