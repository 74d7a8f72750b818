"""
The gateway against its peers, side by side in one run, in turns: of SOCKS Dante,
microsocks (Debian packages), hev-socks5-server (where PATH has it) and
asyncio-socks-server (PyPI), of HTTP squid and tinyproxy (Debian packages). And once more
the gateway, which goes through another one of ours then, whose CPU does not count. C{bare}
(bare.c) is no peer: it makes the fewest system calls by which a session can be served, and
tells the kernel's part.

Figures of CPU are user and system time of the proxy's whole process tree, as
the kernel counts them; on a noisy machine trust these, and the ratios of one
run, more than rates.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.aims import Results, table, told
from tests.bench.machine import described, parsed
from tests.bench.peers import (
    COST,
    HTTP,
    LOAD,
    PASSWORD,
    PEERS,
    STORM,
    behind,
    listening,
    load,
    missing,
    prepare,
    running,
)
from tests.bench.usage import cpu, descriptors, pss

#: Associations of UDP that are open at a time, and how a datagram to 127.0.0.1 begins.
ASSOCIATIONS = 500
UDP_HEAD = b"\0\0\0\x01\x7f\0\0\x01"


def associated(stack: ExitStack, port: int) -> socket.socket:
    """Return a socket for the datagrams of a new association."""
    control = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
    control.sendall(b"\x05\x01\x00")
    assert control.recv(2) == b"\x05\x00"
    control.sendall(b"\x05\x03\x00\x01" + bytes(6))
    reply = control.recv(10)
    assert reply[1] == 0, reply
    datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    datagrams.settimeout(10)
    datagrams.connect(("127.0.0.1", int.from_bytes(reply[8:10], "big")))
    return datagrams


class Measurement:
    """One peer, measured once."""

    def __init__(self, pid: int, port: int, target: int, options: Any) -> None:
        self._pid = pid
        self._at = (port, target)
        self._options = options
        self.figures: dict[str, float] = {}

    def _cpu(self, *arguments: object) -> tuple[dict[str, Any], float]:
        what, *rest = arguments
        before = cpu(self._pid)
        result = load(what, *self._at, *rest)
        return result, cpu(self._pid) - before

    def _note(self, test: str, result: Mapping[str, Any], **figures: float) -> None:
        if result.get("failed"):
            figures["failed"] = result["failed"]
        for name, value in figures.items():
            self.figures[f"{test} {name.replace('_', ' ')}"] = value

    def rate(self, mode: str = "noauth", name: str = "session") -> None:
        result, used = self._cpu("rate", 32, self._options.seconds, mode)
        self._note(
            name,
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            per_s=result["per_s"],
        )

    def login(self) -> None:
        load("rate", *self._at, 1, 1, "user:pass")
        self.rate("user:pass", "login session")

    def storm(self) -> None:
        """
        Right logins, all at once: each for the first time, then remembered.

        What a check of a password takes by itself does not count.
        """
        began = time.process_time()
        for _ in range(100):
            hashlib.scrypt(PASSWORD, salt=bytes(16), dklen=32, **COST)
        check = (time.process_time() - began) / 100
        for name, own in (("storm", check), ("storm again", 0.0)):
            result, used = self._cpu("storm", STORM, "user#:pass")
            self._note(
                name,
                result,
                refused=STORM - result["done"],
                CPU_us=(used / STORM - own) * 1e6,
                p99_ms=result["p99_ms"],
            )

    def httplogin(self) -> None:
        load("rate", *self._at, 1, 1, "http+user:pass")
        self.rate("http+user:pass", "login CONNECT session")

    def single(self) -> None:
        result, used = self._cpu("rate", 1, self._options.seconds, "noauth")
        self._note("single session", result, CPU_us=used / max(1, result["done"]) * 1e6)

    def pace(self) -> None:
        result, used = self._cpu("pace", 200, self._options.seconds, "noauth")
        self._note(
            "200/s",
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            p50_ms=result["p50_ms"],
            p99_ms=result["p99_ms"],
        )

    def socks6(self) -> None:
        self.rate("socks6", "SOCKS 6 session")

    def http(self) -> None:
        self.rate("http", "CONNECT session")
        self.rate("http*", "new CONNECT session")
        self.bulk("down", "http", "CONNECT ")

    def bulk(self, way: str, mode: str = "noauth", name: str = "") -> None:
        size = self._options.bytes
        for streams in (1, 32):
            result, used = self._cpu(way, streams, size // streams, mode)
            self._note(
                f"{name}{way} {streams}",
                result,
                CPU_s_GiB=used / (size / 2**30),
                Gbit_s=result["gbit_s"],
            )

    def down(self) -> None:
        self.bulk("down")

    def up(self) -> None:
        self.bulk("up")

    def rtt(self) -> None:
        single, _ = self._cpu("rtt", 1, self._options.seconds, "noauth")
        result, used = self._cpu("rtt", 64, self._options.seconds, "noauth")
        self._note(
            "round trip",
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            p50_ms=single["p50_ms"],
        )

    def idle(self) -> None:
        """What a session keeps; the first one brings what is not of each."""
        load("storm", *self._at, 1, "noauth")
        before = pss(self._pid)
        command = [
            str(LOAD),
            "idle",
            *map(str, self._at),
            str(self._options.idle),
            "noauth",
        ]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holding:
            assert holding.stdin is not None
            assert holding.stdout is not None
            result = json.loads(holding.stdout.readline())
            time.sleep(0.5)
            grown = pss(self._pid) - before
            holding.stdin.close()
            holding.wait(30)
        self._note("idle", result, KiB=grown / max(1, result["open"]))

    def associations(self) -> None:
        """What an association of UDP keeps: when it is new, and with a destination."""
        port, target = self._at
        before = pss(self._pid), descriptors(self._pid)

        def note(name: str) -> None:
            time.sleep(0.5)
            memory, opened = pss(self._pid), descriptors(self._pid)
            self._note(
                name,
                {},
                KiB=(memory - before[0]) / ASSOCIATIONS,
                descriptors=(opened - before[1]) / ASSOCIATIONS,
            )

        with ExitStack() as stack:
            made = [associated(stack, port) for _ in range(ASSOCIATIONS)]
            note("new association")
            octets = UDP_HEAD + target.to_bytes(2, "big") + b"x" * 100
            for each in made:
                each.send(octets)
                assert len(each.recv(200)) == len(octets)
            note("association")

    def udp(self) -> None:
        """Echoes of UDP: many in flight, to one destination and to several; one alone."""
        for name, associations, flight, destinations in (
            ("UDP echo", 8, 16, 1),
            ("UDP 8 destinations", 8, 16, 8),
            ("UDP one at a time", 1, 1, 1),
        ):
            result, used = self._cpu(
                "udp",
                associations,
                self._options.seconds,
                "noauth",
                flight,
                destinations,
            )
            self._note(
                name,
                result,
                CPU_us=used / max(1, result["done"]) * 1e6,
                per_s=result["per_s"],
                lost=result["lost"],
            )


TESTS = (
    "rate", "single", "login", "pace", "storm", "down", "up", "rtt", "udp", "http", "httplogin",
    "socks6", "idle", "associations",
)  # fmt: skip
#: Each in a process that has done nothing else: memory of an earlier test is used again.
APART = ("idle", "associations")
_LEAN = {"socksgw", "dante", "microsocks", "bare", "hev"}
#: Whom tests are for, where that is not everybody but those that speak HTTP alone: who
#: can, and whose figure is one to be compared with.
ONLY = {
    "down": set(PEERS) - HTTP - {"bare"},
    "up": set(PEERS) - HTTP - {"bare"},
    "single": _LEAN,
    "login": {"socksgw"},
    "pace": _LEAN,
    "storm": {"socksgw"},
    "rtt": _LEAN,
    "udp": {"socksgw", "dante", "hev", "asyncio-socks-server"},
    "associations": {"socksgw", "hev"},
    "idle": _LEAN - {"bare"},
    "http": {"socksgw", *HTTP},
    "httplogin": {"socksgw"},
    "socks6": {"socksgw"},
}


def inTurn(name: str, tests: list[str]) -> list[list[str]]:
    """Return the tests that are for a peer, by the processes that they are made with."""
    his = [x for x in tests if name in ONLY.get(x, set(PEERS) - HTTP)]
    together = [x for x in his if x not in APART]
    return [each for each in (together, *([x] for x in his if x in APART)) if each]


def measure(name: str, options: Any) -> dict[str, float]:
    """One peer's figures."""
    port, target = 990, 980
    serving = subprocess.Popen([LOAD, "target", str(target)])
    try:
        listening(target)
        figures: dict[str, float] = {}
        for tests in inTurn(name, options.tests.split(",")):
            with behind(name), running(name, port) as pid:
                measurement = Measurement(pid, port, target, options)
                for test in tests:
                    getattr(measurement, test)()
                figures |= measurement.figures
        return figures
    finally:
        serving.kill()
        serving.wait()


