"""
Workers that die while C{socksgw restart} is under way: those before and those that come,
at each step.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.admin import AdminClient, Answered
from tests.live.clients import isClosed
from tests.live.restarts import Crowd, Restarted, restarted
from tests.live.running import OPEN, isGone
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

TWO = '[gateway]\nworkers = 2\n[timeouts]\nhandshake = "5m"\n' + OPEN
#: Words of command lines.
WORKER, SUPERVISOR = b"socksgw.workers", b"--take-over"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Restarted]:
    with restarted(tmp_path / "gw", TWO) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


def children(pid: int, word: bytes) -> set[int]:
    """Return what a process has started, of those with a word in their command line."""
    found = set()
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if word in Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0"):
                found.add(int(each))
    return found


def serving(gateway: Restarted) -> dict[int, int]:
    """Return the processes of the workers that have started last, by number."""
    lines = gateway.journal("worker")
    return {e["worker"]: e["pid"] for e in lines if e["state"] == "started"}


def died(gateway: Restarted) -> list[int]:
    """Return the processes of workers that died."""
    return [e["pid"] for e in gateway.journal("worker") if e["state"] == "died"]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Underway:
    """
    A restart, which has to be waited for.

    @ivar answers: what the gateway has answered in the end.
    """

    def __init__(self, gateway: Restarted) -> None:
        self._gateway = gateway
        self.answers: list[Answered] = []
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        self.answers.append(
            AdminClient(self._gateway.admin).ask("/api/restart", "POST")
        )

    def __enter__(self) -> Underway:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)

    def handed(self) -> int:
        """
        Wait until the new supervisor has the journal's lock, with which it gets what
        leads to the workers before: it has them built next. Return its number.
        """

        def found() -> int:
            for pid in children(self._gateway.pid, SUPERVISOR):
                with suppress(FileNotFoundError):
                    for each in Path(f"/proc/{pid}/fd").iterdir():
                        # Some are open for a moment only.
                        with suppress(FileNotFoundError):
                            if os.readlink(each).endswith("/audit/lock"):
                                return pid
            return 0

        return int(until(found, 60, lambda: time.sleep(0.002)))

    def done(self) -> None:
        """See that the other process serves."""
        assert [each.status for each in self.answers] == [200], self.answers
        self._gateway.pid = self._gateway.journal("handover")[-1]["pid"]


def said(client: socket.socket) -> bool:
    """Have an echo."""
    client.sendall(b"hello")
    return raw.exactly(client, 5) == b"hello"


class Live:
    """Sessions at both workers, by the number of the worker."""

    def __init__(self, gateway: Restarted, server: Destination) -> None:
        self.of: dict[int, list[socket.socket]] = {}
        places: dict[str, socket.socket] = {}
        while len(self.of) < 2:
            client = raw.dial(gateway.port)
            raw.through(client, "127.0.0.1", server.port)
            places["{}:{}".format(*client.getsockname())] = client
            self.of = {}
            for line in gateway.journal("decision"):
                self.of.setdefault(line["worker"], []).append(places[line["client"]])

    def close(self) -> None:
        for each in (*self.of[1], *self.of[2]):
            each.close()


@pytest.fixture
def live(gateway: Restarted, server: Destination) -> Iterator[Live]:
    found = Live(gateway, server)
    yield found
    found.close()


def bothServe(gateway: Restarted, server: Destination) -> bool:
    """Return whether both workers have new clients, and say that they serve."""
    count = len(gateway.journal("decision"))
    for _ in range(16):
        with raw.dial(gateway.port) as client:
            raw.through(client, "127.0.0.1", server.port)
            assert said(client)
    had = {each["worker"] for each in gateway.journal("decision")[count:]}
    status = json.loads(gateway.command("status", "--json").stdout)
    return had == {1, 2} and {e["state"] for e in status["workers"]} == {"serves"}


def isWhole(gateway: Restarted, server: Destination) -> None:
    """See that both serve, and that each session has a number and an end of its own."""
    until(lambda: bothServe(gateway, server))
    numbers = [each["session"] for each in gateway.journal("decision")]
    assert len(numbers) == len(set(numbers))


def test_aWorkerBefore(gateway: Restarted, server: Destination, live: Live) -> None:
    """
    One that dies when another process has what leads to it: whoever waits at its socket
    is served by the one in its place, and sessions of the other one move. What it had
    counted stays.
    """
    before, old = serving(gateway), gateway.pid
    for _ in range(20):
        with raw.dial(gateway.port) as client:
            raw.through(client, "127.0.0.1", server.port)
    until(lambda: len(gateway.journal("end")) == 20)
    counted = gateway.metered("socksgw_session_ends_total")
    assert counted == 20
    with Underway(gateway) as restart:
        restart.handed()
        os.kill(before[1], signal.SIGKILL)
        with Crowd(gateway, server) as crowd:
            until(lambda: restart.answers, 60)
    restart.done()
    assert crowd.wrong == []
    assert died(gateway) == [before[1]]
    assert all(map(said, live.of[2]))
    for each in live.of[1]:
        until(lambda each=each: isClosed(each))
    ended = counted + crowd.served
    until(lambda: gateway.metered("socksgw_session_ends_total") == ended)
    assert gateway.over(old) == 0
    isWhole(gateway, server)


def test_aWorkerThatComes(gateway: Restarted, server: Destination, live: Live) -> None:
    """
    When one of those that come dies before all can serve, the workers before go on, also
    one that has died meanwhile is replaced, and another restart succeeds.
    """
    before = serving(gateway)
    with Underway(gateway) as restart:
        new = restart.handed()
        coming = children(new, WORKER)
        # It is not known which of them has which place.
        for pid in (before[2], *coming):
            os.kill(pid, signal.SIGKILL)
    assert [each.status for each in restart.answers] == [409], restart.answers
    assert gateway.journal("handover") == []
    until(lambda: isGone(new) and all(map(isGone, coming)))
    assert gateway.process.poll() is None
    assert all(map(said, live.of[1]))
    until(lambda: serving(gateway)[2] != before[2])
    isWhole(gateway, server)
    assert serving(gateway)[1] == before[1]
    old = gateway.pid
    gateway.restart()
    assert "; 0 end in the process before" in gateway.said
    assert all(map(said, live.of[1]))
    assert gateway.over(old) == 0
    isWhole(gateway, server)


def test_oneThatBegins(gateway: Restarted, server: Destination) -> None:
    """
    One that has yet to begin in the place of a dead one is succeeded as the others, when
    it begins: no session has a number of another one's.
    """
    before, old = serving(gateway), gateway.pid
    waiting: set[int] = set()
    until(lambda: waiting.update(children(old, WORKER) - {*before.values()}) or waiting)
    (spare,) = waiting
    with ExitStack() as standing:
        standing.enter_context(stopped(spare))
        os.kill(before[1], signal.SIGKILL)
        until(lambda: died(gateway) == [before[1]])
        with Crowd(gateway, server) as crowd, Underway(gateway) as restart:
            restart.handed()
            # The others cannot serve without its answer.
            with stopped(before[2]):
                # It begins, and serves until it is asked to let go.
                standing.close()
                time.sleep(1)
    restart.done()
    assert crowd.wrong == []
    assert spare in {each["pid"] for each in gateway.journal("worker")}
    assert gateway.over(old) == 0
    isWhole(gateway, server)
    until(lambda: len(gateway.journal("end")) == len(gateway.journal("decision")))


def test_afterwards(gateway: Restarted, server: Destination, live: Live) -> None:
    """
    Those that serve from then on are replaced by their own supervisor, while workers
    before have clients yet: these go on, and no others.
    """
    old = gateway.pid
    with raw.dial(gateway.port) as left:
        left.sendall(raw.GREETING[:2])
        gateway.restart()
        new = serving(gateway)
        for pid in new.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: not {*serving(gateway).values()} & {*new.values()})
        assert sorted(died(gateway)) == sorted(new.values())
        for each in (*live.of[1], *live.of[2]):
            until(lambda each=each: isClosed(each))
        left.sendall(raw.GREETING[2:])
        assert raw.exactly(left, 2) == b"\x05\x00"
        left.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(left)[0] == 0
        assert said(left)
        isWhole(gateway, server)
        assert said(left)
    assert gateway.over(old) == 0
    # The old supervisor has replaced nobody.
    assert len(gateway.journal("handover")) == 1
