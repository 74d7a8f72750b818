"""
Where the admin interface is served, and that it follows reloads.
"""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.admin import AdminClient
from tests.live.running import OPEN
from tests.live.serving import Serving, served
from tests.tools.waiting import until


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Serving]:
    """A gateway of the test's own."""
    yield from served(tmp_path, OPEN)


def reloaded(serving: Serving, text: str, event: str = "reloaded") -> None:
    """Reload with another C{[admin]}."""
    gateway = serving.gateway
    before = len(gateway.journal(event))
    (gateway.directory / "gw.toml").write_text(OPEN + text)
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.journal(event)) > before, 20)


def test_reload(changing: Serving) -> None:
    """Places, modes and tokens change; one that cannot be opened changes nothing."""
    directory = changing.gateway.directory
    socket_, other = directory / "admin.sock", directory / "other.sock"
    assert stat.S_IMODE(socket_.stat().st_mode) == 0o660
    assert changing.own.get("/healthz") == {"alive": True}
    assert changing.nobody.get("/healthz") == {"alive": True}

    bad = f'[admin]\nendpoint = ["unix:{other}", "unix:/nix/no/where"]\nmode = "600"\n'
    reloaded(changing, bad, "reload-failed")
    assert "make its directory" in changing.gateway.log
    assert not other.exists()
    assert stat.S_IMODE(socket_.stat().st_mode) == 0o660
    assert changing.nobody.get("/healthz") == {"alive": True}

    reloaded(
        changing,
        f'[admin]\nendpoint = ["unix:{socket_}", "unix:{other}"]\nmode = "600"\n'
        "public = []\n",
    )
    assert stat.S_IMODE(socket_.stat().st_mode) == 0o600
    assert AdminClient(other).get("/readyz")["ready"]
    with pytest.raises(ConnectionRefusedError):
        changing.nobody.ask("/healthz")

    reloaded(changing, "")
    assert not socket_.exists()
    assert not other.exists()
