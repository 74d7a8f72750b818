"""
The chain of hashes from line to line.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from socksgw.audit import chain
from tests.fakes.journal import only


def test_aLinesHashIsOfTheLineBeforeAndItself(directory: Path) -> None:
    """
    SHA-256 of the line before's hash (64 zeros for the first), followed by the
    line as it would stand without C{hash}.
    """
    previous = "0" * 64
    for octets in only(directory).read_bytes().splitlines():
        body, _, rest = octets.rpartition(b',"hash":"')
        digest = sha256(previous.encode() + body).hexdigest()
        assert rest == digest.encode() + b'"}'
        assert json.loads(octets)["hash"] == digest
        previous = digest


def test_linesAreVersionedNumberedAndTimed(directory: Path) -> None:
    """Every line has v, n, time and event first, and hash last."""
    for number, octets in enumerate(only(directory).read_bytes().splitlines(), 1):
        line = json.loads(octets)
        assert list(line)[:4] == ["v", "n", "time", "event"]
        assert list(line)[-1] == "hash"
        assert (line["v"], line["n"]) == (1, number)
        assert line["time"] == "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize("length", [10, 65535, 65536, 65537, 200_000])
def test_theLastWholeLineIsFoundHoweverLong(tmp_path: Path, length: int) -> None:
    """`tail` of files whose lines are shorter and longer than what it reads."""
    file = tmp_path / "audit-000000000001.jsonl"
    line = b"x" * length
    for before in (b"", b"first\n", b"y" * 70_000 + b"\n"):
        for torn in (b"", b"torn", b"t" * 70_000):
            file.write_bytes(before + line + b"\n" + torn)
            assert chain.tail(file) == (len(before) + length + 1, line)
    file.write_bytes(line)
    assert chain.tail(file) == (0, b"")
    file.write_bytes(b"")
    assert chain.tail(file) == (0, b"")
