"""
kill -9 of workers under load: whoever has another one notices nothing, nobody is refused,
and the journal has what clients have seen.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.live.clients import Server, connected, four, isClosed
from tests.live.running import OPEN, Running, running
from tests.tools.waiting import until

#: Clients that ask all the time.
_THREADS = 4
#: Seconds until the next one starts, in a storm.
_PAUSE = 0.5
_TWO = "[gateway]\nworkers = 2\n" + OPEN


class Load:
    """
    Clients that ask, one session after the other.

    @ivar granted: the places of those that had a success reply.
    @ivar cut: how many were cut off before they had a reply.
    @ivar refused: why connections were refused.
    """

    def __init__(self, gateway: Running, sink: Server) -> None:
        self.granted: set[str] = set()
        self.cut = 0
        self.refused: list[OSError] = []
        self._place = gateway.port, sink
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        port, sink = self._place
        while not self._ending.is_set():
            try:
                client, reply = connected(port, four(sink.place[0]), sink.port)
            except ConnectionRefusedError as e:
                self.refused.append(e)
                return
            except (OSError, AssertionError):
                # It was a client of the worker that was killed.
                self.cut += 1
                continue
            with closing(client):
                if reply == 0:
                    host, number = client.getsockname()
                    self.granted.add(f"{host}:{number}")
                else:
                    self.cut += 1

    def end(self) -> None:
        """End all of them."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)


def started(gateway: Running) -> list[tuple[int, int]]:
    """Return the number and the process of each worker that has started."""
    found = [each for each in gateway.journal("worker") if each["state"] == "started"]
    return [(each["worker"], each["pid"]) for each in found]


def served(directory: Path) -> Iterator[tuple[Running, ExitStack]]:
    """Run a gateway of two workers, and what ends before it does."""
    for gateway in running(directory, _TWO):
        with ExitStack() as stack:
            yield gateway, stack


def again(gateway: Running, count: int) -> None:
    """Wait until so many workers have started in all."""
    until(lambda: len(started(gateway)) >= count, 60)


def test_killedUnderLoad(tmp_path: Path) -> None:
    """
    Twice: each session that a client had is in the journal, of each that ended in
    order there is an end, and the long sessions of the other worker go on.
    """
    with Server() as sink:
        for gateway, stack in served(tmp_path):
            clients = []
            for _ in range(16):
                client, _ = connected(gateway.port, four(sink.place[0]), sink.port)
                clients.append(stack.enter_context(closing(client)))
            names = {"{}:{}".format(*each.getsockname()): each for each in clients}
            where = {
                names[each["client"]]: each["worker"]
                for each in gateway.journal("decision")
            }
            load = Load(gateway, sink)
            try:
                for count in (1, 2):
                    time.sleep(0.3)
                    pid = [pid for number, pid in started(gateway) if number == 1][-1]
                    os.kill(pid, signal.SIGKILL)
                    again(gateway, 2 + count)
            finally:
                load.end()
            assert load.refused == []
            for client, worker in where.items():
                if worker == 2:
                    client.sendall(b"x")
                    assert client.recv(1) == b"x"
                else:
                    assert isClosed(client)
            assert load.granted
        decisions = gateway.journal("decision")
        allowed = {each["client"] for each in decisions if each["verdict"] == "allow"}
        assert load.granted <= allowed
        # What the journal has beyond that was cut off between the line and the reply.
        assert len(allowed - load.granted) <= load.cut + len(clients)
        numbers = [each["session"] for each in decisions]
        assert len(numbers) == len(set(numbers))
        ended = {each["session"] for each in gateway.journal("end")}
        assert {e["session"] for e in decisions if e["worker"] == 2} <= ended


def slaughtered(gateway: Running, killed: set[int]) -> bool:
    """Kill all children; return whether that was told of as a storm."""
    if "workers died within" in gateway.log:
        return True
    for child in gateway.children:
        killed.add(child)
        # It may be gone of the last time.
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return False


def bothServe(gateway: Running, killed: set[int]) -> bool:
    """Return whether each worker's last line says that it started, and it lives."""
    last = {each["worker"]: each for each in gateway.journal("worker")}
    found = {each["pid"] for each in last.values() if each["state"] == "started"}
    return len(found - killed) == 2


@pytest.mark.alone
def test_aStorm(tmp_path: Path) -> None:
    """
    Five deaths within ten seconds: an alarm, and pauses; each is short, so that both
    serve again soon.
    """
    with Server() as sink:
        for gateway, _ in served(tmp_path):
            killed: set[int] = set()
            until(partial(slaughtered, gateway, killed), 60, lambda: time.sleep(0.1))
            # Some of the last that were killed may be taken for alive still.
            until(partial(bothServe, gateway, killed), 60)
            pauses = re.findall(r"the next one starts in (\S+) s", gateway.log)
            assert pauses
            assert all(float(each) <= _PAUSE for each in pauses)
            states = [each["state"] for each in gateway.journal("worker")]
            assert states.count("storm") == 1
            client, reply = connected(gateway.port, four(sink.place[0]), sink.port)
            client.close()
            assert reply == 0
