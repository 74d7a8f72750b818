"""
kill -9 of either process at random moments of a restart: one of them serves on, or none,
never both; and the journal is one chain.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from socksgw.audit.verify import verify
from tests.live import raw
from tests.live.restarts import Restarted, adopt, restarted
from tests.live.running import TWISTD, environment
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
