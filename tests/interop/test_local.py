"""
Programs of this machine on a Unix socket: who they are without a login, what rules
say of them, and a sandbox that has no network.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.netns import passable
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import (
    Daemon,
    Destination,
    Recorder,
    Web,
    freePort,
    missing,
    program,
    untilEnd,
)
from tests.tools.waiting import until

ME = pwd.getpwuid(os.geteuid()).pw_name
TEXT = (
    """
[[listen]]
name = "local"
address = ["unix:{directory}/gw.sock", "unix:@{name}"]
protocols = ["socks5", "socks4", "socks6", "http"]
mode = "666"
udp = {{ tunnels = ["hev"] }}
[[listen]]
name = "loopback"
address = ["127.0.0.1:0"]
[[listen]]
name = "every"
address = ["0.0.0.0:0"]
[groups]
builders = ["uid:4321", "gid:8765"]
[[auth.choose]]
methods = ["peer"]
[[rule]]
id = "barred"
deny = "any"
who = ["gid:60"]
[[rule]]
id = "me"
allow = ["connect", "udp"]
who = ["uid:{me}"]
[[rule]]
id = "builders"
allow = ["connect"]
who = ["@builders"]
[[rule]]
id = "number"
allow = ["connect"]
who = ["uid:5000"]
limits = {{ per = "source", sessions = 1 }}
"""
    + LOOPBACK
)
#: Connects to an abstract name, asks for a destination, and prints what it is told.
PROGRAM = """
import socket, sys
name, octets = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(20)
    client.connect("\\0" + name)
    client.sendall(bytes.fromhex(octets))
    came = b""
    while octet := client.recv(1):
        came += octet
        if len(came) == 12:
            break
    print(came.hex(), flush=True)
    sys.stdin.read(1)
"""
asRoot = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


class House:
    """
    A gateway for programs of this machine.

    @ivar gateway: it.
    @ivar path: of its socket.
    @ivar name: its abstract name.
    """

    def __init__(self, gateway: Running, name: str) -> None:
        self.gateway = gateway
        self.path = gateway.directory / "gw.sock"
        self.name = name

    @property
    def left(self) -> int:
        """How many sessions there are."""
        lines = self.gateway.journal("decision")
        allowed = [each for each in lines if each["verdict"] == "allow"]
        return len(allowed) - len(self.gateway.journal("end"))

    def asker(self, octets: bytes, *prefix: str) -> subprocess.Popen[str]:
        """Another program, which says so much, and stays until it is told to go."""
        command = [sys.executable, "-c", PROGRAM, self.name, octets.hex()]
        return subprocess.Popen(
            passable(*prefix, *command) if prefix else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def asked(self, port: int, *prefix: str) -> bytes:
        """What another program is told that asks for a port of 127.0.0.1."""
        octets = raw.GREETING + raw.request5("127.0.0.1", port)
        with self.asker(octets, *prefix) as process:
            return bytes.fromhex(process.communicate("", 30)[0])


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that other users enter, of a short name."""
    with tempfile.TemporaryDirectory(prefix="gw-") as made:
        found = Path(made)
        found.chmod(0o755)
        yield found


@pytest.fixture(scope="module")
def house(directory: Path) -> Iterator[House]:
    name = f"socksgw-{os.getpid()}"
    for gateway in running(directory, written(directory, name)):
        yield House(gateway, name)


def written(directory: Path, name: str) -> str:
    """The configuration of a gateway that listens in a directory."""
    return TEXT.format(directory=directory, name=name, me=ME)


def become(uid: int, gid: int = 100, *groups: int) -> list[str]:
    """A command that runs another as that user."""
    more = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return [
        program("setpriv", "util-linux"), f"--reuid={uid}", f"--regid={gid}", more,
    ]  # fmt: skip


def curl(house: House, url: str, scheme: str = "socks5h", *more: str) -> list[str]:
    return [
        program("curl", "curl"), "-q", "-sS", *more,
        "-x", f"{scheme}://localhost{house.path}", url,
    ]  # fmt: skip


def decision(house: House, port: int) -> dict[str, Any]:
    return raw.decision(house.gateway, port)


