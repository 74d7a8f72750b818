"""
`socksgw report`: from the journal, and the same from a warehouse.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from socksgw.audit.sinks.entries import Line
from socksgw.console.command import main
from socksgw.warehouse.writing import Writer
from tests.fakes.journal import lines
from tests.live.running import socksgwProcess
from tests.tools import traffic
from tests.tools.journals import chainOf, decision, written

CONFIG = """
[gateway]
name = "edge"
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal, and a warehouse that has all of it."""
    directory = tmp_path_factory.mktemp("report")
    (directory / "gw.toml").write_text(CONFIG)
    text = CONFIG + '[audit]\nsinks = ["sql:sqlite:///audit.db"]\n'
    (directory / "both.toml").write_text(text)
    audit = directory / "var" / "audit"
    traffic.kept(audit, 300_000, seconds=20)
    writer = Writer("sqlite:///audit.db", directory / "var", "edge")
    writer.open()
    for file in sorted(audit.glob("*.jsonl")):
        entries = [
            Line(json.loads(octets)["n"], octets)
            for octets in file.read_bytes().splitlines()
        ]
        writer.write(entries)
    writer.close()
    return directory


def said(
    site: Path, capsys: pytest.CaptureFixture[str], words: str, file: str = "gw.toml"
) -> tuple[int, str, str]:
    status = main(["report", "--config", str(site / file), *words.split()])
    found = capsys.readouterr()
    return status, found.out, found.err


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--user user00*",
        "--user user007 --user user001",
        "--since 2026-11-01T02:00 --until 2026-11-01T04:00",
        "--denied",
        "--allowed --rule web",
        "--to host1*.corp.example:443",
        "--to 10.0.0.0/8 --listener lan",
        "--client 10.1.8.0/24",
        f"--policy 0123456789ab --serial 0A1B --fingerprint {'5a' * 32}",
    ],
)
def test_theWarehouseSaysTheSame(
    site: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """Every table, with every filter."""
    words = f"--json --table all --top 0 --by hour {words}"
    found: list[dict[str, Any]] = []
    for source in ("journal", "warehouse"):
        status, out, err = said(site, capsys, f"{words} --from {source}", "both.toml")
        assert (status, err) == (0, "")
        found.append(json.loads(out))
        assert source in found[-1].pop("source")
    assert found[0] == found[1]


def test_aWarehouseThatCannotBeRead(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal is read, and that is told, unless the warehouse was asked for."""
    text = (site / "both.toml").read_text().replace("audit.db", "none.db")
    (site / "none.toml").write_text(text)
    status, out, err = said(site, capsys, "", "none.toml")
    assert status == 0
    assert "the journal is read" in err
    assert "(from the journal" in out
    status, out, err = said(site, capsys, "--from warehouse", "none.toml")
    assert (status, out) == (2, "")
    assert "no such file" in err


@pytest.mark.parametrize("words", ["", "--denied", "--allowed"])
def test_cutAfterALook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """Journal and warehouse count a session as denied that was cut for what it is."""
    end = (
        '"event":"end","session":{0},"address":"192.0.2.1","bound":null,"sent":{0},'
        '"received":0,"seconds":1.000,"reason":"{1}","reply":0,"application":"tls"{2}'
    )
    bodies = [
        decision(1),
        decision(2),
        end.format(1, "closed", ""),
        end.format(2, "inspected", ',"rule":"no-tls"'),
    ]
    entries = chainOf(bodies)
    written(tmp_path / "var" / "audit", entries)
    writer = Writer("sqlite:///audit.db", tmp_path / "var", "edge")
    writer.open()
    writer.write(entries)
    writer.close()
    text = CONFIG + '[audit]\nsinks = ["sql:sqlite:///audit.db"]\n'
    (tmp_path / "gw.toml").write_text(text)
    found: list[dict[str, Any]] = []
    for source in ("journal", "warehouse"):
        status, out, _ = said(
            tmp_path, capsys, f"{words} --json --table all --from {source}"
        )
        assert status == 0
        found.append(json.loads(out))
        found[-1].pop("source")
    assert found[0] == found[1]
    assert (found[0]["requests"], found[0]["denied"]) == {
        "": (2, 1), "--denied": (1, 1), "--allowed": (1, 0),
    }[words]  # fmt: skip


