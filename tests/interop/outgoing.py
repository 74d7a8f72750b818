"""
A gateway between its clients and two customers, both of whom have 10.0.0.0/8.

Customer C{o1} is behind the device o1, where the gateway is 10.0.0.251, and C{o2} behind
o2, where it is 10.0.0.252; a third one is behind a network namespace. In each network the
server is 10.0.0.1. Clients are elsewhere. What the servers see of the gateway's
connections, datagrams and listeners is printed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from socksgw.console.manual import chapters
from tests.live import raw
from tests.live.datagrams import addressed
from tests.live.netns import cable, ip, spawned, within
from tests.live.running import Running
from tests.live.servers import PATIENCE
from tests.tools.waiting import until

USER = "nobody"
SERVER, SERVER6 = "10.0.0.1", "fd00::1"
#: Where clients come to: two addresses of the gateway.
GATEWAY, SECOND = "192.0.2.1", "192.0.2.2"
#: How sessions leave, by the listener's name; the ports of the listeners follow.
WAYS = {
    "usual": "",
    "bound": 'leave_by = ["10.0.0.252", "fd00::252"]',
    "device": 'device = "o2"',
    "both": 'leave_by = ["10.0.0.253", "fd00::253"]\ndevice = "o2"',
    "same": 'leave_by = "same"',
    "mark": "mark = 7",
    "late": 'leave_by = ["10.0.0.254"]',
    "four": 'leave_by = ["10.0.0.251"]',
    "many": 'leave_by = ["10.0.0.249"]\ndevice = "o2"',
    "gone": 'device = "o3"',
}
PORTS = {name: 1081 + n for n, name in enumerate(WAYS)}
#: Local ports of the gateway while they are to run out.
FEW = 100

REST = """
[[listen]]
name = "inner"
address = ["10.0.0.251:1080"]
netns = "inner"
resolver = { servers = [] }
[[rule]]
id = "inner"
listener = ["inner"]
allow = ["connect", "bind", "udp"]
resolving_to = ["any"]
leave_by = ["10.0.0.250"]
[[auth.choose]]
methods = ["none"]
from = ["private", "192.0.2.0/24"]
"""


def configuration(directory: Path) -> str:
    """Return the configuration."""
    text = f'[gateway]\nnetns_dir = "{directory}/brokers"\n'
    for name, port in PORTS.items():
        text += (
            f'[[listen]]\nname = "{name}"\n'
            f'address = ["{GATEWAY}:{port}", "{SECOND}:{port}"]\n'
        )
    for name, said in WAYS.items():
        text += (
            f'[[rule]]\nid = "{name}"\nlistener = ["{name}"]\nfrom = ["192.0.2.0/24"]\n'
            f'allow = ["connect", "bind", "udp"]\nresolving_to = ["any"]\n{said}\n'
        )
    return text + REST


# The networks.


def serve(listening: socket.socket, name: str) -> None:
    """Answer each connection with the server's name and whom it sees, in a thread."""

    def one(connection: socket.socket, peer: str) -> None:
        with connection, suppress(OSError):
            connection.sendall(f"{name} {peer}\n".encode())
            while connection.recv(1000):
                pass

    def accept() -> None:
        while True:
            connection, peer = listening.accept()
            threading.Thread(
                target=one, args=(connection, peer[0]), daemon=True
            ).start()

    threading.Thread(target=accept, daemon=True).start()


def answering(bound: socket.socket, name: str) -> None:
    """Answer each datagram in the same way."""

    def run() -> None:
        while True:
            _, peer = bound.recvfrom(2000)
            bound.sendto(f"{name} {peer[0]}".encode(), peer)

    threading.Thread(target=run, daemon=True).start()


def lay(name: str, near: str, *ours: str) -> None:
    """
    Lay a customer's network, whose server begins to serve.

    @param near: the namespace of the gateway's end; empty for our own.
    @param ours: the last parts of the gateway's addresses there.
    """
    far = f"far-{name}"
    ip(f"netns add {far}")
    if near:
        ip(f"netns add {near}")
        ip("link set lo up", netns=near)
    ip("link set lo up", netns=far)
    pairs = [(f"10.0.0.{n}/8", f"fd00::{n}/64") for n in ours]
    cable((near, name), (far, "gw"),
          (pairs[0][0], f"{SERVER}/8"), (pairs[0][1], f"{SERVER6}/64"))  # fmt: skip
    for four, six in pairs[1:]:
        ip(
            f"addr add {four} dev {name}",
            f"addr add {six} dev {name} nodad",
            netns=near,
        )
    ip(f"route add 192.0.2.0/24 via 10.0.0.{ours[0]}", netns=far)
    with within(far):
        for port in (7, 9):
            serve(socket.create_server(("0.0.0.0", port), backlog=256), name)
        serve(socket.create_server(("::", 8), family=socket.AF_INET6), name)
        for family, place in ((socket.AF_INET, (SERVER, 7)), (socket.AF_INET6, (SERVER6, 7))):  # fmt: skip
            bound = socket.socket(family, socket.SOCK_DGRAM)
            bound.bind(place)
            answering(bound, name)


