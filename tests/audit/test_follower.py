"""
Following the journal while it is written, and what people read of it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.audit import chain
from socksgw.audit.follower import ConsoleFollower, Follower, followMain
from socksgw.audit.human import Human, humanLine
from tests.fakes.journal import Kept, event


def polled(follower: Follower) -> list[int]:
    """The sessions of the lines that came."""
    found: list[int] = []
    while octets := follower.poll():
        assert octets.endswith(b"\n")
        found += [json.loads(line)["session"] for line in octets.splitlines()]
    return found


def test_theNextLinesOrAllOfThem(tmp_path: Path) -> None:
    """From the first line that is kept, or from the next that comes."""
    kept = Kept(tmp_path).open()
    kept.append(event(1), event(2))
    every, coming = Follower(tmp_path, True), Follower(tmp_path, False)
    assert (polled(every), polled(coming)) == ([1, 2], [])
    kept.append(event(3))
    assert (polled(every), polled(coming)) == ([3], [3])
    assert (polled(every), polled(coming)) == ([], [])
    kept.close()


def test_aJournalThatIsNotThereYet(tmp_path: Path) -> None:
    """Nothing, until there is something."""
    follower = Follower(tmp_path / "audit", False)
    assert polled(follower) == []
    kept = Kept(tmp_path / "audit").open()
    assert polled(follower) == []
    kept.append(event(1))
    assert polled(follower) == [1]
    kept.close()


def test_whoWaitsForAJournalIsTold(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong --config is not a silence without an end."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("socksgw.audit.follower.time.sleep", interrupted)
    out = io.StringIO()
    assert followMain(tmp_path / "audit", out, False, False, False) == 0
    assert out.getvalue() == ""
    said = capsys.readouterr().err
    assert str(tmp_path / "audit") in said
    assert "--config" in said


def test_thePositionMovesAcrossRotations(tmp_path: Path) -> None:
    """No line is lost or told twice, however the looks fall."""
    kept = Kept(tmp_path).open()
    often, once, first = (Follower(tmp_path, True) for _ in range(3))
    seen: list[int] = []
    told = polled(first)
    for number in range(20):
        kept.append(event(number))
        if number % 3 == 0:
            seen += polled(often)
        if number % 4 == 0:
            kept.journal._rotate()
        if number % 5 == 0:
            seen += polled(often)
    seen += polled(often)
    assert seen == polled(once) == told + polled(first) == list(range(20))
    kept.close()


def test_aLineThatComesJustBeforeARotationIsNotMissed(tmp_path: Path) -> None:
    """
    Between the look at the end of a file and the look for the next one, a line
    may come and the file be left.
    """
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    follower = Follower(tmp_path, True)
    assert polled(follower) == [1]
    look = follower._next

    def late() -> Path | None:
        if kept.journal.number == 1:
            found = look()
            kept.append(event(2))
            kept.journal._rotate()
            kept.append(event(3))
            return found if found is not None else look()
        return look()

    follower._next = late  # type: ignore[method-assign]
    assert sorted(polled(follower) + polled(follower)) == [2, 3]
    kept.close()


def test_aTornLineIsNotTold(tmp_path: Path) -> None:
    """Only whole lines."""
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    kept.close()
    (file,) = chain.files(tmp_path)
    follower = Follower(tmp_path, False)
    octets = file.read_bytes()
    for cut in range(1, len(octets)):
        file.write_bytes(octets + octets[:cut])
        assert polled(follower) == [] if cut < len(octets) else [1]
    file.write_bytes(octets + octets)
    assert polled(follower) == [1]


def test_aFileThatIsDroppedMeanwhile(tmp_path: Path) -> None:
    """Who is behind goes on with what is left."""
    kept = Kept(tmp_path).open()
    kept.append(event(1))
    follower = Follower(tmp_path, True)
    assert polled(follower) == [1]
    kept.append(event(2))
    kept.journal._rotate()
    kept.append(event(3))
    chain.files(tmp_path)[0].unlink()
    assert polled(follower) == [3]
    kept.close()


DECISION: dict[str, Any] = {
    "event": "decision",
    "n": 17,
    "session": 1,
    "listener": "lan",
    "client": "127.0.0.1:4000",
    "user": "anonymous",
    "asked": "192.168.1.1",
    "name": None,
    "port": 80,
    "verdict": "deny",
    "rule": "no-private",
    "why": "a rule denies it",
    "addresses": [],
}


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


def decisions(kept: Kept, count: int) -> None:
    body = json.dumps(DECISION)[1:-1].replace('"n": 17, ', "")
    kept.append(*[body.replace('": "', '":"')] * count)


def test_theForegroundPrintsWhatCanBeReadAndCountsTheRest(tmp_path: Path) -> None:
    """The first lines whole, of the others the number."""
    kept = Kept(tmp_path).open()
    out = io.StringIO()
    console = ConsoleFollower(kept.reactor, tmp_path, out, False, "")
    console.start()
    decisions(kept, 2)
    kept.turn(0.25)
    assert out.getvalue().count("DENY") == 2
    decisions(kept, 1025)
    kept.turn(0.25)
    assert out.getvalue().count("DENY") == 27
    assert "1,000 more decisions" in out.getvalue()
    decisions(kept, 1)
    console.stop()
    assert out.getvalue().count("DENY") == 28
    kept.close()


def test_whoseEndIsPassedOverIsForgotten(tmp_path: Path) -> None:
    """What was said of a session is kept until its end, be that read or not."""
    kept = Kept(tmp_path).open()
    out = io.StringIO()
    console = ConsoleFollower(kept.reactor, tmp_path, out, False, "")
    console.start()

    def failed(session: int) -> str:
        return (
            f'"event":"end","session":{session},"address":null,"reason":"refused",'
            '"reply":5'
        )

    for session in range(1, 26):
        grant = {**DECISION, "verdict": "allow", "session": session}
        body = json.dumps(grant, separators=(",", ":"))[1:-1]
        kept.append(body.replace('"n":17,', ""))
    kept.append(failed(3), failed(4))
    kept.turn(0.25)
    assert out.getvalue().count("ALLOW") == 25
    assert "FAILED" not in out.getvalue()
    kept.append(failed(3), failed(5))
    kept.turn(0.25)
    assert "FAILED session 3: refused" in out.getvalue()
    assert "FAILED anonymous → 192.168.1.1:80 · from 127.0.0.1:4000: refused" in (
        out.getvalue()
    )
    console.stop()
    kept.close()
