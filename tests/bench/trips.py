"""
How many round trips a client takes to the first octet of its destination.

Client and gateway are in network namespaces of their own, and each packet between them
takes 25 ms in each direction. The client connects, has the gateway connect to an echo
server beside it, and sends four octets: the time until the first of them comes back is
told, with TCP's own handshake and without. As root.
"""

from __future__ import annotations

import argparse
import fcntl
import heapq
import math
import os
import select
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.machine import described, parsed
from tests.live import raw
from tests.live.netns import alone, ip, served, within
from tests.live.running import LOOPBACK, Running, socksgw

#: Seconds that a packet takes.
DELAY: Final = 0.025
HERE, THERE = "10.9.0.1", "10.9.0.2"
_PORT: Final = 1080
_PAYLOAD: Final = b"ping"
#: TUNSETIFF, and the flags of a device of packets without a head (linux/if_tun.h).
_TUNSETIFF: Final = 0x400454CA
_TUN: Final = 0x1001
_FASTOPEN: Final = 0x20000000
_CONFIGURATION: Final = f"""
[[listen]]
name = "lan"
address = ["{THERE}:{_PORT}"]
protocols = ["socks5", "socks6"]
fast_open = true
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass", "none"]
from = ["10.9.0.0/24"]
cleartext_passwords = true
[[rule]]
id = "all"
allow = ["connect"]
{LOOPBACK}"""


def _device(name: str, address: str) -> int:
    """Make a device in this thread's namespace, and return what reads its packets."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN))
    ip(f"addr add {address}/24 dev {name}", f"link set {name} up")
    return device


def _carry(devices: tuple[int, int]) -> None:
    """Carry packets from each device to the other one, until the process is ended."""
    other = dict(zip(devices, reversed(devices), strict=True))
    waiting: list[tuple[float, int, int, bytes]] = []
    count = 0
    poll = select.poll()
    for device in devices:
        poll.register(device, select.POLLIN)
    while True:
        left = waiting[0][0] - time.monotonic() if waiting else 3600.0
        for device, _ in poll.poll(max(math.ceil(left * 1000), 0)):
            packet = os.read(device, 65536)
            count += 1
            due = time.monotonic() + DELAY
            heapq.heappush(waiting, (due, count, other[device], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            os.write(device, packet)


def _five(client: socket.socket, port: int, login: bool) -> None:
    client.sendall(b"\5\1\2" if login else b"\5\1\0")
    raw.exactly(client, 2)
    if login:
        client.sendall(raw.login(b"alice", b"alice-secret"))
        assert raw.exactly(client, 2) == b"\1\0"
    client.sendall(raw.request5("127.0.0.1", port))
    assert raw.reply5(client)[0] == 0
    client.sendall(_PAYLOAD)


def _six(port: int, login: bool) -> bytes:
    options = raw.login6("alice", "alice-secret") if login else b""
    return raw.request6("127.0.0.1", port, options=options) + _PAYLOAD


def _letIn(client: socket.socket) -> None:
    assert raw.entered6(client)[0] == 0
    assert raw.replied6(client)[0] == 0


def _bySix(client: socket.socket, port: int, login: bool) -> None:
    client.sendall(_six(port, login))
    _letIn(client)


def _once(
    port: int, speak: Callable[[socket.socket, int, bool], None], login: bool
) -> tuple[float, float]:
    """Return the seconds to the first octet, from the SYN and from the first octet."""
    began = time.perf_counter()
    with socket.create_connection((THERE, _PORT), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected = time.perf_counter()
        speak(client, port, login)
        assert raw.exactly(client, len(_PAYLOAD)) == _PAYLOAD
        ended = time.perf_counter()
    return ended - began, ended - connected


def _fast(port: int, login: bool) -> float:
    """Return the seconds to the first octet where the SYN has everything."""
    with socket.socket() as client:
        began = time.perf_counter()
        octets = _six(port, login)
        assert client.sendto(octets, _FASTOPEN, (THERE, _PORT)) == len(octets)
        client.settimeout(10)
        _letIn(client)
        assert raw.exactly(client, len(_PAYLOAD)) == _PAYLOAD
        return time.perf_counter() - began


def _told(
    what: str, aim: int, seconds: list[float], whole: list[float] | None = None
) -> None:
    found = statistics.median(seconds)
    trips = found / DELAY / 2
    text = f"{what:32} {found * 1000:6.0f} ms, {trips:4.1f} round trips"
    if aim:
        # What is no trip takes some milliseconds.
        text += f" (aim {aim}): {'ok' if round(trips) <= aim else 'NOT REACHED'}"
    if whole is not None:
        found = statistics.median(whole)
        text += f"; with TCP's handshake {found * 1000:4.0f} ms"
    print(text, flush=True)


def inside(rounds: int) -> None:
    """Measure; this runs in namespaces of its own."""
    ip("netns add gateway")
    near = _device("near", HERE)
    with within("gateway"):
        ip("link set lo up")
        far = _device("far", THERE)
        listening = socket.create_server(("127.0.0.1", 0))
    carrier = os.fork()
    if not carrier:
        _carry((near, far))
    served(listening, b"")
    port = listening.getsockname()[1]
    switch = Path("/proc/sys/net/ipv4/tcp_fastopen")
    switch.write_text("1")
    with within("gateway"):
        switch.write_text("2")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        socksgw("passwd", "users", "alice", cwd=directory, stdin="alice-secret\n")
        gateway = Running(
            directory,
            _CONFIGURATION,
            prefix=["nsenter", "--net=/run/netns/gateway"],
        )
        try:
            gateway.ready()
            for login in (False, True):
                more = " with a login" if login else ""
                for name, speak, aim in (("SOCKS 5", _five, 0), ("SOCKS 6", _bySix, 1)):
                    found = [_once(port, speak, login) for _ in range(rounds)]
                    rest, whole = [b for _, b in found], [a for a, _ in found]
                    _told(f"{name}{more}", aim, rest, whole)
                # The first connection brings the cookie.
                fast = [_fast(port, login) for _ in range(rounds + 1)][1:]
                _told(f"SOCKS 6{more}, in the SYN", 1, fast)
        finally:
            gateway.process.terminate()
            gateway.process.wait()
            os.kill(carrier, 15)
            os.waitpid(carrier, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parsed(parser, rounds=2)
    if options.inside:
        inside(options.rounds)
    else:
        print(described(), flush=True)
        print(
            alone("tests.bench.trips", "--inside", f"--rounds={options.rounds}"), end=""
        )
