"""
Lines of a journal in SQLite and in PostgreSQL, each once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from socksgw.warehouse.errors import WarehouseError
from socksgw.warehouse.writing import Writer
from tests.tools.journals import Line, chainOf, decision, ending

START = '"event":"start","gateway":"gw","pid":1'
UDP = {"command": "udp", "port": 53, "name": None}


def writer(place: Any, gateway: str = "gw") -> Writer:
    found = Writer(place.url, place.directory, gateway)
    found.open()
    return found


@pytest.mark.parametrize("at", [1, 2, 9])
def test_aSessionIsOneRow(place: Any, at: int) -> None:
    """
    The decision and its end, whether they come together or not, and whoever writes
    the second half.
    """
    lines = chainOf(
        [START, decision(1), decision(2, user="bob"), decision(3, command="udp"),
         decision(3, "flow", **UDP, addresses=["192.0.2.1", "192.0.2.2"]),
         ending(3, "flow-end", address="192.0.2.2:53"), ending(1)]
    )  # fmt: skip
    for i in range(0, len(lines), at):
        writing = writer(place)
        assert writing.position == i
        writing.write(lines[i : i + at])
        writing.close()
    assert place.query(
        "select n, session, username, address, sent, received, end_reason, run "
        "from sessions order by n"
    ) == [
        (2, 1, "alice", "198.51.100.1", 100, 2000, "closed", 1),
        (3, 2, "bob", "198.51.100.1", None, None, None, 1),
        (4, 3, "alice", "198.51.100.1", None, None, None, 1),
        (5, 3, "alice", "192.0.2.2", 100, 2000, "closed", 1),
    ]
    assert place.query("select n, line from events order by n") == [
        (each.number, each.octets.decode()) for each in lines
    ]
    assert place.query("select gateway, position, head, run from state") == [
        ("gw", 7, lines[-1].fields["hash"], 1)
    ]


@pytest.mark.parametrize("at", [1, 2, 9])
def test_anotherProcessOfTheGateway(place: Any, at: int) -> None:
    """
    It numbers its sessions from 1, too. What the one before has left open has no end,
    and no end of the new one is taken for it.
    """
    lines = chainOf(
        [START, decision(1), decision(2), decision(2, "flow", **UDP), ending(2),
         START, ending(1), decision(1, user="bob"), ending(1, sent=7)]
    )  # fmt: skip
    for i in range(0, len(lines), at):
        writing = writer(place)
        writing.write(lines[i : i + at])
        writing.close()
    assert place.query(
        "select n, run, username, sent, end_reason from sessions order by n"
    ) == [
        (2, 1, "alice", None, "not-recorded"),
        (3, 1, "alice", 100, "closed"),
        (4, 1, "alice", None, "not-recorded"),
        (8, 6, "bob", 7, "closed"),
    ]


def test_linesThatComeAgainAreLeftOut(place: Any) -> None:
    lines = chainOf([START, decision(1), ending(1), decision(2)])
    writing = writer(place)
    writing.write(lines[:3])
    writing.write(lines)
    writing.write(lines)
    assert place.query("select count(*), max(n) from events") == [(4, 4)]
    assert place.query("select count(*) from sessions") == [(2,)]


def test_theFileIsForItsOwnerAlone(tmp_path: Path) -> None:
    writing = Writer("sqlite:///audit.db", tmp_path, "gw")
    writing.write(chainOf([START]))
    for name in ("audit.db", "audit.db-wal"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    writing.close()


def test_anotherJournalOfTheSameName(place: Any) -> None:
    """It is refused: its lines are not those that follow."""
    writing = writer(place)
    writing.write(chainOf([START, decision(1)]))
    other = chainOf([START, decision(7), decision(8)])
    with pytest.raises(WarehouseError, match="does not follow the line 2"):
        writing.write(other)
    assert place.query("select count(*) from events") == [(2,)]
    # The lines of the right one still go on.
    writing.write(chainOf([START, decision(1), ending(1)]))
    assert place.query("select count(*) from events") == [(3,)]


def test_gatewaysShareADatabase(place: Any) -> None:
    """Both have a line 1 and a session 1, and both go on."""
    first, second = writer(place, "a"), writer(place, "b")
    one = chainOf([START, decision(1), ending(1, sent=1)])
    two = chainOf([START, decision(1), decision(2), ending(1, sent=2)])
    first.write(one[:2])
    second.write(two[:3])
    second.write(two[3:])
    first.write(one[2:])
    assert place.query(
        "select gateway, n, sent from sessions where sent is not null order by 1"
    ) == [("a", 2, 1), ("b", 2, 2)]
    assert place.query("select gateway, position from state order by 1") == [
        ("a", 3),
        ("b", 4),
    ]


def test_twoWritersOfOneName(place: Any) -> None:
    """The second one is refused, whether its lines are the same or not."""
    lines = chainOf([START, decision(1), ending(1)])
    first, second = writer(place), writer(place)
    first.write(lines[:2])
    with pytest.raises(WarehouseError, match="another process writes"):
        second.write(lines[:1])
    assert place.query("select count(*) from events") == [(2,)]


def test_aCrashBeforeTheCommit(place: Any) -> None:
    """Neither rows nor position are there; the same lines then come in whole."""
    lines = chainOf([START, decision(1), ending(1), decision(2)])
    writing = writer(place)
    writing.write(lines[:2])

    @event.listens_for(writing._engine, "commit")
    def crash(_: object) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(WarehouseError, match="Input/output error"):
        writing.write(lines[2:])
    assert place.query("select count(*) from events") == [(2,)]
    event.remove(writing._engine, "commit", crash)
    assert writing.open() == 2
    writing.write(lines[2:])
    assert place.query("select n, end_reason from sessions order by n") == [
        (2, "closed"),
        (4, None),
    ]


def test_linesBetweenWereDropped(place: Any) -> None:
    """The journal has dropped files that the database has not got: it goes on."""
    lines = chainOf([START, decision(1), decision(2), ending(2)])
    writing = writer(place)
    writing.write(lines[:1])
    writing.write(lines[2:])
    assert place.query("select n from events order by n") == [(1,), (3,), (4,)]


#: What a database refuses: U+0000, half a surrogate pair, more than 64 bits, a port
#: that is none, no hash, no time, a number for a text.
ODD = [
    decision(1, user="a\0b", asked="x\0"),
    decision(2, user="\ud800", groups=["\udfff\0"]),
    decision(3, novel=1 << 70),
    ending(1, sent=1 << 63, seconds=1e300),
    decision(4, client="nowhere"),
    decision(5, port=1 << 40),
    ending(5, reason=[1, {"a": None}]),
    '"event":"decision"',
    '"event":["a"]',
    f'"event":"start","deep":{"[" * 100_000}{"]" * 100_000}',
    ending(7, seconds=10**400),
    '"event":"refusals","source":"192.0.2.1","count":1,"reasons":{"x":18446744073709551616}',
]


@pytest.mark.parametrize("at", [1, 99])
def test_valuesThatNoColumnTakes(place: Any, at: int) -> None:
    """No line is lost, nor does it stop those behind it; its text is there whole."""
    lines = chainOf([START, *ODD, decision(9), ending(9)])
    writing = writer(place)
    for i in range(0, len(lines), at):
        writing.write(lines[i : i + at])
    assert place.query("select line from events order by n") == [
        (each.octets.decode(),) for each in lines
    ]
    found = place.query("select username, asked, extra from sessions order by n, part")
    assert found[0][:2] == ("a\\x00b", "x\\x00")
    assert found[1] == ("\\ud800", "example.com", '{"groups": ["\\\\udfff\\\\x00"]}')
    assert found[2][2] == f'{{"novel": {1 << 70}}}'
    assert place.query("select sent from sessions where session = 9") == [(100,)]


def test_aLineThatIsNoLine(place: Any) -> None:
    """What is no JSON at all is kept as it is, too."""

    class Torn(Line):
        @property
        def fields(self) -> Any:
            raise ValueError("not JSON")

    writing = writer(place)
    first, last = chainOf([START]), chainOf([START], 3)
    writing.write([*first, Torn(2, b'{"v":1,"n":1,\xff'), *last])
    assert place.query("select n, event, line from events order by n") == [
        (1, "start", first[0].octets.decode()),
        (2, "", '{"v":1,"n":1,\\xff'),
        (3, "start", last[0].octets.decode()),
    ]
