"""
Restarts under load.

So many live sessions, each of which is asked for an echo all the time, and so many new
ones a second, through so many restarts. It tells how many were refused, reset or got
wrong octets, for how long nobody was served, how many new ones a second there were, and
whether the journal has each session once. A part of C{make bench}.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import resource
import select
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.aims import verdict
from tests.bench.machine import described, parsed
from tests.live import raw
from tests.live.restarts import Restarted, restarted
from tests.live.running import OPEN

#: Octets of one echo.
_ECHO = 512
#: Seconds that an answer may take.
_PATIENCE = 30.0
#: Sessions that are asked at once.
_BATCH = 250


def _serve(listening: list[socket.socket]) -> None:
    """Echo whatever comes."""
    epoll = select.epoll()
    doors = {each.fileno(): each for each in listening}
    found: dict[int, socket.socket] = {}
    for fd in doors:
        epoll.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd in doors:
                connection, _ = doors[fd].accept()
                found[connection.fileno()] = connection
                epoll.register(connection, select.EPOLLIN)
                continue
            try:
                octets = found[fd].recv(65536)
                if octets:
                    found[fd].sendall(octets)
                    continue
            except OSError:
                pass
            found.pop(fd).close()


class Load:
    """
    The clients.

    @ivar wrong: what happened, instead of an echo.
    @ivar opened: sessions that were answered.
    @ivar echoes: how many came.
    @ivar longest: the longest wait for an echo, between two calls of L{pause}.
    """

    def __init__(self, port: int, places: list[tuple[str, int]]) -> None:
        self._port, self._places = port, places
        self.wrong: Counter[str] = Counter()
        self.opened = self.echoes = 0
        self.longest = 0.0
        self.live: list[tuple[socket.socket, hashlib._Hash, hashlib._Hash]] = []
        self._enough = False
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def _open(self, number: int) -> socket.socket:
        # Each address has ports of its own.
        client = raw.dial(self._port, source=(f"127.0.0.{2 + number % 100}", 0))
        place = self._places[number % len(self._places)]
        client.settimeout(_PATIENCE)
        raw.through(client, *place)
        with self._lock:
            self.opened += 1
        return client

    def fill(self, sessions: int) -> None:
        """Open the sessions that stay."""
        for number in range(sessions):
            self.live.append((self._open(number), hashlib.sha256(), hashlib.sha256()))

    def begin(self, rate: float, threads: int = 10) -> None:
        """Ask for echoes, and open new sessions."""
        self._threads = [threading.Thread(target=self._ask)]
        for n in range(threads):
            come = threading.Thread(target=self._come, args=(n, rate / threads))
            self._threads.append(come)
        for each in self._threads:
            each.start()

    def _ask(self) -> None:
        while not self._enough:
            for at in range(0, len(self.live), _BATCH):
                batch = self.live[at : at + _BATCH]
                began = time.monotonic()
                for client, sent, _ in batch:
                    octets = os.urandom(_ECHO)
                    sent.update(octets)
                    self._try(lambda c=client, o=octets: c.sendall(o))
                for client, _, received in batch:
                    self._try(
                        lambda c=client, r=received: r.update(raw.exactly(c, _ECHO))
                    )
                    self.echoes += 1
                self.longest = max(self.longest, time.monotonic() - began)

    def _come(self, number: int, rate: float) -> None:
        due = time.monotonic()
        while not self._enough:
            number += 10
            self._try(lambda n=number: self._visit(n))
            due += 1 / rate
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            elif left < -2:
                # Behind by more than a restart takes: this machine cannot do so many.
                due = time.monotonic()

    def _visit(self, number: int) -> None:
        with self._open(number) as client:
            octets = os.urandom(100)
            client.sendall(octets)
            assert raw.exactly(client, 100) == octets

    def _try(self, act) -> None:  # type: ignore[no-untyped-def]
        try:
            act()
        except (OSError, AssertionError) as e:
            self.wrong[repr(e)[:80]] += 1

    def end(self) -> int:
        """
        Stop, and close everything.

        @return: how many of the lasting sessions have got what they sent.
        """
        self._enough = True
        for each in self._threads:
            each.join()
        for client, _, _ in self.live:
            client.close()
        return sum(sent.digest() == got.digest() for _, sent, got in self.live)


def measure(gateway: Restarted, sessions: int, rate: float, restarts: int) -> None:
    """Run the load, and print what came of it."""
    places = [(f"127.0.1.{n}", 0) for n in range(1, 21)]
    listening = [socket.create_server(place, backlog=4096) for place in places]
    places = [each.getsockname() for each in listening]
    server = multiprocessing.get_context("fork").Process(
        target=_serve, args=(listening,), daemon=True
    )
    server.start()
    load = Load(gateway.port, places)
    began = time.monotonic()
    load.fill(sessions)
    print(f"{sessions} sessions opened in {time.monotonic() - began:.1f} s", flush=True)
    load.begin(rate)
    time.sleep(3)
    usual, load.longest = load.longest, 0.0
    since, visited = time.monotonic(), load.opened
    took, waits = [], []
    for _ in range(restarts):
        began, opened = time.monotonic(), load.opened
        before = gateway.pid
        gateway.restart()
        took.append(time.monotonic() - began)
        gateway.over(before, 60)
        time.sleep(1)
        waits.append(load.longest)
        load.longest = 0.0
        paused = re.findall(r"no client was accepted for (\d+) ms", gateway.log)
        print(
            f"{gateway.said.strip()}: {took[-1]:.2f} s; no client was accepted for "
            f"{paused[-1]} ms; the longest echo of {_BATCH} took {waits[-1]:.2f} s; "
            f"{load.opened - opened} new sessions",
            flush=True,
        )
    reached = (load.opened - visited) / (time.monotonic() - since)
    right = load.end()
    server.terminate()
    end = time.monotonic() + 60
    while len(gateway.journal("end")) < load.opened and time.monotonic() < end:
        time.sleep(0.5)
    decisions, ends = (
        [each["session"] for each in gateway.journal(event)]
        for event in ("decision", "end")
    )
    once = load.opened == len(decisions) == len(ends) == len({*decisions, *ends})
    held = once and not load.wrong and right == sessions
    print(
        f"{load.opened} sessions answered, {len(decisions)} decisions, {len(ends)} "
        f"ends, {len({*decisions, *ends})} numbers (aim: as many of each); "
        f"{load.echoes} echoes, {right} of {sessions} sessions got what they sent "
        f"(aim: all); wrong: {dict(load.wrong) or 'none'} (aim: none): {verdict(held)}\n"
        f"{reached:.0f} new sessions a second (aim {rate:.0f}, of which 2 % may be "
        f"missing): {verdict(reached >= 0.98 * rate)}\n"
        f"echo of {_BATCH} sessions, the longest: {usual:.2f} s without a restart, "
        f"{statistics.median(waits):.2f} s (median) with one"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="?", default=5000)
    parser.add_argument("rate", type=int, nargs="?", default=500)
    parser.add_argument("restarts", type=int, nargs="?", default=10)
    parser.add_argument("--workers", type=int, default=1)
    options = parsed(parser, sessions=300, rate=50, restarts=2)
    print(described())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory() as directory,
        restarted(
            Path(directory) / "gw", f"[gateway]\nworkers = {options.workers}\n{OPEN}"
        ) as gateway,
    ):
        measure(gateway, options.sessions, options.rate, options.restarts)
