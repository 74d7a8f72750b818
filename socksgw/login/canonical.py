"""
The one name of a user whom another method has logged in.

A KDC may take several spellings of a name for the same account, and the ticket
has the one that the client typed: Active Directory takes C{ALICE}, C{aLiCe} and
the left side of a user principal name. Rules, groups and limits go by one name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, final
from unicodedata import normalize

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.python.failure import Failure

__all__ = ["CanonicalNames", "folded"]

#: Names remembered at most.
_REMEMBERED: Final = 10_000


def folded(name: str) -> str:
    """
    Return a principal's name in lower case, composed (Unicode's NFC).
    """
    return normalize("NFC", normalize("NFC", name).lower())


@final
class CanonicalNames:
    """
    Ask the stores that know, and remember their answers for a while.

    All who wait for the same name wait for one answer.
    """

    def __init__(
        self, stores: Sequence[Any], seconds: float, clock: Callable[[], float]
    ) -> None:
        """
        Make a memory without any names.

        @param stores: the L{INamingStore<socksgw.interfaces.INamingStore>}s.
        @param seconds: how long an answer is remembered.
        @param clock: monotonic seconds.
        """
        self._stores = tuple(stores)
        self._seconds = seconds
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._asked: dict[str, list[Deferred[str | None]]] = {}

    def of(self, name: str) -> Deferred[str | None]:
        """
        Return the store's spelling of a name.

        @return: fires with L{None} when no store knows the user; fails when a
            store that comes before the answer cannot be asked.
        """
        known = self._known.get(name)
        if known is not None and self._clock() < known[1]:
            return succeed(known[0])
        waiting = self._asked.get(name)
        fresh = waiting is None
        if waiting is None:
            waiting = self._asked[name] = []
        answer: Deferred[str | None] = Deferred(waiting.remove)
        waiting.append(answer)
        if fresh:
            # It ends by itself when no login waits any more: stores have time-outs.
            asking = Deferred.fromCoroutine(self._ask(name))
            asking.addBoth(self._settled, name)
        return answer

    async def _ask(self, name: str) -> str | None:
        for store in self._stores:
            found: str | None = await maybeDeferred(store.canonicalName, name)
            if found is not None:
                return found
        return None

    def _settled(self, result: str | Failure | None, name: str) -> None:
        if isinstance(result, str) and self._seconds > 0:
            self._known[name] = (result, self._clock() + self._seconds)
            self._known.move_to_end(name)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.pop(name, None)
        waiting = self._asked.pop(name)
        while waiting:
            each = waiting.pop(0)
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(result)
