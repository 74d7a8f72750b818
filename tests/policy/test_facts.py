"""
The facts of a question, as people write them and as a line of the journal has them.
"""

from __future__ import annotations

from socksgw.config.loading import loads
from socksgw.policy.facts import factsOf
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
