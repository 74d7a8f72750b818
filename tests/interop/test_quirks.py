"""
What real programs do that the text of SOCKS does not say: their datagrams, their
listening, and what they do again and again.
"""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.interop.named import NAME
from tests.interop.shared import LOGIN, PASSWORD, USER
from tests.interop.speaking import shown
from tests.live import raw
from tests.live.netns import alone
from tests.live.registries import aptSettings
from tests.live.running import Running, running, socksgw
from tests.live.servers import Daemon, Destination, freePort, freePorts, program
from tests.tools.certificates import CLIENT, Authority, email, pemOf, server
from tests.tools.waiting import until

DEBIANS = "/usr/bin/python3"


def ran(
    command: list[str], quiet: dict[str, str], **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command, env=quiet, capture_output=True, text=True, timeout=60, check=False,
        **more,
    )  # fmt: skip


def latest(gateway: Running, event: str, **members: Any) -> dict[str, Any]:
    """The journal's latest line of an event, with such members."""
    found: list[dict[str, Any]] = until(
        lambda: [
            line
            for line in gateway.journal(event)
            if all(line.get(key) == value for key, value in members.items())
        ]
    )
    return found[-1]


# Datagrams.


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of a server that answers each datagram by itself, with what came."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                octets, peer = served.recvfrom(2000)
                if not octets:
                    return
                served.sendto(octets, peer)

    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as served:
        served.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve)
        thread.start()
        yield served.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", served.getsockname())
        thread.join(20)


QT = """
from PySide2.QtCore import QCoreApplication
from PySide2.QtNetwork import QHostAddress, QNetworkProxy, QUdpSocket
application = QCoreApplication([])
udp = QUdpSocket()
udp.setProxy(QNetworkProxy(QNetworkProxy.Socks5Proxy, "127.0.0.1", PROXY, "USER", "PASS"))
assert udp.bind(QHostAddress("0.0.0.0"), 0), udp.errorString()
udp.writeDatagram(b"ping", QHostAddress("127.0.0.1"), SERVER)
assert udp.waitForReadyRead(30000)
octets, sender, port = udp.readDatagram(100)
print(bytes(octets), sender.toString(), port)
"""
NODE = """
const {SocksClient} = require('socks');
const client = new SocksClient({
  proxy: {host: '127.0.0.1', port: PROXY, type: 5, userId: 'USER', password: 'PASS'},
  command: 'associate', destination: {host: '0.0.0.0', port: 0}});
client.on('error', error => { console.error(error.message); process.exit(9); });
client.on('established', ({remoteHost}) => {
  const udp = require('dgram').createSocket('udp4');
  udp.on('message', octets => {
    const {data, remoteHost} = SocksClient.parseUDPFrame(octets);
    console.log(String(data), remoteHost.host, remoteHost.port);
    process.exit(0);
  });
  udp.send(
    SocksClient.createUDPFrame(
      {remoteHost: {host: '127.0.0.1', port: SERVER}, data: Buffer.from('ping')}),
    remoteHost.port, remoteHost.host);
});
client.connect();
"""
PYSOCKS = """
import socks
client = socks.socksocket(type=socks.socket.SOCK_DGRAM)
client.set_proxy(socks.SOCKS5, "127.0.0.1", PROXY, True, "USER", "PASS")
client.settimeout(30)
client.sendto(b"ping", ("127.0.0.1", SERVER))
octets, (host, port) = client.recvfrom(100)
print(octets, host, port)
"""


@pytest.mark.parametrize(
    ("command", "text", "asked"),
    [
        ((DEBIANS, "-c"), QT, ("0.0.0.0", True)),
        (("node", "-e"), NODE, ("0.0.0.0", False)),
        # A name of one octet, where an address is meant.
        (("python", "-c"), PYSOCKS, ("0", True)),
    ],
    ids=["Qt", "socks", "PySocks"],
)
def test_datagrams(
    named: Running,
    quiet: dict[str, str],
    npm: Path,
    answering: int,
    command: tuple[str, str],
    text: str,
    asked: tuple[str, bool],
) -> None:
    """An association is theirs, whatever DST they name; BND is one that they can use."""
    words = {
        "PROXY": named.ports[1],
        "SERVER": answering,
        "USER": USER,
        "PASS": PASSWORD,
    }
    for word, value in words.items():
        text = text.replace(word, str(value))
    first = sys.executable if command[0] == "python" else program(command[0], "nodejs")
    done = ran([first, command[1], text], {**quiet, "NODE_PATH": f"{npm}/node_modules"})
    assert "ping" in done.stdout, (done.stdout, done.stderr)
    assert f"127.0.0.1 {answering}" in done.stdout
    flow = latest(named, "flow", port=answering)
    assert (flow["user"], flow["verdict"]) == (USER, "allow")
    line = latest(named, "decision", session=flow["session"])
    assert (line["asked"], bool(line["port"])) == asked


