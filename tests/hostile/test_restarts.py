"""
kill -9 of either process at random moments of a restart, and of the new ones at each
step: one of them serves on, or none, never both; and the journal is one chain.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from socksgw.audit.verify import verify
from tests.live import raw
from tests.live.between import Between
from tests.live.pairs import OCTETS, Pair
from tests.live.restarts import Restarted, adopt, restarted
from tests.live.running import TWISTD, VERSIONS, environment, isGone
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

_ROUNDS = 5
_COMMAND = [str(TWISTD), "-n", "--pidfile=", "socksgw", "--config", "gw.toml"]


def successor(gateway: Restarted) -> subprocess.Popen[bytes]:
    """Start a process that takes over."""
    with (gateway.directory / "log2").open("ab") as log:
        return subprocess.Popen(
            [*_COMMAND, "--take-over"],
            cwd=gateway.directory,
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=log,
            stderr=log,
        )


def served(gateway: Restarted, server: Destination) -> bool:
    """Return whether a new client is served."""
    with suppress(OSError, AssertionError), raw.dial(gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
        client.sendall(b"hello")
        return raw.exactly(client, 5) == b"hello"
    return False


def ended(gateway: Restarted, new: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left."""
    for each in (gateway.process, new):
        each.kill()
        each.wait(30)


def attempt(gateway: Restarted, server: Destination, when: float, old: bool) -> None:
    """Have a process take over, and kill one of both."""
    with raw.dial(gateway.port) as live:
        raw.through(live, "127.0.0.1", server.port)
        before, new = gateway.process, successor(gateway)
        try:
            time.sleep(when)
            (before if old else new).kill()
            (before if old else new).wait(30)
            took = [e for e in gateway.journal("handover") if e["pid"] == new.pid]
            if old:
                # It has taken over, or ends: it has not everything. What it would wait
                # for, were the end of the old one not noticed, takes 15 seconds.
                until(lambda: new.poll() is not None or served(gateway, server), 12)
                left: Any = new
            else:
                # The old one goes on, or ends after it had handed over.
                if took:
                    assert before.wait(30) == 0
                until(lambda: before.poll() is not None or served(gateway, server))
                left = before
            if left.poll() is None and not old:
                live.sendall(b"still here")
                assert raw.exactly(live, 10) == b"still here"
            live.close()
            if left.poll() is None:
                left.send_signal(signal.SIGTERM)
                assert left.wait(30) in (0, -signal.SIGTERM)
        finally:
            ended(gateway, new)


def test_killedAtRandom(tmp_path: Path) -> None:
    """
    Whoever is left serves: sessions that it has go on, and new ones come. If the old
    process ends before the other one has everything, that one does not start.
    """
    chance = random.Random(15)
    directory = tmp_path / "gw"
    with Destination(echo) as server:
        with restarted(directory) as gateway:
            began = time.monotonic()
            gateway.restart()
            usual = time.monotonic() - began
        for each in range(_ROUNDS):
            (directory / "log").unlink()
            gateway = Restarted(directory)
            try:
                gateway.ready()
                attempt(
                    gateway, server, usual * chance.uniform(0.3, 1.2), each % 2 == 0
                )
            finally:
                gateway.process.kill()
                gateway.process.wait(30)
                adopt(-1)
        # What a torn line leaves is mended at the next start.
        (directory / "log").unlink()
        with restarted(directory) as gateway:
            assert served(gateway, server)
            numbers = [
                e["number"] if "number" in e else e["n"] for e in gateway.journal()
            ]
            assert numbers == sorted(set(numbers))
        assert verify(directory / "var" / "audit").problems == []


#: The protocols of the clients, and a gateway whose sessions may last.
_TEXT = '[timeouts]\nhandshake = "60s"\n' + VERSIONS
_TWO = "[gateway]\nworkers = 2\n" + _TEXT
#: New clients of a round.
_NEWCOMERS = 8


