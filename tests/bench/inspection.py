"""
TLS sessions through the gateway with C{[inspect]} and without it, in turns: CPU of its
reactor for each session: a real ClientHello, and messages as large as those of TLS.

Takes about ten seconds; a part of C{make bench}.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.machine import described, parsed
from tests.live import raw
from tests.live.running import OPEN, Running
from tests.tools.hellos import hello

AIM = 1.15
RULE = '[[rule]]\nid = "tls"\nallow = ["connect"]\napplication = ["tls"]\n'
#: What is compared: the plain configuration, all sessions looked at, and each looked
#: at before its octets go on.
KINDS = {
    "without": OPEN,
    "looked at": f"[inspect]\n{OPEN}",
    "by rule": OPEN.partition("[[rule]]")[0] + RULE,
}


def cpu(gateway: Running) -> float:
    """Return seconds of CPU of the reactor's thread, to the nanosecond."""
    file = Path(f"/proc/{gateway.process.pid}/schedstat")
    return int(file.read_text().split()[0]) / 1e9


def serve() -> int:
    """Start a server that answers with as many octets as one of TLS; return its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                for size in (1500, 600):
                    connection.recv(4096)
                    connection.sendall(bytes(size))
                connection.recv(1)

    threading.Thread(target=accept, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


def session(opening: bytes, gateway: int, port: int) -> None:
    """Open one, with the messages of a session of TLS, and end it."""
    with raw.through(raw.dial(gateway), "127.0.0.1", port) as connection:
        connection.sendall(opening)
        raw.exactly(connection, 1500)
        connection.sendall(bytes(150))
        raw.exactly(connection, 600)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sessions", type=int, default=200, help="in each round")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parsed(parser, rounds=2, sessions=50)
    print(described())
    opening = hello()
    results: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="bench-inspection-") as name:
        port = serve()
        gateways = {}
        for number, (kind, text) in enumerate(KINDS.items()):
            directory = Path(name) / str(number)
            directory.mkdir()
            gateways[kind] = Running(directory, text).ready()
        try:
            for gateway in gateways.values():
                for _ in range(50):
                    session(opening, gateway.port, port)
            for _ in range(options.rounds):
                for kind, gateway in gateways.items():
                    before = cpu(gateway)
                    for _ in range(options.sessions):
                        session(opening, gateway.port, port)
                    used = cpu(gateway) - before
                    results[kind].append(used / options.sessions * 1e6)
        finally:
            for gateway in gateways.values():
                gateway.kill()
    base = statistics.median(results["without"])
    for kind, values in results.items():
        ratio = statistics.median(values) / base
        word = "" if kind == "without" else f": {ratio:.2f} x (aim {AIM})"
        if kind == "looked at":
            word += ": ok" if ratio <= AIM else ": NOT REACHED"
        print(f"inspection  CPU µs a session {kind:<10} {base * ratio:.0f}{word}")
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
