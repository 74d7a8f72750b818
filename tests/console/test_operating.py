"""
The commands that operate a running gateway, against one.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from tests.live import raw
from tests.live.running import ALL, HEAD, socksgw
from tests.live.servers import Destination, echo
from tests.live.serving import Serving, served
from tests.tools.waiting import until


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway for all."""
    yield from served(tmp_path_factory.mktemp("operated"), HEAD + ALL)


@pytest.fixture
def client(serving: Serving) -> Iterator[socket.socket]:
    """A client with a session, over which 1,500 octets went and came."""
    with Destination(echo) as server, raw.dial(serving.gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
        client.sendall(b"x" * 1500)
        raw.exactly(client, 1500)
        yield client
    until(lambda: serving.own.get("/api/status")["sessions"]["live"] == 0)


def said(
    serving: Serving, *arguments: str, status: int = 0, places: bool = True
) -> str:
    """Run a command in the gateway's directory, and return what it says."""
    where = ("--config", "gw.toml") if places else ()
    done = socksgw(*arguments, *where, cwd=serving.gateway.directory)
    assert done.returncode == status, done
    return done.stdout if status == 0 else done.stderr


def test_sessions(serving: Serving, client: socket.socket) -> None:
    """A table for people, JSON for programs, one session's story."""
    out = said(serving, "sessions")
    title, row, total = out.splitlines()
    assert title.split()[:4] == ["session", "age", "user", "client"]
    number, _, user, place = row.split()[:4]
    assert (user, place) == ("anonymous", f"127.0.0.1:{client.getsockname()[1]}")
    assert row.count("1.5 kB") == 2
    assert total == "1 live session"
    found = json.loads(said(serving, "sessions", "--json", "--user", "anonymous"))
    assert [each["session"] for each in found["sessions"]] == [int(number)]
    assert said(serving, "sessions", "--user", "alice") == "0 live sessions\n"
    story = said(serving, "sessions", number)
    assert "rule        all" in story
    assert "decision at " in story
    assert json.loads(said(serving, "sessions", number, "--json"))["live"]
    assert "there has been no session" in said(serving, "sessions", "99999", status=1)
    assert "host bits" in said(serving, "sessions", "--source", "10.0.0.1/8", status=2)


def test_kill(serving: Serving, client: socket.socket) -> None:
    """By number or by choice, and never all by mistake."""
    for wrong in ((), ("1", "--all"), ("--all", "--user", "x"), ("1", "--rule", "x")):
        assert "say which sessions" in said(serving, "kill", *wrong, status=2)
    assert said(serving, "kill", "--user", "alice") == "0 sessions ended\n"
    assert said(serving, "kill", "99999", status=1) == (
        "socksgw: session 99999 is not live\n"
    )
    (found,) = json.loads(said(serving, "sessions", "--json"))["sessions"]
    assert said(serving, "kill", str(found["session"])) == "1 session ended\n"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    (end,) = until(
        lambda: [
            line
            for line in serving.gateway.journal("end")
            if line["session"] == found["session"]
        ]
    )
    assert end["why"] == f"by uid:{os.geteuid()}"


def test_status(serving: Serving, client: socket.socket) -> None:
    """How it is doing, at a look."""
    out = said(serving, "status")
    assert "sessions    1 live" in out
    assert "ready       yes" in out
    assert f"process     {serving.gateway.process.pid}" in out
    assert json.loads(said(serving, "status", "--json"))["sessions"]["live"] == 1
    assert said(serving, "status", "--ready") == "ready\n"
    assert json.loads(said(serving, "status", "--ready", "--json"))["ready"] is True


def test_reload(serving: Serving) -> None:
    """Problems are printed, and the status says so."""
    file = serving.gateway.directory / "gw.toml"
    good = file.read_text()
    assert said(serving, "reload") == "reloaded; 0 sessions ended\n"
    place = f"unix:{serving.gateway.directory}/admin.sock"
    file.write_text(good + "[gatewya]\n")
    try:
        done = said(serving, "reload", "--endpoint", place, status=1, places=False)
        assert "gatewya: unknown key" in done
        assert "nothing has changed" in done
        # Without a place, it is looked up in what is wrong.
        assert "unknown key" in said(serving, "reload", status=2)
    finally:
        file.write_text(good)


def test_drain(serving: Serving, client: socket.socket) -> None:
    """What is left is told and waited for; it can be undone."""
    out = said(serving, "drain")
    assert "left: 1 session of 1 client\n" in out
    said(serving, "drain", "--wait", "0.1", status=1)
    client.close()
    assert json.loads(said(serving, "drain", "--wait", "20", "--json")) == {
        "draining": True,
        "sessions": 0,
        "clients": 0,
    }
    assert "no: the gateway drains" in said(serving, "status")
    done = socksgw(
        "status", "--ready", "--config", "gw.toml", cwd=serving.gateway.directory
    )
    assert (done.returncode, done.stdout) == (1, "not ready: the gateway drains\n")
    assert said(serving, "drain", "--undo") == "clients are accepted again\n"


def test_explainLive(serving: Serving) -> None:
    """As the command says it of a file, of the gateway that runs."""
    explain = ("explain", "--live", "connect")
    out = said(serving, *explain, "127.0.0.1:80", "--from", "127.0.0.1")
    assert out.endswith('allow by rule "all"\n')
    done = socksgw(
        *explain, "10.0.0.1:80", "--user", "x", "--config", "gw.toml",
        cwd=serving.gateway.directory,
    )  # fmt: skip
    assert (done.returncode, "deny by rule" in done.stdout) == (1, True)
    found = json.loads(said(serving, *explain, "localhost:80", "--json"))
    assert found["verdict"] == "allow"
    assert "needs a port" in said(serving, *explain, "x", status=2)


def test_whoMay(serving: Serving) -> None:
    """With a token at a port, as far as that goes."""
    port = f"tcp:127.0.0.1:{serving.port}"
    token = ("--endpoint", port, "--token-file", "looker")
    assert said(serving, "sessions", *token, places=False)
    assert "has not the role" in said(
        serving, "kill", "--all", *token, status=1, places=False
    )
    out = said(serving, "sessions", "--endpoint", port, status=1, places=False)
    assert "--token-file" in out
    file = serving.gateway.directory / "wrong"
    file.touch(0o600)
    file.write_text("canary-77aa0011223344\n")
    out = said(
        serving, "status", "--endpoint", port, "--token-file", "wrong",
        status=1, places=False,
    )  # fmt: skip
    assert "no such token" in out
    assert "canary" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--endpoint", "unix:/nix/admin.sock"), "does the gateway run"),
        (("--endpoint", "tcp:127.0.0.1:1"), "nobody listens"),
        (("--config", "plain.toml"), "has no [admin]"),
    ],
)
def test_unreached(serving: Serving, arguments: tuple[str, ...], words: str) -> None:
    """Status 3, and in one line what to do."""
    (serving.gateway.directory / "plain.toml").write_text(HEAD + ALL)
    for command in (("sessions",), ("status",), ("explain", "--live", "bind", "x:1")):
        out = said(serving, *command, *arguments, status=3, places=False)
        assert words in out
        assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--endpoint", "here"), "must be"),
        (("--endpoint", "http://gw.example:1081"), "would show the token"),
        (("--endpoint", "ssl:1081:privateKey=x"), "https://HOST:PORT"),
        (("--token-file", "nix"), "--token-file nix: No such file"),
    ],
)
def test_wrongPlace(serving: Serving, arguments: tuple[str, ...], words: str) -> None:
    """Status 2: nobody was asked."""
    for command in (
        ("status",),
        ("grant", "list"),
        ("explain", "--live", "bind", "x:1"),
    ):
        out = said(serving, *command, *arguments, status=2, places=False)
        assert words in out
        assert out.count("\n") == 1


def test_notAGateway(serving: Serving) -> None:
    """Something else listens there."""
    with Destination(echo) as server:
        out = said(
            serving, "status", "--endpoint", f"tcp:127.0.0.1:{server.port}",
            status=3, places=False,
        )  # fmt: skip
    assert out.startswith("socksgw: tcp:127.0.0.1:")
