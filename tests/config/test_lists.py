"""
Files with lists of networks and names.
"""

from __future__ import annotations

import pickle
from hashlib import sha256
from pathlib import Path

import pytest

from socksgw.config.lists import listFiles
from socksgw.config.loading import ConfigError, loads, relisted
from tests.live.running import OPEN
from tests.tools.examining import examined

TEXT = OPEN.replace(
    "[[rule]]",
    '[networks]\nblocked = { file = "lists/blocked.txt" }\nmore = ["blocked", "10.0.0.1"]\n'
    '[[rule]]\nid = "no"\ndeny = "any"\nto = ["more"]\n[[rule]]',
    1,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The list."""
    file = tmp_path / "lists/blocked.txt"
    file.parent.mkdir()
    return file


def test_wordsOfAList(tmp_path: Path, file: Path) -> None:
    """
    One in a line, with remarks, a byte-order mark and the line ends of Windows; a
    worker is given it as it was read.
    """
    octets = (
        b"\xef\xbb\xbf# all\r\n\r\n  =bad.example # a remark\r\n2001:db8::/32#\n*.x"
    )
    file.write_bytes(octets)
    config = loads(TEXT, "gw.toml", tmp_path)
    assert config.networks["blocked"] == ("=bad.example", "2001:db8::/32", "*.x")
    assert list(listFiles(config)) == [file]
    assert examined(config).errors == []
    given = pickle.loads(pickle.dumps(config))
    assert given == config
    assert given.networks["blocked"].file == "lists/blocked.txt"
    written = sha256(TEXT.encode()).hexdigest()
    assert config.written == written
    assert config.digest == sha256(written.encode() + octets[3:]).hexdigest()
    file.write_text("=other.example\n")
    again = relisted(config)
    assert again.digest == sha256(f"{written}=other.example\n".encode()).hexdigest()
    assert (again.written, again.mark) == (written, again.digest[:12])
    assert relisted(config).networks["blocked"] == ("=other.example",)
    assert relisted(config).networks["more"] == config.networks["more"]


def test_whatIsWrongInAList(tmp_path: Path, file: Path) -> None:
    """Each line by file and number, also where the list is used twice."""
    file.write_text("# all\n10.0.0.1/8\n\n0.0.0.0 ads.example\nbad.example\nmore\n=x\n")
    found = examined(TEXT, directory=tmp_path)
    config = loads(TEXT, "gw.toml", tmp_path)
    lines = list(found.lines(config, "wrong"))
    wrong = [line for line in lines if line.startswith("gw.toml: lists/blocked.txt:")]
    said = [line.removeprefix("gw.toml: lists/blocked.txt:") for line in wrong]
    assert [line.partition(" ")[0] for line in said] == ["2:", "4:", "5:"]
    assert "did you mean 10.0.0.0/8?" in said[0]
    assert 'a host name is written "=bad.example"' in said[2]
    assert any("contains itself" in line for line in lines)
    assert all("networks.blocked" in line for line in said)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ('{ file = "none.txt" }', "no such file"),
        ("{ file = '.' }", "not a regular file"),
        ('{ file = "" }', "file must be a path"),
        ("{ file = 5 }", "must be a string"),
        ('{ files = "x" }', "unknown key"),
        ('"blocked.txt"', "must be an array of networks and names, or a table"),
        ('["10.0.0.1", 5]', "must be a string"),
    ],
)
def test_wrongTables(tmp_path: Path, value: str, why: str) -> None:
    """What is no list is refused at the start."""
    with pytest.raises(ConfigError) as refused:
        loads(f"networks.x = {value}\n", "gw.toml", tmp_path)
    assert why in str(refused.value).lower()
    assert str(refused.value).startswith("gw.toml:1: networks.x")


def test_aListThatIsIncludedToo(tmp_path: Path) -> None:
    """It is a mistake, and told as one."""
    (tmp_path / "x").write_text('[[rule]]\nid = "a"\nallow = "any"\nto = ["nowhere"]\n')
    text = 'include = ["x"]\n' + OPEN + '[networks]\nlist = { file = "x" }\n'
    found = examined(text, directory=tmp_path)
    lines = list(found.lines(loads(text, "gw.toml", tmp_path), "wrong"))
    assert any("nowhere" in line for line in lines)
    assert any(line.startswith("gw.toml: x:1: networks.list: ") for line in lines)


def test_aListOfAnIncludedFile(tmp_path: Path, file: Path) -> None:
    """Its path begins at the directory of the main file, as all paths do."""
    text = 'include = ["more.toml"]\n' + OPEN
    (tmp_path / "more.toml").write_text(
        '\n[networks]\nblocked = { file = "lists/blocked.txt" }\n'
    )
    with pytest.raises(ConfigError, match=r"gw.toml: more.toml:3: networks.blocked"):
        loads(text, "gw.toml", tmp_path)
    file.write_text("10.0.0.0/8\n")
    config = loads(text, "gw.toml", tmp_path)
    assert config.networks["blocked"] == ("10.0.0.0/8",)
