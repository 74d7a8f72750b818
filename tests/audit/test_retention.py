"""
Which of the journal's files are dropped, while others remove some, too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.audit import chain
from socksgw.audit.retention import Retention
from socksgw.config.schema import AuditConfig


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
