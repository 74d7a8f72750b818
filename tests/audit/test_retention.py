"""
Which of the journal's files are dropped, while others remove some, too.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from socksgw.audit import chain, segments
from socksgw.audit.ration import Ration
from socksgw.audit.refusals import Refusal
from socksgw.audit.retention import Retention
from socksgw.audit.verify import verify
from socksgw.config.convert import Duration, Octets
from socksgw.config.schema import AuditConfig
from socksgw.wire.address import Address
from tests.fakes.journal import Kept


def test_filesThatSomeoneElseRemoves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone between the listing and the look at it is no failure."""
    files = [tmp_path / chain.nameOf(number) for number in (1, 2, 3)]
    files[1].write_bytes(bytes(100))
    files[2].write_bytes(bytes(10))
    monkeypatch.setattr("socksgw.audit.retention.chain.files", lambda _: list(files))
    told: list[str] = []
    retention = Retention(
        tmp_path,
        AuditConfig(max_size=50, when_full="drop-oldest"),  # type: ignore[arg-type]
        lambda: 0.0,
        told.append,
    )
    retention.begun(files[2])
    assert retention.octets == 100
    retention.expire(3)
    assert not told
    retention.room(10)
    assert retention.octets == 0
    assert told == [f"the journal dropped {files[1].name}"]


def test_strangersDoNotWashUsersAway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With `drop-oldest` a flood of clients that get in nowhere, from however many
    sources, leaves the records of those who log in: within `keep` it fills a
    tenth of max_size at most. It is counted, to the last one.
    """
    monkeypatch.setattr(segments, "_ROTATE", 50_000)
    kept = Kept(
        tmp_path, max_size=1_000_000, when_full="drop-oldest", keep=90 * 86400.0
    ).open()
    evidence = '"event":"decision","user":"alice","asked":"db.example"'
    kept.append(evidence)
    body = '"event":"refused","why":"' + "x" * 400 + '"'
    sent = 0
    for second in range(600):
        for number in range(40):
            source = Address(bytes((10, number, second >> 8, second & 255)))
            refusal = Refusal(source, "", False, "bad-login")
            kept.journal.refusal(refusal, lambda: body)
            sent += 1
        kept.turn(1)
        kept.journal.look()
    kept.close()
    lines = kept.lines()
    assert [line["n"] for line in lines if line.get("user") == "alice"] == [1]
    size = sum(file.stat().st_size for file in chain.files(tmp_path))
    assert size < 1_000_000 / 10
    whole = sum(line["event"] == "refused" for line in lines)
    summed = sum(line["count"] for line in lines if line["event"] == "refusals")
    assert whole + summed == sent
    assert whole > 40
    assert sum("their part of the journal" in text for text in kept.told) == 1
    assert verify(tmp_path).problems == []


def test_theRationComesBack(tmp_path: Path) -> None:
    """
    A twentieth of max_size in the course of `keep`; and it is that of the
    configuration in force, of which what was used stays used.
    """
    told: list[str] = []
    config = AuditConfig(max_size=Octets(2_000_000), keep=Duration(1000.0))
    ration = Ration(config, told.append)
    assert ration.left == 100_000
    for _ in range(10):
        ration.spend("x" * 10_000)
    assert (ration.left, len(told)) == (-1_400, 1)
    ration.refill(20.0)
    assert ration.left == 600
    ration.spend("x" * 860)
    assert len(told) == 1
    ration.apply(evolve(config, max_size=Octets(4_000_000)))
    assert ration.left == 99_600
    ration.refill(1e9)
    assert ration.left == 200_000
    for _ in range(20):
        ration.spend("x" * 10_000)
    assert len(told) == 2


def test_filesThatASinkNeeds(tmp_path: Path) -> None:
    """They outlive C{keep}, and not C{max_size}."""
    files = [tmp_path / chain.nameOf(number) for number in (1, 11, 21)]
    for file in files:
        file.write_bytes(bytes(100))
    told: list[str] = []
    config = AuditConfig(keep=Duration(1), max_size=Octets(1000))
    retention = Retention(tmp_path, config, lambda: 4e9, told.append)
    retention.begun(files[2])
    for needed, left in ((1, files), (10, files), (11, files[1:])):
        retention.needed = lambda needed=needed: needed  # type: ignore[misc]
        retention.expire(3)
        assert chain.files(tmp_path) == left
    retention.config = evolve(config, max_size=Octets(120))
    retention.room(110)
    assert chain.files(tmp_path) == files[2:]
    assert told == [f"the journal dropped {file.name}" for file in files[:2]]
