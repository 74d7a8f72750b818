"""
Identities that were verified elsewhere: their names, and who is refused.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.credentials import Anonymous
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IChangingStore, INamingStore, IVerifiedIdentity
from socksgw.login import canonical
from socksgw.login.canonical import CanonicalNames
from socksgw.login.checkers import Refused
from socksgw.login.identities import Proved, VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.login.stores.remote import Unavailable
from tests.login import logins
from tests.login.logins import HERE, ChangingChecker, Checker, alice


@implementer(IVerifiedIdentity)
class Identity:
    """As a method would make it."""

    def __init__(
        self, username: bytes, realm: str = "", expires: float | None = None
    ) -> None:
        self.username = username
        self.realm = realm
        self.expires = expires


def settled(login: Login, credentials: Any) -> Any:
    """The user, or the exception."""
    return logins.settled(login, credentials, "gssapi")


def test_credentials() -> None:
    """The test's identity is what methods make."""
    verifyObject(IVerifiedIdentity, Identity(b"alice"))


@pytest.mark.parametrize(
    ("name", "realm", "called"),
    [
        ("alice", "CORP.EXAMPLE", "alice"),
        ("alice", "OTHER.REALM", "alice@OTHER.REALM"),
        # Realms are case-sensitive (RFC 4120 section 6.1).
        ("alice", "corp.example", "alice@corp.example"),
        ("alice", "SUB.CORP.EXAMPLE", "alice@SUB.CORP.EXAMPLE"),
        ("host/www.corp.example", "CORP.EXAMPLE", "host/www.corp.example"),
        ("jörg", "CORP.EXAMPLE", "jörg"),
        # A certificate's name has no realm, and may have an @.
        ("partner/bob@partner.example", "", "partner/bob@partner.example"),
    ],
)
def test_names(name: str, realm: str, called: str) -> None:
    """Realms listed are cut, every other stays in the name."""
    checker = VerifiedIdentities(["CORP.EXAMPLE"])
    found = checker.requestAvatarId(Identity(name.encode(), realm, 5.0))
    assert found == Proved(called, 5.0)


@pytest.mark.parametrize(
    ("name", "realm"),
    [
        (b"", "CORP.EXAMPLE"),
        (b"", ""),
        # alice\@OTHER.REALM@CORP.EXAMPLE, with and without its escape.
        (b"alice\\@OTHER.REALM", "CORP.EXAMPLE"),
        (b"alice@OTHER.REALM", "CORP.EXAMPLE"),
        (b"alice", "OTHER@CORP.EXAMPLE"),
        (b"alice\\/admin", "CORP.EXAMPLE"),
        (b"alice\0", "CORP.EXAMPLE"),
        (b"alice", "CORP\0.EXAMPLE"),
        (b"alice\n", ""),
        (b"alice\x7f", ""),
        (b" alice", ""),
        (b"alice ", "CORP.EXAMPLE"),
        ("alice\u202e".encode(), ""),
        ("al\u200bice".encode(), ""),
        (b"alice\xff", "CORP.EXAMPLE"),
        (b"a" * 1025, ""),
    ],
)
def test_namesThatCouldBeConfused(name: bytes, realm: str) -> None:
    """They are nobody's."""
    with pytest.raises(Refused) as caught:
        VerifiedIdentities(["CORP.EXAMPLE"]).requestAvatarId(Identity(name, realm))
    assert caught.value.reason == "bad-name"


REALMS = st.sampled_from(["", "A", "B", "a", "A.B"])


@given(st.text(max_size=6), REALMS, st.text(max_size=6), REALMS)
def test_oneNameForEach(name: str, realm: str, other: str, another: str) -> None:
    """
    Where the KDC tells cases apart, two principals are called the same only
    where their realms were cut.
    """
    checker, called = VerifiedIdentities(["A"], exact=True), []
    for each, where in ((name, realm or "B"), (other, another or "B")):
        try:
            found = checker.requestAvatarId(
                Identity(each.encode("utf-8", "ignore"), where)
            )
        except Refused:
            return
        called.append(found.name)
    if called[0] == called[1]:
        assert (name, realm or "B") == (other, another or "B")


