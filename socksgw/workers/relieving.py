"""
What a supervisor does with its processes when another supervisor takes over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from socksgw.gateway.starting import CannotStart
from socksgw.system.channel import channels
from socksgw.system.watch import Watcher
from socksgw.workers.child import Child

__all__ = ["awaitAll", "moved", "relieved"]

#: Seconds that a process may take to start.
_STARTING: Final = 60.0


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


def relieved(children: Iterable[Child]) -> tuple[list[int], list[int]]:
    """
    Give each worker a channel to the one that is to take its place.

    @return: the numbers of the workers, and the other ends.
    """
    numbers, others = [], []
    for each in children:
        if each.serves:
            ours, theirs = channels()
            with ours:
                each.tell({"do": "relieve"}, [ours.fileno()])
            numbers.append(each.number)
            others.append(theirs.detach())
    return numbers, others


def moved(answers: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many sessions have moved, and how many are left, of all workers."""
    found = [(int(each["moved"]), int(each["left"])) for each in answers]
    return sum(each for each, _ in found), sum(each for _, each in found)
