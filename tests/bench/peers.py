"""
Whom the benchmarks measure: how each peer is configured and started; and the load.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.machine import BIN

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = HERE / "build"
LOAD, BARE = BUILD / "load", BUILD / "bare"
TWISTD = BIN / "twistd"
SOCKSGW = BIN / "socksgw"

#: A policy of some rules, the matching one last, and the journal as always.
CONFIGURATION = """
[[listen]]
name = "bench"
address = ["127.0.0.1:{port}"]
protocols = ["socks5", "socks4", "socks6", "http"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none", "userpass"]
[groups]
engineers = ["alice", "bob"]
[never]
except = ["127.0.0.0/8"]
[[rule]]
id = "engineers"
allow = ["connect"]
who = ["@engineers"]
to = ["*.corp.example", "10.1.0.0/16"]
resolving_to = ["private"]
ports = [22, 443]
[[rule]]
id = "no-private"
deny = "any"
to = ["private"]
[[rule]]
id = "web"
allow = ["connect"]
ports = [80, 443]
[[rule]]
id = "bench"
allow = ["connect", "udp"]
from = ["127.0.0.0/8"]
to = ["127.0.0.0/8"]
"""


#: Where the upstream listens.
HOP = 991
#: Has all sessions go through it.
THROUGH = f"""via = ["hop"]
[[upstream]]
name = "hop"
url = "socks5://127.0.0.1:{HOP}"
"""


#: How many log in at once, and what a check of one of their passwords costs: a
#: thousandth of a CPU second or two, so that the rest of a login is to be seen beside.
STORM = 1000
COST = {"n": 1 << 9, "r": 8, "p": 1}
PASSWORD = b"pass"


def stormUsers() -> str:
    """The users of the storm, in a file for C{passwd}: all with one hash."""
    salt = bytes(16)
    derived = hashlib.scrypt(PASSWORD, salt=salt, dklen=32, **COST)
    parts = (base64.b64encode(each).decode().rstrip("=") for each in (salt, derived))
    known = "$scrypt$ln=9,r=8,p=1$" + "$".join(parts)
    return "".join(f"user{number}:{known}\n" for number in range(STORM))


#: Has two processes serve.
WORKERS = "[gateway]\nworkers = 2\n"

# From a port and a scratch directory to a command.


def startSocksgw(port: int, directory: Path, more: str = "") -> list[str]:
    (directory / "gw.toml").write_text(CONFIGURATION.format(port=port) + more)
    subprocess.run(
        [SOCKSGW, "passwd", "users", "user"],
        cwd=directory,
        input="pass\n",
        text=True,
        capture_output=True,
        check=True,
    )
    with (directory / "users").open("a") as file:
        file.write(stormUsers())
    config = str(directory / "gw.toml")
    return [str(TWISTD), "-n", "--pidfile=", "socksgw", "--quiet", "--config", config]


def startThrough(port: int, directory: Path) -> list[str]:
    return startSocksgw(port, directory, THROUGH)


def startWorkers(port: int, directory: Path) -> list[str]:
    return startSocksgw(port, directory, WORKERS)


def startDante(port: int, directory: Path) -> list[str]:
    (directory / "danted.conf").write_text(
        f"""
logoutput: {directory}/danted.log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""
    )
    return ["danted", "-f", f"{directory}/danted.conf", "-p", f"{directory}/pid"]


def startMicrosocks(port: int, directory: Path) -> list[str]:
    return ["microsocks", "-i", "127.0.0.1", "-p", str(port)]


def startHev(port: int, directory: Path) -> list[str]:
    (directory / "hev.yml").write_text(
        f"""
main:
  workers: 2
  port: {port}
  listen-address: "127.0.0.1"
misc:
  limit-nofile: 1048576
"""
    )
    return ["hev-socks5-server", f"{directory}/hev.yml"]


def startBare(port: int, directory: Path) -> list[str]:
    return [str(BARE), str(port)]


def startAsyncio(port: int, directory: Path) -> list[str]:
    server = BUILD / "venv" / "bin" / "asyncio_socks_server"
    return [str(server), "--host", "127.0.0.1", "--port", str(port)]


