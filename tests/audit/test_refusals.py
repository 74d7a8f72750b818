"""
Clients that get in nowhere do not fill the journal.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from socksgw.audit import chain
from socksgw.audit.refusals import Refusals
from socksgw.errors import AuditFailed
from socksgw.wire.address import Address
from tests.audit.journals import Kept, event, outcome


def source(number: int) -> Address:
    return Address(bytes((10, 0, number >> 8, number & 255)))


def sums(refusals: Refusals, now: float) -> list[dict[str, object]]:
    return [json.loads("{" + line + "}") for line in refusals.sums(now)]


def test_theFirstOnesHaveTheirLinesAndTheRestIsSummed() -> None:
    """By source, second and reason; nothing is uncounted."""
    refusals = Refusals()
    one, other = source(1), source(2)
    whole = [refusals.whole(one, "no-method") for _ in range(502)]
    assert whole == [True] * 500 + [False] * 2
    assert not refusals.whole(one, "bad-login")
    assert refusals.whole(other, "no-method")
    assert sums(refusals, 1.0) == [
        {
            "event": "refusals",
            "source": "10.0.0.1",
            "count": 3,
            "reasons": {"no-method": 2, "bad-login": 1},
        }
    ]
    assert sums(refusals, 2.0) == []
    assert refusals.whole(one, "no-method")


def test_ipv6CountsByItsNetwork() -> None:
    """One host has a whole /64 to itself."""
    refusals = Refusals()
    whole = [
        refusals.whole(Address.parse(f"2001:db8::{n:x}"), "bad-login")
        for n in range(1, 504)
    ]
    assert whole == [True] * 500 + [False] * 3
    assert sums(refusals, 1.0)[0]["source"] == "2001:db8::/64"


def test_oneSourceDoesNotUseUpTheLinesOfOthers() -> None:
    """Below half of the budget each has a few."""
    refusals = Refusals()
    loud, quiet = source(1), source(2)
    for second in range(100):
        for _ in range(1000):
            refusals.whole(loud, "bad-login")
        assert refusals.whole(quiet, "bad-login")
        assert len(sums(refusals, float(second))) == 1


def test_anyNumberOfSourcesIsBounded() -> None:
    """
    However many sources: lines of their own until the budget is used up, few
    sums a second, and the count is right.
    """
    refusals = Refusals()
    whole = summed = lines = 0
    for second in range(20):
        whole += sum(refusals.whole(source(n), "bad-login") for n in range(10_000))
        found = sums(refusals, float(second))
        assert len(found) <= 21
        lines += len(found)
        summed += sum(line["count"] for line in found)  # type: ignore[misc]
    assert whole + summed == 200_000
    assert whole <= 2_000 + 20 * 20
    assert lines <= 21 * 20


def test_theFloodOfRefusalsIsAFewKilobytesASecond(tmp_path: Path) -> None:
    """What filled 20 GB in 1.3 hours (4.2 MB a second)."""
    kept = Kept(tmp_path).open()
    line = '"event":"refused","why":"' + "x" * 400 + '"'
    for _ in range(60):
        for _ in range(8000):
            kept.journal.refusal(source(1), "no-method", lambda: line)
        kept.turn(1)
        kept.journal.look()
    kept.close()
    size = sum(file.stat().st_size for file in chain.files(tmp_path))
    assert size / 60 < 30_000
    lines = kept.lines()
    counted = sum(x["count"] for x in lines if x["event"] == "refusals")
    alone = sum(x["event"] == "refused" for x in lines)
    assert counted + alone == 60 * 8000
    assert alone <= 2_000 + 60 * 20


def test_aPartOfMaxSizeIsForThoseWhoLogIn(tmp_path: Path) -> None:
    """
    Strangers' lines end at nine tenths; users' go on; after more room strangers
    are recorded again, and a line says how many were not.
    """
    kept = Kept(tmp_path, max_size=100_000).open()
    body = f'"event":"decision","filler":"{"x" * 900}"'
    refused = 0
    for _ in range(120):
        committed = outcome(kept.journal.commit(body, stranger=True))
        kept.turn()
        refused += isinstance(committed[0], AuditFailed)
    assert refused
    assert sum("login are refused" in text for text in kept.told) == 1
    committed = outcome(kept.journal.commit(body))
    kept.turn()
    assert committed == [None]
    assert not kept.journal.failing
    config = kept.journal._config
    kept.journal.apply(type(config)(sync="never", max_size=1_000_000))
    committed = outcome(kept.journal.commit(event(), stranger=True))
    kept.turn()
    assert committed == [None]
    kept.close()
    assert [x["refused"] for x in kept.lines() if x["event"] == "resumed"] == [refused]


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("refuse", "reaches audit.max_size in 1.0 hours"),
        ("drop-oldest", "holds the last 1.0 hours"),
    ],
)
def test_growthIsAlarmed(tmp_path: Path, when: str, words: str) -> None:
    """When it is full within a day at this rate; once an hour."""
    kept = Kept(tmp_path, max_size=3_700_000, when_full=when).open()
    line = f'"event":"end","filler":"{"x" * 877}"'
    for _ in range(130):
        kept.append(line)
        kept.turn(1)
        kept.journal.look()
    (alarm,) = [text for text in kept.told if "grows" in text]
    assert words in alarm
    kept.close()
    quiet = Kept(tmp_path / "quiet", max_size=200_000_000).open()
    for _ in range(130):
        quiet.append(line)
        quiet.turn(1)
        quiet.journal.look()
    assert quiet.told == []
    quiet.close()
