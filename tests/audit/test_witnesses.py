"""
A journal that was rewritten, or cut, is found by its signatures and by its sinks.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.audit.checkpoints import CheckpointKeys, Checkpoints
from socksgw.audit.verify import Verification, verify
from socksgw.audit.witnesses import Copy, Signatures
from socksgw.console.signingkey import keyMain
from tests.fakes.journal import Kept, event
from tests.tools.rewriting import rewritten

LINES = 5000


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a key and its public key, and another pair."""
    directory = tmp_path_factory.mktemp("keys")
    for name in ("audit", "other"):
        out = io.StringIO()
        keyMain(directory / f"{name}.key", False, out, io.StringIO())
        (directory / f"{name}.pub").write_text(out.getvalue())
    return directory


@pytest.fixture
def kept(tmp_path: Path, keys: Path) -> Kept:
    """A journal that is signed each ten lines."""
    kept = Kept(tmp_path / "audit").open()
    kept.journal.checkpoints = Checkpoints(keys / "audit.key", "edge", 10, 600.0)
    for number in range(LINES):
        kept.journal.append(event(number))
        if number % 20 == 0:
            kept.turn()
    kept.close()
    return kept


def signatures(keys: Path, name: str = "audit", gateway: str = "edge") -> Signatures:
    return Signatures(CheckpointKeys(keys / f"{name}.pub"), gateway, 10)


def checked(kept: Kept, *witnesses: Signatures | Copy) -> Verification:
    return verify(kept.directory, witnesses=witnesses)


def test_whatIsWhole(kept: Kept, keys: Path) -> None:
    """Signed up to the last line but the checkpoint itself."""
    found = checked(kept, signatures(keys))
    assert found.problems == []
    assert f"signed up to line {found.last - 1}" in found.remarks[-1]


def test_aRewrittenJournal(kept: Kept, keys: Path) -> None:
    """All hashes fit, and the signatures do not."""
    rewritten(kept.directory, b'"session":4000', b'"session":9000')
    assert checked(kept).problems == []
    found = checked(kept, signatures(keys)).problems
    assert "signs another line" in found[0]
    *told, more, tail = found
    assert len(told) == 10
    assert more.startswith("and ")
    assert "are not signed" in tail


def test_aRewrittenJournalWithoutSignatures(kept: Kept, keys: Path) -> None:
    """Who takes the checkpoints out, too, has a tail that is too long."""
    rewritten(kept.directory, b'"event":"checkpoint"', b'"event":"resumed"')
    found = checked(kept, signatures(keys)).problems
    assert found == ["no checkpoint is signed by the keys that are given"]


def test_anotherKeyAndAnotherGateway(kept: Kept, keys: Path) -> None:
    """Neither is believed."""
    assert "which is not given" in checked(kept, signatures(keys, "other")).problems[0]
    found = checked(kept, signatures(keys, gateway="lab")).problems
    assert 'is of the gateway "edge", not of "lab"' in found[0]


# What a sink has.


def copyOf(kept: Kept, **changes: str) -> Iterator[tuple[int, str]]:
    for line in kept.lines():
        yield line["n"], changes.get(f"n{line['n']}", line["hash"])


def copy(kept: Kept, lines: Iterator[tuple[int, str]], last: int = 0) -> Copy:
    return Copy("siem", lines, lambda: last)


def test_aCopyThatAgrees(kept: Kept) -> None:
    """Some lines have come twice, some are not there yet, and older ones are kept."""
    lines = list(copyOf(kept))
    several = [*lines[:50], *lines[40:-5]]
    found = checked(kept, copy(kept, iter(several)))
    assert found.problems == []
    assert f"has {len(lines) - 5} of the {len(lines)} lines" in found.remarks[-1]


def test_aRewrittenFileAndItsCopy(kept: Kept) -> None:
    """From the first line that was changed on."""
    lines = list(copyOf(kept))
    rewritten(kept.directory, b'"session":4998', b'"session":9998')
    found = checked(kept, copy(kept, iter(lines))).problems
    assert 'is not the one that the sink "siem" has' in found[0]


def test_aFileThatWasCut(kept: Kept) -> None:
    """Also where the file head agrees."""
    lines = list(copyOf(kept))
    rewritten(kept.directory, b"", b"", cut=7)
    assert checked(kept).problems == []
    found = checked(kept, copy(kept, iter(lines))).problems
    last = len(lines) - 7
    assert found == [
        f'the sink "siem" has 7 more lines, and the journal ends with line {last}'
    ]


def test_aJournalThatIsWritten(kept: Kept) -> None:
    """While it is verified; the sink has the new lines already."""
    lines = list(copyOf(kept))
    more = [(lines[-1][0] + 1, "0" * 64)]
    found = checked(kept, copy(kept, iter(lines + more), last=more[0][0]))
    assert found.problems == []
