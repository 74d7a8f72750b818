"""
A gateway whose configuration changes: what the tests of that share.
"""

from __future__ import annotations

import signal
import socket

from tests.live.clients import exactly
from tests.live.running import Running
from tests.tools.waiting import until

__all__ = ["changed", "ends", "lives", "reloaded"]


def changed(gateway: Running, text: str) -> dict[str, object]:
    """Another configuration, and the line that says what became of it."""
    (gateway.directory / "gw.toml").write_text(text)
    return reloaded(gateway)


def reloaded(gateway: Running) -> dict[str, object]:
    def lines() -> list[dict[str, object]]:
        return gateway.journal("reloaded") + gateway.journal("reload-failed")

    before = len(lines())
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(lines()) > before)
    return max(lines(), key=lambda line: line["n"])  # type: ignore[arg-type,return-value]


def ends(client: socket.socket, seconds: float = 2.0) -> bool:
    """Whether the connection ends."""
    client.settimeout(seconds)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def lives(client: socket.socket) -> bool:
    client.settimeout(10)
    client.sendall(b"still here")
    return exactly(client, 10) == b"still here"
