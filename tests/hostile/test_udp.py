"""
UDP ASSOCIATE against a running gateway: who owns an association, what may go
out of it, and when it ends.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from tests.live.clients import (
    descriptorsFor,
    exactly,
    four,
    isClosed,
    named,
    opened,
    request5,
    six,
)
from tests.live.datagrams import (
    Association,
    Association6,
    Echo,
    addressed,
    associate,
    letIn,
    replied,
    udpPorts,
)
from tests.live.names import A, NameServer, a, answer
from tests.live.raw import login6, request6
from tests.live.running import LOOPBACK, ROOT, Running, running, settled
from tests.live.servers import freePorts
from tests.tools.waiting import until

LISTEN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0", "127.0.0.5:0", "[::1]:0"]
protocols = ["socks5", "socks6"]
"""
#: Beside the control connection by SOCKS 5, inside it by SOCKS 6: the same holds.
KINDS = pytest.mark.parametrize("kind", [Association, Association6])
ENTRY = """
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
"""
RULES = """
[[rule]]
id = "no-nine"
deny = ["udp"]
to = ["127.0.0.9"]
[[rule]]
id = "addresses"
allow = ["udp"]
to = ["127.0.0.20"]
udp = { replies = "address" }
[[rule]]
id = "anybody"
allow = ["udp"]
to = ["127.0.0.21"]
udp = { replies = "any" }
[[rule]]
id = "udp"
allow = ["udp"]
to = ["127.0.0.0/8", "::1"]
"""
TEXT = LISTEN + ENTRY + LOOPBACK + RULES


def lines(gateway: Running, event: str, port: int) -> list[dict[str, object]]:
    """The lines of the flows to that port."""
    found = gateway.journal(event)
    if event == "flow":
        return [line for line in found if line["port"] == port]
    return [line for line in found if line["address"].endswith(f":{port}")]


