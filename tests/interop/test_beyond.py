"""
UDP and BIND that leave through upstreams: our own gateways, and Dante.
"""

from __future__ import annotations

import os
import socket
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.interop.shared import needsSix
from tests.live import raw, upstreams
from tests.live.datagrams import Association, Echo, addressed, associate
from tests.live.masque import Tunnel, answered, request
from tests.live.names import KnownNames
from tests.live.running import HEAD, Running, running, socksgw
from tests.live.servers import PATIENCE, Daemon, Socksify, freePort, program
from tests.tools.waiting import until

#: A gateway that is an upstream, and takes datagrams in every way.
FAR = (
    HEAD.replace("[[auth", '[listen.udp]\ntunnels = ["hev", "gost"]\n[[auth', 1)
    + """
[resolver]
family = "only4"
[[rule]]
id = "all"
allow = "any"
[[rule]]
id = "anybody"
allow = ["bind"]
to = ["0.0.0.0"]
"""
)
#: Where the way leads is told by the destination's address.
WAYS = {
    "127.0.0.21": "far",
    "127.0.0.1": "middle, far",
    "127.0.0.23": "hev",
    "127.0.0.24": "gost",
    "127.0.0.25": "middle, hev",
    "127.0.0.26": "dante",
    "127.0.0.27": "middle, far, dante",
    "127.0.0.28": "hev, middle",
}
DIRECT = "127.0.0.20"
#: Upstreams of the tests' own, that lie.
LIARS = {"127.0.0.31": "liar"}
LIE = next(iter(LIARS))
#: Upstreams without UDP, or that are not there: why.
WITHOUT = {
    "127.0.0.41": ("microsocks", 7, "upstream-refused"),
    "127.0.0.42": ("nowhere", 1, "upstream-unreachable"),
    "127.0.0.43": ("far, microsocks", 7, "upstream-refused"),
    "127.0.0.44": ("microsocks, far", 7, "upstream-refused"),
    "127.0.0.45": ("web", 7, "upstream-refused"),
    "127.0.0.46": ("old", 7, "upstream-refused"),
}


def _front(ports: dict[str, int]) -> str:
    """
    Write the configuration of the gateway that leaves by all of them.

    For each that is of no use it has a listener whose UDP leaves by that alone.
    """
    listening = (
        'protocols = ["socks5", "http"]\n[listen.udp]\n'
        'tunnels = ["hev", "connect-udp"]\n[[auth'
    )
    text = HEAD.replace("[[auth", listening, 1) + '[timeouts]\nbind = "1s"\n'
    for name, port in ports.items():
        scheme = {"web": "http", "old": "socks4a"}.get(name, "socks5")
        text += f'[[upstream]]\nname = "{name}"\nurl = "{scheme}://127.0.0.1:{port}"\n'
        if name in ("hev", "gost"):
            text += f'udp = "{name}"\n'
        if name == "there":
            text += 'resolve = "there"\n'
    text += _rule("name", "udp", "there") + 'to = ["=localhost"]\nlistener = ["main"]\n'
    for host, (way, *_) in WITHOUT.items():
        text += f'[[listen]]\nname = "{host}"\naddress = ["127.0.0.1:0"]\n'
        text += _rule(host, "any", way) + f'listener = ["{host}"]\n'
    for host, way in {**WAYS, **LIARS}.items():
        text += _rule(host, "any", way) + 'listener = ["main"]\n'
        text += f'to = ["{host}"]\n'
    return text + (
        f'[[rule]]\nid = "direct"\nallow = ["udp"]\nto = ["{DIRECT}"]\n'
        'listener = ["main"]\n'
    )


def _rule(host: str, what: str, way: str) -> str:
    """A rule without its conditions."""
    names = ", ".join(f'"{each}"' for each in way.split(", "))
    allow = '"any"' if what == "any" else f'["{what}"]'
    return f'[[rule]]\nid = "{host}"\nallow = {allow}\nvia = [{names}]\n'