# One person, however the ticket spells the name.


@pytest.mark.parametrize(
    ("name", "realm", "called"),
    [
        ("ALICE", "CORP.EXAMPLE", "alice"),
        ("aLiCe", "OTHER.REALM", "alice@OTHER.REALM"),
        ("J\xd6RG", "CORP.EXAMPLE", "j\xf6rg"),
        ("JO\u0308RG", "CORP.EXAMPLE", "j\xf6rg"),
        # A certificate's name is what the CA wrote.
        ("partner/Bob", "", "partner/Bob"),
    ],
)
def test_folded(name: str, realm: str, called: str) -> None:
    """Without a directory Kerberos names are in lower case."""
    identity = Identity(name.encode(), realm, 5.0)
    found = VerifiedIdentities(["CORP.EXAMPLE"]).requestAvatarId(identity)
    assert found == Proved(called, 5.0)
    exact = VerifiedIdentities(["CORP.EXAMPLE"], exact=True).requestAvatarId(identity)
    assert exact.name.removesuffix("@OTHER.REALM") == name


@implementer(INamingStore)
class Names:
    """
    A directory that knows alice, however she is spelled, and by another name.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.slow: Deferred[None] | None = None

    async def canonicalName(self, name: str) -> str | None:
        self.asked.append(name)
        if self.slow is not None:
            await self.slow
        if self.error is not None:
            raise self.error
        return "Alice" if name.lower() in ("alice", "alice.smith") else None


def named(names: Names, seconds: float = 60) -> tuple[Login, Clock]:
    """A login where that directory is asked."""
    clock = Clock()
    known = CanonicalNames([names], seconds, clock.seconds)
    checker = VerifiedIdentities(["R"], names=known)
    groups = {"staff": ["Alice"]}
    return Login([checker], groups, 60, clock.seconds), clock


@pytest.mark.parametrize("name", [b"alice", b"ALICE", b"aLiCe", b"alice.smith"])
def test_theDirectorysSpelling(name: bytes) -> None:
    """
    Whatever the ticket says, the user is who the directory says, with that
    user's groups and the ticket's end.
    """
    user = settled(named(Names())[0], Identity(name, "R", 77.0))
    assert (user.name, user.groups, user.expires) == ("Alice", {"staff"}, 77.0)
    assert user.proved


def test_notInTheDirectory() -> None:
    """Whom it does not know does not get in; other realms' it is not asked."""
    names = Names()
    login, _ = named(names)
    failure = settled(login, Identity(b"mallory", "R"))
    assert (failure.reason, failure.counts) == ("unknown-user", False)
    assert settled(login, Identity(b"Bob", "OTHER")).name == "bob@OTHER"
    assert names.asked == ["mallory"]


def test_noDirectory() -> None:
    """While it cannot be asked nobody gets in whose name it has to say."""
    names = Names()
    names.error = Unavailable("down")
    login, _ = named(names)
    assert settled(login, Identity(b"alice", "R")).reason == "store-unavailable"
    names.error = None
    assert settled(login, Identity(b"alice", "R")).name == "Alice"


def test_rememberedNames() -> None:
    """
    The directory is asked once for all that wait, and again when its answer is
    old; whoever goes away leaves nothing behind.
    """
    names = Names()
    login, clock = named(names)
    names.slow = Deferred()
    results: list[Any] = []
    for _ in range(3):
        waiting = Deferred.fromCoroutine(
            login.settle(Identity(b"ALICE", "R"), "gssapi", HERE)
        )
        waiting.addBoth(results.append)
    waiting.cancel()
    slow, names.slow = names.slow, None
    slow.callback(None)
    assert [getattr(r, "name", None) for r in results] == [None, "Alice", "Alice"]
    assert settled(login, Identity(b"ALICE", "R")).name == "Alice"
    assert names.asked == ["ALICE"]
    clock.advance(60)
    assert settled(login, Identity(b"ALICE", "R")).name == "Alice"
    assert names.asked == ["ALICE"] * 2
    never, _ = named(names, seconds=0)
    for _ in range(2):
        assert settled(never, Identity(b"ALICE", "R")).name == "Alice"
    assert names.asked == ["ALICE"] * 4


