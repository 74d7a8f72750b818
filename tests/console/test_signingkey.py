"""
C{socksgw audit key}: the key that signs the journal.
"""

from __future__ import annotations

from pathlib import Path

from tests.live.running import socksgw


def test_aKey(tmp_path: Path) -> None:
    """It is for its owner alone; what is printed is public."""
    made = socksgw("audit", "key", "audit.key", cwd=tmp_path)
    assert made.returncode == 0
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert made.stdout.startswith("-----BEGIN PUBLIC KEY-----")
    assert 'signing_key = "audit.key"' in made.stderr
    again = socksgw("audit", "key", "--public", "audit.key", cwd=tmp_path)
    assert again.stdout == made.stdout
    secret = (tmp_path / "audit.key").read_text().splitlines()[1]
    assert secret not in made.stdout + made.stderr + again.stdout + again.stderr


def test_whatIsThereIsNotOverwritten(tmp_path: Path) -> None:
    """Status 2, and the remedy."""
    socksgw("audit", "key", "audit.key", cwd=tmp_path)
    before = (tmp_path / "audit.key").read_bytes()
    again = socksgw("audit", "key", "audit.key", cwd=tmp_path)
    assert again.returncode == 2
    assert "--public" in again.stderr
    assert (tmp_path / "audit.key").read_bytes() == before


def test_noDirectory(tmp_path: Path) -> None:
    """Status 2, one line."""
    made = socksgw("audit", "key", "none/audit.key", cwd=tmp_path)
    assert made.returncode == 2
    assert (
        made.stderr == "socksgw audit key: none/audit.key: No such file or directory\n"
    )
    read = socksgw("audit", "key", "--public", "audit.key", cwd=tmp_path)
    assert read.returncode == 2
