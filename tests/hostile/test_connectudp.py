"""
UDP in HTTP/1.1 (RFC 9298) against a running gateway: there and back, what is
refused, what a stream of capsules may be, and when a tunnel ends.
"""

from __future__ import annotations

import random
import signal
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.clients import isClosed, opened
from tests.live.datagrams import Echo, udpPorts
from tests.live.masque import Tunnel, answered, capsule, integer, request
from tests.live.names import AAAA, A, NameServer, a, aaaa, answer
from tests.live.running import LOOPBACK, Running, running, settled, socksgw
from tests.live.servers import Certificate, Web
from tests.tools.sockets import RESET
from tests.tools.waiting import until

OWN = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[listen.udp]
tunnels = ["connect-udp"]
"""
HEAD = """
[[listen]]
name = "off"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[listen.udp]
tunnels = ["hev", "gost"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["http"]
[listen.udp]
tunnels = ["connect-udp"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["http"]
[listen.udp]
tunnels = ["connect-udp"]
[listen.tls]
certificate = "{certificate.file}"
key = "{certificate.key}"
[http]
reasons = true
[resolver]
servers = ["{names.place}"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
"""
SILENT = """
[[upstream]]
name = "silent"
url = "socks5://127.0.0.1:{silent}"
[[rule]]
id = "through"
allow = ["udp"]
to = ["127.0.0.19"]
via = ["silent"]
"""
RULES = """
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "no-nine"
deny = ["udp"]
to = ["127.0.0.9"]
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
TEXT = OWN + LOOPBACK + RULES


def _names(name: str, kind: int, __: int, query: bytes) -> bytes:
    records = {
        ("here.test", A): [a("127.0.0.1")],
        ("nine.test", A): [a("127.0.0.9")],
        ("six.test", AAAA): [aaaa("::1")],
    }
    if name == "none.test":
        return answer(query, code=3)
    return answer(query, *records.get((name, kind), []))


def prepared(directory: Path) -> None:
    """Alice may log in."""
    made = socksgw("passwd", "users", "alice", cwd=directory, stdin="sesame\n")
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Running]:
    """One gateway for the tests that change nothing of it."""
    directory = tmp_path_factory.mktemp("connectudp")
    prepared(directory)
    with NameServer(_names) as names, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        head = HEAD.format(certificate=certificate, names=names)
        head += SILENT.format(silent=port)
        yield from running(directory, OWN + head + LOOPBACK + RULES)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as made:
        yield made


def flow(gateway: Running, port: int) -> dict[str, object]:
    """The line of the flow to that port."""
    found: list[dict[str, object]] = until(
        lambda: [x for x in gateway.journal("flow") if x["port"] == port]
    )
    (line,) = found
    return line


# There and back.


@pytest.mark.parametrize("start", ["", "https://gw.example", "http://gw.example:80"])
def test_thereAndBack(shared: Running, echo: Echo, start: str) -> None:
    """In origin form and in absolute form; in the record it is an association."""
    with Tunnel(shared.port, *echo.place, start=start) as tunnel:
        for payload in (b"ask", b"", random.randbytes(1200), bytes(60000)):
            tunnel.send(payload)
            assert tunnel.receive() == payload
        line = flow(shared, echo.port)
        session = line["session"]
        assert (line["command"], line["rule"], line["verdict"]) == (
            "udp",
            "udp",
            "allow",
        )
    (decision,) = [x for x in shared.journal("decision") if x["session"] == session]
    assert (decision["protocol"], decision["command"]) == ("http", "udp")
    assert (decision["asked"], decision["port"]) == echo.place
    (end,) = until(
        lambda: [x for x in shared.journal("end") if x["session"] == session]
    )
    (flowEnd,) = [x for x in shared.journal("flow-end") if x["session"] == session]
    assert (end["reason"], end["sent"], end["received"]) == ("closed", 61203, 61203)
    assert (flowEnd["sent_datagrams"], flowEnd["received_datagrams"]) == (4, 4)
    until(lambda: not udpPorts(shared))


@pytest.mark.parametrize(
    "spelled",
    ["127.0.0.1", "%31%32%37.0.0.1", "here.test", "HERE.test.", "h%65re.test"],
)
def test_howHostsAreSpelled(shared: Running, echo: Echo, spelled: str) -> None:
    with Tunnel(shared.port, spelled, echo.port) as tunnel:
        tunnel.send(b"ask")
        assert tunnel.receive() == b"ask"


@pytest.mark.parametrize(
    "spelled", ["%3A%3A1", "0%3a0%3a0%3a0%3a0%3a0%3a0%3a1", "six.test"]
)
def test_six(shared: Running, spelled: str) -> None:
    """RFC 9298 section 2: the colons of an address are encoded."""
    with Echo("::1") as server, Tunnel(shared.port, spelled, server.port) as tunnel:
        tunnel.send(b"ask")
        assert tunnel.receive() == b"ask"


def test_insideTLS(shared: Running, echo: Echo, certificate: Certificate) -> None:
    client = certificate.client().wrap_socket(
        opened(shared.ports[3]), server_hostname="localhost"
    )
    with Tunnel(client, *echo.place) as tunnel:
        for number in range(200):
            tunnel.send(b"%d" % number)
            assert tunnel.receive() == b"%d" % number


def test_datagramsBeforeTheAnswer(shared: Running, echo: Echo) -> None:
    """RFC 9298 section 5: a client may send before it is answered."""
    client = opened(shared.port)
    with closing(client):
        behind = b"".join(capsule(b"\0%d" % number) for number in range(5))
        client.sendall(request(*echo.place) + behind[:-3])
        status, _, came = answered(client)
        assert status == 101
        client.sendall(behind[-3:])
        while len(came) < len(behind):
            came += client.recv(65536)
        assert came == behind


@pytest.mark.parametrize("atOnce", [False, True])
def test_behindAnotherRequest(
    gateway: Callable[..., Running], echo: Echo, atOnce: bool
) -> None:
    """RFC 9297 section 3.1: only the last request on a connection can be one."""
    web = '[[rule]]\nid = "web"\nallow = ["connect"]\nto = ["127.0.0.1"]\n'
    serving = gateway(TEXT + web)
    with Web("127.0.0.1", None) as site, closing(opened(serving.port)) as client:
        where = f"127.0.0.1:{site.port}"
        first = f"GET http://{where}/ HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()
        second = request(*echo.place) + capsule(b"\0ask")
        client.sendall(first + second if atOnce else first)
        status, _, came = answered(client)
        assert status == 200
        if not atOnce:
            client.sendall(second)
        while not came.endswith(capsule(b"\0ask")):
            more = client.recv(65536)
            assert more
            came += more
        assert b"HTTP/1.1 101 " in came
    until(lambda: len(serving.journal("end")) == 2)


def test_login(shared: Running, echo: Echo) -> None:
    """407 as for CONNECT, on the same connection; then who it is stands in the record."""
    client = opened(shared.ports[2])
    client.sendall(request(*echo.place))
    status, fields, _ = answered(client)
    assert status == 407
    assert fields["proxy-authenticate"].startswith("Basic")
    basic = b64encode(b"alice:sesame").decode()
    with Tunnel(client, *echo.place, f"Proxy-Authorization: Basic {basic}") as tunnel:
        tunnel.send(b"ask")
        assert tunnel.receive() == b"ask"
        assert flow(shared, echo.port)["user"] == "alice"


# What is refused.


@pytest.mark.parametrize(
    ("host", "status", "said"),
    [
        ("127.0.0.9", 403, 'Rule "no-nine"'),
        ("nine.test", 403, 'Rule "no-nine"'),
        ("192.0.2.1", 403, "http_request_denied"),
        ("none.test", 502, "dns_error"),
        ("127.1", 400, ""),
        ("fe80%3A%3A1%25eth0", 400, ""),
        ("a_b%20c", 400, ""),
        ("%00", 400, ""),
    ],
)
def test_refusedBeforeTheAnswer(
    shared: Running, host: str, status: int, said: str
) -> None:
    """
    RFC 9298 section 3.1: a name is looked up, and the rules asked, before; the cause is
    in C{Proxy-Status}.
    """
    with closing(opened(shared.port)) as client:
        client.sendall(request(host, 4711))
        found, fields, body = answered(client)
        assert (found, "capsule-protocol" in fields) == (status, False), body
        assert said in body.decode() + fields.get("proxy-status", "")
        until(lambda: isClosed(client))
    assert not udpPorts(shared)


def test_theRecordOfADenial(shared: Running) -> None:
    """As of an association that is allowed and has a flow that is not."""
    with closing(opened(shared.port)) as client:
        client.sendall(request("127.0.0.9", 4712))
        assert answered(client)[0] == 403
    line = flow(shared, 4712)
    assert (line["verdict"], line["rule"]) == ("deny", "no-nine")
    (end,) = until(
        lambda: [x for x in shared.journal("end") if x["session"] == line["session"]]
    )
    assert (end["reason"], end["rule"], end["reply"]) == ("policy", "no-nine", 2)


#: RFC 9298 section 3.2, RFC 9297 section 3.2, RFC 9110 section 7.8.
MALFORMED = {
    "a colon that is not encoded": request("::1", 53),
    "brackets": request("[::1]", 53),
    "brackets that are encoded": request("%5B::1%5D", 53).replace(b"::", b"%3A%3A"),
    "half an encoded octet": request("a%2", 53),
    "no hexadecimal digits": request("a%zz", 53),
    "no host": request("", 53),
    "no port": request("127.0.0.1", ""),
    "port 0": request("127.0.0.1", 0),
    "a port that is too large": request("127.0.0.1", 65536),
    "a port with a sign": request("127.0.0.1", "+53"),
    "another path": request("127.0.0.1", 53).replace(b"masque", b"mask"),
    "a part of the path missing": request("127.0.0.1", "").replace(b"//", b"/"),
    "more path": request("127.0.0.1", "53/more"),
    "a query": request("127.0.0.1", 53).replace(b"53/ ", b"53/?a "),
    "a long host": request("a" * 300, 53),
    "another method": request("127.0.0.1", 53).replace(b"GET", b"POST", 1),
    "not named by Connection": request("127.0.0.1", 53).replace(
        b"Connection: Upgrade", b"Connection: close"
    ),
    "no Connection": request("127.0.0.1", 53).replace(b"Connection: Upgrade\r\n", b""),
    "another upgrade besides": request("127.0.0.1", 53, "Upgrade: websocket"),
    "a length": request("127.0.0.1", 53, "Content-Length: 0"),
    "a content": request("127.0.0.1", 53, "Content-Length: 5") + b"12345",
    "chunks": request("127.0.0.1", 53, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "a type": request("127.0.0.1", 53, "Content-Type: text/plain"),
    "two hosts": request("127.0.0.1", 53, "Host: gw.example"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(shared: Running, case: str) -> None:
    with closing(opened(shared.port)) as client:
        client.sendall(MALFORMED[case])
        assert answered(client)[0] == 400
        until(lambda: isClosed(client))


def test_offUnlessNamed(shared: Running, echo: Echo) -> None:
    """501 where C{listen.udp.tunnels} does not name it, and nothing is opened."""
    with closing(opened(shared.ports[1])) as client:
        client.sendall(request(*echo.place) + capsule(b"\0ask"))
        assert answered(client)[0] == 501
    assert not udpPorts(shared)
    assert echo.came == []


def test_everyPrefix(shared: Running, echo: Echo) -> None:
    """A request that is cut off is no request."""
    whole = request(*echo.place)
    for cut in range(0, len(whole), 7):
        with closing(opened(shared.port)) as client:
            client.sendall(whole[:cut])
            client.shutdown(socket.SHUT_WR)
            assert b" 101 " not in b"".join(iter(lambda: client.recv(65536), b""))
    assert [x for x in shared.journal("flow") if x["port"] == echo.port] == []


# Capsules.


def test_whatIsSkipped(shared: Running, echo: Echo) -> None:
    """Capsules of unknown types, datagrams of unknown contexts, in any length."""
    with Tunnel(shared.port, *echo.place) as tunnel:
        for skipped in (
            capsule(b"", 0x29),
            capsule(bytes(100), (1 << 62) - 1),
            capsule(bytes(1_000_000), 1),
            capsule(b"\x02" + bytes(200_000)),
            capsule(integer((1 << 62) - 1) + b"x"),
        ):
            tunnel.socket.sendall(skipped)
            tunnel.send(b"ask")
            assert tunnel.receive() == b"ask"
        assert {octets for octets, _ in echo.came} == {b"ask"}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_longerIntegers(shared: Running, echo: Echo, size: int) -> None:
    """RFC 9000 section 16: they need not be as short as they could."""
    value = integer(0, size) + b"ask"
    with Tunnel(shared.port, *echo.place) as tunnel:
        tunnel.socket.sendall(integer(0, size) + integer(len(value), size) + value)
        assert tunnel.receive() == b"ask"


def test_cutAtEveryOctet(shared: Running, echo: Echo) -> None:
    stream = capsule(b"\0first") + capsule(b"y" * 70, 77) + capsule(b"\0second")
    with Tunnel(shared.port, *echo.place) as tunnel:
        for cut in range(len(stream)):
            tunnel.socket.sendall(stream[:cut])
            tunnel.socket.sendall(stream[cut:])
        for _ in stream:
            assert [tunnel.receive(), tunnel.receive()] == [b"first", b"second"]


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0",
        b"\0\x01\x40",
        b"\0" + integer(65529) + b"\0",
        integer(0, 8) + integer((1 << 62) - 1) + b"\0",
    ],
    ids=["no context", "half a context", "too long", "far too long"],
)
def test_whatEndsATunnel(shared: Running, echo: Echo, octets: bytes) -> None:
    """RFC 9298 section 5, RFC 9297 section 3.3; what came before has gone."""
    with Tunnel(shared.port, *echo.place) as tunnel:
        tunnel.socket.sendall(capsule(b"\0good") + octets)
        until(lambda: echo.came)
        while not tunnel.ended():
            pass
        session = flow(shared, echo.port)["session"]
    (end,) = until(
        lambda: [x for x in shared.journal("end") if x["session"] == session]
    )
    assert end["reason"] == "protocol"
    until(lambda: not udpPorts(shared))


@pytest.mark.parametrize(("cut", "reason"), [(0, "closed"), (5, "protocol")])
def test_theEndOfTheStream(shared: Running, echo: Echo, cut: int, reason: str) -> None:
    """RFC 9297 section 3.3: an end within a capsule is told from the others."""
    with Tunnel(shared.port, *echo.place) as tunnel:
        tunnel.socket.sendall(capsule(b"\0good")[:cut])
        tunnel.socket.shutdown(socket.SHUT_WR)
        assert tunnel.ended()
        session = flow(shared, echo.port)["session"]
    (end,) = until(
        lambda: [x for x in shared.journal("end") if x["session"] == session]
    )
    assert end["reason"] == reason


def test_goneBeforeTheUpstreamAnswers(shared: Running) -> None:
    """The flow, which is in the record, ends there, too, and is counted no longer."""
    with opened(shared.port) as client:
        client.sendall(request("127.0.0.19", 53))
        assert flow(shared, 53)["rule"] == "through"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    (end,) = until(
        lambda: [
            x for x in shared.journal("flow-end") if x["address"] == "127.0.0.19:53"
        ]
    )
    assert (end["reason"], end["sent"], end["received"]) == ("cut", 0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.21"])
def test_onlyTheDestinationAnswers(shared: Running, host: str) -> None:
    """RFC 9298 section 3.1, whatever the rule says of answers of others."""
    with Echo(host) as server, Tunnel(shared.port, *server.place) as tunnel:
        tunnel.send(b"ask")
        assert tunnel.receive() == b"ask"
        ((_, outer),) = server.came
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as stranger:
            stranger.bind((host, 0))
            stranger.sendto(b"strange", outer)
        assert tunnel.silent()
        tunnel.send(b"again")
        assert tunnel.receive() == b"again"
        session = flow(shared, server.port)["session"]
    (end,) = until(
        lambda: [x for x in shared.journal("end") if x["session"] == session]
    )
    assert end["strangers"] == 1


def test_noFragments(shared: Running, echo: Echo) -> None:
    """
    RFC 9298 section 3.1: a datagram that does not fit the way is dropped, and not
    sent in fragments. The way of loopback takes 65,535 octets of IP.
    """
    with Tunnel(shared.port, *echo.place) as tunnel:
        tunnel.send(bytes(65507))
        assert tunnel.receive() == bytes(65507)
        for size in (65508, 65527):
            tunnel.send(bytes(size))
        tunnel.send(b"last")
        assert tunnel.receive() == b"last"
    (end,) = until(
        lambda: [
            x
            for x in shared.journal("flow-end")
            if x["address"].endswith(f":{echo.port}")
        ]
    )
    assert end["sent_datagrams"] == 2


# Its end.


def test_idle(gateway: Callable[..., Running], echo: Echo) -> None:
    """The tunnel ends when nothing has moved for C{udp_idle}, and not while it does."""
    serving = gateway(TEXT + '[timeouts]\nudp_idle = "1s"\n')
    with Tunnel(serving.port, *echo.place) as tunnel:
        for _ in range(8):
            tunnel.send(b"ask")
            assert tunnel.receive() == b"ask"
            assert tunnel.silent(0.25)
        assert tunnel.ended()
    (end,) = until(lambda: serving.journal("end"))
    assert end["reason"] == "idle"
    assert not udpPorts(serving)


def test_revoked(gateway: Callable[..., Running], echo: Echo) -> None:
    """A reload that forbids the destination ends the tunnel, and no other."""
    serving = gateway(TEXT)
    with (
        Echo("127.0.0.8") as eight,
        Tunnel(serving.port, *echo.place) as stays,
        Tunnel(serving.port, *eight.place) as ends,
    ):
        for tunnel in (stays, ends):
            tunnel.send(b"ask")
            assert tunnel.receive() == b"ask"
        fewer = TEXT.replace('to = ["127.0.0.9"]', 'to = ["127.0.0.8/31"]')
        (serving.directory / "gw.toml").write_text(fewer)
        serving.process.send_signal(signal.SIGHUP)
        assert ends.ended()
        stays.send(b"still")
        assert stays.receive() == b"still"
        (end,) = until(lambda: serving.journal("flow-end"))
        assert (end["address"], end["reason"]) == (f"127.0.0.8:{eight.port}", "revoked")
        assert "no-nine" in end["why"]


def test_revokedBeforeTheUpstreamAnswers(gateway: Callable[..., Running]) -> None:
    """What was allowed by rules of before does not begin."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = OWN + SILENT.format(silent=silent.getsockname()[1]) + LOOPBACK + RULES
        serving = gateway(text)
        with opened(serving.port) as client:
            client.sendall(request("127.0.0.19", 53))
            flow(serving, 53)
            upstream, _ = silent.accept()
            with upstream:
                upstream.recv(99)
                upstream.sendall(b"\x05\x00")
                upstream.recv(99)
                fewer = text.replace('to = ["127.0.0.19"]', 'to = ["127.0.0.18"]')
                (serving.directory / "gw.toml").write_text(fewer)
                serving.process.send_signal(signal.SIGHUP)
                until(lambda: serving.journal("reloaded"))
                upstream.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x03\xe8")
                assert answered(client)[0] == 403
        (end,) = until(lambda: serving.journal("flow-end"))
        assert (end["address"], end["reason"]) == ("127.0.0.19:53", "revoked")


def test_limits(gateway: Callable[..., Running], echo: Echo) -> None:
    """Flows and octets count as of C{UDP ASSOCIATE}: 429, and the end by a quota."""
    limit = '[[limit]]\nper = "source"\nflows = 2\nquota = "3KB/1h"\n'
    serving = gateway(TEXT + limit)
    with (
        Tunnel(serving.port, *echo.place),
        Tunnel(serving.port, *echo.place) as tunnel,
    ):
        with closing(opened(serving.port)) as client:
            client.sendall(request(*echo.place))
            assert answered(client)[0] == 429
        for _ in range(5):
            tunnel.send(bytes(1000))
        while not tunnel.ended():
            pass
    ends = until(lambda: len(serving.journal("end")) == 3 and serving.journal("end"))
    assert "quota" in {end["reason"] for end in ends}


def test_nothingIsLeft(gateway: Callable[..., Running], echo: Echo) -> None:
    """However clients go: no descriptor, and a line for each beginning and end."""
    serving = settled(gateway(TEXT))
    with Tunnel(serving.port, *echo.place) as tunnel:
        tunnel.send(b"first")
        assert tunnel.receive() == b"first"
    until(lambda: not udpPorts(serving))
    before = serving.descriptors
    ways: list[Callable[[Tunnel], object]] = [
        lambda tunnel: tunnel.send(b"ask"),
        lambda tunnel: tunnel.socket.sendall(b"\0\0"),
        lambda tunnel: tunnel.socket.sendall(b"\0\x05\0"),
        lambda tunnel: tunnel.socket.shutdown(socket.SHUT_WR),
        lambda tunnel: tunnel.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, RESET
        ),
    ]
    for way in ways * 20:
        with Tunnel(serving.port, *echo.place) as tunnel:
            way(tunnel)
    until(lambda: not udpPorts(serving))
    until(lambda: serving.descriptors <= before, seen=lambda: (before, serving.open))
    count = 20 * len(ways) + 1
    for event in ("decision", "flow", "flow-end", "end"):
        until(lambda event=event: len(serving.journal(event)) == count)
