"""
Dialogues with SOCKS 6 proxies (draft-olteanu-intarea-socks-6-11).

The login goes with the request, to a proxy that has not asked for it: that is what
saves the round trips.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar, final

from socksgw.client.errors import (
    CommandNotSupported,
    LoginRefused,
    NoMethodAccepted,
    ProtocolBroken,
    TokenRefused,
    refusal,
)
from socksgw.client.link import Link
from socksgw.client.logins.login import Login
from socksgw.client.logins.none import NO_LOGIN
from socksgw.client.proxy import Accepted, Again
from socksgw.client.session import Part, Session
from socksgw.client.socks import Binding
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.client6 import ClientConversation6, ClientState6
from socksgw.wire.codes import SOCKS6, Command, Method, Reply, methodsText
from socksgw.wire.events import Decoded
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.socks6 import AuthReplied, Socks6Replied, encodeRequest
from socksgw.wire.socks6options import (
    INITIAL_LIMIT,
    Kind,
    encodeAdvertisement,
    encodeAuthData,
    encodeOption,
)
from socksgw.wire.stacks import Stack, encodeStack

__all__ = ["Socks6Proxy"]

M = TypeVar("M")

_NONE: Final = int(Method.NO_AUTHENTICATION)
_NO_ACCEPTABLE: Final = int(Method.NO_ACCEPTABLE)
#: Octets of a login in the request: all options have 16 KB in draft -11.
_PRESENTED: Final = 15 << 10
#: Octets of padding behind a message in an option, at most.
_PADDING: Final = 3
_UNSUPPORTED: Final = int(Reply.COMMAND_NOT_SUPPORTED)


class _LetIn(Exception):
    """The proxy has let us in before the login was over."""


@final
class _Dialogue:
    """
    One conversation with a proxy, over a link.

    It is the L{LoginExchange} of a login, too.
    """

    __slots__ = (
        "_answer", "_conversation", "_early", "_link", "_method", "_methods", "_options",
        "_part", "_said",
    )  # fmt: skip

    #: No datagrams go beside it.
    datagrams = False
    #: Application data is not subject to what a login has agreed on (section 6).
    protects = False

    def __init__(
        self,
        link: Link,
        conversation: ClientConversation6,
        methods: bytes,
        early: bytes,
        options: bytes,
        part: Part | None = None,
    ) -> None:
        self._part = part
        self._link = link
        self._conversation = conversation
        self._methods = methods
        self._early = early
        self._options = options
        self._method = _NONE
        # What the login has said that is not sent yet.
        self._said = b""
        # Its messages that a reply has brought.
        self._answer: bytes | None = None

    async def enter(self, logins: dict[int, Login]) -> None:
        """
        Make the request, and log in.

        @raise socksgw.client.errors.LoginFailed: the proxy does not let us in.
        @raise socksgw.client.errors.TokenRefused: it refuses the token, and initial
            data may have been served with it.
        @raise _Forgotten: it does not know the session, or refuses the token.
        """
        part = self._part
        if part is None:
            await self._enter(logins)
            return
        self._options += part.options
        try:
            if part.presented:
                await self._resume(part)
            else:
                await self._enter(logins)
        finally:
            part.over()

    async def _resume(self, part: Part) -> None:
        """Make a request of a session, which needs no login."""
        self._methods = b""
        self._link.write(self._conversation.start(self._options) + self._early)
        replied = await self._entered()
        if replied.succeeded:
            return
        options = replied.options
        if self._early and options.spent is False and not options.sessionInvalid:
            raise TokenRefused(
                "the proxy refuses the token: it may have had the request before, and "
                "the destination its initial data"
            )
        raise _Forgotten

    async def _enter(self, logins: dict[int, Login]) -> None:
        if not logins:
            await self._start(b"")
            return
        # The first one goes with the request; the proxy may select another one.
        self._method = next(iter(logins))
        try:
            await self._login(logins)
        except _LetIn:
            return
        if self._conversation.failed:
            raise LoginRefused("the proxy does not accept the login")
        if self._conversation.state is ClientState6.SELECTED:
            self._conversation.told()
            if not (await self._entered()).succeeded:
                raise LoginRefused("the proxy does not accept the login")

    async def _login(self, logins: dict[int, Login]) -> None:
        first = self._method
        try:
            await logins[first].socks5(first, self)
        except _Selected as e:
            self._method = e.method
            await logins[e.method].socks5(e.method, self)

    async def _start(self, options: bytes) -> None:
        """
        Send the request, and read the first reply to it.

        @raise _LetIn: it lets us in.
        @raise _Selected: the proxy wants a login by messages, from its beginning.
        """
        conversation = self._conversation
        options += self._options
        if self._methods:
            options += encodeAdvertisement(self._methods, len(self._early))
        self._link.write(conversation.start(options) + self._early)
        replied = await self._entered()
        told = replied.options
        # A client without a login has no method that could tell it something.
        self._answer = told.data.get(self._method) if self._methods else None
        if replied.succeeded:
            if self._methods and self._answer is None:
                raise _LetIn
            return
        if told.method is None:
            if self._answer is None:
                if not self._methods:
                    offered = methodsText((_NONE,))
                    raise NoMethodAccepted(f"the proxy accepts none of {offered}")
                raise NoMethodAccepted(
                    "the proxy accepts neither the login nor its methods: "
                    + methodsText(self._methods)
                )
        elif told.method not in self._methods:
            raise ProtocolBroken(f"the proxy selects method {told.method}, not offered")
        elif self._answer is None:
            raise _Selected(told.method)

    async def _entered(self) -> AuthReplied:
        event = await self.event()
        assert isinstance(event, AuthReplied)
        if self._part is not None:
            self._part.told(event.succeeded, event.options)
            if self._part.presented:
                return event
        if event.options.method == _NO_ACCEPTABLE:
            offered = methodsText(self._methods)
            raise NoMethodAccepted(f"the proxy accepts none of {offered}")
        return event

    @property
    def secured(self) -> bool:
        """As L{LoginExchange.secured}."""
        return self._link.secured

    def write(self, octets: bytes) -> None:
        """As L{LoginExchange.write}."""
        if self._conversation.held:
            raise ProtocolBroken("the proxy has answered before it was asked")
        if self._conversation.state is ClientState6.START:
            self._said += octets
        else:
            self._link.write(octets)

    async def read(self, decoder: Callable[[Reader], M], limit: int) -> M:
        """As L{LoginExchange.read}."""
        conversation = self._conversation
        if conversation.state is ClientState6.START:
            # What is too long for a request is said when the proxy has asked for it.
            fits = len(self._said) <= _PRESENTED
            await self._start(encodeAuthData(self._method, self._said) if fits else b"")
        if self._answer is not None:
            told, self._answer = _read(decoder, self._answer, limit)
            return told
        if conversation.state is not ClientState6.SELECTED:
            raise ProtocolBroken("the proxy has ended the login too early")
        conversation.expect(decoder, limit)
        event = await self.event()
        assert isinstance(event, Decoded)
        message: M = event.message
        return message

    async def event(self) -> AuthReplied | Decoded | Socks6Replied:
        """Return what the proxy says next."""
        conversation = self._conversation
        try:
            event = conversation.next()
            while event is None:
                conversation.receive(await self._link.more())
                event = conversation.next()
        except WireError as e:
            raise _broken(e) from None
        return event

    async def replied(self) -> Accepted:
        """
        Await the reply to the request.

        @raise ProxyRefused: it is not success.
        """
        self._link.asked = True
        event = await self.event()
        assert isinstance(event, Socks6Replied)
        code, host, port, stack = event
        if code:
            raise refusal(SOCKS6, code)
        if isinstance(host, Address):
            return Accepted((host, port), stack=stack)
        name = host if isinstance(host, str) else ""
        return Accepted((UNSPECIFIED4, port), None, name, stack=stack)

    def another(self) -> None:
        """As L{socksgw.client.socks.Replying.another}."""
        self._conversation.another()

    async def initiated(self) -> bytes:
        """Await the ID of the association that the proxy has granted."""
        self._conversation.associating()
        event = await self.event()
        assert isinstance(event, Decoded)
        association: bytes = event.message
        return association

    def finish(self) -> None:
        """Leave the link to what follows."""
        self._link.pause()
        self._link.surplus = self._conversation.surplus()


class _Forgotten(Exception):
    """The request is not served in the session, and needs a login."""


class _Selected(Exception):
    """
    The proxy has selected a method, whose messages begin.

    @ivar method: which.
    """

    def __init__(self, method: int) -> None:
        super().__init__()
        self.method = method


def _broken(error: WireError) -> ProtocolBroken:
    return ProtocolBroken(f"the proxy breaks the protocol: {error}")


def _read(
    decoder: Callable[[Reader], M], octets: bytes, limit: int
) -> tuple[M, bytes | None]:
    """
    Return the first message that an option holds.

    @param limit: the most octets that it may have.
    @return: with what stands behind it; L{None} where that is padding.
    @raise ProtocolBroken: it is none.
    """
    reader = Reader(octets[:limit])
    try:
        message = decoder(reader)
    except WireError as e:
        raise _broken(e) from None
    except NeedMoreData:
        raise ProtocolBroken("the proxy cuts the login's message off") from None
    rest = octets[reader.position :]
    return message, rest if len(rest) > _PADDING or any(rest) else None


@final
class Socks6Proxy:
    """A proxy that speaks SOCKS 6."""

    def __init__(
        self,
        *logins: Login,
        initial: bytes = b"",
        stack: Sequence[Stack] = (),
        session: Session | None = None,
    ) -> None:
        """
        Make what any number of requests use.

        @param logins: the ways to log in; the first is said with the request. By
            default there is none, and the proxy has to let the client in without.
        @param initial: what goes to the destination with the request, before it is
            known whether that is granted.
        @param stack: how the stacks are to be, of the proxy's connections to the client
            and to the destination; it may do otherwise.
        @param session: what the requests are of; L{None} for none.
        @raise ValueError: SOCKS 6 cannot have one of the logins, or not so many octets.
        """
        if len(initial) > INITIAL_LIMIT:
            raise ValueError(f"initial data has {INITIAL_LIMIT} octets at most")
        self._initial = initial
        self._session = session
        # Whether the session did not serve a request: the next ones present none.
        self._forgotten = False
        self._stack = b"".join(
            encodeOption(Kind.STACK, encodeStack(each)) for each in stack
        )
        self._logins: dict[int, Login] = {}
        for login in logins or (NO_LOGIN,):
            if not login.methods:
                raise ValueError(f"SOCKS 6 has no login by {login.called}")
            for method in login.methods:
                # Every client has that one, and it has nothing to say.
                if method != _NONE:
                    self._logins.setdefault(method, login)

    def within(self, session: Session) -> Socks6Proxy:
        """
        Return what makes the same requests in a session.

        @param session: as of L{__init__}.
        """
        found = copy.copy(self)
        found._session = session
        return found

    async def greet(self, link: Link) -> None:
        """
        As L{socksgw.client.proxy.Proxy.greet}, by NOOP.

        Where there is no login, nothing is said: what a proxy answers to anybody is
        not worth a line in its journal.
        """
        if not self._logins:
            return
        dialogue = self._dialogue(link, Command.NOOP, UNSPECIFIED4, 0, b"", b"")
        await dialogue.enter(self._logins)
        # A proxy need not have that command (section 7): it has let us in.
        with suppress(CommandNotSupported):
            await dialogue.replied()

    async def leave(self, link: Link) -> None:
        """
        End the session, by NOOP, which logs in.

        @raise socksgw.client.errors.ProxyError: the proxy does not let the client in; it
            has ended the session, too.
        """
        assert self._session is not None
        options = self._session.teardown(link.secured)
        dialogue = self._dialogue(link, Command.NOOP, UNSPECIFIED4, 0, b"", options)
        await dialogue.enter(self._logins)
        with suppress(CommandNotSupported):
            await dialogue.replied()

    async def enter(self, link: Link, request: Callable[[bytes], bytes]) -> None:
        """
        Log in, with a request of the caller's.

        What is behind the proxy's authentication reply is L{Link.surplus}.

        @param request: returns it, with encoded options.
        @raise socksgw.client.errors.ProxyError: it does not let the client in.
        """
        conversation = ClientConversation6(request)
        dialogue = _Dialogue(link, conversation, bytes(self._logins), b"", b"")
        await dialogue.enter(self._logins)
        link.surplus = conversation.surplus()

    async def connect(self, link: Link, host: Address | str, port: int) -> Accepted:
        """As L{socksgw.client.proxy.Proxy.connect}."""
        dialogue, accepted = await self._ask(
            link, Command.CONNECT, host, port, self._initial
        )
        dialogue.finish()
        return accepted

    async def bind(self, link: Link, host: Address | str, port: int) -> Binding:
        """As L{socksgw.client.proxy.Proxy.bind}."""
        return Binding(*await self._ask(link, Command.BIND, host, port))

    def _dialogue(
        self,
        link: Link,
        command: int,
        host: Address | str,
        port: int,
        initial: bytes,
        options: bytes,
        part: Part | None = None,
    ) -> _Dialogue:
        conversation = ClientConversation6(partial(encodeRequest, command, host, port))
        methods = bytes(self._logins)
        return _Dialogue(link, conversation, methods, initial, options, part)

    async def _ask(
        self,
        link: Link,
        command: int,
        host: Address | str,
        port: int,
        initial: bytes = b"",
    ) -> tuple[_Dialogue, Accepted]:
        part = None
        if self._session is not None:
            part = self._session.part(link.secured, self._forgotten)
        dialogue = self._dialogue(link, command, host, port, initial, self._stack, part)
        try:
            await dialogue.enter(self._logins)
        except _Forgotten:
            raise Again(self._again()) from None
        return dialogue, await dialogue.replied()

    def _again(self) -> Socks6Proxy:
        """Return what makes the same request with a login."""
        found = copy.copy(self)
        found._forgotten = True
        return found

    async def associate(
        self,
        link: Link,
        host: Address = UNSPECIFIED4,
        port: int = 0,
        command: int = Command.UDP_ASSOCIATE,
    ) -> Accepted:
        """
        As L{socksgw.client.proxy.Proxy.associate}: datagrams go inside the link.

        @raise CommandNotSupported: they are to go there in another way.
        """
        if command != Command.UDP_ASSOCIATE:
            raise CommandNotSupported(
                _UNSUPPORTED, "SOCKS 6 has one way for datagrams inside its connection"
            )
        dialogue, accepted = await self._ask(link, command, host, port)
        association = await dialogue.initiated()
        dialogue.finish()
        return accepted._replace(association=association)
