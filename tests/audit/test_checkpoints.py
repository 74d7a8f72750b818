"""
Signed checkpoints: when they are written, and what they prove.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from socksgw.audit.checkpoints import CheckpointKeys, Checkpoints, checkpointLine
from socksgw.console.signingkey import keyMain
from socksgw.system.files import FileError
from tests.fakes.journal import Kept, event
from tests.live.servers import program


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key; its public key is beside it."""
    out = io.StringIO()
    assert keyMain(tmp_path / "audit.key", False, out, io.StringIO()) == 0
    (tmp_path / "audit.pub").write_text(out.getvalue())
    return tmp_path / "audit.key"


def signed(directory: Path, key: Path, lines: int = 10, every: float = 600.0) -> Kept:
    """A journal that is signed; nothing is written yet."""
    kept = Kept(directory / "audit").open()
    kept.journal.checkpoints = Checkpoints(key, "edge", lines, every)
    return kept


def heads(kept: Kept) -> list[int]:
    """The lines that are signed."""
    found = [each for each in kept.lines() if each["event"] == "checkpoint"]
    return [int(each["head"].partition(":")[0]) for each in found]


def test_itIsWrittenAfterLines(tmp_path: Path, key: Path) -> None:
    """So many, at most; the first at once."""
    kept = signed(tmp_path, key)
    for number in range(25):
        kept.append(event(number))
        kept.turn()
    assert heads(kept) == [1, 11, 21]
    public = CheckpointKeys(key.with_suffix(".pub"))
    for line in kept.lines():
        if line["event"] == "checkpoint":
            assert public.wrong(line) == ""
            number, _, digest = line["head"].partition(":")
            assert kept.lines()[int(number) - 1]["hash"] == digest


def test_itIsWrittenAfterTime(tmp_path: Path, key: Path) -> None:
    """Where there are new lines: an idle gateway does not sign its own signatures."""
    kept = signed(tmp_path, key, every=60.0)
    kept.append(event(1))
    kept.turn()
    for seconds in (30, 40, 200):
        kept.turn(seconds)
        kept.journal.look()
        kept.turn()
    assert heads(kept) == [1]
    kept.append(event(2))
    kept.turn()
    kept.journal.look()
    kept.turn()
    assert heads(kept) == [1, 3]


def test_theLastLineIsSigned(tmp_path: Path, key: Path) -> None:
    """When the journal is closed in order."""
    kept = signed(tmp_path, key)
    for number in range(4):
        kept.append(event(number))
    kept.close()
    *_, before, last = kept.lines()
    assert last["head"] == f"{before['n']}:{before['hash']}"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"head": f"2:{'0' * 64}"}, "has a signature that is wrong"),
        ({"gateway": "other"}, "has a signature that is wrong"),
        ({"signature": "AAAA"}, "has a signature that is wrong"),
        (
            {"key": "00" * 8},
            "is signed by the key 0000000000000000, which is not given",
        ),
        ({"key": "zz"}, "is none"),
        ({"signature": "not base64!"}, "is none"),
        ({"head": 17}, "is none"),
        ({"gateway": None}, "is none"),
        ({"key": []}, "is none"),
    ],
)
def test_whatIsForged(
    tmp_path: Path, key: Path, changes: dict[str, Any], why: str
) -> None:
    """Nothing of a checkpoint can be exchanged, and no text of it is an exception."""
    kept = signed(tmp_path, key)
    kept.append(event(1))
    kept.turn()
    line = kept.lines()[-1] | changes
    assert why in CheckpointKeys(key.with_suffix(".pub")).wrong(line)


def test_othersMakeAndReadTheKeys(tmp_path: Path, key: Path) -> None:
    """OpenSSL makes keys that sign, and verifies what ours has signed (RFC 8032)."""
    openssl = program("openssl", "openssl")
    theirs = tmp_path / "theirs.key"
    subprocess.run(
        [openssl, "genpkey", "-algorithm", "ed25519", "-out", theirs], check=True
    )
    theirs.chmod(0o600)
    Checkpoints(theirs, "edge", 10, 60.0)
    line = Checkpoints(key, "edgé", 10, 60.0).line(17, "ab" * 32, 0.0)
    (tmp_path / "text").write_bytes(
        b"socksgw audit checkpoint 1\n17:" + b"ab" * 32 + "\nedgé".encode()
    )
    signature = line.rpartition('"signature":"')[2].removesuffix('"')
    (tmp_path / "signature").write_text(signature + "\n")
    raw = subprocess.run(
        [openssl, "base64", "-d", "-A", "-in", tmp_path / "signature"],
        check=True,
        capture_output=True,
    ).stdout
    (tmp_path / "raw").write_bytes(raw)
    checked = subprocess.run(
        [
            openssl, "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "audit.pub",
            "-rawin", "-in", tmp_path / "text", "-sigfile", tmp_path / "raw",
        ],
        check=False,
        capture_output=True,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_aKeyThatOthersRead(tmp_path: Path, key: Path) -> None:
    """It is refused, and the text has the remedy and nothing of the key."""
    key.chmod(0o644)
    with pytest.raises(FileError, match="chmod") as raised:
        Checkpoints(key, "edge", 10, 60.0)
    assert key.read_text().splitlines()[1] not in str(raised.value)


def test_names() -> None:
    """Whatever a gateway is called, its line is JSON in ASCII."""
    assert checkpointLine('e"é', "1:ab", "k", "s").isascii()
