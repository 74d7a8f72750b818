"""
What people read of the journal's lines.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.console.human import Human, humanLine
from tests.tools.lines import DECISION


def human(**changes: Any) -> str:
    text = humanLine({**DECISION, **changes}, False)
    assert text is not None
    return text


def test_aDenial() -> None:
    """Who, to where, by which rule, and how to ask why."""
    text = human()
    assert text.startswith('DENY anonymous → 192.168.1.1:80 by rule "no-private"')
    assert text.endswith("· why: socksgw explain --record 17")


def test_aDenialByNoRule() -> None:
    """The cause takes its place."""
    text = human(rule=None, why="no such host", name="x.example", asked="X.example")
    assert text.startswith("DENY anonymous → x.example:80")
    assert "no such host" in text
    assert "rule" not in text


def test_aGrant() -> None:
    """With the addresses that a name led to."""
    text = human(verdict="allow", name="x.example", addresses=["8.8.8.8"], rule="web")
    assert text.startswith(
        'ALLOW anonymous → x.example:80 (8.8.8.8) by rule "web" '
        "· from 127.0.0.1:4000 · why: "
    )


def test_aGrantThroughUpstreams() -> None:
    """By which; and that no address was judged, where that is so."""
    chained = {"verdict": "allow", "name": "x.example", "rule": "web", "via": "a, b"}
    assert 'x.example:80 (8.8.8.8) by rule "web" via a, b ·' in human(
        **chained, addresses=["8.8.8.8"]
    )
    assert 'x.example:80 (no address judged) by rule "web" via a, b ·' in human(
        **chained, addresses=[], judged="name"
    )


def test_aProgramOfThisMachine() -> None:
    """By its user's number and its process, where these are known."""
    grant = {"verdict": "allow", "rule": "web", "user": "uid:build", "uid": 1000}
    assert "ALLOW uid:build → " in human(**grant)
    assert " · from uid 1000 · " in human(**grant)
    assert " · from uid 1000, process 4711 · " in human(**grant, pid=4711)
    refused = {"event": "refused", "listener": "local", "why": "w", "client": "x"}
    text = humanLine({**refused, "uid": 7, "pid": 8}, False)
    assert text is not None
    assert text.startswith("REFUSE uid 7, process 8 on local: w")


def test_aTag() -> None:
    """Behind the user, of whose name it is no part."""
    assert human(user="alice", tag="job-1").startswith("DENY alice [job-1] → ")


def test_anIPv6LiteralStandsInBrackets() -> None:
    """So that its port can be told from it."""
    assert "→ [2001:db8::1]:80 " in human(asked="2001:db8::1")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            {"event": "refused", "client": "1.2.3.4:5", "listener": "l", "why": "w"},
            ("REFUSE", "1.2.3.4:5", "w"),
        ),
        (
            {
                "event": "login-failed",
                "client": "1.2.3.4:5",
                "claimed": "bob",
                "method": "userpass",
            },
            ("LOGIN FAILED", "bob", "1.2.3.4:5", "userpass"),
        ),
        (
            {
                "event": "groups-failed",
                "checker": "ad",
                "user": "bob",
                "reason": "no answer in time",
            },
            ("GROUPS UNKNOWN", "bob", "ad", "no answer in time"),
        ),
        (
            {
                "event": "refusals",
                "source": None,
                "user": "alice",
                "count": 3,
                "reasons": {"no-command": 3},
            },
            ("REFUSE alice many sources: 3 more within a second (no-command 3)",),
        ),
        (
            {
                "event": "denials",
                "source": "10.0.0.1",
                "user": "anonymous",
                "rule": "no-telnet",
                "count": 4000,
                "reasons": {"policy": 4000},
                "first": "a.example:23",
                "last": "b.example:23",
            },
            (
                'DENY anonymous → a.example:23 … b.example:23 by rule "no-telnet": ',
                "4,000 more within a second (policy 4000) · from 10.0.0.1",
            ),
        ),
        (
            {
                "event": "upstream",
                "upstream": "edge",
                "state": "ejected",
                "why": "3 sessions in a row failed: upstream-timeout",
            },
            (
                "UPSTREAM edge ejected: ",
                "3 sessions in a row failed: upstream-timeout",
            ),
        ),
        (
            {"event": "leave-by", "address": "192.0.2.7", "state": "lost"},
            ("LEAVE BY 192.0.2.7 is no address of this host",),
        ),
        (
            {"event": "leave-by", "address": "192.0.2.7", "state": "found"},
            ("LEAVE BY 192.0.2.7 is there again",),
        ),
        ({"event": "recovered", "octets": 9}, ("JOURNAL", "9")),
        ({"event": "resumed", "refused": 3, "lost": 0}, ("JOURNAL", "3")),
    ],
)
def test_theOtherFormsOfALine(line: dict[str, Any], words: tuple[str, ...]) -> None:
    """One line each."""
    text = humanLine(line, False)
    assert text is not None
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("event", ["start", "stop", "end", "something-of-later"])
def test_whatSaysNothingNew(event: str) -> None:
    """Ends, starts, stops, and what this version does not know."""
    assert humanLine({"event": event}, False) is None


