"""
URLs of databases, and what is said of one that cannot be used.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from socksgw.warehouse import reading
from socksgw.warehouse.engines import fileOf, urlOf
from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer
from tests.live.disks import fill, smallDisk
from tests.live.servers import missing
from tests.tools.journals import chainOf, decision


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("sqlite:///audit.db", "/state/audit.db"),
        ("sqlite:///sub/a.db\n", "/state/sub/a.db"),
        ("sqlite:////var/a.db", "/var/a.db"),
        ("postgresql://u:p@h/d", None),
        ("postgres:///d", None),
    ],
)
def test_files(text: str, file: str | None) -> None:
    """Relative paths begin in the directory of the gateway's state."""
    found = fileOf(urlOf(text, Path("/state")))
    assert found == (Path(file) if file else None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("audit.db", "has to begin with"),
        ("postgresql://u:p@h:x/d", "malformed"),
        ("mysql://h/d", "has to begin with"),
        ("postgresql://h", "names no database"),
        ("sqlite://", "sqlite:///FILE"),
        ("sqlite:///:memory:", "sqlite:///FILE"),
        ("sqlite:///a.db?mode=ro", "sqlite:///FILE"),
        ("sqlite://host/a.db", "sqlite:///FILE"),
    ],
)
def test_wrongOnes(text: str, why: str) -> None:
    with pytest.raises(WarehouseError, match=why):
        urlOf(text, Path("/state"))


def test_aPasswordIsNeverTold(tmp_path: Path) -> None:
    """Neither of a malformed URL nor of a server that is not there."""
    with pytest.raises(WarehouseError) as raised:
        urlOf("postgresql://u:canary@h:x/d", tmp_path)
    assert "canary" not in str(raised.value)
    writer = Writer("postgresql://u:canary@127.0.0.1:1/d", tmp_path, "gw")
    with pytest.raises(WarehouseError, match="start the server") as raised:
        writer.open()
    assert "canary" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_aFileThatAnotherProgramHasLocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socksgw.warehouse.engines._BUSY", 0.01)
    writer = Writer("sqlite:///audit.db", tmp_path, "gw")
    writer.open()
    writer.close()
    other = sqlite3.connect(tmp_path / "audit.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WarehouseError, match="database is locked: another program"):
        writer.open()
    other.execute("COMMIT")
    other.close()
    assert writer.open() == 0
    writer.close()


def test_aDirectoryThatIsNotThere(tmp_path: Path) -> None:
    writer = Writer("sqlite:///none/audit.db", tmp_path, "gw")
    with pytest.raises(WarehouseError, match="correct the path"):
        writer.open()


def test_anotherUser(tmp_path: Path) -> None:
    """They neither read nor write it, and are told why."""
    if os.geteuid() != 0:
        missing("only root can become another user: run as root")
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(each.stat().st_mode | 0o055)
    writer = Writer("sqlite:///audit.db", tmp_path, "gw")
    writer.write(chainOf([decision(1)]))
    os.seteuid(65534)
    try:
        with pytest.raises(WarehouseError, match="this user may not open it"):
            reading.open("sqlite:///audit.db", tmp_path)
        with pytest.raises(WarehouseError, match="Permission denied"):
            Writer("sqlite:///audit.db", tmp_path, "gw").open()
    finally:
        os.seteuid(0)
    writer.close()


def test_aFullDisk(tmp_path: Path) -> None:
    """Nothing is lost, and it goes on by itself when there is room again."""
    with smallDisk(tmp_path / "state", 1 << 20) as disk:
        writer = Writer("sqlite:///audit.db", disk, "gw")
        lines = chainOf([decision(i) for i in range(2_000)])
        writer.write(lines[:100])
        fill(disk)
        with pytest.raises(WarehouseError, match="full: free space, or set keep"):
            writer.write(lines[100:300])
        (disk / "filler").unlink()
        assert writer.open() == 100
        writer.write(lines[100:300])
        assert writer.position == 300
        writer.close()
