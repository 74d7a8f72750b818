"""
What formats ask of a line.
"""

from __future__ import annotations

import pytest

from socksgw.audit.formats.facts import (
    milliseconds,
    placeOf,
    severity,
    succeeded,
    told,
    transport,
)
from tests.tools.journallines import LINES, line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("2001:db8:7::/64", ("2001:db8:7::/64", None)),
        ("dns.example:53", ("dns.example", 53)),
        ("192.0.2.1", ("192.0.2.1", None)),
        ("uid:1000", ("uid:1000", None)),
        ("", ("", None)),
        (None, ("", None)),
    ],
)
def test_places(text: str | None, place: tuple[str, int | None]) -> None:
    """Address and port, whatever their form."""
    assert placeOf(text) == place


def test_times() -> None:
    """Times are in UTC."""
    assert milliseconds("1970-01-01T00:00:01.5Z") == 1500


@pytest.mark.parametrize(
    ("name", "number"),
    [("allowed", 6), ("denied", 5), ("failed", 5), ("closed", 6), ("login failed", 4)],
)
def test_severities(name: str, number: int) -> None:
    """A denial is a notice; a login that failed is a warning."""
    assert severity(LINES[name]) == number


def test_severitiesOfTheProcess() -> None:
    """What is wrong is severe; that it is well again is not."""
    assert severity(line("stores", problems=["x"])) == 3
    assert severity(line("stores", problems=[])) == 6
    assert severity(line("upstream", upstream="a", state="ejected")) == 4
    assert severity(line("upstream", upstream="a", state="returned")) == 6
    assert severity(line("sink", sink="siem", state="failing")) == 4
    assert severity(line("sink", sink="siem", state="following")) == 6
    assert severity(line("missing", **{"from": 1, "to": 2})) == 2


def test_words() -> None:
    """An event in a few words."""
    assert told(LINES["allowed"]) == (
        'allowed alice connect db.corp.example:443 by rule "engineers"'
    )
    assert told(LINES["literal"]) == (
        'allowed alice connect [2001:db8::9]:443 by rule "engineers"'
    )
    assert told(LINES["denied"]) == "denied alice connect db.corp.example:443"
    assert told(LINES["closed"]) == (
        "session 7 ended: closed; 1200 octets sent, 88000 received"
    )
    assert told(LINES["login failed"]) == (
        'login of "mallory" failed: wrong-credentials'
    )
    assert told(
        line("admin", who="noc", act="kill", what="session 7", result="done")
    ) == ("admin: noc: kill session 7: done")
    assert told(
        line("sink", sink="siem", state="failing", why="no answer in time")
    ) == ("sink siem failing: no answer in time")
    assert told(line("start", gateway="edge-1", pid=7)) == "start edge-1"
    assert told(line("upstream", upstream="dmz", state="ejected", why="5 failed")) == (
        "upstream dmz ejected: 5 failed"
    )


def test_successes() -> None:
    """Lines about the process are neither successes nor failures."""
    assert succeeded(LINES["allowed"]) is succeeded(LINES["closed"]) is True
    assert succeeded(LINES["failed"]) is succeeded(LINES["refusals"]) is False
    assert succeeded(line("start")) is None


def test_transports() -> None:
    """A flow is UDP."""
    assert transport(LINES["flow ended"]) == "udp"
    assert transport(LINES["allowed"]) == "tcp"
