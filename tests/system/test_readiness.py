"""
What the service manager is told, and where there is none.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from socksgw.system.readiness import Manager, notify
from tests.live.running import environment


def test_nobodyWantsToKnow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a manager, or with one that is no Unix socket, nothing is done."""
    for place in ("", "vsock:2:1234"):
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        with capturedLogs() as events:
            notify("READY=1")
        assert events == []


@pytest.mark.parametrize("abstract", [False, True])
def test_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    """By a path, or a name in the abstract name space."""
    name = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_aManagerThatIsGone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway goes on, and says so once, until it can be told again."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    manager = Manager()
    with capturedLogs() as events:
        notify("READY=1")
        for _ in range(3):
            manager.alive()
    assert len(events) == 2
    monkeypatch.delenv("NOTIFY_SOCKET")
    manager.alive()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    with capturedLogs() as events:
        manager.alive()
    assert len(events) == 1


def test_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What sd_notify(3) wants to hear of start, reload and end."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as told:
        told.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        manager = Manager()
        manager.ready("serving; 0 sessions")
        assert told.recv(100) == b"READY=1\nSTATUS=serving; 0 sessions"
        before = time.monotonic_ns() // 1000
        manager.reloading()
        state, _, at = told.recv(100).partition(b"\nMONOTONIC_USEC=")
        assert state == b"RELOADING=1"
        assert before <= int(at) <= time.monotonic_ns() // 1000
        manager.ready("")
        assert told.recv(100) == b"READY=1"
        manager.alive()
        assert told.recv(100) == b"WATCHDOG=1"
        manager.stopping("stopping", 90)
        assert told.recv(100) == (
            b"STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000\nSTATUS=stopping"
        )


@pytest.mark.parametrize(
    ("microseconds", "process", "seconds"),
    [
        ("30000000", "", 30),
        ("1500000", "ours", 1.5),
        ("30000000", "1", 0),
        ("", "", 0),
        ("soon", "", 0),
    ],
)
def test_watchdog(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, process: str, seconds: float
) -> None:
    """Time is counted for the process that is meant, and where it is a time."""
    process = str(os.getpid()) if process == "ours" else process
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", process)
    assert Manager().every == seconds


def test_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor goes with its name; whoever cannot be told has not been."""
    with (
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as told,
        closing(socket.socket()) as kept,
    ):
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        manager = Manager()
        assert manager.isThere
        assert not manager.keep("one", kept.fileno())
        told.bind(str(tmp_path / "notify"))
        assert manager.keep("one", kept.fileno())
        text, fds, *_ = socket.recv_fds(told, 100, 2)
        assert text == b"FDSTORE=1\nFDNAME=one\nFDPOLL=0"
        assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(kept.fileno()).st_ino]
        os.close(fds[0])
        assert manager.forget("one")
        assert told.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=one"


_RECEIVED = """
import os, sys
from socksgw.system.readiness import received
os.environ.clear()
print(received("ours-"), os.get_inheritable(3), os.get_inheritable(4))
"""


def test_received() -> None:
    """What is named as ours, once; what was given to another process is not."""
    names = "ours-a:another:ours-a:ours-b"
    for process, expected in (
        ("", "{'ours-a': 3, 'ours-b': 6} False True"),
        ("1", "{}"),
    ):
        pid = process or "$$"
        script = (
            "exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null;"
            f'LISTEN_PID={pid} LISTEN_FDS=4 LISTEN_FDNAMES={names} exec "$@"'
        )
        done = subprocess.run(
            ["sh", "-c", script, "sh", sys.executable, "-c", _RECEIVED],
            capture_output=True,
            env=environment(),
            text=True,
            check=True,
        )
        assert done.stdout.startswith(expected)
