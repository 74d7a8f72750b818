"""
What is refused does not fill the journal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from socksgw.audit import chain
from socksgw.audit.refusals import Refusal, Refusals
from socksgw.wire.address import Address
from tests.fakes.journal import Kept
from tests.tools.catalogue import catalogued


def source(number: int) -> Address:
    return Address(bytes((10, 0, number >> 8, number & 255)))


def stranger(where: Address, reason: str) -> Refusal:
    return Refusal(where, "", False, reason)


def denial(
    where: Address, user: str, port: int = 23, rule: str = "no-telnet"
) -> Refusal:
    loggedIn = user != "anonymous"
    return Refusal(where, user, loggedIn, "policy", f"a.example:{port}", rule)


def sums(refusals: Refusals, now: float) -> list[dict[str, Any]]:
    return [json.loads("{" + line + "}") for line, _ in refusals.sums(now)]


def test_theFirstOnesHaveTheirLinesAndTheRestIsSummed() -> None:
    """By source, second and reason; nothing is uncounted."""
    refusals = Refusals()
    one, other = source(1), source(2)
    whole = [refusals.whole(stranger(one, "no-method")) for _ in range(502)]
    assert whole == [True] * 500 + [False] * 2
    assert not refusals.whole(stranger(one, "bad-login"))
    assert refusals.whole(stranger(other, "no-method"))
    assert sums(refusals, 1.0) == [
        {
            "event": "refusals",
            "source": "10.0.0.1",
            "count": 3,
            "reasons": {"no-method": 2, "bad-login": 1},
        }
    ]
    assert sums(refusals, 2.0) == []
    assert refusals.whole(stranger(one, "no-method"))


def test_ipv6CountsByItsNetwork() -> None:
    """One host has a whole /64 to itself."""
    refusals = Refusals()
    whole = [
        refusals.whole(stranger(Address.parse(f"2001:db8::{n:x}"), "bad-login"))
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
            refusals.whole(stranger(loud, "bad-login"))
        assert refusals.whole(stranger(quiet, "bad-login"))
        assert len(sums(refusals, float(second))) == 1


def test_anyNumberOfSourcesIsBounded() -> None:
    """
    However many sources: lines of their own until the budget is used up, few
    sums a second, and the count is right.
    """
    refusals = Refusals()
    whole = summed = lines = 0
    for second in range(20):
        whole += sum(
            refusals.whole(stranger(source(n), "bad-login")) for n in range(10_000)
        )
        found = sums(refusals, float(second))
        assert len(found) <= 21
        lines += len(found)
        summed += sum(line["count"] for line in found)
    assert whole + summed == 200_000
    assert whole <= 2_000 + 20 * 20
    assert lines <= 21 * 20


def test_denialsAreSummedByRule() -> None:
    """Of the same budget as refusals; the line says what was asked for."""
    refusals = Refusals()
    one = source(1)
    whole = [refusals.whole(denial(one, "anonymous", port)) for port in range(503)]
    assert whole == [True] * 500 + [False] * 3
    assert not refusals.whole(denial(one, "anonymous", 1, ""))
    assert not refusals.whole(stranger(one, "bad-login"))
    telnet, default, refused = sums(refusals, 1.0)
    assert telnet == {
        "event": "denials",
        "source": "10.0.0.1",
        "user": "anonymous",
        "rule": "no-telnet",
        "count": 3,
        "reasons": {"policy": 3},
        "first": "a.example:500",
        "last": "a.example:502",
    }
    assert default == {
        "event": "denials",
        "source": "10.0.0.1",
        "user": "anonymous",
        "count": 1,
        "reasons": {"policy": 1},
        "first": "a.example:1",
        "last": "a.example:1",
    }
    assert (refused["event"], refused["reasons"]) == ("refusals", {"bad-login": 1})
    for line in (telnet, default, refused):
        catalogued(line)


def test_usersHaveALargerBudgetOfTheirOwn() -> None:
    """
    A flood of strangers takes nothing of it, and one user nothing of another's,
    from however many sources.
    """
    refusals = Refusals()
    lines = 0
    alices = [denial(source(n), "alice") for n in range(2000)]
    strangers = [denial(source(n), "anonymous") for n in range(2000)]
    for second in range(100):
        for alice, stranger in zip(alices, strangers, strict=True):
            lines += refusals.whole(alice)
            refusals.whole(stranger)
        assert refusals.whole(denial(source(1), "bob"))
        assert len(sums(refusals, float(second))) <= 42
    assert lines <= 5_000 + 500 + 100 * 50
    sums(refusals, 1e6)
    assert all(refusals.whole(denial(source(1), "alice")) for _ in range(500))
    for _ in range(3):
        refusals.whole(Refusal(source(1), "alice", True, "no-command"))
    (line,) = sums(refusals, 1e6 + 1)
    assert (line["event"], line["user"], line["count"]) == ("refusals", "alice", 3)


def test_sumsThatDoNotFitAreCountedTogether() -> None:
    """The largest have lines of their own, however many kinds there are."""
    refusals = Refusals()
    sums(refusals, 0.0)
    for n in range(6000):
        for _ in range(6):
            refusals.whole(denial(source(1), "anonymous", rule=str(n)))
    for _ in range(9):
        refusals.whole(denial(source(1), "anonymous", rule="100"))
    found = sums(refusals, 1.0)
    assert len(found) == 21
    assert (found[0]["rule"], found[0]["count"]) == ("100", 15)
    assert "rule" not in found[-1]
    assert found[-1]["source"] is None
    assert sum(line["count"] for line in found) == 36_009 - 500


def test_theFloodOfRefusalsIsAFewKilobytesASecond(tmp_path: Path) -> None:
    """What filled 20 GB in 1.3 hours (4.2 MB a second)."""
    kept = Kept(tmp_path).open()
    line = '"event":"refused","why":"' + "x" * 400 + '"'
    for _ in range(60):
        for _ in range(8000):
            kept.journal.refusal(stranger(source(1), "no-method"), lambda: line)
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
