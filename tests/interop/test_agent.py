"""
The agent of a workstation as a process, with real gateways and real clients.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGHUP
from typing import Any

import dns.message
import pytest

from tests.live.agents import Agent, agent
from tests.live.datagrams import Association, Echo, addressed
from tests.live.names import KnownNames
from tests.live.netns import passable
from tests.live.running import HEAD, ROOT, Running, environment, running, socksgw
from tests.live.servers import Web, freePort, missing, program
from tests.tools.waiting import until

#: A gateway for clients of loopback, without login.
OPEN = (
    HEAD.replace('"127.0.0.1:0"]\n', '"127.0.0.1:%d"]\nudp = { tunnels = ["hev"] }\n')
    + """
[[rule]]
id = "no-secrets"
deny = "any"
to = ["=secret.example"]
[[rule]]
id = "all"
allow = ["connect", "udp", "bind"]
"""
)


def curl(
    quiet: dict[str, str], proxy: str, url: str, *arguments: str, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run curl, without settings of its own."""
    command = [program("curl", "curl"), "-sS", "--max-time", "20", "--noproxy", ""]
    return subprocess.run(
        [*more.pop("prefix", ()), *command, "--proxy", proxy, *arguments, url],
        env=quiet,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


@pytest.fixture(scope="module")
def place() -> int:
    """The port of the gateway without login, also while it does not run."""
    return freePort(kind=socket.SOCK_STREAM)


@pytest.fixture(scope="module")
def gateway(place: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway on this machine."""
    known = KnownNames({"far.example": "127.0.0.1", "localhost": "127.0.0.1"})
    with known as names:
        text = f'[resolver]\nservers = ["{names.place}"]\n' + OPEN % place
        yield from running(tmp_path_factory.mktemp("gateway"), text)


@pytest.fixture(scope="module")
def near(gateway: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent in front of it, on loopback and on a Unix socket."""
    home = tmp_path_factory.mktemp("near")
    listen = ["--listen", "127.0.0.1:0", "--listen", f"unix:{home}/a.sock"]
    with agent(
        home, f"socks5://127.0.0.1:{gateway.port}", "--login", "none", *listen
    ) as made:
        made.tells("is reached, without a login")
        yield made


@pytest.mark.parametrize("scheme", ["socks5h", "socks4a", "http"])
def test_curl(
    near: Agent,
    gateway: Running,
    web: Callable[..., Web],
    quiet: dict[str, str],
    scheme: str,
) -> None:
    """Every protocol comes in at one port, and a name is looked up by the gateway."""
    server = web("127.0.0.1")
    url = f"http://localhost:{server.port}/{scheme}"
    done = curl(quiet, f"{scheme}://127.0.0.1:{near.port}", url)
    assert f"served: /{scheme}" in done.stdout, done.stderr
    line = gateway.journal("decision")[-1]
    assert (line["asked"], line["port"]) == ("localhost", server.port)


def test_run(
    near: Agent,
    gateway: Running,
    web: Callable[..., Web],
    quiet: dict[str, str],
    tmp_path: Path,
) -> None:
    """
    C{socksgw run} finds the agent by its settings: what knows no proxy goes through it,
    with its names and its children, and is told what is not allowed.
    """
    settings = tmp_path / "socksgw" / "agent.toml"
    settings.parent.mkdir()
    upstream, own = f"127.0.0.1:{gateway.port}", f"127.0.0.1:{near.port}"
    settings.write_text(f'gateway = "{upstream}"\nlisten = ["{own}"]\n')
    server = web("127.0.0.1")
    get = f"{program('curl', 'curl')} -sS --noproxy '*' http://"
    shell = f"{get}far.example:{server.port}/run; {get}secret.example/"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "socksgw.console.command", "run", "-v"),
            "sh",
            "-c",
            shell,
        ],
        env=environment(XDG_CONFIG_HOME=str(tmp_path)) | {"SOCKSGW_PROXY": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "served: /run" in done.stdout, done.stderr
    why = "secret.example port 80: the proxy's rules do not allow it"
    assert why in done.stderr
    asked = [(each["asked"], each["port"]) for each in gateway.journal("decision")]
    assert ("far.example", server.port) in asked


def test_unixSocket(
    near: Agent, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """The file is its user's alone."""
    path = near.tells("serves").rpartition("unix:")[2]
    assert os.stat(path).st_mode & 0o777 == 0o600
    url = f"http://127.0.0.1:{web('127.0.0.1').port}/unix"
    assert "served: /unix" in curl(quiet, f"socks5h://localhost{path}", url).stdout


def test_theGatewayDecides(near: Agent, quiet: dict[str, str]) -> None:
    """What its policy says reaches the client, in the client's protocol."""
    url = "http://secret.example/"
    done = curl(quiet, f"socks5h://127.0.0.1:{near.port}", url)
    assert "(2)" in done.stderr
    head = curl(quiet, f"http://127.0.0.1:{near.port}", url, "-i").stdout
    assert head.startswith("HTTP/1.1 403 ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("uid", [4321, 65534])
def test_anotherUser(
    near: Agent,
    gateway: Running,
    web: Callable[..., Web],
    quiet: dict[str, str],
    uid: int,
) -> None:
    """Refused, by every protocol, before the gateway hears of it."""
    if shutil.which("setpriv") is None:
        missing("setpriv is missing: apt-get install util-linux")
    setpriv = ["setpriv", f"--reuid={uid}", "--clear-groups"]
    before = len(gateway.journal("decision"))
    url = f"http://127.0.0.1:{web('127.0.0.1').port}/other"
    for scheme in ("socks5h", "socks4a", "http"):
        proxy = f"{scheme}://127.0.0.1:{near.port}"
        done = curl(quiet, proxy, url, "--fail", prefix=setpriv)
        assert done.returncode != 0
        assert "served" not in done.stdout
    path = near.tells("serves").rpartition("unix:")[2]
    os.chmod(Path(path).parent, 0o755)
    done = curl(quiet, f"socks5h://localhost{path}", url, prefix=setpriv)
    assert done.returncode == 7
    assert len(gateway.journal("decision")) == before


def test_datagrams(near: Agent, gateway: Running) -> None:
    """A question to a name server goes inside the connection, and so does its answer."""
    asked = dns.message.make_query("socks.example", "A")
    known = KnownNames({"socks.example": "192.0.2.7"})
    with known as server, Association(near.port) as association:
        association.send("127.0.0.1", server.port, asked.to_wire())
        octets = association.receive()
    header = addressed("127.0.0.1", server.port)
    assert octets.startswith(header)
    answer = dns.message.from_wire(octets[len(header) :])
    assert [each.to_text() for each in answer.answer[0]] == ["192.0.2.7"]
    # What would have had a socket of its own beside the connection.
    until(lambda: gateway.journal("end")[-1]["sent"] == len(asked.to_wire()))
    assert gateway.journal("end")[-1]["bound"] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_datagramsOfAnotherUser(near: Agent) -> None:
    """Whoever else sends first to the association's port does not get it."""
    with Echo() as server, Association(near.port) as association:
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            os.fchown(other.fileno(), 4321, -1)
            octets = addressed(*server.place) + b"other"
            other.sendto(octets, association.place)
            association.echo(server, b"mine")
            other.sendto(octets, association.place)
            association.echo(server, b"mine again")
        assert [text for text, _ in server.came] == [b"mine", b"mine again"]


def test_gatewayStopsAndStarts(tmp_path: Path, quiet: dict[str, str]) -> None:
    """
    One line for each change; meanwhile the client is told, too, and nothing ends.

    The file of settings is read again by SIGHUP.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    home = tmp_path / "home"
    file = home / ".config" / "socksgw" / "agent.toml"
    file.parent.mkdir(parents=True)
    settings = 'gateway = "socks5://127.0.0.1:%d"\nlogin = "none"\nlisten = ["%s"]\n'
    file.write_text(settings % (port, "127.0.0.1:0"))
    with agent(home) as made:
        assert "does the gateway run?" in made.tells(f"127.0.0.1:{port} refuses")
        proxy = f"127.0.0.1:{made.port}"
        failed = curl(quiet, f"socks5h://{proxy}", "http://127.0.0.1:9/")
        assert "(1)" in failed.stderr
        head = curl(quiet, f"http://{proxy}", "http://127.0.0.1:9/", "-i").stdout
        assert head.startswith("HTTP/1.1 50")
        assert "upstream-unreachable" in head
        for gateway in running(tmp_path / "gateway", OPEN % port):
            made.tells("works again")
            assert gateway.journal("decision")[-1]["asked"] == "socksgw-agent.invalid"
        curl(quiet, f"socks5h://{proxy}", "http://127.0.0.1:9/")
        made.tells("refuses", 2)
        other = freePort(kind=socket.SOCK_STREAM)
        for _ in running(tmp_path / "other", OPEN % other):
            file.write_text(settings % (other, "127.0.0.1:0"))
            made.process.send_signal(SIGHUP)
            made.tells(f"works again: 127.0.0.1:{other}")
        assert len(made.lines) == 5
    journals = list((home / ".local/state/socksgw/agent/audit").glob("*.jsonl"))
    assert journals
    assert all(each.stat().st_mode & 0o077 == 0 for each in journals)


def test_check(gateway: Running, tmp_path: Path) -> None:
    """Once, with an exit status for scripts; nothing is left behind."""
    done = socksgw(
        "agent", f"socks5://127.0.0.1:{gateway.port}", "--check", "--login", "none"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "is reached" in done.stdout
    done = socksgw("agent", "socks5://127.0.0.1:1", "--check", "--login=none")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    done = socksgw("agent", "gw.example", "--listen", "0.0.0.0:1080")
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_nobody(tmp_path: Path) -> None:
    """Whoever has no number of their own cannot be told from others."""
    done = subprocess.run(
        passable("setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m",
                 "socksgw.console.command", "agent", "gw.example:1443"),
        env=environment(HOME="/nonexistent"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is told from others" in done.stderr


def test_printed(gateway: Running, tmp_path: Path) -> None:
    """What is printed is a configuration that works by itself."""
    done = socksgw(
        "agent",
        f"socks5://127.0.0.1:{gateway.port}",
        "--login",
        "none",
        "--print-config",
    )
    file = tmp_path / "agent.toml"
    file.write_text(done.stdout)
    assert socksgw("check", "--strict", str(file)).returncode == 0


def test_unit(tmp_path: Path) -> None:
    """systemd takes the unit; what it misses is what is not installed here."""
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is missing: apt-get install systemd")
    unit = ROOT / "etc" / "socksgw-agent.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stderr.splitlines():
        assert "is not executable" in line or "man socksgw" in line, line
    assert "LimitCORE=0" in unit.read_text().splitlines()
