"""
The Portal: who is let in, what is remembered of it, and what is never said.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from twisted.cred.checkers import (
    ANONYMOUS,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import (
    Anonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernamePassword,
)
from twisted.cred.error import LoginFailed, UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IForgetful, ISocksUser
from socksgw.login.groups import Membership
from socksgw.login.portal import Login
from socksgw.login.realm import ANYBODY, SocksRealm, SocksUser
from socksgw.login.refusal import Refused
from socksgw.login.stores.remote import Unavailable
from tests.login.logins import (
    GROUPS,
    HERE,
    ChangingChecker,
    Checker,
    alice,
    login,
    settled,
    settling,
)

CANARY = "canary-9c1e"


@implementer(ICredentialsChecker)
class Answering:
    """Answers with what it was made with."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def requestAvatarId(self, credentials: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def everything(events: Any) -> str:
    """All that anybody could make of these events, tracebacks included."""
    return "\n".join(f"{event!r}\n{eventAsText(event)}" for event in events)


# Who is let in.


def test_user() -> None:
    """A user has the name, the groups of the configuration, and the method."""
    user = settled(login(Checker(alice=b"sesame")), alice())
    assert user == SocksUser("alice", frozenset({"staff", "admins"}), "userpass")
    assert ISocksUser.providedBy(user)
    stranger = settled(login(Checker(carol=b"x")), UsernamePassword(b"carol", b"x"))
    assert stranger.groups == frozenset()


@pytest.mark.parametrize(
    "credentials",
    [
        alice(b"Sesame"),
        alice(b""),
        UsernamePassword(b"alicE", b"sesame"),
        UsernamePassword(b"", b""),
        UsernamePassword(b"carol", b"sesame"),
    ],
)
def test_wrong(credentials: UsernamePassword) -> None:
    """Whatever is wrong, it is the same for the client: no word of a reply."""
    failure = settled(login(Checker(alice=b"sesame")), credentials)
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reply is None
    assert failure.reason == "wrong-credentials"
    assert str(failure) == "wrong credentials"


def test_noneIsAnonymous() -> None:
    """C{none} never logs anyone in: the user is anonymous, in no group."""
    user = settled(login(Checker(alice=b"sesame")), Anonymous(), "none")
    assert user == ANYBODY == SocksUser("anonymous", frozenset(), "none")
    assert settled(login(), Anonymous(), "none") is ANYBODY


def test_nobodyByAnotherMethod() -> None:
    """A method that logs nobody in is the one that rules and records name."""
    user = settled(login(), Anonymous(), "guest")
    assert (user.name, user.method, user.anonymous) == ("anonymous", "guest", True)
    assert not settled(login(Answering(b"alice")), alice()).anonymous


def test_aCheckerThatAnswersWithNobody() -> None:
    """Credentials that name somebody are never nobody's, whatever it answers."""
    failure = settled(login(Answering(ANONYMOUS)), alice())
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reason == "checker-failed"


@pytest.mark.parametrize("name", ["", "anonymous", "users", "@staff", "@"])
@pytest.mark.parametrize("octets", [True, False])
def test_reservedNames(name: str, octets: bool) -> None:
    """
    Nobody logs in under a name that means something else in a policy, even if
    a checker says that they may.
    """
    checker = Answering(succeed(name.encode() if octets else name))
    failure = settled(login(checker), alice())
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reason == "wrong-credentials"


def test_membersOfReservedNames() -> None:
    """Groups with an odd member change nothing of that."""
    realm = SocksRealm({"staff": ["anonymous", "users"]})
    _, user, logout = realm.requestAvatar(ANONYMOUS, "none", ISocksUser)
    assert user.groups == frozenset()
    logout()
    with pytest.raises(UnauthorizedLogin):
        realm.requestAvatar(b"anonymous", "userpass", ISocksUser)


def test_realmKnowsOneInterface() -> None:
    """Twisted's contract: an unknown interface is NotImplementedError."""
    with pytest.raises(NotImplementedError):
        SocksRealm({}).requestAvatar(b"alice", "userpass", ICredentials)


