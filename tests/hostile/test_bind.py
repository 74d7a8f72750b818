"""
BIND against a running gateway: two replies, one listener, one peer.
"""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.live.clients import (
    descriptorsFor,
    exactly,
    four,
    isClosed,
    opened,
    reset,
    six,
)
from tests.live.datagrams import (
    asking,
    associate,
    letIn,
    replied,
    tcpListeners,
)
from tests.live.names import A, NameServer, a, answer
from tests.live.running import LOOPBACK, ROOT, Running, running, settled
from tests.live.servers import freePorts
from tests.tools.waiting import until

LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6"]
"""
#: The versions whose two replies say the same.
VERSIONS = pytest.mark.parametrize("version", [5, 6])
ENTRY = """
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
"""
RULES = """
[[rule]]
id = "no-nine"
deny = ["bind"]
to = ["127.0.0.9"]
[[rule]]
id = "high-ports"
allow = ["bind"]
to = ["127.0.0.4"]
ports = ["40000-65535"]
[[rule]]
id = "low-ports"
deny = ["bind"]
to = ["127.0.0.4"]
[[rule]]
id = "bind"
allow = ["bind"]
to = ["127.0.0.0/8", "::1"]
"""
ANYBODY = """
[[rule]]
id = "anybody"
allow = ["bind"]
to = ["0.0.0.0"]
"""
TEXT = LISTEN + ENTRY + LOOPBACK + RULES

Place = tuple[str, int]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for the tests that change nothing of it."""
    serving = running(tmp_path_factory.mktemp("bind") / "gateway", TEXT)
    gateway = next(serving)
    yield gateway
    until(lambda: len(tcpListeners(gateway)) == 1)
    assert list(serving) == []


def bind(
    port: int, host: str = "127.0.0.1", version: int = 5
) -> tuple[socket.socket, Place]:
    """A client that waits for a peer; where the peer shall connect."""
    target = six(host) if ":" in host else four(host)
    client, (code, bound, number) = associate(port, target, 0, 2, version=version)
    if code:
        client.close()
    assert code == 0
    return client, (bound, number)


