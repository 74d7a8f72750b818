"""
Programs that know no proxy, in a network from which only the gateway is reached.

They run by C{socksgw run} as an ordinary user, in a network namespace C{near} that has
no route to anything but 10.9.9.1 and fd00:9::1, where the gateway is. What they reach
is on addresses of this namespace. Everything that leaves C{near} is looked at. What
becomes of it all is printed.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.live.names import NameServer, a, aaaa, answer
from tests.live.netns import cable, ip, servedUDP, within
from tests.live.running import ROOT, Running, environment, socksgw
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

PAGE = b"the far page"
FAR = {socket.AF_INET: "10.5.5.1", socket.AF_INET6: "fd00:5::1"}
GATEWAY = ("10.9.9.1", "fd00:9::1")
PORT = 1080
SOCKSGW = (sys.executable, "-m", "socksgw.console.command", "run")
NOBODY = 65534
#: ETH_P_ALL of linux/if_ether.h.
_EVERYTHING = 3
#: Where a datagram of the test itself goes, and nothing else.
_MARK = 9999
#: States of connections from which no packet comes unasked, in /proc/net/tcp
#: (net/tcp_states.h): TIME_WAIT and LISTEN.
_SILENT = {"06", "0A"}

CONFIGURATION = """
[resolver]
servers = ["{names}"]
[[listen]]
name = "main"
address = ["10.9.9.1:1080", "[fd00:9::1]:1080"]
protocols = ["socks5", "socks4", "socks6", "http"]
[listen.udp]
[[listen]]
name = "tls"
address = ["10.9.9.1:1443"]
[listen.udp]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "inside"
address = ["10.9.9.1:1444"]
[listen.udp]
tunnels = ["hev"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["tls", "inside"]
methods = ["userpass"]
[[auth.choose]]
from = ["private"]
methods = ["none"]
[never]
except = ["10.5.5.1", "fd00:5::1"]
[[rule]]
id = "denied"
deny = "any"
to = ["=denied.example"]
[[rule]]
id = "all"
allow = "any"
from = ["private"]
"""

#: Set when a program has fetched a page while another waits for its name.
_meanwhile = threading.Event()
#: Set when the gateway looks up what L{undecided} connects to, and when that has ended.
_begun, _over = threading.Event(), threading.Event()


def named(name: str, kind: int, before: int, query: bytes) -> bytes | None:
    """Answer the gateway's questions: some of them later."""
    if name.startswith("unknown"):
        return answer(query, code=3)
    if name.startswith("slow"):
        # Longer than an event loop waits, and no question is repeated.
        time.sleep(0.7)
        if name.startswith("slow-node"):
            _meanwhile.clear()
            _meanwhile.wait(20)
        if name.startswith("slow-undecided"):
            _begun.set()
            _over.wait(60)
        return answer(query, *([a(FAR[socket.AF_INET])] if kind == 1 else []))
    return answer(query, a(FAR[socket.AF_INET]) if kind == 1 else aaaa("fd00:5::1"))


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer every request with the page, or with a part of the repository."""
        body = PAGE
        if self.path == "/meanwhile":
            _meanwhile.set()
        if self.path.startswith("/repository/"):
            file = self.server.folder / self.path.partition("?")[0][1:]  # type: ignore[attr-defined]
            if not file.is_file():
                self.send_error(404)
                return
            body = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def far(folder: Path) -> None:
    """Serve pages, greetings and echoes at the far addresses, in threads."""
    for family, host in FAR.items():

        class Server(ThreadingHTTPServer):
            address_family = family
            request_queue_size = 256

        pages = Server((host, 8080), _Page)
        pages.folder = folder  # type: ignore[attr-defined]
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        echo = socket.socket(family, socket.SOCK_DGRAM)
        echo.bind((host, 7007))
        servedUDP(echo, lambda octets: octets.upper())
        greeting = socket.create_server((host, 2525), family=family)
        threading.Thread(target=_greet, args=(greeting,), daemon=True).start()


def _greet(listening: socket.socket) -> None:
    """Speak first, as servers of mail do."""
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"220 hello")


def looked(device: str, seen: set[str]) -> None:
    """Take note of where packets go that come in by a device, in a thread."""
    taken = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
    taken.bind((device, _EVERYTHING))

    def look() -> None:
        while True:
            frame, about = taken.recvfrom(65535)
            # PACKET_OUTGOING is the gateway's side.
            if about[2] != 4:
                seen.add(_towards(frame))

    threading.Thread(target=look, daemon=True).start()


def _towards(frame: bytes) -> str:
    """Return protocol, destination and port of a frame."""
    kind, packet = frame[12:14], frame[14:]
    if kind == b"\x08\x00":
        number, to = packet[9], socket.inet_ntop(socket.AF_INET, packet[16:20])
        rest = packet[(packet[0] & 15) * 4 :]
    elif kind == b"\x86\xdd":
        number, to = packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])
        rest = packet[40:]
    else:
        return kind.hex()
    if number not in (6, 17):
        return f"{number} {to}"
    return (
        f"{'tcp' if number == 6 else 'udp'} {to} {struct.unpack_from('!H', rest, 2)[0]}"
    )


def _ended() -> bool:
    """Tell whether each connection of C{near} has ended on both sides."""
    with within("near"):
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/thread-self/net/{name}").read_text().splitlines()
        ]
    return all(line[3] in {*_SILENT, "st"} for line in lines)


def repository(folder: Path) -> None:
    """Make a repository that git fetches by plain HTTP."""
    git = [
        "git",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.example",
        "-C",
        str(folder),
    ]
    subprocess.run([*git, "init", "-q", "work"], check=True)
    (folder / "work" / "file").write_text("committed")
    work = [*git[:-1], str(folder / "work")]
    subprocess.run([*work, "add", "file"], check=True)
    subprocess.run([*work, "commit", "-q", "-m", "one"], check=True)
    subprocess.run([*git, "clone", "-q", "--bare", "work", "repository"], check=True)
    bare = ["git", "-C", str(folder / "repository"), "update-server-info"]
    subprocess.run(bare, check=True)


class Ground:
    """
    The networks, the gateway, and what is far.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._seen: set[str] = set()
        ip("netns add near")
        cable(("", "gw0"), ("near", "to-gw"), ("10.9.9.1/24", "10.9.9.2/24"),
              ("fd00:9::1/64", "fd00:9::2/64"))  # fmt: skip
        ip("addr add 10.5.5.1/32 dev lo", "addr add fd00:5::1/128 dev lo nodad")
        ip("link set lo up", netns="near")
        # What the program would ask for names is nowhere.
        (directory / "resolv.conf").write_text("nameserver 192.0.2.53\n")
        bind = ["mount", "--bind", str(directory / "resolv.conf"), "/etc/resolv.conf"]
        subprocess.run(bind, check=True)
        far(directory)
        looked("gw0", self._seen)
        self.names = NameServer(named).__enter__()
        self._secured()
        text = CONFIGURATION.format(names=self.names.place)
        self.gateway = Running(directory, text, prefix=["env"]).ready()

    def seen(self) -> list[str]:
        """
        Return where packets went that left C{near} since this was asked last.

        The connections of C{near} have ended then, and a datagram that was sent
        after them has been seen.
        """
        until(_ended, 90)
        mark = f"udp {GATEWAY[0]} {_MARK}"
        with within("near"), socket.socket(type=socket.SOCK_DGRAM) as marking:
            marking.sendto(b"", (GATEWAY[0], _MARK))
        until(lambda: mark in self._seen)
        found = sorted(self._seen - {mark})
        self._seen.clear()
        return found

    def _secured(self) -> None:
        """Make what TLS and a password need."""
        authority = Authority()
        server(authority).write(self.directory, "gw")
        (self.directory / "ca.pem").write_bytes(pemOf(authority.certificate))
        (self.directory / "ca.pem").chmod(0o644)
        made = socksgw("passwd", "users", "alice", cwd=self.directory, stdin="secret\n")
        assert made.returncode == 0, made.stderr

    def login(self, port: int) -> list[str]:
        """Return the options of C{socksgw run} for it."""
        login = ["--proxy", f"socks5+tls://{GATEWAY[0]}:{port}", "--user", "alice"]
        login += ["--ca", str(self.directory / "ca.pem"), "--server-name", "localhost"]
        return [*login, "--password-env", "SECRET_OF_MINE"]

    def begun(self, *command: str, proxy: str = "", **more: Any) -> Any:
        """Begin a command in C{near}, as an ordinary user."""
        url = proxy or f"socks5://{GATEWAY[0]}:{PORT}"
        prefix = ["ip", "netns", "exec", "near", "setpriv", f"--reuid={NOBODY}"]
        prefix += [f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
        found = environment(
            SOCKSGW_PROXY=url,
            HOME="/tmp",
            PYTHONDONTWRITEBYTECODE="1",
            SECRET_OF_MINE="secret",
        )
        # Such a user cannot write what coverage measures.
        kept = {name: found[name] for name in found if not name.startswith("COVERAGE")}
        return subprocess.Popen(
            [*prefix, *command],
            env=kept,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, *command: str, proxy: str = "", **more: Any) -> dict[str, Any]:
        """Run C{socksgw run} with a program, and tell what came of it."""
        process = self.begun(*SOCKSGW, *command, proxy=proxy, **more)
        out, errors = process.communicate(timeout=100)
        return {
            "status": process.returncode,
            "out": out.splitlines(),
            "errors": errors.splitlines(),
        }


def main(directory: Path, folder: Path) -> None:
    """
    Run everything, and print what came of it.

    @param folder: has the programs that were built.
    """
    directory.chmod(0o755)
    # Where they were built only we may look.
    folder = shutil.copytree(folder, directory / "built")
    folder.chmod(0o755)
    repository(directory)
    ground = Ground(directory)
    # It takes from here what both need.
    from tests.interop.isolating import Near, beside, isolated

    near = Near(directory)
    programs = ROOT / "tests" / "interop" / "programs"
    shutter = f"http://{GATEWAY[0]}:{PORT}"
    six = f"socks5://[{GATEWAY[1]}]:{PORT}"
    url = "http://page.example:8080/"
    found = {
        "python": ground.run("-v", sys.executable, str(programs / "reach.py")),
        "node": ground.run("node", str(programs / "reach.js")),
        "java": ground.run("java", "-Xshare:auto", "-cp", str(folder), "Reach"),
        "go": ground.run(str(folder / "reach")),
        "musl": ground.run(str(folder / "musl")),
        "busybox": ground.run("--", "busybox", "wget", "-q", "-O", "-", url),
        "git": ground.run(
            *("git", "clone", "-q", "http://page.example:8080/repository"),
            f"{directory}/open/cloned",
        ),
        "http": ground.run("curl", "-sS", url, proxy=shutter),
        "six": ground.run("curl", "-sS", url, proxy=six),
        "socks4a": ground.run("curl", "-sS", url, proxy=f"socks4a{six[6:]}"),
        "socks6": ground.run(str(folder / "musl"), proxy=f"socks6{six[6:]}"),
        "tls": ground.run(
            *ground.login(1443), "-v", sys.executable, str(programs / "tls.py")
        ),
        "inside": ground.run(*ground.login(1444), str(folder / "musl")),
        "status": ground.run("sh", "-c", "cat; exit 7", stdin=subprocess.DEVNULL),
        "signal": ground.run("sh", "-c", "kill -KILL $$"),
        "missing": ground.run("no-such-program"),
        "undecided": undecided(ground),
        "nested": ground.run(
            *(sys.executable, "-m", "socksgw.console.command", "run", "true"),
        ),
        "unreachable": ground.run("true", proxy="socks5://10.9.9.1:9"),
        "forwarded": forwarded(ground),
        "outlived": outlived(ground, "-v"),
        "bare": ground.begun("curl", "-sS", "-m", "3", "http://10.5.5.1:8080/").wait(),
    }
    cloned = directory / "open" / "cloned" / "file"
    found["cloned"] = cloned.exists() and cloned.read_text()
    found["seen"], found["heard"] = ground.seen(), list(near.heard)
    found["protocols"] = sorted(
        {each["protocol"] for each in ground.gateway.journal("decision")}
    )
    found["asked"] = sorted(
        {each.get("name") or "" for each in ground.gateway.journal("decision")}
    )
    found["beside"] = beside(ground, near, folder)
    found["isolated"] = isolated(ground, near, folder)
    # In either way once, however often signals came while it waited.
    found["signalled"] = sum(
        each.get("name") == "slow-signalled.example"
        for each in ground.gateway.journal("decision")
    )
    found["refused"] = [
        [each["reason"], each["listener"]] for each in ground.gateway.journal("refused")
    ]
    ground.gateway.healthy()
    print(json.dumps(found))


def forwarded(ground: Ground, *options: str) -> list[Any]:
    """Tell what becomes of a program when its supervisor is told to end."""
    text = "trap 'echo ended; exit 9' TERM; echo begun; while :; do sleep 0.1; done"
    process = ground.begun(*SOCKSGW, *options, "sh", "-c", text)
    begun = process.stdout.readline()
    process.terminate()
    out, _ = process.communicate(timeout=30)
    return [begun.strip(), out.strip(), process.returncode]


def outlived(ground: Ground, *options: str) -> list[Any]:
    """Tell what becomes of a process that goes on when the supervisor has ended."""
    program = str(ROOT / "tests" / "interop" / "programs" / "lasting.py")
    process = ground.begun(
        *(*SOCKSGW, *options, sys.executable, program, *options), stdin=subprocess.PIPE
    )
    process.wait(60)
    out, errors = process.communicate("over\n", timeout=60)
    return [process.returncode, *out.splitlines(), *errors.splitlines()]


def undecided(ground: Ground) -> list[Any]:
    """Tell what is said of a program that ends before its connect is decided."""
    url = "http://slow-undecided.example:8080/"
    process = ground.begun(*SOCKSGW, "busybox", "wget", "-q", "-O", "-", url)
    assert _begun.wait(60)
    process.terminate()
    out, errors = process.communicate(timeout=30)
    _over.set()
    return [process.returncode, out, errors]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        (place / "open").mkdir(mode=0o777)
        (place / "open").chmod(0o777)
        main(place, Path(sys.argv[1]))
