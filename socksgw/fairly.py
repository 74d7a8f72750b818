"""
Turns by source: what waits is served source by source, and who fills the queue
is who is refused.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Generic, TypeVar

__all__ = ["ASKING", "FairQueue"]

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
        # The source whose turn it is comes first.
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

        @param ready: whether it may be a source's turn; L{None} for any.
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
        """
        Take an item out that waits no longer.
        """
        self._queues[source].remove(item)
        self._taken(source)

    def drop(self, newcomer: bytes) -> T:
        """
        Take the last item of the source that has most.

        @param newcomer: the source whose item is taken where several have
            most.
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