def networks() -> None:
    """Lay everything."""
    lay("o1", "", "251")
    lay("o2", "", "252", "253", "249")
    lay("in", "inner", "251", "250")
    ip("netns add clients")
    ip("link set lo up", netns="clients")
    cable(("", "c0"), ("clients", "gw"), (f"{GATEWAY}/24", "192.0.2.9/24"))
    ip(f"addr add {SECOND}/24 dev c0")
    ip("addr add 192.0.2.17/24 dev gw", netns="clients")
    ip(
        "route add 10.0.0.0/8 dev o2 table 102",
        "-6 route add fd00::/64 dev o2 table 102",
    )
    for each in ("all", "o1", "o2", "c0"):
        Path(f"/proc/sys/net/ipv4/conf/{each}/rp_filter").write_text("2")


# The clients.


def dialled(way: str, host: str = GATEWAY) -> socket.socket:
    """
    Connect to a listener, and greet it.

    @param way: the listener, or the client's address for the manual's.
    """
    with within("clients" if way != "inner" else "far-in"):
        place = (host, PORTS.get(way, 1080))
        source = (way, 0) if way.startswith("192") else None
        if way == "inner":
            place = ("10.0.0.251", 1080)
        client = socket.create_connection(place, PATIENCE, source)
    client.sendall(raw.GREETING)
    assert raw.exactly(client, 2) == b"\5\0"
    return client


def connected(way: str, host: str = SERVER, port: int = 7, at: str = GATEWAY) -> str:
    """Return which server a client reaches, and whom that sees; or the reply."""
    with closing(dialled(way, at)) as client:
        client.sendall(raw.request5(host, port))
        code, _, _ = raw.reply5(client)
        if code:
            return f"reply {code}"
        octets = b""
        while not octets.endswith(b"\n"):
            came = client.recv(1000)
            assert came
            octets += came
        return octets.decode().strip()


def associated(way: str, host: str = SERVER) -> str:
    """Return the same of a datagram."""
    where = "far-in" if way == "inner" else "clients"
    with closing(dialled(way)) as client:
        client.sendall(raw.request5("0.0.0.0", 0, 3))
        code, relay, port = raw.reply5(client)
        if code:
            return f"reply {code}"
        with within(where):
            ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ours.bind((client.getsockname()[0], 0))
        with closing(ours):
            ours.settimeout(0.5 if way in ("late", "mark") else PATIENCE)
            ours.connect((relay, port))
            head = addressed(host, 7)
            ours.send(head + b"datagram")
            try:
                return ours.recv(1000)[len(head) :].decode()
            except TimeoutError:
                return "nothing"


def bound(way: str, customer: str) -> str:
    """Return where a peer, the customer's server, is told to come, and that it does."""
    with closing(dialled(way)) as client:
        client.sendall(raw.request5(SERVER, 0, 2))
        code, host, port = raw.reply5(client)
        if code:
            return f"reply {code}"
        with within(f"far-{customer}"):
            there = socket.create_connection((host, port), PATIENCE)
        with closing(there):
            code, peer, _ = raw.reply5(client)
            there.sendall(b"bound")
            assert raw.exactly(client, 5) == b"bound"
            return f"{host} {code} {peer}"


def fill(way: str, port: int, count: int) -> list[socket.socket]:
    """Open so many connections at once; return those that there are."""
    clients = [dialled(way) for _ in range(count)]
    for client in clients:
        client.sendall(raw.request5(SERVER, port))
    return [client for client in clients if raw.reply5(client)[0] == 0]


# The gateway.


class World:
    """Everything that runs."""

    def __init__(self, stack: ExitStack) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="outgoing-"))
        stack.callback(shutil.rmtree, self.directory)
        brokers = self.directory / "brokers"
        brokers.mkdir()
        shutil.chown(self.directory, USER)
        (self.directory / "gw.toml").write_text(configuration(self.directory))
        log = self.directory / "broker.log"
        stack.enter_context(
            spawned(
                sys.executable, "-m", "socksgw.console.command", "netns-broker", "inner",
                "--user", USER, "--socket", str(brokers / "inner.sock"), log=log,
            )
        )  # fmt: skip
        until(lambda: 'namespace "inner" at' in log.read_text(), 20, seen=log.read_text)

    def check(self) -> list[str]:
        """Return what the gateway's user is warned of."""
        command = [sys.executable, "-m", "socksgw.console.command", "check"]
        done = subprocess.run(
            [*self.user(), *command, str(self.directory / "gw.toml")],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = (done.stdout + done.stderr).splitlines()
        return [line for line in lines if "warning" in line]

    def user(self, *rights: str) -> list[str]:
        """Return what runs a command as the user, with these rights alone."""
        names = ",".join(f"+{each}" for each in rights)
        keep = [f"--inh-caps={names}", f"--ambient-caps={names}"] if rights else []
        bounding = f"--bounding-set=-all{',' if names else ''}{names}"
        return ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups",
                *keep, bounding]  # fmt: skip

    @contextmanager
    def gateway(self, *rights: str, text: str = "") -> Iterator[Running]:
        """Run a gateway as the user; at the end it has to be well."""
        for name in ("log", "var"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self.directory / "log").unlink()
        text = text or configuration(self.directory)
        gateway = Running(self.directory, text, prefix=self.user(*rights))
        try:
            yield gateway.ready()
            gateway.healthy()
        finally:
            if gateway.process.poll() is None:
                gateway.kill()
            print(gateway.log, file=sys.stderr)


