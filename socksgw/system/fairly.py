"""
Turns by source.

What waits is served source by source, and the source that fills the queue is
refused.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Generic, TypeVar, final

__all__ = ["ASKING", "FairQueue", "Places", "TooManyWaiting"]

T = TypeVar("T")

#: For which source the code at hand works: a client's address, as
#: L{Address.sourceKey<socksgw.wire.address.Address.sourceKey>}. A session sets it
#: in its own context. twisted.cred hands a checker the credentials alone, and a
#: checker needs the source to queue fairly.
ASKING: Final[ContextVar[bytes]] = ContextVar("ASKING", default=b"")


class FairQueue(Generic[T]):
    """
    A queue for each source; the sources take turns.
    """

    def __init__(self) -> None:
        # The source whose turn it is stands first.
        self._queues: OrderedDict[bytes, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def of(self, source: bytes) -> int:
        """Return how many items of a source wait."""
        return len(self._queues.get(source, ()))

    def push(self, source: bytes, item: T) -> None:
        """Add an item behind the others of its source."""
        self._queues.setdefault(source, deque()).append(item)
        self._length += 1

    def pushBack(self, source: bytes, item: T) -> None:
        """Return an item that was popped: it is the next again."""
        self._queues.setdefault(source, deque()).appendleft(item)
        self._queues.move_to_end(source, last=False)
        self._length += 1

    def pop(
        self, ready: Callable[[bytes], bool] | None = None
    ) -> tuple[bytes, T] | None:
        """
        Take the first item of the source whose turn it is.

        @param ready: tells whether a source may have a turn; L{None} for any.
        @return: the source and the item; L{None} when no source is ready.
        """
        source = next((s for s in self._queues if ready is None or ready(s)), None)
        if source is None:
            return None
        item = self._queues[source].popleft()
        self._queues.move_to_end(source)
        self._taken(source)
        return source, item

    def remove(self, source: bytes, item: T) -> None:
        """Take out an item that does not wait any longer."""
        self._queues[source].remove(item)
        self._taken(source)

    def drop(self, newcomer: bytes) -> T:
        """
        Take the last item of the source that has most.

        @param newcomer: the source whose item is taken where several have most.
        """
        most = max(map(len, self._queues.values()))
        source = newcomer
        if self.of(newcomer) < most:
            source = next(s for s, q in self._queues.items() if len(q) == most)
        item = self._queues[source].pop()
        self._taken(source)
        return item

    def _taken(self, source: bytes) -> None:
        self._length -= 1
        if not self._queues[source]:
            del self._queues[source]


class TooManyWaiting(Exception):
    """
    As many calls of this source wait as may.
    """


@final
class Places:
    """
    A bounded number of places, of which one source has no more than its share.

    While none is free calls wait, and a free place goes to the sources that wait in
    turn. So a source that asks for more than it gets delays only itself.
    """

    def __init__(self, places: int, perSource: int, waiting: int) -> None:
        """
        Begin with all places free.

        @param places: places in all.
        @param perSource: the most places of one source.
        @param waiting: the most calls of one source that wait.
        """
        self._places = places
        self._perSource = perSource
        self._waiting = waiting
        self._held: Counter[bytes] = Counter()
        self._queue: FairQueue[Callable[[], bool]] = FairQueue()
        self._giving = False
        #: The number of places that are taken.
        self.taken = 0

    def enter(self, source: bytes, begin: Callable[[], bool]) -> None:
        """
        Call C{begin} when the source has a place, which may be now.

        @param source: L{Address.sourceKey<socksgw.wire.address.Address.sourceKey>}.
        @param begin: takes the place and returns L{True}, or returns L{False} when
            it needs none any more. What took a place calls L{leave}.
        @raise TooManyWaiting: as many wait already.
        """
        if self.take(source):
            if not begin():
                self.leave(source)
            return
        if self._queue.of(source) >= self._waiting:
            raise TooManyWaiting
        self._queue.push(source, begin)
        self._give()

    def take(self, source: bytes) -> bool:
        """
        Take a place for the source, if it need not wait for one.

        What took a place calls L{leave}.
        """
        held = self._held.get(source, 0)
        if (
            held >= self._perSource
            or self.taken >= self._places
            or self._giving
            or len(self._queue)
        ):
            return False
        self.taken += 1
        self._held[source] = held + 1
        return True

    def leave(self, source: bytes) -> None:
        """Give back a place of the source."""
        self.taken -= 1
        held = self._held[source] - 1
        if held:
            self._held[source] = held
        else:
            del self._held[source]
        if len(self._queue):
            self._give()

    def _mayHave(self, source: bytes) -> bool:
        return self._held.get(source, 0) < self._perSource

    def _take(self, source: bytes, begin: Callable[[], bool]) -> None:
        self.taken += 1
        self._held[source] = self._held.get(source, 0) + 1
        if not begin():
            self.leave(source)

    def _give(self) -> None:
        # A call that leaves immediately calls this again from below.
        if self._giving:
            return
        self._giving = True
        try:
            while self.taken < self._places:
                found = self._queue.pop(self._mayHave)
                if found is None:
                    return
                self._take(*found)
        finally:
            self._giving = False
