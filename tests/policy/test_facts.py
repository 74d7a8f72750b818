"""
The facts of a question, as people write them and as a line of the journal has them.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from socksgw.policy.facts import destination, factsOf
from tests.fakes.policy import LISTEN

DIRECTORY = (
    LISTEN
    + """
[groups]
staff = { directory = ["cn=staff,dc=example"], members = ["carol"] }
own = ["bob"]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff", "@own"]
"""
)


def test_groupsThatADirectoryKnew() -> None:
    """A record says the user's groups, and is explained by a directory's of then."""
    line = {
        "event": "decision", "user": "alice", "groups": ["gone", "own", "staff"],
        "method": "userpass", "command": "connect", "asked": "8.8.8.8", "name": None,
        "port": 80, "addresses": ["8.8.8.8"], "client": "127.0.0.1:5", "listener": "lan",
        "time": "2026-03-02T10:00:00+00:00",
    }  # fmt: skip
    config = loads(DIRECTORY, "gw.toml")
    facts = factsOf(line, config)
    assert facts is not None
    # She is in [groups] own no more, and what "gone" was nobody knows.
    assert facts.groups == {"staff"}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("https://a.example", "a URL; say host and port: a.example:443"),
        ("HTTP://a.example/b?c", "a URL; say host and port: a.example:80"),
        ("https://a.example:8443/b", "a URL; say host and port: a.example:8443"),
        ("https://[2001:db8::7]/", r"host and port: \[2001:db8::7\]:443"),
        ("a.example", 'connect needs a port, as in "a.example:443"'),
        ("2001:db8::7", r'connect needs a port, as in "\[2001:db8::7\]:443"'),
        ("a.example:https", "the port is not a number"),
        ("10.0.1.700:80", '"10.0.1.700": '),
    ],
)
def test_whatIsNoDestination(text: str, remedy: str) -> None:
    """What people paste is named, with what to say instead."""
    with pytest.raises(ValueError, match=remedy):
        destination(text, "connect")