def whole(gateway: Running) -> None:
    """
    Each flow that was allowed has one line of its beginning and, as all are
    over, one of its end; each session likewise.
    """
    until(lambda: not udpPorts(gateway))
    flows = [x for x in gateway.journal("flow") if x["verdict"] == "allow"]
    begun = sorted((x["session"], x["port"]) for x in flows)

    def ended() -> list[tuple[int, int]]:
        return sorted(
            (x["session"], int(x["address"].rpartition(":")[2]))
            for x in gateway.journal("flow-end")
        )

    until(lambda: len(ended()) >= len(begun))
    assert ended() == begun
    sessions = [
        x["session"] for x in gateway.journal("decision") if x["verdict"] == "allow"
    ]
    until(lambda: len(gateway.journal("end")) >= len(sessions))
    assert sorted(x["session"] for x in gateway.journal("end")) == sorted(sessions)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for the tests that change nothing of it; its journal is whole."""
    directory = tmp_path_factory.mktemp("udp")
    serving = running(directory / "gateway", TEXT)
    gateway = next(serving)
    yield gateway
    whole(gateway)
    assert list(serving) == []


@pytest.fixture
def server() -> Iterator[Echo]:
    """A server that sends back what comes."""
    with Echo() as made:
        yield made


def test_thereAndBack(shared: Running, server: Echo) -> None:
    """An association, two flows, both recorded with their octets and datagrams."""
    with Association(shared.port) as client, Echo("::1") as six:
        for text in (b"one", b"", b"three"):
            client.echo(server, text)
        client.echo(six, b"other family")
        # What comes on the control connection counts for nothing.
        client.control.sendall(b"\x05\x01\0\x01junk" * 50_000)
        client.echo(server, b"still")
    (flow,) = lines(shared, "flow", server.port)
    assert (flow["verdict"], flow["rule"], flow["command"]) == ("allow", "udp", "udp")
    assert flow["addresses"] == ["127.0.0.1"]
    until(lambda: lines(shared, "flow-end", six.port))
    (end,) = lines(shared, "flow-end", server.port)
    assert (end["sent"], end["sent_datagrams"]) == (13, 4)
    assert (end["received"], end["received_datagrams"]) == (13, 4)
    assert end["reason"] == "closed"
    (end,) = lines(shared, "flow-end", six.port)
    assert end["address"] == f"[::1]:{six.port}"


@pytest.mark.parametrize(
    ("target", "number"),
    [
        # What real clients send as the DST of the request: a hint, no more.
        (four("0.0.0.0"), 0),
        (six("::"), 0),
        (named(b"0"), 40000),
        (four("127.0.0.1"), 0),
        (four("127.0.0.9"), 53),
        (six("::1"), 0),
        (six("2001:db8::1"), 53),
        (named(b"unknown.example"), 53),
        (named(b"not a name"), 1),
        (named(b"127.0.0.1\0x"), 1),
    ],
)
def test_theRequestsDestinationIsAHint(
    shared: Running, server: Echo, target: bytes, number: int
) -> None:
    """Nothing is bound to it, routed by it, refused because of it, or resolved."""
    control, (code, host, port) = associate(shared.port, target, number)
    with closing(control), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        assert (code, host) == (0, "127.0.0.1")
        client.settimeout(20)
        client.sendto(addressed(*server.place) + b"x", (host, port))
        assert client.recv(100) == addressed(*server.place) + b"x"


@pytest.mark.parametrize(
    ("index", "host"), [(0, "127.0.0.1"), (1, "127.0.0.5"), (2, "::1")]
)
def test_whereTheRelayIs(shared: Running, index: int, host: str) -> None:
    """On the address that the control connection came in on, and no other."""
    with socket.create_connection((host, shared.ports[index]), 20) as control:
        control.sendall(b"\x05\x01\x00" + request5(four("0.0.0.0"), 0, 3))
        assert exactly(control, 2) == b"\x05\x00"
        code, bound, port = replied(control)
        assert (code, bound) == (0, host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            with pytest.raises(OSError, match="in use"):
                probe.bind((host, port))
            if family == socket.AF_INET:
                # Were it bound to every address, this would be in use, too.
                probe.bind(("127.0.0.77", port))


def test_anIpv6OnlyDestination(shared: Running) -> None:
    """A client over IPv4 talks to IPv4 and IPv6 in one association, and over IPv6."""
    with Echo("::1") as six, Echo() as four:
        with Association(shared.port) as client:
            client.echo(six, b"6")
            client.echo(four, b"4")
        with socket.create_connection(("::1", shared.ports[2]), 20) as control:
            control.sendall(b"\x05\x01\x00" + request5(b"\x04" + bytes(16), 0, 3))
            assert exactly(control, 2) == b"\x05\x00"
            _, host, port = replied(control)
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client6:
                client6.settimeout(20)
                for each in (four, six):
                    client6.sendto(addressed(*each.place) + b"x", (host, port))
                    assert client6.recv(100) == addressed(*each.place) + b"x"


# Policy.


@KINDS
def test_everyDatagramIsJudged(
    shared: Running, server: Echo, kind: type[Association]
) -> None:
    """
    An allowed flow first, then a forbidden one, many times: nothing of it goes
    out, one line says so, and the first goes on.
    """
    with (
        Echo("127.0.0.9") as forbidden,
        kind(shared.port) as client,
    ):
        client.echo(server, b"allowed")
        for spelling in ("127.0.0.9", b"127.0.0.9", "::ffff:127.0.0.9"):
            for _ in range(20):
                client.send(spelling, forbidden.port, b"forbidden")
        client.echo(server, b"allowed still")
        assert forbidden.came == []
        until(lambda: len(lines(shared, "flow", forbidden.port)) >= 3)
        denied = lines(shared, "flow", forbidden.port)
        # One for each way to spell it, not for each datagram.
        assert len(denied) == 3
        for line in denied:
            assert (line["verdict"], line["rule"]) == ("deny", "no-nine")
            assert line["addresses"] == []
    assert lines(shared, "flow-end", forbidden.port) == []


@KINDS
@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("192.0.2.1", 53),
        ("169.254.169.254", 80),
        ("0.0.0.0", 53),
        ("224.0.0.251", 5353),
        ("255.255.255.255", 67),
        ("ff02::fb", 5353),
        ("::", 53),
        (b"2130706433", 53),
        (b"127.1", 53),
        (b"0x7f000001", 53),
        (b"127.0.0.1\x00.example.com", 53),
        (b"", 53),
        (b"fe80::1%25lo", 53),
        ("127.0.0.1", 0),
    ],
)
def test_destinationsThatAreNone(
    shared: Running, server: Echo, host: str | bytes, port: int, kind: type[Association]
) -> None:
    """Special addresses, spellings of numbers, port 0: denied, and recorded."""
    with kind(shared.port) as client:
        before = len(shared.journal("flow"))
        for _ in range(3):
            client.send(host, port, b"x")
        client.echo(server, b"y")
        denied, allowed = shared.journal("flow")[before:]
        assert (denied["verdict"], allowed["verdict"]) == ("deny", "allow")
        assert denied["port"] == port


def test_withoutARuleThereIsNoAssociation(gateway: Callable[..., Running]) -> None:
    """Denied before anything is bound: 02, and its line."""
    only = '[[rule]]\nid = "tcp"\nallow = ["connect"]\n'
    serving = gateway(LISTEN + ENTRY + LOOPBACK + only)
    control, (code, host, port) = associate(serving.port)
    with closing(control):
        assert (code, host, port) == (2, "0.0.0.0", 0)
        assert exactly(control, 1) == b""
    assert udpPorts(serving) == set()
    control, (code, host, port) = associate(serving.port, version=6)
    with closing(control):
        assert (code, host, port) == (2, "0.0.0.0", 0)
        assert exactly(control, 1) == b""
    for line in serving.journal("decision"):
        assert (line["verdict"], line["command"]) == ("deny", "udp")
    assert len(serving.journal("decision")) == 2


@KINDS
@pytest.mark.parametrize(
    ("host", "newPort", "newAddress"),
    [
        ("127.0.0.1", False, False),
        ("127.0.0.20", True, False),
        ("127.0.0.21", True, True),
    ],
)
def test_repliesAsTheRuleSays(
    shared: Running, host: str, newPort: bool, newAddress: bool, kind: type[Association]
) -> None:
    """
    C{exact} (the default), C{address}, C{any}: of the rule that let the flow
    out; each reply has its true source.
    """
    with Echo(host) as server, kind(shared.port) as client:
        client.echo(server, b"x")
        outer = server.came[0][1]
        for sender, passes in (
            ((host, 0), newPort),
            (("127.0.0.30", server.port), newAddress),
        ):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(sender)
                other.sendto(b"reply", outer)
                if passes:
                    place = other.getsockname()
                    assert client.receive() == addressed(*place) + b"reply"
        client.echo(server, b"y")


@KINDS
def test_names(gateway: Callable[..., Running], kind: type[Association]) -> None:
    """
    A name is looked up once for its flow; what it leads to is judged, and a
    name that leads nowhere allowed goes nowhere.
    """

    def script(name: str, kind: int, before: int, query: bytes) -> bytes:
        where = {"good.example": "127.0.0.1", "bad.example": "127.0.0.9"}.get(name)
        if where is None:
            return answer(query, code=3)
        return answer(query, a(where)) if kind == A else answer(query)

    with NameServer(script) as names, Echo() as server, Echo("127.0.0.9") as bad:
        servers = f'[resolver]\nservers = ["{names.place}"]\n'
        serving = gateway(TEXT + servers)
        with kind(serving.port) as client:
            client.send(b"bad.example", bad.port, b"x")
            client.send(b"none.example", server.port, b"x")
            for number in range(5):
                client.send(b"good.example", server.port, b"%d" % number)
                assert client.receive() == addressed(*server.place) + b"%d" % number
            until(lambda: len(serving.journal("flow")) == 3)
            client.send(b"bad.example", bad.port, b"x")
            client.echo(server, b"literal")
        assert names.asked["good.example", A] == 1
        assert bad.came == []
        whole(serving)
    verdicts = {
        line["asked"]: (line["verdict"], line["addresses"])
        for line in serving.journal("flow")
    }
    assert verdicts == {
        "good.example": ("allow", ["127.0.0.1"]),
        "bad.example": ("deny", []),
        "none.example": ("deny", []),
        "127.0.0.1": ("allow", ["127.0.0.1"]),
    }


# Strangers.


def test_aFloodOfStrangers(shared: Running, server: Echo) -> None:
    """
    100,000 datagrams from another address, before and while the owner talks:
    every one of the owner's comes back, nothing of theirs is relayed, nothing
    is sent to them, and they are counted.
    """
    total = 100_000
    with Association(shared.port) as client, ExitStack() as stack:
        strangers = []
        for number in range(2, 7):
            each = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            each.bind((f"127.0.0.{number}", 0))
            strangers.append(each)
        octets = addressed(*server.place) + b"stranger"
        flooding = threading.Event()

        def flood() -> None:
            for number in range(total):
                strangers[number % 5].sendto(octets, client.place)
                if number == 1000:
                    flooding.set()

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        assert flooding.wait(20)
        rounds = 0
        while thread.is_alive() or rounds < 100:
            client.echo(server, b"%d" % rounds)
            rounds += 1
        thread.join(20)
        client.echo(server, b"last")
        session = shared.journal("flow")[-1]["session"]
        for each in strangers:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(100)
    assert {text for text, _ in server.came} == {
        *(b"%d" % number for number in range(rounds)),
        b"last",
    }
    end = until(lambda: [x for x in shared.journal("end") if x["session"] == session])
    # The network, too, may lose some.
    assert total // 2 < end[0]["strangers"] <= total


@KINDS
def test_strangersOnTheOutside(
    shared: Running, server: Echo, kind: type[Association]
) -> None:
    """Who was not asked gets nothing to the client, and no answer."""
    with kind(shared.port) as client:
        client.echo(server, b"x")
        outer = server.came[0][1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.2", 0))
            for _ in range(500):
                stranger.sendto(b"stranger", outer)
            client.echo(server, b"y")
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(100)


def test_theRelaysOwnPortIsNoDestination(shared: Running, server: Echo) -> None:
    """A datagram to the relay itself is a stranger's when it gets there: no loop."""
    with Association(shared.port) as client:
        inner = addressed(*server.place) + b"loop"
        client.send(*client.place, inner)
        client.echo(server, b"x")
        assert client.silent()
        assert [text for text, _ in server.came] == [b"x"]