def test_namesAreBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many names are remembered, the oldest is forgotten first."""
    monkeypatch.setattr(canonical, "_REMEMBERED", 2)
    names = Names()
    login, _ = named(names)
    for name in (b"alice", b"ALICE", b"Alice", b"alice"):
        settled(login, Identity(name, "R"))
    assert names.asked == ["alice", "ALICE", "Alice", "alice"]


def test_user() -> None:
    """
    The user has the groups that the configuration gives the name, and an end;
    no store has to know them, and their login is not remembered.
    """
    store = Checker(alice=b"sesame")
    checkers = [store, VerifiedIdentities(["R"])]
    login = Login(checkers, {"staff": ["alice"]}, 60, Clock().seconds)
    user = settled(login, Identity(b"alice", "R", 77.0))
    assert (user.name, user.groups, user.method) == ("alice", {"staff"}, "gssapi")
    assert (user.expires, user.proved) == (77.0, True)
    assert store.asked == 0
    assert settled(login, Identity(b"alice", "R")).expires is None


def test_brokenStore() -> None:
    """A store that cannot be looked at has no say in what was proved."""

    class Broken(ChangingChecker):
        def stamp(self) -> object:
            raise OSError

    checkers = [Broken(alice=b"sesame"), VerifiedIdentities(["R"])]
    with capturedLogs():
        login = Login(checkers, {}, 60, Clock().seconds)
        login.look()
    assert settled(login, Identity(b"alice", "R")).name == "alice"


@pytest.mark.parametrize("name", [b"anonymous", b"users", b"@staff"])
def test_reserved(name: bytes) -> None:
    """Who is called like a word of the policy does not get in."""
    login = Login([VerifiedIdentities()], {}, 60, Clock().seconds)
    assert isinstance(settled(login, Identity(name)), AuthenticationFailed)


def test_notWanted() -> None:
    """Where no method verifies, such credentials are nothing."""
    login = Login([Checker()], {}, 60, Clock().seconds)
    assert settled(login, Identity(b"alice")).reason == "no-checker"


def test_now() -> None:
    """
    Whom no store had to know need not be in one to stay; whoever came with a
    password must, still.
    """

    @implementer(IChangingStore)
    class Store(Checker):
        """One that can tell."""

        def stamp(self) -> object:
            return 0

        def knows(self, name: bytes) -> bool:
            return name in self.known

    store = Store(alice=b"sesame")
    login = Login([store, VerifiedIdentities(["R"])], {}, 60, Clock().seconds)
    proved = settled(login, Identity(b"carol", "R", 77.0))
    known = settled(login, alice())
    assert login.now(proved) == proved
    assert login.now(known) == known
    store.known.clear()
    assert login.now(proved) == proved
    assert login.now(known) is None
    assert login.now(settled(login, Anonymous())) is not None


def test_realmOfAnotherCase() -> None:
    """
    A realm that is to be stripped, and comes in another case, is not stripped;
    the log tells it, once.
    """
    checker = VerifiedIdentities(["corp.example"])
    with capturedLogs() as events:
        for realm in ("OTHER.EXAMPLE", "CORP.EXAMPLE", "CORP.EXAMPLE"):
            found = checker.requestAvatarId(Identity(b"alice", realm))
            assert found.name == f"alice@{realm}"
    (event,) = events
    assert 'strip_realms has "corp.example" and tickets have "CORP.' in eventAsText(
        event
    )