def test_namesAreToldApart() -> None:
    """Octets that are no text do not become another user's name."""
    realm = SocksRealm({"staff": ["�", "?", ""]})
    _, user, _ = realm.requestAvatar(b"\xff", "userpass", ISocksUser)
    assert user.groups == frozenset()
    _, other, _ = realm.requestAvatar(b"\xfe", "userpass", ISocksUser)
    assert user.name != other.name


def test_noChecker() -> None:
    """Credentials that no checker takes are not good."""
    failure = settled(login(), alice())
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reason == "no-checker"


def test_anyCheckerOfTwisted() -> None:
    """A checker that knows nothing of this gateway works."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame")
    assert settled(login(checker), alice()).name == "alice"
    assert isinstance(settled(login(checker), alice(b"x")), AuthenticationFailed)


# What is remembered.


def test_remembered() -> None:
    """A positive login is remembered until its time is over, by the clock."""
    clock, checker = Clock(), Checker(alice=b"sesame")
    remembering = login(checker, clock=clock, seconds=60)
    first = settled(remembering, alice())
    clock.advance(59.9)
    assert settled(remembering, alice()) == first
    assert checker.asked == 1
    clock.advance(0.2)
    assert settled(remembering, alice()) == first
    assert checker.asked == 2
    # Being used does not prolong it: remembered anew for as long.
    clock.advance(59)
    settled(remembering, alice())
    assert checker.asked == 2


def test_notRemembered() -> None:
    """C{cache = 0} remembers nothing."""
    checker = Checker(alice=b"sesame")
    forgetting = login(checker, seconds=0)
    settled(forgetting, alice())
    settled(forgetting, alice())
    assert checker.asked == 2


@pytest.mark.parametrize(
    ("name", "password", "method"),
    [
        (b"alice", b"Sesame", "userpass"),
        (b"alice", b"", "userpass"),
        (b"alices", b"esame", "userpass"),
        (b"alic", b"esesame", "userpass"),
        (b"alicesesame", b"", "userpass"),
        (b"", b"alicesesame", "userpass"),
        (b"alice", b"sesameuserpass", ""),
        (b"alice", b"sesame", "other"),
        (b"alice5:6:", b"sesame", "userpass"),
    ],
)
def test_wholeCredential(name: bytes, password: bytes, method: str) -> None:
    """It is remembered by the whole credential: any other is asked about."""
    checker = Checker(alice=b"sesame")
    remembering = login(checker)
    settled(remembering, alice())
    settled(remembering, UsernamePassword(name, password), method)
    assert checker.asked == 2


def test_failuresAreNotRemembered() -> None:
    """What was wrong is asked about again: it may have become right."""
    checker = Checker()
    remembering = login(checker)
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)
    checker.known[b"alice"] = b"sesame"
    assert settled(remembering, alice()).name == "alice"
    # And what is remembered as right does not make another right.
    assert isinstance(settled(remembering, alice(b"x")), AuthenticationFailed)
    assert checker.asked == 3


def test_flushedWhenTheStoreChanges() -> None:
    """A change of a store makes everything forgotten."""
    checker, other = ChangingChecker(alice=b"sesame"), Checker()
    remembering = login(other, checker)
    settled(remembering, alice())
    settled(remembering, alice())
    assert checker.asked == 1
    del checker.known[b"alice"]
    checker.changes = 1
    remembering.look()
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)
    checker.changes = 0
    remembering.look()
    assert remembering.changes == 2
    assert isinstance(settled(remembering, alice()), AuthenticationFailed)


class KnowingChecker(ChangingChecker):
    """One that knows who is there."""

    def knows(self, name: bytes) -> bool:
        return name in self.known


def test_inherited() -> None:
    """
    What an earlier one remembers is known to the next, with the groups of its
    own, and for no longer than it remembers itself.
    """
    checker, clock = KnowingChecker(alice=b"sesame", bob=b"x"), Clock()
    before = login(checker, clock=clock)
    settled(before, alice())
    settled(before, UsernamePassword(b"bob", b"x"))
    settled(before, Anonymous(), "none")
    del checker.known[b"bob"]
    after = Login([checker], {"new": ["alice"]}, 30, clock.seconds)
    after.inherit(before)
    found = settled(after, alice())
    assert (found.name, found.groups) == ("alice", frozenset({"new"}))
    assert settled(after, Anonymous(), "none") is ANYBODY
    assert checker.asked == 2
    # Another password, somebody who is gone, or when the time is over: asked.
    assert isinstance(settled(after, alice(b"x")), AuthenticationFailed)
    gone = UsernamePassword(b"bob", b"x")
    assert isinstance(settled(after, gone), AuthenticationFailed)
    assert checker.asked == 4
    clock.advance(31)
    settled(after, alice())
    assert checker.asked == 5


class Directory:
    """What the portal asks of a directory; says the groups that it is told."""

    def __init__(self, *groups: str) -> None:
        self.groups = frozenset(groups)

    async def of(self, name: str) -> Membership:
        return Membership(self.groups)

    def lately(self, user: Any) -> Membership:
        return Membership(self.groups)

    def knows(self, name: str) -> bool:
        return True


def test_aDirectorysGroupsAreNotInherited() -> None:
    """These have a time of their own: who leaves one is out of it."""
    checker, directory = KnowingChecker(alice=b"sesame"), Directory("contractors")
    logins = [
        Login([checker], GROUPS, 60, Clock().seconds, directory=directory)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    first = settled(logins[0], alice())
    assert first.groups == {"staff", "admins", "contractors"}
    logins[1].inherit(logins[0])
    directory.groups = frozenset()
    assert settled(logins[1], alice()).groups == {"staff", "admins"}
    assert checker.asked == 1


def test_nothingIsInheritedOfAnotherStore() -> None:
    """When the store has changed, everybody is asked about."""
    checker = KnowingChecker(alice=b"sesame")
    before = login(checker)
    settled(before, alice())
    checker.changes = 1
    after = login(checker)
    after.inherit(before)
    settled(after, alice())
    assert checker.asked == 2


class Slow(ChangingChecker):
    """Answers when the test does."""

    def __init__(self, **known: bytes) -> None:
        super().__init__(**known)
        self.answers: list[Deferred[bytes]] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        self.asked += 1
        self.answers.append(Deferred())
        return self.answers[-1]


def test_changedWhileItWasAsked() -> None:
    """
    A store that changes while a login is verified against the old one makes
    that login forgotten too.
    """
    checker = Slow()
    remembering = login(checker)
    _, slow = settling(remembering, alice())
    checker.changes = 1
    _, other = settling(remembering, UsernamePassword(b"bob", b"x"))
    checker.answers[0].callback(b"alice")
    checker.answers[1].callback(b"bob")
    assert slow[0].name == "alice"
    assert other[0].name == "bob"
    _, again = settling(remembering, alice())
    assert checker.asked == 3, "the login of the old store is remembered"
    checker.answers[2].errback(UnauthorizedLogin())
    assert isinstance(again[0], AuthenticationFailed)


def test_changedAndNobodyElseCame() -> None:
    """Nor is it remembered when nobody came in the meantime."""
    checker = Slow()
    remembering = login(checker)
    settling(remembering, alice())
    checker.changes = 1
    checker.answers[0].callback(b"alice")
    settling(remembering, alice())
    assert checker.asked == 2


@pytest.mark.parametrize("right", [True, False])
def test_oneCheck(right: bool) -> None:
    """
    Equal credentials that are being checked are not checked again; what
    comes of it is for all who wait, and a failure for nobody else.
    """
    checker = Slow()
    remembering = login(checker)
    outcomes = [settling(remembering, alice())[1] for _ in range(3)]
    assert checker.asked == 1
    if right:
        checker.answers[0].callback(b"alice")
        assert [outcome[0].name for outcome in outcomes] == ["alice"] * 3
    else:
        checker.answers[0].errback(UnauthorizedLogin())
        for outcome in outcomes:
            assert isinstance(outcome[0], AuthenticationFailed)
    settling(remembering, alice())
    assert checker.asked == (1 if right else 2)


def test_checksOfOthers() -> None:
    """Others, and other methods, are checked by themselves."""
    checker = Slow()
    remembering = login(checker)
    outcomes = [
        settling(remembering, credentials, method)[1]
        for credentials, method in [
            (alice(), "userpass"),
            (alice(b"x"), "userpass"),
            (UsernamePassword(b"alices", b"esame"), "userpass"),
            (alice(), "other"),
        ]
    ]
    assert checker.asked == 4
    checker.answers[0].callback(b"alice")
    assert [len(outcome) for outcome in outcomes] == [1, 0, 0, 0]
    for answer in checker.answers[1:]:
        answer.errback(UnauthorizedLogin())


def test_oneOfTwoGoes() -> None:
    """A check goes on while anybody waits for it, and is given up after."""
    checker = Slow()
    remembering = login(checker)
    first, gone = settling(remembering, alice())
    _, stays = settling(remembering, alice())
    first.cancel()
    assert type(gone[0]).__name__ == "CancelledError"
    assert not stays
    checker.answers[0].callback(b"alice")
    assert stays[0].name == "alice"
    both = [settling(remembering, alice(b"x")) for _ in range(2)]
    both[0][0].cancel()
    assert not checker.answers[1].called
    both[1][0].cancel()
    assert checker.answers[1].called
    assert len(gone) == len(stays) == 1
    _, later = settling(remembering, alice(b"x"))
    assert checker.asked == 3
    checker.answers[2].errback(UnauthorizedLogin())
    assert isinstance(later[0], AuthenticationFailed)


def test_oneEndsTheOther() -> None:
    """What the first does on being let in may end another who waits."""
    checker = Slow()
    remembering = login(checker)
    first, _ = settling(remembering, alice())
    second, ended = settling(remembering, alice())
    first.addCallback(lambda _: second.cancel())
    checker.answers[0].callback(b"alice")
    assert type(ended[0]).__name__ == "CancelledError"


def test_checkOfTheOldStoreIsGivenUp() -> None:
    """Also a check of a store that has changed ends with who waits for it."""
    checker = Slow()
    remembering = login(checker)
    waiting, _ = settling(remembering, alice())
    checker.changes = 1
    remembering.look()
    settling(remembering, UsernamePassword(b"bob", b"x"))
    waiting.cancel()
    assert [answer.called for answer in checker.answers] == [True, False]


@pytest.mark.parametrize("old", [True, False])
def test_checkOfTheOldStore(old: bool) -> None:
    """
    Who comes after the store changed is not told what the old one said, be it
    yes or no.
    """
    checker = Slow()
    remembering = login(checker)
    _, before = settling(remembering, alice())
    checker.changes = 1
    remembering.look()
    _, after = settling(remembering, alice())
    assert checker.asked == 2
    if old:
        checker.answers[0].callback(b"alice")
        checker.answers[1].errback(UnauthorizedLogin())
    else:
        checker.answers[0].errback(UnauthorizedLogin())
        checker.answers[1].callback(b"alice")
    users = [getattr(outcome[0], "name", None) for outcome in (before, after)]
    assert users == (["alice", None] if old else [None, "alice"])


def test_notShared() -> None:
    """
    What one process remembers is nothing to another, and there is no
    password in it.
    """
    checker = Checker(alice=CANARY.encode())
    one, other = login(checker), login(checker)
    settled(one, alice(CANARY.encode()))
    settled(other, alice(CANARY.encode()))
    assert checker.asked == 2
    assert not set(one._memory._right) & set(other._memory._right)
    seen: set[int] = set()
    left: list[Any] = [one._memory._right]
    while left:
        found = left.pop()
        if id(found) in seen or isinstance(found, type):
            continue
        seen.add(id(found))
        if isinstance(found, (str, bytes)):
            assert CANARY not in str(found)
        left += gc.get_referents(found)


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are remembered, the oldest are forgotten first."""
    monkeypatch.setattr("socksgw.login.memory._REMEMBERED", 3)
    checker = Checker(**{f"u{i}": b"x" for i in range(5)})
    remembering = login(checker)
    users = [UsernamePassword(b"u%d" % i, b"x") for i in range(5)]
    for user in users:
        settled(remembering, user)
    assert checker.asked == 5
    for user in users[2:]:
        settled(remembering, user)
    assert checker.asked == 5
    settled(remembering, users[0])
    assert checker.asked == 6


