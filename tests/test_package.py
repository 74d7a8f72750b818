"""
What the distributions of this project hold: wheel and source.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.live.running import ROOT, environment

_BUILD = """
import sys
from setuptools.build_meta import build_sdist, build_wheel
directory = sys.argv[1]  # which setuptools overwrites
build_wheel(directory)
build_sdist(directory)
"""
CHAPTERS = {path.name for path in (ROOT / "socksgw" / "manual").glob("*.rst")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of both, built from a copy of this tree."""
    copy = tmp_path_factory.mktemp("tree") / "socksgw"
    for name in ("socksgw", "twisted"):
        leftOut = shutil.ignore_patterns("__pycache__", "dropin.cache")
        shutil.copytree(ROOT / name, copy / name, ignore=leftOut)
    for name in ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    found = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(found)],
        cwd=copy,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return found


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


def test_theInstalledManual(built: Path, tmp_path: Path) -> None:
    """A gateway that was installed from the wheel prints it."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import sys, socksgw, socksgw.console.command as command\n"
        "print(socksgw.__file__)\n"
        "sys.exit(command.main(['help', 'chap']))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert shown.startswith(f"{tmp_path}/socksgw/")
    assert "HMAC-MD5" in shown


def test_theSourceHasTheManual(built: Path) -> None:
    """Whoever packages it gets all that the wheel is made of."""
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"socksgw/manual/{each}" for each in CHAPTERS} <= names
    assert {"README.rst", "LICENSE", "setup.cfg", "pyproject.toml"} <= names
