"""
Words that stand for users in a policy.
"""

from __future__ import annotations

import pytest

from socksgw.config.reserved import (
    ANONYMOUS,
    USERS,
    isLocal,
    isLocalName,
    isReserved,
)


@pytest.mark.parametrize("name", ["", ANONYMOUS, USERS, "@staff", "@", "uid:x", "gid:"])
def test_reserved(name: str) -> None:
    """No user has such a name."""
    assert isReserved(name)


@pytest.mark.parametrize("name", ["alice", "Anonymous", "users2", "a@b", "*", "b-?"])
def test_notReserved(name: str) -> None:
    """A user may; whether a rule can name them is another question."""
    assert not isReserved(name)


def test_ofThisMachine() -> None:
    """A name or a number behind C{uid:} or C{gid:}; only C{uid:NAME} is a name."""
    words = ("uid:build", "uid:1000", "gid:docker", "build", "@uid:x", "UID:x")
    assert [isLocal(word) for word in words] == [True, True, True, False, False, False]
    assert [word for word in words if isLocalName(word)] == ["uid:build"]