def test_otherCredentialsAreNotRemembered() -> None:
    """What cannot be digested whole is asked about each time."""

    @implementer(IUsernameHashedPassword)
    class Hashed:
        username = b"alice"

        def checkPassword(self, password: bytes) -> bool:
            return True

    checker: Any = Checker()
    checker.credentialInterfaces = (IUsernameHashedPassword,)
    checker.requestAvatarId = counted = Counted()
    remembering = login(checker)
    for _ in range(2):
        assert settled(remembering, Hashed(), "hashed").name == "alice"
    assert counted.asked == 2


class Counted:
    """A C{requestAvatarId} that says yes, and counts."""

    asked = 0

    def __call__(self, credentials: Any) -> Deferred[bytes]:
        self.asked += 1
        return succeed(b"alice")


@pytest.mark.parametrize(
    ("refused", "counts"),
    [
        (Unavailable("ldaps://dc1: no answer in time"), False),
        (Refused("ambiguous", "user_filter finds several entries", True), True),
    ],
)
def test_whyOfARefusal(refused: Refused, counts: bool) -> None:
    """
    What a checker says of its refusal is in the record, as the reason is; a
    store without an answer is no try that failed, several users are.
    """
    failure = settled(login(Answering(refused)), alice())
    assert isinstance(failure, AuthenticationFailed)
    assert (str(failure), failure.reason) == (refused.why, refused.reason)
    assert failure.counts is counts


