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
    IUsernamePassword,
    UsernamePassword,
)
from twisted.cred.error import LoginFailed, UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface import implementer

from socksgw.config.schema import Throttle
from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IBearerToken, ISocksUser
from socksgw.login.identities import Proved
from socksgw.login.portal import Login
from socksgw.login.realm import ANYBODY, SocksRealm, SocksUser
from socksgw.login.refusal import Refused
from socksgw.login.stores.remote import Unavailable
from socksgw.login.throttle import LoginThrottle
from tests.login.logins import (
    CANARY,
    HERE,
    Bearer,
    Checker,
    Secretive,
    alice,
    everything,
    login,
    settled,
    settling,
)
from tests.tools.tokens import encoded


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


@pytest.mark.parametrize(
    "name", ["", "anonymous", "users", "@staff", "@", "uid:root", "gid:staff"]
)
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


@pytest.mark.parametrize("reason", ["store-unreadable", "checker-failed", "bad-name"])
def test_theTextAgreesWithTheReason(reason: str) -> None:
    """A store that cannot be asked is not "wrong credentials"."""
    failure = settled(login(Answering(Refused(reason))), alice())
    assert failure.reason == reason
    assert str(failure) != "wrong credentials"


# What is not kept.


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


# Tokens.


@implementer(ICredentialsChecker)
class Issuing:
    """
    Takes tokens that begin with an e, with the groups after the last dot.
    """

    credentialInterfaces = (IBearerToken,)

    def requestAvatarId(self, credentials: Any) -> Any:
        if not credentials.token.startswith(b"e"):
            raise Refused("bad-token", "the token is wrong", counts=True)
        groups = credentials.token.decode().split(".")[1:]
        return Proved("build", None, groups=frozenset(groups))


def test_issuedGroups() -> None:
    """A token's names of groups are the configuration's where it says so."""
    there = Login(
        (Issuing(),),
        {"staff": ["build"], "ci": []},
        60,
        Clock().seconds,
        issued={"ci": ["k8s:ci", "old"], "prod": ["k8s:prod"]},
    )
    for token, groups in (
        (b"e", {"staff"}),
        (b"e.k8s:ci", {"staff", "ci"}),
        (b"e.old.k8s:prod", {"staff", "ci", "prod"}),
        # A token cannot name one of our groups.
        (b"e.prod.ci.admins", {"staff"}),
    ):
        user = settled(there, Bearer(token), "token")
        assert user.groups == groups
        # As long as there are sessions.
        now = there.now(user)
        assert now is not None
        assert now.groups == groups


def _claiming(subject: str, more: object = 0) -> bytes:
    return encoded({"alg": "x"}) + b"." + encoded({"sub": subject, "x": more}) + b".x"


@implementer(ICredentialsChecker)
class Refusing:
    """Takes no token."""

    credentialInterfaces = (IBearerToken,)

    def requestAvatarId(self, credentials: Any) -> Any:
        raise Refused("bad-token", "the token is wrong", counts=True)


def test_tokensAreThrottled() -> None:
    """
    By the subject that they claim: a job with an old token does not lock out others
    of its source, and the same token counts once.
    """
    clock = Clock()
    throttle = LoginThrottle(clock.seconds, clock.callLater)
    throttle.configure(Throttle(per_user=3, per_source=50))
    there = Login((Refusing(),), {}, 60, clock.seconds, throttle)
    found: list[str] = []
    for token in (
        *[_claiming("old")] * 5,
        *[_claiming("old", i) for i in range(1, 4)],
        _claiming("other"),
    ):
        _, results = settling(there, Bearer(token), "token")
        clock.advance(1)
        found.append(results[0].reason)
    assert found == ["bad-token"] * 7 + ["throttled"] + ["bad-token"]
