"""
The habits of the project.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.running import ROOT, TWISTD, environment, socksgw

MODULES = sorted((ROOT / "socksgw").rglob("*.py"))


def defined(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Public classes and functions of a module, and their public methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if (
                        isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
                        and inner.name[0] != "_"
                    ):
                        yield f"{node.name}.{inner.name}", inner


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module(path: Path) -> None:
    """A module can be read at one sitting, and says what it is for."""
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert text.count("\n") <= 600
    for name, node in defined(tree):
        if isinstance(node, ast.ClassDef):
            assert ast.get_docstring(node), name


def test_everyOptionIsShown() -> None:
    """etc/socksgw.toml is good as it stands."""
    checked = socksgw("check", str(ROOT / "etc" / "socksgw.toml"))
    assert checked.returncode == 0, checked.stdout


#: An interpreter whose environments have a pip that fails, as without a network.
OFFLINE = """#!/bin/sh
[ "$2" != venv ] && exit
mkdir -p "$3/bin"
printf '#!/bin/sh\\nexit 1\\n' >"$3/bin/pip"
chmod +x "$3/bin/pip"
"""


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o755, "make run PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER"), (0o555, "is read-only")],
)
def test_makeThatCannotInstall(mode: int, said: str) -> None:
    """Without a network, and in a read-only checkout, it says what to do."""
    # Below /tmp, since pytest's directories are closed to others.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file in ("Makefile", "setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / file, directory)
        (directory / "python").write_text(OFFLINE)
        (directory / "python").chmod(0o755)
        directory.chmod(mode)
        # Root may write whatever the mode is.
        other = 65534 if os.geteuid() == 0 and mode == 0o555 else None
        ran = subprocess.run(
            ["make", "VENV=.venv", "ARGS=", "PYTHON=./python", "run"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            user=other,
        )
        directory.chmod(0o755)
    assert ran.returncode == 2
    assert said in ran.stdout
    assert "twistd --nodaemon" not in ran.stdout


def test_theUnitWritesNoCore() -> None:
    """A core would hold the passwords that are being checked."""
    unit = (ROOT / "etc" / "socksgw.service").read_text().splitlines()
    assert "LimitCORE=0" in unit


def test_plugin() -> None:
    """twistd knows the gateway, and its help teaches."""
    shown = subprocess.run(
        [TWISTD, "socksgw", "--help"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in ("--config", "--listen", "--auth", "--help-auth", "curl -x socks5h://"):
        assert word in shown


def test_pyproject() -> None:
    """pyproject.toml holds only what setup.cfg cannot."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(document) == {"build-system", "tool"}
    assert set(document["tool"]) == {"ruff", "towncrier"}


def test_wireIsPure() -> None:
    """wire/ can be used where nothing of Twisted is installed."""
    program = (
        "import sys\n"
        "import socksgw.wire.client, socksgw.wire.server, socksgw.wire.userpass\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('twisted', 'zope', 'attrs', 'OpenSSL')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "[]\n"


def test_publicNames() -> None:
    """What programs and plug-ins import does not depend on the modules within."""
    from socksgw import config, gateway, testing
    from socksgw.config import defaults, loading
    from socksgw.gateway import factory, starting
    from socksgw.gateway import gateway as running
    from socksgw.testing import contract, datagrams

    assert config.load is loading.load
    assert config.defaultConfig is defaults.defaultConfig
    assert gateway.Gateway is running.Gateway
    assert gateway.SocksFactory is factory.SocksFactory
    assert gateway.CannotStart is starting.CannotStart
    assert testing.AuthMethodContract is contract.AuthMethodContract
    assert testing.DatagramNetwork is datagrams.DatagramNetwork
    with pytest.raises(AttributeError):
        gateway.nothing  # noqa: B018


@pytest.mark.parametrize(
    "name",
    # The others are modules of these.
    sorted(
        {p.stem for p in (ROOT / "tests" / "bench").glob("*.py")}
        - {"aims", "machine", "peers", "usage"}
    ),
)
def test_benchmarks(name: str) -> None:
    """C{make bench} starts each of them as a program; their imports hold."""
    subprocess.run(
        [sys.executable, f"tests/bench/{name}.py", "--help"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
