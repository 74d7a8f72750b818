"""
What sinks cost: the CPU of a session with each of them, beside none.

Whoever takes the lines is a thread of this program, or a PostgreSQL that it starts:
their CPU does not count.

Figures are user and system time of the whole process tree, that of the sinks' process
included, until that has written the last line. Each round starts every gateway anew,
in turns. Then a journal without a gateway is written into SQLite: lines for each second
of CPU. A part of C{make bench}; as root.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from socksgw.audit.sinks.entries import Lines
from socksgw.audit.sinks.reader import JournalReader
from socksgw.warehouse.writing import Writer
from tests.bench import peers, usage
from tests.bench.machine import described, parsed
from tests.live.posted import PostedServer
from tests.live.postgres import Postgres
from tests.tools.journals import chainOf, decision, ending, written

#: Each sink, by C{[audit] sinks}; what is in braces is of L{receivers}.
SINKS: Final[Mapping[str, str]] = {
    "none": "",
    "sqlite": "sql:sqlite:///audit.db",
    "file": "file:lines.jsonl",
    "ocsf": "stdout:ocsf",
    "pipe": "pipe:{pipe}",
    "syslog-udp": "syslog:udp://127.0.0.1:{udp}",
    "syslog-tcp": "syslog:tcp://127.0.0.1:{tcp}",
    "http": "http:http://127.0.0.1:{http}/in",
    "otlp": "otlp:http://127.0.0.1:{http}",
    "postgres": "sql:{postgres}",
}
#: What is aimed at, of the CPU without a sink.
AIM: Final = {"sqlite": 1.2}
#: What is aimed at, of lines into SQLite for each second of CPU.
LINES: Final = 20_000
#: Sessions of that journal: two lines each.
SESSIONS: Final = 10_000


def drain(read: Callable[[], bytes]) -> None:
    """Take what comes, in a thread of this process, whose CPU does not count."""

    def go() -> None:
        with suppress(OSError):
            while read():
                pass

    threading.Thread(target=go, daemon=True).start()


@contextmanager
def receivers(names: Sequence[str]) -> Iterator[Callable[[], Mapping[str, object]]]:
    """Have somebody who takes the lines of sinks, and return what tells where."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        pipe = Path(directory) / "pipe"
        os.mkfifo(pipe)
        # Open for writing, too, so that it has no end between two gateways.
        reading = os.open(pipe, os.O_RDWR)
        drain(lambda: os.read(reading, 1 << 16))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        udp.bind(("127.0.0.1", 0))
        drain(lambda: udp.recv(1 << 16))
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def accept() -> bytes:
            connection = tcp.accept()[0]
            drain(lambda: connection.recv(1 << 16))
            return b"."

        drain(accept)
        http = stack.enter_context(closing(PostedServer()))
        http.judge = lambda _: (http.bodies.clear(), (200, {}, b""))[1]
        found: dict[str, object] = {
            "pipe": pipe,
            "udp": udp.getsockname()[1],
            "tcp": tcp.getsockname()[1],
            "http": http.port,
            "postgres": "",
        }
        server = (
            stack.enter_context(closing(Postgres())) if "postgres" in names else None
        )
        numbers = count(1)

        def places() -> Mapping[str, object]:
            if server is None:
                return found
            # A database goes on with one journal.
            return {**found, "postgres": server.database(f"bench{next(numbers)}")}

        yield places


def started(name: str, places: Mapping[str, object]) -> None:
    """Have a peer of the name of a sink."""
    sink = SINKS[name].format(**places)
    more = f'[audit]\nsinks = ["{sink}"]\n' if sink else ""

    def start(port: int, directory: Path) -> list[str]:
        return peers.startSocksgw(port, directory, more)

    peers.PEERS = {**peers.PEERS, name: start}


def settled(pid: int, name: str) -> float:
    """Wait until the sink has the journal's last line; return the tree's CPU seconds."""
    state = Path(f"/proc/{pid}/cwd").resolve() / "var"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        # The head is written once a second, and so is the position.
        time.sleep(1.5)
        head = int((state / "audit" / "head").read_bytes().partition(b":")[0])
        kept = [each.read_text() for each in (state / "sinks").glob("*.position")]
        if name == "none" or any(str(head) in re.findall(r"\d+", k) for k in kept):
            return usage.cpu(pid)
    raise RuntimeError(f"{name} does not come to the last line")


def measure(name: str, port: int, target: int, seconds: int) -> tuple[float, int]:
    """Return microseconds of CPU for a session, and how many there were."""
    with peers.running(name, port) as pid:
        # What sinks import does not count.
        peers.load("rate", port, target, 1, 1, "noauth")
        before = settled(pid, name)
        began = time.monotonic()
        done = peers.load("rate", port, target, 32, seconds, "noauth")["done"]
        used = settled(pid, name) - before
        if not done:
            raise RuntimeError(f"{name}: no sessions in {time.monotonic() - began} s")
        return used / done * 1e6, done


def lines(directory: Path) -> float:
    """Return how many lines a second of CPU brings into SQLite, as sinks do it."""
    bodies = []
    for i in range(1, SESSIONS + 1):
        host = f"host{i % 300}.example"
        bodies.append(decision(i, user=f"user{i % 100}", asked=host, name=host))
        bodies.append(ending(i))
    written(directory / "audit", chainOf(bodies))
    with closing(JournalReader(directory / "audit", Lines())) as reader:
        reader.after(0)
        with closing(Writer("sqlite:///audit.db", directory, "gw")) as writing:
            writing.open()
            began = time.process_time()
            while some := reader.read():
                for at in range(0, len(some), 1000):
                    writing.write(some[at : at + 1000])
            took = time.process_time() - began
            if writing.position != len(bodies):
                raise RuntimeError(f"SQLite has {writing.position} lines")
    return len(bodies) / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default=",".join(SINKS), help="sinks, by commas")
    options = parsed(parser, rounds=1, seconds=1)
    print(described())
    names = options.only.split(",")
    peers.prepare(["socksgw"])
    found: dict[str, list[float]] = {name: [] for name in names}
    target = 980
    serving = subprocess.Popen([peers.LOAD, "target", str(target)])
    try:
        peers.listening(target)
        with receivers(names) as places:
            for i in range(options.rounds):
                for name in names:
                    started(name, places())
                    used, _ = measure(name, 990 - i % 2, target, options.seconds)
                    found[name].append(used)
    finally:
        serving.kill()
        serving.wait()
    without = statistics.median(found.get("none", [0.0]))
    for name, values in found.items():
        middle = statistics.median(values)
        line = f"sink {name:<10} {middle:7.1f} us of CPU for a session"
        line += f" ({min(values):.1f} to {max(values):.1f})"
        if without and name != "none":
            ratio = middle / without
            aim = AIM.get(name)
            line += f"  {ratio:5.2f} x none"
            if aim is not None:
                word = "ok" if ratio <= aim else "NOT REACHED"
                line += f" (aim {aim}): {word}"
        print(line)
    rates = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            rates.append(lines(Path(directory)))
    middle = statistics.median(rates)
    word = "ok" if middle >= LINES else "NOT REACHED"
    print(
        f"sqlite: {middle:,.0f} lines for a second of CPU ({min(rates):,.0f} to "
        f"{max(rates):,.0f})  (aim {LINES:,}): {word}"
    )


if __name__ == "__main__":
    sys.exit(main())
