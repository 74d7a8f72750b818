"""
Dialogues with HTTP proxies: CONNECT.

The first request has no credentials. They are sent when the proxy asks for a login
of that scheme, by 407, or by 401 where it says so; on the same connection if the proxy
keeps it, else on a new one (L{Again}).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from socksgw.client.errors import (
    CommandNotSupported,
    ConnectionRefused,
    GeneralFailure,
    HostUnreachable,
    LoginRefused,
    LoginWanted,
    NetworkUnreachable,
    NotAllowed,
    ProtocolBroken,
    ProxyClosed,
    ProxyRefused,
)
from socksgw.client.link import Link
from socksgw.client.logins.login import HTTPAttempt, Login
from socksgw.client.logins.none import NO_LOGIN
from socksgw.client.proxy import Accepted, Again, ConnectOnly
from socksgw.wire.address import Address
from socksgw.wire.httpconnect import ConnectAnswer, ConnectConversation
from socksgw.wire.reader import WireError

__all__ = ["HTTPProxy"]

_ASKED: Final = frozenset((401, 407))
#: The most requests for one tunnel, whatever the login.
_MOST: Final = 8

#: By the word of Proxy-Status (RFC 9209 section 2.3), or squid's with errno.
_PROBLEMS: Final[Mapping[str, type[ProxyRefused]]] = {
    "dns_error": HostUnreachable,
    "dns_timeout": HostUnreachable,
    "destination_not_found": HostUnreachable,
    "destination_unavailable": HostUnreachable,
    "destination_ip_prohibited": NotAllowed,
    "destination_ip_unroutable": HostUnreachable,
    "http_request_denied": NotAllowed,
    "connection_refused": ConnectionRefused,
    "connection_timeout": HostUnreachable,
    "ERR_CONNECT_FAIL 101": NetworkUnreachable,
    "ERR_CONNECT_FAIL 110": HostUnreachable,
    "ERR_CONNECT_FAIL 111": ConnectionRefused,
    "ERR_CONNECT_FAIL 113": HostUnreachable,
    "ERR_DNS_FAIL 0": HostUnreachable,
    "ERR_ACCESS_DENIED 0": NotAllowed,
}
#: By the status, where there is no such word.
_STATUSES: Final[Mapping[int, type[ProxyRefused]]] = {
    403: NotAllowed,
    404: HostUnreachable,
    405: CommandNotSupported,
    501: CommandNotSupported,
    504: HostUnreachable,
}


@final
class HTTPProxy(ConnectOnly):
    """A proxy that speaks HTTP/1.1 or HTTP/1.0."""

    def __init__(self, *logins: Login) -> None:
        """
        Make what any number of requests use.

        @param logins: the ways to log in, in order of preference.
        @raise ValueError: HTTP cannot have one of them.
        """
        self._logins: dict[str, Login] = {}
        for login in logins:
            if login.scheme:
                self._logins.setdefault(login.scheme, login)
            elif login.methods != NO_LOGIN.methods:
                # What needs no word of ours is none of the schemes.
                raise ValueError(f"HTTP has no login by {login.called}")

    async def connect(self, link: Link, host: Address | str, port: int) -> Accepted:
        """
        As L{socksgw.client.proxy.Proxy.connect}.

        @raise Again: a new connection is needed for the answer to a challenge.
        """
        return await _Request(self._logins, host, port).on(link)


@final
class _Request(ConnectOnly):
    """
    One request for a tunnel, with the login that it takes.

    It is a L{Proxy} for the connection on which it goes on.
    """

    def __init__(
        self, logins: Mapping[str, Login], host: Address | str, port: int
    ) -> None:
        self._logins = logins
        self._destination = (host, port)
        self._authorization = ""
        self._scheme = ""
        self._attempt: HTTPAttempt | None = None
        self._requests = 0

    async def connect(self, link: Link, host: Address | str, port: int) -> Accepted:
        """Go on with the same request, on a new connection."""
        assert (host, port) == self._destination
        return await self.on(link)

    async def on(self, link: Link) -> Accepted:
        """Make the request on a connection, with each answer to a challenge."""
        conversation = ConnectConversation(*self._destination)
        while True:
            answer = await self._ask(link, conversation)
            if answer.granted:
                self._concluded(answer)
                link.pause()
                link.surplus = conversation.surplus()
                return Accepted()
            if answer.status not in _ASKED:
                raise _refusal(answer)
            self._authorization = await self._answerTo(answer)
            if not answer.kept or not await _drained(link, conversation):
                raise Again(self)

    async def _ask(
        self, link: Link, conversation: ConnectConversation
    ) -> ConnectAnswer:
        """Make one request, and return the final answer to it."""
        self._requests += 1
        link.asked = True
        if self._requests > _MOST:
            raise LoginRefused(f"the login is not done after {_MOST} requests")
        if conversation.held:
            raise ProtocolBroken("the proxy has answered before it was asked")
        authorization, self._authorization = self._authorization, ""
        try:
            request = conversation.request(authorization)
        except ValueError as e:
            raise LoginRefused(str(e)) from None
        link.write(request)
        link.asked = True
        try:
            while conversation.answer is None:
                conversation.receive(await link.more())
        except WireError as e:
            raise ProtocolBroken(f"the proxy breaks the protocol: {e}") from None
        return conversation.answer

    async def _answerTo(self, answer: ConnectAnswer) -> str:
        """
        Return what answers one of the challenges.

        @raise LoginFailed: nothing does.
        """
        offered = dict(reversed(answer.challenges))
        if self._attempt is not None:
            if self._scheme not in offered and offered:
                raise LoginRefused(
                    f"the proxy does not accept the login ({answer.told})"
                )
            return await self._attempt.answer(offered.get(self._scheme, ""))
        for scheme, login in self._logins.items():
            if scheme in offered:
                self._attempt, self._scheme = login.http(), scheme
                return await self._attempt.answer(offered[scheme])
        schemes = ", ".join(offered) or "of no scheme"
        raise LoginWanted(
            f"the proxy asks for another login: {schemes} ({answer.told})"
        )

    def _concluded(self, answer: ConnectAnswer) -> None:
        if self._attempt is not None:
            self._attempt.concluded(dict(answer.challenges).get(self._scheme, ""))


async def _drained(link: Link, conversation: ConnectConversation) -> bool:
    """
    Throw the content of a refusal away.

    @return: whether another request may follow.
    """
    try:
        while not conversation.drained():
            conversation.receive(await link.more())
    except (WireError, ProxyClosed, ProtocolBroken):
        return False
    return True


def _refusal(answer: ConnectAnswer) -> ProxyRefused:
    """Return what an answer means that does not grant the tunnel."""
    kind = _PROBLEMS.get(answer.problem) or _STATUSES.get(answer.status)
    told = f"{answer.told}; {answer.problem}" if answer.problem else answer.told
    return (kind or GeneralFailure)(answer.status, told)
