"""
The conversation with a client whose request is known before it says anything.
"""

from __future__ import annotations

from typing import final

from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Event, Requested
from socksgw.wire.server import ServerConversation, State

__all__ = ["GivenConversation"]


@final
class GivenConversation(ServerConversation):
    """
    What the client wants, and no octet from or to it.

    Whatever it sends is for its destination.
    """

    __slots__ = ()

    def __init__(self, dialect: Dialect, request: Requested | None) -> None:
        """
        Take what a layer has found out.

        @param request: L{None} where it could not be found out: the client is not
            served.
        """
        super().__init__({})
        self._decode = None
        self.dialect = dialect
        self.protocol = dialect.protocol
        self._request = request

    def next(self) -> Event | None:
        """Return the request, once."""
        request, self._request = self._request, None
        if request is not None:
            self.state = State.REQUESTED
        return request

    @property
    def replyable(self) -> bool:
        """Nobody waits for a reply."""
        return False

    def reply(
        self,
        reply: Reply,
        bound: tuple[Address | str, int] | None = None,
        more: bool = False,
    ) -> bytes:
        """Return nothing: the client hears its destination only."""
        self.state = State.REPLIED
        return b""
