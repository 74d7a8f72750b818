"""
Following the journal while it is written.
"""

from __future__ import annotations

import json
from pathlib import Path

from socksgw.audit import chain
from socksgw.audit.follower import Follower
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
            kept.journal._tail.rotate()
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
            kept.journal._tail.rotate()
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
    kept.journal._tail.rotate()
    kept.append(event(3))
    chain.files(tmp_path)[0].unlink()
    assert polled(follower) == [3]
    kept.close()
