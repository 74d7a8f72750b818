"""
BIND with programs that people use: FTP in active mode, where the server
connects to the client.
"""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.shared import PASSWORD, USER
from tests.live import raw
from tests.live.running import Running, running, socksgw
from tests.live.servers import Daemon, Socksify, freePort, program

#: Where the FTP server is: elsewhere than gateway and client.
HOST = "127.0.0.2"
DOWN = random.Random(20).randbytes(3_000_000)
UP = random.Random(21).randbytes(2_000_000)

CONFIGURATION = """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
[listen.udp]
ports = "%s"
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
[[listen]]
name = "outward"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "outward"
allow = ["connect"]
listener = ["outward"]
[[rule]]
id = "login"
allow = ["connect", "bind"]
who = ["alice"]
listener = ["login"]
[[rule]]
id = "ftp"
allow = ["connect", "bind"]
to = ["127.0.0.2"]
listener = ["open"]
[never]
except = ["127.0.0.0/8"]
"""


class Gateway:
    """
    The gateway of this file.

    @ivar open: a port without login.
    @ivar login: a port that wants user and password.
    @ivar outward: a port where BIND is not allowed.
    @ivar ports: where BIND may listen for clients of C{open}.
    """

    def __init__(self, gateway: Running, ports: range) -> None:
        self.running = gateway
        self.open, self.login, self.outward = gateway.ports
        self.ports = ports


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway; stopped at the end, when it must have been well."""
    directory = tmp_path_factory.mktemp("bind")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    first = min(freePort(kind=socket.SOCK_STREAM), 65000)
    ports = range(first, first + 100)
    written = CONFIGURATION % f"{ports[0]}-{ports[-1]}"
    for started in running(directory, written):
        yield Gateway(started, ports)


@pytest.fixture
def ftpd(tmp_path: Path, quiet: dict[str, str]) -> Iterator[Daemon]:
    """
    An FTP server that knows active mode only, with C{down.bin} and a
    directory C{in} that takes files.
    """
    served = tmp_path / "ftp"
    (served / "in").mkdir(parents=True)
    (served / "down.bin").write_bytes(DOWN)
    # It wants a root that nobody can write to.
    served.chmod(0o555)
    port = freePort(HOST, socket.SOCK_STREAM)
    (tmp_path / "vsftpd.conf").write_text(
        f"""\
listen=YES
listen_address={HOST}
listen_port={port}
background=NO
run_as_launching_user=YES
seccomp_sandbox=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={served}
anon_upload_enable=YES
write_enable=YES
pasv_enable=NO
connect_from_port_20=NO
vsftpd_log_file={tmp_path}/vsftpd.log
xferlog_enable=YES
log_ftp_protocol=YES
"""
    )
    command = [program("vsftpd", "vsftpd"), str(tmp_path / "vsftpd.conf")]
    with Daemon(command, port, tmp_path / "ftpd.log", quiet) as server:
        yield server


def _ftp(client: Socksify, port: int, *commands: str) -> str:
    """Run an FTP client with these commands; what was said on both sides."""
    said = ["user anonymous x", "binary", "passive off", "epsv4 off", *commands]
    command = [program("tnftp", "tnftp"), "-n", "-A", "-v", "-d", HOST, str(port)]
    done = client(*command, stdin="\n".join([*said, "quit", ""]))
    return done.stdout + done.stderr


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("protocol", "login"),
    [("socks_v5", False), ("socks_v5", True), ("socks_v4", False)],
    ids=["socks5", "login", "socks4"],
)
def test_ftp(
    gateway: Gateway,
    tmp_path: Path,
    quiet: dict[str, str],
    ftpd: Daemon,
    protocol: str,
    login: bool,
) -> None:
    """
    A file down and a file up, each over a connection that the server made to
    the gateway (RFC 959 section 3.3); PORT names the address that the first
    reply told.
    """
    client = Socksify(
        tmp_path,
        quiet,
        gateway.login if login else gateway.open,
        protocol,
        (USER, PASSWORD) if login else None,
    )
    (tmp_path / "up.bin").write_bytes(UP)
    before = len(gateway.running.journal())
    said = _ftp(client, ftpd.port, "get down.bin", "cd in", "put up.bin")
    assert said.count("226 Transfer complete.") == 2, said
    assert _digest(tmp_path / "down.bin") == hashlib.sha256(DOWN).hexdigest()
    assert _digest(tmp_path / "ftp/in/up.bin") == hashlib.sha256(UP).hexdigest()

    # The control connection ends last.
    control = raw.end(gateway.running, ftpd.port)
    if protocol == "socks_v5":
        assert control["reason"] == "closed"
    lines = gateway.running.journal()[before:]
    decisions = [e for e in lines if e["event"] == "decision"]
    assert [e["command"] for e in decisions] == ["connect", "bind", "bind"]
    for each in decisions:
        assert each["verdict"] == "allow"
        assert each["rule"] == ("login" if login else "ftp")
        assert each["user"] == (USER if login else "anonymous")
        assert each["asked"] == HOST
        assert each["addresses"] == [HOST]
        assert each["protocol"] == ("socks4" if protocol == "socks_v4" else "socks5")
    for decision, sent, received in (
        (decisions[1], 0, len(DOWN)),
        (decisions[2], len(UP), 0),
    ):
        mine = [e for e in lines if e.get("session") == decision["session"]]
        assert [e["event"] for e in mine] == ["decision", "peer", "end"]
        _, peer, end = mine
        host, _, number = peer["bound"].rpartition(":")
        assert host == "127.0.0.1"
        assert login or int(number) in gateway.ports
        # What the server was told is where the gateway listened.
        high, low = divmod(int(number), 256)
        assert f"PORT 127,0,0,1,{high},{low}\n" in said.replace("\r", "")
        assert peer["address"].rpartition(":")[0] == HOST
        assert (end["address"], end["bound"]) == (HOST, peer["bound"])
        assert (end["sent"], end["received"]) == (sent, received)
        assert end["reason"] == "closed"


def test_ftpForbidden(
    gateway: Gateway, tmp_path: Path, quiet: dict[str, str], ftpd: Daemon
) -> None:
    """
    Where only CONNECT is allowed the server is reached, and connects to
    nobody.
    """
    client = Socksify(tmp_path, quiet, gateway.outward)
    before = len(gateway.running.journal())
    said = _ftp(client, ftpd.port, "get down.bin")
    assert "230 Login successful." in said
    assert "226 " not in said
    got = tmp_path / "down.bin"
    assert not got.exists() or got.read_bytes() == b""
    raw.end(gateway.running, ftpd.port)
    lines = gateway.running.journal()[before:]
    verdicts = [(e["command"], e["verdict"]) for e in lines if e["event"] == "decision"]
    assert verdicts[0] == ("connect", "allow")
    assert set(verdicts[1:]) == {("bind", "deny")}
    assert [e for e in lines if e["event"] == "peer"] == []
