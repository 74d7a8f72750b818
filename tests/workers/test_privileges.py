"""
A gateway that has begun as root, and is nobody then, alone and with workers.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live.clients import Server, connected, four
from tests.live.netns import passable
from tests.live.restarts import restarted
from tests.live.running import HEAD, Running, running
from tests.live.servers import missing
from tests.tools.waiting import until

_NOBODY = 65534
_TEXT = (
    "[gateway]\nworkers = 2\n"
    + HEAD
    + '[[rule]]\nid = "all"\nallow = ["connect"]\nto = ["127.0.0.1"]\n'
)
#: Has twistd give up what root may, in a folder where it finds its configuration.
_DROPS = (
    f'cd "$1" && t="$2" && shift 2 && exec "$t" --uid={_NOBODY} --gid={_NOBODY} "$@"'
)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that nobody reaches, and owns."""
    if os.geteuid() != 0:
        missing("root, which the gateway gives up")
    found = Path(tempfile.mkdtemp(prefix="socksgw-nobody-", dir="/tmp"))
    try:
        os.chown(found, _NOBODY, _NOBODY)
        yield found
    finally:
        shutil.rmtree(found)


def reserved(among: range) -> int:
    """
    Return a port below 1024 that is free.

    @param among: no other test has these, which may run beside this one.
    """
    for port in random.sample(among, len(among)):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"none of {among} is free")


def serves(port: int, server: Server) -> bool:
    """Return whether a client is served."""
    client, reply = connected(port, four("127.0.0.1"), server.port)
    client.close()
    return reply == 0


def test_nobodyServes(directory: Path) -> None:
    """
    Workers have no rights, also those that take the place of one that dies; they
    accept at a port below 1024, which none of them could open.
    """
    port = reserved(range(700, 850))
    # Nobody may not write into this project, where measured lines are kept.
    script = f"unset COVERAGE_PROCESS_CONFIG; {_DROPS}"
    prefix = passable("sh", "-c", script, "sh", str(directory))
    text = _TEXT.replace("127.0.0.1:0", f"127.0.0.1:{port}")

    def pids(gateway: Running) -> dict[int, int]:
        lines = [e for e in gateway.journal("worker") if e["state"] == "started"]
        return {each["worker"]: each["pid"] for each in lines}

    with Server() as server:
        for gateway in running(directory, text, prefix=prefix):
            # The lines of their start come in the turn after they serve.
            until(lambda gateway=gateway: len(pids(gateway)) == 2)
            before = pids(gateway)
            for pid in (gateway.process.pid, *before.values()):
                said = Path(f"/proc/{pid}/status").read_text()
                assert f"Uid:\t{_NOBODY}\t{_NOBODY}\t{_NOBODY}" in said
            assert serves(port, server)
            os.kill(before[1], signal.SIGKILL)
            until(lambda gateway=gateway, was=before[1]: pids(gateway)[1] != was, 30)
            count = len(gateway.journal("decision"))
            assert all(serves(port, server) for _ in range(32))
            lines = gateway.journal("decision")[count:]
            assert {each["worker"] for each in lines} == {1, 2}


def test_alone(directory: Path) -> None:
    """
    It accepts at a port below 1024 and has no rights; it reloads, and another process,
    which has none either, takes over from it with the port.
    """
    port = reserved(range(850, 1000))
    script = f"unset COVERAGE_PROCESS_CONFIG; {_DROPS}"
    prefix = passable("sh", "-c", script, "sh", str(directory))
    text = _TEXT.replace("workers = 2", "").replace("127.0.0.1:0", f"127.0.0.1:{port}")

    def isNobody(pid: int) -> bool:
        said = Path(f"/proc/{pid}/status").read_text()
        return (
            f"Uid:\t{_NOBODY}\t{_NOBODY}\t{_NOBODY}" in said
            and f"Gid:\t{_NOBODY}\t{_NOBODY}\t{_NOBODY}" in said
            and "CapPrm:\t0000000000000000" in said
        )

    with Server() as server, restarted(directory, text, prefix=prefix) as gateway:
        assert isNobody(gateway.pid)
        assert serves(port, server)
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: gateway.journal("reloaded"), 30)
        before = gateway.pid
        new = gateway.restart()
        assert isNobody(new)
        gateway.over(before)
        assert serves(port, server)
        assert "privileges were not dropped" not in gateway.log


def test_noInterpreter(directory: Path) -> None:
    """Where nobody may run Python the gateway does not start, and says so."""
    if Path("/root").stat().st_mode & 1:
        pytest.skip("everybody may run the interpreter")
    prefix = ("sh", "-c", _DROPS, "sh", str(directory))
    gateway = Running(directory, _TEXT, prefix=prefix)
    assert gateway.process.wait(30) == 1
    assert "worker 1 cannot be started: Permission denied" in gateway.log
