"""
The gateway as a service.
"""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from socksgw.config.loading import loads
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.service import GatewayService
from tests.live.running import OPEN


def test_readyWhenTheReactorRuns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told so finds a gateway that accepts clients, and all that it opens."""
    told: list[str] = []
    console: Any = SimpleNamespace(
        start=lambda _: told.append("banner"), stop=lambda: told.append("stopped")
    )
    signals: Any = SimpleNamespace(serve=lambda *_: None)
    reactor: Any = EPollReactor()
    gateway = Gateway(reactor, loads(OPEN, "gw.toml", tmp_path))
    gateway._state.directory.mkdir()
    service = GatewayService(reactor, gateway, console, signals, False)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        service.privilegedStartService()
        service.startService()
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        assert told == []
        reactor.startRunning(installSignalHandlers=False)
        assert manager.recv(100) == b"READY=1"
        assert told == ["banner"]
        stopped: list[object] = []
        service.stopService().addBoth(stopped.append)
        while not stopped:
            reactor.iterate(0.01)
        assert manager.recv(100) == b"STOPPING=1"
        assert told == ["banner", "stopped"]
