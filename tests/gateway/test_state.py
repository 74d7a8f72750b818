"""
The files that a gateway writes: what cannot be opened is told with its remedy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from socksgw.config.defaults import defaultConfig
from socksgw.config.schema import AuditConfig
from socksgw.gateway.starting import CannotStart
from socksgw.gateway.state import State
from socksgw.limits.counters import ProcessCounters
from tests.fakes.journal import Reactor


def state(directory: Path, file: str = "") -> State:
    """Of a gateway whose configuration is there."""
    clock = Reactor()
    config = evolve(defaultConfig(), directory=directory, file=file)
    config = evolve(config, audit=AuditConfig(sync="never"))
    counters = ProcessCounters(clock.seconds)
    return State(config, counters, clock, lambda call: clock.callLater(0, call))


def test_opened(tmp_path: Path) -> None:
    """Journal and quotas, and closed again."""
    made = state(tmp_path)
    made.open()
    made.journal.append('"event":"stop"')
    closed: list[object] = []
    made.close().addCallback(closed.append)
    assert (made.directory / "audit").is_dir()


@pytest.mark.parametrize(
    ("file", "remedy"), [("gw.toml", "or name another"), ("", "or start elsewhere")]
)
def test_noDirectory(tmp_path: Path, file: str, remedy: str) -> None:
    """Where a file is in its way."""
    (tmp_path / "var").write_text("")
    with pytest.raises(CannotStart, match=remedy) as caught:
        state(tmp_path, file).open()
    assert f"state_dir {tmp_path / 'var'} cannot be used" in str(caught.value)


def test_noRight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that makes it is told, with this user's number."""

    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socksgw.gateway.state.ownDirectory", denied)
    with pytest.raises(CannotStart, match=r"install -d -m 0700 -o \d+ /"):
        state(tmp_path).open()


def test_quotasThatAreNone(tmp_path: Path) -> None:
    """They are not begun anew: what was used would be had once more."""
    made = state(tmp_path)
    made.directory.mkdir(mode=0o700)
    (made.directory / "quotas.json").write_text("{")
    (made.directory / "quotas.json").chmod(0o600)
    with pytest.raises(CannotStart, match="quotas"):
        made.open()
