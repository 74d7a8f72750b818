"""
Logging in by twisted.cred's Portal.

The throttle is asked before it, what it said is remembered, and directories add
groups.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, final

from attrs import evolve
from twisted.cred.checkers import (
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IAnonymous
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError

from socksgw.config.reserved import isLocal
from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IBearerToken, ISocksUser, User
from socksgw.login.changing import ChangingStores
from socksgw.login.checks import Checks, reportFailure
from socksgw.login.credentials import (
    claimed,
    isEmpty,
    isGuessable,
    passwordIn,
    strip,
)
from socksgw.login.groups import DirectoryGroups
from socksgw.login.inturn import InTurn
from socksgw.login.memory import Again, LoginMemory
from socksgw.login.realm import SocksRealm, SocksUser
from socksgw.login.refusal import WRONG, Barred, Refused
from socksgw.login.reports import reportedBy
from socksgw.login.tags import Tagging
from socksgw.login.throttle import LoginThrottle
from socksgw.login.tokens import NAMELESS
from socksgw.wire.address import Address

__all__ = ["Login"]


def _inOctets(checker: ICredentialsChecker) -> ICredentialsChecker:
    """
    Have a checker of C{memory:} compare octets, which is what clients send.

    Twisted keeps its users as text, and no password would match.
    """
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        checker.users = {
            _encoded(name): _encoded(password)
            for name, password in checker.users.items()
        }
    return checker


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _byInterface(
    checkers: Sequence[ICredentialsChecker],
) -> dict[Any, list[ICredentialsChecker]]:
    """Return the checkers of each kind of credentials, in their order."""
    able: dict[Any, list[ICredentialsChecker]] = {}
    for checker in checkers:
        for interface in checker.credentialInterfaces:
            able.setdefault(interface, []).append(_inOctets(checker))
    return able


#: Of credentials that were wrong a moment ago, for the journal.
_AGAIN: Final = "; the same ones as before: a program tries again and again with them"


def _throttled() -> AuthenticationFailed:
    return AuthenticationFailed(
        "throttled: too many logins failed, so this one was not checked",
        reason="throttled",
        counts=False,
    )


async def _ask(
    portal: Portal,
    stores: ChangingStores,
    memory: LoginMemory,
    key: object,
    credentials: Any,
    method: str,
) -> SocksUser:
    """Ask the Portal, and remember that it says yes."""
    stamps = stores.stamps
    user: Any
    _, user, _ = await portal.login(credentials, method, ISocksUser)
    found: SocksUser = user
    if found.anonymous and not IAnonymous.providedBy(credentials):
        # A checker has answered with the name of anonymous users.
        raise Refused("checker-failed")
    # Not what a store said that has changed in the meantime.
    if memory.seconds > 0 and stamps == stores.current():
        memory.wasRight(key, found)
    return found


def _fail(throttle: LoginThrottle | None, credentials: Any, source: Address) -> bool:
    """
    Count a failure.

    @return: whether it is an answer.
    """
    if throttle is None or isEmpty(credentials):
        return True
    name = claimed(credentials)
    if not name and IBearerToken.providedBy(credentials):
        # It claims to be nobody: its source alone counts.
        return throttle.failed(source, None)
    return throttle.failed(source, name, passwordIn(credentials))


def _rememberWrong(
    memory: LoginMemory,
    throttle: LoginThrottle | None,
    key: object,
    credentials: Any,
    refused: Refused,
) -> None:
    """
    Remember that credentials are wrong, for as long as that counts.

    Those of an account that may not log in now may be right: it counts again as soon
    as its state has changed.
    """
    if isinstance(refused, Barred):
        return
    if throttle is not None and not isEmpty(credentials) and not refused.final:
        memory.wasWrong(key, refused, throttle.window)


def _deserted(
    memory: LoginMemory,
    throttle: LoginThrottle | None,
    key: object,
    credentials: Any,
    source: Address,
    refused: Refused | None,
) -> None:
    """
    Count what became of a check that no client has waited for.

    @param refused: what it says; L{None} where it was given up.
    """
    if not isGuessable(credentials):
        return
    if refused is None:
        _fail(throttle, credentials, source)
    elif refused.counts:
        _rememberWrong(memory, throttle, key, credentials, refused)
        _fail(throttle, credentials, source)


@final
class Login:
    """
    The logins of one generation.

    Only the Portal says who a user is; what it said is remembered for a while.

    @ivar changes: how often a store has changed.
    @ivar checks: the checks under way.
    @ivar tagIn: cuts the tag off the name in credentials (L{Tagging.taken}).
    @ivar directory: the groups that are a directory's; L{None} where none are.
    """

    def __init__(
        self,
        checkers: Sequence[ICredentialsChecker],
        groups: Mapping[str, Iterable[str]],
        cacheSeconds: float,
        clock: Callable[[], float],
        throttle: LoginThrottle | None = None,
        directory: DirectoryGroups | None = None,
        others: Iterable[Any] = (),
        issued: Mapping[str, Iterable[str]] = MappingProxyType({}),
        wall: Callable[[], float] = time.time,
        words: Iterable[str] = (),
        separator: str = "",
    ) -> None:
        """
        Register the checkers.

        @param checkers: in the order in which they are asked.
        @param groups: the members of each group.
        @param cacheSeconds: how long a positive login is remembered.
        @param clock: monotonic seconds.
        @param throttle: counts the failures; by default none is counted.
        @param directory: the groups that are a directory's, if there are any.
        @param others: what else may have files to report on.
        @param issued: what tokens call each group.
        @param wall: seconds since the epoch.
        @param words: those for users and groups of this machine that rules name.
        @param separator: between the name of a user and a tag; empty for no tags.
        """
        self.directory = directory
        self._realm = SocksRealm(groups, issued, words)
        self.tagIn = Tagging(separator).taken
        self._separator = separator.encode()
        self._portal = Portal(self._realm)
        self._portal.registerChecker(AllowAnonymousAccess())
        for interface, able in _byInterface(checkers).items():
            self._portal.registerChecker(
                able[0] if len(able) == 1 else InTurn(able), interface
            )
        self._stores = ChangingStores(checkers, directory)
        self.changes = 0
        self._reporting = (*checkers, *others)
        self._clock = clock
        self._wall = wall
        self._memory = LoginMemory(cacheSeconds, clock, wall)
        self._throttle = throttle
        # Without a reference to this object: a generation that is over is freed at
        # once, and no garbage collection has to find it.
        self.checks = Checks(
            partial(_ask, self._portal, self._stores, self._memory),
            partial(_deserted, self._memory, throttle),
            throttle,
        )

    def inherit(self, before: Login) -> None:
        """
        Remember the logins that an earlier generation remembers.

        This is without effect when the stores have changed. A reload sends no password
        to be verified again. The groups are today's.
        """
        if before._stores.stamps == self._stores.stamps:
            self._memory.inherit(before._memory, self._here)

    def anybody(self, method: str) -> SocksUser | None:
        """
        Let a client in that a method lets in without a login.

        @return: L{None} where L{settle} has to be asked.
        """
        return None if self.directory is not None else self._memory.right(method)

    def known(
        self, name: bytes, password: bytes, method: str, source: Address
    ) -> SocksUser | None:
        """
        Log a client in whose password was right of late.

        @param name: as it came; with a tag, it is not looked for.
        @return: L{None} where L{settle} has to be asked.
        """
        throttle, memory = self._throttle, self._memory
        if self.directory is not None or name in NAMELESS:
            return None
        if self._separator and self._separator in name:
            return None
        if (
            throttle is not None
            and throttle.isAwake
            and throttle.refusing(source, name)
        ):
            return None
        user = memory.right(memory.digestOf(name, password, method))
        if user is not None and throttle is not None:
            throttle.succeeded(source, name)
        return user

    async def settle(self, credentials: Any, method: str, source: Address) -> SocksUser:
        """
        Log a client in.

        Equal credentials that are being checked already are not checked again. Those of
        a source that failed too often are not checked at all.

        @param method: the policy's name of the method.
        @param source: the client's address.
        @raise AuthenticationFailed: the Portal did not say yes; every cause looks the
            same to the client.
        """
        if self.directory is None and IAnonymous.providedBy(credentials):
            # There is nothing to guess, and no user to look up.
            known = self._memory.right(method)
            if known is not None:
                return known
        try:
            return await self._settle(credentials, method, source)
        finally:
            self.checks.release(credentials)

    async def _settle(
        self, credentials: Any, method: str, source: Address
    ) -> SocksUser:
        throttle, memory = self._throttle, self._memory
        if throttle is not None and self._refuses(credentials, source):
            await throttle.imitate(method)
            raise _throttled()
        began = 0.0
        key = None
        try:
            key = memory.digest(credentials, method)
            user = memory.right(key)
            if user is not None:
                self._succeeded(credentials, source)
                # What is remembered is without the directory's groups: these
                # have a time of their own.
                if self.directory is None:
                    return user
                user = await self._grouped(user)
                if self._here(user) is not None:
                    return user
                # Gone from the directory: not to be remembered any longer.
                memory.forget(key)
            if self._stores.blind and isGuessable(credentials):
                raise Refused("checker-failed")
            memory.wrong(key)
            began = self._clock()
            user = await self.checks.of(key, credentials, method, source)
            if user.expires is not None and self._wall() >= user.expires:
                # What a connection has proved counts as long as the proof.
                raise Refused("login-expired", "the login has expired")
        except CancelledError:
            raise
        except UnhandledCredentials:
            raise AuthenticationFailed(
                "no checker takes these credentials", reason="no-checker", counts=False
            ) from None
        except LoginFailed as e:
            strip(e)
            refused = e if isinstance(e, Refused) else Refused(WRONG)
            if isinstance(e, Again):
                assert throttle is not None
                await throttle.imitate(method)
                answered = _fail(self._throttle, credentials, source)
            elif refused.counts:
                _rememberWrong(self._memory, self._throttle, key, credentials, refused)
                answered = await self._count(credentials, method, source, began)
            else:
                answered = True
            if not answered:
                raise _throttled() from None
            why = f"{refused.why}{_AGAIN}" if isinstance(e, Again) else refused.why
            raise AuthenticationFailed(
                why, reason=refused.reason, counts=refused.counts
            ) from None
        except Exception as e:
            strip(e)
            reportFailure(e)
            raise AuthenticationFailed(
                "the credentials could not be checked",
                reason="checker-failed",
                counts=False,
            ) from None
        if throttle is not None and self._refuses(credentials, source):
            # So many failed while this was checked that even yes is no answer.
            await throttle.linger()
            raise _throttled()
        self._succeeded(credentials, source)
        return user if self.directory is None else await self._grouped(user)

    # Throttling.

    def _refuses(self, credentials: Any, source: Address) -> bool:
        throttle = self._throttle
        return (
            throttle is not None
            and throttle.isAwake
            and isGuessable(credentials)
            and throttle.refuses(source, claimed(credentials))
        )

    async def _count(
        self, credentials: Any, method: str, source: Address, began: float
    ) -> bool:
        """
        Count a check that failed.

        @return: whether it is an answer.
        """
        throttle = self._throttle
        if throttle is None:
            return True
        throttle.took(method, self._clock() - began)
        counted = _fail(self._throttle, credentials, source)
        if throttle.isAwake:
            await throttle.linger()
        return counted

    def _succeeded(self, credentials: Any, source: Address) -> None:
        if self._throttle is not None and isGuessable(credentials):
            self._throttle.succeeded(source, claimed(credentials))

    def failed(self, source: Address) -> None:
        """Count a client that a method has refused before the Portal was asked."""
        if self._throttle is not None:
            self._throttle.failed(source, None)

    # Users.

    async def _grouped(self, user: SocksUser) -> SocksUser:
        if self.directory is None or user.anonymous or isLocal(user.name):
            # Of this machine's users no directory knows anything.
            return user
        return (await self.directory.of(user.name)).joined(user)

    def now(self, user: User) -> User | None:
        """
        Return who a user is by now, with today's groups.

        @return: L{None} when every store and directory can tell, and says that
            there is no such user any more.
        """
        assert isinstance(user, SocksUser), "the Portal let them in"
        today = self._here(user)
        if (
            today is None
            or today is user
            or self.directory is None
            or isLocal(user.name)
        ):
            return today
        return self.directory.lately(user).joined(today)

    def remembers(self, user: User) -> bool:
        """Return whether a login counts later: no password does that is not kept."""
        assert isinstance(user, SocksUser), "the Portal let them in"
        return user.anonymous or user.proved or self._memory.seconds > 0

    async def again(self, user: User) -> User | None:
        """
        Return who a user is who goes on with an earlier login: as L{now}.

        Directories are asked where what they said does not count any more, as at a
        login, and nobody gets in while a store cannot be read that might know them.

        @return: L{None} also then.
        """
        assert isinstance(user, SocksUser), "the Portal let them in"
        if not self.remembers(user) or (
            self._stores.blind and not (user.anonymous or user.proved)
        ):
            return None
        directory = self.directory
        if directory is not None and not user.anonymous and not isLocal(user.name):
            await directory.again(user.name)
        return self.now(user)

    def gone(self, user: User) -> str:
        """Return why L{now} returns none for a user, as a clause."""
        barred = self.directory.barred(user.name) if self.directory is not None else ""
        return barred or "the user no longer exists"

    def _here(self, user: SocksUser) -> SocksUser | None:
        """As L{now}, without a directory's groups."""
        if user.anonymous:
            return user
        if user.named:
            # Of a proof a directory has made a name: it alone knows the user.
            if self.directory is not None and not self.directory.knows(user.name):
                return None
        elif (
            self._stores.complete
            and not user.proved
            and not self._stores.knows(user.name)
        ):
            return None
        groups = self._realm.groupsOf(user.name, user.issued)
        return evolve(user, groups=groups, unsure=frozenset(), doubt="")

    def look(self) -> None:
        """
        Forget what stores said that have changed.

        Called several times a second, so that a login costs no look at a file.
        """
        if self._stores.look():
            self._memory.clear(self._stores.altered)
            self.checks.part()
            self.changes += 1

    @property
    def problems(self) -> list[str]:
        """The lines of the stores, and of what else has files, that say what is wrong."""
        return reportedBy(self._reporting)
