"""
What the distributions of this project hold: wheel and source.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.live.packages import FILES, distributions, tracked
from tests.live.running import ROOT, environment

CHAPTERS = {path.name for path in (ROOT / "socksgw" / "manual").glob("*.rst")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of both, built from a copy of this tree."""
    return distributions(tmp_path_factory.mktemp("built"))


def test_theWheelHasTheManual(built: Path) -> None:
    """So has an installed gateway; and the command, the plug-ins and the types."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    chapters = {Path(x).name for x in names if x.startswith("socksgw/manual/")}
    assert chapters == CHAPTERS
    for name in ("socksgw/py.typed", "twisted/plugins/socksgw_tap.py"):
        assert name in names
    assert not [name for name in names if name.startswith("tests/")]
    # An installation has them below share/socksgw, but for what packages are made by.
    shared = {x.partition("/share/socksgw/")[2] for x in names}
    forPeople = tracked("etc") - tracked("etc/packaging")
    assert {x.removeprefix("etc/") for x in forPeople} <= shared


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix in which the wheel is installed, by pip; what it needs is elsewhere."""
    (wheel,) = built.glob("*.whl")
    prefix = tmp_path_factory.mktemp("prefix")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--ignore-installed", "--prefix", str(prefix),
         str(wheel)],
        check=True,
        capture_output=True,
        timeout=120,
    )  # fmt: skip
    return prefix


def run(prefix: Path, *command: str, **more: str) -> str:
    """Return what an installed program prints."""
    (packages,) = prefix.glob("lib/python*/site-packages")
    return subprocess.run(
        [sys.executable, *command],
        cwd=prefix,
        env=environment(PYTHONPATH=str(packages), **more),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_theInstalledProgram(installed: Path) -> None:
    """It tells its version; twistd finds the plug-in; its own example is good."""
    versions = run(installed, str(installed / "bin" / "socksgw"), "--version")
    assert (
        versions.splitlines()[0] == "socksgw 0.1.0, commit 0123456789ab, not compiled"
    )
    assert run(installed, "-m", "twisted", "socksgw", "--version") == versions
    example = installed / "share" / "socksgw" / "examples" / "sandboxes.toml"
    assert example.read_bytes() == (ROOT / "etc/examples/sandboxes.toml").read_bytes()


def test_theInstalledManual(installed: Path) -> None:
    """A gateway that was installed from the wheel prints it."""
    program = (
        "import sys, socksgw, socksgw.console.command as command\n"
        "print(socksgw.__file__)\n"
        "sys.exit(command.main(['help', 'chap']))"
    )
    shown = run(installed, "-c", program)
    assert shown.startswith(f"{installed}/")
    assert "HMAC-MD5" in shown


def test_theSourceIsWhole(built: Path) -> None:
    """Whoever packages it gets all that the wheel is made of, and can test it."""
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"socksgw/manual/{each}" for each in CHAPTERS} <= names
    assert {*FILES, *tracked(".ci", "etc", "findings", "tests")} <= names
