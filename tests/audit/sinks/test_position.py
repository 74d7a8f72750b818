"""
Positions of sinks in files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.audit.sinks.position import Place, Position, fileOf


def test_itIsKept(tmp_path: Path) -> None:
    """And read again; what is not there is none."""
    position = Position(tmp_path, "sql:sqlite:///audit.db")
    assert position.read() is None
    for place in (Place(0), Place(17, "ab", 4)):
        position.write(place)
        assert Position(tmp_path, "sql:sqlite:///audit.db").read() == place
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("octets", [b"", b"[]", b'{"n": "1", "hash": ""}', b"\xff"])
def test_aDamagedOne(tmp_path: Path, octets: bytes) -> None:
    """The text names the file, and both remedies."""
    position = Position(tmp_path, "x")
    position.path.write_bytes(octets)
    with pytest.raises(ValueError, match="remove it") as raised:
        position.read()
    assert str(position.path) in str(raised.value)


def test_namesOfFiles() -> None:
    """Any name of a sink makes one, in its directory, that no other name makes."""
    names = ["a", "../a", "a/b", "a%2Fb", ".", "é", "x" * 250, "y" * 250]
    found = [fileOf(name) for name in names]
    assert len(set(found)) == len(names)
    for each in found:
        assert "/" not in each
        assert not each.startswith(".")
        assert len(each) < 200
