"""
A gateway, its clients and their destinations, each in a network namespace.

C{python -m tests.interop.diverting DIRECTORY}, in a namespace that will be the
gateway's, prints as JSON what became of each client. Nothing is forwarded between
the other two; what is diverted is diverted by the rules that C{socksgw client-config
nftables} prints, loaded and unloaded as that says.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, final

from tests.live.running import Running, environment, socksgw
from tests.tools.waiting import until

#: Where the destinations are, and one more that is not allowed.
FAR = {"4": "93.184.216.34", "6": "2606:2800:220:1::34"}
DENIED = "93.184.216.35"
GATEWAY = "10.9.1.1"
SYS_NAME = "1.3.6.1.2.1.1.5.0"
BIG = 8 << 20

CONFIGURATION = """
[[listen]]
name = "redirected"
address = ["0.0.0.0:1088", "[::]:1088"]
transparent = "redirect"
[[listen]]
name = "diverted"
address = ["127.0.0.1:1089", "[::1]:1089"]
transparent = "tproxy"
[timeouts]
udp_idle = "2s"
[[auth.choose]]
from = ["10.9.1.0/24", "fd00:9:1::/64", "127.0.0.1"]
methods = ["none"]
[[rule]]
id = "not-8081"
deny = ["connect"]
ports = [8081]
[[rule]]
id = "not-dns"
deny = ["connect"]
application = ["dns"]
[[rule]]
id = "far"
allow = ["connect", "udp"]
to = ["93.184.216.34", "2606:2800:220:1::34"]
"""
#: For programs of the gateway's own host.
LOCAL = """
[[listen]]
name = "local"
address = ["127.0.0.1:1090", "[::1]:1090"]
transparent = "redirect"
[[auth.choose]]
from = ["93.184.216.1"]
methods = ["none"]
[[rule]]
id = "far"
allow = ["connect"]
to = ["93.184.216.34"]
"""

#: Serves those who let their destination speak first, and echoes datagrams with
#: the address that they came from.
SERVING = """
import socket, threading
greeter = socket.create_server(("::", 2525), family=socket.AF_INET6,
                               dualstack_ipv6=True)
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("93.184.216.34", 7777))
def greet():
    while True:
        client = greeter.accept()[0]
        client.sendall(b"first")
        client.recv(1)
        client.close()
threading.Thread(target=greet).start()
while True:
    octets, peer = echo.recvfrom(100)
    echo.sendto(octets + f" from {peer[0]} {peer[1]}".encode(), peer)
"""
GREETED = """
import socket, sys
with socket.create_connection((sys.argv[1], 2525), 5) as client:
    print(client.recv(5).decode())
"""
#: Sends from one port to two destinations, one of which is denied.
ASKING = """
import socket
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(5)
asking.bind(("0.0.0.0", 5555))
for n in range(3):
    asking.sendto(b"%d" % n, ("93.184.216.35", 7777))
    asking.sendto(b"%d" % n, ("93.184.216.34", 7777))
    octets, (host, port) = asking.recvfrom(100)
    print(octets.decode(), "by", host, port)
"""
DIRECT = """
import socket
direct = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(5):
    direct.sendto(b"x", ("127.0.0.1", 1089))
"""
#: Sends until it is ended, and holds a connection.
LASTING = """
import socket, time
held = socket.create_connection(("93.184.216.34", 2525), 5)
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.bind(("0.0.0.0", 5556))
while True:
    asking.sendto(b"again", ("93.184.216.34", 7777))
    time.sleep(0.2)