# What is never said.


class Telling(UnauthorizedLogin):
    """A checker's own failure, with an attribute that ours has too."""

    reason = f'{CANARY}","event":"forged'


class TellingLogin(LoginFailed):
    """A failure whose reason is no text."""

    reason = b"\xff"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(CANARY), "checker-failed"),
        (KeyError(CANARY), "checker-failed"),
        (OSError(5, CANARY, CANARY), "checker-failed"),
        (UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), "checker-failed"),
        (ExceptionGroup(CANARY, [ValueError(CANARY)]), "checker-failed"),
        (UnauthorizedLogin(CANARY), "wrong-credentials"),
        (UnhandledCredentials(CANARY), "no-checker"),
        (LoginFailed(CANARY), "wrong-credentials"),
        (Telling(CANARY), "wrong-credentials"),
        (TellingLogin(CANARY), "wrong-credentials"),
        (NotImplementedError(CANARY), "checker-failed"),
    ],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.parametrize("late", [False, True])
def test_checkerRaises(error: Exception, reason: str, late: bool) -> None:
    """
    Whatever a checker raises, nobody is let in; and the password, which it
    might say, is in no log, text, or chain of causes.
    """
    checker = Answering(fail(error) if late else error)
    with capturedLogs() as events:
        failure = settled(login(checker), alice(CANARY.encode()))
    assert type(failure) is AuthenticationFailed
    assert failure.reason == reason
    assert failure.reply is None
    assert CANARY not in f"{failure} {failure!r} {failure.args}"
    assert failure.__cause__ is None
    assert failure.__suppress_context__
    assert CANARY not in everything(events)
    # A defect is told to the operator, by its kind; a refusal is none.
    assert len(events) == (reason == "checker-failed")
    if events:
        assert type(error).__name__ in everything(events)


