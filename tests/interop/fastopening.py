"""
TCP Fast Open (RFC 7413) on both sides of a gateway, in a network of its own.

What the first packets carry, what clients are told, and what is recorded is printed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from ctypes import addressof, create_string_buffer
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from socksgw.client import SocksClientEndpoint
from socksgw.client.fastopen import overFastOpen
from tests.live import raw
from tests.live.admin import AdminClient
from tests.live.netns import served
from tests.live.running import LOOPBACK, Running
from tests.live.servers import program
from tests.tools.waiting import until

SWITCH = Path("/proc/sys/net/ipv4/tcp_fastopen")
#: The listeners: what clients may choose, whether their first packets may carry octets.
LISTENERS = {
    "usual": "",
    "both": "fast_open = true",
    "none": "stack = []",
    "looking": "",
}
HEAD = "".join(
    f'[[listen]]\nname = "{name}"\naddress = ["127.0.0.1:0"]\n'
    f'protocols = ["socks6", "socks5"]\n{more}\n'
    for name, more in LISTENERS.items()
)
REST = (
    """
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "looked-at"
listener = ["looking"]
allow = ["connect"]
application = ["other"]
[[rule]]
id = "all"
allow = ["connect", "bind"]
[[limit]]
from = ["127.0.0.9"]
per = "all"
quota = "4B/1d"
"""
    + LOOPBACK
)
#: A port to which no packet comes, as ICMP tells whoever sends one.
AWAY = 6
REJECTED = f"""
table ip away {{
    chain first {{
        type filter hook input priority filter
        tcp dport {AWAY} reject with icmp type host-unreachable
    }}
}}
"""
ANOTHER, SESSION = "127.0.0.2", "session = true"
#: A gateway that has the first one as its upstream, and what cannot be reached.
EDGE = (
    """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["none"]
"""
    + "".join(
        f"""
[[upstream]]
name = "{name}"
url = "{url}"
fast_open = true
{more}
[[rule]]
id = "{name}"
allow = ["connect"]
{asked}
via = ["{name}"]
"""
        for name, url, asked, more in (
            # Clients from there have all requests of one session.
            ("session", "socks6://127.0.0.1:BOTH", f'from = ["{ANOTHER}"]', SESSION),
            ("taken", "socks6://127.0.0.1:BOTH", "ports = [PORT]", ""),
            ("refusing", "socks6://127.0.0.1:1", "ports = [2]", ""),
            ("tls", "socks6+tls://127.0.0.1:PORT", "ports = [3]", ""),
            ("refusing-tls", "https://127.0.0.1:1", "ports = [4]", ""),
            ("away", f"socks6://127.0.0.1:{AWAY}", "ports = [5]", ""),
            ("refusing-session", "socks6://127.0.0.1:1", "ports = [7]", SESSION),
        )
    )
    + LOOPBACK
    + '[admin]\nendpoint = "unix:DIRECTORY/admin.sock"\n'
)
FAST_OPEN = (4, 1)
#: TCPI_OPT_SYN_DATA (linux/tcp.h), and where struct tcp_info has it.
SYN_DATA, AGREED_AT = 32, 5
SYN, ACK = 2, 16
TEN = b"0123456789"
#: SO_ATTACH_FILTER (socket(7)), and a filter that drops everything.
ATTACH_FILTER = 26
NOTHING = create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))


class Wire:
    """What goes over the loopback device from now on."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.bind(("lo", 0x0800))
        self._socket.settimeout(20)

    def first(self, port: int) -> str:
        """Return what the first SYN to a port carries."""
        while True:
            packet = self._socket.recv(65536)
            head = (packet[0] & 15) * 4
            if packet[9] != socket.IPPROTO_TCP:
                continue
            segment = packet[head : int.from_bytes(packet[2:4], "big")]
            flags = segment[13] & (SYN | ACK)
            if flags == SYN and int.from_bytes(segment[2:4], "big") == port:
                return segment[(segment[12] >> 4) * 4 :].decode("latin-1")

    def close(self) -> None:
        self._socket.close()


