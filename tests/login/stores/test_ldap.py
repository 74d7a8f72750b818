"""
A directory's users and groups: what one question may do to others, and who is
who. Values as Samba 4.17's domain controller, 389-ds 2.3 and OpenLDAP 2.5 have
them.
"""

from __future__ import annotations

from typing import Any

import pytest
from ldaptor.protocols import pureldap
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import ensureDeferred
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, eventAsText

from socksgw.login.refusal import Refused
from socksgw.login.stores.ldaplinks import Link, NotServed, TooMuch
from socksgw.login.stores.ldapnames import ANYTHING
from socksgw.login.stores.remote import Unavailable
from tests.login.directories import BASE, Directory, Entry, Found, World

#: MS-ADTS section 3.1.1.3.4.3.1.
CAPABILITY = b"1.2.840.113556.1.4.800"


def person(name: str, **more: list[bytes | str]) -> Entry:
    return f"uid={name},{BASE}", {"uid": [name], **more}


def finding(**known: Found) -> Directory:
    """A directory that finds users by C{uid}, and whose password is C{x}."""

    def search(base: str, text: str) -> Found:
        for name, found in known.items():
            if f"(uid={name})" in text or base == f"uid={name},{BASE}":
                return found
        return []

    directory = Directory(search)
    directory.passwords = {f"uid={name},{BASE}": "x" for name in known}
    return directory


def logIn(world: World, name: str, password: str = "x") -> Any:
    return world.checker.requestAvatarId(
        UsernamePassword(name.encode(), password.encode())
    )


def logged(events: Any) -> str:
    return "\n".join(eventAsText(each) for each in events)


LARGE = [person("large", uid=[b"large", b"x" * (2 << 20)])]


@pytest.mark.parametrize("found", [None, LARGE], ids=["slow", "large"])
def test_oneQuestionAlone(found: Found) -> None:
    """
    A search without an answer, and an answer that is too large, fail alone:
    nobody else waits, and the server does not rest.
    """
    world = World(finding(bad=found, alice=[person("alice")]))
    with capturedLogs() as events:
        bad = world.results(logIn(world, "bad"))
        groups = world.results(world.checker.groupsOf("bad"))
        for _ in range(50):
            world.reactor.advance(0.1)
            assert world.result(logIn(world, "alice"), 0.3) == b"alice"
            world.run()
    for (failure,) in (bad, groups):
        assert isinstance(failure, Unavailable)
        assert failure.alone
    assert "does not answer" not in logged(events)
    assert "cannot be asked" not in logged(events)


def test_deadConnection() -> None:
    """
    A server that closes its connections, or goes silent on one, is asked once
    more on another; a server that does not answer on that rests, and the next
    one is asked.
    """
    first, second = (finding(alice=[person("alice")]) for _ in range(2))
    world = World(first, second)
    assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    before = world.connections
    world.drop()
    assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    assert world.connections == before + 2
    assert not second.asked
    first.silent = True
    world.reactor.advance(2)
    with capturedLogs() as events:
        assert world.result(logIn(world, "alice"), 5) == b"alice"
    assert "ldap://127.0.0.1:1001 does not answer: no answer in time" in logged(events)
    asked = len(first.asked)
    assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    assert len(first.asked) == asked
    first.silent = False
    world.reactor.advance(6)
    assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    assert len(first.asked) > asked


def test_mute() -> None:
    """On a kept connection that lost its way a question costs a part of its time."""
    directory = finding(alice=[person("alice")])
    world = World(directory)
    assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    kept, world._pairs = world._pairs, []
    world.reactor.advance(2)
    assert world.result(logIn(world, "alice"), 4.5) == b"alice"
    assert len(kept) == 2