LIBTORRENT = """
import libtorrent, time
socks5_pw = int(libtorrent.proxy_type_t.socks5_pw)
session = libtorrent.session({**SETTING, "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "proxy_hostnames": True,
    "listen_interfaces": "127.0.0.1:0"})
torrent = libtorrent.add_torrent_params()
torrent.info_hashes = libtorrent.info_hash_t(libtorrent.sha1_hash(b"a" * 20))
torrent.save_path = "."
torrent.trackers = ["udp://NAME:SERVER/announce"]
handle = session.add_torrent(torrent)
now = libtorrent.reannounce_flags_t.ignore_min_interval
for _ in range(300):
    # What it announces before its association is there fails, and is announced again
    # after half a minute only.
    time.sleep(0.5)
    handle.force_reannounce(0, -1, now)
"""


def test_libtorrent(
    named: Running, quiet: dict[str, str], tmp_path: Path, answering: int
) -> None:
    """A tracker's name travels in the datagrams: the gateway looks it up."""
    setting = shown('{"proxy_type"', named.ports[1], 2)
    text = LIBTORRENT.replace("SETTING", setting).replace("SERVER", str(answering))
    client = subprocess.Popen(
        [DEBIANS, "-c", text.replace("NAME", NAME)], env=quiet, cwd=tmp_path
    )
    try:
        until(lambda: any(e["port"] == answering for e in named.journal("flow")), 120)
    finally:
        client.kill()
        client.wait(10)
    flow = latest(named, "flow", port=answering)
    assert (flow["user"], flow["name"], flow["verdict"]) == (USER, NAME, "allow")
    line = latest(named, "decision", session=flow["session"])
    assert (line["asked"], line["port"]) == ("0.0.0.0", 0)


@pytest.fixture
def vpn(tmp_path: Path) -> Path:
    """A folder with the certificates of both sides, and the client's login."""
    authority = Authority()
    server(authority).write(tmp_path, "server")
    client = authority.issue(email(f"{USER}@corp.example"), usage=(CLIENT,))
    client.write(tmp_path, "client")
    (tmp_path / "ca.pem").write_bytes(pemOf(authority.certificate))
    (tmp_path / "login").write_text(f"{USER}\n{PASSWORD}\n")
    (tmp_path / "login").chmod(0o600)
    return tmp_path


def _openvpn(vpn: Path, *options: str) -> list[str]:
    command = [program("openvpn", "openvpn"), "--cd", str(vpn), "--dev", "null"]
    side = "client" if "--tls-client" in options else "server"
    command += ["--ca", "ca.pem", "--cert", f"{side}.pem", "--key", f"{side}.key"]
    return [*command, "--cipher", "AES-256-GCM", *options]


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_openvpn(named: Running, quiet: dict[str, str], vpn: Path, proto: str) -> None:
    """
    A tunnel comes about through the gateway. With UDP, OpenVPN asks for an association
    with 0.0.0.0:0, and takes BND as it is.
    """
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
    port = freePort(kind=kind)
    served = _openvpn(vpn, "--tls-server", "--dh", "none", "--local", "127.0.0.1")
    served += [
        "--proto",
        "udp" if proto == "udp" else "tcp-server",
        "--port",
        str(port),
    ]
    setting = shown("openvpn --socks-proxy", named.ports[1], FILE="login")
    words = setting.replace("…", "").split()[1:]
    joining = _openvpn(vpn, *words, "--tls-client", "--nobind")
    joining += ["--proto", "udp" if proto == "udp" else "tcp-client"]
    joining += ["--remote", "127.0.0.1" if proto == "udp" else NAME, str(port)]
    with Daemon(served, port, vpn / "server.log", quiet):
        with (vpn / "client.log").open("wb") as log:
            client = subprocess.Popen(joining, env=quiet, stdout=log, stderr=log)
        try:
            done = b"Initialization Sequence Completed"
            until(lambda: done in (vpn / "client.log").read_bytes(), 30)
        finally:
            client.terminate()
            client.wait(10)
    if proto == "udp":
        flow = latest(named, "flow", port=port)
        line = latest(named, "decision", session=flow["session"])
        assert (line["asked"], line["port"]) == ("0.0.0.0", 0)
    else:
        line = latest(named, "decision", port=port)
        assert line["name"] == NAME
    assert (line["user"], line["verdict"]) == (USER, "allow")


