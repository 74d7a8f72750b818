"""
Decisions and ends as they happen, as a stream of server-sent events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from socksgw.admin.events import EVENTS
from socksgw.admin.fields import Field
from socksgw.admin.table import Asked, Entry, Stream

__all__ = ["ENTRIES"]


def _events(asked: Asked) -> Stream:
    events = asked.events
    events.room()
    kinds = asked.query.get("event", ())
    return Stream(lambda write: events.join(write, kinds))


ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/api/events",
        _events,
        "Tell of lines of the journal as they are written (text/event-stream): each is "
        "an event of its own name, with the line as its data. Where there are more than "
        "can be read, skipped tells how many are left out.",
        {200: None},
        refuses=(429,),
        query=(
            Field("event", "strings", "Events that are told; absent: all.", one=EVENTS),
        ),
        kinds=("text/event-stream",),
    ),
)