def apart(name: str, options: Any) -> dict[str, float]:
    """
    The same, in a network of its own: ports that one peer's sessions leave in
    TIME_WAIT would be missing to the next.
    """
    network = (
        "ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='1024 65535'"
    )
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", name]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{network} && exec "$@"', "sh", *command],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit("a network namespace is needed: run this as root")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    # Nobody's package has this one.
    here = [x for x in PEERS if x != "hev" or x not in missing()]
    parser.add_argument("--only", default=",".join(here), help="peers, by commas")
    parser.add_argument("--tests", default=",".join(TESTS), help="tests, by commas")
    parser.add_argument("--seconds", type=int, default=2, help="for each timed test")
    parser.add_argument("--bytes", type=int, default=1 << 30, help="for each transfer")
    parser.add_argument("--idle", type=int, default=2000, help="idle sessions")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parsed(parser, rounds=2, seconds=1, bytes=1 << 27, idle=300)
    names = options.only.split(",")
    tests = options.tests.split(",")
    if unknown := (set(names) - set(PEERS)) | (set(tests) - set(TESTS)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    prepare(names)
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    print(described())
    results: Results = {name: [] for name in names}
    for turn in range(options.rounds):
        for name in names:
            print(f"round {turn + 1}: {name}", file=sys.stderr)
            results[name].append(apart(name, options))
    print(table(results))
    print()
    print("\n".join(told(results, missing())))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
