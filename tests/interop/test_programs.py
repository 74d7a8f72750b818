"""
Programs that people use: ncat, OpenSSH, Node, Chromium.
"""

from __future__ import annotations

import getpass
import hashlib
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.shared import PASSWORD, USER, Shared
from tests.live import raw
from tests.live.browser import headless
from tests.live.running import Running, running, socksgw
from tests.live.servers import (
    Certificate,
    Destination,
    Recorder,
    Web,
    echo,
    missing,
    program,
)
from tests.live.sshd import Sshd

PAYLOAD = random.Random(22).randbytes(8 << 20)


# ncat.


def _ncat(
    quiet: dict[str, str], *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program("ncat", "ncat"), *arguments],
        env=quiet,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("kind", "auth"),
    [("socks4", None), ("socks4", "someone"), ("socks5", None), ("socks5", USER)],
)
def test_ncat(
    shared: Shared,
    quiet: dict[str, str],
    web: Callable[..., Web],
    kind: str,
    auth: str | None,
    secure: bool,
) -> None:
    """SOCKS 4 with and without user id, SOCKS 5 with and without login."""
    server = web("127.0.0.1", secure)
    login = auth == USER
    port = shared.login if login else shared.open
    options = ["--proxy", f"127.0.0.1:{port}", "--proxy-type", kind]
    if auth is not None:
        options += ["--proxy-auth", f"{auth}:{PASSWORD}" if login else auth]
    if secure:
        options.append("--ssl")
    request = b"GET /ncat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = _ncat(quiet, *options, "127.0.0.1", str(server.port), stdin=request)
    assert done.returncode == 0, done.stderr
    assert b"served: /ncat" in done.stdout
    line = raw.decision(shared.gateway, server.port)
    assert (line["protocol"], line["user"]) == (kind, USER if login else "anonymous")


def test_ncatData(
    shared: Shared, quiet: dict[str, str], destination: Callable[..., Destination]
) -> None:
    """Much data, and ncat's own half-close."""
    recorder = Recorder(b"all of it")
    server = destination(recorder)
    options = ["--proxy", f"127.0.0.1:{shared.open}", "--proxy-type", "socks5"]
    done = _ncat(quiet, *options, "127.0.0.1", str(server.port), stdin=PAYLOAD)
    assert (done.returncode, done.stdout) == (0, b"all of it")
    assert recorder.received == [PAYLOAD]


@pytest.mark.parametrize(
    ("kind", "auth"),
    [("socks5", f"{USER}:wrong"), ("socks5", None), ("socks4", USER)],
)
def test_ncatWrongLogin(
    shared: Shared,
    quiet: dict[str, str],
    destination: Callable[..., Destination],
    kind: str,
    auth: str | None,
) -> None:
    """With a wrong login, or none, ncat fails, and nobody is dialled."""
    server = destination(echo)
    options = ["--proxy", f"127.0.0.1:{shared.login}", "--proxy-type", kind]
    if auth is not None:
        options += ["--proxy-auth", auth]
    done = _ncat(quiet, *options, "127.0.0.1", str(server.port), stdin=b"never")
    assert done.returncode != 0
    assert done.stdout == b""
    assert server.peers == []


# OpenSSH.


@pytest.fixture
def sshd(tmp_path: Path, quiet: dict[str, str]) -> Iterator[Sshd]:
    """An SSH server of one's own."""
    directory = tmp_path / "ssh"
    directory.mkdir()
    server = Sshd(directory, quiet)
    try:
        server.ready()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("kind", "auth"), [("socks4", None), ("socks5", None), ("socks5", USER)]
)
def test_ssh(
    shared: Shared,
    quiet: dict[str, str],
    sshd: Sshd,
    kind: str,
    auth: str | None,
) -> None:
    """
    OpenSSH with ncat as its ProxyCommand: commands run, data come whole both
    ways, exit statuses come back.
    """
    port = shared.open if auth is None else shared.login
    proxy = f"{program('ncat', 'ncat')} --proxy 127.0.0.1:{port} --proxy-type {kind}"
    if auth is not None:
        proxy += f" --proxy-auth {auth}:{PASSWORD}"
    command = [program("ssh", "openssh-client"), *sshd.options]
    command += ["-o", f"ProxyCommand={proxy} %h %p", "-p", str(sshd.port)]
    command += ["-l", getpass.getuser(), "127.0.0.1"]

    def remote(line: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*command, line],
            env=quiet,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    done = remote("cat; exit 7", PAYLOAD)
    assert done.returncode == 7, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(PAYLOAD).digest()
    line = raw.decision(shared.gateway, sshd.port)
    assert (line["protocol"], line["user"]) == (kind, auth or "anonymous")
    ended = raw.end(shared.gateway, sshd.port)
    assert ended["sent"] > len(PAYLOAD)
    assert ended["received"] > len(PAYLOAD)


