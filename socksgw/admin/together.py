"""
What several processes that serve as one gateway answer to the admin interface.

A handler asks for parts, of which each process has one: the gateway that is alone has
one in all. What is asked of the processes of a supervisor goes to them as a message
(L{socksgw.admin.parts}).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from socksgw.admin.table import Asked, Caller

__all__ = ["DO", "asAsked", "isAlone", "partsBefore", "partsNow", "partsOf"]

Part = Callable[[Asked], Awaitable[Any]]

#: What a message does that asks for a part.
DO: Final = "part"


def isAlone(asked: Asked) -> bool:
    """Return whether there is one process."""
    role = asked.gateway.role
    return not role.isWhole or role.count == 1


async def partsOf(
    asked: Asked, name: str, part: Part, query: Mapping[str, Any] | None = None
) -> list[Any]:
    """
    Return the part of each process that serves; one that ends meanwhile has none.

    Processes before this one that have sessions yet come first: what moves here
    meanwhile is not passed over.

    @param name: of the part, as in L{socksgw.admin.parts.PARTS}.
    @param part: returns that of this process, as JSON has it.
    @param query: fields in place of those that were asked with; for others only.
    """
    parts = await partsBefore(asked, name, query)
    return [*parts, *await partsNow(asked, name, part, query)]


async def partsNow(
    asked: Asked, name: str, part: Part, query: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return what L{partsOf} does, without that of processes before this one."""
    if isAlone(asked):
        return [await part(asked)]
    answers = await asked.gateway.role.askAll(_message(asked, name, query))
    return [each["part"] for each in answers]


async def partsBefore(
    asked: Asked, name: str, query: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return the parts of processes before this one that have sessions yet."""
    relief = asked.gateway.relief
    return await relief.ask(_message(asked, name, query)) if relief.predecessors else []


def _message(
    asked: Asked, name: str, query: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "do": DO,
        "part": name,
        "path": dict(asked.path),
        "query": dict(asked.query if query is None else query),
        "body": dict(asked.body),
        "caller": [asked.caller.name, sorted(asked.caller.roles)],
    }


def asAsked(message: Mapping[str, Any], gateway: Any, reactor: Any) -> Asked:
    """Return what a message of L{partsOf} asks with."""
    name, roles = message["caller"]
    caller = Caller(name, frozenset(roles))
    nobody: Any = None
    return Asked(
        gateway,
        reactor,
        nobody,
        caller,
        message["path"],
        message["query"],
        message["body"],
    )
