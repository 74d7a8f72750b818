"""
What tables of plug-ins hold.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.settings import Settings


@pytest.mark.parametrize(
    "content",
    [b"sesame", b"sesame\n", b"sesame\r\n", b"\xef\xbb\xbfsesame\r\n"],
)
def test_secretOfAnyEditor(tmp_path: Path, content: bytes) -> None:
    """A file with one secret means the same whatever editor wrote it."""
    file = tmp_path / "secret"
    file.touch(0o600)
    file.write_bytes(content)
    settings = Settings({"password_file": "secret"}, tmp_path)
    assert settings.secret("password_file") == b"sesame"
