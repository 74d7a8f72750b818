"""
The configuration of a command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.problems import ConfigError
from socksgw.console.configured import configuration, journalIn, journalOf

TEXT = """
[gateway]
state_dir = "state"
[audit]
journal = "lines"
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
"""


def test_journal(tmp_path: Path) -> None:
    """It is beside the file that is named, wherever the command runs."""
    file = tmp_path / "gw.toml"
    file.write_text(TEXT)
    config = configuration(str(file))
    assert [each.name for each in config.listen] == ["main"]
    assert journalIn(config) == journalOf(str(file)) == tmp_path / "state" / "lines"


def test_withoutAFile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is that of a gateway that has none."""
    monkeypatch.chdir(tmp_path)
    assert configuration(None).listen
    assert journalOf(None) == journalIn(configuration(None))


def test_missing(tmp_path: Path) -> None:
    """A file that is not there is an error, and not the default."""
    with pytest.raises(ConfigError):
        journalOf(str(tmp_path / "none.toml"))