def test_openvpnInsists(named: Running, quiet: dict[str, str], vpn: Path) -> None:
    """With a login OpenVPN offers 02 alone, and does not get in where none is wanted."""
    setting = shown("openvpn --socks-proxy", named.ports[0], FILE="login")
    command = _openvpn(vpn, *setting.replace("…", "").split()[1:], "--tls-client")
    command += ["--proto", "tcp-client", "--remote", "127.0.0.1", "9"]
    command += ["--connect-retry-max", "1", "--remap-usr1", "SIGTERM"]
    before = len(named.journal("refused"))
    ran(command, quiet)
    line = named.journal("refused")[before]
    assert line["offered"] == [2]
    assert "take user and password out of its settings" in line["why"]


# Listening.

QT_LISTENS = """
import threading, socket
from PySide2.QtCore import QCoreApplication, QTimer
from PySide2.QtNetwork import QHostAddress, QNetworkProxy, QTcpServer
application = QCoreApplication([])
server = QTcpServer()
server.setProxy(
    QNetworkProxy(QNetworkProxy.Socks5Proxy, "127.0.0.1", PROXY, "USER", "PASS"))
assert server.listen(QHostAddress("0.0.0.0"), 0), server.errorString()
def connected():
    connection = server.nextPendingConnection()
    def ready():
        global came
        came += bytes(connection.readAll())
        if came.endswith(b"hello"):
            print(came)
            application.quit()
    connection.readyRead.connect(ready)
    connection.setParent(application)
came = b""
server.newConnection.connect(connected)
place = server.serverAddress().toString(), server.serverPort()
peer = socket.create_connection(place, 30, ("127.0.0.1", 0))
peer.sendall(b"hello")
QTimer.singleShot(30000, application.quit)
application.exec_()
"""
NODE_LISTENS = """
const {SocksClient} = require('socks');
const net = require('net');
const client = new SocksClient({
  proxy: {host: '127.0.0.1', port: PROXY, type: 5, userId: 'USER', password: 'PASS'},
  command: 'bind', destination: {host: '0.0.0.0', port: 0}});
client.on('error', error => { console.error(error.message); process.exit(9); });
client.on('bound', ({remoteHost: {host, port}}) => {
  const peer = net.connect({host, port, localAddress: '127.0.0.1'});
  peer.write('hello');
});
client.on('established', ({socket, remoteHost}) => {
  socket.on('data', octets => { console.log(remoteHost.host, String(octets)); process.exit(0); });
  socket.resume();
});
client.connect();
"""


@pytest.mark.parametrize(
    ("command", "text"),
    [((DEBIANS, "-c"), QT_LISTENS), (("node", "-e"), NODE_LISTENS)],
    ids=["Qt", "socks"],
)
def test_listening(
    named: Running,
    quiet: dict[str, str],
    npm: Path,
    command: tuple[str, str],
    text: str,
) -> None:
    """
    Both ask for any peer by 0.0.0.0, and get the one that the rules allow. Qt has the
    second reply among the peer's octets.
    """
    words = {"PROXY": named.ports[1], "USER": USER, "PASS": PASSWORD}
    for word, value in words.items():
        text = text.replace(word, str(value))
    first = program(command[0], "nodejs")
    done = ran([first, command[1], text], {**quiet, "NODE_PATH": f"{npm}/node_modules"})
    assert "hello" in done.stdout, (done.stdout, done.stderr)
    peer = named.journal("peer")[-1]
    assert (peer["user"], peer["address"].partition(":")[0]) == (USER, "127.0.0.1")
    line = latest(named, "decision", session=peer["session"])
    assert (line["command"], line["asked"], line["port"]) == ("bind", "0.0.0.0", 0)
    if command[0] == DEBIANS:
        assert "x05\\x00\\x00\\x01\\x7f\\x00\\x00\\x01" in done.stdout
    else:
        assert done.stdout == "127.0.0.1 hello\n"


# Logins.


def test_javaWithoutAuthenticator(
    named: Running, quiet: dict[str, str], tmp_path: Path
) -> None:
    """Java logs in as the system's user, with an empty password."""
    setting = shown("var gateway = new Proxy", named.ports[1], 3)
    setting = setting.replace("HOST", f'"{NAME}"').replace("PORT", "9")
    source = tmp_path / "Fetch.java"
    source.write_text(
        "import java.net.*; public class Fetch {"
        f"public static void main(String[] all) throws Exception {{ {setting} }}}}"
    )
    before = len(named.journal("login-failed"))
    done = ran([program("java", "openjdk-17-jdk-headless"), str(source)], quiet)
    assert "authentication failed" in done.stderr
    (line,) = named.journal("login-failed")[before:]
    assert line["claimed"] == getpass.getuser()


