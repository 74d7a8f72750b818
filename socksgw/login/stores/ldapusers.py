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
from socksgw.login.stores.ldapgroups import (
    ANYTHING,
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
from socksgw.login.stores.ldapnames import (
    fill,
    fillAs,
    fillDN,
    firstOf,
)
from socksgw.login.stores.ldapservers import Links, Server, Servers
from socksgw.login.stores.remote import Evenly, Turns, Unavailable, nameOf
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

    @ivar userFilter: finds a user; L{None} where C{userDN} says it.
    @ivar userDN: with C{{user}}.
    @ivar userName: the attribute that holds a user's one name.
    @ivar ownFilter: whether the configuration has a filter for groups.
    """

    base: str
    userFilter: Any
    userDN: str
    userName: str
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
        servers: Sequence[Server],
        directory: Directory,
        become: Callable[[Link], Awaitable[None]] | None,
        timeout: float = 5.0,
        connections: int = 8,
        files: Sequence[KeptSecret] = (),
        service: Sequence[Server] = (),
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
        self._become = become
        self._timeout = timeout
        self._evenly = Evenly(reactor)
        self._turns = Turns(reactor, name, connections, timeout)
        self._groupTurns = Turns(reactor, f"{name} (groups)", connections, timeout)
        self._ways = self._servers = Servers(reactor, servers)
        if service and service != servers:
            self._servers = Servers(reactor, service)
        self._service = Links(self._servers, self._becomeService)
        self._users = Links(self._ways, Link.hello)
        self._names = GroupNames()
        self._files = files
        self._seen = self._active = False
        self._tries: int | None = None
        # A bind as a user who does not exist: a refusal costs the same for each name.
        self._nobody = f"cn={secrets.token_hex(16)},{directory.base}"

    def problems(self) -> list[str]:
        """As L{IReportingStore.problems}."""
        return [line for line in (each.problem() for each in self._files) if line]

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}: each server is asked."""
        from socksgw.login.stores.ldapprobe import askServers, greetServers

        async def look(link: Link) -> frozenset[str]:
            await self._names.look(link)
            return self._names.missing

        base, name = self._directory.base, self._userName
        # A template finds users without a search; groups need one all the same.
        lenient = self._become is None and self._directory.userFilter is None
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
        if self._directory.userFilter is None:
            dn = fillDN(self._directory.userDN, name)
            login = partial(self._bindAndRead, dn, password)
            found: Entry | None = await self._users.run(login, until)
        else:
            node = fill(self._directory.userFilter, user=name)
            found = await self._one(node, until)
            dn = self._nobody if found is None else found.dn
            await self._users.run(partial(self._bind, dn, password), until)
        if found is None:
            # The directory has let in the name that no user can have.
            raise Refused(WRONG)
        return self._nameIn(found).encode()

    async def _bind(self, dn: str, password: bytes, link: Link) -> None:
        try:
            await link.bind(dn, password)
        except ResultError as e:
            if e.code in _WRONG:
                raise Refused(WRONG) from None
            # Of this account, maybe, and not of the server.
            raise Unavailable(f"a user's bind: {e}", alone=True) from None

    async def _bindAndRead(self, dn: str, password: bytes, link: Link) -> Entry | None:
        """
        Without a search before: users read their own names.
        """
        await self._bind(dn, password, link)
        found = await self._read(dn, link)
        if found is None:
            raise Unavailable(
                f"a user may not read their own {self._userName}", alone=True
            )
        return found

    async def _read(self, dn: str, link: Link) -> Entry | None:
        try:
            found = await link.search(dn, False, ANYTHING, (self._userName,), 1)
        except ResultError as e:
            if e.code in _WRONG:
                return None
            raise
        return found[0] if found else None

    @property
    def _userName(self) -> str:
        return self._directory.userName

    def _nameIn(self, entry: Entry) -> str:
        """
        Return the user's one name.

        That is the attribute's only value, or of several the one in the distinguished
        name.

        @raise Refused: it cannot be told.
        """
        attribute = self._userName
        values = entry.values.get(attribute.lower(), ())
        names = [nameOf(value) for value in values]
        if len(names) == 1:
            return names[0]
        if not names:
            raise Unavailable(
                f"an entry without {attribute}, or one that may not be read; name "
                "an attribute that everybody has as user_name",
                alone=True,
            )
        first = firstOf(entry.dn, attribute)
        if first in names:
            return first
        raise Refused(
            "ambiguous",
            f"an entry with {len(names)} values of {attribute}, so that one user "
            "would have several names; name an attribute of one value as user_name",
            counts=True,
        )

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

    async def _one(self, node: Any, until: float) -> Entry | None:
        """
        Return the one user that a filter finds.

        @raise Refused: there are several, or the directory does not say.
        """

        async def find(link: Link) -> list[Entry]:
            return await link.search(
                self._directory.base, True, node, (self._userName,), 2
            )

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
        directory = self._directory
        if directory.userFilter is None:
            dn = fillDN(directory.userDN, name)
            found = await self._service.run(partial(self._read, dn), until)
        else:
            # With its other conditions: a disabled account is not found.
            node = fillAs(directory.userFilter, self._userName, name)
            found = await self._one(node, until)
        return None if found is None or self._nameIn(found) != name else found

    # Names.

    def canonicalName(self, name: str) -> Deferred[str | None]:
        """
        As L{INamingStore.canonicalName}: found as at a login by password.
        """
        return self._turns.ask(partial(self._canonicalName, name))

    async def _canonicalName(self, name: str) -> str | None:
        until = self._reactor.seconds() + self._timeout
        if self._directory.userFilter is None:
            dn = fillDN(self._directory.userDN, name)
            found = await self._service.run(partial(self._read, dn), until)
        else:
            node = fill(self._directory.userFilter, user=name)
            found = await self._one(node, until)
        return None if found is None else self._nameIn(found)

    # Groups.

    def normal(self, name: str) -> str:
        """Return the normal form of a group's distinguished name."""
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
