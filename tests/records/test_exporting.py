"""
Exports: one fixed schema, and programs that read them.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import duckdb
import pytest

from socksgw.audit.catalogue import CATALOGUE
from socksgw.console.command import main
from socksgw.records.criteria import Criteria
from socksgw.records.exporting import SCHEMA, exported, header
from tests.fakes.journal import Kept, lines
from tests.tools import traffic

CONFIG = '[[listen]]\nname = "lan"\naddress = ["127.0.0.1:0"]\n'
#: More than DuckDB looks at to find the columns.
MANY = 20_600


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal whose last line is torn."""
    directory = tmp_path_factory.mktemp("export")
    (directory / "gw.toml").write_text(CONFIG)
    audit = directory / "var" / "audit"
    traffic.kept(audit, 200_000, rotate=90_000)
    with max(audit.glob("*.jsonl")).open("ab") as out:
        out.write(b'{"v":1,"n":9999,"time":"2026-')
    return directory


def test_everyFieldHasAColumn() -> None:
    """Whatever is added to the catalogue."""
    assert {field for fields in CATALOGUE.values() for field in fields} <= set(SCHEMA)


def test_jsonLines(site: Path) -> None:
    """Every row has every column; what a line says is there."""
    rows = [
        json.loads(line)
        for _, octets in exported(site / "var" / "audit", Criteria(), "jsonl")
        for line in octets.splitlines()
    ]
    count = len(rows)
    assert all(list(row) == list(SCHEMA) for row in rows)
    whole = b"".join(
        each.read_bytes() for each in sorted((site / "var" / "audit").glob("*.jsonl"))
    ).splitlines()[:-1]
    assert count == len(whole)
    for row, octets in zip(rows, whole, strict=True):
        line = json.loads(octets)
        for name in ("n", "event", "user", "addresses", "sent", "hash"):
            assert row[name] == line.get(name)


def test_csv(tmp_path: Path) -> None:
    """Objects are JSON text, and no text is a formula."""
    kept = Kept(tmp_path).open()
    kept.append(
        '"event":"groups-failed","checker":"ad","user":"=1+1","reason":"x"',
        '"event":"refusals","source":null,"count":2,"reasons":{"throttled":2}',
    )
    kept.close()
    octets = header() + b"".join(o for _, o in exported(tmp_path, Criteria(), "csv"))
    first, second = csv.DictReader(io.StringIO(octets.decode()))
    assert list(first) == list(SCHEMA)
    assert first["user"] == "'=1+1"
    assert json.loads(second["reasons"]) == {"throttled": 2}
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_duckDB(site: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The real one reads each of them."""
    file = site / f"all.{form}"
    command = ["audit", "export", "--config", str(site / "gw.toml")]
    assert main([*command, "--output", str(file)]) == 0
    said = int(capsys.readouterr().err.split()[0].replace(",", ""))
    with duckdb.connect() as database:
        count, users, octets = database.execute(
            f"SELECT count(*), count(DISTINCT \"user\"), sum(sent) FROM '{file}'"
        ).fetchall()[0]
    whole = [
        json.loads(octets)
        for each in (site / "var" / "audit").glob("*.jsonl")
        for octets in each.read_bytes().splitlines()
        if octets.endswith(b"}")
    ]
    assert count == said == len(whole)
    assert users == len({each["user"] for each in whole if "user" in each})
    assert octets == sum(each.get("sent", 0) for each in whole)
    assert not [each for each in site.iterdir() if each.name.startswith(".")]


def test_aFieldThatComesLate(tmp_path: Path) -> None:
    """Also behind the lines that DuckDB looks at to find the columns."""
    (tmp_path / "gw.toml").write_text(CONFIG)
    kept = Kept(tmp_path / "var" / "audit").open()
    end = '"event":"end","session":1,"address":null,"bound":null,"reason":"closed"'
    kept.append(*[end] * MANY)
    kept.append('"event":"recovered","octets":7')
    kept.close()
    command = ["audit", "export", "--config", str(tmp_path / "gw.toml")]
    for form in ("jsonl", "csv", "parquet"):
        file = tmp_path / f"late.{form}"
        assert main([*command, "--output", str(file)]) == 0
        # A column without a value in those lines has the type NULL, unless DuckDB
        # looks at all of them: 2.0.1 then reads later values as NULL.
        read = {
            "jsonl": f"read_json('{file}', sample_size = -1)",
            "csv": f"read_csv('{file}', sample_size = -1)",
            "parquet": f"read_parquet('{file}')",
        }[form]
        with duckdb.connect() as database:
            query = f"SELECT octets FROM {read} WHERE event = 'recovered'"
            assert database.execute(query).fetchall() == [(7,)], form


@pytest.mark.parametrize("link", [False, True])
def test_whatIsNoFile(
    site: Path, capsys: pytest.CaptureFixture[str], link: bool, tmp_path: Path
) -> None:
    """A pipe is written to, and what a link leads to: neither of them is replaced."""
    command = ["audit", "export", "--config", str(site / "gw.toml"), "--event", "start"]
    place, there = tmp_path / "place.jsonl", tmp_path / "there.jsonl"
    if link:
        place.symlink_to(there)
        assert main([*command, "--output", str(place)]) == 0
        assert place.is_symlink()
        octets = there.read_bytes()
    else:
        os.mkfifo(place)
        reading = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
        assert main([*command, "--output", str(place)]) == 0
        octets = os.read(reading, 1 << 16)
        os.close(reading)
        assert place.is_fifo()
        assert main([*command, "--format", "parquet", "--output", str(place)]) == 2
        assert place.is_fifo()
    assert json.loads(octets)["event"] == "start"


def test_wrongUse(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, and nothing is left behind."""
    command = ["audit", "export", "--config", str(site / "gw.toml")]
    assert main([*command, "--format", "parquet"]) == 2
    assert "--output FILE" in capsys.readouterr().err
    assert main([*command, "--output", str(site / "no" / "x.jsonl")]) == 2
    assert main([*command, "--user", "nobody", "--output", str(site / "n.csv")]) == 1
    assert (site / "n.csv").read_bytes() == header()