class Chain:
    """
    The gateways of this file.

    @ivar front: the one that clients use.
    @ivar far: an upstream; C{middle} is another one.
    @ivar liar: what an upstream of the test's own listens with.
    """

    def __init__(
        self, front: Running, middle: Running, far: Running, liar: socket.socket
    ) -> None:
        self.front, self.middle, self.far, self.liar = front, middle, far, liar
        self.before = self.sockets()

    def sockets(self) -> list[int]:
        """How many sockets each gateway has."""
        return [
            sum(
                os.readlink(each).startswith("socket:")
                for each in Path(f"/proc/{gateway.process.pid}/fd").iterdir()
            )
            for gateway in (self.front, self.middle, self.far)
        ]

    def flowEnd(self, place: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = until(
            lambda: [e for e in self.front.journal("flow-end") if e["address"] == place]
        )
        return found[-1]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    directory = tmp_path_factory.mktemp("beyond")
    start = contextmanager(running)
    with ExitStack() as stack:
        far = stack.enter_context(start(directory / "far", FAR))
        middle = stack.enter_context(start(directory / "middle", FAR))
        dante = directory / "dante"
        dante.mkdir()
        port = freePort(kind=socket.SOCK_STREAM)
        command = upstreams.dante(port, dante)
        stack.enter_context(Daemon(command, port, dante / "out", dict(os.environ)))
        ports = dict.fromkeys(("far", "hev", "gost", "there"), far.port)
        ports |= {"middle": middle.port, "dante": port, "nowhere": 1}
        ports["microsocks"] = freePort(kind=socket.SOCK_STREAM)
        command = upstreams.microsocks(ports["microsocks"])
        log = directory / "microsocks"
        stack.enter_context(Daemon(command, ports["microsocks"], log, dict(os.environ)))
        ports["web"] = ports["old"] = far.port
        liar = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        liar.settimeout(PATIENCE)
        ports["liar"] = liar.getsockname()[1]
        front = stack.enter_context(start(directory / "front", _front(ports)))
        yield Chain(front, middle, far, liar)


@pytest.mark.parametrize("host", [DIRECT, *WAYS])
def test_datagrams(chain: Chain, host: str) -> None:
    """There and back, each flow by the way of its own rule."""
    with Echo(host) as echo, Association(chain.front.port) as client:
        for text in (b"", b"hello", bytes(range(256)) * 40):
            client.echo(echo, text)
        assert client.silent(0.02)
    ended = chain.flowEnd(f"{host}:{echo.port}")
    assert (ended["sent"], ended["received"]) == (10245, 10245)
    assert ended.get("path", "") == WAYS.get(host, "")
    (flow,) = [e for e in chain.front.journal("flow") if e["port"] == echo.port]
    assert flow.get("via", "") == WAYS.get(host, "")


def test_manyWaysInOneAssociation(chain: Chain) -> None:
    """Datagrams of one association by all ways at once; none is taken for another's."""
    with ExitStack() as stack:
        echoes = [stack.enter_context(Echo(host)) for host in (DIRECT, *WAYS)]
        client = stack.enter_context(Association(chain.front.port))
        for number in range(5):
            for echo in echoes:
                client.send(*echo.place, b"%d to %s" % (number, echo.place[0].encode()))
            wanted = {
                addressed(*echo.place) + b"%d to %s" % (number, echo.place[0].encode())
                for echo in echoes
            }
            assert {client.receive() for _ in echoes} == wanted


@pytest.mark.parametrize("host", WITHOUT)
def test_withoutUDP(chain: Chain, host: str) -> None:
    """Where all UDP would leave by such an upstream, the client is told so at once."""
    _, code, reason = WITHOUT[host]
    port = chain.front.ports[1 + list(WITHOUT).index(host)]
    control, (replied, *_) = associate(port)
    with control:
        assert replied == code
        assert control.recv(1) == b""
    ended = until(
        lambda: [e for e in chain.front.journal("end") if e["reason"] == reason]
    )
    assert "upstream" in ended[-1]["why"]


def test_aName(chain: Chain) -> None:
    """
    The upstream looks it up: the record says that no address was judged. Answers come
    from where the upstream sent to.
    """
    with Echo() as echo, Association(chain.front.port) as client:
        for text in (b"one", b"two"):
            client.send(b"localhost", echo.port, text)
            assert client.receive() == addressed("127.0.0.1", echo.port) + text
        client.echo(echo, b"by address")
    ended = chain.flowEnd(f"localhost:{echo.port}")
    assert (ended["path"], ended["sent"], ended["received"]) == ("there", 6, 6)
    flows = [e for e in chain.front.journal("flow") if e["port"] == echo.port]
    assert [e.get("judged") for e in flows] == ["name", None]
    assert flows[0]["addresses"] == []


def test_theManual(tmp_path: Path) -> None:
    """check accepts its configuration; without its remedy it tells that."""
    chapter = chapters()["upstreams"].partition("UDP and BIND through")[2]
    block = chapter.partition(".. code-block:: toml\n")[2].partition("\n===")[0]
    text = HEAD + textwrap.dedent(block)
    for udp, scheme, status in (
        ("hev", "socks5", 0),
        ("hev", "socks5+tls", 0),
        ("associate", "socks5+tls", 2),
        ("associate", "http", 2),
    ):
        changed = text.replace('udp = "hev"', f'udp = "{udp}"')
        changed = changed.replace("socks5://gw.branch", f"{scheme}://gw.branch")
        (tmp_path / "gw.toml").write_text(changed)
        done = socksgw("check", "gw.toml", cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
    assert "which has no UDP" in done.stdout + done.stderr


def test_dig(chain: Chain, tmp_path: Path, quiet: dict[str, str]) -> None:
    """A real client of DNS, made a client of SOCKS by Dante, through two upstreams."""
    client = Socksify(tmp_path, quiet, chain.front.port)
    # As in test_udp.py: Dante does not see sendmmsg(2).
    strace = program("strace", "strace")
    prefix: tuple[str, ...] = (
        strace,
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=sendmmsg",
    )
    prefix += ("-e", "inject=sendmmsg:error=ENOSYS")
    with KnownNames({"known.example": "192.0.2.7"}) as names:
        command = [program("dig", "bind9-dnsutils"), "+tries=1", "+time=20", "+short"]
        command += ["-p", str(names.port), "@127.0.0.1", "known.example", "A"]
        done = client(*command, prefix=prefix)
    assert done.stdout == "192.0.2.7\n", done.stderr
    ended = chain.flowEnd(f"127.0.0.1:{names.port}")
    assert (ended["path"], ended["sent_datagrams"]) == ("middle, far", 1)


@pytest.mark.parametrize("host", [DIRECT, *WAYS])
def test_insideTheClientsConnection(chain: Chain, host: str) -> None:
    """Of a client that has them inside, too: in hev's framing, and in capsules."""
    with Echo(host) as echo:
        control, (code, *_) = associate(chain.front.port, command=5)
        with control:
            assert code == 0
            where = addressed(host, echo.port)[3:]
            framed = b"\0\5" + bytes([3 + len(where)]) + where + b"hello"
            control.sendall(framed * 3)
            assert raw.exactly(control, 3 * len(framed)) == framed * 3
        with Tunnel(chain.front.port, host, echo.port) as tunnel:
            for text in (b"one", bytes(9000)):
                tunnel.send(text)
                assert tunnel.receive() == text


@pytest.mark.parametrize(("octets", "status"), [(b"", 502), (b"\x05\x02", 403)])
def test_noCapsules(chain: Chain, octets: bytes, status: int) -> None:
    """UDP in HTTP to one destination is refused as the upstream refuses."""
    with raw.dial(chain.front.port) as client:
        client.sendall(request(LIE, 53))
        with Liar(chain, 3) as control:
            control.sendall(octets)
        assert answered(client)[0] == status


# BIND.


@pytest.mark.parametrize("host", WAYS)
def test_bind(chain: Chain, host: str) -> None:
    """The peer comes to the upstream, and the octets go through."""
    with raw.dial(chain.front.port) as client:
        _asked(client, host)
        code, there, port = raw.reply5(client)
        assert code == 0
        with socket.create_connection(
            (there, port), PATIENCE, source_address=(host, 0)
        ) as peer:
            assert raw.reply5(client) == (0, *peer.getsockname())
            peer.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
            client.sendall(b"world")
            assert raw.exactly(peer, 5) == b"world"


def _asked(client: socket.socket, host: str, port: int = 0, command: int = 2) -> None:
    """Make a request, without a login."""
    client.sendall(raw.GREETING)
    assert raw.exactly(client, 2) == b"\x05\x00"
    client.sendall(raw.request5(host, port, command))


# Upstreams that lie.


def _told(place: tuple[str, int], code: int = 0) -> bytes:
    """A reply (RFC 1928 section 6), which is a request with another first octet pair."""
    return bytes([5, code]) + raw.request5(*place)[2:]


class Liar:
    """One connection to the upstream of the test's own."""

    def __init__(self, chain: Chain, command: int) -> None:
        self.connection, _ = chain.liar.accept()
        self.connection.settimeout(PATIENCE)
        assert raw.exactly(self.connection, 3) == raw.GREETING
        self.connection.sendall(b"\x05\x00")
        head = raw.exactly(self.connection, 10)
        assert (head[1], head[3]) == (command, 1)

    def __enter__(self) -> socket.socket:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def _relay(host: str) -> socket.socket:
    relay = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
    )
    relay.settimeout(PATIENCE)
    relay.bind((host, 0))
    return relay


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("127.0.0.1", "0.0.0.0"),
        ("127.0.0.1", "::"),
        ("127.0.0.1", b"relay.example"),
        ("127.0.0.5", "127.0.0.5"),
        pytest.param("::1", "::1", marks=needsSix),
    ],
)
def test_relayAddress(chain: Chain, where: str, says: str | bytes) -> None:
    """
    It is taken as told, of whatever family; as 0.0.0.0, ::, or a name it is the
    upstream's own. What others send there is not heard.
    """
    number = freePort()
    with (
        Association(chain.front.port) as client,
        _relay(where) as relay,
        _relay("127.0.0.6") as stranger,
    ):
        client.send(LIE, number, b"ask")
        with Liar(chain, 3) as control:
            port = relay.getsockname()[1]
            control.sendall(_told((says, port)))  # type: ignore[arg-type]
            octets, there = relay.recvfrom(1 << 16)
            assert octets == addressed(LIE, number) + b"ask"
            if where != "::1":
                stranger.sendto(addressed(LIE, number) + b"lie", there)
            relay.sendto(addressed("127.0.0.32", 53) + b"unasked", there)
            relay.sendto(addressed(LIE, number) + b"true", there)
            assert client.receive() == addressed(LIE, number) + b"true"
            # The end of the control connection is the end of the flow.
        ended = chain.flowEnd(f"{LIE}:{number}")
        assert (ended["reason"], ended["path"]) == ("upstream-closed", "liar")
        assert (ended["sent"], ended["received"]) == (3, 4)
        client.send(LIE, number, b"again")
        with Liar(chain, 3) as control:
            control.sendall(_told((where, relay.getsockname()[1])))
            assert relay.recv(1 << 16) == addressed(LIE, number) + b"again"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "upstream-closed"),
        (b"\x05", "upstream-closed"),
        (_told(("127.0.0.1", 9))[:9], "upstream-closed"),
        (_told(("127.0.0.1", 0)), "upstream-protocol"),
        (_told(("224.0.0.1", 9)), "upstream-protocol"),
        (b"\x04" + _told(("127.0.0.1", 9))[1:], "upstream-protocol"),
        (b"\x05\x00\x00\x02" + bytes(20), "upstream-protocol"),
        (_told(("127.0.0.1", 9), 1), "upstream-refused"),
        (_told(("127.0.0.1", 9), 2), "upstream-refused"),
        (_told(("127.0.0.1", 9), 4), "host-unreachable"),
        (_told(("127.0.0.1", 9), 7), "upstream-refused"),
        (b"\x05\x07\x00\x00" + bytes(6), "upstream-refused"),
        (_told(("127.0.0.1", 9), 0xFF), "upstream-refused"),
    ],
)
def test_noAssociation(chain: Chain, octets: bytes, reason: str) -> None:
    """Each way to refuse has its reason, and is no end of anything else."""
    with Echo(DIRECT) as echo, Association(chain.front.port) as client:
        number = freePort()
        client.send(LIE, number, b"ask")
        with Liar(chain, 3) as control:
            control.sendall(octets)
        ended = chain.flowEnd(f"{LIE}:{number}")
        assert (ended["reason"], ended["sent"]) == (reason, 0)
        assert 'upstream "liar"' in ended["why"]
        client.echo(echo, b"hello")


