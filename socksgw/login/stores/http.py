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

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    IGroupSource,
    IProbed,
    IReportingStore,
    Settings,
)
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.stores.httpprobe import askService
from socksgw.login.stores.httpservice import JSONService
from socksgw.login.stores.keys import HTTP
from socksgw.login.stores.remote import (
    Evenly,
    Turns,
    Unavailable,
    nameOf,
    trustIn,
    urlIn,
)
from socksgw.system.keptsecret import KeptSecret
from socksgw.system.tlspeer import TLSPeer
from socksgw.system.usage import shared

__all__ = ["HTTPChecker", "httpChecker"]

#: Groups in an answer at most.
_GROUPS: Final = 1000
#: What a service without TLS means.
_RISK: Final = (
    "would send passwords in the clear; use https://, or say cleartext = true to accept "
    "that"
)
#: Users whose groups are remembered.
_REMEMBERED: Final = 10_000


@implementer(ICredentialsChecker, IGroupSource, IProbed, IReportingStore)
@final
class HTTPChecker:
    """
    Ask a decision service about names and passwords.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self,
        name: str,
        service: JSONService,
        turns: Turns,
        groupTurns: Turns,
        evenly: Evenly,
        url: str,
        groups: OrderedDict[str, frozenset[str]],
        groupsURL: str = "",
        files: Sequence[KeptSecret] = (),
    ) -> None:
        """
        Make a checker.

        @param groups: of users who have logged in, where there is no C{groupsURL};
            filled by this.
        @param service: what is asked.
        @param files: the token.
        @param turns: of logins.
        @param groupTurns: of look-ups of groups, so that a flood of strangers' logins
            does not hold these up.
        """
        self.name = name
        self._service = service
        self._turns = turns
        self._groupTurns = groupTurns
        self._evenly = evenly
        self._url = url
        self._groupsURL = groupsURL
        self._groups = groups
        self._files = files

    def problems(self) -> list[str]:
        """As L{IReportingStore.problems}."""
        return [line for line in (each.problem() for each in self._files) if line]

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}."""
        return await askService(self._service, self._url, self._groupsURL)

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
            raise Refused(WRONG) from None
        if not secret:
            raise Refused(WRONG)
        answer = await self._service.ask(self._url, {"user": name, "password": secret})
        if answer.get("allow") is not True:
            raise Refused(WRONG)
        found, groups = _nameIn(answer, name), _groupsIn(answer)
        self._groups[found] = groups
        self._groups.move_to_end(found)
        if len(self._groups) > _REMEMBERED:
            self._groups.popitem(last=False)
        return found.encode()

    # Groups.

    def normal(self, name: str) -> str:
        """Return a group's name as it is: the service has the configuration's names."""
        return name

    def groupsOf(self, name: str) -> Deferred[frozenset[str] | None]:
        """
        As L{IGroupSource.groupsOf}.
        """
        return self._groupTurns.ask(partial(self._groupsOf, name))

    async def _groupsOf(self, name: str) -> frozenset[str] | None:
        if not self._groupsURL:
            return self._groups.get(name, frozenset())
        answer = await self._service.ask(self._groupsURL, {"user": name})
        if answer.get("known") is False:
            return None
        if answer.get("known") is not True:
            raise Unavailable("an answer without known")
        return _groupsIn(answer)


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


def httpChecker(settings: Settings, reactor: Any) -> HTTPChecker:
    """Make the checker that a table asks for."""
    settings.only(*HTTP)
    cleartext = settings.flag("cleartext")
    trust, peers = trustIn(settings), dict[str, TLSPeer]()
    url, groupsURL = urlIn(settings, "url", _RISK, cleartext, trust, peers), ""
    if "groups_url" in settings:
        groupsURL = urlIn(settings, "groups_url", _RISK, cleartext, trust, peers)
    timeout = settings.duration("timeout", 5.0, 60.0)
    connections = settings.number("connections", 8, 1, 64)
    token = settings.secret("token_file")
    return HTTPChecker(
        settings.name,
        JSONService(reactor, peers, connections, timeout, token),
        Turns(reactor, settings.name, connections, timeout),
        Turns(reactor, f"{settings.name} (groups)", connections, timeout),
        Evenly(reactor),
        url,
        # Of the latest logins: a reload takes no user's groups away.
        shared(("groups", reactor, url), OrderedDict[str, frozenset[str]]),
        groupsURL,
        settings.kept("token_file"),
    )
