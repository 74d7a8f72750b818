"""
What it costs that all workers write one chain of lines, by turns.

Processes that do nothing else write lines of decisions, so many at a time: in one
journal by turns, as workers do, and each in a journal of its own, whose chains would have
to be joined by signed checkpoints. It tells CPU and time for each line, and
for how long a turn is had: that is the part that no number of processors makes faster.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from socksgw.audit.sharedend import SharedEnd
from socksgw.audit.tail import TURNS, Tail
from socksgw.config.schema import AuditConfig
from tests.bench.machine import described, parsed

#: A decision, as most are.
LINE: Final = (
    '"event":"decision","session":123456,"listener":"main","client":"192.0.2.7:50122",'
    '"protocol":"socks5","user":"","command":"connect","host":"192.0.2.80","port":443,'
    '"verdict":"allow","rule":"web","address":"192.0.2.80:443","via":"direct"'
)
STAMP: Final = "2026-11-28T12:00:00.000Z"
#: Lines at a time: of one session alone, and as a worker writes them that has much to do.
BATCHES: Final = (1, 8, 32)


class Cost(NamedTuple):
    """
    What a line took, in microseconds.

    @ivar cpu: of one process.
    @ivar held: for which it had the turn.
    @ivar waited: for which it waited for that.
    """

    cpu: float
    held: float
    waited: float


def tailIn(directory: Path) -> Tail:
    """Return the end of a journal that is not synced."""
    config = AuditConfig(sync="never")
    return Tail(directory, config, None, time.time, print, print, False)


def write(tail: Tail, lines: int, batch: int) -> Cost:
    """Write so many lines."""
    clock = time.perf_counter
    bodies = [LINE] * batch
    held = waited = 0.0
    began = time.process_time()
    for _ in range(lines // batch):
        asked = clock()
        assert tail.take(TURNS)
        had = clock()
        try:
            tail.put(bodies, STAMP)
            tail.settle()
        finally:
            tail.give()
        waited += had - asked
        held += clock() - had
    return Cost(*(x / lines * 1e6 for x in (time.process_time() - began, held, waited)))


def together(
    processes: int, began: Callable[[int], Tail], lines: int, batch: int
) -> tuple[list[Cost], float]:
    """Have several write at once; return what each took, and microseconds a line of all."""

    def run(number: int, channel: Connection) -> None:
        tail = began(number)
        channel.send(None)
        channel.recv()
        channel.send(write(tail, lines, batch))
        os._exit(0)

    channels = []
    for number in range(processes):
        ours, theirs = multiprocessing.Pipe()
        multiprocessing.get_context("fork").Process(
            target=run, args=(number, theirs)
        ).start()
        channels.append(ours)
    for each in channels:
        each.recv()
    start = time.perf_counter()
    for each in channels:
        each.send(None)
    costs = [each.recv() for each in channels]
    whole = (time.perf_counter() - start) / (lines * processes) * 1e6
    return costs, whole


def measured(
    processes: int, lines: int, batch: int, oneChain: bool
) -> tuple[Cost, float]:
    """Return what a line takes, and how long until the next one of all is written."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "0"
        directory.mkdir(0o700)
        if oneChain:
            keeper = tailIn(directory)
            keeper.open()
            end = SharedEnd.made(processes)
            keeper.share(end)

            def began(number: int) -> Tail:
                tail = tailIn(directory)
                own = SharedEnd(end.another(), processes)
                tail.join(own, keeper.segments.lock, number + 1, lambda: 0)
                return tail
        else:

            def began(number: int) -> Tail:
                own = Path(name) / str(number)
                own.mkdir(0o700, exist_ok=True)
                tail = tailIn(own)
                tail.open()
                return tail

        costs, whole = together(processes, began, lines, batch)
    return Cost(*(statistics.mean(each) for each in zip(*costs, strict=True))), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lines", type=int, default=20_000, help="of each process")
    parser.add_argument("--processes", type=int, default=2)
    options = parsed(parser, rounds=2, lines=2000)
    print(described())
    print(f"{'':<32}{'CPU':>8}{'turn':>8}{'waited':>8}{'of all':>8}  (us a line)")
    for batch in BATCHES:
        for what, processes, oneChain in (
            ("one process", 1, False),
            (f"{options.processes}, a chain each", options.processes, False),
            (f"{options.processes}, one chain by turns", options.processes, True),
        ):
            found = [
                measured(processes, options.lines, batch, oneChain)
                for _ in range(options.rounds)
            ]
            row = [
                *(
                    statistics.median(x)
                    for x in zip(*(c for c, _ in found), strict=True)
                ),
                statistics.median(whole for _, whole in found),
            ]
            figures = "".join(f"{each:8.1f}" for each in row)
            print(f"{f'{batch} at a time, {what}':<32}{figures}", flush=True)


if __name__ == "__main__":
    main()