def proved(gateway: Running, found: dict[str, Any]) -> None:
    """Do what needs no privilege."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    found["rights"] = [
        int(line.split()[1], 16) for line in status.splitlines() if "CapEff" in line
    ]
    for way in ("usual", "bound", "device", "both", "same", "four"):
        found[f"connect {way}"] = connected(way)
        found[f"udp {way}"] = associated(way)
    for way in ("device", "both", "four"):
        found[f"connect6 {way}"] = connected(way, SERVER6, 8)
    found["udp6 both"] = associated("both", SERVER6)
    found["same at the second"] = connected("same", at=SECOND)
    for way, customer in (("usual", "o1"), ("device", "o2"), ("both", "o2"), ("same", "o1"), ("inner", "in")):  # fmt: skip
        found[f"bind {way}"] = bound(way, customer)
    found["connect inner"], found["udp inner"] = connected("inner"), associated("inner")
    found["connect mark"], found["udp mark"] = connected("mark"), associated("mark")
    found["why mark"] = (
        gateway.journal("end")[-1].get("why", "")
        or [
            each["why"]
            for each in gateway.journal("end")
            if each["reason"] == "leave-by"
        ][-1]
    )
    found["connect gone"] = connected("gone")
    # By o2 there are addresses of ours, too.
    found["ourselves"] = [connected("device", "10.0.0.252", 9), connected("both", "10.0.0.253", 9)]  # fmt: skip
    ip("rule add from 10.0.0.252 lookup 102")
    found["connect bound by a rule"] = connected("bound")
    ip("rule del from 10.0.0.252 lookup 102")


def later(gateway: Running, found: dict[str, Any]) -> None:
    """Wait for an address that comes later, and goes."""
    found["before"] = connected("late"), associated("late"), bound("late", "o1")
    ip("addr add 10.0.0.254/8 dev o1")
    found["there"] = connected("late")
    # A connection whose address has gone would not end.
    until(lambda: (gateway.journal("end")[-1]["bound"] or "").startswith("10.0.0.254:"))
    ip("addr del 10.0.0.254/8 dev o1")
    found["gone"] = connected("late")
    until(lambda: len(gateway.journal("leave-by")) > 2)
    found["states"] = [each["state"] for each in gateway.journal("leave-by")]


def exhausted(found: dict[str, Any]) -> None:
    """Use every local port for two destinations."""
    ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
    before = ports.read_text()
    ports.write_text(f"40000 {40000 + FEW - 1}")
    try:
        seven, nine = fill("many", 7, FEW), fill("many", 9, FEW)
        found["with few ports"] = len(seven), len(nine)
        found["one more"] = connected("many")
        for client in seven + nine:
            client.close()
    finally:
        ports.write_text(before)


def marked(found: dict[str, Any]) -> None:
    """Do what needs a capability."""
    ip("rule add fwmark 7 lookup 102", "-6 rule add fwmark 7 lookup 102")
    found["connect marked"], found["udp marked"] = connected("mark"), associated("mark")
    found["connect6 marked"] = connected("mark", SERVER6, 8)
    found["bind marked"] = bound("mark", "o2")


def manual() -> str:
    """Return the configuration that the manual shows, with the devices of here."""
    text = chapters()["outgoing"].partition(".. code-block:: toml\n")[2]
    shown = text.partition("\n\nWhere the clients")[0]
    return textwrap.dedent(shown).replace('"eth1"', '"o1"').replace('"eth2"', '"o2"')


def main() -> None:
    """Do everything in order, and print what has come of it."""
    found: dict[str, Any] = {}
    networks()
    with ExitStack() as stack:
        world = World(stack)
        found["warned"] = world.check()
        with world.gateway() as gateway:
            proved(gateway, found)
            later(gateway, found)
            exhausted(found)
        with world.gateway("net_admin"):
            marked(found)
        with world.gateway(text=manual()):
            for client in ("192.0.2.9", "192.0.2.17"):
                found[f"manual {client}"] = connected(client), associated(client)
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
