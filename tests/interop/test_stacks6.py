"""
Stack options of SOCKS 6 (section 8.1) with a real gateway, and the packets that leave it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from socksgw.wire import stacks as wire
from socksgw.wire.stacks import Leg, Stack
from tests.live import raw
from tests.live.names import A, NameServer, a, answer
from tests.live.restarts import Restarted, restarted
from tests.live.running import LOOPBACK, Running
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

CONFIGURATION = (
    """
[[listen]]
name = "free"
address = ["127.0.0.1:0"]
protocols = ["socks6", "socks5"]
stack = ["tos", "ttl", "no-fragmentation", "happy-eyeballs", "multipath"]
[[listen]]
name = "usual"
address = ["127.0.0.1:0"]
protocols = ["socks6"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "all"
allow = ["connect", "bind"]
"""
    + LOOPBACK
)
#: The legs, and levels with codes (section 8.1).
NEAR, FAR, BOTH = 1, 2, 3
TOS, EYEBALLS, TTL, WHOLE = (1, 1), (1, 2), (1, 3), (1, 4)
TFO, MULTIPATH, BACKLOG = (4, 1), (4, 2), (4, 3)
NO, YES = 1, 2
IPPROTO_MPTCP = 262


def option(leg: int, which: tuple[int, int], value: int) -> bytes:
    """A Stack option whose value is an octet."""
    level, code = which
    return bytes((0, 1, 0, 8, leg << 6 | level, code, value, 0))


class Packet(NamedTuple):
    """What a header of IPv4 says (RFC 791 section 3.1)."""

    tos: int
    ttl: int
    whole: bool


class Wire:
    """What goes over the loopback device from or to one port of TCP."""

    #: BPF_LDX | BPF_MSH of the length of the header, the ports behind it, and the
    #: answers (linux/filter.h): others fill the buffer else.
    FILTER = (
        (0xB1, 0, 0, 0), (0x48, 0, 0, 2), (0x15, 2, 0, None), (0x48, 0, 0, 0),
        (0x15, 0, 1, None), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
    )  # fmt: skip

    def __init__(self, port: int) -> None:
        octets = b"".join(
            struct.pack("HBBI", code, yes, no, port if value is None else value)
            for code, yes, no, value in self.FILTER
        )
        kept = ctypes.create_string_buffer(octets)
        program = struct.pack("HL", len(self.FILTER), ctypes.addressof(kept))
        # Without a protocol nothing comes before the filter is there.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
        self._socket.bind(("lo", 0x0800))
        self._socket.settimeout(20)

    def first(self, source: int = 0, destination: int = 0) -> Packet:
        """Return the first packet from now on that has such ports."""
        while True:
            octets = self._socket.recv(65536)
            head = (octets[0] & 15) * 4
            near, far = (
                int.from_bytes(octets[head + i : head + i + 2]) for i in (0, 2)
            )
            if octets[9] == 6 and source in (0, near) and destination in (0, far):
                return Packet(octets[1], octets[8], bool(octets[6] & 0x40))

    def close(self) -> None:
        self._socket.close()


def _two(name: str, kind: int, before: int, query: bytes) -> bytes:
    """Two addresses of each name; at the first one nobody listens."""
    records = [a("127.9.9.9"), a("127.0.0.1")] if kind == A else []
    return answer(query, *records)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    """One whose first listener lets clients choose all, and the second the usual."""
    with NameServer(_two) as server:
        text = f'[resolver]\nservers = ["127.0.0.1:{server.port}"]\n{CONFIGURATION}'
        with restarted(tmp_path_factory.mktemp("stacks"), text) as made:
            yield made


class Echo(NamedTuple):
    """
    What clients reach.

    @ivar wire: what comes there.
    """

    port: int
    wire: Wire


@pytest.fixture
def echoing(destination: Callable[..., Destination]) -> Iterator[Echo]:
    port = destination(echo).port
    with closing(Wire(port)) as wire:
        yield Echo(port, wire)


def granted(
    port: int, request: bytes, behind: bytes = b""
) -> tuple[Any, dict[tuple[int, ...], int]]:
    """Ask; return the connection, and what the client is told of the stacks."""
    client = raw.dial(port)
    client.sendall(request + behind)
    assert raw.entered6(client) == (0, b"")
    code, _, _, options = raw.replied6(client)
    assert code == 0
    return client, read(options)


def answered(port: int, request: bytes) -> tuple[int, dict[tuple[int, ...], int]]:
    """Ask; return the reply code, and what the client is told of the stacks."""
    with closing(raw.dial(port)) as client:
        client.sendall(request)
        assert raw.entered6(client) == (0, b"")
        code, _, _, options = raw.replied6(client)
    return code, read(options)


def read(options: bytes) -> dict[tuple[int, ...], int]:
    """Return the Stack options of a reply."""
    told: dict[tuple[int, ...], int] = {}
    for at in range(0, len(options), 8):
        assert options[at : at + 4] == b"\0\1\0\x08"
        what, number, value, rest = options[at + 4 : at + 8]
        if (what & 63, number) in (TFO, BACKLOG):
            value = value << 8 | rest
        told[what >> 6, what & 63, number] = value
    return told


ASKED = (
    option(FAR, TOS, 0x28)
    + option(FAR, TTL, 9)
    + option(FAR, WHOLE, NO)
    + option(NEAR, TOS, 0x48)
    + option(NEAR, TTL, 33)
)


def test_chosen(gateway: Running, echoing: Echo) -> None:
    """
    Packets of both sides are as they were wanted, from the first on, and the client is
    told so. An unknown option is ignored, as is 16, Resolution Request: the draft has
    that number in its list alone (IANA Considerations).
    """
    unknown = b"\xfb\xff\0\x08what\0\x10\0\x04"
    options = ASKED + option(FAR, (1, 99), 7) + unknown
    asked = raw.request6("127.0.0.1", echoing.port, options=options)
    client, told = granted(gateway.ports[0], asked, b"hello")
    with closing(client):
        assert echoing.wire.first(destination=echoing.port) == (0x28, 9, False)
        assert told == {
            (FAR, *TOS): 0x28, (FAR, *TTL): 9, (FAR, *WHOLE): NO,
            (NEAR, *TOS): 0x48, (NEAR, *TTL): 33,
        }  # fmt: skip
        assert raw.exactly(client, 5) == b"hello"
        with closing(Wire(client.getsockname()[1])) as later:
            client.sendall(b"again")
            found = later.first(gateway.ports[0], client.getsockname()[1])
            assert found[:2] == (0x48, 33)


def test_refused(gateway: Running) -> None:
    """
    A reply that refuses tells how the stacks were: a TTL that expired was the client's.
    """
    with closing(socket.socket()) as nobody:
        # Bound, and nobody listens.
        nobody.bind(("127.0.0.1", 0))
        asked = raw.request6("127.0.0.1", nobody.getsockname()[1], options=ASKED)
        code, told = answered(gateway.ports[0], asked)
    assert (code, told) == (
        5,
        {
            (FAR, *TOS): 0x28, (FAR, *TTL): 9, (FAR, *WHOLE): NO,
            (NEAR, *TOS): 0x48, (NEAR, *TTL): 33,
        },
    )  # fmt: skip


def test_denied(gateway: Running) -> None:
    """What a rule denies has no connection whose stack there is to tell."""
    asked = raw.request6("192.0.2.1", 0xFFFF, options=ASKED)
    assert answered(gateway.ports[0], asked) == (2, {})


def test_both(gateway: Running, destination: Callable[..., Destination]) -> None:
    """One option can be for both sides; each is told."""
    port = destination(echo).port
    options = option(BOTH, TTL, 77) + option(BOTH, WHOLE, YES)
    client, told = granted(
        gateway.ports[0], raw.request6("127.0.0.1", port, options=options)
    )
    client.close()
    assert told == {(leg, *TTL): 77 for leg in (NEAR, FAR)} | {
        (leg, *WHOLE): YES for leg in (NEAR, FAR)
    }


def test_notAllowed(gateway: Running, echoing: Echo) -> None:
    """What the operator does not allow stays as it is, and that is what is told."""
    port = echoing.port
    usual = int(Path("/proc/sys/net/ipv4/ip_default_ttl").read_text())
    client, told = granted(
        gateway.ports[1], raw.request6("127.0.0.1", port, options=ASKED)
    )
    client.close()
    assert echoing.wire.first(destination=port)[:2] == (0, usual)
    assert told == {
        (FAR, *TOS): 0, (FAR, *TTL): usual, (FAR, *WHOLE): NO,
        (NEAR, *TOS): 0, (NEAR, *TTL): usual,
    }  # fmt: skip


def named(port: int, options: bytes) -> bytes:
    """A request for a name, which has two addresses."""
    head = b"\x06\x01" + len(options).to_bytes(2, "big") + port.to_bytes(2, "big")
    return head + b"\0\x03\x0btwo.example" + options


@pytest.mark.parametrize("wanted", [NO, YES])
def test_happyEyeballs(
    gateway: Running, destination: Callable[..., Destination], wanted: int
) -> None:
    """Whether the addresses of a name are tried at once; of an address nothing is said."""
    port = destination(echo).port
    client, told = granted(
        gateway.ports[0], named(port, option(FAR, EYEBALLS, wanted)), b"hello"
    )
    with closing(client):
        assert told == {(FAR, *EYEBALLS): wanted}
        assert raw.exactly(client, 5) == b"hello"
    asked = raw.request6("127.0.0.1", port, options=option(FAR, EYEBALLS, wanted))
    client, told = granted(gateway.ports[0], asked)
    client.close()
    assert told == {}


@pytest.mark.parametrize("listener", [0, 1])
@pytest.mark.parametrize("speaks", [True, False])
def test_multipath(gateway: Running, listener: int, speaks: bool) -> None:
    """
    MPTCP (RFC 8684) where it is wanted and allowed, and the destination has it: the
    client is told whether the connection is one.
    """
    with ExitStack() as stack:
        served = stack.enter_context(
            closing(
                socket.socket(
                    socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP if speaks else 0
                )
            )
        )
        served.bind(("127.0.0.1", 0))
        served.listen()
        asked = raw.request6(
            "127.0.0.1", served.getsockname()[1], options=option(FAR, MULTIPATH, YES)
        )
        client, told = granted(gateway.ports[listener], asked, b"hello")
        stack.enter_context(closing(client))
        peer = stack.enter_context(closing(served.accept()[0]))
        assert raw.exactly(peer, 5) == b"hello"
        peer.sendall(b"there")
        assert raw.exactly(client, 5) == b"there"
        assert told == {(FAR, *MULTIPATH): YES if speaks and not listener else NO}


def test_restart(gateway: Restarted, echoing: Echo) -> None:
    """Sessions move to another process as they are: their sockets have all of it."""
    with ExitStack() as stack:
        served = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        stack.enter_context(closing(served)).bind(("127.0.0.1", 0))
        served.listen()
        clients = []
        for port, options in (
            (echoing.port, ASKED),
            (served.getsockname()[1], option(FAR, MULTIPATH, YES)),
        ):
            asked = raw.request6("127.0.0.1", port, options=options)
            client, _ = granted(gateway.ports[0], asked, b"hello")
            clients.append(stack.enter_context(closing(client)))
        peer = stack.enter_context(closing(served.accept()[0]))
        assert raw.exactly(peer, 5) == raw.exactly(clients[0], 5) == b"hello"
        before = gateway.pid
        gateway.restart()
        # Nothing is left there.
        assert gateway.over(before) == 0
        with closing(Wire(echoing.port)) as later:
            clients[0].sendall(b"again")
            found = later.first(destination=echoing.port)
            assert found == (0x28, 9, False)
        assert raw.exactly(clients[0], 5) == b"again"
        clients[1].sendall(b"again")
        assert raw.exactly(peer, 5) == b"again"
        peer.sendall(b"there")
        assert raw.exactly(clients[1], 5) == b"there"


def test_backlog(gateway: Running) -> None:
    """BIND has one peer: the backlog is 0 (section 8.1.7), and all else is as usual."""
    backlog = bytes((0, 1, 0, 8, FAR << 6 | 4, 3, 0, 9))
    asked = raw.request6("127.0.0.1", 0, 2, options=backlog)
    client, told = granted(gateway.ports[0], asked)
    client.close()
    assert told == {(FAR, *BACKLOG): 0}


#: A program that asks for a TOS, by our own client.
PROGRAM = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import react
from socksgw.client.endpoint import SocksClientEndpoint
from socksgw.wire.stacks import TOS, Leg, Stack

async def main(reactor, gateway, port):
    proxy = HostnameEndpoint(reactor, "127.0.0.1", int(gateway))
    endpoint = SocksClientEndpoint(
        reactor, "127.0.0.1", int(port), proxy, version=6,
        stack=[Stack(Leg.REMOTE, TOS, 0x68)], stacked=print,
    )
    connected = await connectProtocol(endpoint, Protocol())
    connected.transport.loseConnection()

react(lambda reactor, *a: Deferred.fromCoroutine(main(reactor, *a)), sys.argv[1:])
"""


def test_ourClient(gateway: Running, echoing: Echo) -> None:
    """C{SocksClientEndpoint(…, stack=…)} says what is wanted, and is told what is."""
    port = echoing.port
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(gateway.ports[0]), str(port)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{(Stack(Leg.REMOTE, wire.TOS, 0x68),)}\n"
    assert echoing.wire.first(destination=port).tos == 0x68
    until(lambda: gateway.journal("end"))
