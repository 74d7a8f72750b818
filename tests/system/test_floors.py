"""
Packages that are too old.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from socksgw.system import floors
from socksgw.system.floors import outdated
from tests.live.running import Running, environment

WANTED = [
    "twisted[tls]>=26.10.0",
    "pyparsing<4,>=3.1",
    "attrs",
    'gssapi>=1.12.0; extra == "gssapi"',
]


def test_theseAreGood() -> None:
    """What the tests run with is what C{setup.cfg} wants, or newer."""
    assert outdated() == []


@pytest.mark.parametrize(
    ("twisted", "said"),
    [("26.10.0", 0), ("26.10.1", 0), ("27.4.0rc1", 0), ("26.9.9", 1), ("9.0", 1)],
)
def test_anOldOne(monkeypatch: pytest.MonkeyPatch, twisted: str, said: int) -> None:
    """By numbers; extras need not be there."""
    versions = {"twisted": twisted, "pyparsing": "3.1"}
    monkeypatch.setattr(floors, "requires", lambda _: WANTED)
    monkeypatch.setattr(floors, "version", versions.__getitem__)
    lines = outdated()
    assert len(lines) == said
    assert all(f"twisted {twisted} is older than 26.10.0" in each for each in lines)


def test_notInstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that runs from its source, say."""

    def requires(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(floors, "requires", requires)
    assert outdated() == []


def test_itIsSaidAtTheStart(tmp_path: Path) -> None:
    """One line, and the gateway serves."""
    (tmp_path / "socksgw-99.dist-info").mkdir()
    (tmp_path / "socksgw-99.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: socksgw\nVersion: 99\nRequires-Dist: attrs>=9999\n"
    )
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    gateway = Running(tmp_path, extra={"PYTHONPATH": path})
    try:
        gateway.ready()
        assert gateway.log.count(" is older than 9999, which the gateway needs") == 1
    finally:
        if gateway.process.poll() is None:
            gateway.kill()
