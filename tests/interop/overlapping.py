"""
Two pairs of partners, all of whom have 10.0.0.0/8, and one gateway for them.

One pair is behind network namespaces C{red} and C{blue}, the other behind the devices
C{v1} and C{v2}. In each network the server is 10.0.0.1, and the gateway 10.0.0.251.
The gateway and its brokers run as an ordinary user. What becomes of it all is printed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset

from tests.live import raw
from tests.live.datagrams import addressed
from tests.live.netns import cable, ip, served, servedUDP, spawned, within
from tests.live.running import Running
from tests.live.servers import PATIENCE
from tests.tools.waiting import until

USER = "nobody"
#: What the partners' machines are called, by the network between.
PARTNERS = {"red": "far-red", "blue": "far-blue", "v1": "far-v1", "v2": "far-v2"}
DEVICES = ("v1", "v2")
#: Where the same name leads in each network.
NAMED = {"red": 11, "blue": 12, "v1": 13, "v2": 14}
SERVER, GATEWAY, PORT = "10.0.0.1", "10.0.0.251", 1080

LISTEN = """
[[listen]]
name = "{name}"
address = ["10.0.0.251:1080", "[fd00::251]:1080"]
protocols = ["socks5", "socks4", "http"]
{kind} = "{name}"
[listen.resolver]
servers = ["10.0.0.1"]
"""
REST = """
[[listen]]
name = "own"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["none"]
from = ["private", "loopback"]
[[rule]]
id = "all"
allow = ["connect", "bind", "udp", "resolve"]
from = ["private", "loopback"]
resolving_to = ["any"]
[[rule]]
id = "anybody"
allow = ["bind"]
from = ["private"]
to = ["0.0.0.0"]
"""


def configuration(directory: Path, *names: str) -> str:
    """Return the text of one with these networks."""
    found = f'[gateway]\nnetns_dir = "{directory}/brokers"\n'
    for name in names:
        kind = "device" if name in DEVICES else "netns"
        found += LISTEN.format(name=name, kind=kind)
    return found + REST


def answered(name: str, whole: bool = False) -> Any:
    """
    Return what answers questions about names: with an address of the network.

    @param whole: whether names that begin with C{long} have an answer, too.
    """

    def answer(octets: bytes) -> bytes:
        query = dns.message.from_wire(octets)
        reply = dns.message.make_response(query)
        question = query.question[0]
        if whole is False and str(question.name).startswith("long."):
            reply.flags |= dns.flags.TC
            return reply.to_wire()
        if question.rdtype == 1:
            reply.answer.append(
                dns.rrset.from_text(
                    question.name, 60, "IN", "A", f"10.0.0.{NAMED[name]}"
                )
            )
        return reply.to_wire()

    return answer


def lay(name: str) -> None:
    """Make a network and its partner, whose servers begin to serve."""
    far = PARTNERS[name]
    near = "" if name in DEVICES else name
    ip(f"netns add {far}")
    if near:
        ip(f"netns add {near}")
        ip("link set lo up", netns=near)
    ip("link set lo up", netns=far)
    cable((near, name), (far, "gw"), (f"{GATEWAY}/8", f"{SERVER}/8"), ("fd00::251/64", "fd00::1/64"))  # fmt: skip
    ip("addr add 10.0.0.11/8 dev gw", "addr add 10.0.0.12/8 dev gw",
       "addr add 10.0.0.13/8 dev gw", "addr add 10.0.0.14/8 dev gw", netns=far)  # fmt: skip
    with within(far):
        served(socket.create_server(("0.0.0.0", 7)), name.encode() + b" ")
        served(socket.create_server((SERVER, 80)), web(name))
        servedTCP(socket.create_server((SERVER, 53)), answered(name, True))
        served(socket.create_server(("::", 8), family=socket.AF_INET6), name.encode() + b" ")  # fmt: skip
        for host, port, answer in (
            (SERVER, 7, lambda octets: name.encode() + b" " + octets),
            (f"10.0.0.{NAMED[name]}", 7, lambda octets: name.encode() + b" " + octets),
            (SERVER, 53, answered(name)),
        ):
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind((host, port))
            servedUDP(bound, answer)


def servedTCP(listening: socket.socket, answer: Any) -> None:
    """Answer one question to a name server on each connection, in a thread."""

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                length = int.from_bytes(raw.exactly(connection, 2), "big")
                octets = answer(raw.exactly(connection, length))
                connection.sendall(len(octets).to_bytes(2, "big") + octets)

    threading.Thread(target=serve, daemon=True).start()


def dialled(name: str, host: str = GATEWAY) -> socket.socket:
    """Connect to the gateway from the partner's machine, and greet it."""
    with within(PARTNERS[name]):
        client = socket.create_connection((host, PORT), PATIENCE)
    client.sendall(raw.GREETING)
    assert raw.exactly(client, 2) == b"\5\0"
    return client


