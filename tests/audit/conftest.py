"""
Fixtures for the tests of the journal.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.audit import segments
from tests.fakes.journal import Kept, event


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A journal of ten lines in one file."""
    kept = Kept(tmp_path / "audit").open()
    for number in range(10):
        kept.append(event(number))
    kept.close()
    return kept.directory


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 100 kB."""
    monkeypatch.setattr(segments, "_ROTATE", 100_000)
