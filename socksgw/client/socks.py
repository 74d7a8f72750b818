"""
The dialogue with a SOCKS server.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from socksgw.client.errors import (
    ProxyLoginFailed,
    ProxyProtocolError,
    ProxyRefused,
)
from socksgw.client.link import Link
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.client import ClientConversation
from socksgw.wire.codes import SOCKS5, Command, Method, Reply
from socksgw.wire.events import MethodSelected, Replied
from socksgw.wire.reader import WireError

__all__ = ["Accepted", "SocksProxy"]

_SUCCEEDED: Final = int(Reply.SUCCEEDED)
_CONNECT: Final = int(Command.CONNECT)


class Accepted(NamedTuple):
    """
    What a proxy has replied.

    @ivar bound: the address and port that it told; 0.0.0.0 where it told a name.
    """

    bound: tuple[Address, int]


@final
class SocksProxy:
    """
    A server of SOCKS 5 that wants no login.
    """

    async def connect(self, link: Link, host: Address | str, port: int) -> Accepted:
        """
        Have the server connect to a destination.

        @raise ProxyError: it does not.
        """
        conversation = ClientConversation(SOCKS5, _CONNECT, host, port)
        link.write(conversation.start())
        try:
            selected = await _next(conversation, link)
            assert isinstance(selected, MethodSelected)
            if selected.method == Method.NO_ACCEPTABLE:
                raise ProxyLoginFailed("it wants a login")
            link.write(conversation.authenticated())
            replied = await _next(conversation, link)
        except WireError as e:
            raise ProxyProtocolError(str(e)) from None
        assert isinstance(replied, Replied)
        link.surplus = conversation.surplus()
        if replied.code != _SUCCEEDED:
            raise ProxyRefused(replied.code)
        bound = replied.host if isinstance(replied.host, Address) else UNSPECIFIED4
        return Accepted((bound, replied.port))


async def _next(conversation: ClientConversation, link: Link) -> object:
    """Return the next event of a conversation."""
    while (event := conversation.next()) is None:
        conversation.receive(await link.more())
    return event
