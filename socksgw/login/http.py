"""
The C{http} checker: a decision service says who is let in.

It is sent JSON by POST, C{{"user": …, "password": …}}, and answers with status
200 and C{{"allow": true, "groups": […]}}; C{user} may give the user's one name.
Anything else is no.

Where there is a C{groups_url} it is sent C{{"user": …}} and answers
C{{"known": true, "groups": […]}}. Else a user's groups are those of the last
login.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import partial
from typing import Any, Final, final
from urllib.parse import urlsplit

from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from socksgw.interfaces import IGroupSource, Settings
from socksgw.login.refusal import Refused
from socksgw.login.remote import Evenly, Turns, Unavailable, isLoopback, nameOf, trustIn
from socksgw.tlspeer import PeerRefused, TLSPeer

__all__ = ["HTTPChecker", "httpChecker"]

#: Octets of an answer, and groups in it, at most.
_LONGEST: Final = 64 << 10
_GROUPS: Final = 1000
#: Users whose groups are remembered.
_REMEMBERED: Final = 10_000


@implementer(IAgentEndpointFactory)
@final
class _Endpoints:
    """
    Where an agent connects to; without a line in the log for each connection.
    """

    def __init__(self, reactor: Any, trust: Any) -> None:
        self._reactor = reactor
        self._trust = trust

    def endpointForURI(self, uri: URI) -> _Quiet:
        host = uri.host.decode("ascii")
        endpoint: Any = HostnameEndpoint(self._reactor, host, uri.port)
        if uri.scheme == b"https":
            endpoint = TLSPeer(host, self._trust).over(endpoint)
        return _Quiet(endpoint)


@implementer(IStreamClientEndpoint)
@final
class _Quiet:
    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: Any) -> Any:
        protocolFactory.noisy = False
        return self._endpoint.connect(protocolFactory)


@implementer(ICredentialsChecker, IGroupSource)
@final
class HTTPChecker:
    """
    Asks a decision service.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self,
        name: str,
        agent: Any,
        turns: Turns,
        groupTurns: Turns,
        evenly: Evenly,
        url: str,
        groups: OrderedDict[str, frozenset[str]],
        groupsURL: str = "",
        token: bytes = b"",
    ) -> None:
        """
        @param groups: of whoever has logged in, where there is no
            C{groupsURL}; filled by this.
        @param agent: what connects.
        @param turns: of logins.
        @param groupTurns: of look-ups of groups, which a flood of strangers'
            logins does not hold up.
        @param token: said to the service (RFC 6750), if there is one.
        """
        self.name = name
        self._agent = agent
        self._turns = turns
        self._groupTurns = groupTurns
        self._evenly = evenly
        self._url = url
        self._groupsURL = groupsURL
        self._headers = Headers({b"Content-Type": [b"application/json"]})
        if token:
            self._headers.addRawHeader(b"Authorization", b"Bearer " + token)
        self._groups = groups

    # Logging in.

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        @return: fires with the name; fails with L{Refused}.
        """
        name, password = credentials.username, credentials.password
        return self._evenly(self._turns.ask(partial(self._logIn, name, password)))

    async def _logIn(self, username: bytes, password: bytes) -> bytes | tuple[()]:
        name = nameOf(username)
        try:
            secret = password.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Refused("wrong-credentials") from None
        if not secret:
            raise Refused("wrong-credentials")
        answer = await self._ask(self._url, {"user": name, "password": secret})
        if answer.get("allow") is not True:
            raise Refused("wrong-credentials")
        found, groups = _nameIn(answer, name), _groupsIn(answer)
        self._groups[found] = groups
        self._groups.move_to_end(found)
        if len(self._groups) > _REMEMBERED:
            self._groups.popitem(last=False)
        return found.encode()

    # Groups.

    def normal(self, name: str) -> str:
        """Groups are called as the service calls them."""
        return name

    def groupsOf(self, name: str) -> Deferred[frozenset[str] | None]:
        """
        As L{IGroupSource.groupsOf}.
        """
        return self._groupTurns.ask(partial(self._groupsOf, name))

    async def _groupsOf(self, name: str) -> frozenset[str] | None:
        if not self._groupsURL:
            return self._groups.get(name, frozenset())
        answer = await self._ask(self._groupsURL, {"user": name})
        if answer.get("known") is False:
            return None
        if answer.get("known") is not True:
            raise Unavailable("an answer without known")
        return _groupsIn(answer)

    # Asking.

    async def _ask(self, url: str, question: dict[str, str]) -> dict[str, Any]:
        """
        @raise Unavailable: there is no answer that can be understood.
        """
        try:
            # One for each question, or cookies would go from one to the next.
            response: Any = await HTTPClient(self._agent).post(
                url,
                headers=self._headers,
                data=json.dumps(question).encode(),
                # A password goes where it was sent, and nowhere else.
                allow_redirects=False,
                unbuffered=True,
            )
            body = _Body()
            response.deliverBody(body)
            octets = await body.done
        except _FAILURES as e:
            raise _failure(e) from None
        if response.code != 200:
            raise Unavailable(f"status {response.code}")
        try:
            answer = json.loads(octets)
        except (ValueError, RecursionError):
            # The text would hold a part of the answer.
            raise Unavailable("an answer that is no JSON") from None
        if not isinstance(answer, dict):
            raise Unavailable("an answer that is no object")
        return answer


#: What Twisted wraps the reasons in.
_WRAPPED: Final = (RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived)
_FAILURES: Final = (
    *_WRAPPED,
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    OSError,
    PeerRefused,
    SSL.Error,
)


def _failure(error: Exception) -> Exception:
    """What went wrong, without anything that was sent."""
    while isinstance(error, _WRAPPED) and error.reasons:
        value = error.reasons[0].value
        if not isinstance(value, Exception):
            break
        error = value
    if isinstance(error, CancelledError):
        return error
    if isinstance(error, PeerRefused):
        return Unavailable(str(error))
    if isinstance(error, SSL.Error):
        return Unavailable("TLS failed")
    return Unavailable(type(error).__name__)


@final
class _Body(Protocol):
    """
    Gathers the octets of an answer; whoever gives up closes the connection.
    """

    transport: Any

    def __init__(self) -> None:
        self._octets = b""
        self.done: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())

    def dataReceived(self, octets: bytes) -> None:
        self._octets += octets
        if len(self._octets) > _LONGEST and not self.done.called:
            self.done.errback(Unavailable("an answer that is too long"))
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(self._octets)
        else:
            self.done.errback(reason)


def _nameIn(answer: dict[str, Any], said: str) -> str:
    name = answer.get("user", said)
    if type(name) is not str:
        raise Unavailable("a user that is no string")
    return nameOf(name.encode())


def _groupsIn(answer: dict[str, Any]) -> frozenset[str]:
    groups = answer.get("groups", [])
    if (
        not isinstance(groups, list)
        or len(groups) > _GROUPS
        or not all(type(each) is str for each in groups)
    ):
        raise Unavailable("groups that are no array of strings")
    return frozenset(groups)


# From the configuration.

#: The groups of the latest logins, by reactor and URL: a reload takes nobody's.
_remembered: Final[dict[tuple[Any, str], OrderedDict[str, frozenset[str]]]] = {}

_KEYS: Final = (
    "url", "groups_url", "ca", "cleartext", "token_file", "timeout", "connections",
)  # fmt: skip


def httpChecker(settings: Settings, reactor: Any) -> HTTPChecker:
    """
    The checker that a table asks for.
    """
    settings.only(*_KEYS)
    cleartext = settings.flag("cleartext")
    url, groupsURL = _urlIn(settings, "url", cleartext), ""
    if "groups_url" in settings:
        groupsURL = _urlIn(settings, "groups_url", cleartext)
    timeout = settings.duration("timeout", 5.0, 60.0)
    connections = settings.number("connections", 8, 1, 64)
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = connections
    endpoints = _Endpoints(reactor, trustIn(settings))
    agent = Agent.usingEndpointFactory(reactor, endpoints, pool)
    return HTTPChecker(
        settings.name,
        agent,
        Turns(reactor, settings.name, connections, timeout),
        Turns(reactor, f"{settings.name} (groups)", connections, timeout),
        Evenly(reactor),
        url,
        _remembered.setdefault((reactor, url), OrderedDict()),
        groupsURL,
        settings.secret("token_file"),
    )


def _urlIn(settings: Settings, key: str, cleartext: bool) -> str:
    url = settings.word(key)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        if type(settings.get(key, "")) is str:
            settings.wrong(key, "must be a URL such as https://decide.example/login")
    elif parts.username is not None:
        settings.wrong(key, "must hold no secret; use token_file")
    elif parts.scheme == "http" and not cleartext and not isLoopback(host):
        settings.wrong(
            key,
            f'"{url}" would send passwords in the clear; use https://, or say '
            "cleartext = true to accept that",
        )
    return url
