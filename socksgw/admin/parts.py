"""
What a process answers when the admin interface of another one asks for a part.

That is a worker, asked by its supervisor, or one that has handed over and has sessions
yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from socksgw.admin.api import explain, running, sessions
from socksgw.admin.together import Part, asAsked, partsOf

__all__ = ["PARTS", "answer", "answers"]

PARTS: Final[Mapping[str, Part]] = {
    "sessions": sessions.listed,
    "kill": sessions.killed,
    "killOne": sessions.killedOne,
    "story": sessions.told,
    "status": running.standing,
    "left": running.left,
    "groups": explain.groupsOf,
}


async def answer(
    message: Mapping[str, Any], gateway: Any, reactor: Any
) -> Mapping[str, Any]:
    """
    Answer a message of L{socksgw.admin.together.partsOf}.

    @raise KeyError: it asks for a part that nobody has.
    @raise socksgw.admin.table.Refused: it cannot be.
    """
    asked = asAsked(message, gateway, reactor)
    return {"part": await PARTS[message["part"]](asked)}


async def answers(
    message: Mapping[str, Any], gateway: Any, reactor: Any
) -> Mapping[str, Any]:
    """
    Answer for all processes of a gateway that has handed over, as L{answer}.

    @raise KeyError: as L{answer}; likewise the other one.
    """
    asked = asAsked(message, gateway, reactor)
    name = message["part"]
    return {"parts": await partsOf(asked, name, PARTS[name])}
