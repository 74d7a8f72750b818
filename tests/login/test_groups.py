"""
Groups that are a directory's: asked once, refreshed, and none in doubt.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import (
    Anonymous,
    IUsernamePassword,
    UsernamePassword,
)
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IChangingStore, IGroupSource, IVerifiedIdentity
from socksgw.login.groups import NOWHERE, Membership
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.login.realm import ANYBODY
from socksgw.login.refusal import Barred, Refused
from socksgw.login.stores.remote import Unavailable
from tests.login.groups import GROUPS, World, who
from tests.login.logins import settled, settling

CANARY = "canary-0b"


@implementer(ICredentialsChecker, IGroupSource)
class Source:
    """Knows groups, and counts how often it is asked; everybody may log in."""

    credentialInterfaces = (IUsernamePassword,)
    name = "ad"

    def __init__(self, **known: Any) -> None:
        self.known: dict[str, Any] = known
        self.asked: list[str] = []
        self.waiting: list[Deferred[Any]] = []
        self.slow = False

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        return succeed(credentials.username)

    def normal(self, name: str) -> str:
        if not name.lower().startswith("cn="):
            raise ValueError("no name of a group")
        return name.lower()

    def groupsOf(self, name: str) -> Deferred[Any]:
        self.asked.append(name)
        if self.slow:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        found = self.known.get(name)
        return fail(found) if isinstance(found, Exception) else succeed(found)


def test_groups() -> None:
    """A directory's names become the configuration's, in their normal form."""
    source = Source(alice={"cn=contractors", "cn=other"}, bob={"cn=external"})
    source.known["carol"] = {"cn=staff", "cn=contractors"}
    world = World(source)
    assert world.of("alice") == {"contractors"}
    assert world.of("bob") == {"contractors"}
    assert world.of("carol") == {"contractors", "staff"}
    assert world.of("nobody") == frozenset()
    assert not world.told


def test_barred() -> None:
    """
    A user who may not log in any more is no user, and the reason is kept while it holds;
    nothing failed.
    """
    source = Source(alice=Barred("account-disabled", "the account is disabled"))
    world = World(source)
    assert world.of("alice") == frozenset()
    assert not world.directory.knows("alice")
    assert world.directory.barred("alice") == "the account is disabled"
    assert not world.told
    source.known["alice"] = {"cn=staff"}
    world.clock.advance(60.1)
    assert world.of("alice") == {"staff"}
    assert world.directory.knows("alice")
    assert world.directory.barred("alice") == ""


def test_remembered() -> None:
    """An answer is good for its time, and not longer."""
    source = Source(alice={"cn=staff"})
    world = World(source)
    for _ in range(3):
        assert world.of("alice") == {"staff"}
    world.clock.advance(59.9)
    assert world.of("alice") == {"staff"}
    assert source.asked == ["alice"]
    source.known["alice"] = set()
    world.clock.advance(0.2)
    assert world.of("alice") == frozenset()
    assert source.asked == ["alice"] * 2


def test_askedOnce() -> None:
    """Whoever comes while a user is asked about waits for the same answer."""
    source = Source()
    source.slow = True
    world = World(source)
    results: list[Any] = []
    waiting = [Deferred.fromCoroutine(world.directory.of("alice")) for _ in range(3)]
    for each in waiting:
        each.addBoth(results.append)
    waiting[0].cancel()
    assert isinstance(results.pop().value, CancelledError)
    assert source.asked == ["alice"]
    source.waiting[0].callback({"cn=staff"})
    assert [each.groups for each in results] == [{"staff"}, {"staff"}]
    assert world.of("alice") == {"staff"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("no server"), "no server"),
        (Refused("busy"), "busy"),
        (ValueError(CANARY), "ValueError"),
    ],
)
def test_failed(error: Exception, reason: str) -> None:
    """
    A look-up that fails means no groups, also not those of another source that
    did answer; it is told once in the time that an answer is good, and what a
    plug-in says of its failure is not. Soon it is asked again.
    """
    good, bad = Source(alice={"cn=staff"}), Source(alice=error)
    bad.name = "bad"
    world = World(good, bad)
    assert world.of("alice") == frozenset()
    assert world.told == [("bad", "alice", reason)]
    assert world.directory.knows("alice")
    for _ in range(5):
        world.clock.advance(11)
        assert world.of("alice") == frozenset()
    assert len(bad.asked) == 6
    assert len(world.told) == 1
    bad.known["alice"] = set()
    world.clock.advance(11)
    assert world.of("alice") == {"staff"}


def test_noAnswer() -> None:
    """A source that never answers is not waited for."""
    source = Source()
    source.slow = True
    world = World(source)
    results: list[Any] = []
    Deferred.fromCoroutine(world.directory.of("alice")).addBoth(results.append)
    world.clock.advance(4.9)
    assert not results
    world.clock.advance(0.2)
    assert results[0].groups == frozenset()
    assert results[0].unsure == set(GROUPS)
    assert world.told == [("ad", "alice", "no answer in time")]
    assert not world.clock.getDelayedCalls()


def test_tooMany() -> None:
    """Who comes when too many are asked about is in no group."""
    source = Source()
    source.slow = True
    world = World(source)
    for i in range(1024):
        Deferred.fromCoroutine(world.directory.of(f"user{i}"))
    assert world.of("alice") == frozenset()
    assert world.told == [("", "alice", "busy")]
    assert len(source.asked) == 1024
    for each in source.waiting:
        each.callback(set())


def test_hold() -> None:
    """
    What the directory said last holds for its time, and then is not known any
    more: not even that somebody is in no group. Then its word counts again.
    """
    source = Source(alice={"cn=staff"}, bob=set(), carol=None)
    world = World(source, hold=600)
    before = {name: world.membership(name) for name in ("alice", "bob", "carol")}
    assert before["bob"] == before["carol"] == NOWHERE
    source.known = dict.fromkeys(("alice", "bob", "carol"), Unavailable("no server"))
    for _ in range(50):
        world.clock.advance(11)
        for name, found in before.items():
            assert world.membership(name) == found
    assert world.directory.knows("bob")
    assert not world.directory.knows("carol")
    assert len(world.told) > 3
    world.clock.advance(61)
    for name in before:
        found = world.membership(name)
        assert (found.groups, found.unsure) == (frozenset(), set(GROUPS))
        assert found.doubt == (
            'which groups the user is in is not known: "ad" cannot be asked: no server'
        )
        assert world.directory.lately(who(name)) == found
        assert world.directory.knows(name)
    source.known = {"alice": {"cn=contractors"}}
    world.clock.advance(11)
    assert world.membership("alice") == Membership(frozenset({"contractors"}))


def test_strangerMeanwhile() -> None:
    """Of whom the directory has said nothing yet, nothing holds."""
    source = Source(alice=Unavailable("no server"))
    assert World(source, hold=600).membership("alice").unsure == set(GROUPS)


# Those who live.


def test_refresh() -> None:
    """
    Users who live are asked about when their answer is old, and who changed is
    told; others are not.
    """
    source = Source(alice={"cn=staff"}, bob={"cn=staff"})
    world = World(source)
    assert world.of("alice") == world.of("bob") == {"staff"}
    world.directory.refresh({"alice"})
    assert len(source.asked) == 2
    world.clock.advance(61)
    source.known["alice"] = {"cn=contractors"}
    world.directory.refresh({"alice", "bob"})
    assert world.directory.changed == {"alice"}
    assert world.directory.lately(who("alice")).groups == {"contractors"}
    assert world.directory.lately(who("bob")).groups == {"staff"}
    world.directory.changed.clear()
    source.known["bob"] = Unavailable("down")
    source.known["alice"] = None
    world.clock.advance(61)
    # What is old counts until there is something new.
    assert world.directory.lately(who("alice")).groups == {"contractors"}
    world.directory.refresh({"alice", "bob"})
    assert world.directory.changed == {"alice", "bob"}
    assert not world.directory.knows("alice")
    assert world.directory.knows("bob")


def test_whoOnlyJustComes() -> None:
    """Of somebody who was never asked about nothing has changed."""
    world = World(Source(alice={"cn=staff"}))
    world.of("alice")
    assert not world.directory.changed
    # Unless they live already: since a reload, say.
    live = World(Source(alice={"cn=staff"}))
    assert live.directory.lately(who("alice", "staff", "gone")).groups == {"staff"}
    live.directory.refresh({"alice"})
    assert live.directory.changed == {"alice"}


def test_aFewAtATime() -> None:
    """Refreshing a thousand users leaves the directory to others, too."""
    source = Source()
    source.slow = True
    world = World(source)
    names = {f"user{i}" for i in range(100)}
    world.directory.refresh(names)
    for _ in range(200):
        assert len(source.waiting) <= 16
        world.directory.refresh(names)
        if not source.waiting:
            break
        source.waiting.pop(0).callback(set())
    assert set(source.asked) == names
    assert len(source.asked) == 100


def test_manyAtOnce() -> None:
    """Nor is it a matter of how many there are, where answers come at once."""
    source = Source()
    world = World(source)
    world.directory.refresh({f"user{i}" for i in range(5000)})
    assert len(source.asked) == 5000


def test_reload() -> None:
    """
    After a reload what was known goes on for those who live, and is asked
    about anew.
    """
    source = Source(alice={"cn=staff"})
    world = World(source)
    world.of("alice")
    after = world.follower(source)
    after.follow(world.directory)
    world.directory = after
    assert after.lately(who("alice")).groups == {"staff"}
    source.known["alice"] = set()
    after.refresh({"alice"})
    assert after.changed == {"alice"}
    assert world.of("alice") == frozenset()


# The login.


def login(*sources: Any, groups: Any = None, cache: float = 60) -> tuple[World, Login]:
    world = World(*(each for each in sources if IGroupSource.providedBy(each)))
    made = Login(
        sources, groups or {}, cache, world.clock.seconds, directory=world.directory
    )
    return world, made


ALICE = UsernamePassword(b"alice", b"x")


def test_login() -> None:
    """A user has the configuration's groups, and the directory's."""
    source = Source(alice={"cn=staff"})
    _, made = login(source, groups={"admins": ["alice"]})
    assert settled(made, ALICE).groups == {"admins", "staff"}


def test_loginWhileAway() -> None:
    """
    Who logs in while the directory is away is in none of its groups, and not
    out of them either, for the rules.
    """
    source = Source(alice=Unavailable("down"))
    world, made = login(source, groups={"admins": ["alice"]})
    user = settled(made, ALICE)
    assert (user.groups, user.unsure) == ({"admins"}, set(GROUPS))
    assert user.doubt.endswith('"ad" cannot be asked: down')
    assert made.now(user) == user
    source.known["alice"] = {"cn=staff"}
    world.clock.advance(11)
    world.directory.refresh({"alice"})
    today = made.now(user)
    assert today is not None
    assert (today.groups, today.unsure) == ({"admins", "staff"}, frozenset())


@pytest.mark.parametrize("groups", [GROUPS, {}])
def test_goingOnWithALogin(groups: Any) -> None:
    """
    Whoever does is who they are now, though nobody has asked in the meantime: in the
    groups of now, or gone, also where no groups are a directory's.
    """
    source = Source(alice={"cn=staff"})
    world = World(source, groups=groups)
    made = Login([source], {}, 60, world.clock.seconds, directory=world.directory)
    user = settled(made, ALICE)

    def again() -> Any:
        found: list[Any] = []
        Deferred.fromCoroutine(made.again(user)).addBoth(found.append)
        return found[0]

    assert again().groups == ({"staff"} if groups else frozenset())
    source.known["alice"] = {"cn=contractors"}
    world.clock.advance(59)
    assert again().groups == ({"staff"} if groups else frozenset())
    world.clock.advance(2)
    assert again().groups == ({"contractors"} if groups else frozenset())
    source.known["alice"] = None
    world.clock.advance(61)
    assert again() is None


@implementer(IVerifiedIdentity)
class Proof:
    """Who has shown a ticket, or a certificate."""

    def __init__(self, username: bytes, realm: str = "") -> None:
        self.username = username
        self.realm = realm
        self.expires = None


@pytest.mark.parametrize("method", ["gssapi", "certificate"])
def test_loginByProof(method: str) -> None:
    """
    Whom no password logged in is in the directory's groups, too, by the name
    that they have here; that the directory knows them no more is no reason to
    end what their proof allows.
    """
    source = Source(alice={"cn=staff"})
    world, made = login(source, VerifiedIdentities(["CORP.EXAMPLE"]))
    user = settled(made, Proof(b"alice", "CORP.EXAMPLE"), method)
    assert (user.name, user.groups) == ("alice", {"staff"})
    other = settled(made, Proof(b"alice", "ELSE.EXAMPLE"), method)
    assert (other.name, other.groups) == ("alice@ELSE.EXAMPLE", frozenset())
    source.known["alice"] = None
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    assert world.directory.changed == {"alice"}
    today = made.now(user)
    assert today is not None
    assert today.groups == frozenset()


def test_loginByProofOfWhomTheDirectoryNames() -> None:
    """
    A Kerberos user has the directory's name; when the directory knows them no
    more, or has disabled them, their sessions end, whatever other stores say.
    """

    class Names:
        def of(self, name: str) -> Deferred[Any]:
            known = source.known.get(name.lower(), set()) is not None
            return succeed(name.lower() if known else None)

    source = Source(alice={"cn=staff"})
    names: Any = Names()
    identities = VerifiedIdentities(["CORP.EXAMPLE"], names=names)
    world, made = login(source, identities, OtherStore())
    proof = Proof(b"ALICE", "CORP.EXAMPLE")
    user = settled(made, proof, "gssapi")
    assert (user.name, user.groups) == ("alice", {"staff"})
    assert made.now(user) == user
    source.known["alice"] = None
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    assert made.now(user) is None
    assert settled(made, proof, "gssapi").reason == "unknown-user"
    # A directory that cannot be asked has not said that.
    source.known["alice"] = Unavailable("down")
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    assert made.now(user) is not None


def test_rememberedLogin() -> None:
    """A login that is remembered has the groups of now, not of then."""
    source = Source(alice={"cn=staff"})
    world, made = login(source, cache=1000)
    assert settled(made, ALICE).groups == {"staff"}
    source.known["alice"] = {"cn=contractors"}
    assert settled(made, ALICE).groups == {"staff"}
    world.clock.advance(61)
    assert settled(made, ALICE).groups == {"contractors"}


def test_rememberedLoginOfOneWhoIsGone() -> None:
    """
    Whom the directory has said to be gone is not let in by a login that is
    remembered, after their sessions were ended.
    """

    class Closing(Source):
        def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
            if self.known.get("alice") is None:
                return fail(Refused("wrong-credentials"))
            return super().requestAvatarId(credentials)

    source = Closing(alice={"cn=staff"})
    world, made = login(source, cache=1000)
    user = settled(made, ALICE)
    source.known["alice"] = None
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    assert made.now(user) is None
    assert isinstance(settled(made, ALICE), AuthenticationFailed)
    # Back again, their login counts at once.
    source.known["alice"] = {"cn=staff"}
    assert settled(made, ALICE).name == "alice"


def test_nobodyInParticular() -> None:
    """No directory is asked about who is anonymous."""
    source = Source(anonymous={"cn=staff"})
    _, made = login(source)
    for _ in range(2):
        assert settled(made, Anonymous(), "none") is ANYBODY
    assert not source.asked


def test_goneWhileAsked() -> None:
    """A client that goes away while its groups are looked up is no failure."""
    source = Source()
    source.slow = True
    _, made = login(source)
    waiting, results = settling(made, ALICE)
    assert not results
    waiting.cancel()
    assert isinstance(results[0], CancelledError)
    source.waiting[0].callback({"cn=staff"})
    assert settled(made, ALICE).groups == {"staff"}


@implementer(ICredentialsChecker)
class OtherStore:
    """One that cannot tell who there is."""

    credentialInterfaces = ()

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        raise AssertionError("it knows no credentials")


@implementer(IChangingStore)
class Store(OtherStore):
    """A store that knows bob."""

    def stamp(self) -> object:
        return 0

    def knows(self, name: bytes) -> bool:
        return name == b"bob"


def test_now() -> None:
    """
    Who lives has the groups of now, and is gone when nobody knows them any
    more: no store, and no directory.
    """
    source = Source(alice={"cn=staff"}, bob=None)
    world, made = login(source, Store())
    alice = settled(made, ALICE)
    bob = settled(made, UsernamePassword(b"bob", b"x"))
    assert made.now(alice) == alice
    assert made.now(bob) == bob
    source.known["alice"] = {"cn=contractors"}
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    today = made.now(alice)
    assert today is not None
    assert today.groups == {"contractors"}
    source.known["alice"] = None
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    assert made.now(alice) is None
    # A directory that cannot be asked does not say that anybody is gone.
    source.known["alice"] = Unavailable("down")
    world.clock.advance(61)
    world.directory.refresh({"alice"})
    today = made.now(alice)
    assert today is not None
    assert today.groups == frozenset()
