"""
How soon a worker that is killed is replaced, under load.

Clients ask for one session after the other, and one of the workers is killed with
C{SIGKILL} again and again: first while another process waits to take its place, then
all of them at once, where it can take one place only. It tells for how long workers
were missing, when a client had a reply from each of those that came, for how long any
client waited, how many sessions died (each client asks for one at a time, so as many as
there are clients at most), and how many clients were refused.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.machine import described, parsed
from tests.live.clients import Server, connected, four
from tests.live.running import OPEN, Running
from tests.tools.waiting import until

#: Milliseconds until the workers are whole again.
AIM: Final = 1000
#: Seconds between two deaths: five within ten seconds are a storm, with pauses.
PAUSE: Final = 3.0
#: Seconds after which the process that waits has imported everything.
IMPORTED: Final = 2.0


class Reply(NamedTuple):
    """What a client had: its place, when, and after how many seconds."""

    place: str
    at: float
    seconds: float


class Load:
    """
    The clients.

    @ivar replies: what they had.
    @ivar cut: how many were cut off.
    @ivar refused: how many connections were refused.
    """

    def __init__(self, gateway: Running, sink: Server, threads: int) -> None:
        self.replies: list[Reply] = []
        self.cut = self.refused = 0
        self._place = gateway.port, four(sink.place[0]), sink.port
        self._enough = False
        self._threads = [
            # Each address has ports of its own.
            threading.Thread(target=self._ask, args=(f"127.0.0.{2 + n}",))
            for n in range(threads)
        ]
        for each in self._threads:
            each.start()

    def _ask(self, source: str) -> None:
        while not self._enough:
            began = time.monotonic()
            try:
                client, reply = connected(*self._place, source)
            except ConnectionRefusedError:
                self.refused += 1
                continue
            except OSError:
                self.cut += 1
                continue
            with closing(client):
                if reply != 0:
                    self.cut += 1
                    continue
                place = "{}:{}".format(*client.getsockname())
            seconds = time.monotonic() - began
            self.replies.append(Reply(place, time.time(), seconds))

    def end(self) -> None:
        """Stop."""
        self._enough = True
        for each in self._threads:
            each.join()


class Death(NamedTuple):
    """
    Workers that were killed at once.

    @ivar whole: milliseconds until all workers have begun.
    @ivar served: milliseconds until each of those that came has served a client.
    @ivar waited: the longest that a client waited then, in milliseconds.
    """

    whole: float
    served: float
    waited: float


def kill(gateway: Running, numbers: Sequence[int], workers: int) -> float:
    """
    Kill workers when there is another process that waits.

    @return: when that was, in seconds since the epoch.
    """

    def serving() -> dict[int, int]:
        return {e["worker"]: e["pid"] for e in lines(gateway, "worker") if begins(e)}

    until(lambda: len(gateway.processes) == workers + 2, 60)
    until(lambda: set(serving().values()) <= set(gateway.processes), 60)
    time.sleep(IMPORTED)
    pids = serving()
    at = time.time()
    for number in numbers:
        os.kill(pids[number], signal.SIGKILL)
    time.sleep(PAUSE)
    return at


def lines(gateway: Running, event: str) -> Iterator[dict[str, Any]]:
    """Go over the lines of an event; the others, of which there are many, are no JSON."""
    word = f'"event":"{event}"'.encode()
    for file in sorted((gateway.directory / "var" / "audit").glob("*.jsonl")):
        for line in file.read_bytes().split(b"\n")[:-1]:
            if word in line:
                yield json.loads(line)


def begins(line: dict[str, Any]) -> bool:
    """Return whether a worker's line says that it serves from now on."""
    return bool(line["state"] == "started")


def secondsOf(line: dict[str, Any]) -> float:
    """Return when a line was written, in seconds since the epoch."""
    return datetime.fromisoformat(line["time"]).timestamp()


def deaths(
    gateway: Running, load: Load, killed: Sequence[tuple[float, Sequence[int]]]
) -> list[Death]:
    """Return what clients and journal say of each."""
    # A place is another client's after a while.
    places: dict[str, list[tuple[float, int]]] = {}
    for each in lines(gateway, "decision"):
        had = places.setdefault(each["client"], [])
        had.append((secondsOf(each), each["worker"]))
    begun = [(secondsOf(e), e["worker"]) for e in lines(gateway, "worker") if begins(e)]

    def workerOf(reply: Reply) -> int:
        return [worker for at, worker in places[reply.place] if at <= reply.at][-1]

    replies = sorted(load.replies, key=lambda each: each.at)
    found = []
    for at, numbers in killed:
        # The journal has milliseconds, rounded down.
        whole = [
            min(when for when, worker in begun if worker == n and when > at - 0.001)
            for n in numbers
        ]
        served = [
            next(each.at for each in replies if each.at >= when and workerOf(each) == n)
            for n, when in zip(numbers, whole, strict=True)
        ]
        waited = max(e.seconds for e in replies if at <= e.at <= max(served) + 1)
        moments = max(whole) - at, max(served) - at, waited
        found.append(Death(*(1000 * each for each in moments)))
    return found


def told(name: str, found: Sequence[Death]) -> str:
    """Return the figures of some deaths."""
    whole, served, waited = (
        f"{statistics.median(each):.0f} ms, {max(each):.0f} at worst"
        for each in zip(*found, strict=True)
    )
    reached = max(each.served for each in found) <= AIM
    return (
        f"{name}, {len(found)} times: workers whole after {whole}; a client served by "
        f"each that came after {served} (aim {AIM}): {'ok' if reached else 'NOT REACHED'}"
        f"\n    the longest that a client waited: {waited}"
    )


def measure(gateway: Running, options: argparse.Namespace) -> None:
    """Print how soon they are replaced."""
    workers = options.workers
    with Server() as sink:
        load = Load(gateway, sink, options.clients)
        began = time.monotonic()
        ones, alls = [], []
        try:
            for turn in range(options.kills):
                numbers = [turn % workers + 1]
                ones.append((kill(gateway, numbers, workers), numbers))
            everybody = range(1, workers + 1)
            for _ in range(options.all):
                alls.append((kill(gateway, everybody, workers), everybody))
        finally:
            load.end()
        seconds = time.monotonic() - began
    print(told("one worker killed", deaths(gateway, load, ones)))
    if alls:
        print(told(f"all {workers} killed at once", deaths(gateway, load, alls)))
    print(
        f"{options.clients} clients, {len(load.replies) / seconds:.0f} sessions a second: "
        f"{load.cut} cut off, {load.refused} refused (aim 0): "
        f"{'NOT REACHED' if load.refused else 'ok'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--all", type=int, default=5, help="times that all are killed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    options = parsed(parser, kills=2, all=1)
    print(described())
    with tempfile.TemporaryDirectory() as directory:
        text = f"[gateway]\nworkers = {options.workers}\n{OPEN}"
        gateway = Running(Path(directory), text)
        try:
            measure(gateway.ready(), options)
            gateway.stop()
        finally:
            gateway.kill()


if __name__ == "__main__":
    main()
