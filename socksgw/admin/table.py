"""
What an entry of the table of paths says, what its handler is given, and what it answers.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

from attrs import define, frozen

from socksgw.admin.fields import Field
from socksgw.gateway.gateway import Gateway

__all__ = [
    "ERROR",
    "Answer",
    "Asked",
    "Caller",
    "Entry",
    "Refused",
    "Stream",
    "asJson",
    "objectOf",
]

T = TypeVar("T")

Schema = Mapping[str, Any]

JSON: Final = "application/json"


class Refused(Exception):
    """
    Something asked cannot be done; the text says why, and goes to the client.

    @ivar status: of HTTP.
    @ivar problems: more lines, where there are several.
    @ivar fields: more header fields.
    """

    def __init__(
        self,
        status: int,
        text: str,
        problems: Sequence[str] = (),
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.problems = problems
        self.fields = fields or {}


@frozen
class Caller:
    """
    Who asks.

    @ivar name: for the journal: C{uid:0} or C{token:noc}; empty for who has not said.
    @ivar roles: what the caller may.
    """

    name: str = ""
    roles: frozenset[str] = frozenset()

    def may(self, role: str) -> bool:
        """Return whether the caller has a role; who may operate may read."""
        return role in self.roles or "operate" in self.roles


@frozen
class Answer:
    """
    What is answered.

    @ivar body: octets; or an iterator, which is asked for the next piece when the
        client has taken the one before.
    @ivar fields: more header fields.
    """

    body: bytes | Iterator[bytes] = b""
    status: int = 200
    kind: str = JSON
    fields: Mapping[str, str] = {}


@frozen
class Stream:
    """
    An answer without an end, such as events as they happen.

    @ivar begin: called with what writes a piece to the client, and returns whether the
        client has kept up: where it has not, its connection is cut. It returns what is
        called when the client is gone.
    """

    begin: Callable[[Callable[[bytes], bool]], Callable[[], None]]
    kind: str = "text/event-stream"


def asJson(value: Any, status: int = 200, **fields: str) -> Answer:
    """Return an answer in JSON."""
    octets = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    return Answer(octets, status, JSON, fields)


class Events(Protocol):
    """What tells those who listen (L{socksgw.admin.events.Events})."""

    def room(self) -> None:
        """See that one more may listen; raises L{Refused} where not."""

    def join(
        self, write: Callable[[bytes], bool], kinds: Collection[str]
    ) -> Callable[[], None]:
        """Tell somebody from now on; returns what ends that."""


@define
class Asked:
    """
    What a handler is given.

    @ivar events: tells those who listen of the journal's lines.
    @ivar path: the fields that stand in the path.
    @ivar query: those of the query that were given.
    @ivar body: those of the body that were given.
    @ivar accept: the Accept header.
    @ivar what: what an act is about, for the journal; the handler says it.
    @ivar result: what came of it, likewise.
    """

    gateway: Gateway
    reactor: Any
    events: Events
    caller: Caller
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    accept: str = ""
    what: str = ""
    result: str = ""


Handler = Callable[[Asked], "Answer | Stream | Awaitable[Answer]"]


def objectOf(**members: Schema) -> Schema:
    """
    Return the JSON schema of an object.

    @param members: the schemas of its members, which are all there, and no others.
    """
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


#: What every refusal has.
ERROR: Final[Schema] = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["error"],
}


@frozen
class Entry:
    """
    One path with one method.

    @ivar path: such as C{/api/sessions/{number}}; what is in braces is a field.
    @ivar handler: called with what is asked.
    @ivar says: one sentence about it.
    @ivar answers: the JSON schema of what is answered with each status that is no
        refusal; L{None} for what is no JSON.
    @ivar refuses: the statuses of refusals that the handler itself raises.
    @ivar role: what the caller must have; empty for nothing: everybody may.
    @ivar public: the word of C{[admin] public} that opens it to everybody.
    @ivar act: its name in the journal, where it changes something.
    @ivar inPath: the fields that stand in the path.
    @ivar query: the fields of the query.
    @ivar body: the fields of the body, an object in JSON; none: there is no body.
    @ivar kinds: of what is answered.
    """

    method: str
    path: str
    handler: Handler
    says: str
    answers: Mapping[int, Schema | None]
    refuses: Sequence[int] = ()
    role: Literal["", "read", "operate"] = "read"
    public: str = ""
    act: str = ""
    inPath: Sequence[Field] = ()
    query: Sequence[Field] = ()
    body: Sequence[Field] = ()
    kinds: Sequence[str] = (JSON,)
