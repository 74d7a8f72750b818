"""
The wheel, installed by pipx and by uv.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.packages import distributions


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (found,) = distributions(tmp_path_factory.mktemp("built")).glob("*.whl")
    return found


def run(*command: str | Path, **more: str) -> str:
    """Run a program without this project in its path, and return what it prints."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [str(each) for each in command],
        cwd="/", env={**kept, **more}, capture_output=True, text=True, check=False,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_installed(tool: str, wheel: Path, tmp_path: Path) -> None:
    """The command alone is exposed; twistd of the environment finds the gateway."""
    run(sys.executable, "-m", "venv", tmp_path / "tools")
    run(tmp_path / "tools/bin/pip", "install", "--quiet", tool)
    exposed, environments = tmp_path / "exposed", tmp_path / "environments"
    program = tmp_path / "tools" / "bin" / tool
    if tool == "pipx":
        run(
            program, "install", wheel,
            PIPX_HOME=str(tmp_path / "pipx"), PIPX_BIN_DIR=str(exposed),
        )  # fmt: skip
        environments = tmp_path / "pipx" / "venvs"
    else:
        run(
            program, "tool", "install", "--python", sys.executable, wheel,
            UV_TOOL_DIR=str(environments), UV_TOOL_BIN_DIR=str(exposed),
        )  # fmt: skip
    assert [each.name for each in exposed.iterdir()] == ["socksgw"]
    version = run(exposed / "socksgw", "--version")
    assert version.startswith("socksgw 0.1.0, commit 0123456789ab, not compiled\n")
    assert "method  userpass" in run(exposed / "socksgw", "plugins")
    twistd = environments / "socksgw" / "bin" / "twistd"
    assert run(twistd, "socksgw", "--version") == version
    shared = environments / "socksgw" / "share" / "socksgw"
    run(exposed / "socksgw", "check", shared / "socksgw.toml")