def connected(name: str, host: str | bytes = SERVER, port: int = 7) -> str:
    """Return what a server says that a client asks for; or the reply."""
    with closing(dialled(name)) as client:
        client.sendall(raw.request5(host, port))
        code, _, _ = raw.reply5(client)
        if code:
            return f"reply {code}"
        client.sendall(b"hello")
        return raw.exactly(client, len(name) + 6).decode()


def requested(name: str, head: bytes) -> str:
    """Return the last line of what a client of HTTP reads."""
    with within(PARTNERS[name]):
        client = socket.create_connection((GATEWAY, PORT), PATIENCE)
    with closing(client):
        client.sendall(head + b"\r\n")
        octets = b""
        while not octets.endswith(name.encode() + b" ") and (more := client.recv(1000)):
            octets += more
        return octets.decode().split("\r\n")[-1]


def web(name: str) -> bytes:
    """Return what a server of HTTP always answers."""
    text = f"{name} "
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def bound(name: str, peer: str) -> list[Any]:
    """Return what comes of a BIND to which the partner connects."""
    with closing(dialled(name)) as client:
        client.sendall(raw.request5(peer, 0, 2))
        code, host, port = raw.reply5(client)
        with within(PARTNERS[name]):
            there = socket.create_connection((host, port), PATIENCE)
        with closing(there):
            second = raw.reply5(client)
            there.sendall(b"bound")
            return [code, host, second[:2], raw.exactly(client, 5).decode()]


def associated(name: str, host: str | bytes = SERVER) -> list[Any]:
    """Return what comes of a datagram."""
    with closing(dialled(name)) as client:
        client.sendall(raw.request5("0.0.0.0", 0, 3))
        code, relay, port = raw.reply5(client)
        with within(PARTNERS[name]):
            ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with closing(ours):
            ours.settimeout(PATIENCE)
            ours.connect((relay, port))
            ours.send(addressed(host, 7) + b"datagram")
            head = len(addressed(SERVER, 7))
            return [code, relay, ours.recv(1000)[head:].decode()]


class World:
    """Everything that runs."""

    def __init__(self, stack: ExitStack) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="overlapping-"))
        stack.callback(shutil.rmtree, self.directory)
        brokers = self.directory / "brokers"
        brokers.mkdir()
        shutil.chown(self.directory, USER)
        self._stack = stack
        self.brokers: dict[str, subprocess.Popen[bytes]] = {}

    def broker(self, name: str) -> None:
        """Start the broker of a namespace, as root, which becomes the user."""
        where = self.directory / "brokers" / f"{name}.sock"
        self.brokers[name] = self._stack.enter_context(
            spawned(
                sys.executable,
                "-m",
                "socksgw.console.command",
                "netns-broker",
                name,
                "--user",
                USER,
                "--socket",
                str(where),
                log=self.directory / "broker.log",
            )
        )
        log = self.directory / "broker.log"
        until(
            lambda: f'namespace "{name}" at' in log.read_text(), 20, seen=log.read_text
        )

    def dropping(self, *names: str) -> Running:
        """Start the gateway as root, which becomes the user by twistd's options."""
        (self.directory / "log").unlink()
        program = (
            "import os, pwd, sys; user = pwd.getpwnam(sys.argv[1]); "
            "uid = [f'--uid={user.pw_uid}', f'--gid={user.pw_gid}']; "
            "os.execv(sys.argv[2], [sys.argv[2], *uid, *sys.argv[3:]])"
        )
        text = configuration(self.directory, *names)
        return Running(
            self.directory, text, prefix=[sys.executable, "-c", program, USER]
        )

    def gateway(self, *names: str) -> Running:
        """Start the gateway as the user."""
        as_ = ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups"]
        text = configuration(self.directory, *names)
        return Running(self.directory, text, prefix=[*as_, "--bounding-set=-all"])


