"""
The sums of a report are those of a journal that is read line by line.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from socksgw.records import workers
from socksgw.records.criteria import Criteria
from socksgw.records.summing import Summing, summed
from socksgw.records.tally import TABLES, Amounts
from socksgw.records.times import stampOf
from tests.fakes.journal import Kept, lines
from tests.tools.flowlines import flow, flowEnd
from tests.tools.traffic import BEGAN

SINCE = stampOf(BEGAN + timedelta(seconds=400))
UNTIL = stampOf(BEGAN + timedelta(seconds=1200))


def naive(journal: Path, criteria: Criteria) -> dict[str, Counter[Any]]:
    """Sum up with every line in memory."""
    matcher = criteria.matcher()
    everything = lines(journal)
    ends = {line["session"]: line for line in everything if line["event"] == "end"}
    octets: Counter[Any] = Counter()
    denied: Counter[Any] = Counter()
    logins: Counter[Any] = Counter()
    for line in everything:
        if not matcher.matches(line):
            continue
        if line["event"] == "decision" and line["verdict"] == "allow":
            end = ends.get(line["session"], {"sent": 0, "received": 0})
            key = (line["user"], f"{line['name']}:443", line["rule"])
            octets[key] += end["sent"] + end["received"]
        elif line["event"] == "decision":
            denied[line["user"]] += 1
        elif line["event"] == "denials":
            denied[line["user"]] += line["count"]
        elif line["event"] == "login-failed":
            logins[line["claimed"]] += 1
    return {"octets": octets, "denied": denied, "logins": logins}


@pytest.mark.parametrize("part", [900, 7_000, 10**9])
@pytest.mark.parametrize(
    "criteria",
    [
        Criteria(),
        Criteria(user=("user00*",)),
        Criteria(since=SINCE, until=UNTIL),
        Criteria(verdict="deny", until=UNTIL),
    ],
)
def test_sums(
    journal: Path, criteria: Criteria, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the journal is cut into parts."""
    monkeypatch.setattr(workers, "_PART", part)
    wanted = naive(journal, criteria)
    sums = summed(journal, Summing(criteria, TABLES), processes=1)
    access = dict(sums.tables["access"].rows())
    allowed = {key: each.octets for key, each in access.items() if each.allowed}
    assert allowed == wanted["octets"]
    users = dict(sums.tables["users"].rows())
    assert {k[0]: u.denied for k, u in users.items() if u.denied} == wanted["denied"]
    denials = sums.tables["denials"].rows()
    assert sum(each.denied for _, each in denials) == wanted["denied"].total()
    logins: Counter[str] = Counter()
    for (user, _, _), each in sums.tables["logins"].rows():
        logins[user] += each.denied
    assert logins == wanted["logins"]
    total = sums.total()
    assert total.octets == wanted["octets"].total()
    for name in ("users", "destinations", "rules", "time", "clients", "commands"):
        if name in ("commands",) and wanted["denied"]:
            # Sums of denials do not have it.
            continue
        rows = [each for _, each in sums.tables[name].rows()]
        assert sum(each.octets for each in rows) == total.octets, name
        assert sum(each.requests for each in rows) == total.requests, name


