"""
Whose rights the process has kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.system.rights import keptRights
from tests.live.running import environment


@pytest.mark.parametrize(
    ("users", "groups", "others", "said"),
    [
        ((5, 5, 5), (5, 5, 5), [5], None),
        ((5, 5, 5), (5, 5, 5), [], None),
        # twistd without options, and with --gid alone.
        ((0, 0, 0), (0, 0, 0), [0], "runs as root: privileges were not dropped"),
        ((0, 0, 0), (5, 5, 5), [0], "runs as root: privileges were not dropped"),
        # --euid.
        ((0, 5, 0), (0, 5, 0), [5], "root is still the real and saved user"),
        ((5, 5, 0), (5, 5, 5), [], "root is still the saved user"),
        ((5, 5, 5), (5, 5, 0), [], "root's group is still the saved group"),
        ((5, 5, 5), (0, 0, 0), [], "still the real and effective and saved group"),
        ((5, 5, 5), (5, 5, 5), [4, 0], "among the supplementary groups"),
    ],
)
def test_rightsThatWereKept(
    users: tuple[int, int, int],
    groups: tuple[int, int, int],
    others: list[int],
    said: str | None,
) -> None:
    """One line says which of root's rights are left, and what to do."""
    line = keptRights(users, groups, others)
    if said is None:
        assert line is None
    else:
        assert line is not None
        assert said in line
        assert "--uid" in line
        assert "\n" not in line


@pytest.mark.skipif(os.getuid() != 0, reason="only root has rights to drop")
def test_itIsSaidAtTheStart(tmp_path: Path) -> None:
    """One line of the log, when the ports are bound and twistd has changed ids."""
    program = (
        "import sys; from twisted.internet import reactor;"
        "from twisted.scripts.twistd import run; reactor.callLater(0.2, reactor.stop);"
        "sys.argv[0] = 'twistd'; run()"
    )
    said = {}
    for name, options in {
        "whole": ["--gid", "65534"],
        "dropped": ["--uid", "65534", "--gid", "65534"],
    }.items():
        directory = tmp_path / name
        directory.mkdir()
        directory.chmod(0o777)
        ran = subprocess.run(
            [
                sys.executable,
                "-c",
                program,
                "-n",
                *options,
                "--pidfile=",
                "socksgw",
                "-q",
                "--listen",
                "127.0.0.1:0",
            ],
            cwd=directory,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "[twisted" in ran.stdout, ran.stderr
        said[name] = ran.stdout.count("privileges were")
    assert said == {"whole": 1, "dropped": 0}