def state(pid: int) -> str:
    """Return the state of a process, as of proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def workersOf(pid: int) -> list[int]:
    """Return the processes of workers that a supervisor has."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    words = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in found}
    return [int(each) for each in found if b"socksgw.workers" in words[each]]


class Round:
    """
    A process that takes over from a gateway, held at a step, where it is killed.

    @ivar new: the process.
    """

    def __init__(self, gateway: Restarted, server: Destination, between: Between):
        self._gateway, self._server = gateway, server
        self._between = between
        self.new = successor(gateway)
        self._newcomers: list[socket.socket] = []

    def come(self) -> None:
        """Have clients come now; whether the gateway accepts any by now or not."""
        for _ in range(_NEWCOMERS):
            client = raw.dial(self._gateway.port)
            client.sendall(raw.GREETING)
            self._newcomers.append(client)

    def kill(self, pid: int) -> None:
        """Kill a process of the new ones, none of which serves yet."""
        # It does nothing any more, and is what the test takes it for.
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state(pid) == "T")
        assert pid == self.new.pid or pid in workersOf(self.new.pid)
        assert ("new", "serving") not in self._between.said
        assert self._gateway.journal("handover") == []
        os.kill(pid, signal.SIGKILL)

    def over(self, status: int, own: Sequence[int] | None = None) -> None:
        """
        See that the new processes are gone, and that the old ones serve.

        @param status: of the new process, or of the new supervisor.
        @param own: its workers; by default those of now.
        """
        if own is None:
            own = workersOf(self.new.pid)
        assert self.new.wait(30) == status
        until(lambda: all(map(isGone, own)))
        for client in self._newcomers:
            with client:
                assert raw.exactly(client, 2) == b"\x05\x00"
                client.sendall(raw.request5("127.0.0.1", self._server.port))
                assert raw.reply5(client)[0] == 0
                client.sendall(b"hello")
                assert raw.exactly(client, 5) == b"hello"
        # What is repeated is not logged each time.
        until(lambda: "not restarted: " in self._gateway.log)
        assert self._gateway.process.poll() is None
        assert self._gateway.journal("handover") == []
        for pid in own:
            # Its supervisor is gone; it is ours.
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def end(self) -> None:
        """Kill whatever is left of the new processes."""
        self.new.kill()
        self.new.wait(30)


@contextmanager
def begun(
    gateway: Restarted, server: Destination, *steps: tuple[str, str]
) -> Iterator[tuple[Round, Between]]:
    """Have a process take over that is held at some steps, and be at the first one."""
    with Between(gateway.directory / "var", steps) as between:
        attempt = Round(gateway, server, between)
        try:
            between.reached(*steps[0])
            attempt.come()
            yield attempt, between
        finally:
            attempt.end()


@contextmanager
def live(gateway: Restarted) -> Iterator[None]:
    """
    Have sessions through several restarts, and see their octets unchanged; at last the
    gateway is restarted in earnest.
    """
    pairs = [Pair(gateway, number) for number in range(8)]
    for each in pairs:
        each.send()
    for each in pairs[4:]:
        each.read()
    until(lambda: gateway.metered("socksgw_held_bytes") > 0)
    old = gateway.pid
    yield
    # Before another process has any.
    for each in pairs[2:4]:
        each.read()
    for each in pairs[2:]:
        each.over()
    gateway.restart()
    assert gateway.over(old) == 0
    for each in pairs[:2]:
        each.read()
        each.over()
    assert len(gateway.journal("handover")) == 1
    ports = {each["session"]: each["port"] for each in gateway.journal("decision")}
    until(lambda: len(gateway.journal("end")) == len(ports))
    ends = {ports[e["session"]]: e for e in gateway.journal("end")}
    for each in pairs:
        assert ends[each.port]["sent"] == ends[each.port]["received"] == OCTETS
    assert "Traceback" not in (gateway.directory / "log2").read_text()


