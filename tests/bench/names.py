"""
What names cost: the CPU of a session to a literal, to a name that is known, and to a
new one, beside Dante and microsocks.

Everybody asks the same name server on loopback, whose CPU does not count. Each round
starts every peer anew, in turns. A part of C{make bench}; as root.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench import aims, peers, usage
from tests.bench.machine import described, parsed

PEERS: Final = ("socksgw", "dante", "microsocks")
KINDS: Final = ("literal", "cached", "new")
#: What is aimed at: a peer's figure, and ours beside it.
AIMS: Final = (
    ("new", "dante", "new", 0.75),
    ("cached", "socksgw", "literal", 1.1),
)
PORT, TARGET = 990, 980
THREADS: Final = 16

#: Behind a question: one address of 127.0.0.1 (RFC 1035 section 3.4.1), or the zone's
#: SOA (section 3.3.13) where there is none (RFC 2308 section 2.2).
_A: Final = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01"
_SOA: Final = b"\xc0\x0c\0\x06\0\x01\0\0\0\x3c\0\x16\0\0" + b"\0\0\0\x01" * 5


def answer() -> None:
    """Answer as a name server that has one IPv4 address for every name."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    server.bind(("127.0.0.1", 53))
    while True:
        query, peer = server.recvfrom(2048)
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        if question[-4:-2] == b"\0\x01":
            flags, records = b"\x81\x80\0\x01\0\x01\0\0\0\0", _A
        else:
            flags, records = b"\x81\x80\0\x01\0\0\0\x01\0\0", _SOA
        server.sendto(query[:2] + flags + question + records, peer)


def answering() -> None:
    """Wait until the name server answers."""
    query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        for _ in range(100):
            try:
                client.sendto(query, ("127.0.0.1", 53))
                client.recv(512)
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError("the name server does not answer")


def hostOf(kind: str, number: int) -> bytes:
    """Return address type and address of a request (RFC 1928 section 5)."""
    if kind == "literal":
        return b"\x01\x7f\0\0\x01"
    name = b"known.example" if kind == "cached" else b"n%d.bench.example" % number
    return b"\x03" + bytes((len(name),)) + name


def session(host: bytes) -> None:
    """Make one session: 64 octets there and back."""
    with socket.create_connection(("127.0.0.1", PORT), 20) as client:
        client.sendall(b"\x05\x01\0")
        if client.recv(2) != b"\x05\0":
            raise RuntimeError("refused")
        client.sendall(b"\x05\x01\0" + host + TARGET.to_bytes(2, "big"))
        reply = client.recv(64)
        if reply[1:2] != b"\0":
            raise RuntimeError(f"reply {reply.hex()}")
        client.sendall(b"E" + b"x" * 64)
        got = 0
        while got < 64:
            octets = client.recv(64)
            if not octets:
                raise RuntimeError("closed")
            got += len(octets)


def many(sessions: int, host: Callable[[int], bytes]) -> None:
    """Make so many sessions, some at a time."""
    numbers = iter(range(sessions))
    lock = threading.Lock()
    failed: list[BaseException] = []

    def some() -> None:
        while not failed:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                session(host(number))
            except BaseException as e:
                failed.append(e)

    threads = [threading.Thread(target=some) for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if failed:
        raise failed[0]


@contextmanager
def aside(*command: str) -> Iterator[None]:
    """Have another program run."""
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def measure(peer: str, sessions: int, turn: int) -> dict[str, float]:
    """
    Return microseconds of CPU a session, by kind.

    @param turn: the number of the round: another kind is the first one in each.
    """
    figures = {}
    with (
        aside(str(peers.LOAD), "target", str(TARGET)),
        aside(sys.executable, __file__, "--answer"),
        peers.running(peer, PORT) as pid,
    ):
        peers.listening(TARGET)
        answering()
        first = turn % len(KINDS)
        for kind in KINDS[first:] + KINDS[:first]:
            many(50, lambda number: hostOf(kind, -number - 1))  # noqa: B023
            before = usage.cpu(pid)
            many(sessions, lambda number: hostOf(kind, number))  # noqa: B023
            figures[kind] = (usage.cpu(pid) - before) / sessions * 1e6
    return figures


def apart(peer: str, sessions: int, turn: int) -> dict[str, float]:
    """Measure where the name server is the only one, on a network without others."""
    with tempfile.TemporaryDirectory() as directory:
        conf = Path(directory) / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\n")
        prepared = (
            "ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='1024 65535'"
            f" && mount --bind {conf} /etc/resolv.conf"
        )
        command = [sys.executable, __file__, "--measure", peer]
        done = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", f'{prepared} && exec "$@"',
             "sh", *command, "--sessions", str(sessions), "--turn", str(turn)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sessions", type=int, default=1000, help="of each kind")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    options = parsed(parser, rounds=2, sessions=200)
    if options.answer:
        answer()
    peers.prepare(list(PEERS))
    if options.measure:
        figures = measure(options.measure, options.sessions, options.turn)
        print(json.dumps(figures))
        return
    if os.geteuid():
        sys.exit("network namespaces are needed: run this as root")
    print(described())
    results: aims.Results = {peer: [] for peer in PEERS}
    for turn in range(options.rounds):
        for peer in PEERS:
            print(f"round {turn + 1}: {peer}", file=sys.stderr)
            figures = apart(peer, options.sessions, turn)
            results[peer].append({f"{k} CPU us": v for k, v in figures.items()})
    print(aims.table(results))
    print()
    for kind, peer, other, aim in AIMS:
        ours = aims.median(results, "socksgw", f"{kind} CPU us")
        theirs = aims.median(results, peer, f"{other} CPU us")
        if ours and theirs:
            word = aims.verdict(ours / theirs <= aim)
            told = f"{ours / theirs:.2f} x {peer}'s {other} (aim {aim})"
            print(f"{kind} name: {told}: {word}")


if __name__ == "__main__":
    main()
