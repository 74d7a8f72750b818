"""
Dialogues with SOCKS proxies: versions 4, 4a and 5.

Nothing is sent ahead of the reply before it, and a reply that comes before what it
answers is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar, final

from socksgw.client.errors import (
    AddressTypeNotSupported,
    NoMethodAccepted,
    ProtocolBroken,
    refusal,
)
from socksgw.client.link import Link
from socksgw.client.logins.login import Login
from socksgw.client.logins.none import NO_LOGIN
from socksgw.client.proxy import Accepted, ConnectOnly
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.client import ClientConversation
from socksgw.wire.codes import (
    SOCKS4,
    SOCKS5,
    Command,
    Method,
    Reply,
    Socks4Reply,
    methodsText,
)
from socksgw.wire.events import Decoded, MethodSelected, Replied
from socksgw.wire.protection import Protection
from socksgw.wire.reader import Reader, WireError

__all__ = ["Binding", "Replying", "Socks4Proxy", "Socks5Proxy"]

M = TypeVar("M")

_CONNECT: Final = int(Command.CONNECT)
_BIND: Final = int(Command.BIND)
_ASSOCIATE: Final = int(Command.UDP_ASSOCIATE)
_NONE_ACCEPTED: Final = int(Method.NO_ACCEPTABLE)
_NO_SUCH_TYPE: Final = int(Reply.ADDRESS_TYPE_NOT_SUPPORTED)
_GRANTED: Final = int(Socks4Reply.GRANTED)


class Replying(Protocol):
    """A conversation with a proxy, over a link, from its replies on."""

    async def replied(self) -> Accepted:
        """
        Await the reply to the request.

        @raise socksgw.client.errors.ProxyRefused: it is not success.
        """

    def another(self) -> None:
        """Have another reply follow."""

    def finish(self) -> None:
        """Leave the link to what follows."""


class _Dialogue:
    """
    One conversation with a proxy, over a link.

    It is the L{LoginExchange} of a login, too.
    """

    __slots__ = ("_conversation", "_link", "datagrams", "protection")

    protects = True

    def __init__(
        self, link: Link, conversation: ClientConversation, datagrams: bool = False
    ) -> None:
        self._link = link
        self.datagrams = datagrams
        self._conversation = conversation
        self.protection: Protection | None = None

    @property
    def secured(self) -> bool:
        """As L{LoginExchange.secured}."""
        return self._link.secured

    def write(self, octets: bytes) -> None:
        """Send a message that the proxy has not answered yet."""
        if self._conversation.held:
            raise ProtocolBroken("the proxy has answered before it was asked")
        if self.protection is not None:
            octets = self.protection.wrap(octets)
        self._link.write(octets)

    async def read(self, decoder: Callable[[Reader], M], limit: int) -> M:
        """As L{LoginExchange.read}."""
        self._conversation.expect(decoder, limit)
        event = await self.event()
        assert isinstance(event, Decoded)
        message: M = event.message
        return message

    async def event(self) -> MethodSelected | Decoded | Replied:
        """Return what the proxy says next."""
        conversation, link = self._conversation, self._link
        try:
            event = conversation.next()
            while event is None:
                octets = await link.more()
                if self.protection is not None:
                    octets = self.protection.unwrap(octets)
                conversation.receive(octets)
                event = conversation.next()
        except WireError as e:
            raise ProtocolBroken(f"the proxy breaks the protocol: {e}") from None
        return event

    async def replied(self) -> Accepted:
        """
        Await the reply to the request.

        @raise ProxyRefused: it is not success.
        """
        self._link.asked = True
        event = await self.event()
        assert isinstance(event, Replied)
        version, code, host, port = event
        if code != (_GRANTED if version == SOCKS4 else 0):
            raise refusal(version, code)
        if isinstance(host, Address):
            return Accepted((host, port), self.protection)
        name = host if isinstance(host, str) else ""
        return Accepted((UNSPECIFIED4, port), self.protection, name)

    def another(self) -> None:
        """As L{Replying.another}."""
        self._conversation.another()

    def finish(self) -> None:
        """Leave the link to what follows."""
        self._link.pause()
        self._link.surplus = self._conversation.surplus()


@final
class Binding:
    """
    A port that a proxy has opened for one connection from outside (BIND).

    @ivar bound: the address and port to tell the peer; 0.0.0.0 stands for the
        proxy's own address.
    """

    def __init__(self, dialogue: Replying, accepted: Accepted) -> None:
        """
        Take a dialogue that has had its first reply.

        @param accepted: that one.
        """
        self._dialogue = dialogue
        self.bound = accepted.bound

    async def peer(self) -> Accepted:
        """
        Await the peer's connection; from then on the link carries its octets.

        @return: C{bound} is the peer's address and port.
        @raise socksgw.client.errors.ProxyError: none has come.
        """
        self._dialogue.another()
        accepted = await self._dialogue.replied()
        self._dialogue.finish()
        return accepted


class _SocksProxy(ConnectOnly):
    """What the versions have in common."""

    async def greet(self, link: Link) -> None:
        """As L{socksgw.client.proxy.Proxy.greet}: SOCKS 4 begins with the request."""

    async def connect(self, link: Link, host: Address | str, port: int) -> Accepted:
        """As L{socksgw.client.proxy.Proxy.connect}."""
        dialogue, accepted = await self._ask(link, _CONNECT, host, port)
        dialogue.finish()
        return accepted

    async def bind(self, link: Link, host: Address | str, port: int) -> Binding:
        """
        Have the proxy open a port for one connection from outside.

        @param host: whose connection is awaited; 0.0.0.0 where it is not known, if
            the proxy takes that.
        @param port: of that host's connection; 0 where it is not known.
        @raise socksgw.client.errors.ProxyError: it does not.
        """
        return Binding(*await self._ask(link, _BIND, host, port))

    async def _ask(
        self, link: Link, command: int, host: Address | str, port: int
    ) -> tuple[_Dialogue, Accepted]:
        raise NotImplementedError


@final
class Socks5Proxy(_SocksProxy):
    """A proxy that speaks SOCKS 5 (RFC 1928)."""

    def __init__(self, *logins: Login) -> None:
        """
        Make what any number of requests use.

        @param logins: the ways to log in, in order of preference. By default there is
            none, and the proxy has to let the client in without.
        @raise ValueError: SOCKS 5 cannot have one of them.
        """
        logins = logins or (NO_LOGIN,)
        self._methods, self._logins = _offer(logins)

    async def associate(
        self,
        link: Link,
        host: Address = UNSPECIFIED4,
        port: int = 0,
        command: int = Command.UDP_ASSOCIATE,
    ) -> Accepted:
        """As L{socksgw.client.proxy.Proxy.associate}."""
        dialogue, accepted = await self._ask(link, command, host, port)
        dialogue.finish()
        return accepted

    async def _ask(
        self, link: Link, command: int, host: Address | str, port: int
    ) -> tuple[_Dialogue, Accepted]:
        conversation = ClientConversation(SOCKS5, command, host, port, self._methods)
        dialogue = _Dialogue(link, conversation, command == _ASSOCIATE)
        protection = await self._enter(dialogue, conversation)
        request = conversation.authenticated()
        if protection is not None:
            dialogue.protection = protection
        dialogue.write(request)
        return dialogue, await dialogue.replied()

    async def greet(self, link: Link) -> None:
        """As L{socksgw.client.proxy.Proxy.greet}."""
        await self.enter(link)

    async def enter(self, link: Link, datagrams: bool = False) -> Protection | None:
        """
        Log in; what the request is, the caller says.

        @param datagrams: whether it may be for datagrams.
        @return: what stands between the octets and the wire from here on.
        @raise socksgw.client.errors.ProxyError: it does not let the client in.
        """
        conversation = ClientConversation(
            SOCKS5, _CONNECT, UNSPECIFIED4, 0, self._methods
        )
        return await self._enter(_Dialogue(link, conversation, datagrams), conversation)

    async def _enter(
        self, dialogue: _Dialogue, conversation: ClientConversation
    ) -> Protection | None:
        """Log in, by the method that the proxy chooses."""
        dialogue.write(conversation.start())
        selected = await dialogue.event()
        assert isinstance(selected, MethodSelected)
        method = selected.method
        if method == _NONE_ACCEPTED:
            offered = methodsText(self._methods)
            raise NoMethodAccepted(f"the proxy accepts none of {offered}")
        return await self._logins[method].socks5(method, dialogue)


def _offer(logins: Sequence[Login]) -> tuple[bytes, dict[int, Login]]:
    """
    Return the methods to offer, and whose each is.

    @raise ValueError: SOCKS 5 cannot have one of the logins.
    """
    found: dict[int, Login] = {}
    for login in logins:
        if not login.methods:
            raise ValueError(f"SOCKS 5 has no login by {login.called}")
        for method in login.methods:
            found.setdefault(method, login)
    return bytes(found), found


@final
class Socks4Proxy(_SocksProxy):
    """
    A proxy that speaks SOCKS 4, and 4a where the destination is a name.

    It has no logins.
    """

    def __init__(self, userId: bytes = b"") -> None:
        """
        Make what any number of requests use.

        @param userId: a claim that a proxy may ask an ident server about; empty for
            none.
        """
        self._userId = userId

    async def _ask(
        self, link: Link, command: int, host: Address | str, port: int
    ) -> tuple[_Dialogue, Accepted]:
        try:
            conversation = ClientConversation(
                SOCKS4, command, host, port, userId=self._userId
            )
        except ValueError as e:
            raise AddressTypeNotSupported(_NO_SUCH_TYPE, str(e)) from None
        dialogue = _Dialogue(link, conversation)
        dialogue.write(conversation.start())
        return dialogue, await dialogue.replied()