def test_linesThatArePassedOver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are counted on standard error, and in JSON."""
    (first,) = chainOf([decision(1)])
    odd = type(first)(2, first.octets.replace(b'"port":443', b'"port":{}'))
    assert odd.octets != first.octets
    written(tmp_path / "var" / "audit", [first, odd])
    (tmp_path / "gw.toml").write_text(CONFIG)
    status, out, err = said(tmp_path, capsys, "--json")
    assert (status, json.loads(out)["passed_over"]) == (0, 1)
    assert "1 line of the journal passed over" in err


def test_ofAGateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The rows are those of the name that the sink gives; clients with IPv6 are whole, and
    an end that the warehouse does not have yet is told of.
    """
    body = decision(1, client="[2001:db8::7]:4711")
    (first,) = chainOf([body])
    (late,) = chainOf(
        [body], 2, first.octets[-66:-2].decode(), "2026-11-28T10:00:00.000Z"
    )
    written(tmp_path / "var" / "audit", [first, late])
    for name, entries in (("here", [first]), ("edge", [first, late])):
        writer = Writer("sqlite:///audit.db", tmp_path / "var", name)
        writer.open()
        writer.write(entries)
        writer.close()
    table = (
        '[[audit.sink]]\nkind = "sql"\nurl = "sqlite:///audit.db"\ngateway = "here"\n'
    )
    (tmp_path / "gw.toml").write_text(CONFIG + table)
    words = "--table clients --client 2001:db8::/64 --json"
    status, out, err = said(tmp_path, capsys, words)
    assert status == 0
    (row,) = json.loads(out)["tables"]["clients"]["rows"]
    assert (row["client"], row["requests"]) == ("2001:db8::7", 1)
    assert "without 1 line of the journal" in err
    assert json.loads(out)["lacks"] == 1


def test_whoReachedWhat(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command, and the answer stands at the top."""
    status, out, err = said(site, capsys, "--user user00* --top 3")
    assert (status, err) == (0, "")
    first, second, *others = out.splitlines()
    heading, names, *rows = others[others.index("") + 1 :]
    assert first.startswith("edge, 2026-11-01 ")
    assert second == "of those with --user 'user00*'"
    assert heading.startswith("Who reached what: 3 of ")
    assert names.split()[:4] == ["user", "destination", "rule", "requests"]
    assert all(row.split()[0].startswith("user00") for row in rows[:3])


def test_files(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page, and Parquet that the real DuckDB reads."""
    page, parquet = site / "r.html", site / "r.parquet"
    assert said(site, capsys, f"--html {page}")[0] == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert said(site, capsys, f"--parquet {parquet} --top 0")[0] == 0
    query = f"SELECT sum(sent) FROM '{parquet}' WHERE \"table\" = 'users'"
    with duckdb.connect() as database:
        found = database.execute(query).fetchall()
    everything = lines(site / "var" / "audit")
    begun = {each["session"] for each in everything if each.get("verdict") == "allow"}
    ends = [each for each in everything if each["event"] == "end"]
    wanted = sum(each["sent"] for each in ends if each["session"] in begun)
    assert found == [(wanted,)]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("--user nobody", 1, "nothing found"),
        ("--table user", 2, 'did you mean "users"'),
        ("--from warehouse", 2, "no sink sql"),
        ("--since noon", 2, "yesterday"),
        ("--html /nonexistent/r.html", 2, "No such file"),
    ],
)
def test_statuses(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
    status: int,
    text: str,
) -> None:
    """Found, nothing found, wrong use."""
    found, out, err = said(site, capsys, words)
    assert (found, out) == (status, "")
    assert text in err


def test_theCommand(site: Path) -> None:
    """C{socksgw report --csv} as it is typed: one header, and what --json has."""
    words = ["report", "--config", "gw.toml", "--table", "users", "--top", "3"]
    done = socksgwProcess(*words, "--csv", cwd=site)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    done = socksgwProcess(*words, "--json", cwd=site)
    wanted = json.loads(done.stdout)["tables"]["users"]["rows"]
    assert [each["user"] for each in rows] == [each["user"] for each in wanted]
    assert [int(x["requests"]) for x in rows] == [x["requests"] for x in wanted]
    assert len(rows) == 3
