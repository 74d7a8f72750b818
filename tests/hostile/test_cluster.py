"""
One of three members is killed under load: the others go on, no limit is exceeded by all
together, and the warehouse has each line of the three journals.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.live.netns import alone
from tests.live.postgres import Postgres
from tests.live.servers import package, program
from tests.tools.waiting import until


def lines(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal."""
    found = sorted((directory / "var" / "audit").glob("*.jsonl"))
    return [
        json.loads(each) for file in found for each in file.read_bytes().splitlines()
    ]


def test_threeMembers(tmp_path: Path, postgres: Postgres) -> None:
    """
    Sessions of the two others are not cut, new ones are let in before it is started
    again, three of a source at most at a time, and all are in one warehouse.
    """
    package("redis")
    program("redis-server", "redis-server")
    program("haproxy", "haproxy")
    postgres.database("cluster")
    # Namespaces have one file system.
    url = (
        f"postgresql://postgres@/cluster?host={postgres.directory}&port={postgres.port}"
    )
    (tmp_path / "pg.url").write_text(url)
    (tmp_path / "pg.url").chmod(0o600)
    found = json.loads(alone("tests.hostile.three", str(tmp_path)))
    assert found["worst"] == 3, found
    counts = found["counts"]
    assert {x for x in counts if x.startswith("refused")} == {"refused 1"}, found
    # Who was with the dead one was cut, and nobody else: while it was not known to be
    # dead, HAProxy took others for it.
    assert counts.get("cut", 0) + counts.get("broken", 0) <= found["clients"], found
    journals = {name: lines(tmp_path / name) for name in ("edge-1", "edge-2", "edge-3")}
    where = {
        each["client"]: name
        for name, journal in journals.items()
        for each in journal
        if each["event"] == "decision" and each["verdict"] == "allow"
    }
    assert {where[client] for client in found["kept"]} == set(journals)
    for client, kept in found["kept"].items():
        assert kept == (where[client] != "edge-2"), client
    allowed = sum(
        each["event"] == "decision" and each["verdict"] == "allow"
        for journal in journals.values()
        for each in journal
    )
    assert allowed >= counts["whole"] + len(found["kept"])
    expected = sorted(
        (name, each["n"], each["hash"])
        for name, journal in journals.items()
        for each in journal
    )

    def rows() -> list[tuple[Any, ...]]:
        return sorted(postgres.query("cluster", "select gateway, n, hash from events"))

    until(lambda: rows() == expected, 5)
    assert not any("out of reach" in log for log in found["logs"])
