"""
The file of grants: what was written comes back, and nothing else is believed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from socksgw.config.convert import Duration
from socksgw.config.schema import GrantAsked
from socksgw.gateway.grantfile import Grant, GrantFile, GrantsUnreadable, document

ASKED = GrantAsked(("alice",), ("db", "10.1.2.3"), Duration(0.5), "T-1", ports=(22,))
GRANT = Grant(
    1, ASKED, "uid:0", 1e9, "active", "m", "token:noc", 1e9, 1e9 + 7200, 7200.0
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One that holds a grant."""
    path = tmp_path / "grants.json"
    GrantFile(path).save(1e9 + 1, 2, [GRANT])
    return path


def test_thereAndBack(file: Path) -> None:
    """Every field, and the time at which it was written."""
    assert GrantFile(file).load() == (1e9 + 1, 2, [GRANT])
    assert file.stat().st_mode & 0o777 == 0o600
    assert document(ASKED) == {
        "who": ("alice",),
        "to": ("db", "10.1.2.3"),
        "for": "500ms",
        "ticket": "T-1",
        "why": "",
        "ports": (22,),
    }


def test_none(tmp_path: Path) -> None:
    """Without a file nothing was granted."""
    assert GrantFile(tmp_path / "none").load() == (0.0, 1, [])


@pytest.mark.parametrize(
    "break_",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace('"active"', '"eternal"'),
        lambda text: text.replace('"until": 1', '"until": 1e300, "x": 1'),
        lambda text: text.replace('"until": 1000007200.0', '"until": "never"'),
        lambda text: text.replace('"until": 1000007200.0', '"until": NaN'),
        lambda text: text.replace('"until": 1000007200.0', '"until": Infinity'),
        lambda text: text.replace('"until": 1000007200.0', '"until": -1.0'),
        lambda text: text.replace('"ticket": "T-1"', '"ticket": 7'),
        lambda text: text.replace('"next": 2', '"next": 1'),
        lambda text: text.replace('"number": 1', '"nummer": 1'),
        lambda text: text.replace('"number": 1', '"number": true'),
    ],
)
def test_broken(file: Path, break_: Any) -> None:
    """It is not known then what was granted; the remedy is told."""
    before = file.read_text()
    file.write_text(break_(before))
    assert file.read_text() != before
    with pytest.raises(GrantsUnreadable, match="not a file of grants; move it away"):
        GrantFile(file).load()


def test_othersMayChangeIt(file: Path) -> None:
    """Then anybody could grant anything."""
    file.chmod(0o666)
    with pytest.raises(GrantsUnreadable, match="chmod o-w"):
        GrantFile(file).load()


def test_aLinkIsNotFollowed(file: Path, tmp_path: Path) -> None:
    """Another user's link where the new file is written is taken away."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "grants.new").symlink_to(victim)
    GrantFile(file).save(1.0, 2, [])
    assert victim.read_text() == "mine"
    assert GrantFile(file).load() == (1.0, 2, [])
