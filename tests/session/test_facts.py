"""
Facts for another process.
"""

from __future__ import annotations

import json

import pytest

from socksgw.login.realm import SocksUser
from socksgw.session.facts import decoded, encoded, userOf, userTold
from socksgw.wire.address import Address


def test_values() -> None:
    """What JSON has is as it was; sequences are tuples."""
    address = Address.parse("2001:db8::1")
    for value in (None, "text", 7, 2.5, b"\0\xff", (1, (b"x",)), frozenset({"a", "b"})):
        assert decoded(json.loads(json.dumps(encoded(value)))) == value
    found = decoded(json.loads(json.dumps(encoded(address))))
    assert (found, found.sourceKey) == (address, address.sourceKey)
    with pytest.raises(TypeError, match="object does not move"):
        encoded(object())


@pytest.mark.parametrize(
    "user",
    [
        SocksUser("anonymous", frozenset(), "none"),
        SocksUser("alice", frozenset({"staff"}), "userpass", unsure=frozenset({"x"})),
        SocksUser("eve", frozenset(), "gssapi", 9e9, True, issued=frozenset({"adm"})),
    ],
)
def test_users(user: SocksUser) -> None:
    """A user is the same one there."""
    assert userOf(json.loads(json.dumps(userTold(user)))) == user