@pytest.mark.parametrize("login", [False, True], ids=["open", "login"])
def test_tinc(
    named: Running,
    quiet: dict[str, str],
    destination: Callable[..., Destination],
    tmp_path: Path,
    login: bool,
) -> None:
    """
    tinc sends everything at once, and then the first line of its own protocol. It takes
    the answer to a login that is right for a refusal.
    """
    came: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with suppress(ConnectionResetError):
            came.append(connection.recv(100))

    other = destination(serve)
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "here").write_text("Subnet = 10.99.1.0/24\n")
    tinc = [program("tincd", "tinc"), "-c", str(tmp_path)]
    setting = (
        shown("Proxy = socks5", named.ports[login]) + f" {USER} {PASSWORD}" * login
    )
    (tmp_path / "tinc.conf").write_text(
        f"Name = here\nDeviceType = dummy\nConnectTo = there\n{setting}\n"
        f"BindToAddress = 127.0.0.1 {freePorts(1)}\n"
    )
    assert ran([*tinc, "-K", "1024"], quiet, stdin=subprocess.DEVNULL).returncode == 0
    key = (tmp_path / "hosts" / "here").read_text().partition("-----BEGIN")
    (tmp_path / "hosts" / "there").write_text(
        f"Address = 127.0.0.1 {other.port}\n{key[1]}{key[2]}"
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [*tinc, "-D", "-d4", f"--pidfile={tmp_path}/pid"],
            env=quiet, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        line = raw.decision(named, other.port)
        said = (
            b"Proxy username/password rejected" if login else b"Proxy request granted"
        )
        until(lambda: said in log.read_bytes(), 30)
    finally:
        running.terminate()
        running.wait(20)
    assert (line["verdict"], line["user"]) == ("allow", USER if login else "anonymous")
    if not login:
        until(lambda: came)
        assert came[0].startswith(b"0 here 17\n")


@pytest.fixture
def trying(tmp_path: Path) -> Iterator[Running]:
    """A gateway with the throttle as it is by default, and two users."""
    directory = tmp_path / "trying"
    directory.mkdir()
    for user in (USER, "bob"):
        made = socksgw("passwd", "users", user, cwd=directory, stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr
    yield from running(directory, LOGIN)


def test_triedAgain(trying: Running, quiet: dict[str, str], vpn: Path) -> None:
    """
    apt and OpenVPN try a wrong password again and again. The journal says that it is
    the same one; the user with the right one, and others of that place, log in.
    """
    apt = vpn / "apt"
    apt.mkdir()
    wrong = f'Acquire::http::Proxy "socks5h://{USER}:wrong@127.0.0.1:{trying.port}";\n'
    (apt / "apt.conf").write_text(wrong + aptSettings(apt, f"http://{NAME}:9/apt"))
    done = ran(
        [program("apt-get", "apt"), "-q", "update"],
        {**quiet, "APT_CONFIG": str(apt / "apt.conf")},
    )
    assert "username or password incorrect" in done.stdout + done.stderr
    first, *others = trying.journal("login-failed")
    assert len(others) + trying.summed["wrong-credentials"] > 5
    (vpn / "login").write_text(f"{USER}\nwrong\n")
    command = _openvpn(vpn, "--socks-proxy", "127.0.0.1", str(trying.port), "login")
    command += ["--proto", "tcp-client", "--remote", "127.0.0.1", "9", "--tls-client"]
    with (vpn / "log").open("wb") as log:
        client = subprocess.Popen(command, env=quiet, stdout=log, stderr=log)
    try:
        until(lambda: (vpn / "log").read_bytes().count(b"refused the auth") > 1, 30)
    finally:
        client.terminate()
        client.wait(10)
    lines = trying.journal("login-failed")
    assert {line["reason"] for line in lines} == {"wrong-credentials"}
    assert "the same ones" not in first["why"]
    assert all("the same ones as before" in line["why"] for line in lines[1:])
    for user in (USER, "bob"):
        with raw.dial(trying.port) as right:
            right.sendall(
                raw.GREETING_LOGIN + raw.login(user.encode(), PASSWORD.encode())
            )
            assert raw.exactly(right, 4) == b"\x05\x02\x01\x00"


def test_redsocks(tmp_path: Path) -> None:
    """What netfilter redirects comes to the gateway by redsocks, with its login."""
    line = json.loads(alone("tests.interop.redirected", str(tmp_path)))
    assert line["came"] == "arrived"
    assert (line["verdict"], line["user"]) == ("allow", USER)
    assert (line["asked"], line["name"]) == ("127.0.0.1", None)
