"""
The gateway against its peers, side by side in one run, in turns: of SOCKS Dante,
microsocks (Debian packages), hev-socks5-server (where PATH has it) and
asyncio-socks-server (PyPI), of HTTP squid and tinyproxy (Debian packages). And once more
the gateway, which goes through another one of ours then, whose CPU does not count. C{bare}
(bare.c) is no peer: it makes the fewest system calls by which a session can be served, and
tells the kernel's part.

Figures of CPU are user and system time of the proxy's whole process tree, as
the kernel counts them; on a noisy machine trust these, and the ratios of one
run, more than rates.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.machine import BIN, described, parsed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = HERE / "build"
LOAD, BARE = BUILD / "load", BUILD / "bare"
TWISTD = BIN / "twistd"
SOCKSGW = BIN / "socksgw"
HZ = os.sysconf("SC_CLK_TCK")

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
_COST = {"n": 1 << 9, "r": 8, "p": 1}
_PASSWORD = b"pass"


def stormUsers() -> str:
    """The users of the storm, in a file for C{passwd}: all with one hash."""
    salt = bytes(16)
    derived = hashlib.scrypt(_PASSWORD, salt=salt, dklen=32, **_COST)
    parts = (base64.b64encode(each).decode().rstrip("=") for each in (salt, derived))
    known = "$scrypt$ln=9,r=8,p=1$" + "$".join(parts)
    return "".join(f"user{number}:{known}\n" for number in range(STORM))


#: Associations of UDP that are open at a time, and how a datagram to 127.0.0.1 begins.
ASSOCIATIONS = 500
UDP_HEAD = b"\0\0\0\x01\x7f\0\0\x01"

#: Has two processes serve.
WORKERS = "[gateway]\nworkers = 2\n"

# The peers: from a port and a scratch directory to a command.


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


# Measuring.


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU that a process tree has used."""
    total = 0.0
    for each in tree(pid):
        try:
            stat = Path(f"/proc/{each}/stat").read_text()
        except OSError:
            continue
        total += sum(map(int, stat[stat.rindex(")") + 2 :].split()[11:15])) / HZ
    return total


def pss(pid: int) -> float:
    """KiB of memory, shared pages by halves, thirds and so on."""
    total = 0
    for each in tree(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(x.split()[1]) for x in text.splitlines() if x[:4] == "Pss:")
    return total


def descriptors(pid: int) -> int:
    """Return how many are open."""
    return sum(len(os.listdir(f"/proc/{each}/fd")) for each in tree(pid))


def associated(stack: ExitStack, port: int) -> socket.socket:
    """Return a socket for the datagrams of a new association."""
    control = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
    control.sendall(b"\x05\x01\x00")
    assert control.recv(2) == b"\x05\x00"
    control.sendall(b"\x05\x03\x00\x01" + bytes(6))
    reply = control.recv(10)
    assert reply[1] == 0, reply
    datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    datagrams.settimeout(10)
    datagrams.connect(("127.0.0.1", int.from_bytes(reply[8:10], "big")))
    return datagrams


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