# Who it is.


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a"])
def test_curl(
    house: House, web: Callable[..., Web], scheme: str, quiet: dict[str, str]
) -> None:
    """Without a word about a login, in each protocol, our user and our process."""
    site = web()
    command = curl(house, f"http://127.0.0.1:{site.port}/hello", scheme)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=quiet) as process:
        assert process.communicate(timeout=30)[0]
    assert process.returncode == 0
    line = decision(house, site.port)
    assert (line["user"], line["method"]) == (f"uid:{ME}", "peer")
    assert (line["uid"], line["pid"]) == (os.geteuid(), process.pid)
    assert (line["client"], line["rule"]) == ("127.0.0.1:0", "me")


def test_http(house: House, destination: Callable[..., Destination]) -> None:
    """A request of HTTP has the same user."""
    server = destination(Recorder(b"answer", expected=5))
    with raw.dialPath(str(house.path)) as client:
        place = f"127.0.0.1:{server.port}"
        client.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        client.sendall(b"hello")
        came = untilEnd(client)
    assert came.startswith(b"HTTP/1.1 200 ")
    assert came.endswith(b"answer")
    assert decision(house, server.port)["user"] == f"uid:{ME}"


def test_socatForOthers(
    house: House, web: Callable[..., Web], quiet: dict[str, str], tmp_path: Path
) -> None:
    """
    A program that knows no Unix socket comes by socat, as socat's user.
    """
    site, port = web(), freePort(kind=socket.SOCK_STREAM)
    bridge = [
        program("socat", "socat"),
        f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
        f"UNIX-CONNECT:{house.path}",
    ]
    with Daemon(bridge, port, tmp_path / "log", quiet):
        ncat = [
            program("ncat", "ncat"), "--proxy", f"127.0.0.1:{port}",
            "--proxy-type", "socks5", "127.0.0.1", str(site.port),
        ]  # fmt: skip
        done = subprocess.run(
            ncat, input=b"GET /hello HTTP/1.0\r\n\r\n", capture_output=True,
            timeout=30, check=False, env=quiet,
        )  # fmt: skip
    assert b" 200 " in done.stdout.split(b"\r\n")[0]
    assert decision(house, site.port)["user"] == f"uid:{ME}"


@asRoot
@pytest.mark.parametrize(
    ("uid", "gid", "groups", "rule"),
    [
        (4321, 100, (), "builders"),
        (4322, 8765, (), "builders"),
        (4322, 100, (7, 8765), "builders"),
        (5000, 100, (), "number"),
        (4322, 100, (7,), "default"),
        (4321, 60, (), "barred"),
        (4321, 100, (60,), "barred"),
    ],
)
def test_rules(
    house: House,
    destination: Callable[..., Destination],
    uid: int,
    gid: int,
    groups: tuple[int, ...],
    rule: str,
) -> None:
    """By number, by group, by the process's own supplementary groups."""
    server = destination(Recorder(b""))
    told = house.asked(server.port, *become(uid, gid, *groups))
    allowed = rule in ("builders", "number")
    assert told[:4] == (b"\5\0\5\0" if allowed else b"\5\0\5\2")
    line = decision(house, server.port)
    assert (line["rule"], line["user"], line["uid"]) == (rule, f"uid:{uid}", uid)


@asRoot
def test_whatIsCountedBySource(
    house: House, destination: Callable[..., Destination]
) -> None:
    """One user's programs are one source; another user's are another."""
    # Sessions of the tests before are over.
    until(lambda: house.left == 0)
    servers = [destination(lambda c: untilEnd(c)) for _ in range(3)]
    octets = [raw.GREETING + raw.request5("127.0.0.1", s.port) for s in servers]
    with house.asker(octets[0], *become(5000)) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("05000500")
        assert house.asked(servers[1].port, *become(5000))[:4] == b"\5\0\5\1"
        line = decision(house, servers[1].port)
        assert (line["reason"], line["rule"]) == ("limit", "limit")
        assert "1 sessions per source" in line["why"]
        assert house.asked(servers[2].port, *become(4321))[:4] == b"\5\0\5\0"
        first.communicate("")


