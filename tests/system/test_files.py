"""
Files that the configuration names.
"""

from __future__ import annotations

import errno
import grp
import os
from pathlib import Path
from typing import Any

import pytest

from socksgw.system import files
from socksgw.system.files import (
    FileError,
    ownDirectory,
    readFile,
    readSecret,
    stampOf,
    trustGroups,
    unreadable,
)


def test_content(tmp_path: Path) -> None:
    """Whole, whoever else can read it."""
    file = tmp_path / "file"
    file.write_bytes(b"content\0")
    file.chmod(0o644)
    assert readFile(file) == b"content\0"


def test_notThere(tmp_path: Path) -> None:
    """The system's own error says so."""
    with pytest.raises(FileNotFoundError):
        readFile(tmp_path / "file")


def test_notAFile(tmp_path: Path) -> None:
    """A FIFO is not waited for."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileError, match="not a regular file"):
        readFile(tmp_path / "fifo")


def test_tooLarge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound."""
    monkeypatch.setattr(files, "_MOST", 10)
    (tmp_path / "file").write_bytes(bytes(10))
    assert readFile(tmp_path / "file") == bytes(10)
    (tmp_path / "file").write_bytes(bytes(11))
    with pytest.raises(FileError, match="larger"):
        readFile(tmp_path / "file")


@pytest.fixture
def strangersGroup(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group of every file has other members, too."""
    monkeypatch.setattr(files, "_groupIsOurs", lambda found: False)


@pytest.mark.usefixtures("strangersGroup")
@pytest.mark.parametrize(
    ("mode", "remedy"),
    [(0o640, "chmod g-rwx"), (0o604, "chmod o-rwx"), (0o620, "chmod g-rwx")],
)
def test_secret(tmp_path: Path, mode: int, remedy: str) -> None:
    """A secret is its owner's alone; the remedy is told."""
    file = tmp_path / "key"
    file.write_bytes(b"sesame")
    file.chmod(0o600)
    assert readSecret(file) == b"sesame"
    file.chmod(mode)
    with pytest.raises(FileError, match=remedy) as caught:
        readSecret(file)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o660])
def test_ourGroup(tmp_path: Path, mode: int) -> None:
    """
    Where the group of a file is nobody's but ours, as that of a container's
    volume, what its group can do counts for nothing. Others' rights do.
    """
    file = tmp_path / "key"
    file.write_bytes(b"sesame")
    os.chown(file, -1, os.getegid())
    file.chmod(mode)
    assert files._groupIsOurs(file.stat())
    assert readSecret(file) == b"sesame"
    file.chmod(mode | 0o004)
    with pytest.raises(FileError, match="others can read it"):
        readSecret(file)


def test_groupIsAskedForOnce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who is in a group is asked once for a configuration: a directory may have to
    tell, while the reactor waits.
    """
    asked: list[int] = []

    def group(gid: int) -> Any:
        asked.append(gid)
        raise KeyError(gid)

    gid = os.getegid() or 4711
    monkeypatch.setattr(grp, "getgrgid", group)
    monkeypatch.setattr(files, "supplementary", lambda: frozenset({gid}))
    file = tmp_path / "key"
    file.write_bytes(b"sesame")
    os.chown(file, -1, gid)
    file.chmod(0o640)
    try:
        for count in (1, 2):
            trustGroups([])
            for _ in range(3):
                assert readSecret(file) == b"sesame"
            assert asked == [gid] * count
    finally:
        trustGroups([])


@pytest.mark.usefixtures("strangersGroup")
def test_trustedGroups(tmp_path: Path) -> None:
    """
    Groups that the operator trusts may read, by name and by number; those
    that were trusted before and are not any more may not.
    """
    gid = os.getegid()
    file = tmp_path / "key"
    file.write_bytes(b"sesame")
    os.chown(file, -1, gid)
    file.chmod(0o640)
    name = grp.getgrgid(gid).gr_name
    try:
        for each in (name, str(gid)):
            assert trustGroups([each]) == []
            assert readSecret(file) == b"sesame"
            assert trustGroups(["no such group"]) == ["no such group"]
            with pytest.raises(FileError, match=f'trusted_groups = ."{name}"'):
                readSecret(file)
    finally:
        assert trustGroups([]) == []


@pytest.mark.usefixtures("strangersGroup")
def test_groupOfAnothersFile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who reads a file by its group's right alone is not told to take that away
    without becoming its owner.
    """
    file = tmp_path / "key"
    file.write_bytes(b"sesame")
    file.chmod(0o440)
    us = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: us)
    with pytest.raises(FileError, match=f"remedy: chown {us} {file} && chmod g-rwx"):
        readSecret(file)


def test_theDirectoryOfAnother(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is told to start as whose it is, before it takes that one's directory."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    remedy = rf"remedy: start the gateway as user {owner} \(twistd --uid\), or chown 0 "
    with pytest.raises(FileError, match=remedy + str(tmp_path)):
        ownDirectory(tmp_path)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or the first directory on the way to it, is what has to be opened."""
    closed = tmp_path / "closed"
    file = closed / "within" / "key"

    def access(path: Path, mode: int, *, effective_ids: bool) -> bool:
        assert (mode, effective_ids) == (os.X_OK, True)
        return path not in forbidden

    monkeypatch.setattr(os, "access", access)
    us = os.geteuid()
    denied = PermissionError(errno.EACCES, "Permission denied")
    forbidden = {closed, closed / "within"}
    assert unreadable(file, denied).endswith(f"denied; let user {us} enter {closed}")
    forbidden = set()
    assert unreadable(file, denied).endswith(
        f"let user {us} read it: chown {us} {file}"
    )
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert unreadable(file, gone) == f"{file}: No such file or directory"


def test_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What systemd hands over may show its mask as the group's permissions."""
    file = tmp_path / "key"
    file.write_bytes(b"sesame")
    file.chmod(0o640)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert readSecret(file) == b"sesame"
    file.chmod(0o604)
    with pytest.raises(FileError):
        readSecret(file)


def test_stamp(tmp_path: Path) -> None:
    """Another content, mode or file has another stamp."""
    file = tmp_path / "file"
    stamps = [stampOf(file)]
    file.write_bytes(b"1")
    stamps.append(stampOf(file))
    file.write_bytes(b"12")
    stamps.append(stampOf(file))
    file.chmod(0o600)
    stamps.append(stampOf(file))
    assert stamps[0] is None
    assert len(set(stamps)) == 4
    assert stampOf(file) == stamps[-1]
