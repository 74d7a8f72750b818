"""
C{socksgw restart} of a gateway with workers: supervisors and workers are succeeded.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.pairs import OCTETS, Pair
from tests.live.restarts import Crowd, Restarted, restarted
from tests.live.running import VERSIONS
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

TWO = '[gateway]\nworkers = 2\n[timeouts]\nhandshake = "60s"\n' + VERSIONS


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Restarted]:
    with restarted(tmp_path / "gw", TWO) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


def said(client: socket.socket, what: bytes) -> None:
    """Have an echo."""
    client.sendall(what)
    assert raw.exactly(client, len(what)) == what


def test_nobodyIsRefused(gateway: Restarted, server: Destination) -> None:
    """
    New clients are served at any time, live sessions go on through two restarts, each
    session has a number, one decision and one end, in one chain; all but the last
    processes end.
    """
    pids = [gateway.pid]
    live = [
        raw.through(raw.dial(gateway.port), "127.0.0.1", server.port)
        for _ in "12345678"
    ]
    with Crowd(gateway, server) as crowd:
        until(lambda: crowd.served > 5)
        for _ in range(2):
            before = crowd.served
            pids.append(gateway.restart())
            assert "; 0 end in the process before" in gateway.said, gateway.said
            until(lambda before=before: crowd.served > before + 5)
            for each in live:
                said(each, b"still here")
    assert crowd.wrong == []
    for pid in pids[:-1]:
        assert gateway.over(pid) == 0
    for each in live:
        said(each, b"bye")
        each.close()
    numbers = [each["session"] for each in gateway.journal("decision")]
    assert len(numbers) == len(set(numbers)) == crowd.served + len(live)
    until(lambda: len(gateway.journal("end")) == len(numbers))
    ends = {each["session"]: each["sent"] for each in gateway.journal("end")}
    assert sorted(ends) == sorted(numbers)
    assert sorted(ends.values())[-8:] == [23] * 8
    assert gateway.metered("socksgw_sessions_total") == len(numbers)
    assert gateway.metered("socksgw_session_ends_total") == len(numbers)


class Pairs:
    """Sessions of which each kind is at both workers."""

    def __init__(self, gateway: Restarted) -> None:
        self._gateway = gateway
        self.all: list[Pair] = []

    def make(self, octets: int = OCTETS, each: int = 1) -> list[Pair]:
        """Make some: so many at each worker, at least."""
        found: dict[int, list[Pair]] = {1: [], 2: []}
        while any(len(some) < each for some in found.values()):
            pair = Pair(self._gateway, len(self.all), octets)
            self.all.append(pair)
            line = raw.decision(self._gateway, pair.port)
            found[line["worker"]].append(pair)
        return found[1] + found[2]


#: After how many octets urgent data comes: it has passed the gateway before a restart,
#: is in it or before it, or has not been sent yet.
URGENT = 100_000, 2_500_000, 5_000_000, 7_900_000


def test_octetsThatMove(gateway: Restarted) -> None:
    """
    What moves, and what waits in pipes of the gateway and in sockets for readers that do
    not read, also before and behind urgent data, is the same at the other end, of both
    workers, through three restarts; so are directions when the other one has ended.
    """
    pairs = Pairs(gateway)
    stalled, moving = pairs.make(each=2), pairs.make(each=2)
    urgent = {at: pairs.make() for at in URGENT}
    # One direction has ended: with nothing in it, and with octets that nobody has read.
    silent, unread = pairs.make(1000), pairs.make(300_000)
    for each in stalled:
        each.send()
    for at, some in urgent.items():
        for each in some:
            each.send(at)
    for each in silent:
        each.client.shutdown(socket.SHUT_WR)
        assert each.destination.recv(1) == b""
    for each in unread:
        each.sendOne(0)
    for each in moving:
        each.send()
        each.read()
    pids = [gateway.pid]
    for _ in range(3):
        until(lambda: gateway.metered("socksgw_held_bytes") > 0)
        pids.append(gateway.restart())
        assert "; 0 end in the process before" in gateway.said, gateway.said
    waiting = [*stalled, *unread, *(each for some in urgent.values() for each in some)]
    for pid in pids[:-1]:
        assert gateway.over(pid) == 0
    for each in unread:
        each.sendOne(1)
    for each in waiting:
        each.read()
    for each in (*waiting, *moving):
        each.over()
    for each in silent:
        each.destination.sendall(each.sent[1])
        assert raw.exactly(each.client, 1000) == each.sent[1]
        each.close()
    until(lambda: len(gateway.journal("end")) == len(pairs.all))
    ports = {each["session"]: each["port"] for each in gateway.journal("decision")}
    assert len(ports) == len(pairs.all)
    ends = {ports[e["session"]]: e for e in gateway.journal("end")}
    for each in (*waiting, *moving):
        end = ends[each.port]
        assert [end["sent"], end["received"]] == [len(octets) for octets in each.sent]


def test_limits(tmp_path: Path, server: Destination) -> None:
    """Sessions that have moved, and those that are left, are counted together."""
    limit = '[[limit]]\nper = "source"\nsessions = 2\n'
    with (
        restarted(tmp_path / "gw", TWO + limit) as gateway,
        raw.dial(gateway.port) as moved,
        raw.dial(gateway.port) as left,
    ):
        raw.through(moved, "127.0.0.1", server.port)
        left.sendall(raw.GREETING)
        assert raw.exactly(left, 2) == b"\x05\x00"
        gateway.restart()
        left.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(left)[0] == 0

        def refused() -> bool:
            with raw.dial(gateway.port) as third:
                third.sendall(raw.GREETING + raw.request5("127.0.0.1", server.port))
                raw.exactly(third, 2)
                return raw.reply5(third)[0] != 0

        until(refused)
        said(moved, b"hello")
        said(left, b"hello")
        left.close()
        until(lambda: not refused())


def test_aNewOneThatFails(gateway: Restarted, server: Destination) -> None:
    """The old ones go on, where the number of workers is another one."""
    with raw.dial(gateway.port) as client, Crowd(gateway, server) as crowd:
        raw.through(client, "127.0.0.1", server.port)
        file = gateway.directory / "gw.toml"
        text = file.read_text()
        file.write_text(text.replace("workers = 2", "workers = 3"))
        done = gateway.command("restart")
        assert done.returncode == 1
        assert "another number of [gateway] workers takes effect" in done.stderr
        file.write_text(text)
        before = crowd.served
        until(lambda: crowd.served > before + 5)
        said(client, b"hello")
    assert crowd.wrong == []
    assert gateway.journal("handover") == []


def test_anotherJournal(gateway: Restarted, server: Destination) -> None:
    """The old ones go on, where the new one would write to another journal."""
    file = gateway.directory / "gw.toml"
    text = file.read_text()
    file.write_text(text.replace("workers = 2", 'workers = 2\nstate_dir = "other"'))
    done = gateway.command("restart")
    assert done.returncode == 1, done.stdout
    assert "another [gateway] state_dir or [audit] journal takes effect" in done.stderr
    assert not (gateway.directory / "other").exists()
    file.write_text(text)
    with raw.dial(gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
    gateway.restart()


def test_theSupervisorBefore(gateway: Restarted, server: Destination) -> None:
    """When it is killed after it has handed over, whoever has moved notices nothing."""
    with raw.dial(gateway.port) as moved, raw.dial(gateway.port) as left:
        raw.through(moved, "127.0.0.1", server.port)
        left.sendall(raw.GREETING)
        assert raw.exactly(left, 2) == b"\x05\x00"
        old = gateway.pid
        gateway.restart()
        os.kill(old, signal.SIGKILL)
        with suppress(ConnectionResetError):
            assert left.recv(1) == b""
        said(moved, b"hello")
        with raw.dial(gateway.port) as other:
            raw.through(other, "127.0.0.1", server.port)


def test_diesAtOnce(gateway: Restarted, server: Destination) -> None:
    """What was counted before a restart stays, when the new workers die at once."""
    for _ in "12345678":
        with raw.dial(gateway.port) as client:
            raw.through(client, "127.0.0.1", server.port)
    until(lambda: len(gateway.journal("end")) == 8)
    assert gateway.metered("socksgw_sessions_total") == 8
    before = len(gateway.journal("worker"))
    gateway.restart()
    lines = gateway.journal("worker")[before:]
    new = {each["pid"] for each in lines if each["state"] == "started"}
    assert len(new) == 2
    for pid in new:
        os.kill(pid, signal.SIGKILL)

    def died() -> bool:
        dead = {e["pid"] for e in gateway.journal("worker") if e["state"] == "died"}
        return dead == new

    until(died)
    assert gateway.metered("socksgw_sessions_total") == 8
    assert gateway.metered("socksgw_session_ends_total") == 8