def peerTo(place: Place, source: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Somebody who connects there."""
    return socket.create_connection(place, 20, (source, port))


def isRefused(place: Place) -> bool:
    """Whether nobody listens there any more."""
    try:
        peerTo(place).close()
    except ConnectionRefusedError:
        return True
    return False


def isTurnedAway(stranger: socket.socket) -> bool:
    """Whether the connection ends without an octet."""
    stranger.settimeout(20)
    try:
        return stranger.recv(100) == b""
    except ConnectionResetError:
        return True


def lines(gateway: Running, event: str, place: Place) -> list[dict[str, Any]]:
    """The lines of the BIND that had its listener there."""
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    bound = f"{host}:{place[1]}"
    return [line for line in gateway.journal(event) if line["bound"] == bound]


@VERSIONS
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_twoReplies(shared: Running, host: str, version: int) -> None:
    """
    RFC 1928 section 6: first where to connect, then who did; then octets both
    ways, with half-close, and both addresses are in the journal.
    """
    up, down = random.Random(1).randbytes(3 << 20), random.Random(2).randbytes(3 << 20)
    client, place = bind(shared.port, host, version)
    with closing(client):
        assert place[0] == host
        with peerTo(place, host) as peer:
            who = peer.getsockname()[:2]
            assert replied(client) == (0, *who)
            came: list[bytes] = []
            reading = threading.Thread(target=lambda: came.append(_all(client)))
            reading.start()
            writing = threading.Thread(target=lambda: _send(client, up))
            writing.start()
            peer.settimeout(20)
            _send(peer, down)
            assert hashlib.sha256(_all(peer)).digest() == hashlib.sha256(up).digest()
            for thread in (reading, writing):
                thread.join(20)
            assert came == [down]
    (line,) = lines(shared, "peer", place)
    shown = f"[{host}]" if ":" in host else host
    assert line["address"] == f"{shown}:{who[1]}"
    (end,) = until(lambda: lines(shared, "end", place))
    assert (end["address"], end["reason"]) == (host, "closed")
    assert (end["sent"], end["received"]) == (len(up), len(down))


def _send(connection: socket.socket, octets: bytes) -> None:
    connection.sendall(octets)
    connection.shutdown(socket.SHUT_WR)


def _all(connection: socket.socket) -> bytes:
    found = bytearray()
    while octets := connection.recv(1 << 16):
        found += octets
    return bytes(found)


def test_boundToOneAddress(shared: Running) -> None:
    """Not to every address of the host."""
    client, (host, port) = bind(shared.port, "127.0.0.3")
    with closing(client), socket.socket() as probe:
        with pytest.raises(OSError, match="in use"):
            probe.bind((host, port))
        # Were it every address, this would be in use, too.
        probe.bind(("127.0.0.77", port))


@VERSIONS
def test_onlyTheAnnouncedPeer(shared: Running, version: int) -> None:
    """
    Strangers are closed without an octet, whatever they send; the right one
    still gets in, and after it nobody.
    """
    client, place = bind(shared.port, "127.0.0.3", version)
    with closing(client):
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.30"):
            with peerTo(place, source) as stranger:
                assert isTurnedAway(stranger)
        assert not isClosed(client)
        client.setblocking(True)
        client.settimeout(20)
        with peerTo(place, "127.0.0.3") as peer:
            code, host, port = replied(client)
            assert (code, host, port) == (0, *peer.getsockname())
            assert isRefused(place)
            peer.sendall(b"peer")
            assert exactly(client, 4) == b"peer"
    assert len(lines(shared, "peer", place)) == 1
    (end,) = until(lambda: lines(shared, "end", place))
    assert end["strangers"] == 3


def test_strangersWhoRaceForThePort(shared: Running) -> None:
    """
    Many, all the time, before the right one comes: they get nothing, and it
    gets in.
    """
    client, place = bind(shared.port, "127.0.0.3")
    ending = threading.Event()
    got: list[bytes] = []
    tries: list[int] = []

    def race(source: str) -> None:
        count = 0
        while not ending.is_set():
            try:
                with peerTo(place, source) as stranger:
                    stranger.settimeout(1)
                    stranger.sendall(b"let me in")
                    if octets := stranger.recv(100):
                        got.append(octets)
            except OSError:
                if isinstance(sys.exception(), ConnectionRefusedError):
                    break
            count += 1
        tries.append(count)

    racers = [
        threading.Thread(target=race, args=(f"127.0.0.{i}",), daemon=True)
        for i in (5, 6, 7, 8)
    ]
    with closing(client):
        for each in racers:
            each.start()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(30)
        # As soon as there is room among the strangers.
        with peerTo(place, "127.0.0.3") as peer:
            assert replied(client) == (0, *peer.getsockname())
            ending.set()
            for each in racers:
                each.join(20)
            peer.sendall(b"peer")
            assert exactly(client, 4) == b"peer"
    assert got == []
    assert sum(tries) > 4


@VERSIONS
def test_thePeerIsJudgedOnItsPort(shared: Running, version: int) -> None:
    """The right address from a port that no rule allows is a stranger's."""
    client, place = bind(shared.port, "127.0.0.4", version)
    with closing(client):
        with peerTo(place, "127.0.0.4", 2000 + random.randrange(20000)) as stranger:
            assert isTurnedAway(stranger)
        with peerTo(place, "127.0.0.4", 40000 + random.randrange(20000)) as peer:
            assert replied(client) == (0, *peer.getsockname())


@pytest.mark.parametrize(
    "target",
    [four("127.0.0.9"), four("0.0.0.0"), six("::"), four("192.0.2.1"), six("fe80::1")],
)
@VERSIONS
def test_whoMayNotBeWaitedFor(shared: Running, target: bytes, version: int) -> None:
    """
    02 and no listener: a denied peer, one that is never allowed, and, where
    no rule names it, anybody.
    """
    client, (code, host, port) = associate(shared.port, target, 0, 2, version=version)
    with closing(client):
        assert (code, host, port) == (2, "0.0.0.0", 0)
        assert exactly(client, 1) == b""
    assert shared.journal("decision")[-1]["verdict"] == "deny"


def test_anybodyWhereARuleSaysSo(gateway: Callable[..., Running]) -> None:
    """
    DST 0.0.0.0: who comes is judged all the same, and the rule that lets the
    peer in bounds the session and stands in its record.
    """
    serving = gateway(TEXT + 'limits = { per = "rule", sessions = 1 }\n' + ANYBODY)
    client, (code, host, port) = associate(serving.port, four("0.0.0.0"), 0, 2)
    with closing(client):
        assert code == 0
        with peerTo((host, port), "127.0.0.9") as denied:
            assert isTurnedAway(denied)
        with peerTo((host, port), "127.0.0.66") as peer:
            assert replied(client) == (0, *peer.getsockname())
            second, place = associate(serving.port, four("0.0.0.0"), 0, 2)
            with closing(second), peerTo(place[1:], "127.0.0.67") as other:
                assert isTurnedAway(other)
    (line,) = lines(serving, "peer", (host, port))
    assert line["rule"] == "bind"
    (end,) = until(lambda: lines(serving, "end", (host, port)))
    assert end["rule"] == "bind"
    assert {line["rule"] for line in serving.journal("decision")} == {"anybody"}


@pytest.mark.parametrize("workers", [1, 2])
def test_anybodyComesFromWhereTheClientConnected(
    gateway: Callable[..., Running], workers: int
) -> None:
    """
    BIND for anybody listens on the side that the client's last connection left
    by (RFC 1928 section 4), whichever worker had it, else on the one that the
    default route leaves by.
    """
    serving = gateway(
        f"[gateway]\nworkers = {workers}\n"
        + TEXT.replace('allow = ["bind"]', 'allow = "any"')
        + ANYBODY
    )
    outside = "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        if probe.connect_ex(("198.41.0.4", 9)) == 0:
            outside = probe.getsockname()[0]
    client, (code, host, port) = associate(serving.port, four("0.0.0.0"), 0, 2)
    with closing(client):
        assert (code, host) == (0, outside)
        with peerTo((host, port), "127.0.0.66") as peer:
            assert replied(client) == (0, *peer.getsockname())
    with socket.create_server(("127.0.0.3", 0)) as server:
        place = four("127.0.0.3"), server.getsockname()[1]
        client, (code, _, _) = associate(serving.port, *place, 1)
        client.close()
        assert code == 0
    by: set[int] = set()

    def asked() -> bool:
        client, (code, host, _) = associate(serving.port, four("0.0.0.0"), 0, 2)
        client.close()
        assert (code, host) == (0, "127.0.0.1")
        by.update(line.get("worker", 1) for line in serving.journal("decision")[-1:])
        return len(by) == workers

    until(asked)


@VERSIONS
def test_octetsBeforeThePeer(shared: Running, version: int) -> None:
    """
    What the client sends behind its request, and behind the first reply,
    reaches the peer first, in order, once.
    """
    with closing(opened(shared.port)) as client:
        client.sendall(asking(version, four("127.0.0.1"), 0, 2) + b"one ")
        letIn(client, version)
        code, host, port = replied(client)
        assert code == 0
        client.sendall(b"two ")
        with peerTo((host, port)) as peer:
            assert replied(client) == (0, *peer.getsockname())
            client.sendall(b"three")
            client.shutdown(socket.SHUT_WR)
            assert _all(peer) == b"one two three"


@VERSIONS
def test_thePeersFirstOctetsComeBehindTheReply(shared: Running, version: int) -> None:
    """A server that talks first (FTP data) is not lost, and not early."""
    client, place = bind(shared.port, version=version)
    with closing(client), peerTo(place) as peer:
        peer.sendall(b"banner")
        peer.shutdown(socket.SHUT_WR)
        assert replied(client) == (0, *peer.getsockname())
        assert _all(client) == b"banner"


def test_nobodyComes(gateway: Callable[..., Running]) -> None:
    """C{timeouts.bind}: the second reply is a failure, and the listener is gone."""
    serving = gateway(TEXT + '[timeouts]\nbind = "1s"\n')
    client, place = bind(serving.port)
    with closing(client):
        code, host, port = replied(client)
        assert code in (1, 4, 6)
        assert (host, port) == ("0.0.0.0", 0)
        assert exactly(client, 1) == b""
        assert isRefused(place)
    (end,) = until(lambda: lines(serving, "end", place))
    assert end["reason"] == "bind-timeout"
    client6, _ = bind(serving.port, version=6)
    with closing(client6):
        # Section 7 of the draft: 09 is an attempt that timed out.
        assert replied(client6) == (9, "0.0.0.0", 0)
        assert exactly(client6, 1) == b""
    with closing(opened(serving.port)) as client4:
        client4.sendall(b"\x04\x02\0\0\x7f\0\0\x01\0")
        assert exactly(client4, 2) == b"\0\x5a"
        exactly(client4, 6)
        assert exactly(client4, 8) == b"\0\x5b" + bytes(6)
        assert exactly(client4, 1) == b""


# SOCKS 4 and 4a.


def bind4(port: int, octets: bytes) -> tuple[socket.socket, int, str, int]:
    """A SOCKS 4 client, and the CD, DSTIP and DSTPORT of its first reply."""
    client = opened(port)
    client.sendall(octets)
    return (client, *reply4(client))


def reply4(client: socket.socket) -> tuple[int, str, int]:
    """CD, DSTIP and DSTPORT of a reply."""
    octets = exactly(client, 8)
    assert len(octets) == 8
    assert octets[0] == 0
    host = socket.inet_ntop(socket.AF_INET, octets[4:])
    return octets[1], host, int.from_bytes(octets[2:4], "big")


def test_socks4(shared: Running) -> None:
    """Two replies of eight octets; DSTPORT is not the wanted port."""
    client, code, host, port = bind4(shared.port, b"\x04\x02\0\x15\x7f\0\0\x03me\0")
    with closing(client):
        assert (code, host) == (90, "127.0.0.1")
        with peerTo((host, port), "127.0.0.2") as stranger:
            assert isTurnedAway(stranger)
        with peerTo((host, port), "127.0.0.3") as peer:
            assert reply4(client) == (90, *peer.getsockname())
            peer.sendall(b"x")
            assert exactly(client, 1) == b"x"


@pytest.mark.parametrize(
    "octets",
    [b"\x04\x02\0\x15\x7f\0\0\x09\0", b"\x04\x02\0\x15\0\0\0\0\0"],
    ids=["denied", "anybody"],
)
def test_socks4Denied(shared: Running, octets: bytes) -> None:
    """91, zeros, and the end."""
    client, code, host, port = bind4(shared.port, octets)
    with closing(client):
        assert (code, host, port) == (91, "0.0.0.0", 0)
        assert exactly(client, 1) == b""


def test_names(gateway: Callable[..., Running]) -> None:
    """
    SOCKS 4a and 5: whoever the name leads to, resolved by the gateway. A 4a
    client is told of an IPv4 listener, for it can be told of no other.
    """

    def script(name: str, kind: int, before: int, query: bytes) -> bytes:
        if kind == A:
            return answer(query, a("127.0.0.3"))
        loopback6 = b"\xc0\x0c\0\x1c\0\x01\0\0\0\0\0\x10" + bytes(15) + b"\x01"
        return answer(query, loopback6)

    with NameServer(script) as names:
        servers = f'[resolver]\nservers = ["{names.place}"]\n'
        serving = gateway(TEXT + servers)
        octets = b"\x04\x02\0\x15\0\0\0\x01me\0both.example\0"
        client, code, host, port = bind4(serving.port, octets)
        with closing(client):
            assert (code, host) == (90, "127.0.0.1")
            assert port != 0
            with peerTo((host, port), "127.0.0.2") as stranger:
                assert isTurnedAway(stranger)
            with peerTo((host, port), "127.0.0.3") as peer:
                assert reply4(client) == (90, *peer.getsockname())
        literal = b"\x04\x02\0\x15\0\0\0\x01me\x00127.0.0.3\0"
        client, code, host, port = bind4(serving.port, literal)
        with closing(client), peerTo((host, port), "127.0.0.3") as peer:
            assert reply4(client) == (90, *peer.getsockname())


# Where.


def test_portsAndAdvertise(gateway: Callable[..., Running]) -> None:
    """
    C{listen.udp} is for BIND, too: ports of the range, the advertised address
    in the reply and in the journal; without a free port 01.
    """
    first = freePorts(2)
    place = (
        f'[listen.udp]\nports = "{first}-{first + 1}"\nports_per_source = 2\n'
        'advertise = "198.51.100.7"\n'
    )
    serving = gateway(LISTEN + place + ENTRY + LOOPBACK + RULES)
    with ExitStack() as stack:
        taken = set()
        for _ in range(2):
            client, (host, port) = bind(serving.port)
            stack.enter_context(closing(client))
            assert host == "198.51.100.7"
            taken.add(port)
        assert taken == {first, first + 1}
        client, (code, host, port) = associate(serving.port, four("127.0.0.1"), 0, 2)
        stack.enter_context(closing(client))
        assert (code, host, port) == (1, "0.0.0.0", 0)
        peer = stack.enter_context(peerTo(("127.0.0.1", first)))
        peer.sendall(b"x")
        line = until(lambda: serving.journal("peer"))[0]
        assert line["bound"] == f"198.51.100.7:{first}"
    until(lambda: len(tcpListeners(serving)) == 1)


# The end.


@pytest.mark.parametrize("how", ["close", "half", "reset"])
def test_theEndOfTheControlConnection(shared: Running, how: str) -> None:
    """The listener is closed with it, also when only half of it is."""
    client, place = bind(shared.port)
    with closing(client):
        if how == "close":
            client.close()
        elif how == "half":
            client.shutdown(socket.SHUT_WR)
        else:
            reset(client)
        until(lambda: place[1] not in tcpListeners(shared), 5)
        assert isRefused(place)
    (end,) = until(lambda: lines(shared, "end", place))
    assert (end["address"], end["reason"]) == (None, "client-lost")


CLIENT = """
import sys
from tests.live.clients import four
from tests.live.datagrams import associate
client, (code, host, port) = associate(int(sys.argv[1]), four("127.0.0.1"), 0, 2)
print(port, flush=True)
sys.stdin.read()
"""


def test_tooMuchBeforeThePeer(shared: Running) -> None:
    """
    A client that fills the buffer before there is a peer is refused, so that
    its end cannot go unseen; its listener goes with it.
    """
    before = tcpListeners(shared)
    control, (code, _, port) = associate(shared.port, four("127.0.0.1"), 0, 2)
    with closing(control):
        assert code == 0
        assert port in tcpListeners(shared)
        control.sendall(bytes(200_000))
        assert replied(control)[0] == 1
        until(lambda: tcpListeners(shared) == before)


def test_aClientThatIsKilled(shared: Running) -> None:
    """kill -9 of the client: the listener is gone."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(shared.port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        assert port in tcpListeners(shared)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        until(lambda: port not in tcpListeners(shared), 5)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        process.communicate()


def test_aThousandAbandoned(gateway: Callable[..., Running]) -> None:
    """No listener and no descriptor is left of them, and each has its end."""
    with descriptorsFor(6000):
        serving = settled(gateway(TEXT))
        bind(serving.port)[0].close()
        until(lambda: serving.journal("end"))
        until(lambda: len(tcpListeners(serving)) == 1)
        before = serving.sockets
        clients = [bind(serving.port)[0] for _ in range(1000)]
        until(lambda: len(tcpListeners(serving)) == 1001)
        for number, client in enumerate(clients):
            if number % 3 == 0:
                client.close()
            elif number % 3 == 1:
                reset(client)
            else:
                client.shutdown(socket.SHUT_WR)
        until(lambda: len(tcpListeners(serving)) == 1, 30)
        for client in clients:
            client.close()
        until(lambda: serving.sockets <= before, 30)
        until(lambda: len(serving.journal("end")) == 1001)