#: What the new process has said, or is told, when it is killed.
_STEPS = [("new", "sockets"), ("new", "state"), ("new", "adopted"), ("old", "go")]


@pytest.mark.parametrize("text", [_TEXT, _TWO], ids=["one", "two"])
def test_theNewOneIsKilled(tmp_path: Path, text: str) -> None:
    """
    Before it serves: the old one serves on, and so do its workers; whoever comes
    meanwhile is served, and sessions go on.
    """
    with (
        Destination(echo) as server,
        restarted(tmp_path / "gw", text) as gateway,
        live(gateway),
    ):
        for step in _STEPS:
            with begun(gateway, server, step) as (attempt, _):
                attempt.kill(attempt.new.pid)
                attempt.over(-signal.SIGKILL)


@pytest.mark.parametrize("who", ["the supervisor", "who waits", "who has taken"])
def test_theNewOnesAreKilled(tmp_path: Path, who: str) -> None:
    """
    The same of the supervisor when one of its workers has the place of one before it,
    and of each worker: no client is with the one that is ready.
    """
    with (
        Destination(echo) as server,
        restarted(tmp_path / "gw", _TWO) as gateway,
        live(gateway),
        # The worker that comes in the place of the second one gets no answer.
        begun(gateway, server, ("new", "adopted"), ("new 2", "state")) as (
            attempt,
            between,
        ),
    ):
        # Later there is a third one, which waits until one dies.
        both = set(workersOf(attempt.new.pid))
        assert len(both) == 2
        between.passOn("new", "adopted")
        between.reached("new 2", "state")

        def taken() -> list[int]:
            lines = gateway.journal("worker")
            return [e["pid"] for e in lines if e["state"] == "started"][2:]

        until(lambda: len(taken()) == 1)
        (ready,) = taken()
        assert ready in both
        (waits,) = both - {ready}
        if who == "the supervisor":
            attempt.kill(attempt.new.pid)
            attempt.over(-signal.SIGKILL)
        else:
            attempt.kill(waits if who == "who waits" else ready)
            attempt.over(1)
            assert "ended: by signal 9" in gateway.log


def test_theNewOneTakesTooLong(tmp_path: Path) -> None:
    """When it has everything and does not go on, the old one ends it, and serves on."""
    with (
        Destination(echo) as server,
        restarted(tmp_path / "gw", _TEXT) as gateway,
        begun(gateway, server, ("new", "adopted")) as (attempt, _),
    ):
        attempt.over(-signal.SIGKILL)
        assert "it did not serve within 15 seconds" in gateway.log


def test_aWorkerStandsStill(tmp_path: Path) -> None:
    """
    One that is to let go, and does not answer, makes the restart fail in bounded time;
    sessions of the other one go on meanwhile, and all of them afterwards.
    """
    with (
        Destination(echo) as server,
        restarted(tmp_path / "gw", _TWO) as gateway,
        live(gateway),
        begun(gateway, server, ("new", "adopted"), ("new 2", "state")) as (
            attempt,
            between,
        ),
    ):
        first = raw.through(raw.dial(gateway.port), "127.0.0.1", server.port)
        while raw.decision(gateway, server.port)["worker"] != 1:
            first.close()
            first = raw.through(raw.dial(gateway.port), "127.0.0.1", server.port)
        lines = gateway.journal("worker")
        stopped = {e["worker"]: e["pid"] for e in lines}[2]
        between.passOn("new", "adopted")
        between.reached("new 2", "state")
        # It has been asked, and does not know that.
        os.kill(stopped, signal.SIGSTOP)
        try:
            between.passOn("new 2", "state")
            own = workersOf(attempt.new.pid)
            with first:
                while attempt.new.poll() is None:
                    first.sendall(b"hello")
                    assert raw.exactly(first, 5) == b"hello"
        finally:
            os.kill(stopped, signal.SIGCONT)
        attempt.over(1, own)
        why = "the worker before this one does not answer: it is stuck or stopped"
        assert f"not restarted: {why}" in gateway.log
