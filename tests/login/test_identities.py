"""
Identities that were verified elsewhere: their names, and who is refused.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.credentials import Anonymous
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IChangingStore, ILocalIdentity, IVerifiedIdentity
from socksgw.login.checkers import Refused
from socksgw.login.identities import Proved, VerifiedIdentities
from socksgw.login.portal import Login
from tests.login.identities import Identity, settled
from tests.login.logins import ChangingChecker, Checker, alice


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
        (b"a" * 2561, ""),
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


def test_user() -> None:
    """
    The user has the groups that the configuration gives the name, and an end;
    no store has to know them, and their login is not remembered.
    """
    store = Checker(alice=b"sesame")
    checkers = [store, VerifiedIdentities(["R"])]
    login = Login(
        checkers, {"staff": ["alice"]}, 60, Clock().seconds, wall=lambda: 76.9
    )
    user = settled(login, Identity(b"alice", "R", 77.0))
    assert (user.name, user.groups, user.method) == ("alice", {"staff"}, "gssapi")
    assert (user.expires, user.proved) == (77.0, True)
    assert store.asked == 0
    assert settled(login, Identity(b"alice", "R")).expires is None


def test_notAfterItsEnd() -> None:
    """What a connection has proved lets its later requests in until it ends."""
    now = 76.9
    checkers = [VerifiedIdentities(["R"])]
    login = Login(checkers, {}, 60, Clock().seconds, wall=lambda: now)
    proved = Identity(b"alice", "R", 77.0)
    assert settled(login, proved).name == "alice"
    now = 77.0
    failure = settled(login, proved)
    assert isinstance(failure, AuthenticationFailed)
    assert (failure.reason, failure.counts) == ("login-expired", False)


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


@pytest.mark.parametrize("name", [b"anonymous", b"users", b"@staff", b"uid:root"])
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
    proved = settled(login, Identity(b"carol", "R", time.time() + 77.0))
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


# Users of this machine.


@implementer(ILocalIdentity)
class Local(Identity):
    """As the kernel proves one."""

    def __init__(self, name: bytes, *words: str) -> None:
        super().__init__(name)
        self.words = frozenset(words)


def test_aUserOfThisMachine() -> None:
    """
    Groups of the configuration may name it, its number or its groups; of its other
    words only those count that rules name.
    """
    groups = {
        "builders": ["uid:build"],
        "docker": ["gid:docker"],
        "numbers": ["uid:1000"],
        "others": ["uid:other", "build", "gid:build"],
    }
    checkers = [VerifiedIdentities()]
    login = Login(checkers, groups, 60, Clock().seconds, words=["gid:50", "gid:99"])
    build = Local(b"uid:build", "uid:1000", "gid:50", "gid:docker")
    user = settled(login, build)
    assert (user.name, user.anonymous, user.expires) == ("uid:build", False, None)
    assert user.groups == {"builders", "docker", "numbers", "gid:50"}
    # By another configuration, with the words of then.
    after = Login(checkers, {"new": ["gid:docker"]}, 60, Clock().seconds)
    now = after.now(user)
    assert now is not None
    assert now.groups == {"new"}


def test_onlyTheKernelNamesThem() -> None:
    """Its users are called C{uid:} and something, and nothing else."""
    login = Login([VerifiedIdentities()], {}, 60, Clock().seconds)
    for name in (b"root", b"users", b"anonymous", b"@staff"):
        assert isinstance(settled(login, Local(name)), AuthenticationFailed)


def test_noDirectoryIsAskedAboutThem() -> None:
    """A directory may know somebody of that name, who is another."""
    directory: Any = SimpleNamespace()
    login = Login([VerifiedIdentities()], {}, 60, Clock().seconds, directory=directory)
    user = settled(login, Local(b"uid:build"))
    assert user.groups == frozenset()
    assert login.now(user) == user
