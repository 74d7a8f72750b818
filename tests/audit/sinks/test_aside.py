"""
The file of lines that a sink will never take.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from socksgw.audit.sinks.aside import Aside
from socksgw.interfaces import SinkFailed
from socksgw.testing import entriesOf
from tests.live.disks import fill, smallDisk


def test_eachLineWithWhy(tmp_path: Path) -> None:
    """A file made later goes on behind what is there; a name is no way out of it."""
    first, second = entriesOf(2)
    Aside(tmp_path, "../s").add(first, 'it said "no"')
    Aside(tmp_path, "../s").add(second, "no")
    (file,) = tmp_path.iterdir()
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert found == [
        {"why": 'it said "no"', "line": dict(first.fields)},
        {"why": "no", "line": dict(second.fields)},
    ]


def test_aFullDisk(tmp_path: Path) -> None:
    """The sink fails, and nothing is left of the line, until there is room."""
    entry = entriesOf(1)[0]
    with smallDisk(tmp_path / "disk") as disk:
        aside = Aside(disk, "s")
        aside.add(entry, "x" * 3000)
        fill(disk)
        before = aside.path.read_bytes()
        with pytest.raises(SinkFailed, match=r"no room|No space left"):
            aside.add(entry, "y" * 5000)
        assert aside.path.read_bytes() == before
        (disk / "filler").unlink()
        aside.add(entry, "y" * 5000)
        assert len(aside.path.read_bytes().splitlines()) == 2


def test_aLink(tmp_path: Path) -> None:
    """A link in its place is not followed."""
    (tmp_path / "s.refused").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SinkFailed, match=r"s\.refused"):
        Aside(tmp_path, "s").add(entriesOf(1)[0], "no")
    assert not (tmp_path / "elsewhere").exists()