# PuTTY.

CHAP = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[auth]
checkers = ["secrets:secrets", "passwd:users"]
[[auth.choose]]
methods = ["chap", "userpass"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["alice"]
[never]
except = ["127.0.0.0/8"]
"""


@pytest.fixture
def chap(tmp_path: Path) -> Iterator[Running]:
    """
    A gateway that challenges clients; with another password where they are
    not.
    """
    directory = tmp_path / "chap"
    directory.mkdir()
    for options, said in (["--secrets", "secrets"], PASSWORD), (["users"], "other"):
        command = ["passwd", *options, USER]
        made = socksgw(*command, cwd=directory, stdin=f"{said}\n")
        assert made.returncode == 0, made.stderr
    yield from running(directory, CHAP)


def _plink(
    quiet: dict[str, str],
    proxy: int,
    password: str,
    *arguments: str,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """PuTTY's own client, with PuTTY's own settings of a proxy."""
    settings = {
        "ProxyMethod": 2,
        "ProxyHost": "127.0.0.1",
        "ProxyPort": proxy,
        "ProxyLocalhost": 1,
        "ProxyUsername": USER,
        "ProxyPassword": password,
    }
    sessions = Path(quiet["HOME"]) / ".putty" / "sessions"
    sessions.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (sessions / "gateway").write_text(lines)
    command = [program("plink", "putty-tools"), "-load", "gateway", "-batch"]
    return subprocess.run(
        [*command, *arguments],
        env=quiet,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_plink(
    chap: Running, quiet: dict[str, str], sshd: Sshd, tmp_path: Path
) -> None:
    """
    PuTTY is challenged, and reaches an SSH server: a command runs, data come
    whole both ways. The password has not travelled.
    """
    ours, theirs = tmp_path / "ssh" / "user", tmp_path / "ssh" / "host.pub"
    puttygen = [program("puttygen", "putty-tools"), str(ours), "-o", f"{ours}.ppk"]
    subprocess.run(puttygen, check=True, timeout=60, env=quiet)
    fingerprint = subprocess.run(
        [program("ssh-keygen", "openssh-client"), "-lf", str(theirs)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()[1]
    options = ["-ssh", "-T", "-noagent", "-hostkey", fingerprint, "-i", f"{ours}.ppk"]
    options += ["-P", str(sshd.port), "-l", getpass.getuser(), "127.0.0.1"]
    done = _plink(quiet, chap.port, PASSWORD, *options, "cat; exit 7", stdin=PAYLOAD)
    assert done.returncode == 7, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(PAYLOAD).digest()
    line = raw.decision(chap, sshd.port)
    assert (line["user"], line["method"]) == (USER, "chap")


#: A program that logs in by CHAP with our own client, and prints what comes of it.
PROGRAM = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import react
from socksgw.client import SocksClientEndpoint, errors
from socksgw.client.logins.chap import ChapLogin

async def main(reactor, gateway, port, user, password):
    endpoint = SocksClientEndpoint(
        reactor, "127.0.0.1", int(port),
        HostnameEndpoint(reactor, "127.0.0.1", int(gateway)),
        version=6, login=ChapLogin(user, password),
    )
    try:
        connected = await connectProtocol(endpoint, Protocol())
    except errors.LoginFailed as e:
        print(type(e).__name__)
    else:
        connected.transport.loseConnection()

react(lambda reactor, *a: Deferred.fromCoroutine(main(reactor, *a)), sys.argv[1:])
"""


def test_ourChap(chap: Running, destination: Callable[..., Destination]) -> None:
    """Our own client is challenged by SOCKS 6, and says when the password is wrong."""
    port = destination(echo).port
    for password, said in ((PASSWORD, ""), ("wrong", "LoginRefused\n")):
        arguments = [str(chap.port), str(port), USER, password]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
        event = "login-failed" if said else "decision"
        assert [line["method"] for line in chap.journal(event)] == ["chap"]


def test_plinkWrongPassword(
    chap: Running, quiet: dict[str, str], destination: Callable[..., Destination]
) -> None:
    """PuTTY with a wrong password says so, and nobody is dialled."""
    server = destination(echo)
    for password in ("wrong", "other"):
        options = ["-raw", "-P", str(server.port), "127.0.0.1"]
        done = _plink(quiet, chap.port, password, *options, stdin=b"never")
        assert done.returncode != 0
        assert done.stdout == b""
        assert b"uthentication" in done.stderr
    assert server.peers == []
    lines = chap.journal("login-failed")
    assert [(x["method"], x["claimed"], x["reason"]) for x in lines] == [
        ("chap", USER, "wrong-credentials")
    ] * 2


# Node.

SCRIPT = """
const {SocksProxyAgent} = require('socks-proxy-agent');
const [proxy, url] = process.argv.slice(-2);
const protocol = url.startsWith('https:') ? 'https' : 'http';
const request = require(protocol).get(
  url,
  {agent: new SocksProxyAgent(proxy)},
  answer => {
    let text = '';
    answer.on('data', octets => { text += octets; });
    answer.on('end', () => { process.stdout.write(text); });
  });
request.on('error', error => {
  process.stderr.write(error.message);
  process.exit(9);
});
"""
AGENT = "socks-proxy-agent@8.0.5"


@pytest.fixture(scope="module")
def node(pytestconfig: pytest.Config) -> Path:
    """A directory with socks-proxy-agent in it, kept from run to run."""
    npm = program("npm", "npm")
    program("node", "nodejs")
    directory = pytestconfig.cache.mkdir(AGENT.replace("@", "-"))
    if not (directory / "installed").exists():
        command = [npm, "install", "--prefix", str(directory), "--ignore-scripts"]
        command += ["--no-audit", "--no-fund", "--no-save", AGENT]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except subprocess.SubprocessError as e:
            missing(f"{AGENT} from npm's registry: {e}")
        (directory / "installed").touch()
    return directory


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    ("scheme", "login"),
    [
        ("socks4", ""),
        ("socks4a", ""),
        ("socks5", ""),
        ("socks5h", ""),
        ("socks5h", f"{USER}:{PASSWORD}@"),
        ("socks5h", f"{USER}:wrong@"),
    ],
    ids=["socks4", "socks4a", "socks5", "socks5h", "right", "wrong"],
)
def test_node(
    shared: Shared,
    quiet: dict[str, str],
    web: Callable[..., Web],
    certificate: Certificate,
    node: Path,
    scheme: str,
    login: str,
    secure: bool,
) -> None:
    """Node's socks-proxy-agent, with and without login."""
    server = web("127.0.0.1", secure)
    proxy = f"{scheme}://{login}127.0.0.1:{shared.login if login else shared.open}"
    url = f"{'https' if secure else 'http'}://localhost:{server.port}/node"
    command = [program("node", "nodejs"), "--dns-result-order=ipv4first"]
    command += ["-e", SCRIPT, "--", proxy, url]
    done = subprocess.run(
        command,
        cwd=node,
        env={**quiet, "NODE_EXTRA_CA_CERTS": str(certificate.file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "wrong" in login:
        assert done.returncode == 9
        assert "uthentication" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert "served: /node" in done.stdout
    line = raw.decision(shared.gateway, server.port)
    assert line["user"] == (USER if login else "anonymous")
    remote = scheme in ("socks4a", "socks5h")
    assert line["name"] == ("localhost" if remote else None)


# Chromium.


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_chromium(
    shared: Shared,
    quiet: dict[str, str],
    web: Callable[..., Web],
    tmp_path: Path,
    scheme: str,
    host: str,
) -> None:
    """
    A browser shows a page, scripts run, and it came through the gateway.
    """
    server = web("127.0.0.1")
    command = [
        *headless(tmp_path),
        f"--proxy-server={scheme}://127.0.0.1:{shared.open}",
    ]
    command += ["--proxy-bypass-list=<-loopback>", "--dump-dom"]
    before = len(shared.gateway.journal("decision"))
    done = subprocess.run(
        [*command, f"http://{host}:{server.port}/browser"],
        env=quiet,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert re.search(r"served: /browser</p>.*and run", done.stdout), done.stderr
    lines = shared.gateway.journal("decision")[before:]
    ours = [line for line in lines if line["port"] == server.port]
    assert ours
    assert {line["protocol"] for line in ours} == {scheme}
    assert {line["verdict"] for line in ours} == {"allow"}
    if scheme == "socks5":
        # Chromium leaves every look-up to the gateway.
        assert {line["asked"] for line in ours} == {host}
    assert [path for path, _ in server.seen].count("/browser")