@asRoot
def test_aUserOfAnotherNamespace(tmp_path: Path, directory: Path) -> None:
    """
    Where the gateway runs in a user namespace, the users outside share one number:
    that is nobody's identity.
    """
    unshare = [program("unshare", "util-linux"), "--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], check=False).returncode:
        missing("user namespaces")
    name = f"socksgw-user-{os.getpid()}"
    text = written(directory / "user", name)
    for gateway in running(directory / "user", text, prefix=unshare):
        there = House(gateway, name)
        assert there.asked(9, *become(4321)) == b"\5\xff"
        (line,) = until(lambda: gateway.journal("refused"))  # noqa: B023
        assert (line["uid"], line["reason"]) == (65534, "no-acceptable-method")
        assert '"peer" is wanted here' in line["why"]
        # Root outside is root inside.
        assert there.asked(9)[:2] == b"\5\0"


# On TCP.


def test_loopback(house: House, web: Callable[..., Web], quiet: dict[str, str]) -> None:
    """A client of a loopback address is known by its socket."""
    site = web()
    for port in house.gateway.ports:
        proxy = f"socks5h://127.0.0.1:{port}"
        command = [
            *curl(house, f"http://127.0.0.1:{site.port}/hello")[:-3],
            "-x",
            proxy,
        ]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{site.port}/hello"],
            check=False, capture_output=True, env=quiet, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        line = decision(house, site.port)
        assert (line["user"], line["uid"], line["rule"]) == (
            f"uid:{ME}", os.geteuid(), "me",
        )  # fmt: skip
        assert "pid" not in line
        assert line["client"] != "127.0.0.1:0"


@asRoot
def test_anotherUserOnLoopback(
    house: House, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """Each by the rule that is for it; groups are those of the database."""
    site, (port, _) = web(), house.gateway.ports
    url = f"http://127.0.0.1:{site.port}/hello"
    for uid, rule in ((5000, "number"), (4321, "builders"), (4322, "default")):
        # The groups of the process are not known: 8765 would be one of a builder.
        command = [*become(uid, 8765), program("curl", "curl"), "-q", "-sS"]
        done = subprocess.run(
            [*command, "-x", f"socks5h://127.0.0.1:{port}", url],
            check=False, capture_output=True, env=quiet, timeout=30,
        )  # fmt: skip
        line = decision(house, site.port)
        assert (line["user"], line["rule"]) == (f"uid:{uid}", rule)
        assert (done.returncode == 0) == (rule != "default")


def test_whoGoesAtOnce(house: House) -> None:
    """A client that has closed its socket before it is asked about is nobody."""
    process = house.gateway.process
    before = len(house.gateway.journal())
    process.send_signal(signal.SIGSTOP)
    try:
        with raw.dial(house.gateway.port) as client:
            client.sendall(raw.GREETING + raw.request5("127.0.0.1", 9))
    finally:
        process.send_signal(signal.SIGCONT)
    (line, *_) = until(lambda: house.gateway.journal()[before:])
    assert (line["event"], line["reason"]) == ("refused", "no-acceptable-method")
    assert "user" not in line
    assert "uid" not in line


def test_anotherAddress(house: House) -> None:
    """Only who comes by loopback may be asked about."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no route")
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has loopback only")
    with raw.dial(house.gateway.ports[1], own) as client:
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\5\xff"


@pytest.mark.parametrize("version", [5, 6])
def test_aClientThatIsGone(house: House, version: int) -> None:
    """Its session ends, though the destination does not hear of it, or says nothing."""
    stays = threading.Event()

    def silent(_: socket.socket) -> None:
        stays.wait(60)

    with Destination(silent) as server:
        try:
            with raw.dialPath(str(house.path)) as client:
                raw.through(client, "127.0.0.1", server.port, version)
                client.sendall(b"words")
            line = raw.end(house.gateway, server.port)
        finally:
            stays.set()
    assert (line["reason"], line["sent"]) == ("closed", 5)
    begun = raw.decision(house.gateway, server.port)
    found = begun["protocol"], begun["user"], begun["method"]
    assert found == (f"socks{version}", f"uid:{ME}", "peer")


# What it may not.


def test_datagramsBeside(house: House) -> None:
    """
    UDP ASSOCIATE is refused, and the reason says what works: any program here could
    send the datagrams.
    """
    with raw.dialPath(str(house.path)) as client:
        client.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, command=3))
        assert raw.exactly(client, 2) == b"\5\0"
        assert raw.reply5(client)[0] == 7
    line = until(
        lambda: [x for x in house.gateway.journal("refused") if x["reply"] == 7]
    )[-1]
    assert "has no address for datagrams" in line["why"]
    assert "tunnels" in line["why"]
    with raw.dialPath(str(house.path)) as client:
        client.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, command=5))
        assert raw.exactly(client, 2) == b"\5\0"
        assert raw.reply5(client)[0] == 0


# A sandbox.


def test_aSandboxWithoutNetwork(
    house: House, web: Callable[..., Web], quiet: dict[str, str]
) -> None:
    """
    A program in namespaces of its own, without any network and without a login,
    reaches out through a socket that is mounted into them, as its user outside.
    """
    site = web()
    bwrap = [
        program("bwrap", "bubblewrap"), "--unshare-all", "--ro-bind", "/", "/",
        "--dev", "/dev", "--tmpfs", "/run", "--bind", str(house.path), "/run/gw.sock",
        "--die-with-parent",
    ]  # fmt: skip
    if subprocess.run([*bwrap, "true"], check=False, capture_output=True).returncode:
        missing("namespaces for bwrap")
    url = f"http://127.0.0.1:{site.port}/hello"
    direct = [*bwrap, program("curl", "curl"), "-q", "-sS", url]
    assert subprocess.run(direct, check=False, capture_output=True).returncode == 7
    done = subprocess.run(
        [*direct, "-x", "socks5h://localhost/run/gw.sock"],
        check=False, capture_output=True, env=quiet, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
    line = decision(house, site.port)
    assert (line["user"], line["rule"]) == (f"uid:{ME}", "me")


# Its file.


def test_reload(house: House, destination: Callable[..., Destination]) -> None:
    """
    The socket stays while the configuration changes, with its clients; its mode
    follows.
    """
    server = destination(lambda c: c.sendall(untilEnd(c)))
    configuration = house.gateway.directory / "gw.toml"
    before, text = house.path.lstat(), configuration.read_text()
    with raw.dialPath(str(house.path)) as client:
        raw.through(client, "127.0.0.1", server.port)
        _reload(house.gateway, text.replace('mode = "666"', 'mode = "600"'))
        after = house.path.lstat()
        assert after.st_ino == before.st_ino
        assert (before.st_mode & 0o777, after.st_mode & 0o777) == (0o666, 0o600)
        client.sendall(b"still here")
        client.shutdown(socket.SHUT_WR)
        assert untilEnd(client) == b"still here"
    _reload(house.gateway, text)
    assert house.path.lstat().st_mode & 0o777 == 0o666


def _reload(gateway: Running, text: str) -> None:
    done = len(gateway.journal("reloaded"))
    (gateway.directory / "gw.toml").write_text(text)
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.journal("reloaded")) > done)


def test_theFile(directory: Path, tmp_path: Path) -> None:
    """
    One that a killed gateway left is replaced; with a live one the next gateway does
    not start, and names the process; at the end it is gone.
    """
    place = directory / "file"
    place.mkdir()
    text = written(place, f"socksgw-file-{os.getpid()}")
    gateway = Running(place, text).ready()
    gateway.kill()
    assert (place / "gw.sock").exists()
    (place / "log").unlink()
    for again in running(place, text):
        assert f"process {again.process.pid})" in _refused(tmp_path, text)
        with raw.dialPath(str(place / "gw.sock")) as client:
            client.sendall(raw.GREETING)
            assert raw.exactly(client, 2) == b"\5\0"
    assert not (place / "gw.sock").exists()


def _refused(directory: Path, text: str) -> str:
    """What a gateway prints that cannot start."""
    gateway = Running(directory, text)
    with gateway.process:
        until(lambda: gateway.process.poll() is not None or "ready" in gateway.log)
        gateway.process.kill()
    assert gateway.process.returncode > 0, gateway.log
    return gateway.log


# What check and explain say.


def test_explain(house: House) -> None:
    """Facts of this machine are asked for, and not guessed."""

    def explain(*arguments: str) -> str:
        done = socksgw(
            "explain", *arguments, "--config", str(house.gateway.directory / "gw.toml")
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    to = ("connect", "9.9.9.9:443", "--method", "peer")
    assert 'rule "me"' in explain(*to, "--user", f"uid:{ME}", "--group", "gid:7")
    assert 'rule "builders"' in explain(*to, "--user", "uid:4321", "--group", "gid:7")
    barred = explain(*to, "--user", "uid:4321", "--group", "gid:60")
    assert 'rule "barred"' in barred


def test_explainARecord(house: House, web: Callable[..., Web]) -> None:
    """A line of the journal tells what is needed to decide again."""
    site = web()
    with raw.dialPath(str(house.path)) as client:
        raw.through(client, "127.0.0.1", site.port)
    number = decision(house, site.port)["n"]
    done = socksgw(
        "explain", "--record", str(number),
        "--config", str(house.gateway.directory / "gw.toml"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"uid:{ME}" in done.stdout