def startSquid(port: int, directory: Path) -> list[str]:
    (directory / "squid.conf").write_text(
        f"""
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
access_log stdio:{directory}/access.log
cache_log {directory}/cache.log
pid_filename none
coredump_dir {directory}
shutdown_lifetime 0 seconds
pinger_enable off
"""
    )
    # It gives up root for a user of its own, and keeps memory under the service's name.
    directory.chmod(0o777)
    return [
        "squid",
        "-N",
        "-n",
        f"bench{port}",
        "-f",
        f"{directory}/squid.conf",
    ]


def startTinyproxy(port: int, directory: Path) -> list[str]:
    (directory / "tinyproxy.conf").write_text(
        f"""
Listen 127.0.0.1
Port {port}
Timeout 600
MaxClients 5000
LogFile "{directory}/tinyproxy.log"
LogLevel Connect
"""
    )
    return ["tinyproxy", "-d", "-c", f"{directory}/tinyproxy.conf"]


PEERS: Mapping[str, Callable[[int, Path], list[str]]] = {
    "socksgw": startSocksgw,
    "through": startThrough,
    "workers": startWorkers,
    "dante": startDante,
    "microsocks": startMicrosocks,
    "bare": startBare,
    "hev": startHev,
    "asyncio-socks-server": startAsyncio,
    "squid": startSquid,
    "tinyproxy": startTinyproxy,
}
#: Those that have another one of ours behind them.
HOPPING = {"through"}
#: Those that speak HTTP alone.
HTTP = {"squid", "tinyproxy"}


def listening(port: int, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def answering(port: int) -> None:
    """Wait until each worker answers: clients wait for those that start."""
    for _ in range(16):
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            client.sendall(b"\x05\x01\x00")
            client.recv(2)


def load(*arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [LOAD, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if not done.stdout.strip():
        raise RuntimeError(done.stderr.strip()[-200:] or "the load printed nothing")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def running(name: str, port: int) -> Iterator[int]:
    """A peer that listens."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            PEERS[name](port, directory),
            cwd=directory,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        if not listening(port):
            raise RuntimeError(f"{name}: {(directory / 'log').read_text()[-300:]}")
        if name == "workers":
            answering(port)
            # The process that waits begins, too, and no slice is to pay for it.
            time.sleep(4)
        time.sleep(0.3)
        yield process.pid
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(5)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def behind(name: str) -> Iterator[None]:
    """The upstream of a peer that has one."""
    if name not in HOPPING:
        yield
        return
    with running("socksgw", HOP):
        yield


#: The program of each peer that somebody else has to install, and its Debian package.
PROGRAMS: Final = {
    "dante": ("danted", "dante-server"),
    "microsocks": ("microsocks", "microsocks"),
    "hev": ("hev-socks5-server", ""),
    "squid": ("squid", "squid"),
    "tinyproxy": ("tinyproxy", "tinyproxy-bin"),
}


def missing() -> dict[str, str]:
    """Return the peers whose programs are not here, and what to say of it."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return {
        peer: f"{program} is not in PATH"
        for peer, (program, _) in PROGRAMS.items()
        if shutil.which(program, path=path) is None
    }


def prepare(names: list[str]) -> None:
    """Build the load, and see that the peers are there."""
    BUILD.mkdir(exist_ok=True)
    if not TWISTD.exists() and {"socksgw", *HOPPING} & set(names):
        sys.exit("socksgw is not installed: run this as `make bench`")
    if shutil.which("cc") is None:
        sys.exit("a C compiler is needed: apt-get install gcc libc6-dev")
    for built in (LOAD, BARE):
        source = HERE / f"{built.name}.c"
        if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-o", built, source], check=True)
    for peer, why in missing().items():
        if peer in names:
            package = PROGRAMS[peer][1] or "(none: build github.com/heiher)"
            sys.exit(f"{peer}: {why}: apt-get install {package}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if "asyncio-socks-server" in names and not (BUILD / "venv/bin/pip").exists():
        subprocess.run([sys.executable, "-m", "venv", BUILD / "venv"], check=True)
        pip = [str(BUILD / "venv/bin/pip"), "install", "-q", "asyncio-socks-server"]
        subprocess.run(pip, check=True)