def test_severalProcesses(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come to the same."""
    monkeypatch.setattr(workers, "_PART", 100_000)
    told: list[tuple[int, int]] = []
    summing = Summing(Criteria(user=("user0*",)), TABLES)
    one = summed(journal, summing, 1)
    two = summed(journal, summing, 2, lambda *each: told.append(each))
    assert one == two
    assert told[-1][0] == told[-1][1] > 500_000


@pytest.mark.parametrize("seed", range(3))
def test_flows(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The octets of an association are those of its flows, which end in any order, and are
    counted once.
    """
    monkeypatch.setattr(workers, "_PART", 300)
    association = (
        '"event":"decision","session":1,"listener":"lan","client":"10.0.0.1:9",'
        '"protocol":"socks5","user":"alice","method":"none","command":"udp",'
        '"asked":"0.0.0.0","name":null,"port":0,"verdict":"allow","rule":"dns",'
        '"why":"","addresses":[]'
    )
    ports = [53, 5353, 123]
    ends = [flowEnd(1, "192.0.2.1", port, 10 * port) for port in ports]
    random.Random(seed).shuffle(ends)
    kept = Kept(tmp_path).open()
    kept.append(
        '"event":"start","gateway":"a","pid":1',
        association,
        *(flow(1, "192.0.2.1", port) for port in ports),
        *ends,
        '"event":"end","session":1,"address":null,"bound":null,"sent":55290,'
        '"received":3,"seconds":9.000,"reason":"closed","reply":0',
    )
    kept.close()
    sums = summed(tmp_path, Summing(Criteria(), TABLES))
    assert sums.total()[:4] == (4, 0, 55290, 3)
    rows = {key[0]: each.sent for key, each in sums.tables["destinations"].rows()}
    assert rows == {
        "udp association": 0,
        **{f"udp 192.0.2.1:{port}": 10 * port for port in ports},
    }


@pytest.mark.parametrize("reason", ["inspected", "mismatch"])
def test_cutAfterALook(tmp_path: Path, reason: str) -> None:
    """What was allowed, and is not for what it carries, is denied, by the rule that
    said so.
    """
    body = (
        '"event":"decision","session":{0},"listener":"lan","client":"10.0.0.1:9",'
        '"protocol":"socks5","user":"u{0}","method":"none","command":"connect",'
        '"asked":"a.example","name":"a.example","port":443,"verdict":"allow",'
        '"rule":"web","why":"","addresses":["192.0.2.1"],"inspect":true'
    )
    end = (
        '"event":"end","session":{0},"address":"192.0.2.1","bound":null,"sent":{0},'
        '"received":0,"seconds":1.000,"reason":"{1}","reply":0,"application":"tls"{2}'
    )
    kept = Kept(tmp_path).open()
    kept.append(body.format(1), body.format(2))
    kept.append(end.format(1, "closed", ""), end.format(2, reason, ',"rule":"no-tls"'))
    kept.close()
    sums = summed(tmp_path, Summing(Criteria(), TABLES))
    assert sums.total()[:4] == (1, 1, 3, 0)
    assert [*sums.tables["denials"].held] == [("u2", "a.example:443", "no-tls", reason)]
    for verdict, user in (("allow", "u1"), ("deny", "u2")):
        one = summed(tmp_path, Summing(Criteria(verdict=verdict), TABLES))
        assert [*one.tables["users"].held] == [(user,)]


def test_whatIsPassedOver(tmp_path: Path) -> None:
    """Lines that are not as the gateway writes them are counted, and nothing else."""
    kept = Kept(tmp_path).open()
    kept.append(flow(1, "192.0.2.1", 53), flowEnd(1, "192.0.2.1", 53, 7))
    kept.close()
    (file,) = tmp_path.glob("*.jsonl")
    one, other = file.read_bytes().splitlines(keepends=True)
    odd = (
        one.replace(b'"port":53', b'"port":[]'),
        other.replace(b'"seconds":0.100', b'"seconds":"x"'),
        b"\xff\n",
    )
    file.write_bytes(one + b"".join(odd) + other)
    sums = summed(tmp_path, Summing(Criteria(), TABLES))
    assert (sums.total()[:3], sums.odd) == ((1, 0, 7), 3)


def test_whatOnlyTheEndTells(tmp_path: Path) -> None:
    """Applications, server names and ways are those of the end."""
    body = (
        '"event":"decision","session":{0},"listener":"lan","client":"10.0.0.1:9",'
        '"protocol":"socks5","user":"u{0}","method":"none","command":"connect",'
        '"asked":"a.example","name":"a.example","port":443,"verdict":"allow",'
        '"rule":"web","why":"","addresses":["192.0.2.1"]'
    )
    end = (
        '"event":"end","session":{0},"address":"192.0.2.1","bound":null,"sent":1,'
        '"received":2,"seconds":1.000,"reason":"closed","reply":0{1}'
    )
    kept = Kept(tmp_path).open()
    kept.append(body.format(1), body.format(2), body.format(3), body.format(4))
    kept.append(
        end.format(1, ',"application":"tls","server_name":"b.example"'),
        end.format(2, ',"application":"ssh"'),
        end.format(3, ',"rule":"late","path":"dmz"'),
    )
    kept.append('"event":"start","gateway":"a","pid":2')
    kept.close()
    sums = summed(tmp_path, Summing(Criteria(), TABLES))
    keys = {name: sorted(each.held) for name, each in sums.tables.items()}
    assert keys["applications"] == [("ssh",), ("tls",)]
    assert keys["server-names"] == [("b.example",)]
    assert keys["rules"] == [("late",), ("web",)]
    assert keys["upstreams"] == [("dmz",)]
    # The gateway was killed before it could write the last end.
    assert sums.open == 1
    for wanted in (Criteria(application=("tls",)), Criteria(server_name=("b.*",))):
        one = summed(tmp_path, Summing(wanted, TABLES))
        assert [*one.tables["users"].held] == [("u1",)]
    late = summed(tmp_path, Summing(Criteria(upstream=("dmz",)), TABLES))
    assert late.total() == Amounts(1, 0, 1, 2, 1.0, *late.total()[5:])
