"""
Searching finds what reading every line finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from socksgw.audit import chain
from socksgw.records.criteria import Criteria
from socksgw.records.scan import Odd
from socksgw.records.searching import journalSpan, newest, search
from socksgw.records.times import stampOf
from tests.fakes.journal import Kept, lines
from tests.tools.flowlines import flow, flowEnd
from tests.tools.lines import DECISION
from tests.tools.traffic import BEGAN, kept

SINCE = stampOf(BEGAN + timedelta(seconds=400))
UNTIL = stampOf(BEGAN + timedelta(seconds=1200))

WANTED: list[dict[str, Any]] = [
    {},
    {"user": ("user007",)},
    {"user": ("user00*",), "verdict": "allow"},
    {"verdict": "deny", "since": SINCE, "until": UNTIL},
    {"to": ("host1*.corp.example:443",), "since": SINCE},
    {"to": ("10.0.0.0/8",)},
    {"client": ("10.1.8.0/24",), "until": UNTIL},
    {"event": ("login-failed", "denials")},
    {"text": "everything-else"},
    {"user": ("nobody",)},
]


def numbers(found: Iterable[bytes]) -> list[int]:
    return [json.loads(each)["n"] for each in found]


@pytest.mark.parametrize("wanted", WANTED)
def test_search(journal: Path, wanted: dict[str, Any]) -> None:
    """From either end."""
    criteria = Criteria(**wanted)
    matcher = criteria.matcher()
    naive = [line["n"] for line in lines(journal) if matcher.matches(line)]
    assert numbers(search(journal, criteria)) == naive
    assert numbers(newest(journal, criteria, 3)) == naive[-3:]
    assert bool(naive) == (wanted.get("user") != ("nobody",))


def test_severalProcesses(journal: Path) -> None:
    """The order is that of the journal."""
    one, two = (numbers(search(journal, Criteria(), each)) for each in (1, 2))
    assert one == two


def test_ends(journal: Path) -> None:
    """Of what was allowed, also where they come later than the time that is wanted."""
    criteria = Criteria(user=("user00*",), since=SINCE, until=UNTIL)
    matcher = criteria.matcher()
    everything = lines(journal)
    naive = {line["n"] for line in everything if matcher.matches(line)}
    allowed = {
        line["session"]
        for line in everything
        if line["n"] in naive and line.get("verdict") == "allow"
    }
    ended = {
        line["n"]
        for line in everything
        if line["event"] == "end" and line["session"] in allowed
    }
    assert len(ended) > 10
    assert any(line["time"] > UNTIL for line in everything if line["n"] in ended)
    assert numbers(search(journal, criteria, ends=True)) == sorted(naive | ended)


def test_sessionsOfAnotherProcess(tmp_path: Path) -> None:
    """Sessions are numbered from 1 on at each start."""
    decision = {**DECISION, "verdict": "allow", "user": "{}"}
    del decision["n"]
    body = json.dumps(decision, separators=(",", ":"))[1:-1]
    write(
        tmp_path,
        '"event":"start","gateway":"a","pid":1',
        body.replace("{}", "alice"),
        '"event":"start","gateway":"a","pid":2',
        body.replace("{}", "bob"),
        '"event":"end","session":1,"address":null,"reason":"closed","reply":0,'
        '"sent":0,"received":0,"seconds":0.1',
    )
    found = search(tmp_path, Criteria(user=("alice",)), ends=True)
    assert numbers(found) == [2]
    assert numbers(search(tmp_path, Criteria(user=("bob",)), ends=True)) == [4, 5]


def test_endsOfFlows(tmp_path: Path) -> None:
    """Those of the flows that are wanted, and of no others of their association."""
    write(
        tmp_path,
        flow(1, "192.0.2.1", 53),
        flow(1, "192.0.2.2", 53),
        flow(2, "192.0.2.1", 53),
        flowEnd(1, "192.0.2.2", 53, 1),
        flowEnd(1, "192.0.2.1", 53, 1),
        flowEnd(2, "192.0.2.1", 53, 1),
        flowEnd(1, "192.0.2.1", 53, 1),
    )
    found = search(tmp_path, Criteria(to=("192.0.2.1",), session=1), ends=True)
    assert numbers(found) == [1, 5]


@pytest.mark.parametrize("ends", [False, True])
def test_whatIsPassedOver(tmp_path: Path, ends: bool) -> None:
    """Lines that are wanted and not as the gateway writes them are counted."""
    write(tmp_path, flow(1, "192.0.2.1", 53), flow(2, "192.0.2.1", 53))
    (file,) = tmp_path.glob("*.jsonl")
    octets = file.read_bytes().splitlines(keepends=True)
    octets.insert(1, octets[0].replace(b'"port":53', b'"port":[]'))
    file.write_bytes(b"".join(octets))
    odd = Odd()
    found = search(tmp_path, Criteria(to=("192.0.2.1",)), ends=ends, odd=odd)
    assert (numbers(found), odd.lines) == ([1, 2], 1)


def write(directory: Path, *bodies: str) -> None:
    journal = Kept(directory).open()
    journal.append(*bodies)
    journal.close()


def test_span(journal: Path, tmp_path: Path) -> None:
    """The first and the last line; none where there are none."""
    found = journalSpan(journal)
    assert found is not None
    everything = lines(journal)
    assert [each.number for each in found] == [1, len(everything)]
    assert found[1].time == everything[-1]["time"]
    assert journalSpan(tmp_path) is None
    kept(tmp_path, 1)
    one = journalSpan(tmp_path)
    assert one is not None
    assert one[0] == one[1]


def test_aFileIsDroppedMeanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of a journal is that of the files that are still there."""
    kept(tmp_path, 60_000, rotate=20_000)
    whole = journalSpan(tmp_path)
    files = chain.files(tmp_path)
    files[0].unlink()
    monkeypatch.setattr(chain, "files", lambda _: files)
    left = journalSpan(tmp_path)
    assert whole is not None
    assert left is not None
    assert left[0].number == chain.firstOf(files[1])
    assert left[1] == whole[1]
