"""
Where the admin interface is served, and that it follows reloads.
"""

from __future__ import annotations

import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from socksgw.admin import ports
from socksgw.config.loading import loads
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.relief import Succeeded
from tests.live.admin import AdminClient
from tests.live.running import OPEN, running, socksgw
from tests.live.servers import freePort
from tests.live.serving import Serving, served
from tests.tools.certificates import Authority, pemOf, server
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


def test_tls(tmp_path: Path) -> None:
    """A port for other hosts has TLS; the commands verify whom they ask."""
    authority = Authority()
    server(authority).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(authority.certificate))
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("0123456789abcdef\n")
    port = freePort(kind=socket.SOCK_STREAM)
    text = (
        f'[admin]\nendpoint = "ssl:{port}:interface=0.0.0.0:privateKey='
        f'{tmp_path}/gw.key:certKey={tmp_path}/gw.pem"\n'
        '[[admin.token]]\nname = "a"\nfile = "token"\n'
    )
    asking = ("status", "--token-file", "token", "--endpoint")
    for _ in running(tmp_path, OPEN + text):
        place = f"https://localhost:{port}"
        done = socksgw(*asking, place, "--ca", "ca.pem", cwd=tmp_path)
        assert done.returncode == 0, done
        done = socksgw(*asking, place, cwd=tmp_path)
        assert (done.returncode, "not trusted" in done.stderr) == (3, True)
        done = socksgw(*asking, f"tcp:127.0.0.1:{port}", cwd=tmp_path)
        assert done.returncode == 3


def test_whatWasAskedIsAnswered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for a restart hears of it, however long the sessions take to move."""
    monkeypatch.setattr(ports, "_ASKING", 0)
    place = tmp_path / "admin.sock"
    config = loads(f'{OPEN}[admin]\nendpoint = "unix:{place}"\n', "gw.toml", tmp_path)
    reactor: Any = EPollReactor()
    gateway = Gateway(reactor, config)
    moving: Deferred[Succeeded] = Deferred()
    gateway.relief.restart = lambda: moving
    lines: list[object] = []
    monkeypatch.setattr(gateway.journal, "append", lines.append)
    served = ports.AdminPorts(gateway, reactor)
    served.change(config)
    (site,) = served._sites.values()

    def turning(done: Callable[[], object]) -> None:
        def turned() -> object:
            reactor.iterate(0.01)
            return done()

        until(turned)

    with ExitStack() as stack:
        asking, following, idle = (
            stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)
        )
        for each, head in (
            (asking, b"POST /api/restart HTTP/1.1\r\nContent-Length: 0\r\n"),
            (following, b"GET /api/events HTTP/1.1\r\n"),
            (idle, b""),
        ):
            each.connect(str(place))
            each.sendall(head and head + b"Host: localhost\r\n\r\n")
        turning(lambda: [c.asked for c in site.channels] == [True, True, False])
        served.leave()
        turning(lambda: [c.asked for c in site.channels] == [True])
        moving.callback(Succeeded(7, 5000, 0))
        turning(lambda: not site.channels)
        assert asking.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    assert lines
    served.close()