def test_aLineHasItsTime() -> None:
    """UTC, as in the journal."""
    text = human(time="2026-11-23T12:34:56.789Z")
    assert text.startswith("12:34:56Z DENY anonymous")
    assert " · from 127.0.0.1:4000 · " in text


def test_whyAndReasonAreBothSaid() -> None:
    """And what Kerberos says for itself."""
    failed = {
        "event": "login-failed",
        "client": "1.2.3.4:5",
        "claimed": "",
        "method": "gssapi",
        "reason": "bad-token",
        "why": "Clock skew too great",
    }
    text = humanLine(failed, False)
    assert text is not None
    assert text.endswith("by gssapi: Clock skew too great (bad-token)")
    throttled = {**failed, "reason": "throttled", "why": "too many logins failed"}
    text = humanLine(throttled, False)
    assert text is not None
    assert text.startswith("THROTTLED '' from 1.2.3.4:5")
    assert "LOGIN FAILED" not in text
    assert human(rule=None, why="no answer in time", reason="no-such-host").count(
        "no answer in time (no-such-host)"
    )


def test_aGrantThatCameToNothingIsFollowedByItsOutcome() -> None:
    """A refused dial names who asked for what; an orderly end says nothing."""
    lines = Human(False)
    grant = {**DECISION, "verdict": "allow", "rule": "web", "session": 3}
    end = {
        "event": "end",
        "n": 18,
        "session": 3,
        "time": "2026-11-23T12:34:57.001Z",
        "address": "192.168.1.1",
        "reason": "refused",
        "reply": 5,
    }
    assert (lines.read(grant) or "").startswith("ALLOW ")
    assert lines.read(end) == (
        "12:34:57Z FAILED anonymous → 192.168.1.1:80 · from 127.0.0.1:4000 "
        "at 192.168.1.1: refused, reply 05"
    )
    lines.read(grant)
    assert lines.read({**end, "reply": 0, "reason": "closed"}) is None
    lines.read(grant)
    revoked = {**end, "reply": 0, "reason": "revoked", "why": "the user is gone"}
    assert "ENDED anonymous" in (lines.read(revoked) or "")
    # Whoever began to follow later knows the number.
    assert "FAILED session 3 at" in (lines.read(end) or "")


def test_aNarrowTerminalKeepsTheFacts() -> None:
    """What can be looked up goes first."""
    wide = humanLine(DECISION, True, "", 200) or ""
    narrow = humanLine(DECISION, True, "", 80) or ""
    assert "why: socksgw explain --record 17" in wide
    assert "explain" not in narrow
    assert narrow.endswith("· from 127.0.0.1:4000 · record 17")


def test_colourOnlyWhereItIsWanted() -> None:
    """And without it not an escape."""
    assert "\x1b" not in human()
    assert "\x1b[" in (humanLine(DECISION, True) or "")


@given(st.text(), st.text(), st.text())
def test_noControlReachesTheTerminal(user: str, why: str, rule: str) -> None:
    """Whatever a user is called: printable characters only."""
    for verdict in ("allow", "deny"):
        text = human(user=user, why=why, rule=rule, verdict=verdict)
        assert text.isprintable()
    found = humanLine(
        {
            "event": "login-failed",
            "client": "c",
            "claimed": user,
            "method": why,
        },
        False,
    )
    assert found is not None
    assert found.isprintable()
