"""
The gateway as a service.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import closing, suppress
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
    reloads: list[Callable[[], None]] = []
    signals: Any = SimpleNamespace(serve=lambda *given: reloads.append(given[1]))
    reactor: Any = EPollReactor()
    gateway = Gateway(reactor, loads(OPEN, "gw.toml", tmp_path))
    gateway._state.directory.mkdir()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "40000")
        service = GatewayService(reactor, gateway, console, signals, False)
        service.privilegedStartService()
        service.startService()
        assert manager.recv(100).startswith(b"FDSTORE=1\nFDNAME=socksgw-spoken-0-")
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        assert told == []
        reactor.startRunning(installSignalHandlers=False)
        assert manager.recv(100) == b"READY=1\nSTATUS=serving; 0 sessions"
        assert told == ["banner"]
        # Twice within the time after which a reactor that stands still is restarted.
        assert service._looking.interval == 0.02
        beats: list[bytes] = []
        while len(beats) < 3:
            reactor.iterate(0.01)
            with suppress(BlockingIOError):
                beats.append(manager.recv(100))
        assert set(beats) == {b"WATCHDOG=1"}
        # A reload that fails is over, too. Two that come together are one after the
        # other, and over once.
        assert reloads == [gateway.reload]
        gateway.reload()
        gateway.reload()
        heard = b""
        while b"STATUS" not in heard:
            reactor.iterate(0.01)
            with suppress(BlockingIOError):
                heard += manager.recv(200).replace(b"WATCHDOG=1", b"")
        assert re.fullmatch(
            rb"(RELOADING=1\nMONOTONIC_USEC=\d+){2}READY=1\nSTATUS=serving; 0 sessions; not "
            rb"reloaded: there is no configuration file to read again",
            heard,
        )
        stopped: list[object] = []
        service.stopService().addBoth(stopped.append)
        while not stopped:
            reactor.iterate(0.01)
        heard = b""
        with suppress(BlockingIOError):
            while True:
                heard = manager.recv(200).replace(b"WATCHDOG=1", b"") or heard
        assert heard == (
            b"STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000\nSTATUS=stopping; 0 sessions"
        )
        # It read the configuration, and would keep this process from its end.
        reactor.getThreadPool().stop()
        assert told == ["banner", "stopped"]