def taken(connection: socket.socket) -> bool:
    """Whether octets of the SYN were taken, as the kernel says."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, AGREED_AT + 1)
    return bool(told[AGREED_AT] & SYN_DATA)


def option(payload: int) -> bytes:
    """A TFO option (section 8.1.5)."""
    return bytes((0, 1, 0, 8, 2 << 6 | FAST_OPEN[0], FAST_OPEN[1])) + payload.to_bytes(
        2
    )


def begun(address: tuple[str, int], octets: bytes) -> socket.socket:
    """Connect with octets in the SYN, where the kernel has a cookie."""
    made = socket.socket()
    made.settimeout(20)
    made.sendto(octets, socket.MSG_FASTOPEN, address)
    return made


def told(options: bytes) -> int | None:
    """Return the payload size that a reply tells; L{None} for none."""
    if not options:
        return None
    assert options[:6] == option(0)[:6]
    assert len(options) == 8
    return int.from_bytes(options[6:], "big")


class World:
    """
    A gateway, and a server that echoes.

    @ivar port: of the server.
    """

    def __init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        self._listening = listening
        served(listening, b"")
        self.port = listening.getsockname()[1]
        self.directory = Path(tempfile.mkdtemp(prefix="fastopen"))

    @contextmanager
    def gateway(self) -> Iterator[Running]:
        """Run one."""
        gateway = Running(self.directory, HEAD + REST)
        try:
            yield gateway.ready()
            gateway.healthy()
        finally:
            if gateway.process.poll() is None:
                gateway.kill()
            print(gateway.log, file=sys.stderr)

    def connected(
        self,
        gateway: Running,
        name: str,
        options: bytes,
        dial: Callable[[int, bytes], socket.socket] | None = None,
    ) -> dict[str, Any]:
        """
        CONNECT with ten octets behind the request.

        @return: what the SYN to the server has of them, what the client is told, what
            comes back, what is recorded.
        """
        asked = raw.request6("127.0.0.1", self.port, options=options) + b"0123456789"
        number = list(LISTENERS).index(name)
        before = len(gateway.journal("end"))
        with closing(Wire()) as wire:
            if dial is None:
                client = raw.dial(gateway.ports[number])
                client.sendall(asked)
            else:
                client = dial(gateway.ports[number], asked)
            with closing(client):
                assert raw.entered6(client) == (0, b"")
                code, _, _, answered = raw.replied6(client)
                assert code == 0
                found: dict[str, Any] = {"told": told(answered)}
                found["syn"] = wire.first(self.port)
                found["echo"] = raw.exactly(client, 10).decode()
                found["near"] = taken(client)
        until(lambda: len(gateway.journal("end")) > before)
        found["sent"] = gateway.journal("end")[-1]["sent"]
        return found

    def changed(self, gateway: Running) -> Any:
        """
        Reload while a SYN with octets is not answered: a header is to be before them.

        @return: what the SYN carries, what the client is answered, what is recorded.
        """
        asked = raw.request6("127.0.0.1", self.port, options=option(0)) + b"0123456789"
        self._listening.setsockopt(
            socket.SOL_SOCKET,
            ATTACH_FILTER,
            struct.pack("HP", 1, addressof(NOTHING)),
        )
        with closing(Wire()) as wire, closing(raw.dial(gateway.ports[0])) as client:
            client.sendall(asked)
            assert raw.entered6(client) == (0, b"")
            found = wire.first(self.port)
            before = len(gateway.journal("end"))
            self.rewrite(gateway, 'id = "all"', 'id = "all"\nproxy_header = "v1"')
            until(lambda: len(gateway.journal("end")) > before)
            code = client.recv(2)[1]
        end = gateway.journal("end")[-1]
        return found, code, end["reason"], end["sent"]

    def rewrite(self, gateway: Running, before: str, after: str) -> None:
        """Change the configuration, and wait until the gateway has it."""
        written = self.directory / "gw.toml"
        count = gateway.log.count("reloaded:")
        written.write_text(written.read_text().replace(before, after))
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: gateway.log.count("reloaded:") > count)

    def bounded(self, gateway: Running) -> Any:
        """CONNECT of a client with a quota of four octets: what the SYN carries."""
        asked = raw.request6("127.0.0.1", self.port, options=option(0)) + b"0123456789"
        with closing(Wire()) as wire, closing(socket.socket()) as client:
            client.settimeout(20)
            client.bind(("127.0.0.9", 0))
            client.connect(("127.0.0.1", gateway.ports[0]))
            client.sendall(asked)
            assert raw.entered6(client) == (0, b"")
            assert raw.replied6(client)[0] == 0
            found = wire.first(self.port)
        until(lambda: gateway.journal("end")[-1]["reason"] == "quota")
        return found, gateway.journal("end")[-1]["sent"]


def asked(
    edge: Running, port: int, source: str = "127.0.0.1"
) -> tuple[int, socket.socket]:
    """CONNECT by SOCKS 5: the reply, and the connection."""
    client = raw.dial(edge.ports[0], source=(source, 0))
    client.sendall(b"\5\1\0" + raw.request5("127.0.0.1", port))
    assert raw.exactly(client, 2) == b"\5\0"
    return raw.reply5(client)[0], client


def through(world: World, gateway: Running) -> Iterator[tuple[str, Any]]:
    """
    Yield what comes of connections by an upstream: what its SYN carries, and the rest.
    """
    directory = Path(tempfile.mkdtemp(prefix="fastopen"))
    both = gateway.ports[list(LISTENERS).index("both")]
    written = EDGE.replace("BOTH", str(both)).replace("PORT", str(world.port))
    written = written.replace("DIRECTORY", str(directory))
    edge = Running(directory, written).ready()
    try:
        for name in ("through", "through off"):
            with closing(Wire()) as wire:
                code, client = asked(edge, world.port)
                with closing(client):
                    client.sendall(TEN)
                    echo = raw.exactly(client, len(TEN)).decode()
                yield name, (code, wire.first(both), echo)
            SWITCH.write_text("2")
        SWITCH.write_text("3")
        with closing(Wire()) as wire:
            asked(edge, 3)[1].close()
            yield "through tls", wire.first(world.port)
        with closing(Wire()) as wire:
            for port in (2, 4, 5, 7):
                asked(edge, port)[1].close()
            yield "through away", wire.first(AWAY)
        yield (
            "through whom",
            [raw.end(edge, port)["reason"] for port in (2, 3, 4, 5, 7)],
        )
        yield "session", inSession(world, edge, both)
        refused = gateway.journal("login-failed")
        yield "session refused", [each["reason"] for each in refused]
        edge.healthy()
    finally:
        edge.kill()
        print(edge.log, file=sys.stderr)
    lines = edge.log.splitlines()
    yield "through told", [x for x in lines if "TCP_FASTOPEN_CONNECT is refused" in x]


def inSession(world: World, edge: Running, both: int) -> Any:
    """
    Make some requests of one session with the upstream.

    In between, another program of this host spends tokens: one that is spent, as if the
    network had delivered a SYN again, and the one that is the next.

    @return: C{each}: what comes back of each, and the SYN of its connection; C{spent}:
        what the other program is told; C{after}: the next request, and its two SYNs;
        C{known}: what is known of the upstream then.
    """
    found: dict[str, Any] = {"each": [], "spent": []}
    for _ in range(4):
        with closing(Wire()) as wire:
            code = inTurn(world, edge)
            found["each"].append([code, wire.first(both)])
    *before, _, _, _, token = found["each"][-1][1].encode("latin-1")
    for number in (token, token + 1):
        with closing(raw.dial(both)) as client:
            client.sendall(bytes((*before, 0, 0, 0, number)))
            kind, options = raw.entered6(client)
            found["spent"].append([kind, options.hex()])
            if kind == 0:
                assert raw.replied6(client)[0] == 0
    with closing(Wire()) as wire:
        code = inTurn(world, edge)
        found["after"] = [code, wire.first(both), wire.first(both)]
    found["known"] = known(edge, "session", 5)
    return found


def inTurn(world: World, edge: Running) -> int:
    """Return the reply to a client of the session, whose octets come back."""
    code, client = asked(edge, world.port, ANOTHER)
    with closing(client):
        if code == 0:
            client.sendall(TEN)
            assert raw.exactly(client, len(TEN)) == TEN
    return code


def known(edge: Running, upstream: str, opened: int) -> list[str]:
    """Return what metrics tell of an upstream's failures, when it has opened so many."""
    admin = AdminClient(edge.directory / "admin.sock")

    def told() -> list[str]:
        lines = admin.ask("/metrics").octets.decode().splitlines()
        of = [each for each in lines if f'upstream="{upstream}"' in each]
        counts = [float(each.split()[-1]) for each in of if "_opened_total" in each]
        return of if counts == [opened] else []

    return [each for each in until(told) if "_failed_total" in each]


