"""
Work in several processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.records import workers
from socksgw.records.extents import Extent, extentsOf
from tests.live.running import ROOT


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


def test_forks(journal: Path) -> None:
    """A process without threads does, and with a thread does not: as a command runs."""
    code = (
        "import os, sys, threading\n"
        "from pathlib import Path\n"
        "from socksgw.records import workers\n"
        "from socksgw.records.extents import extentsOf\n"
        "def where(extent):\n"
        "    return os.getpid()\n"
        "workers._PART = 20_000\n"
        "if __name__ == '__main__':\n"
        "    print(workers._start())\n"
        "    found = list(workers.overParts(where, extentsOf(Path(sys.argv[1])), 2))\n"
        "    print(len({pid for _, pid in found}))\n"
        "    threading.Timer(9, int).start()\n"
        "    print(workers._start())\n"
        "    sys.stdout.flush(); os._exit(0)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(journal)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert found.stdout.split()[::2] == ["fork", "spawn"]
    assert found.stdout.split()[1] in "12"