@pytest.mark.parametrize(
    ("octets", "code", "reason"),
    [
        (b"", 1, "upstream-closed"),
        (_told(("0.0.0.0", 0)), 1, "upstream-protocol"),
        (_told(("0.0.0.0", 9), 2), 2, "upstream-refused"),
        (_told(("0.0.0.0", 9), 7), 7, "upstream-refused"),
        (b"\x05\x00\x00\x02" + bytes(20), 1, "upstream-protocol"),
    ],
)
def test_noListener(chain: Chain, octets: bytes, code: int, reason: str) -> None:
    """The client gets the upstream's reply, and nothing but that."""
    with raw.dial(chain.front.port) as client:
        number = freePort()
        _asked(client, LIE, number)
        with Liar(chain, 2) as control:
            control.sendall(octets)
        assert raw.reply5(client)[0] == code
        assert client.recv(1) == b""
    assert raw.end(chain.front, number)["reason"] == reason


@pytest.mark.parametrize(
    ("octets", "code", "reason"),
    [
        (b"", 1, "upstream-closed"),
        (_told((LIE, 9))[:5], 1, "upstream-closed"),
        (_told(("127.0.0.32", 9)), 2, "stranger"),
        (_told(("0.0.0.0", 9)), 1, "upstream-protocol"),
        (_told((b"peer.example", 9)), 1, "upstream-protocol"),  # type: ignore[arg-type]
        (_told((LIE, 9), 4), 4, "host-unreachable"),
        (_told((LIE, 9), 6), 6, "ttl-expired"),
        (b"\x04" + bytes(20), 1, "upstream-protocol"),
        (None, 4, "bind-timeout"),
    ],
)
def test_noPeer(chain: Chain, octets: bytes | None, code: int, reason: str) -> None:
    """
    A second reply of no use is told as what it is; the policy judges the peer that
    the upstream tells.
    """
    with raw.dial(chain.front.port) as client:
        number = freePort()
        _asked(client, LIE, number)
        with Liar(chain, 2) as control:
            control.sendall(_told(("0.0.0.0", 4711)))
            assert raw.reply5(client) == (0, "127.0.0.1", 4711)
            if octets is not None:
                control.sendall(octets)
                control.shutdown(socket.SHUT_WR)
            assert raw.reply5(client)[0] == code
            assert client.recv(1) == b""
    ended = raw.end(chain.front, number)
    assert (ended["reason"], ended["path"]) == (reason, "liar")


def test_thePeerSpeaksFirst(chain: Chain) -> None:
    """What comes in one segment with the replies, both of them, is the client's."""
    with raw.dial(chain.front.port) as client:
        _asked(client, LIE)
        with Liar(chain, 2) as control:
            control.sendall(_told(("127.0.0.1", 9)) + _told((LIE, 21)) + b"220 hello")
            assert raw.reply5(client) == (0, "127.0.0.1", 9)
            assert raw.reply5(client) == (0, LIE, 21)
            assert raw.exactly(client, 9) == b"220 hello"
            client.sendall(b"bye")
            assert raw.exactly(control, 3) == b"bye"


def test_nothingIsLeft(chain: Chain) -> None:
    """Of all that went before: no socket here, and none at the upstreams."""
    with ExitStack() as stack:
        for host in WAYS:
            echo = stack.enter_context(Echo(host))
            stack.enter_context(Association(chain.front.port)).echo(echo, b"x")
        assert all(
            now > was for now, was in zip(chain.sockets(), chain.before, strict=True)
        )

    def same() -> bool:
        try:
            return chain.sockets() == chain.before
        except FileNotFoundError:
            # One was closed while it was looked at.
            return False

    until(same, seen=chain.sockets)
