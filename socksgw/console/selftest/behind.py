"""
Say the vectors that come after a login, by the product's own logins.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from socksgw.client.errors import LoginWanted, ProxyError
from socksgw.client.proxy import Again
from socksgw.console.selftest.connecting import Entered, Means, Unwanted, enters
from socksgw.console.selftest.speaking import PAUSE, QUIET, judged
from socksgw.console.selftest.vectors import LOGIN, VECTORS, Vector
from socksgw.console.selftest.witness import Expected
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.wire.address import Address
from socksgw.wire.httpconnect import ConnectConversation
from socksgw.wire.protection import Protection
from socksgw.wire.reader import WireError

__all__ = ["vectorsBehind"]

#: What a vector of SOCKS 6 has an answer for, that the login has read.
_ENTERED6: Final = b"\x06\x00\x00\x00"
_NOWHERE: Final = Address.parse("192.0.2.1")
_DECIDED: Final = Expected("connect", "192.0.2.1", 9, verdict="")
#: The most requests of one login by HTTP.
_MOST: Final = 4
_LOGIN_WANTED: Final = 407


async def vectorsBehind(entered: Entered, means: Means) -> list[Answer]:
    """
    Say each vector of a protocol that comes after a login.

    @return: what is to be told of the answers; nothing where this host is not offered
        the login, which is told elsewhere.
    @raise ProbeFailed: at the first one, the proxy does not let the user in.
    """
    found: list[Answer] = []
    for vector in VECTORS:
        if vector.protocol != entered.protocol or vector.before != LOGIN:
            continue
        called = entered.way.called
        name = f"{vector.called}, {called}" if called else vector.called
        try:
            answer = await _said(entered, means, vector)
        except Unwanted:
            return found
        except ProbeFailed as e:
            if not found:
                raise
            found.append(Answer(name, str(e), "failed", e.remedy))
        else:
            found.append(judged(vector, name, answer))
    return found


async def _said(entered: Entered, means: Means, vector: Vector) -> bytes:
    """
    Log in, say a vector, and return the answer.

    @raise Unwanted: this host is not offered the login.
    @raise ProbeFailed: there is no answer, or no login.
    """
    says: Callable[[Any, Any], Awaitable[bytes]]
    exchange = _Exchange(means, vector)
    if entered.protocol == "socks5":
        says = exchange.five
    elif entered.protocol == "http":
        says = _Web(exchange, entered.way.login, vector).ask
    elif entered.way.login is None or entered.way.certified:
        says = exchange.plain
    else:
        says = exchange.six
    asked = _DECIDED if vector.decided else None
    link, answer = await enters(entered, means, asked, says)
    link.connection.abortConnection()
    return answer


class _Exchange:
    """One vector, and its answer, on links."""

    def __init__(self, means: Means, vector: Vector) -> None:
        self._means = means
        self._vector = vector

    async def five(self, proxy: Any, link: Any) -> bytes:
        """Say it in SOCKS 5."""
        protection = await proxy.enter(link)
        return await self.say(link, self._vector.octets, protection)

    async def plain(self, proxy: Any, link: Any) -> bytes:
        """Say it as it is, where nothing has to be said to log in."""
        return await self.say(link, self._vector.octets)

    async def six(self, proxy: Any, link: Any) -> bytes:
        """
        Say it in SOCKS 6, with the login's options at the end of it.

        The options have their length in the request
        (draft-olteanu-intarea-socks-6-11 section 4).
        """
        octets = self._vector.octets

        def request(options: bytes) -> bytes:
            size = int.from_bytes(octets[2:4], "big") + len(options)
            return octets[:2] + size.to_bytes(2, "big") + octets[4:] + options

        if self._vector.slowly:
            link = _Slowly(link)
        await proxy.enter(link, request)
        return await self.hear(link, _ENTERED6 + link.surplus)

    async def say(
        self, link: Any, octets: bytes, protection: Protection | None = None
    ) -> bytes:
        """Send octets, all at once or one by one, and return what comes."""
        size = 1 if self._vector.slowly else len(octets)
        for at in range(0, len(octets), size):
            part = octets[at : at + size]
            link.write(part if protection is None else protection.wrap(part))
            if size < len(octets):
                await self._means.aside(lambda: time.sleep(PAUSE))
        return await self.hear(link, b"", protection)

    async def hear(
        self, link: Any, came: bytes, protection: Protection | None = None
    ) -> bytes:
        """
        Return what the proxy answers, until it is silent for a moment.

        @param came: what has come of it already.
        @raise ProbeFailed: it does not answer in time.
        """
        late = self._means.later(self._means.seconds, link.expire)
        begun = len(came)
        try:
            while True:
                if self._isWhole(came):
                    # More than that would be wrong.
                    await self._means.aside(lambda: time.sleep(QUIET))
                    link.expire()
                octets = await link.more()
                came += octets if protection is None else protection.unwrap(octets)
        except WireError as e:
            raise ProbeFailed(
                f"what comes is not protected as it should be: {e}"
            ) from None
        except ProxyError:
            # It has closed, or says no more.
            if len(came) == begun and not late.active():
                raise ProbeFailed(
                    "it does not answer in time", "a longer --timeout may help"
                ) from None
            return came
        finally:
            if late.active():
                late.cancel()

    def _isWhole(self, came: bytes) -> bool:
        if self._vector.protocol == "http":
            return b"\r\n\r\n" in came
        return bool(came) and self._vector.holds(came)


class _Slowly:
    """A link that sends each octet by itself."""

    def __init__(self, link: Any) -> None:
        self._link = link

    def write(self, octets: bytes) -> None:
        """Send octets one by one."""
        for each in octets:
            self._link.write(bytes((each,)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)


class _Web:
    """
    A vector of HTTP, with what answers the proxy's challenge.

    Each request has a connection of its own.
    """

    def __init__(self, exchange: _Exchange, login: Any, vector: Vector) -> None:
        self._exchange = exchange
        self._scheme = "" if login is None else login.scheme
        self._login = login
        self._attempt: Any = None
        self._octets = vector.octets
        self._authorization = ""
        self._requests = 0

    async def ask(self, proxy: Any, link: Any) -> bytes:
        """
        Say it, and return the answer, unless that is a challenge.

        @raise Again: it was one.
        @raise LoginFailed: there is no answer to it.
        """
        octets = self._octets
        if self._authorization:
            field = f"Proxy-Authorization: {self._authorization}\r\n\r\n".encode()
            octets = octets.removesuffix(b"\r\n") + field
        answer = await self._exchange.say(link, octets)
        self._requests += 1
        challenges = _challenges(answer)
        if challenges is None:
            return answer
        if self._scheme not in challenges or self._requests == _MOST:
            raise LoginWanted(
                f"the proxy asks for another login: {', '.join(challenges)}"
            )
        if self._attempt is None:
            self._attempt = self._login.http()
        self._authorization = await self._attempt.answer(challenges[self._scheme])
        raise Again(proxy)


def _challenges(answer: bytes) -> dict[str, str] | None:
    """Return the challenges of an answer; L{None} where it wants no login."""
    conversation = ConnectConversation(_NOWHERE, 9)
    conversation.request()
    try:
        conversation.receive(answer)
    except WireError:
        return None
    found = conversation.answer
    if found is None or found.status != _LOGIN_WANTED:
        return None
    return dict(reversed(found.challenges))
