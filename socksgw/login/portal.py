"""
The Portal, and the memory of positive logins.
"""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from traceback import clear_frames
from typing import Any, Final, NamedTuple, final

from attrs import evolve
from twisted.cred.checkers import (
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import (
    IChangingStore,
    IForgetful,
    IGroupSource,
    ISocksUser,
    IVerifiedIdentity,
    User,
)
from socksgw.login.groups import DirectoryGroups
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.inturn import InTurn
from socksgw.login.realm import SocksRealm, SocksUser
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.reports import reportedBy
from socksgw.login.throttle import LoginThrottle
from socksgw.wire.address import Address

__all__ = ["Login"]

_log = Logger()

#: Logins remembered at most.
_REMEMBERED: Final = 10_000


def _inOctets(checker: ICredentialsChecker) -> ICredentialsChecker:
    """
    Twisted's C{memory:} keeps its users as text, and what clients send are
    octets: without this nobody could log in.
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
    """
    Who takes which kind of credentials, in order.
    """
    able: dict[Any, list[ICredentialsChecker]] = {}
    for checker in checkers:
        for interface in checker.credentialInterfaces:
            able.setdefault(interface, []).append(_inOctets(checker))
    return able


def _guessable(credentials: Any) -> bool:
    """
    Whether trying often enough could help.
    """
    return not (
        IAnonymous.providedBy(credentials) or IVerifiedIdentity.providedBy(credentials)
    )


def _isEmpty(credentials: Any) -> bool:
    """
    Whether the password is empty: no guess. The checkers ask no store about it,
    so that nothing needs to be remembered of it.
    """
    return IUsernamePassword.providedBy(credentials) and not credentials.password


def _claimed(credentials: Any) -> bytes:
    """
    The name that was given; a checker may find it no name.
    """
    name = getattr(credentials, "username", b"")
    if isinstance(name, bytes):
        return name
    return str(name).encode("utf-8", "backslashreplace")


def _forget(credentials: Any) -> None:
    """Have credentials drop their secret."""
    if IForgetful.providedBy(credentials):
        credentials.forget()


def _strip(error: BaseException | None) -> None:
    """
    Cut an exception, and those in whose handling it was raised, from the
    frames that they went through: these hold a password, and with the
    exception in one of them a cycle that waits for the garbage collector.
    """
    while error is not None:
        # A Failure keeps the traceback, too.
        clear_frames(error.__traceback__)
        error.__traceback__ = None
        before = error.__context__
        error.__context__ = None
        error = before


def _mayKnow(store: Any, name: bytes) -> bool:
    """
    Whether there may be such a user: a store that cannot be read does not say
    that anybody is gone.
    """
    try:
        return bool(store.knows(name))
    except Exception as e:
        _log.error("a checker failed: {kind}", kind=type(e).__qualname__)
        return True


def _throttled() -> AuthenticationFailed:
    return AuthenticationFailed(
        "throttled: too many logins failed, so this one was not checked",
        reason="throttled",
        counts=False,
    )


class _Again(Refused):
    """
    A password that was wrong a moment ago. No store is asked twice about it:
    some lock an account after a few.
    """


class _Wrong(NamedTuple):
    """
    What is remembered of a wrong password.

    @ivar until: in monotonic seconds.
    """

    until: float
    reason: str
    why: str


class _Check:
    """
    A check of credentials that is under way, and who waits for it.
    """

    __slots__ = ("running", "waiting")

    running: Deferred[Any]

    def __init__(self) -> None:
        self.waiting: list[Deferred[SocksUser]] = []


@final
class Login:
    """
    Whether credentials are good. Only the Portal says yes; this remembers
    for a while that it did, by an HMAC of the whole credential.

    @ivar changes: how often a store has changed.
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
    ) -> None:
        """
        @param cacheSeconds: how long a positive login is remembered.
        @param clock: monotonic seconds.
        @param throttle: who counts the failures; by default nobody does.
        @param directory: the groups that are a directory's, if there are any.
        @param others: who else may have files to report on.
        """
        self.directory = directory
        self._realm = SocksRealm(groups)
        self._portal = Portal(self._realm)
        self._portal.registerChecker(AllowAnonymousAccess())
        for interface, able in _byInterface(checkers).items():
            self._portal.registerChecker(
                able[0] if len(able) == 1 else InTurn(able), interface
            )
        self._stores = [c for c in checkers if IChangingStore.providedBy(c)]
        asked = [c for c in checkers if not isinstance(c, VerifiedIdentities)]
        self._everyoneTells = bool(asked) and all(
            IChangingStore.providedBy(c)
            or (directory is not None and IGroupSource.providedBy(c))
            for c in asked
        )
        self.changes = 0
        self._blind = False
        self._stamps = self._look()
        self._reporting = (*checkers, *others)
        self._seconds = cacheSeconds
        self._clock = clock
        # Copied for each login: setting the key up costs more than the rest.
        self._hmac = hmac.new(os.urandom(32), digestmod="sha256")
        self._checks: dict[object, _Check] = {}
        # Credentials that are being checked, and whether their own client has
        # an answer, or is gone.
        self._lent: dict[int, bool] = {}
        self._known: OrderedDict[object, tuple[SocksUser, float]] = OrderedDict()
        self._wrong: OrderedDict[object, _Wrong] = OrderedDict()
        self._throttle = throttle

    def inherit(self, before: Login) -> None:
        """
        Remember the logins that an earlier one does, whose checkers are the
        same: a reload sends nobody's password to be verified again. The groups
        are today's.
        """
        if before._stamps != self._stamps:
            return
        self._hmac = before._hmac
        self._wrong.update(before._wrong)
        latest = self._clock() + self._seconds
        for key, (user, end) in before._known.items():
            found = self._here(user)
            if found is not None:
                self._known[key] = (found, min(end, latest))

    async def settle(self, credentials: Any, method: str, source: Address) -> SocksUser:
        """
        Log in. Equal credentials that are being checked already are not
        checked again; those of a source that failed too often are not checked
        at all.

        @param method: the policy's name of the method.
        @param source: the client's address.
        @raise AuthenticationFailed: the Portal did not say yes; every cause
            looks the same to the client.
        """
        if self.directory is None and IAnonymous.providedBy(credentials):
            # Nothing to guess, and nobody in particular.
            known = self._known.get(method)
            if known is not None:
                return known[0]
        try:
            return await self._settle(credentials, method, source)
        finally:
            if id(credentials) in self._lent:
                # A check goes on with them, for others who wait for it.
                self._lent[id(credentials)] = True
            else:
                _forget(credentials)

    async def _settle(
        self, credentials: Any, method: str, source: Address
    ) -> SocksUser:
        throttle = self._throttle
        if throttle is not None and self._refuses(credentials, source):
            await throttle.imitate(method)
            raise _throttled()
        began = 0.0
        key = None
        try:
            key = self._digest(credentials, method)
            known = self._known.get(key)
            # Nobody in particular stays that; no store has a say in it.
            if known is not None and (key == method or self._clock() < known[1]):
                self._succeeded(credentials, source)
                # What is remembered is without the directory's groups: these
                # have a time of their own.
                user = known[0]
                if self.directory is None:
                    return user
                user = await self._grouped(user)
                if self._here(user) is not None:
                    return user
                # Gone from the directory: not to be remembered any longer.
                self._known.pop(key, None)
            if self._blind and _guessable(credentials):
                raise Refused("checker-failed")
            again = self._wrong.get(key)
            if again is not None and self._clock() < again.until:
                raise _Again(again.reason, again.why, True)
            began = self._clock()
            if key is None:
                user = await self._askAlone(credentials, method, source)
            else:
                user = await self._share(key, credentials, method, source)
        except CancelledError:
            raise
        except UnhandledCredentials:
            raise AuthenticationFailed(
                "no checker takes these credentials", reason="no-checker", counts=False
            ) from None
        except LoginFailed as e:
            _strip(e)
            refused = e if isinstance(e, Refused) else Refused(WRONG)
            if isinstance(e, _Again):
                assert throttle is not None
                await throttle.imitate(method)
                answered = self._fail(credentials, source)
            elif refused.counts:
                if not _isEmpty(credentials):
                    self._rememberWrong(key, refused)
                answered = await self._count(credentials, method, source, began)
            else:
                answered = True
            if not answered:
                raise _throttled() from None
            raise AuthenticationFailed(
                refused.why, reason=refused.reason, counts=refused.counts
            ) from None
        except Exception as e:
            # Neither the text nor the traceback: both may hold a secret.
            _strip(e)
            _log.error("a checker failed: {kind}", kind=type(e).__qualname__)
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
            and bool(throttle.past)
            and _guessable(credentials)
            and throttle.refuses(source, _claimed(credentials))
        )

    async def _count(
        self, credentials: Any, method: str, source: Address, began: float
    ) -> bool:
        """
        A check failed.

        @return: whether it is an answer.
        """
        throttle = self._throttle
        if throttle is None:
            return True
        throttle.took(method, self._clock() - began)
        counted = self._fail(credentials, source)
        if throttle.past:
            await throttle.linger()
        return counted

    def _fail(self, credentials: Any, source: Address) -> bool:
        """
        Count a failure. An empty password is no guess: clients send one that
        offer a password always, and have none.

        @return: whether it is an answer.
        """
        throttle = self._throttle
        if throttle is None:
            return True
        if _isEmpty(credentials):
            return True
        password = None
        if IUsernamePassword.providedBy(credentials):
            password = credentials.password
        return throttle.failed(source, _claimed(credentials), password)

    def _succeeded(self, credentials: Any, source: Address) -> None:
        if self._throttle is not None and _guessable(credentials):
            self._throttle.succeeded(source, _claimed(credentials))

    def _rememberWrong(self, key: object, refused: Refused) -> None:
        """
        Remember that a password is wrong, for as long as it counts.
        """
        if key is None or self._throttle is None:
            return
        # Not the exception: its traceback leads to the password.
        until = self._clock() + self._throttle.window
        self._wrong[key] = _Wrong(until, refused.reason, refused.why)
        self._wrong.move_to_end(key)
        if len(self._wrong) > _REMEMBERED:
            self._wrong.popitem(last=False)

    def failed(self, source: Address) -> None:
        """
        A method refused a client of its own accord, before the Portal was
        asked.
        """
        if self._throttle is not None:
            self._throttle.failed(source, None)

    def _abandoned(self, credentials: Any, source: Address) -> None:
        """
        The last who waited for a check is gone: a try all the same, or hashing
        would be free for those who do not wait for the answer.
        """
        if self._throttle is not None and _guessable(credentials):
            self._throttle.failed(source, _claimed(credentials))

    # Checking.

    async def _askAlone(
        self, credentials: Any, method: str, source: Address
    ) -> SocksUser:
        """
        One check of what must not be remembered.
        """
        try:
            return await self._ask(credentials, method)
        except CancelledError:
            self._abandoned(credentials, source)
            raise

    def _share(
        self, key: object, credentials: Any, method: str, source: Address
    ) -> Deferred[SocksUser]:
        """
        One check for all who wait for the same; given up when nobody does.
        """
        check = self._checks.get(key)
        fresh = check is None
        if check is None:
            check = self._checks[key] = _Check()

        def gone(waiting: Deferred[SocksUser]) -> None:
            check.waiting.remove(waiting)
            if not check.waiting:
                if self._checks.get(key) is check:
                    del self._checks[key]
                check.running.cancel()
                self._abandoned(credentials, source)

        answer: Deferred[SocksUser] = Deferred(gone)
        check.waiting.append(answer)
        if fresh:
            check.running = Deferred.fromCoroutine(
                self._remember(key, credentials, method)
            )
            check.running.addBoth(self._settled, key, check)
        return answer

    async def _remember(self, key: object, credentials: Any, method: str) -> SocksUser:
        stamps = self._stamps
        self._lent[id(credentials)] = False
        try:
            user = await self._ask(credentials, method)
        finally:
            if self._lent.pop(id(credentials)):
                _forget(credentials)
        # Not what a store said that has changed in the meantime.
        if self._seconds > 0 and stamps == self._look():
            self._known[key] = (user, self._clock() + self._seconds)
            self._known.move_to_end(key)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return user

    def _settled(self, result: SocksUser | Failure, key: object, check: _Check) -> None:
        if self._checks.get(key) is check:
            del self._checks[key]
        while check.waiting:
            each = check.waiting.pop(0)
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(result)

    async def _ask(self, credentials: Any, method: str) -> SocksUser:
        user: Any
        _, user, _ = await self._portal.login(credentials, method, ISocksUser)
        found: SocksUser = user
        if found.anonymous and not IAnonymous.providedBy(credentials):
            # Some checker has answered with nobody's name.
            raise Refused("checker-failed")
        return found

    async def _grouped(self, user: SocksUser) -> SocksUser:
        if self.directory is None or user.anonymous:
            return user
        return (await self.directory.of(user.name)).joined(user)

    def now(self, user: User) -> User | None:
        """
        Who a user is by now: with today's groups, or L{None} when every store
        and directory can tell, and says that there is no such user any more.
        """
        assert isinstance(user, SocksUser), "the Portal let them in"
        today = self._here(user)
        if today is None or today is user or self.directory is None:
            return today
        return self.directory.lately(user).joined(today)

    def _here(self, user: SocksUser) -> SocksUser | None:
        """
        As L{now}, without a directory's groups.
        """
        if user.anonymous:
            return user
        if user.named:
            # Of a proof a directory has made a name: it alone knows the user.
            if self.directory is not None and not self.directory.knows(user.name):
                return None
        elif self._everyoneTells and not user.proved and not self._knows(user.name):
            return None
        groups = self._realm.groupsOf(user.name)
        return evolve(user, groups=groups, unsure=frozenset(), doubt="")

    def _knows(self, name: str) -> bool:
        octets = name.encode()
        return any(_mayKnow(store, octets) for store in self._stores) or (
            self.directory is not None and self.directory.knows(name)
        )

    def look(self) -> None:
        """
        Forget what stores said that have changed. Called several times a
        second, so that a login costs no look at a file.
        """
        stamps = self._look()
        if stamps != self._stamps:
            # Checks under way end for those who wait, and for nobody else.
            self._known.clear()
            self._wrong.clear()
            self._checks.clear()
            self._stamps = stamps
            self.changes += 1

    @property
    def problems(self) -> list[str]:
        """What the stores, and whatever else has files, say is wrong with them."""
        return reportedBy(self._reporting)

    def _look(self) -> list[object]:
        """
        The stores' stamps. While one cannot be had, nobody is let in whom a
        store has to know.
        """
        try:
            stamps = [store.stamp() for store in self._stores]
        except Exception as e:
            if not self._blind:
                _log.error("a checker failed: {kind}", kind=type(e).__qualname__)
            self._blind = True
            return []
        self._blind = False
        return stamps

    def _digest(self, credentials: Any, method: str) -> object:
        """
        What a credential is remembered by; L{None} when it must not be.
        """
        if IAnonymous.providedBy(credentials):
            return method
        if IUsernamePassword.providedBy(credentials):
            name, password = credentials.username, credentials.password
            digest = self._hmac.copy()
            digest.update(b"%d:%d:%b" % (len(name), len(password), name))
            # By itself: joined it would be one more copy in memory.
            digest.update(password)
            digest.update(method.encode())
            return digest.digest()
        return None
