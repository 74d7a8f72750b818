"""
Logins by their names, with secrets from files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.client.logins.named import loginBy, secretIn
from socksgw.client.logins.password import PasswordLogin


def kept(directory: Path, text: str, mode: int = 0o600) -> Path:
    """Return a file with a secret."""
    file = directory / "secret"
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("text", ["canary", "canary\n", "canary\r\n", "canary\n# x\n"])
def test_firstLine(tmp_path: Path, text: str) -> None:
    """The secret is the first line, however that ends."""
    assert secretIn(kept(tmp_path, text)) == b"canary"


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("canary-1", 0o644, "chmod"),
        ("", 0o600, "empty"),
        ("\ncanary-1", 0o600, "empty"),
    ],
)
def test_notUsed(tmp_path: Path, text: str, mode: int, why: str) -> None:
    """What others can read is no secret, and an empty one is none."""
    file = kept(tmp_path, text, mode)
    with pytest.raises(ValueError, match=why) as caught:
        secretIn(file)
    assert str(file) in str(caught.value)
    assert "canary-" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    """The text names the file."""
    with pytest.raises(ValueError, match="nowhere"):
        secretIn(tmp_path / "nowhere")


def test_byName(tmp_path: Path) -> None:
    """A login is told by its name, or by the other options."""
    file = kept(tmp_path, "canary")
    assert loginBy("") is None
    assert loginBy("none") is None
    assert isinstance(loginBy("userpass", "alice", file), PasswordLogin)
    assert isinstance(loginBy("", "alice", file), PasswordLogin)


@pytest.mark.parametrize(
    ("name", "user", "file"),
    [
        ("magic", "", ""),
        ("none", "alice", ""),
        ("none", "", "x"),
        ("userpass", "", ""),
        ("userpass", "alice", ""),
        ("", "", "x"),
    ],
)
def test_notTogether(name: str, user: str, file: str) -> None:
    """Options that do not go together are told."""
    with pytest.raises(ValueError, match="login"):
        loginBy(name, user, Path(file) if file else None)
