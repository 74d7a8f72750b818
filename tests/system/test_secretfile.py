"""
Secrets in files that change while the gateway runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from socksgw.system.files import FileError
from socksgw.system.secretfile import SecretFile


def written(path: Path, octets: bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(octets)
    return path


@pytest.mark.parametrize(
    "octets", [b"canary", b"canary\n", b"canary\r\n", b"\xef\xbb\xbfcanary\n"]
)
def test_theEndOfTheLine(tmp_path: Path, octets: bytes) -> None:
    """What editors put behind and before a secret is not of it."""
    assert SecretFile(written(tmp_path / "f", octets)).read() == b"canary"


@pytest.mark.parametrize(
    "octets",
    [b"", b"\n", b"canary\nanother\n", b"can\0ary", b"\xff\xfec\0", b"c" * 70000],
    ids=["empty", "line", "two lines", "zero", "UTF-16", "long"],
)
def test_noSecrets(tmp_path: Path, octets: bytes) -> None:
    """What is no secret is refused, and not shown."""
    with pytest.raises(FileError) as raised:
        SecretFile(written(tmp_path / "f", octets))
    assert str(tmp_path / "f") in str(raised.value)
    assert "canary" not in str(raised.value)


def test_changes(tmp_path: Path) -> None:
    """A new secret is used at once; one that others can read is not, nor is the old."""
    path = written(tmp_path / "f", b"old")
    file = SecretFile(path)
    path.write_bytes(b"canary")
    assert (file.read(), file.problem()) == (b"canary", "")
    assert "canary" not in repr(file)
    path.chmod(0o644)
    with capturedLogs() as events:
        for _ in range(2):
            with pytest.raises(FileError, match="others can read it"):
                file.read()
        assert "others can read it" in file.problem()
    assert len(events) == 1
    path.chmod(0o600)
    assert file.read() == b"canary"
    path.unlink()
    with pytest.raises(FileError, match="No such file"):
        file.read()


def test_aMissingFile(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(FileError, match="No such file"):
        SecretFile(tmp_path / "f")
