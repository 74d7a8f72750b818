"""
kill -9 under load: no session was granted without its record.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from pathlib import Path

from tests.live.clients import Server, connected, four, isClosed, tunnel
from tests.live.running import OPEN, Running, socksgw
from tests.tools.waiting import until

#: Rounds of load, kill and restart, on one state directory.
ROUNDS = 3
_THREADS = 4


def _load(gateway: Running, sink: Server) -> set[str]:
    """
    Clients, until the gateway is killed under them.

    @return: the places of the clients that had a success reply.
    """
    granted: set[str] = set()
    enough = threading.Event()

    def ask() -> None:
        while True:
            try:
                client, reply = connected(gateway.port, four(sink.place[0]), sink.port)
            except OSError:
                return
            with closing(client):
                if reply != 0:
                    return
                host, port = client.getsockname()
                granted.add(f"{host}:{port}")
            if len(granted) >= 200:
                enough.set()

    threads = [threading.Thread(target=ask) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    try:
        assert enough.wait(30)
    finally:
        gateway.kill()
        for thread in threads:
            thread.join(30)
    return granted


def _allowed(gateway: Running) -> set[str]:
    """The clients whose sessions the journal says were allowed."""
    decisions = gateway.journal("decision")
    return {line["client"] for line in decisions if line["verdict"] == "allow"}


def test_everyGrantedSessionHasItsRow(tmp_path: Path) -> None:
    """
    Of every session whose client saw a success reply there is the decision's
    line, however suddenly the gateway died; a torn last line is cut off at
    the next start, which says so; the chain goes on and is whole.
    """
    with Server() as sink:
        for number in range(ROUNDS):
            gateway = Running(tmp_path, OPEN)
            try:
                gateway.ready()
                granted = _load(gateway, sink)
            finally:
                gateway.kill()
            assert len(granted) >= 200
            assert granted <= _allowed(gateway)
            if number % 2:
                # As if the kernel had taken the half of one more line.
                last = max((tmp_path / "var" / "audit").glob("*.jsonl"))
                torn = b'{"v":1,"n":' + b"7" * number
                with last.open("ab") as journal:
                    journal.write(torn)
            (tmp_path / "log").unlink()
        gateway = Running(tmp_path, OPEN)
        try:
            gateway.ready()
            tunnel(gateway.port, sink.place).close()
            gateway.healthy()
        finally:
            gateway.kill()
    recovered = gateway.journal("recovered")
    assert [line["octets"] for line in recovered] == [
        len(b'{"v":1,"n":') + number for number in range(1, ROUNDS, 2)
    ]
    assert len(gateway.journal("start")) == ROUNDS + 1
    numbers = [line["n"] for line in gateway.journal()]
    assert numbers == list(range(1, len(numbers) + 1))
    verified = socksgw("audit", "verify", "--config", "gw.toml", cwd=tmp_path)
    assert verified.returncode == 0
    assert f"whole: {len(numbers)} lines" in verified.stdout


def test_aKilledGatewayLeavesNothingHeld(tmp_path: Path) -> None:
    """
    The lock on the journal dies with its process: the next gateway starts at
    once, with live sessions of the old one still in their clients' hands.
    """
    with Server() as echo:
        first = Running(tmp_path, OPEN)
        try:
            first.ready()
            with closing(tunnel(first.port, echo.place)) as client:
                os.kill(first.process.pid, signal.SIGKILL)
                first.process.wait(10)
                (tmp_path / "log").unlink()
                second = Running(tmp_path, OPEN)
                try:
                    second.ready()
                    tunnel(second.port, echo.place).close()
                    second.healthy()
                finally:
                    second.kill()
                until(lambda: isClosed(client))
        finally:
            first.kill()