class _Echo(Protocol):
    """Takes ten octets."""

    def __init__(self) -> None:
        self.came = b""
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.came += data
        if len(self.came) == len(TEN):
            self.done.callback(self.came)


def programmed(world: World, gateway: Running) -> Any:
    """What the SYN of a Twisted program carries, and what comes back."""
    both = gateway.ports[list(LISTENERS).index("both")]
    found = []

    async def run(reactor: Any) -> None:
        way = overFastOpen(reactor, "127.0.0.1", both)
        endpoint = SocksClientEndpoint(
            reactor, "127.0.0.1", world.port, way, version=6, initial=TEN
        )
        protocol = await endpoint.connect(Factory.forProtocol(_Echo))
        found.append((await protocol.done).decode())
        protocol.transport.loseConnection()

    with closing(Wire()) as wire:
        with suppress(SystemExit):
            react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
        return *found, wire.first(both)


def listened(gateway: Running, options: bytes) -> list[bool]:
    """BIND, and a peer with octets in its SYN: whether they were taken, and the rest."""
    found = []
    for _ in range(2):
        with closing(raw.dial(gateway.ports[0])) as client:
            client.sendall(raw.request6("127.0.0.1", 0, 2, options))
            assert raw.entered6(client) == (0, b"")
            code, _, port, answered = raw.replied6(client)
            assert (code, told(answered)) == (0, 0 if options else None)
            with closing(begun(("127.0.0.1", port), b"hello")) as peer:
                raw.replied6(client)
                assert raw.exactly(client, 5) == b"hello"
                found.append(taken(peer))
    return found