def test_slowBind() -> None:
    """
    A password is sent once, however long the directory thinks about it: it
    counts what is wrong.
    """
    directory = finding(alice=[person("alice")])
    world = World(directory)
    assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    directory.passwords.clear()
    directory.mute = True
    before = len(directory.bound)
    world.reactor.advance(2)
    failure = world.result(logIn(world, "alice", "wrong"), 6)
    assert isinstance(failure, Unavailable)
    assert len(directory.bound) == before + 1


@pytest.mark.parametrize(
    "found",
    [
        [person("a"), person("b")],
        # Samba knows no size limit.
        [person(f"u{i}") for i in range(9)],
        # sizeLimitExceeded.
        4,
    ],
    ids=["two", "nine", "limit"],
)
def test_ambiguous(found: Found) -> None:
    """
    A filter that finds several lets nobody in; that is a try that failed, and
    nobody's trouble else.
    """
    world = World(finding(bad=found, alice=[person("alice")]))
    with capturedLogs() as events:
        refused = world.result(logIn(world, "bad"), 0.3)
        assert world.result(logIn(world, "alice"), 0.3) == b"alice"
    assert type(refused) is Refused
    assert (refused.reason, refused.counts) == ("ambiguous", True)
    assert not events
    assert isinstance(world.result(world.checker.groupsOf("bad")), Refused)


def test_strangeBind() -> None:
    """A bind that a directory answers strangely is that user's trouble."""
    directory = finding(bad=[person("bad")], alice=[person("alice")])
    directory.passwords[f"uid=bad,{BASE}"] = 80
    world = World(directory)
    with capturedLogs() as events:
        failure = world.result(logIn(world, "bad"))
        assert world.result(logIn(world, "alice")) == b"alice"
    assert isinstance(failure, Unavailable)
    assert "result code 80" in failure.why
    assert not events


# One person, one name.


def test_twoNames() -> None:
    """
    An entry with two values of the attribute has the one in its distinguished
    name; where that is none of them it is refused, with a remedy.
    """
    both: Entry = (f"uid=alice,{BASE}", {"uid": ["al", "alice"]})
    other: Entry = (f"cn=Bob,{BASE}", {"uid": ["bob", "bobby"]})
    world = World(finding(alice=[both], al=[both], bob=[other]))
    assert world.result(logIn(world, "alice")) == b"alice"
    assert world.result(logIn(world, "al")) == b"alice"
    assert world.result(world.checker.groupsOf("al")) is None
    assert world.result(world.checker.canonicalName("al")) == "alice"
    world._directories[1001].passwords[other[0]] = "x"
    refused = world.result(logIn(world, "bob"), 0.3)
    assert refused.reason == "ambiguous"
    assert "user_name" in refused.why


def test_disabled() -> None:
    """
    Whoever does not meet the filter's other conditions is not there, by
    whatever name they are looked for.
    """
    enabled = "(!(userAccountControl:1.2.840.113556.1.4.803:=2))"
    asked: list[str] = []

    def search(base: str, text: str) -> Found:
        asked.append(text)
        return []

    table: dict[str, Any] = {
        "user_filter": f"(&(|(mail={{user}})(cn={{user}}*)){enabled})"
    }
    world = World(Directory(search), user_name="uid", **table)
    assert world.result(world.checker.groupsOf("alice")) is None
    assert world.result(world.checker.canonicalName("alice")) is None
    assert asked == [
        f"(&{enabled}(|(uid=alice)(uid=alice)))",
        f"(&{enabled}(|(cn=alice*)(mail=alice)))",
    ]


# Active Directory.

GROUPS = [f"CN=G{i},OU=Groups,{BASE}" for i in range(4)]
SECURITY, DISTRIBUTION = "-2147483646", "2"


DOMAIN = "DC=corp,DC=test"


def sid(number: int) -> bytes:
    return b"\1\5\0\0\0\0\0\5" + number.to_bytes(4, "little")


