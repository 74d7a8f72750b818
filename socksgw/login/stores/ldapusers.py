"""
The C{ldap} checker: whom a directory knows, and which groups they are in.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar, final

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    IGroupCatalogue,
    ILockingStore,
    INamingStore,
    IProbed,
    IReportingStore,
)
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.stores.ldapaccounts import Accounts, Search
from socksgw.login.stores.ldapgroups import (
    GroupNames,
    byMembers,
    byToken,
    lockoutOf,
)
from socksgw.login.stores.ldaplinks import (
    Entry,
    Link,
    NotServed,
    ResultError,
    TooMany,
    TooMuch,
)
from socksgw.login.stores.ldapnames import ANYTHING, fillDN
from socksgw.login.stores.ldapservers import Links, Naming, Server, Servers
from socksgw.login.stores.remote import Evenly, Turns, Unavailable, nameOf
from socksgw.login.stores.sids import isSID
from socksgw.system.keptsecret import KeptSecret

__all__ = ["Directory", "LDAPChecker"]

_log = Logger()

T = TypeVar("T")

#: What a directory answers to a bind that is simply refused: no such object,
#: bad syntax of a name, wrong kind, wrong password, no rights, unwilling (a
#: locked account, say), a constraint (RFC 4511 section 4.1.9).
_WRONG: Final = frozenset({19, 32, 34, 48, 49, 50, 53})


@frozen
class Directory:
    """
    Where a directory has its users, and how they are found.

    @ivar accounts: find a user, unless C{userDN} says where it is.
    @ivar userDN: with C{{user}}.
    @ivar ownFilter: whether the configuration has a filter for groups.
    """

    base: str
    accounts: Accounts
    userDN: str
    groupBase: str
    groupFilter: Any
    ownFilter: bool


@implementer(
    ICredentialsChecker,
    IGroupCatalogue,
    ILockingStore,
    INamingStore,
    IProbed,
    IReportingStore,
)
@final
class LDAPChecker:
    """
    Log users in by a bind as the user.

    That is done on connections of its own; groups are found by a service account.

    The name of a user is what the directory has, however the client spelled it: a
    directory takes C{ALICE} for C{alice}, and a policy does not.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self,
        name: str,
        reactor: Any,
        servers: Sequence[Server] | Naming,
        directory: Directory,
        become: Callable[[Link], Awaitable[None]] | None,
        timeout: float = 5.0,
        connections: int = 8,
        files: Sequence[KeptSecret] = (),
        service: Sequence[Server] | Naming | None = None,
    ) -> None:
        """
        Make a checker.

        @param become: logs a connection in as the service account; L{None} to ask
            anonymously.
        @param timeout: seconds for one login, or one user's groups.
        @param connections: in use at a time by logins, and as many by look-ups of
            groups, so that a flood of strangers' logins does not hold these up.
        @param files: the secrets of the service account.
        @param service: the servers, as the service account comes to them, where that
            is another way than users' passwords take.
        """
        self.name = name
        self._reactor = reactor
        self._directory = directory
        self._accounts = directory.accounts
        self._become = become
        self._timeout = timeout
        self._evenly = Evenly(reactor)
        self._turns = Turns(reactor, name, connections, timeout)
        self._groupTurns = Turns(reactor, f"{name} (groups)", connections, timeout)
        self._ways = self._servers = Servers(reactor, servers)
        if service is not None and service != servers:
            self._servers = Servers(reactor, service)
        self._service = Links(self._servers, self._becomeService)
        self._users = Links(self._ways, Link.hello)
        self._names = GroupNames()
        self._files = files
        self._seen = self._active = False
        self._tries: int | None = None
        # A bind as a user who does not exist: a refusal costs the same for each name.
        self._nobody = f"cn={secrets.token_hex(16)},{directory.base or 'dc=nowhere'}"

    def problems(self) -> list[str]:
        """As L{IReportingStore.problems}."""
        return [line for line in (each.problem() for each in self._files) if line]

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}: each server is asked."""
        from socksgw.login.stores.ldapprobe import askServers, greetServers

        async def look(link: Link) -> frozenset[str]:
            await self._accounts.learn(link)
            await self._names.look(link)
            return self._names.missing

        base, name = self._directory.base, self._accounts.attributes[0]
        # A template finds users without a search; groups need one all the same.
        lenient = self._become is None and bool(self._directory.userDN)
        found = await askServers(self._servers, self._become, base, name, look, lenient)
        if self._ways is not self._servers:
            found = [*found, *await greetServers(self._ways)]
        return found

    # Logging in.

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        @return: fires with the name; fails with L{Refused}.
        """
        name, password = credentials.username, credentials.password
        return self._evenly(self._turns.ask(partial(self._logIn, name, password)))

    async def _logIn(self, username: bytes, password: bytes) -> bytes | tuple[()]:
        name = nameOf(username)
        if not password:
            # Most directories would take that for a bind of nobody, and agree
            # (RFC 4513 section 5.1.2).
            raise Refused(WRONG)
        until = self._reactor.seconds() + self._timeout
        if self._directory.userDN:
            dn = fillDN(self._directory.userDN, name)
            login = partial(self._bindAndRead, dn, password)
            found: Entry | None = await self._users.run(login, until)
        else:
            found = await self._one(self._accounts.asSaid, name, until)
            dn = self._nobody if found is None else found.dn
            await self._users.run(partial(self._bind, dn, password), until)
        if found is None:
            # The directory has let in the name that no user can have.
            raise Refused(WRONG)
        return self._nameAllowed(found).encode()

    async def _bind(self, dn: str, password: bytes, link: Link) -> None:
        try:
            await link.bind(dn, password)
        except ResultError as e:
            if e.code in _WRONG or e.state:
                raise self._accounts.refused(e) or Refused(WRONG) from None
            # Of this account, maybe, and not of the server.
            raise Unavailable(f"a user's bind: {e}", alone=True) from None

    async def _bindAndRead(self, dn: str, password: bytes, link: Link) -> Entry | None:
        """
        Without a search before: users read their own names.
        """
        await self._bind(dn, password, link)
        found = await self._read(dn, link)
        if found is None:
            names = ", ".join(self._accounts.attributes)
            raise Unavailable(f"a user may not read their own {names}", alone=True)
        return found

    async def _read(self, dn: str, link: Link) -> Entry | None:
        try:
            found = await link.search(dn, False, ANYTHING, self._accounts.attributes, 1)
        except ResultError as e:
            if e.code in _WRONG:
                return None
            raise
        return found[0] if found else None

    def _nameAllowed(self, entry: Entry) -> str:
        """
        Return the name of a user.

        @raise Refused: it cannot be told, or they may not log in.
        """
        name = self._accounts.nameIn(entry)
        barred = self._accounts.barred(entry)
        if barred is not None:
            raise barred
        return name

    # Finding.

    async def _becomeService(self, link: Link) -> None:
        if self._become is not None:
            try:
                await self._become(link)
            except ResultError as e:
                raise NotServed(f"the service account is refused: {e}") from None
        if not self._seen:
            lockout = await lockoutOf(link)
            self._seen, self._active = True, lockout is not None
            self._compare(lockout or 0)
        await self._accounts.learn(link)

    def tries(self, perUser: int) -> None:
        """
        As L{ILockingStore.tries}.
        """
        self._tries = perUser

    def _compare(self, lockout: int) -> None:
        tries = self._tries
        if lockout and tries is not None and (not tries or tries >= lockout):
            _log.warn(
                "{name} locks an account after {lockout} wrong passwords, and "
                "auth.throttle.per_user is {tries}: guesses by this gateway's clients "
                "can lock users out of everything; set per_user below {lockout}",
                name=self.name,
                lockout=lockout,
                tries=tries,
            )

    async def _one(
        self, searches: Callable[[str], Sequence[Search]], name: str, until: float
    ) -> Entry | None:
        """
        Return the one user that the first of some searches finds which finds any.

        @raise Refused: it finds several, or the directory does not say.
        """

        async def find(link: Link) -> list[Entry]:
            for base, node in searches(name):
                found = await link.search(base, True, node, attributes, 2)
                if found:
                    return found
            return []

        attributes = self._accounts.attributes

        found: list[Entry] | None
        try:
            found = await self._service.run(find, until)
        except ResultError as e:
            raise Unavailable(f"looking for a user: {e}") from None
        except TooMany:
            found = None
        except TooMuch as e:
            raise Unavailable(f"looking for a user: {e}", alone=True) from None
        if found is None or len(found) > 1:
            raise Refused(
                "ambiguous", "user_filter finds several entries for one name", True
            )
        return found[0] if found else None

    async def _named(self, name: str, until: float) -> Entry | None:
        """
        Return the user who has this name here.

        @raise Refused: as L{_one}.
        """
        found = await self._found(self._accounts.asNamed, name, until)
        if found is None or self._accounts.nameIn(found) != name:
            return None
        return found

    async def _found(
        self, searches: Callable[[str], Sequence[Search]], name: str, until: float
    ) -> Entry | None:
        if self._directory.userDN:
            dn = fillDN(self._directory.userDN, name)
            return await self._service.run(partial(self._read, dn), until)
        return await self._one(searches, name, until)

    # Names.

    def canonicalName(self, name: str) -> Deferred[str | None]:
        """
        As L{INamingStore.canonicalName}: found as at a login by password.
        """
        return self._turns.ask(partial(self._canonicalName, name))

    async def _canonicalName(self, name: str) -> str | None:
        until = self._reactor.seconds() + self._timeout
        found = await self._found(self._accounts.asSaid, name, until)
        return None if found is None else self._nameAllowed(found)

    # Groups.

    def normal(self, name: str) -> str:
        """
        Return the normal form of a group's distinguished name or security identifier.

        @raise ValueError: it is neither, or is not looked for here.
        """
        if self._directory.ownFilter and isSID(name):
            raise ValueError(
                f'"{name}": group_filter finds groups by their distinguished names'
            )
        return self._names.expect(name)

    def groupsOf(self, name: str) -> Deferred[frozenset[str] | None]:
        """
        As L{IGroupCatalogue.groupsOf}.
        """
        return self._groupTurns.ask(partial(self._groupsOf, name))

    async def _groupsOf(self, name: str) -> frozenset[str] | None:
        until = self._reactor.seconds() + self._timeout
        user = await self._named(name, until)
        if user is None:
            return None
        barred = self._accounts.barred(user)
        if barred is not None:
            raise barred
        return await self._asService(partial(self._groupsAt, user.dn, name), until)

    async def _asService(self, work: Callable[[Link], Awaitable[T]], until: float) -> T:
        try:
            return await self._service.run(work, until)
        except (ResultError, TooMuch) as e:
            alone = isinstance(e, TooMuch)
            raise Unavailable(f"looking for groups: {e}", alone) from None

    async def _groupsAt(self, dn: str, name: str, link: Link) -> frozenset[str]:
        directory = self._directory
        if self._active and not directory.ownFilter:
            return await byToken(link, self._names, dn)
        return await byMembers(
            link, directory.groupBase, directory.groupFilter, dn, name
        )

    def missing(self) -> Deferred[frozenset[str]]:
        """
        As L{IGroupCatalogue.missing}.
        """
        return self._groupTurns.ask(self._missing)

    async def _missing(self) -> frozenset[str]:
        until = self._reactor.seconds() + self._timeout
        await self._asService(self._names.look, until)
        return self._names.missing