def tried(world: World, found: dict[str, Any]) -> None:
    """Try everything where the kernel does all of it, and at last where it does not."""
    with world.gateway() as gateway:
        # The first connection has no cookie yet, and gets one.
        found["first"] = world.connected(gateway, "usual", option(0))
        found["all"] = world.connected(gateway, "usual", option(0))
        found["three"] = world.connected(gateway, "usual", option(3))
        found["unasked"] = world.connected(gateway, "usual", b"")
        found["not allowed"] = world.connected(gateway, "none", option(0))
        found["looked at"] = world.connected(gateway, "looking", option(0))
        found["bounded"] = world.bounded(gateway)

        def dial(port: int, octets: bytes) -> socket.socket:
            return begun(("127.0.0.1", port), octets)

        found["near off"] = world.connected(gateway, "usual", option(0), dial)
        found["near on"] = world.connected(gateway, "both", option(0), dial)
        found["bind"] = listened(gateway, option(0))
        found["bind unasked"] = listened(gateway, b"")
        found.update(through(world, gateway))
        found["program"] = programmed(world, gateway)
        world.rewrite(gateway, "fast_open = true", "")
        found["near off again"] = world.connected(gateway, "both", option(0), dial)
        SWITCH.write_text("0")
        found["off"] = world.connected(gateway, "usual", option(0))
        SWITCH.write_text("3")
        found["changed"] = world.changed(gateway)
        found["log"] = gateway.log
        found["port"] = world.port


def main() -> None:
    """Do everything in order, and print what has come of it."""
    found: dict[str, Any] = {}
    world = World()
    SWITCH.write_text("3")
    subprocess.run(
        [program("nft", "nftables"), "-f", "-"], input=REJECTED, text=True, check=True
    )
    tried(world, found)
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
