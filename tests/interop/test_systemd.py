"""
The unit, under a real systemd.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.live import raw
from tests.live.netns import within
from tests.live.restarts import Crowd
from tests.live.running import ROOT
from tests.live.servers import Destination, echo
from tests.live.systemd import Systemd, booted
from tests.tools.waiting import until

UNIT = (ROOT / "etc" / "socksgw.service").read_text()
USERS = (ROOT / "etc" / "socksgw.sysusers.conf").read_text()
FILE = "/etc/socksgw/gateway.toml"
TEXT = """
[gateway]
state_dir = "/var/lib/socksgw"
[admin]
endpoint = "unix:/run/socksgw/admin.sock"
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[listen]]
name = "users"
address = ["127.0.0.1:1081"]
[auth]
checkers = ["passwd:/etc/socksgw/users"]
[[auth.choose]]
listener = ["main"]
from = ["127.0.0.0/8"]
methods = ["none"]
[[auth.choose]]
listener = ["users"]
methods = ["userpass"]
[never]
except = ["127.0.0.0/8"]
[[rule]]
id = "all"
allow = ["connect"]
"""
PROGRAM = "/opt/socksgw/bin/socksgw"


class Unit:
    """
    The gateway's unit, installed as its first lines say.

    @ivar systemd: what runs it.
    @ivar server: a destination in its network.
    @ivar port: of a listener without a login.
    """

    port = 1080

    def __init__(self, systemd: Systemd, server: Destination) -> None:
        self.systemd = systemd
        self.server = server
        systemd.write("/etc/sysusers.d/socksgw.conf", USERS)
        systemd.run("systemd-sysusers")
        systemd.write(FILE, TEXT)
        systemd.run(
            "install", "-m", "0600", "-o", "socksgw", "/dev/null", "/etc/socksgw/users"
        )

    def ctl(self, what: str, status: int | None = 0) -> str:
        """Have systemd do something with it, and return what that says."""
        done = self.systemd.run("systemctl", what, "socksgw", status=status)
        return done.stdout + done.stderr

    def shown(self, what: str) -> str:
        return self.systemd.shown("socksgw", what)

    def said(self, *options: str) -> list[str]:
        """Return what its processes have said, in the journal of systemd."""
        return self.systemd.journal("-u", "socksgw", *options)

    def fresh(self, text: str = TEXT) -> None:
        """Have it run, with a configuration."""
        now = (self.systemd.root / FILE[1:]).read_text()
        if now == text and self.shown("ActiveState") == "active":
            return
        self.systemd.write(FILE, text)
        self.systemd.run("systemctl", "reset-failed", "socksgw", status=None)
        self.ctl("stop")
        self.ctl("start")

    def come(self, port: int = port) -> socket.socket:
        """Connect as a client."""
        with within(self.systemd.network):
            return raw.dial(port)

    def asking(self) -> socket.socket:
        """Connect, and say all that a client says, without an answer."""
        client = self.come()
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", self.server.port))
        return client

    def answered(self, client: socket.socket) -> int:
        """Return what a client is answered that L{asking} has made."""
        assert raw.exactly(client, 2) == b"\x05\x00"
        code: int = raw.reply5(client)[0]
        if not code:
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
        client.close()
        return code

    def login(self) -> bool:
        """Return whether a password is right."""
        with self.come(1081) as client:
            client.sendall(b"\x05\x01\x02")
            assert raw.exactly(client, 2) == b"\x05\x02"
            client.sendall(b"\x01\x05alice\x06secret")
            return raw.exactly(client, 2) == b"\x01\x00"


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unit]:
    directory = tmp_path_factory.mktemp("systemd")
    with booted(directory, socksgw__service=UNIT) as systemd:
        with within(systemd.network):
            server = Destination(echo)
        with server:
            yield Unit(systemd, server)


def test_asInstalled(unit: Unit) -> None:
    """systemd finds nothing wrong with it; it runs as its user, and is safe from much."""
    other = "socksgw-netns@.service"
    unit.systemd.write(
        f"/etc/systemd/system/{other}", (ROOT / "etc" / other).read_text()
    )
    for each in ("socksgw.service", "socksgw-netns@a.service"):
        found = unit.systemd.run("systemd-analyze", "verify", "--man=no", each)
        assert found.stdout + found.stderr == ""
    unit.systemd.run("systemd-analyze", "security", "--threshold=16", "socksgw.service")
    unit.fresh()
    assert unit.shown("ActiveState") == "active"
    assert unit.shown("StatusText") == "serving; 0 sessions"
    main = unit.shown("MainPID")
    assert unit.systemd.run("stat", "-c%U:%G", f"/proc/{main}").stdout == (
        "socksgw:socksgw\n"
    )
    assert unit.answered(unit.asking()) == 0


def test_whatItSays(unit: Unit) -> None:
    """That it is ready, and whom it denies, by priority; not whom it allows."""
    unit.fresh(TEXT.replace('"connect"]', '"udp"]'))
    ready = 'socksgw "socksgw" is ready: listens on 127.0.0.1:1080, 127.0.0.1:1081'
    until(lambda: ready in unit.said("-p", "notice"), 30)
    assert unit.answered(unit.asking()) == 2
    until(lambda: any(e.startswith("DENY anonymous") for e in unit.said()), 30)
    denied = [e for e in unit.said("-p", "notice") if e.startswith("DENY")]
    assert len(denied) == 1
    # Of no other line of the gateway's own the priority is lost.
    assert not any(e.startswith("<") for e in unit.said())
    assert not [e for e in unit.said("-p", "warning") if "DENY" in e or "ready" in e]


def test_users(unit: Unit) -> None:
    """Whoever is added or removed is so without a restart, and without a reload."""
    unit.fresh()
    pid = unit.shown("MainPID")
    assert not unit.login()
    unit.systemd.run(
        "sh", "-c", f"echo secret | {PROGRAM} passwd /etc/socksgw/users alice"
    )
    until(unit.login, 30)
    unit.systemd.run("cp", "/dev/null", "/etc/socksgw/users")
    until(lambda: not unit.login(), 30)
    assert unit.shown("MainPID") == pid


def test_reload(unit: Unit) -> None:
    """
    When C{systemctl reload} has ended the new configuration is in force. A wrong one
    changes nothing, and the command fails.
    """
    unit.fresh()
    pid = unit.shown("MainPID")
    for words, code in (('"udp"]', 2), ('"connect"]', 0)):
        unit.systemd.write(FILE, TEXT.replace('"connect"]', words))
        unit.ctl("reload")
        assert unit.answered(unit.asking()) == code
    unit.systemd.write(FILE, TEXT.replace('"connect"]', '"conect"]'))
    unit.ctl("reload", 1)
    assert any("rule[1].allow" in each for each in unit.said())
    assert unit.answered(unit.asking()) == 0
    assert (unit.shown("ActiveState"), unit.shown("MainPID")) == ("active", pid)


def test_aWrongConfiguration(unit: Unit) -> None:
    """It is not started again and again."""
    unit.fresh()
    unit.systemd.write(FILE, "[gateway]\nnonsense = 1\n")
    unit.ctl("restart", 1)
    until(lambda: unit.shown("ActiveState") == "failed", 30)
    assert unit.shown("ExecMainStatus") == "2"
    assert unit.shown("NRestarts") == "0"
    assert any("gateway.nonsense" in each for each in unit.said())


def test_nobodyIsRefused(unit: Unit) -> None:
    """
    Who connects while no gateway is there, or when one crashes, is served by the next
    one: C{systemctl restart}, kill -9, and after C{socksgw restart}.
    """
    unit.fresh()
    until(lambda: unit.shown("NFileDescriptorStore") == "2", 30)

    def next_(before: str) -> str:
        """Have clients wait, and return the process that serves them."""
        clients = [unit.asking() for _ in range(3)]
        for each in clients:
            assert unit.answered(each) == 0
        until(lambda: unit.shown("NFileDescriptorStore") == "2", 30)
        assert unit.shown("MainPID") != before
        return unit.shown("MainPID")

    pid = unit.shown("MainPID")
    with Crowd(unit, unit.server, unit.systemd.network) as crowd:
        until(lambda: crowd.served > 5)
        unit.ctl("restart")
        before = crowd.served
        until(lambda: crowd.served > before + 5)
    assert crowd.wrong == []
    pid = next_(pid)
    unit.systemd.run("kill", "-9", pid)
    pid = next_(pid)
    assert unit.shown("NRestarts") == "1"
    unit.systemd.run(PROGRAM, "restart", "--config", FILE)
    assert unit.answered(unit.asking()) == 0
    until(lambda: unit.shown("MainPID") != pid, 30)
    assert unit.shown("ActiveState") == "active"
    # As long as the one before lives, systemd is not the parent, and sees no crash.
    there = "test", "-e", f"/proc/{pid}"
    until(lambda: unit.systemd.run(*there, status=None).returncode, 30)
    pid = unit.shown("MainPID")
    until(lambda: unit.shown("NFileDescriptorStore") == "2", 30)
    unit.systemd.run("kill", "-9", pid)
    next_(pid)
    # It has heard the one process that serves, at any time.
    heard = unit.systemd.journal("_PID=1")
    assert not [each for each in heard if "reception only permitted" in each]


def test_whatIsClosedIsForgotten(unit: Unit) -> None:
    """By a reload, a drain and a stop: nobody waits in vain."""
    unit.fresh()
    unit.systemd.write(FILE, TEXT.replace("127.0.0.1:1080", "0.0.0.0:1080"))
    unit.ctl("reload")
    assert unit.answered(unit.asking()) == 0
    until(lambda: unit.shown("NFileDescriptorStore") == "2", 30)
    unit.systemd.run(PROGRAM, "drain", "--config", FILE)
    with pytest.raises(ConnectionRefusedError):
        unit.come()
    until(lambda: unit.shown("NFileDescriptorStore") == "0", 30)
    unit.systemd.run(PROGRAM, "drain", "--undo", "--config", FILE)
    assert unit.answered(unit.asking()) == 0
    unit.ctl("stop")
    with pytest.raises(ConnectionRefusedError):
        unit.come()


def test_withWorkersAndALowPort(unit: Unit) -> None:
    """As its comment says; each worker has its socket, also after a crash."""
    unit.fresh()
    kept = re.sub(
        r"(?m)^# (AmbientC.*=CAP_NET_BIND.*)\n# (Capab.*)$", r"\1\n\2", UNIT, count=1
    )
    lines = kept.replace("\nCapabilityBoundingSet=\n", "\n")
    assert lines.count("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n") == 1
    unit.systemd.write("/etc/systemd/system/socksgw.service", lines)
    unit.systemd.run("systemctl", "daemon-reload")
    text = TEXT.replace("[gateway]", "[gateway]\nworkers = 2")
    unit.fresh(text.replace("127.0.0.1:1080", '127.0.0.1:1080", "127.0.0.1:80'))
    try:
        until(lambda: unit.shown("NFileDescriptorStore") == "6", 60)
        pid = unit.shown("MainPID")
        workers = unit.systemd.run("pgrep", "-P", pid).stdout.split()
        unit.systemd.run("kill", "-9", pid)
        # Until then they accept clients, who are cut off.
        left = [unit.systemd.root / "proc" / each for each in workers]
        until(lambda: not any(each.exists() for each in left), 30)
        clients = [unit.asking() for _ in range(8)]
        for each in clients:
            assert unit.answered(each) == 0
        with unit.come(80) as client:
            raw.through(client, "127.0.0.1", unit.server.port)
        assert unit.shown("MainPID") != pid
    finally:
        unit.systemd.write("/etc/systemd/system/socksgw.service", UNIT)
        unit.systemd.run("systemctl", "daemon-reload")
