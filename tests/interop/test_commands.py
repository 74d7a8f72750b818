"""
C{twistd socksgw} and C{socksgw} as their users call them, and the gateway
inside another Twisted program.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.running import OPEN, TWISTD, Running, environment, socksgw
from tests.live.servers import Destination, Web, echo, program, untilEnd
from tests.tools.waiting import until


def twistd(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run C{twistd socksgw ARGUMENTS} to its end."""
    return subprocess.run(
        [str(TWISTD), "-n", "--pidfile=", "socksgw", *arguments],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_auth(gateway: Callable[..., Running]) -> None:
    """
    C{--auth} alone: every client has to log in, with that checker; the policy
    is the default, which leads nowhere on this machine.
    """
    running = gateway(None, "--listen", "127.0.0.1:0", "--auth", "memory:user:password")
    request = raw.request5("127.0.0.1", 80)
    refused = b"\x05\x02\0\x01" + bytes(6)
    for octets, answer in (
        (raw.GREETING_LOGIN + raw.login(b"user", b"password") + request,
         b"\x05\x02\x01\0" + refused),
        (raw.GREETING_LOGIN + raw.login(b"user", b"wrong") + request,
         b"\x05\x02\x01\x01"),
        (raw.GREETING_LOGIN + raw.login(b"other", b"password") + request,
         b"\x05\x02\x01\x01"),
        (raw.GREETING + request, b"\x05\xff"),
        (raw.request4("127.0.0.1", 80), b"\0\x5b" + bytes(6)),
    ):  # fmt: skip
        with raw.dial(running.port) as client:
            client.sendall(octets)
            assert untilEnd(client) == answer
    line = raw.decision(running, 80)
    assert (line["user"], line["method"], line["verdict"]) == (
        "user",
        "userpass",
        "deny",
    )
    assert len(running.journal("login-failed")) == 2
    assert (running.directory / "var" / "audit").is_dir()


def test_authInsteadOfTheFiles(
    gateway: Callable[..., Running], destination: Callable[..., Destination]
) -> None:
    """C{--auth} replaces the checkers of C{--config}, and nothing else."""
    server = destination(echo)
    running = gateway(
        OPEN.replace('"none"', '"userpass"'), "--auth", "memory:user:password"
    )
    request = raw.request5("127.0.0.1", server.port)
    with raw.dial(running.port) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"user", b"password") + request)
        assert raw.exactly(client, 4) == b"\x05\x02\x01\0"
        code, _, _ = raw.reply5(client)
        assert code == 0
        client.sendall(b"there")
        assert raw.exactly(client, 5) == b"there"
    assert raw.decision(running, server.port)["rule"] == "all"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:0", "tcp:0:interface=127.0.0.1"])
def test_listen(
    gateway: Callable[..., Running],
    web: Callable[..., Web],
    quiet: dict[str, str],
    endpoint: str,
) -> None:
    """
    C{--listen} replaces the file's listeners: by address or by endpoint
    string. The first takes the name of the file's first.
    """
    running = gateway(OPEN, "--listen", endpoint)
    assert len(running.ports) == 1
    server = web()
    proxy = f"socks5h://127.0.0.1:{running.port}"
    command = [program("curl", "curl"), "-sS", "--noproxy", "", "--max-time", "30"]
    done = subprocess.run(
        [*command, "-x", proxy, f"http://127.0.0.1:{server.port}/listen"],
        env=quiet,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "served: /listen" in done.stdout, done.stderr
    assert raw.decision(running, server.port)["listener"] == "main"


def test_help(tmp_path: Path) -> None:
    """C{--help} shows the options, and starts nothing."""
    done = twistd(tmp_path, "--help")
    assert done.returncode == 0
    for option in ("--config", "--listen", "--auth", "--help-auth"):
        assert option in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_helpAuth(tmp_path: Path) -> None:
    """C{--help-auth} lists the checkers, ours and Twisted's."""
    done = twistd(tmp_path, "--help-auth")
    assert done.returncode == 0
    assert "passwd" in done.stdout
    assert "memory" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_helpAuthType(tmp_path: Path) -> None:
    """C{--help-auth-type passwd} says how a password file is made."""
    done = twistd(tmp_path, "--help-auth-type", "passwd")
    assert done.returncode == 0
    assert "socksgw passwd" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "nonsense"),
        (["--auth", "nonsense:x"], "nonsense"),
        (["--auth", "passwd:no-such-file"], "no-such-file"),
        (["--config", "no-such-file.toml"], "no-such-file.toml"),
        (["--listen", "nonsense:1"], "nonsense"),
    ],
)
def test_wrongCommandLine(tmp_path: Path, arguments: list[str], said: str) -> None:
    """A wrong command line: exit status 2, what is wrong, no traceback."""
    done = twistd(tmp_path, *arguments)
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert said in output
    assert "Traceback" not in output


def test_plugins() -> None:
    """C{socksgw plugins} lists the authentication methods, none broken."""
    done = socksgw("plugins")
    assert done.returncode == 0, done.stdout
    listed = [line.split()[:2] for line in done.stdout.splitlines()]
    for name in ("certificate", "chap", "gssapi", "none", "tls", "userpass"):
        assert ["method", name] in listed
    assert ["checker", "passwd"] in listed
    assert "BROKEN" not in done.stdout


PROGRAM = """
import sys
from pathlib import Path
from twisted.internet import endpoints, reactor
from twisted.python import log
from socksgw.config.loading import load
from socksgw.gateway import Gateway, SocksFactory

log.startLogging(sys.stderr)
gateway = Gateway(reactor, load("gw.toml"))
endpoint = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")
listening = endpoint.listen(SocksFactory(gateway))
listening.addCallback(lambda port: Path("port").write_text(f"{port.getHost().port};"))
listening.addErrback(log.err)
reactor.addSystemEventTrigger("before", "shutdown", gateway.stop)
reactor.run()
"""


def test_embedded(
    tmp_path: Path, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """
    Inside another Twisted program, on an endpoint of its own, the gateway
    serves, keeps its journal, and stops in order.
    """
    (tmp_path / "gw.toml").write_text(OPEN)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        said = tmp_path / "port"
        until(lambda: said.exists() and said.read_text().endswith(";"), 30)
        port = int(said.read_text().rstrip(";"))
        server = web()
        command = [program("curl", "curl"), "-sS", "--noproxy", "", "--max-time", "30"]
        command += ["-x", f"socks5h://127.0.0.1:{port}"]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{server.port}/embedded"],
            env=quiet,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "served: /embedded" in done.stdout, done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert "Unhandled" not in text
    verified = socksgw("audit", "verify", "--config", "gw.toml", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    lines = "".join(p.read_text() for p in tmp_path.glob("var/audit/*.jsonl"))
    for event in ("start", "decision", "end", "stop"):
        assert lines.count(f'"event":"{event}"') == 1
