"""
What a worker answers when its supervisor's admin interface asks for a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from socksgw.admin.api import explain, running, sessions
from socksgw.admin.together import Part, asAsked

__all__ = ["PARTS", "answer"]

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
