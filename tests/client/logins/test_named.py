"""
Logins by their names, with secrets from files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.client.logins.certificate import CertificateLogin
from socksgw.client.logins.named import LOGINS, loginBy
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.logins.token import TokenLogin


def kept(directory: Path, text: str, mode: int = 0o600) -> Path:
    """Return a file with a secret."""
    file = directory / "secret"
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    ("text", "mode", "why"), [("canary-1", 0o644, "chmod"), ("", 0o600, "empty")]
)
def test_notUsed(tmp_path: Path, text: str, mode: int, why: str) -> None:
    """What others can read is no secret, and an empty one is none."""
    file = kept(tmp_path, text, mode)
    with pytest.raises(ValueError, match=why) as caught:
        loginBy("userpass", "alice", file)
    assert str(file) in str(caught.value)
    assert "canary-" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    """The text names the file."""
    with pytest.raises(ValueError, match="nowhere"):
        loginBy("token", tokenFile=tmp_path / "nowhere")


def test_byName(tmp_path: Path) -> None:
    """A login is told by its name, or by the other options."""
    file = kept(tmp_path, "canary")
    assert loginBy("") is None
    assert loginBy("none") is None
    for name in ("userpass", ""):
        assert isinstance(loginBy(name, "alice", file), PasswordLogin)
    for name in ("token", ""):
        assert isinstance(loginBy(name, tokenFile=file), TokenLogin)
    assert isinstance(loginBy("certificate"), CertificateLogin)


@pytest.mark.parametrize(
    ("name", "user", "password", "token"),
    [
        ("magic", "", "", ""),
        *((name, "", "x", "") for name in LOGINS if name != "userpass"),
        *((name, "", "", "x") for name in LOGINS if name != "token"),
        ("none", "alice", "", ""),
        ("token", "alice", "", "x"),
        ("certificate", "alice", "", ""),
        ("userpass", "", "", ""),
        ("userpass", "alice", "", ""),
        ("token", "", "", ""),
        ("", "", "x", ""),
        ("gssapi", "", "", ""),
        ("negotiate", "", "", ""),
    ],
)
def test_notTogether(name: str, user: str, password: str, token: str) -> None:
    """Options that do not go together are told."""
    with pytest.raises(ValueError, match="login"):
        loginBy(
            name,
            user,
            Path(password) if password else None,
            Path(token) if token else None,
        )