def domain(tokens: list[bytes]) -> Directory:
    """A domain controller: the second group is a list for mail, the third gone."""

    def search(base: str, text: str) -> Found:
        if base == DOMAIN:
            return [(base, {"lockoutThreshold": ["5"]})]
        if base == BASE:
            return [person("alice")] if "(uid=alice)" in text else []
        if base == f"uid=alice,{BASE}":
            return [(base, {"tokenGroups": list(tokens)})] if tokens else [(base, {})]
        if base not in GROUPS or base == GROUPS[2]:
            return 32
        number = GROUPS.index(base)
        kind = DISTRIBUTION if number == 1 else SECURITY
        return [(base, {"objectSid": [sid(number)], "groupType": [kind]})]

    directory = Directory(search)
    directory.root = {
        "supportedCapabilities": [CAPABILITY, b"1.2.3"],
        "defaultNamingContext": [DOMAIN],
    }
    return directory


def test_tokens() -> None:
    """
    Of Active Directory one search tells all groups, however many: nested ones,
    and the primary one. The configuration's names are looked up once.
    """
    directory = domain([sid(number) for number in range(200)])
    world = World(directory)
    for name in GROUPS:
        world.checker.normal(name)
    expected = {world.checker.normal(GROUPS[i]) for i in (0, 3)}
    assert world.result(world.checker.groupsOf("alice")) == expected
    assert len(directory.asked) == 3 + len(GROUPS)
    assert world.result(world.checker.groupsOf("alice")) == expected
    assert len(directory.asked) == 5 + len(GROUPS)
    # One that is gone, and one that no token has, whoever is a member.
    missing = {world.checker.normal(GROUPS[i]) for i in (1, 2)}
    assert world.result(world.checker.missing()) == missing


@pytest.mark.parametrize(
    ("value", "error"),
    [
        # A page of no entries, after which another one comes (RFC 2696 section 2).
        (b"\x30\x08\x02\x01\x00\x04\x03abc", TooMuch),
        (b"\x30\x03\x02\x01\x00", NotServed),
        (b"abc", NotServed),
    ],
)
def test_strangePages(value: bytes, error: type[Exception]) -> None:
    """Pages that do not end are given up; what asks for none is no page."""
    link = Link()
    link.makeConnection(StringTransport())
    link.transport.abortConnection = lambda: link.connectionLost()
    asking = ensureDeferred(link.search(BASE, True, ANYTHING, ("1.1",), 1000))
    failures: list[Any] = []
    asking.addErrback(failures.append)
    for _ in range(100):
        if failures:
            break
        (number,) = link.onwire
        answer = pureldap.LDAPMessage(
            pureldap.LDAPSearchResultDone(resultCode=0),
            controls=[(b"1.2.840.113556.1.4.319", False, value)],
            id=number,
        )
        link.dataReceived(answer.toWire())
    assert failures[0].check(error)


def test_noTokens() -> None:
    """An account that may not read them is told so, and nobody has no groups."""
    world = World(domain([]))
    failure = world.result(world.checker.groupsOf("alice"))
    assert isinstance(failure, Unavailable)
    assert "Windows Authorization Access Group" in failure.why


@pytest.mark.parametrize(("tries", "warned"), [(4, False), (5, True), (0, True)])
def test_lockout(tries: int, warned: bool) -> None:
    """A domain that locks accounts before the gateway refuses tries is told of."""
    world = World(domain([sid(0)]))
    world.checker.tries(tries)
    with capturedLogs() as events:
        for _ in range(2):
            world.result(world.checker.groupsOf("alice"))
    text = f"ad locks an account after 5 wrong passwords, and auth.throttle.per_user is {tries}"
    assert logged(events).count(text) == warned


def test_ownFilter() -> None:
    """Whoever has a filter of their own for groups is not asked for tokens."""
    directory = domain([sid(0)])
    world = World(directory, group_filter="(member={dn})")
    assert world.result(world.checker.groupsOf("alice")) == frozenset()
    assert directory.asked[-1] == (BASE, f"(member=uid=alice,{BASE})")
