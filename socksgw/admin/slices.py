"""
Go over all live sessions without holding up any.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice

from twisted.internet.task import deferLater

from socksgw.admin.table import Asked
from socksgw.session.session import Session

__all__ = ["slices"]


async def slices(asked: Asked, size: int) -> AsyncIterator[list[Session]]:
    """
    Yield the live sessions in pieces, each in a turn of the reactor of its own.

    Those that have ended since this began are among them.
    """
    sessions = iter(asked.gateway.sessions)
    while piece := list(islice(sessions, size)):
        yield piece
        await deferLater(asked.reactor, 0)
