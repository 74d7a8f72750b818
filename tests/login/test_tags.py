"""
Tags behind names: how they are told apart, and that nothing is counted by them.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.internet.task import Clock

from socksgw.config.schema import Throttle
from socksgw.errors import AuthenticationFailed
from socksgw.login.portal import Login
from socksgw.login.tags import Tagging
from socksgw.login.throttle import LoginThrottle
from tests.login.identities import Identity
from tests.login.logins import Bearer, Checker, alice, settled


@pytest.mark.parametrize(
    ("whole", "name", "tag"),
    [
        (b"alice", b"alice", ""),
        (b"alice+job-4711", b"alice", "job-4711"),
        # The first separator ends the name.
        (b"alice+a+b", b"alice", "a+b"),
        # A realm stays with the name.
        (b"alice+job@CORP.EXAMPLE", b"alice@CORP.EXAMPLE", "job"),
        (b"alice@CORP.EXAMPLE+job", b"alice@CORP.EXAMPLE", "job"),
        (b"j\xc3\xb6rg+x", b"j\xc3\xb6rg", "x"),
        # Whoever has no name is not let in, as without a tag.
        (b"+job", b"", "job"),
        (b"alice+" + b"x" * 64, b"alice", "x" * 64),
    ],
)
def test_taken(whole: bytes, name: bytes, tag: str) -> None:
    """The tag, and what is left."""
    credentials = UsernamePassword(whole, b"sesame")
    assert Tagging("+").taken(credentials) == tag
    assert credentials.username == name


@pytest.mark.parametrize(
    "whole",
    [b"alice+", b"alice+@CORP", b"alice+a b", b"alice+\xff", b"alice+" + b"x" * 65],
)
def test_noTag(whole: bytes) -> None:
    """It is refused before anything is checked, and counts for nothing."""
    with pytest.raises(AuthenticationFailed) as told:
        Tagging("+").taken(UsernamePassword(whole, b"sesame"))
    assert (told.value.reason, told.value.counts) == ("bad-tag", False)
    assert "sesame" not in str(told.value)


def test_whereThereAreNoTags() -> None:
    """Names stay as they are; so do those that were proved, or are none."""
    credentials = UsernamePassword(b"alice+job", b"x")
    assert Tagging("").taken(credentials) == ""
    assert credentials.username == b"alice+job"
    proved = Identity(b"alice+job@corp.example")
    for each in (proved, Anonymous(), Bearer(b"a+b"), None):
        assert Tagging("+").taken(each) == ""
    assert proved.username == b"alice+job@corp.example"


def test_credentialsThatCannotBeChanged() -> None:
    """Of somebody's method: refused, since the name would be another's."""

    class Fixed:
        """Credentials of a plug-in."""

        __slots__ = ()
        username = b"alice+job"

    with pytest.raises(AuthenticationFailed) as told:
        Tagging("+").taken(Fixed())
    assert told.value.reason == "bad-tag"


def tagged(login: Login, name: bytes, password: bytes) -> Any:
    """As a session logs in."""
    credentials = UsernamePassword(name, password)
    login.tagIn(credentials)
    return settled(login, credentials)


def test_guessesAreCountedByTheName() -> None:
    """
    Other tags are no other names: neither for the count of failures nor for what is
    remembered.
    """
    clock = Clock()
    throttle = LoginThrottle(clock.seconds, lambda _, call, *of: call(*of))
    throttle.configure(Throttle(3, 50))
    checker = Checker(alice=b"sesame")
    login = Login([checker], {}, 60, clock.seconds, throttle, separator="+")
    assert tagged(login, b"alice+1", b"sesame").name == "alice"
    assert tagged(login, b"alice+2", b"sesame").name == "alice"
    assert settled(login, alice()).name == "alice"
    assert checker.asked == 1
    for number in range(3):
        tagged(login, b"alice+%d" % number, b"wrong-%d" % number)
    assert tagged(login, b"alice+9", b"sesame").reason == "throttled"
    # The same wrong password by other tags is one guess.
    assert checker.asked == 4