"""
#: Puts the clients' connections into a zone of their own.
ZONE = (
    "table ip z { chain c { type filter hook prerouting priority raw; "
    "iifname c0 ct zone set 7; }; "
    "chain d { type filter hook output priority raw; oifname c0 ct zone set 7; }; }"
)


def granting(capabilities: str) -> list[str]:
    """Return what runs a command with these capabilities and no others."""
    only = f"-all{capabilities}"
    return ["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]


@final
class Scene:
    """
    The three namespaces, and what runs there.

    @ivar inside: what runs a command in the clients' namespace.
    @ivar there: the same for the destinations'.
    """

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        client, self.inside = self._namespace()
        far, self.there = self._namespace()
        for prefix in ([], self.inside, self.there):
            self.ip("link set lo up", prefix)
        self.ip(
            f"""link add c0 type veth peer name c1 netns {client}
            link add f0 type veth peer name f1 netns {far}
            addr add 10.9.1.1/24 dev c0
            -6 addr add fd00:9:1::1/64 dev c0 nodad
            addr add 93.184.216.1/24 dev f0
            -6 addr add 2606:2800:220:1::1/64 dev f0 nodad
            link set c0 up
            link set f0 up"""
        )
        self.ip(
            """addr add 10.9.1.2/24 dev c1
            -6 addr add fd00:9:1::2/64 dev c1 nodad
            link set c1 up
            route add default via 10.9.1.1
            -6 route add default via fd00:9:1::1""",
            self.inside,
        )
        self.ip(
            """addr add 93.184.216.34/24 dev f1
            addr add 93.184.216.35/24 dev f1
            -6 addr add 2606:2800:220:1::34/64 dev f1 nodad
            link set f1 up""",
            self.there,
        )

    def _namespace(self) -> tuple[int, list[str]]:
        """Make one; it lasts as long as a process in it."""
        holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo; exec sleep 300"],
            stdout=subprocess.PIPE,
        )
        self._stack.callback(holder.wait)
        self._stack.callback(holder.kill)
        assert holder.stdout is not None
        holder.stdout.readline()
        return holder.pid, ["nsenter", "-t", str(holder.pid), "-n"]

    def ip(self, lines: str, prefix: Sequence[str] = ()) -> None:
        for line in lines.splitlines():
            subprocess.run([*prefix, "ip", *line.split()], check=True)

    def daemon(self, *command: str) -> None:
        """Run a server where the destinations are."""
        started = subprocess.Popen(
            [*self.there, *command],
            cwd=self.directory,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(started.wait)
        self._stack.callback(started.kill)

    def run(
        self, *command: str, prefix: Sequence[str] | None = None
    ) -> tuple[int, str, str]:
        """
        Run a command, in the clients' namespace unless C{prefix} is another.

        @return: its status, and what it printed.
        """
        done = subprocess.run(
            [*(self.inside if prefix is None else prefix), *command],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=environment(),
        )
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def curl(
        self, where: str, *more: str, prefix: Sequence[str] | None = None
    ) -> tuple[int, str, str]:
        return self.run("curl", "-sS", "-m", "5", *more, where, prefix=prefix)

    def python(
        self, text: str, *more: str, prefix: Sequence[str] | None = None
    ) -> tuple[int, str, str]:
        return self.run(sys.executable, "-c", text, *more, prefix=prefix)

    def serve(self) -> None:
        """Start every server, and wait for it."""
        (self.directory / "index.html").write_text("the far page\n")
        (self.directory / "big").write_bytes(bytes(BIG))
        (self.directory / "snmpd.conf").write_text(
            "rocommunity public\nrocommunity6 public\nsysName the far agent\n"
        )
        self.daemon(
            *("snmpd", "-f", "-Lo", "-C", "-c", "snmpd.conf"),
            *("-p", str(self.directory / "pid"), "udp:161,udp6:161"),
        )
        self.daemon(sys.executable, "-c", SERVING)
        for port in ("8080", "8081", "1088"):
            self.daemon(sys.executable, "-m", "http.server", port, "--bind", "::")
            for host in FAR.values():
                self.reached(host, port)
        ports = "cat", "/proc/net/udp", "/proc/net/udp6"
        until(
            lambda: (
                {":1E61", ":00A1"}
                <= set(
                    re.findall(r":[0-9A-F]{4}", self.run(*ports, prefix=self.there)[1])
                )
            ),
            20,
        )

    def reached(self, host: str, port: str) -> None:
        """Wait until an HTTP server can be reached from the gateway."""
        where = url(host, int(port))
        until(lambda: self.curl(where, prefix=[])[0] == 0, 20)

    def rules(self, way: str, listener: str, user: str = "65534") -> None:
        """Load the printed rules, or unload them, as their text says."""
        printed = socksgw(
            *("client-config", "nftables", "--config", "gw.toml"),
            *("--listener", listener, "--interface", "c0", "--user", user),
            cwd=self.directory,
        )
        assert printed.returncode == 0, printed.stderr
        file = self.directory / "rules.nft"
        file.write_text(printed.stdout)
        loading, unloading = printed.stdout.split("# Unload", 1)
        text = loading if way == "load" else unloading
        for line in re.findall(r"(?m)^#   (.*)$", text):
            subprocess.run(line.replace("FILE", str(file)).split(), check=True)


def url(host: str, port: int, path: str = "") -> str:
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/{path}"


def connections(scene: Scene, gateway: Running, found: dict[str, Any]) -> None:
    """TCP, by each way."""
    # No rule is loaded yet, so conntrack knows nothing.
    found["without rules"] = scene.curl(url(GATEWAY, 1088))
    found["past"] = scene.curl(url(FAR["4"], 8080), "-m", "2")[0]
    counting = ("-o", "/dev/null", "-w", "%{size_download}")
    for name, own in (("redirected", 1088), ("diverted", 1089)):
        scene.rules("load", name)
        for family, host in FAR.items():
            case = f"{name} {family}"
            found[case] = scene.curl(url(host, 8080))[:2]
            found[f"{case} big"] = scene.curl(url(host, 8080, "big"), *counting)[:2]
            found[f"{case} same port"] = scene.curl(url(host, 1088))[:2]
            found[f"{case} greeting"] = scene.python(GREETED, host)[:2]
            found[f"{case} denied"] = scene.curl(url(host, 8081))[:2]
            found[f"{case} closed"] = scene.curl(url(host, 9))[:2]
        found[f"{name} direct"] = scene.curl(url(GATEWAY, own))
        found[f"{name} itself"] = scene.curl(url("93.184.216.1", 1088))[0]
        scene.rules("unload", name)
    found["left"] = [
        scene.run(*line.split(), prefix=[])[1]
        for line in (
            "nft list ruleset",
            "ip route show table 1080",
            "ip -6 route show table 1080",
        )
    ]
    found["refused"] = [
        [x["listener"], x["client"].rpartition(":")[0], x["reason"], x["why"]]
        for x in gateway.journal("refused")
    ]
    keys = "listener", "protocol", "asked", "port", "verdict", "rule"
    found["decisions"] = [[x[k] for k in keys] for x in gateway.journal("decision")]
    found["looks"] = [
        [x["application"], x["verdict"], x["rule"]]
        for x in gateway.journal("inspected")
    ]
    found["lost"] = [
        [x["reason"], x["reply"]]
        for x in gateway.journal("end")
        if x["address"] is None
    ]
    scene.rules("load", "redirected")
    subprocess.run(["nft", ZONE], check=True)
    found["zone"] = scene.curl(url(FAR["4"], 8080))
    found["zone why"] = gateway.journal("refused")[-1]["why"]
    subprocess.run(["nft", "delete table ip z"], check=True)
    scene.rules("unload", "redirected")


def datagrams(scene: Scene, gateway: Running, found: dict[str, Any]) -> None:
    """UDP, with the rules for tproxy loaded."""
    snmp = ("snmpget", "-v2c", "-c", "public", "-r", "0", "-Oqv")
    asking = (*snmp, "-t", "5")
    found["snmp 4"] = scene.run(*asking, f"{FAR['4']}:161", SYS_NAME)[:2]
    found["snmp 6"] = scene.run(*asking, f"udp6:[{FAR['6']}]:161", SYS_NAME)[:2]
    found["snmp denied"] = scene.run(*snmp, "-t", "1", f"{DENIED}:161", SYS_NAME)[0]
    found["echo"] = scene.python(ASKING)[1].splitlines()
    found["sockets"] = [
        line.split()[2]
        for line in scene.run("ss", "-Hun", prefix=[])[1].splitlines()
        if line.split()[3] == "10.9.1.2:5555"
    ]
    scene.python(DIRECT, prefix=[])
    found["udp direct"] = until(
        lambda: [
            [x["listener"], x["why"]]
            for x in gateway.journal("refused")
            if x["client"].startswith("127.")
        ]
    )
    found["flows"] = [
        [x[k] for k in ("asked", "port", "verdict", "rule", "protocol")]
        for x in gateway.journal("flow")
    ]

    def idle() -> list[dict[str, Any]]:
        return [x for x in gateway.journal("end") if x["reason"] == "idle"]

    until(lambda: len(idle()) >= 4, 20)
    found["idle"] = len(idle())
    found["flow-end"] = sorted(
        [x[k] for k in ("address", "sent_datagrams", "received_datagrams", "reason")]
        for x in gateway.journal("flow-end")
    )
    found["sockets left"] = scene.run("ss", "-Hun", prefix=[])[1]


def revoked(scene: Scene, gateway: Running, found: dict[str, Any]) -> None:
    """A reload by which no rule allows what goes on."""
    lasting = subprocess.Popen([*scene.inside, sys.executable, "-c", LASTING])
    until(lambda: [x for x in gateway.journal("flow") if ":5556" in x["client"]], 20)
    text = CONFIGURATION.replace('["connect", "udp"]', '["connect"]')
    text = text.replace("ports = [8081]", "ports = [8081, 2525]")
    (gateway.directory / "gw.toml").write_text(text)
    gateway.process.send_signal(signal.SIGHUP)

    def denied() -> list[Any]:
        lines = gateway.journal("decision")
        return [x for x in lines if (x["command"], x["verdict"]) == ("udp", "deny")]

    until(denied, 20)
    lasting.kill()
    lasting.wait()
    found["revoked"] = [
        sorted(x["reason"] for x in gateway.journal(event) if x["reason"] == "revoked")
        for event in ("flow-end", "end")
    ]
    found["denied"] = [[x["reason"], x["rule"]] for x in denied()][:1]


def local(scene: Scene, gateway: Running, found: dict[str, Any]) -> None:
    """Diverts programs of the gateway's own host, which runs as user 0."""
    scene.rules("load", "local", "0")
    other = ["setpriv", "--reuid", "65534", "--clear-groups"]
    found["local"] = scene.curl(url(FAR["4"], 8080), prefix=other)[:2]
    scene.rules("unload", "local")
    found["local decisions"] = [
        [x["listener"], x["asked"], x["port"]] for x in gateway.journal("decision")
    ]
    # Now the wrong user is exempt.
    scene.rules("load", "local", "12345")
    found["loop"] = scene.curl(url(FAR["4"], 8080), prefix=other)[:2]
    scene.rules("unload", "local")
    found["loop decisions"] = len(gateway.journal("decision"))
    found["loop refused"] = [x["why"] for x in gateway.journal("refused")]


def main(directory: Path) -> None:
    found: dict[str, Any] = {}
    configuration = directory / "gw.toml"
    configuration.write_text(CONFIGURATION)
    with ExitStack() as stack:
        scene = Scene(directory, stack)
        scene.serve()

        def gateway(name: str, text: str, capabilities: str = "") -> Running:
            place = directory / name
            place.mkdir()
            running = Running(place, text, prefix=granting(capabilities))
            stack.callback(running.kill)
            return running

        able = gateway("able", CONFIGURATION, ",+net_raw,+net_bind_service").ready()
        connections(scene, able, found)
        scene.rules("load", "diverted")
        datagrams(scene, able, found)
        revoked(scene, able, found)
        able.healthy()
        found["down"] = [
            scene.curl(url(host, 8080), "-m", "1")[0] for host in FAR.values()
        ]
        scene.rules("unload", "diverted")
        unable = gateway("unable", CONFIGURATION)
        unable.process.wait(30)
        found["unable"] = unable.log
        configuration.write_text(LOCAL)
        alone = gateway("local", LOCAL).ready()
        local(scene, alone, found)
        alone.healthy()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