def status(pid: int) -> dict[str, str]:
    """Return lines of C{/proc/PID/status}."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: rest.strip() for key, _, rest in (x.partition(":") for x in lines)}


def proved(world: World, gateway: Running, found: dict[str, Any]) -> None:
    """Do what needs nothing to fail."""
    for pid, who in ((gateway.process.pid, "gateway"), (world.brokers["red"].pid, "broker")):  # fmt: skip
        said = status(pid)
        found[f"rights of the {who}"] = [
            said["Uid"].split()[0] == said["Uid"].split()[2] != "0",
            *(int(said[key], 16) for key in ("CapEff", "CapPrm")),
        ]
    for name in PARTNERS:
        found[f"connect {name}"] = connected(name)
        found[f"connect6 {name}"] = connected(name, "fd00::1", 8)
        found[f"name {name}"] = connected(name, b"db.partner.example")
        found[f"long name {name}"] = connected(name, b"long.partner.example")
        found[f"http {name}"] = [
            requested(name, b"CONNECT 10.0.0.1:7 HTTP/1.1\r\nHost: 10.0.0.1:7\r\n"),
            requested(name, b"GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\n"),
        ]
        found[f"bind {name}"] = bound(name, SERVER)
        found[f"bind anybody {name}"] = bound(name, "0.0.0.0")
        found[f"udp {name}"] = associated(name)
        found[f"udp name {name}"] = associated(name, b"db.partner.example")
        # The listener itself, another port of the gateway's address, and loopback.
        found[f"never {name}"] = [
            connected(name, host, 9) for host in (GATEWAY, "127.0.0.1", "fd00::251")
        ] + [connected(name, GATEWAY, PORT)]
    # The kernel takes no packet from a host that has an address of ours.
    ip("addr add 10.0.0.77/8 dev v1")
    ip("addr add 10.0.0.77/8 dev gw", netns=PARTNERS["v2"])
    found["ours and theirs"] = (
        connected("v1", "10.0.0.77"),
        connected("v2", "10.0.0.77"),
    )
    found["whys"] = sorted(
        {
            each["why"]
            for each in gateway.journal("decision")
            if each["verdict"] == "deny"
        }
    )
    found["networks"] = sorted(
        {each.get("network", "") for each in gateway.journal("decision")}
    )
    found["resolved"] = sorted(
        {(each["network"], *each["addresses"]) for each in gateway.journal("decision")
         if each["name"]}
    )  # fmt: skip


def burst(name: str, count: int) -> int:
    """Return how many of many requests at once succeed."""
    clients = [dialled(name) for _ in range(count)]
    for client in clients:
        client.sendall(raw.request5(SERVER, 7))
    good = sum(raw.reply5(client)[0] == 0 for client in clients)
    for client in clients:
        client.close()
    return good


def failed(world: World, gateway: Running, found: dict[str, Any]) -> None:
    """Kill a broker; then the namespace goes, and another one has its name."""
    lasting = dialled("red")
    lasting.sendall(raw.request5(SERVER, 7))
    assert raw.reply5(lasting)[0] == 0
    raw.exactly(lasting, 4)
    world.brokers["red"].send_signal(signal.SIGKILL)
    world.brokers["red"].wait()
    until(lambda: [x for x in gateway.journal("network") if x["state"] == "lost"], 10)
    found["without a broker"] = connected("red"), connected("blue")
    end = gateway.journal("end")
    found["why"] = [(x["reason"], x["reply"]) for x in end if x.get("reply")][-1]
    lasting.sendall(b"still")
    found["what was open"] = raw.exactly(lasting, 5).decode()
    world.broker("red")
    until(lambda: [x for x in gateway.journal("network") if x["state"] == "found"], 10)
    found["with one again"] = connected("red")
    lasting.close()
    ip("netns del red", "netns del far-red")
    until(lambda: world.brokers["red"].poll() is not None, 10)
    found["broker's status"] = world.brokers["red"].returncode
    until(lambda: len([x for x in gateway.journal("network") if x["state"] == "lost"]) > 1, 10)  # fmt: skip
    lay("red")
    world.broker("red")
    until(
        lambda: [x for x in gateway.journal("network") if x["state"] == "replaced"], 10
    )

    def there() -> str:
        try:
            return connected("red")
        except OSError:
            return ""

    found["in the new one"] = until(there, 10)
    ip("link del v1", "netns del far-v1")
    until(lambda: len([x for x in gateway.journal("network") if x["state"] == "lost"]) > 2, 10)  # fmt: skip
    lay("v1")

    def again() -> str:
        try:
            return connected("v1")
        except OSError:
            return ""

    found["by the new device"] = until(again, 15)
    found["the other device"] = connected("v2")


def reloaded(world: World, gateway: Running, found: dict[str, Any]) -> None:
    """Take a namespace away, and give it back; one that is not there fails."""
    lasting = dialled("blue")
    lasting.sendall(raw.request5(SERVER, 7))
    assert raw.reply5(lasting)[0] == 0
    raw.exactly(lasting, 5)
    old = dialled("blue")
    file = world.directory / "gw.toml"

    def reload(*names: str) -> None:
        before = len(gateway.journal("reloaded")) + len(
            gateway.journal("reload-failed")
        )
        file.write_text(configuration(world.directory, *names))
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: len(gateway.journal("reloaded")) + len(gateway.journal("reload-failed")) > before, 15)  # fmt: skip

    reload("red", "v1", "v2")
    with suppress(ConnectionResetError):
        assert lasting.recv(100) == b""
    found["ended"] = [
        x["why"] for x in gateway.journal("end") if x["reason"] == "revoked"
    ]
    old.sendall(raw.request5(SERVER, 7))
    found["asked after it was removed"] = raw.reply5(old)[0]
    found["left"] = [x["network"] for x in gateway.journal("network") if x["state"] == "left"]  # fmt: skip
    reload("red", "v1", "v2", "none")
    found["none"] = gateway.journal("reload-failed")[-1]["problems"]
    found["after a failed reload"] = connected("red")
    reload("red", "blue", "v1", "v2")
    found["joined"] = [x["network"] for x in gateway.journal("network") if x["state"] == "joined"]  # fmt: skip
    found["back"] = connected("blue")


def main() -> None:
    """Do everything in order, and print what has come of it."""
    found: dict[str, Any] = {}
    for name in PARTNERS:
        lay(name)
    for each in ("all", "v1", "v2"):
        Path(f"/proc/sys/net/ipv4/conf/{each}/rp_filter").write_text("2")
    with ExitStack() as stack:
        world = World(stack)
        gateway = world.gateway(*PARTNERS)
        until(lambda: gateway.process.poll() is not None, 20)
        found["start without brokers"] = gateway.process.returncode, gateway.log
        for name in ("red", "blue"):
            world.broker(name)
        shutil.rmtree(world.directory / "var", ignore_errors=True)
        (world.directory / "log").unlink()
        gateway = world.gateway(*PARTNERS)
        try:
            gateway.ready()
            proved(world, gateway, found)
            began = time.monotonic()
            found["burst"] = burst("red", 200)
            found["seconds"] = time.monotonic() - began
            failed(world, gateway, found)
            reloaded(world, gateway, found)
            gateway.healthy()
        finally:
            if gateway.process.poll() is None:
                gateway.kill()
            print(
                gateway.log,
                (world.directory / "broker.log").read_text(),
                file=sys.stderr,
            )
        gateway = world.dropping("red", "v1")
        try:
            gateway.ready()
            found["dropped"] = status(gateway.process.pid)["Uid"].split()[0] != "0"
            world.brokers["red"].kill()
            world.brokers["red"].wait()
            until(
                lambda: (
                    "its broker is gone" in gateway.log or "no broker" in gateway.log
                )
            )
            world.broker("red")
            until(lambda: "it is there again" in gateway.log)
            found["after the drop"] = connected("red"), connected("v1")
            gateway.healthy()
        finally:
            if gateway.process.poll() is None:
                gateway.kill()
            print(gateway.log, file=sys.stderr)
        found["brokers' sockets"] = [
            oct(each.stat().st_mode) for each in (world.directory / "brokers").iterdir()
        ]
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
