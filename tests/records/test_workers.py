"""
Work in several processes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from socksgw.records import workers
from socksgw.records.extents import Extent, extentsOf


def where(extent: Extent) -> tuple[int, int]:
    return extent.start, os.getpid()


@pytest.mark.parametrize("processes", [1, 2])
def test_theOrderIsThatOfTheParts(
    journal: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is done first."""
    monkeypatch.setattr(workers, "_PART", 20_000)
    found = list(workers.overParts(where, extentsOf(journal), processes))
    assert len(found) > 20
    assert all(extent.start == start for extent, (start, _) in found)
    places = [(extent.file.name, extent.start) for extent, _ in found]
    assert places == sorted(places)
    others = {pid for _, (_, pid) in found} - {os.getpid()}
    assert bool(others) == (processes > 1)


def test_littleWorkIsDoneHere(journal: Path) -> None:
    """A process is not worth its start then."""
    ((_, (_, pid)), *_) = workers.overParts(where, extentsOf(journal))
    assert pid == os.getpid()
