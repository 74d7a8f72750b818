"""
What C{--version} tells.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import OpenSSL
import pytest

import twisted
from socksgw.console.command import main
from socksgw.console.version import _commit


def git(directory: Path, *arguments: str) -> str:
    """Run git in a tree of its own."""
    names = ["-c", "user.name=a", "-c", "user.email=a@example"]
    return subprocess.run(
        ["git", *names, "-C", str(directory), *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_whatItRunsOn(capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines, and exit status 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"socksgw [0-9.]+, commit [0-9a-z]+(, changed)?, not compiled", first
    )
    for each in (f"Twisted {twisted.__version__}", OpenSSL.__version__, "OpenSSL "):
        assert each in second


def test_theCommitOfAWorkingTree(tmp_path: Path) -> None:
    """And whether it was changed since."""
    package = tmp_path / "socksgw"
    package.mkdir()
    assert _commit(package) == "commit unknown"
    (package / "a").write_text("1")
    git(tmp_path, "init", "--quiet")
    assert _commit(package) == "commit unknown"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    git(tmp_path, "tag", "-a", "-m", "t", "v1")
    commit = git(tmp_path, "rev-parse", "--short=12", "HEAD").strip()
    assert _commit(package) == f"commit {commit}"
    (package / "a").write_text("2")
    assert _commit(package) == f"commit {commit}, changed"


def test_theCommitOfADistribution(tmp_path: Path) -> None:
    """It has no tree beside it; a file tells."""
    (tmp_path / "commit.txt").write_text("0123456789ab, changed\n")
    assert _commit(tmp_path) == "commit 0123456789ab, changed"
