"""
What the views show, and the queries of the manual.
"""

from __future__ import annotations

import re
from typing import Any

from socksgw.warehouse.rows import REFUSED
from socksgw.warehouse.schema import metadata
from socksgw.warehouse.writing import Writer
from tests.live.running import ROOT
from tests.tools.journals import chainOf, decision, ending

START = '"event":"start","gateway":"gw","pid":1'
FLOW = {"command": "udp", "port": 53, "name": None, "asked": "192.0.2.1"}
#: A CONNECT, one that fails, an association with a flow, a RESOLVE, a denial, a failed
#: login, and a sum of more of them.
DAY = chainOf(
    [
        START,
        decision(1),
        ending(1, address="198.51.100.9", sent=100, received=2000, rule="web-2"),
        decision(2, user="bob"),
        ending(2, address=None, sent=0, received=0, reason="refused", reply=5),
        decision(3, command="udp", name=None, asked="0.0.0.0", addresses=[]),
        decision(3, "flow", **FLOW, addresses=["192.0.2.1"]),
        ending(3, "flow-end", address="192.0.2.1:53", sent=10, received=20),
        ending(3, address=None, sent=10, received=20),
        decision(4, command="resolve"),
        ending(4, address=None, sent=0, received=0),
        decision(5, verdict="deny", rule=None, addresses=[], reason="policy", reply=2),
        '"event":"login-failed","session":6,"listener":"main","client":"192.0.2.8:1",'
        '"protocol":"socks5","method":"userpass","claimed":"root",'
        '"reason":"wrong-credentials","why":"user root: wrong password"',
        '"event":"refusals","source":"192.0.2.8","count":40,'
        '"reasons":{"wrong-credentials":40}',
    ]
)


def filled(place: Any) -> None:
    writing = Writer(place.url, place.directory, "socksgw")
    writing.write(DAY)
    writing.close()


def test_whoReachedWhat(place: Any) -> None:
    """No association beside its flows, and nothing that was not reached."""
    filled(place)
    assert place.query(
        "select username, destination, address, port, rule, sent, received from reached "
        "order by n"
    ) == [
        ("alice", "example.com", "198.51.100.9", 443, "web-2", 100, 2000),
        ("alice", "192.0.2.1", "192.0.2.1", 53, "web", 10, 20),
    ]


def test_whoWasKeptFromWhat(place: Any) -> None:
    """Sums say how many they are."""
    filled(place)
    assert place.query(
        "select verdict, username, client, destination, rule, reason, count from denied "
        "order by n"
    ) == [
        ("deny", "alice", "192.0.2.7", "example.com", None, "policy", 1),
        ("login-failed", "root", "192.0.2.8", None, None, "wrong-credentials", 1),
        ("login-failed", None, "192.0.2.8", None, None, "wrong-credentials", 40),
    ]


MANUAL = (ROOT / "socksgw" / "manual" / "warehouse.rst").read_text("utf-8")
QUERIES = [
    found.strip().rstrip(";")
    for found in re.findall(r"\.\. code-block:: sql\n\n((?:    .*\n|\n)+)", MANUAL)
]


def test_theManualsQueries(place: Any) -> None:
    """Each works as it stands there, and finds something."""
    filled(place)
    assert len(QUERIES) == 6
    found = {query: place.query(query) for query in QUERIES}
    most, reached, denied, logins, still, story = found.values()
    assert most == [("alice", 2, 110, 2020)]
    # Both began at one time.
    assert {each[1:4] for each in reached} == {
        ("example.com", 443, "web-2"),
        ("192.0.2.1", 53, "web"),
    }
    assert denied == [("alice", "192.0.2.7", "example.com", 443, None, "policy", 1)]
    assert logins == [("192.0.2.8", "wrong-credentials", 41)]
    assert still == []
    assert [each for (each,) in story] == [each.octets.decode() for each in DAY[1:3]]


def test_theManualsTables() -> None:
    """Each column of each table is there, and no other, in their order."""
    for name, table in metadata.tables.items():
        section = re.search(rf"(?ms)^{name}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", MANUAL)
        assert section is not None, name
        body = section[1].split("Meaning\n", 1)[1]
        rows = re.findall(r"(?m)^``(\w+)``  ", body)
        assert rows == list(table.c.keys())


def test_theReasonsOfRefusals() -> None:
    """In sums, all other reasons are those of failed logins."""
    records = (ROOT / "socksgw" / "manual" / "records.rst").read_text("utf-8")
    section = records.partition("policy was asked (``refused``):")[2]
    section = section.partition("Of failed logins")[0]
    assert set(re.findall(r"(?m)^``([\w-]+)``  ", section)) == REFUSED