# The end.

CLIENT = """
import socket, sys
from tests.live.datagrams import Association, addressed
client = Association(int(sys.argv[1]))
client.send("127.0.0.1", int(sys.argv[2]), b"x")
client.receive()
print(client.place[1], flush=True)
sys.stdin.read()
"""


def test_aClientThatIsKilled(shared: Running, server: Echo, tmp_path: Path) -> None:
    """kill -9 of the client: its sockets are gone soon."""
    until(lambda: not udpPorts(shared))
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(shared.port), str(server.port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        relay = int(process.stdout.readline())
        assert relay in udpPorts(shared)
        assert len(udpPorts(shared)) == 2
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        # A second, and some for a busy machine.
        until(lambda: not udpPorts(shared), 10)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        process.communicate()


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One whose journal waits for the disk, so that requests have to wait."""
    directory = tmp_path_factory.mktemp("slow")
    serving = running(directory / "gateway", TEXT + '[audit]\nsync = "each"\n')
    gateway = next(serving)
    yield gateway
    whole(gateway)
    assert list(serving) == []


@pytest.mark.parametrize(
    "opens",
    [
        *(partial(Association, behind=bytes(n)) for n in (0, 10, 1_000_000)),
        Association6,
    ],
    ids=["0", "10", "1000000", "6"],
)
@pytest.mark.parametrize("how", ["close", "half"])
def test_theEndOfTheControlConnection(
    slow: Running, server: Echo, opens: Callable[[int], Association], how: str
) -> None:
    """
    Closed, or half of it: the association is over, also when much was sent
    behind the request, which counts for nothing. In SOCKS 6 messages stand there.
    """
    shared = slow
    until(lambda: not udpPorts(shared))
    with opens(shared.port) as client:
        client.echo(server, b"x")
        if how == "close":
            client.control.close()
        else:
            client.control.shutdown(socket.SHUT_WR)
        until(lambda: not udpPorts(shared), 5)
        if how == "half":
            until(lambda: isClosed(client.control))


@KINDS
def test_anIdleAssociation(
    gateway: Callable[..., Running], kind: type[Association]
) -> None:
    """C{timeouts.udp_idle}: flows end, then the association and its control."""
    serving = gateway(TEXT + '[timeouts]\nudp_idle = "1s"\n')
    with Echo() as server, kind(serving.port) as client:
        client.echo(server, b"x")
        until(lambda: isClosed(client.control), 20)
        until(lambda: not udpPorts(serving))
    whole(serving)
    assert [x["reason"] for x in serving.journal("flow-end")] == ["idle"]
    assert [x["reason"] for x in serving.journal("end")] == ["idle"]


@KINDS
def test_stoppingTheGateway(
    gateway: Callable[..., Running], kind: type[Association]
) -> None:
    """Each flow has its line of the end also then."""
    serving = gateway(TEXT + '[timeouts]\ndrain = "1s"\n')
    with Echo() as server, kind(serving.port) as client:
        client.echo(server, b"x")
        serving.stop()
    assert len(serving.journal("flow-end")) == 1
    assert len(serving.journal("end")) == 1


# Configuration.


def test_fragments(shared: Running, server: Echo) -> None:
    """Put together by default; a fragment never goes out by itself."""
    with Association(shared.port) as client:
        for frag, text in ((1, b"a"), (2, b"b"), (0x83, b"c")):
            client.send(*server.place, text, frag)
        assert client.receive() == addressed(*server.place) + b"abc"
        for frag in (1, 3, 0x84, 0x80):
            client.send(*server.place, b"x", frag)
        client.echo(server, b"y")
        assert [text for text, _ in server.came] == [b"abc", b"y"]


def test_portsAdvertiseAndFragments(gateway: Callable[..., Running]) -> None:
    """
    C{listen.udp}: the relay is on one of the ports, the reply says the
    advertised address; without a free port 01. Fragments are dropped.
    """
    with ExitStack() as stack:
        first = freePorts(3)
        place = (
            f'[listen.udp]\nports = "{first}-{first + 2}"\nports_per_source = 3\n'
            'advertise = "198.51.100.7"\nfragments = "drop"\n'
        )
        listen = '[[listen]]\nname = "main"\naddress = ["127.0.0.1:0"]\n'
        serving = gateway(listen + place + ENTRY + LOOPBACK + RULES)
        ports = set()
        for _ in range(3):
            control, (code, host, port) = associate(serving.port)
            stack.enter_context(closing(control))
            assert (code, host) == (0, "198.51.100.7")
            ports.add(port)
        assert ports == {first, first + 1, first + 2}
        control, (code, host, port) = associate(serving.port)
        stack.enter_context(closing(control))
        assert (code, host, port) == (1, "0.0.0.0", 0)
        server = stack.enter_context(Echo())
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(20)
        relay = ("127.0.0.1", first)
        client.sendto(addressed(*server.place, 1) + b"x", relay)
        client.sendto(addressed(*server.place, 0x81) + b"x", relay)
        client.sendto(addressed(*server.place) + b"whole", relay)
        assert client.recv(100) == addressed(*server.place) + b"whole"
        assert [text for text, _ in server.came] == [b"whole"]
    bound = {x["bound"] for x in until(lambda: serving.journal("end"))}
    assert all(each is None or each.startswith("198.51.100.7:") for each in bound)


def test_associationsAreLimited(gateway: Callable[..., Running]) -> None:
    """
    As many as the limit for each user, whichever protocol they speak, and not one
    more; who ends one may have another.
    """
    users = """
[auth]
checkers = ["memory:user:password"]
[[auth.choose]]
methods = ["userpass", "none"]
[[limit]]
per = "user"
associations = 3
"""
    serving = gateway(LISTEN + users + LOOPBACK + RULES)
    greetings = {
        "anonymous": (b"\x05\x01\x00", b"\x05\x00"),
        "user": (b"\x05\x01\x02\x01\x04user\x08password", b"\x05\x02\x01\x00"),
    }
    options = {"anonymous": b"", "user": login6("user", "password")}
    versions = cycle((5, 6))

    def ask(user: str) -> tuple[socket.socket, int]:
        control, version = opened(serving.port), next(versions)
        if version == 5:
            said, heard = greetings[user]
            control.sendall(said + request5(four("0.0.0.0"), 0, 3))
            assert exactly(control, len(heard)) == heard
        else:
            control.sendall(request6("0.0.0.0", 0, 3, options[user]))
            letIn(control, 6, user != "anonymous")
        return control, replied(control)[0]

    with ExitStack() as stack:
        for user in greetings:
            controls = []
            for _ in range(3):
                control, code = ask(user)
                stack.callback(control.close)
                controls.append(control)
                assert code == 0
            for _ in range(2):
                control, code = ask(user)
                stack.callback(control.close)
                assert code == 1
            controls.pop().close()
            until(lambda: len(serving.journal("end")) > 0)

            def again() -> bool:
                control, code = ask(user)  # noqa: B023
                stack.callback(control.close)
                return code == 0

            until(again)
    refused = [x for x in serving.journal("decision") if x["verdict"] == "deny"]
    assert {x["rule"] for x in refused} == {"limit"}
    assert {x["protocol"] for x in refused} == {"socks5", "socks6"}


TUNNELS = {0x05: "hev", 0xF3: "gost"}


@pytest.mark.parametrize("allowed", [(), ("hev",), ("gost",), ("hev", "gost")])
def test_udpInsideTcpIsOffUnlessNamed(
    gateway: Callable[..., Running], allowed: tuple[str, ...]
) -> None:
    """C{listen.udp.tunnels}: 07 for each framing that it does not name."""
    names = ", ".join(f'"{name}"' for name in allowed)
    listen = '[[listen]]\nname = "main"\naddress = ["127.0.0.1:0"]\n'
    place = f"[listen.udp]\ntunnels = [{names}]\n"
    serving = gateway(listen + place + ENTRY + LOOPBACK + RULES)
    with Echo() as server:
        address = four("127.0.0.1") + server.port.to_bytes(2, "big")
        frames = {
            # The data's length, 3 and the address's, the address, the data.
            0x05: b"\0\x04" + bytes([3 + len(address)]) + address + b"text",
            # A datagram with the data's length as RSV and FF as FRAG.
            0xF3: b"\0\x04\xff" + address + b"text",
        }
        for command, name in TUNNELS.items():
            control, (code, host, port) = associate(serving.port, command=command)
            with closing(control):
                if name not in allowed:
                    assert code == 7
                    assert exactly(control, 1) == b""
                    continue
                assert (code, host, port) == (0, "0.0.0.0", 0)
                # One at a time, octet by octet, and many at once.
                control.sendall(frames[command])
                assert exactly(control, 14) == frames[command]
                for octet in frames[command]:
                    control.sendall(bytes([octet]))
                assert exactly(control, 14) == frames[command]
                for _ in range(20):
                    control.sendall(frames[command] * 10)
                    assert exactly(control, 140) == frames[command] * 10
    whole(serving)
    ends = serving.journal("flow-end")
    assert [x["sent_datagrams"] for x in ends] == [202] * len(allowed)
    assert [x["received"] for x in ends] == [4 * 202] * len(allowed)


# Many.


def test_aThousandAssociations(gateway: Callable[..., Running]) -> None:
    """Open at once by both protocols, each with its echo; then nothing is left."""
    count = 1000
    with descriptorsFor(6000), ExitStack() as stack:
        serving = settled(gateway(TEXT))
        server = stack.enter_context(Echo())
        before = _settled(serving, server)
        with ExitStack() as clients:
            associations = [
                clients.enter_context(kind(serving.port))
                for _, kind in zip(range(count), cycle((Association, Association6)))
            ]
            for number, client in enumerate(associations):
                client.send(*server.place, b"%d" % number)
            for number, client in enumerate(associations):
                expected = addressed(*server.place) + b"%d" % number
                assert client.receive() == expected
            places = {
                x.id if isinstance(x, Association6) else x.place for x in associations
            }
            assert len(places) == count
        until(lambda: not udpPorts(serving), 30)
        until(lambda: serving.sockets <= before, 30)
        whole(serving)
    assert len(serving.journal("flow-end")) == count + 1


def _settled(serving: Running, server: Echo) -> int:
    """The sockets of a gateway that has served one client, and has none."""
    with Association(serving.port) as client:
        client.echo(server, b"first")
    until(lambda: not udpPorts(serving))
    until(lambda: serving.journal("end"))
    counts = [serving.sockets]

    def same() -> bool:
        counts.append(serving.sockets)
        return len(counts) > 20 and len(set(counts[-20:])) == 1

    until(same)
    return counts[-1]