@pytest.mark.parametrize("answer", [None, object(), 7, (), b"\xff\xfe", Deferred])
def test_oddAvatarId(answer: Any) -> None:
    """
    A checker that answers what is no name lets nobody in as somebody else.
    """
    user = settled(login(Answering(answer)), alice())
    if not isinstance(user, AuthenticationFailed):
        assert user.groups == frozenset()
        assert user.name not in ("alice", "bob", "users", "")


def test_stampRaises() -> None:
    """A store that cannot even be looked at lets nobody in."""

    class Broken(ChangingChecker):
        def stamp(self) -> object:
            raise OSError(5, CANARY)

    with capturedLogs() as events:
        blind = login(Broken(alice=b"sesame"))
        blind.look()
        failure = settled(blind, alice())
    assert isinstance(failure, AuthenticationFailed)
    assert failure.reason == "checker-failed"
    assert CANARY not in everything(events)
    assert "OSError" in everything(events)


def test_oddCredentials() -> None:
    """A method whose credentials are not octets lets nobody in."""
    odd = UsernamePassword("alice", CANARY)  # type: ignore[arg-type]
    with capturedLogs() as events:
        failure = settled(login(Checker(alice=b"sesame")), odd)
    assert isinstance(failure, AuthenticationFailed)
    assert CANARY not in everything(events)


