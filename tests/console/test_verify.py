"""
C{socksgw audit verify}: what it prints, and its exit status.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from socksgw.audit import chain
from socksgw.config.schema import AuditConfig, Config, GatewayConfig
from socksgw.console.verify import verifyMain
from tests.fakes.journal import Kept, event


def of(directory: Path) -> Config:
    """A configuration with that journal."""
    gateway = GatewayConfig(state_dir=str(directory.parent))
    return Config(gateway=gateway, audit=AuditConfig(journal=directory.name))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A journal of ten lines in one file, which is closed."""
    kept = Kept(tmp_path / "audit").open()
    for number in range(10):
        kept.append(event(number))
    kept.close()
    return kept


def test_aJournalThatIsWhole(kept: Kept) -> None:
    """The head is printed as C{--head} takes it."""
    out = io.StringIO()
    assert verifyMain(of(kept.directory), out) == 0
    last = kept.lines()[-1]
    assert f"head {last['n']}:{last['hash']}" in out.getvalue()


def test_aLineThatWasChanged(kept: Kept) -> None:
    """One line for each problem, the verdict, and status 1."""
    (file,) = chain.files(kept.directory)
    file.write_bytes(file.read_bytes().replace(b'"session":4', b'"session":5'))
    out = io.StringIO()
    assert verifyMain(of(kept.directory), out) == 1
    problem, verdict = out.getvalue().splitlines()
    assert f"{file.name}:5: " in problem
    assert "NOT whole" in verdict


def test_aHeadKeptElsewhere(kept: Kept) -> None:
    """The journal that it is of is whole, another one is not."""
    last = kept.lines()[-1]
    head = (last["n"], last["hash"])
    other = Kept(kept.directory.parent / "other").open()
    other.append(event(100))
    other.close()
    out = io.StringIO()
    assert verifyMain(of(other.directory), out, [head]) == 1
    assert verifyMain(of(kept.directory), out, [head]) == 0


def test_aDirectoryThatIsNotThere(tmp_path: Path) -> None:
    """One line with the remedy, and status 2."""
    out = io.StringIO()
    assert verifyMain(of(tmp_path / "none"), out) == 2
    assert "--config" in out.getvalue()
