"""
C{socksgw selftest} against a gateway that runs, and against other proxies.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live import upstreams
from tests.live.netns import served
from tests.live.running import Running, environment, running, socksgwProcess
from tests.live.servers import Daemon, freePort
from tests.tools.certificates import SERVER, Authority, dns, pemOf

#: Nobody else connects from there, so that ports that are free stay so.
GATEWAY = """
[[listen]]
name = "open"
address = ["127.77.0.1:{open}", "unix:{directory}/gw.sock"]
protocols = ["socks5", "socks4", "http", "socks6"]
[[listen]]
name = "logins"
address = ["127.77.0.1:{logins}"]
protocols = ["socks5", "http"]
tls = {{ certificate = "gw.pem", key = "gw.key" }}
[auth]
checkers = ["passwd:{directory}/users"]
[[auth.choose]]
listener = ["logins"]
methods = ["userpass"]
from = ["127.0.0.0/8"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
[never]
except = ["127.0.0.1:{target}"]
[[rule]]
id = "all"
allow = ["connect"]
from = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("selftest")
    root = Authority()
    root.issue(dns("gw.example"), usage=(SERVER,)).write(directory, "gw")
    (directory / "ca.pem").write_bytes(pemOf(root.certificate))
    (directory / "password").write_text("a password\n")
    (directory / "password").chmod(0o600)
    users = str(directory / "users")
    done = socksgwProcess("passwd", users, "alice", stdin="a password\n")
    assert done.returncode == 0, done.stderr
    with socket.create_server(("127.0.0.1", 0)) as listening:
        target = listening.getsockname()[1]
        served(listening, b"ready")
        text = GATEWAY.format(
            open=freePort(), logins=freePort(), target=target, directory=directory
        )
        (directory / "target").write_text(f"127.0.0.1:{target}")
        with contextmanager(running)(directory, text) as made:
            yield made


def tried(gateway: Running, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    file = str(gateway.directory / "gw.toml")
    done = socksgwProcess("selftest", file, "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_everyListener(gateway: Running) -> None:
    """All is as it has to be, by TCP, TLS and a Unix socket, with a login and without."""
    here = gateway.directory
    status, found = tried(
        gateway,
        *("--user", "alice", "--password-file", str(here / "password")),
        *("--ca", str(here / "ca.pem"), "--server-name", "gw.example"),
        *("--target", (here / "target").read_text()),
    )
    assert [each for each in found if each["state"] != "ok"] == []
    assert status == 0
    connects = [each["what"] for each in found if "own client" in each["what"]]
    assert [each.partition(":")[0] for each in connects] == [
        *("socks5", "socks4", "http", "socks6") * 2,
        *("socks5", "http"),
    ]
    assert connects[-1].endswith("as alice")
    places = {each["place"] for each in found}
    assert places == {
        "listen[0].address[0]",
        "listen[0].address[1]",
        "listen[1].address[0]",
    }
    denied = [line["asked"] for line in gateway.journal("decision")]
    assert "192.0.2.1" in denied


def test_withoutAUser(gateway: Running) -> None:
    """What takes a login is not tried, and neither is a policy that refuses this host."""
    here = gateway.directory
    status, found = tried(
        gateway, "--ca", str(here / "ca.pem"), "--server-name", "gw.example"
    )
    assert status == 0
    warned = [each for each in found if each["state"] == "warning"]
    assert all("--user" in e["remedy"] or "--target" in e["remedy"] for e in warned)
    assert {each["place"] for each in warned} >= {"listen[1].address[0]"}


def test_wrong(gateway: Running, tmp_path: Path) -> None:
    """A certificate that is not trusted, a wrong password, nobody there; wrong use."""
    here = gateway.directory
    (tmp_path / "password").write_text("another\n")
    (tmp_path / "password").chmod(0o600)
    status, found = tried(
        gateway,
        *("--user", "alice", "--password-file", str(tmp_path / "password")),
        *("--ca", str(here / "ca.pem"), "--server-name", "gw.example"),
    )
    failed = [each for each in found if each["state"] == "failed"]
    assert status == 1
    assert any("are --user and the password right?" in e["remedy"] for e in failed)
    status, found = tried(gateway)
    failed = [each["said"] for each in found if each["state"] == "failed"]
    assert status == 1
    assert any("certificate" in each for each in failed)
    for arguments in (
        (),
        ("--proxy", "socks5://127.0.0.1"),
        ("--proxy", "socks5://alice:secret@127.0.0.1:1"),
        ("--proxy", "socks5://127.0.0.1:1", "--user", "alice"),
        ("--proxy", "socks5://127.0.0.1:1", "--target", "nowhere"),
    ):
        done = socksgwProcess("selftest", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "secret" not in done.stderr
    done = socksgwProcess("selftest", "--proxy", f"socks5://127.0.0.1:{freePort()}")
    assert done.returncode == 1
    assert "does the gateway run there?" in done.stdout


def test_microsocks(tmp_path: Path) -> None:
    """Another proxy is tried likewise."""
    port = freePort(kind=socket.SOCK_STREAM)
    with Daemon(upstreams.microsocks(port), port, tmp_path / "log", environment()):
        url = f"socks5://127.0.0.1:{port}"
        done = socksgwProcess("selftest", "--proxy", url, "--json")
    found = {each["what"]: each for each in json.loads(done.stdout)}
    own = found["socks5: CONNECT by socksgw's own client"]
    assert own["said"] == "it connects, and what is sent arrives"
    assert found["socks5: an unknown command"]["state"] == "ok"
    assert found["socks5: a method that nobody has"]["said"] == "05 ff"
