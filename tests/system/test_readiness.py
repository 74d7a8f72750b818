"""
What the service manager is told, and where there is none.
"""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from socksgw.system.readiness import notify


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
    """The gateway goes on, and says so."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    with capturedLogs() as events:
        notify("READY=1")
    assert len(events) == 1
