"""
Go over all live sessions without holding up any.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.defer import DeferredLock
from twisted.internet.task import deferLater

from socksgw.admin.table import Asked
from socksgw.session.session import Session

__all__ = ["slices"]

#: Whose turn it is: many who ask at once share what one of them may take.
_turns: Final[WeakKeyDictionary[Any, DeferredLock]] = WeakKeyDictionary()


async def slices(asked: Asked, size: int) -> AsyncIterator[list[Session]]:
    """
    Yield the live sessions in pieces, each in a turn of the reactor of its own.

    The end has one, too. Sessions that have ended since this began are among them.
    """
    sessions = iter(asked.gateway.sessions)
    lock = _turns.setdefault(asked.reactor, DeferredLock())
    while True:
        await lock.acquire()
        # Also where whoever asks goes on no more.
        deferLater(asked.reactor, 0).addCallback(lambda _: lock.release())
        piece = list(islice(sessions, size))
        if not piece:
            return
        yield piece