class Measurement:
    """One peer, measured once."""

    def __init__(self, pid: int, port: int, target: int, options: Any) -> None:
        self._pid = pid
        self._at = (port, target)
        self._options = options
        self.figures: dict[str, float] = {}

    def _cpu(self, *arguments: object) -> tuple[dict[str, Any], float]:
        what, *rest = arguments
        before = cpu(self._pid)
        result = load(what, *self._at, *rest)
        return result, cpu(self._pid) - before

    def _note(self, test: str, result: Mapping[str, Any], **figures: float) -> None:
        if result.get("failed"):
            figures["failed"] = result["failed"]
        for name, value in figures.items():
            self.figures[f"{test} {name.replace('_', ' ')}"] = value

    def rate(self, mode: str = "noauth", name: str = "session") -> None:
        result, used = self._cpu("rate", 32, self._options.seconds, mode)
        self._note(
            name,
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            per_s=result["per_s"],
        )

    def login(self) -> None:
        load("rate", *self._at, 1, 1, "user:pass")
        self.rate("user:pass", "login session")

    def storm(self) -> None:
        """
        Right logins, all at once: each for the first time, then remembered.

        What a check of a password takes by itself does not count.
        """
        began = time.process_time()
        for _ in range(100):
            hashlib.scrypt(_PASSWORD, salt=bytes(16), dklen=32, **_COST)
        check = (time.process_time() - began) / 100
        for name, own in (("storm", check), ("storm again", 0.0)):
            result, used = self._cpu("storm", STORM, "user#:pass")
            self._note(
                name,
                result,
                refused=STORM - result["done"],
                CPU_us=(used / STORM - own) * 1e6,
                p99_ms=result["p99_ms"],
            )

    def httplogin(self) -> None:
        load("rate", *self._at, 1, 1, "http+user:pass")
        self.rate("http+user:pass", "login CONNECT session")

    def single(self) -> None:
        result, used = self._cpu("rate", 1, self._options.seconds, "noauth")
        self._note("single session", result, CPU_us=used / max(1, result["done"]) * 1e6)

    def pace(self) -> None:
        result, used = self._cpu("pace", 200, self._options.seconds, "noauth")
        self._note(
            "200/s",
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            p50_ms=result["p50_ms"],
            p99_ms=result["p99_ms"],
        )

    def socks6(self) -> None:
        self.rate("socks6", "SOCKS 6 session")

    def http(self) -> None:
        self.rate("http", "CONNECT session")
        self.rate("http*", "new CONNECT session")
        self.bulk("down", "http", "CONNECT ")

    def bulk(self, way: str, mode: str = "noauth", name: str = "") -> None:
        size = self._options.bytes
        for streams in (1, 32):
            result, used = self._cpu(way, streams, size // streams, mode)
            self._note(
                f"{name}{way} {streams}",
                result,
                CPU_s_GiB=used / (size / 2**30),
                Gbit_s=result["gbit_s"],
            )

    def down(self) -> None:
        self.bulk("down")

    def up(self) -> None:
        self.bulk("up")

    def rtt(self) -> None:
        single, _ = self._cpu("rtt", 1, self._options.seconds, "noauth")
        result, used = self._cpu("rtt", 64, self._options.seconds, "noauth")
        self._note(
            "round trip",
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            p50_ms=single["p50_ms"],
        )

    def idle(self) -> None:
        before = pss(self._pid)
        command = [
            str(LOAD),
            "idle",
            *map(str, self._at),
            str(self._options.idle),
            "noauth",
        ]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holding:
            assert holding.stdin is not None
            assert holding.stdout is not None
            result = json.loads(holding.stdout.readline())
            time.sleep(0.5)
            grown = pss(self._pid) - before
            holding.stdin.close()
            holding.wait(30)
        self._note("idle", result, KiB=grown / max(1, result["open"]))

    def associations(self) -> None:
        """What an association of UDP keeps: when it is new, and with a destination."""
        port, target = self._at
        before = pss(self._pid), descriptors(self._pid)

        def note(name: str) -> None:
            time.sleep(0.5)
            memory, opened = pss(self._pid), descriptors(self._pid)
            self._note(
                name,
                {},
                KiB=(memory - before[0]) / ASSOCIATIONS,
                descriptors=(opened - before[1]) / ASSOCIATIONS,
            )

        with ExitStack() as stack:
            made = [associated(stack, port) for _ in range(ASSOCIATIONS)]
            note("new association")
            octets = UDP_HEAD + target.to_bytes(2, "big") + b"x" * 100
            for each in made:
                each.send(octets)
                assert len(each.recv(200)) == len(octets)
            note("association")

    def udp(self) -> None:
        result, used = self._cpu("udp", 8, self._options.seconds, "noauth")
        self._note(
            "UDP echo",
            result,
            CPU_us=used / max(1, result["done"]) * 1e6,
            per_s=result["per_s"],
            lost=result["lost"],
        )


TESTS = (
    "rate", "single", "login", "pace", "storm", "down", "up", "rtt", "udp", "idle", "http", "httplogin",
    "socks6",
)  # fmt: skip
#: By itself, since memory that another test has had is there again.
APART = "associations"
_LEAN = {"socksgw", "dante", "microsocks", "bare", "hev"}
#: Whom tests are for, where that is not everybody but those that speak HTTP alone: who
#: can, and whose figure is one to be compared with.
ONLY = {
    "down": set(PEERS) - HTTP - {"bare"},
    "up": set(PEERS) - HTTP - {"bare"},
    "single": _LEAN,
    "login": {"socksgw"},
    "pace": _LEAN,
    "storm": {"socksgw"},
    "rtt": _LEAN,
    "udp": {"socksgw", "dante", "hev", "asyncio-socks-server"},
    APART: {"socksgw", "hev"},
    "idle": _LEAN - {"bare"},
    "http": {"socksgw", *HTTP},
    "httplogin": {"socksgw"},
    "socks6": {"socksgw"},
}


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
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{path}:/usr/sbin:/sbin"
    for peer, program, package in (
        ("dante", "danted", "dante-server"),
        ("microsocks", "microsocks", "microsocks"),
        ("hev", "hev-socks5-server", "(none: build github.com/heiher)"),
        ("squid", "squid", "squid"),
        ("tinyproxy", "tinyproxy", "tinyproxy-bin"),
    ):
        if peer in names and shutil.which(program) is None:
            sys.exit(f"{peer} is missing: apt-get install {package}")
    if "asyncio-socks-server" in names and not (BUILD / "venv/bin/pip").exists():
        subprocess.run([sys.executable, "-m", "venv", BUILD / "venv"], check=True)
        pip = [str(BUILD / "venv/bin/pip"), "install", "-q", "asyncio-socks-server"]
        subprocess.run(pip, check=True)


Results = dict[str, list[dict[str, float]]]


def table(results: Results) -> str:
    """The medians, side by side."""
    rows = list(dict.fromkeys(k for v in results.values() for r in v for k in r))
    lines = [f"{'median':<24}" + "".join(f"{name:>22}" for name in results)]
    for row in rows:
        line = f"{row:<24}"
        for rounds in results.values():
            values = [r[row] for r in rounds if row in r]
            line += f"{statistics.median(values):>22.3f}" if values else f"{'-':>22}"
        lines.append(line)
    return "\n".join(lines)


def median(results: Results, name: str, row: str) -> float | None:
    values = [r[row] for r in results.get(name, []) if row in r]
    return statistics.median(values) if values else None


def aims(results: Results) -> Iterator[str]:
    """What is aimed at, and what was measured."""

    def ratio(
        row: str,
        aim: float,
        peers: list[str],
        of: str = "",
        whose: str = "socksgw",
        least: bool = False,
    ) -> str | None:
        ours = median(results, whose, row)
        theirs = [x for p in peers if (x := median(results, p, of or row))]
        if ours is None or not theirs:
            return None
        found = ours / min(theirs)
        word = "ok" if (found >= aim if least else found <= aim) else "NOT REACHED"
        bare = None if least else median(results, "bare", of or row)
        if bare is not None and found > aim:
            word += f" (bare: {bare / min(theirs):.2f})"
        row = row if whose == "socksgw" else f"{whose}: {row}"
        bound = f"at least {aim}" if least else f"{aim}"
        named = "/".join(peers) + (f"'s {of}" if of else "")
        return f"{row:<28} {found:5.2f} x {named} (aim {bound}): {word}"

    def most(row: str, aim: float) -> str | None:
        found = median(results, "socksgw", row)
        if found is None:
            return None
        word = "ok" if found <= aim else "NOT REACHED"
        return f"{row:<28} {found:5.1f} (aim {aim}): {word}"

    others = [
        name
        for name in results
        if name not in HTTP | HOPPING | {"socksgw", "workers", "bare"}
    ]
    http = [name for name in results if name in HTTP]
    dante = ["dante"] if "dante" in results else []
    lean = ["microsocks"] if "microsocks" in results else []
    checks = [
        ratio("session CPU us", 1.05, lean),
        ratio("login session CPU us", 1.2, lean, "session CPU us"),
        ratio("200/s CPU us", 0.85, dante),
        ratio("single session CPU us", 0.7, dante),
        ratio("round trip CPU us", 0.6, dante),
        ratio("UDP echo CPU us", 0.4, dante),
        ratio("UDP echo CPU us", 0.9, ["hev"]),
        ratio("SOCKS 6 session CPU us", 1.0, ["socksgw"], "session CPU us"),
        ratio("CONNECT session CPU us", 1.1, ["socksgw"], "session CPU us"),
        ratio("CONNECT session CPU us", 0.7, http),
        ratio("session CPU us", 1.6, ["socksgw"], whose="through"),
        most("storm refused", 0),
        most("storm again refused", 0),
        # Of rates the load generator has its part, which is on the same cores.
        ratio("session per s", 1.9, ["socksgw"], whose="workers", least=True),
        ratio("session CPU us", 1.14, ["socksgw"], whose="workers"),
        ratio("down 32 Gbit s", 1.9, ["socksgw"], whose="workers", least=True),
        ratio("down 32 CPU s GiB", 1.14, ["socksgw"], whose="workers"),
        ratio("down 1 CPU s GiB", 1.2, ["socksgw"], whose="through"),
        ratio("down 32 CPU s GiB", 1.4, ["socksgw"], whose="through"),
    ]
    for way in ("down", "up"):
        checks.append(ratio(f"{way} 1 CPU s GiB", 0.5, others))
        checks.append(ratio(f"{way} 32 CPU s GiB", 0.35, others))
    checks.append(most("idle KiB", 6))
    checks.append(most("association KiB", 10))
    checks.append(most("new association descriptors", 2))
    yield from filter(None, checks)
    ours = median(results, "socksgw", "200/s p99 ms")
    theirs = median(results, "dante", "200/s p99 ms")
    if ours is not None and theirs is not None:
        word = "ok" if ours <= theirs + 1 else "NOT REACHED"
        yield f"200/s p99 ms {ours:.2f}, dante {theirs:.2f} (aim: + 1): {word}"


def measure(name: str, options: Any) -> dict[str, float]:
    """One peer's figures."""
    port, target = 990, 980
    serving = subprocess.Popen([LOAD, "target", str(target)])
    try:
        listening(target)
        with behind(name), running(name, port) as pid:
            measurement = Measurement(pid, port, target, options)
            for test in options.tests.split(","):
                if name in ONLY.get(test, set(PEERS) - HTTP):
                    getattr(measurement, test)()
            return measurement.figures
    finally:
        serving.kill()
        serving.wait()


def apart(name: str, options: Any) -> dict[str, float]:
    """
    The same, in a network of its own: ports that one peer's sessions leave in
    TIME_WAIT would be missing to the next.
    """
    network = (
        "ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='1024 65535'"
    )
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", name]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{network} && exec "$@"', "sh", *command],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit("a network namespace is needed: run this as root")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    here = [x for x in PEERS if x != "hev" or shutil.which("hev-socks5-server")]
    parser.add_argument("--only", default=",".join(here), help="peers, by commas")
    parser.add_argument("--tests", default=",".join(TESTS), help="tests, by commas")
    parser.add_argument("--seconds", type=int, default=2, help="for each timed test")
    parser.add_argument("--bytes", type=int, default=1 << 30, help="for each transfer")
    parser.add_argument("--idle", type=int, default=2000, help="idle sessions")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parsed(parser, rounds=2, seconds=1, bytes=1 << 27, idle=300)
    names = options.only.split(",")
    tests = options.tests.split(",")
    if unknown := (set(names) - set(PEERS)) | (set(tests) - {*TESTS, APART}):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    prepare(names)
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    print(described())
    results: Results = {name: [] for name in names}
    for turn in range(options.rounds):
        for name in names:
            print(f"round {turn + 1}: {name}", file=sys.stderr)
            results[name].append(apart(name, options))
    print(table(results))
    print()
    print("\n".join(aims(results)))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
