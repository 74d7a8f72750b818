"""
C{socksgw diff}: recorded traffic, judged by another policy.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from tests.live.running import OPEN, Running, socksgw
from tests.tools.waiting import until


def test_diff(tmp_path: Path, gateway: Callable[..., Running]) -> None:
    """Recorded traffic, judged by another policy."""
    running = gateway(OPEN)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(b"\x05\x01\0\x05\x01\0\x01\x7f\0\0\x01\0\x01")
            until(lambda c=client: c.recv(20), 10)
    until(lambda: len(running.journal("decision")) == 3)
    directory = running.directory
    (directory / "new.toml").write_text(OPEN.replace('["connect"]', '["udp"]'))
    same = socksgw("diff", "gw.toml", "gw.toml", cwd=directory)
    assert (same.returncode, same.stdout.split("\n")[-2]) == (
        0,
        "of 3 decisions 0 would change",
    )
    other = socksgw("diff", "gw.toml", "new.toml", cwd=directory)
    assert other.returncode == 1
    assert "3 × anonymous connect 127.0.0.1:1" in other.stdout
    assert "of 3 decisions 3 would change" in other.stdout
    # Who is let in no longer is a change, too, whatever the rules say.
    closed = OPEN.replace('from = ["127.0.0.0/8", "::1"]', 'from = ["10.0.0.0/8"]')
    (directory / "closed.toml").write_text(closed)
    other = socksgw("diff", "gw.toml", "closed.toml", cwd=directory)
    assert other.returncode == 1
    assert 'allow by rule "all" → deny by rule "auth.choose"' in other.stdout
