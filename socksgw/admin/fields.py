"""
What may be asked with: the fields of a query, a path or a body.

Commands have the same as their options: this imports nothing of the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from attrs import frozen

from socksgw.session.stage import Stage

__all__ = ["CHOOSING", "Field"]


@frozen
class Field:
    """
    One thing that may be asked with: a field of the query, of the path, or of a body.

    @ivar kind: C{strings} is several: an array in a body, in a query the name repeated.
    @ivar one: the words that it may be, if only these.
    @ivar least: of a number; and C{most}.
    @ivar longest: characters of a string.
    """

    name: str
    kind: Literal["string", "integer", "number", "boolean", "strings"]
    help: str
    one: Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    longest: int = 255
    required: bool = False


#: What sessions may be chosen by; all that are given have to hold.
CHOOSING: Final[Sequence[Field]] = (
    Field("user", "string", "The user's name; anonymous for clients without a login."),
    Field("tag", "string", "The tag behind the user's name."),
    Field("listener", "string", "The listener's name."),
    Field("rule", "string", "The id of the rule that allows it."),
    Field("source", "string", "The client's address, or a network of such."),
    Field(
        "destination",
        "string",
        "The name that was asked for or a pattern of it (*.example.com), or the address "
        "or a network of such.",
    ),
    Field("port", "integer", "The destination's port.", least=0, most=65535),
    Field("upstream", "string", "An upstream that it goes through."),
    Field(
        "command",
        "string",
        "What the client has asked for.",
        one=("connect", "bind", "udp", "multicast", "resolve", "noop"),
    ),
    Field("protocol", "string", "What the client speaks, such as socks5."),
    Field(
        "stage",
        "string",
        "How far it has come.",
        one=tuple(each.value for each in Stage),
    ),
    Field("older", "number", "Seconds that it has lasted at least.", least=0),
    Field("younger", "number", "Seconds that it has lasted at most.", least=0),
)
