"""
Tables are bounded, and their sums are right all the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from socksgw.records import tally
from socksgw.records.requests import Ended
from socksgw.records.tally import TABLES, Tally, destinationOf


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "event": "decision", "time": "2026-11-28T02:10:21.000Z", "user": "alice",
        "listener": "lan", "client": f"10.0.{number % 250}.7:9", "command": "connect",
        "asked": "", "name": f"host{number}.example", "port": 443, "verdict": "allow",
        "rule": "web", **more,
    }  # fmt: skip


def test_clientsCannotFillTheMemory(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However many destinations they ask for: the lesser ones are one sum, and what is
    made of all, as that of the user, is exact.
    """
    monkeypatch.setattr(tally, "_MOST", 50)
    whole = Tally(TABLES, 13)
    for start in range(0, 1000, 40):
        part = Tally(TABLES, 13)
        for number in range(start, start + 40):
            part.request(line(number), Ended(number, 0, 1.0, "", {}))
        whole.sums.merge(part.sums)
    sums = whole.sums
    sums.close()
    octets = sum(range(1000))
    assert sums.total().sent == octets
    (user,) = sums.tables["users"].rows()
    assert (user[1].allowed, user[1].sent) == (1000, octets)
    destinations = sums.tables["destinations"]
    assert len(destinations.held) <= 50
    assert destinations.dropped > 900
    held = sum(each.sent for _, each in destinations.rows())
    assert held + destinations.others[2] == octets
    # The greatest are there.
    assert ("host999.example:443",) in destinations.held
    assert sums.tables["access"].dropped


def test_whatEndsLateCountsOnce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that are counted behind the last part may be too many to be held, too."""
    monkeypatch.setattr(tally, "_MOST", 50)
    whole = Tally(TABLES, 13)
    for number in range(120):
        whole.request(line(number), Ended(1, 0, 1.0, "", {}))
    whole.sums.close()
    (user,) = whole.sums.tables["users"].rows()
    assert (user[1].allowed, user[1].sent) == (120, 120)
    destinations = whole.sums.tables["destinations"]
    held = sum(each.sent for _, each in destinations.rows())
    assert held + destinations.others[2] == 120
    assert len(destinations.held) <= 50


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "host7.example:443"),
        ({"name": None, "asked": "2001:db8::7"}, "[2001:db8::7]:443"),
        ({"command": "bind"}, "bind host7.example:443"),
        ({"command": "resolve", "port": 0}, "resolve host7.example"),
        ({"command": "udp"}, "udp association"),
        ({"command": "udp", "event": "flow"}, "udp host7.example:443"),
        ({"spoken": "a:1 …"}, "a:1 …"),
    ],
)
def test_destinations(more: dict[str, Any], said: str) -> None:
    """As people write them."""
    assert destinationOf(line(7, **more)) == said