def test_cancelled() -> None:
    """A client that goes away is no failed login."""
    waiting: Deferred[bytes] = Deferred()
    results: list[Any] = []
    with capturedLogs() as events:
        settling = Deferred.fromCoroutine(
            login(Answering(waiting)).settle(alice(), "userpass", HERE)
        )
        settling.addErrback(results.append)
        settling.cancel()
    assert type(results[0].value).__name__ == "CancelledError"
    assert not events


def test_equalCredentialsAreCheckedOnce() -> None:
    """
    Clients that log in with the same credential at the same time wait for one
    check; it is given up when the last of them is gone, and not before.
    """
    checks: list[Deferred[bytes]] = []

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)

        def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
            checks.append(Deferred())
            return checks[-1]

    logins = login(Slow())
    results: list[Any] = []
    waiting = [
        Deferred.fromCoroutine(logins.settle(alice(), "userpass", HERE))
        for _ in range(3)
    ]
    for each in waiting:
        each.addBoth(results.append)
    assert len(checks) == 1
    waiting[0].cancel()
    assert not checks[0].called
    checks[0].callback(b"alice")
    assert [getattr(r, "name", None) for r in results] == [None, "alice", "alice"]

    others = login(Slow())
    alone = Deferred.fromCoroutine(others.settle(alice(), "userpass", HERE))
    alone.addErrback(results.append)
    alone.cancel()
    assert checks[1].called


@pytest.mark.parametrize("reason", ["store-unreadable", "checker-failed", "bad-name"])
def test_theTextAgreesWithTheReason(reason: str) -> None:
    """A store that cannot be asked is not "wrong credentials"."""
    failure = settled(login(Answering(Refused(reason))), alice())
    assert failure.reason == reason
    assert str(failure) != "wrong credentials"


# What is not kept.


@implementer(IForgetful, IUsernamePassword)
class Secretive(UsernamePassword):
    """Credentials that can drop their password."""

    def forget(self) -> None:
        self.password = b""


@pytest.mark.parametrize("error", [UnauthorizedLogin, ValueError, None])
def test_passwordIsDropped(error: type[Exception] | None) -> None:
    """
    After a login, right or wrong, nothing holds the password: neither the
    credentials nor the frame of a checker that raised, and none of it waits for
    the garbage collector.
    """

    @implementer(ICredentialsChecker)
    class Holding:
        credentialInterfaces = (IUsernamePassword,)

        async def requestAvatarId(self, credentials: Any) -> Any:  # type: ignore[override]
            password = credentials.password
            if error is not None:
                raise error
            return b"alice" if password else ()

    password = bytes(bytearray(b"sesame"))
    gc.disable()
    try:
        before = sys.getrefcount(password)
        with capturedLogs():
            settled(login(Holding()), Secretive(b"alice", password))
        assert sys.getrefcount(password) == before
    finally:
        gc.enable()


def test_passwordOfASharedCheck() -> None:
    """
    The client is gone by whose credentials a check goes on for another one:
    they hold the password as long as the check.
    """

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)
        waiting: Deferred[Any] = Deferred()

        async def requestAvatarId(self, credentials: Any) -> Any:  # type: ignore[override]
            await self.waiting
            return b"alice" if credentials.password == b"sesame" else ()

    shared = login(Slow())
    results: list[Any] = []
    both = [Secretive(b"alice", b"sesame") for _ in range(2)]
    waiting = [
        Deferred.fromCoroutine(shared.settle(each, "userpass", HERE)) for each in both
    ]
    waiting[1].addBoth(results.append)
    waiting[0].addErrback(lambda failure: None)
    waiting[0].cancel()
    assert both[0].password == b"sesame"
    Slow.waiting.callback(None)
    assert results[0].name == "alice"
    assert [each.password for each in both] == [b"", b""]
