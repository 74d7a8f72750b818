"""
Upstreams that send every malformed, short, long, slow or lying reply: each session
ends, its client gets an honest reply, the record has the fixed word for the reason,
and nothing is left.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from typing import Any, Final

import pytest
from OpenSSL import SSL

from socksgw.system.tlscontext import Own, serverContext
from tests.live import raw
from tests.live.running import LOOPBACK, Running, running
from tests.tools.certificates import Authority, Issued, dns, pemOf, server
from tests.tools.sockets import RESET
from tests.tools.waiting import until

SECRET = b"canary-password"
ROOT = Authority()
#: Destination ports: each session has its own, by which it is found in the journal.
PORTS = count(20_000)

Script = Callable[[socket.socket], object]


class Upstream:
    """
    An upstream that does with each connection what the test says.

    @ivar script: what that is.
    @ivar heard: what it was sent since the last session.
    """

    def __init__(self) -> None:
        self.script: Script = lambda _: None
        self.heard = bytearray()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listening.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                connection.settimeout(10)
                each = threading.Thread(
                    target=self._have, args=(connection,), daemon=True
                )
                self._threads = [t for t in self._threads if t.is_alive()] + [each]
                each.start()

    def _have(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError, SSL.Error):
            self.script(connection)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        # It listens until then: the number of what is closed is another's soon.
        for each in (self._accepting, *self._threads):
            each.join(15)
            assert not each.is_alive()
        self._listening.close()


class House:
    """
    A gateway, and an upstream of each protocol.

    @ivar upstreams: by the protocol.
    """

    def __init__(
        self, gateway: Running, upstreams: dict[str, Upstream], names: Sequence[str]
    ) -> None:
        self.gateway = gateway
        self.upstreams = upstreams
        self.ports = dict(zip(names, gateway.ports, strict=True))

    def ask(self, name: str, script: Script) -> tuple[socket.socket, int, int]:
        """
        Have a client ask through an upstream.

        @return: the client, the reply to it, and the destination's port.
        """
        upstream = self.upstreams[name]
        upstream.script = script
        upstream.heard.clear()
        port = next(PORTS)
        client = raw.dial(self.ports[name])
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("192.0.2.1", port))
        return client, raw.reply5(client)[0], port

    def failed(
        self, name: str, script: Script, code: int, reason: str
    ) -> dict[str, Any]:
        """The session fails with this reply, and for this reason."""
        client, found, port = self.ask(name, script)
        with closing(client):
            assert found == code
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
        end = raw.end(self.gateway, port)
        assert (end["reason"], end["reply"]) == (reason, code), end
        assert end["why"].startswith(f'upstream "{name}": ')
        return end


LISTEN = """
[[listen]]
name = "{0}"
address = ["127.0.0.1:0"]
[[upstream]]
name = "{0}"
url = "{1}://{2}:{3}"
{4}
[[rule]]
id = "{0}"
listener = ["{0}"]
allow = ["connect"]
via = ["{0}"]
{5}
"""
USERPASS = 'login = { method = "userpass", user = "alice", password_file = "pw" }'
QUICK = 'timeouts = { connect = "400ms" }'
TLS = 'ca = "ca.pem"\nserver_name = "localhost"'
#: The scheme, the rest of the table, the rest of the rule.
KINDS: Final = {
    "socks": ("socks5", "", ""),
    "slow": ("socks5", "", QUICK),
    "login": ("socks5", USERPASS, ""),
    "six": ("socks6", "", ""),
    "sixlogin": ("socks6", USERPASS, ""),
    "slowsix": ("socks6", "", QUICK),
    "four": ("socks4a", "", ""),
    "http": ("http", "", ""),
    "basic": ("http", USERPASS, QUICK),
    "slowhttp": ("http", "", QUICK),
    "tls": ("socks5+tls", TLS, ""),
    "slowtls": ("socks5+tls", TLS, QUICK),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway for all cases; in the end nothing of them is left in it."""
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "pw").touch(0o600)
    (directory / "pw").write_bytes(SECRET)
    (directory / "ca.pem").write_bytes(pemOf(ROOT.certificate))
    upstreams = {name: Upstream() for name in KINDS}
    text = '[[auth.choose]]\nmethods = ["none"]\nfrom = ["127.0.0.0/8"]\n' + LOOPBACK
    for name, (scheme, table, rule) in KINDS.items():
        port = upstreams[name].port
        text += LISTEN.format(name, scheme, "127.0.0.1", port, table, rule)
    text = text.replace('except = ["127', 'except = ["192.0.2.0/24", "127')
    with contextmanager(running)(directory, text) as gateway:
        before = len(gateway.open)
        yield House(gateway, upstreams, list(KINDS))
        for each in upstreams.values():
            each.close()
        until(lambda: len(gateway.open) <= before, seconds=20)
        ended = {each["session"] for each in gateway.journal("end")}
        assert {each["session"] for each in gateway.journal("decision")} <= ended
        assert SECRET.decode() not in gateway.log + str(gateway.journal())


def says(*steps: tuple[int, bytes], then: str = "wait") -> Script:
    """
    Return a script: read so many octets at least, and answer.

    @param then: C{close}, C{reset}, or C{wait} for the gateway.
    """

    def script(connection: socket.socket) -> None:
        for wanted, answer in steps:
            came = b""
            while len(came) < wanted:
                octets = connection.recv(4096)
                if not octets:
                    return
                came += octets
            connection.sendall(answer)
        if then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif then == "wait":
            while connection.recv(4096):
                pass

    return script


NONE = (3, b"\x05\x00")
GRANTED = b"\x05\x00\x00\x01\xc0\x00\x02\x07\x1f\x90"
GRANTED4 = b"\x00\x5a\x1f\x90\xc0\x00\x02\x07"
OK = b"HTTP/1.1 200 OK\r\n\r\n"
#: draft-olteanu-intarea-socks-6-11 sections 6 and 7.
LET_IN6 = b"\x06\x00\x00\x00"
GRANTED6 = b"\x06\x00\x00\x00\x1f\x90\x00\x01\xc0\x00\x02\x07"


def told(reply: bytes) -> tuple[tuple[int, bytes], ...]:
    """What a SOCKS 5 server without login says."""
    return (NONE, (10, reply))


# SOCKS 5.

PROTOCOL, CLOSED = "upstream-protocol", "upstream-closed"
LOGIN, REFUSED, TIMEOUT = "upstream-login", "upstream-refused", "upstream-timeout"
LIES: dict[str, tuple[Sequence[tuple[int, bytes]], str]] = {
    "another version": (((3, b"\x04\x00"),), PROTOCOL),
    "version 0": (((3, b"\x00\x00"),), PROTOCOL),
    "HTTP": (((3, b"HTTP/1.1 400 Bad Request\r\n\r\n"),), PROTOCOL),
    "TLS alert": (((3, b"\x15\x03\x01\x00\x02\x02\x46"),), PROTOCOL),
    "a method that was not offered": (((3, b"\x05\x02"),), PROTOCOL),
    "a private method": (((3, b"\x05\x80"),), PROTOCOL),
    "no method": (((3, b"\x05\xff"),), LOGIN),
    "ahead of the request": (((3, b"\x05\x00" + GRANTED),), PROTOCOL),
    "ahead of the greeting": (((0, b"\x05\x00" + GRANTED),), PROTOCOL),
    "the method twice": (((3, b"\x05\x00\x05\x00"),), PROTOCOL),
    "a flood": (((3, b"\x05\x00" + bytes(1 << 20)),), PROTOCOL),
    "a reply of version 4": (told(GRANTED4 + b"\0\0"), PROTOCOL),
    "a reply of version 1": (told(b"\x01" + GRANTED[1:]), PROTOCOL),
    "no address type": (told(b"\x05\x00\x00\x00" + bytes(6)), PROTOCOL),
    "address type 2": (told(b"\x05\x00\x00\x02" + bytes(18)), PROTOCOL),
    "address type FF": (told(b"\x05\x00\x00\xff" + bytes(18)), PROTOCOL),
    "a reply in HTTP": (told(OK), PROTOCOL),
}


@pytest.mark.parametrize(("steps", "reason"), LIES.values(), ids=list(LIES))
def test_lies(house: House, steps: Sequence[tuple[int, bytes]], reason: str) -> None:
    """What the protocol does not have ends the session, with reply 1."""
    house.failed("socks", says(*steps, then="close"), 1, reason)


@pytest.mark.parametrize("octets", range(2 + len(GRANTED)))
def test_closedAtEachOctet(house: House, octets: int) -> None:
    """A reply that is not whole is none."""
    first, second = NONE[1][:octets], GRANTED[: max(0, octets - 2)]
    steps = [(3, first)] if octets < 2 else [(3, first), (10, second)]
    house.failed("socks", says(*steps, then="close"), 1, CLOSED)


@pytest.mark.parametrize("octets", [0, 1, 2, 5, 11])
def test_resetAtSomeOctets(house: House, octets: int) -> None:
    """The same where it resets the connection."""
    first, second = NONE[1][:octets], GRANTED[: max(0, octets - 2)]
    steps = [(3, first)] if octets < 2 else [(3, first), (10, second)]
    house.failed("socks", says(*steps, then="reset"), 1, CLOSED)


REPLIES = {
    1: REFUSED, 2: REFUSED, 3: "network-unreachable", 4: "host-unreachable",
    5: "refused", 6: "ttl-expired", 7: REFUSED, 8: REFUSED,
}  # fmt: skip


@pytest.mark.parametrize(("code", "reason"), REPLIES.items())
@pytest.mark.parametrize(
    "rest",
    [bytes.fromhex("00 01 00000000 0000"), bytes.fromhex("00 00 00000000 0000"),
     bytes.fromhex("00 03 03 612e62 0050")],
    ids=["address", "Tor's", "Dante's"],
)  # fmt: skip
def test_replies(house: House, code: int, rest: bytes, reason: str) -> None:
    """Each refusal is handed on as it is, whatever address comes with it."""
    reply = bytes((5, code)) + rest
    house.failed("socks", says(*told(reply), then="reset"), code, reason)


@pytest.mark.parametrize("code", [9, 0x5B, 0xFF])
def test_repliesWithoutMeaning(house: House, code: int) -> None:
    """What RFC 1928 does not know is a general failure."""
    reply = bytes((5, code, 0, 1)) + bytes(6)
    house.failed("socks", says(*told(reply), then="close"), 1, REFUSED)


BOUNDS = {
    "another family": b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x1f\x90",
    "nothing": b"\x05\x00\x00\x01" + bytes(6),
    "a name": b"\x05\x00\x00\x03\x0bexample.com\x1f\x90",
    "no name": b"\x05\x00\x00\x03\x00\x1f\x90",
    "a long name": b"\x05\x00\x00\x03\xff" + b"a" * 255 + b"\x1f\x90",
    "no text": b"\x05\x00\x00\x03\x04\xff\x00\r\n\x1f\x90",
    "multicast": b"\x05\x00\x00\x01\xe0\x00\x00\x01\xff\xff",
    "reserved": b"\x05\x00\xff\x01" + bytes(6),
}


@pytest.mark.parametrize("reply", BOUNDS.values(), ids=list(BOUNDS))
def test_boundAddresses(house: House, reply: bytes) -> None:
    """Whatever it names as its own address, the connection is there, or refused."""
    script = says(NONE, (10, reply + b"220 "), (4, b"pong"), then="close")
    client, code, port = house.ask("socks", script)
    with closing(client):
        if code:
            assert raw.end(house.gateway, port)["reason"] == PROTOCOL
            return
        assert raw.exactly(client, 4) == b"220 "
        client.sendall(b"ping")
        assert raw.exactly(client, 4) == b"pong"
        assert client.recv(1) == b""
    assert raw.end(house.gateway, port)["received"] == 8


@pytest.mark.parametrize("then", ["close", "reset"])
def test_successThatIsNone(house: House, then: str) -> None:
    """After a success the end is the destination's (stunnel refuses so)."""
    client, code, port = house.ask("socks", says(*told(GRANTED), then=then))
    with closing(client):
        assert code == 0
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    end = raw.end(house.gateway, port)
    assert (end["reply"], end["received"]) == (0, 0)


def trickled(octets: bytes, pause: float) -> Script:
    """Send octet by octet, whatever is asked."""

    def script(connection: socket.socket) -> None:
        for octet in octets:
            connection.sendall(bytes((octet,)))
            time.sleep(pause)
        connection.recv(1)

    return script


SLOW: dict[str, tuple[str, Script]] = {
    "silent": ("slow", says((1 << 20, b""))),
    "half a method": ("slow", says((3, b"\x05"))),
    "half a reply": ("slow", says(*told(GRANTED[:5]))),
    "trickle": ("slow", says(NONE, (10, b"\x05\x00\x00\x03\xff"), (1 << 20, b""))),
    "silent in SOCKS 6": ("slowsix", says((1 << 20, b""))),
    "half a first reply": ("slowsix", says((12, b"\x06\x00\x50"))),
    "half an option": ("slowsix", says((12, b"\x06\x00\x00\x08\xfc\x00"))),
    "half a second reply": ("slowsix", says((12, LET_IN6 + GRANTED6[:5]))),
    "options octet by octet": (
        "slowsix", trickled(b"\x06\x00\x50\x00" + b"\xfc\x00\x00\x04" * 99, 0.005),
    ),
    "silent in HTTP": ("slowhttp", says((1 << 20, b""))),
    "half a head": ("slowhttp", says((9, b"HTTP/1.1 200 OK\r\nX: "))),
    "a head octet by octet": ("slowhttp", trickled(b"HTTP/1.1 200 " + b"O" * 99, 0.02)),
    "interim answers": (
        "slowhttp", trickled(b"HTTP/1.1 100 Continue\r\n\r\n" * 9, 0.005),
    ),
    "silent in TLS": ("slowtls", says((1 << 20, b""))),
    "half a record": ("slowtls", says((9, b"\x16\x03\x03\x01\x00\x02"))),
}  # fmt: skip


@pytest.mark.parametrize(("name", "script"), SLOW.values(), ids=list(SLOW))
def test_slow(house: House, name: str, script: Script) -> None:
    """The time of the rule bounds all of it."""
    began = time.monotonic()
    house.failed(name, script, 1, TIMEOUT)
    assert time.monotonic() - began < 20


# Logins.

LOGINS: dict[str, tuple[Sequence[tuple[int, bytes]], str, bool]] = {
    "no login": (((3, b"\x05\x00"),), PROTOCOL, False),
    "another login": (((3, b"\x05\x01"),), PROTOCOL, False),
    "nothing": (((3, b"\x05\xff"),), LOGIN, False),
    "the status ahead": (((3, b"\x05\x02\x01\x00"),), PROTOCOL, False),
    "wrong password": (((3, b"\x05\x02"), (9, b"\x01\x01")), LOGIN, True),
    "status FF": (((3, b"\x05\x02"), (9, b"\x01\xff")), LOGIN, True),
    "half a status": (((3, b"\x05\x02"), (9, b"\x01")), CLOSED, True),
    "status of 5": (((3, b"\x05\x02"), (9, b"\x05\x00")), PROTOCOL, True),
    "the reply ahead": (
        ((3, b"\x05\x02"), (9, b"\x01\x00" + GRANTED)), PROTOCOL, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "reason", "asked"), LOGINS.values(), ids=list(LOGINS)
)
def test_logins(
    house: House, steps: Sequence[tuple[int, bytes]], reason: str, asked: bool
) -> None:
    """It gets the password once, and only if it has asked for just that."""
    inner = says(*steps, then="close")
    heard = bytearray()

    def script(connection: socket.socket) -> None:
        inner(_Hearing(connection, heard))  # type: ignore[arg-type]

    house.failed("login", script, 1, reason)
    assert heard.count(SECRET) == asked


@pytest.mark.parametrize("name", ["socks", "login"])
def test_aSecondLogin(house: House, name: str) -> None:
    """A method again, where the reply is due, is read as the refusal that it looks like."""
    steps = [(3, b"\x05\x00")]
    if name == "login":
        steps = [(3, b"\x05\x02"), (9, b"\x01\x00")]
    script = says(*steps, (10, b"\x05\x02"), then="close")
    house.failed(name, script, 2, REFUSED)


class _Hearing:
    """A connection that keeps what is read."""

    def __init__(self, connection: socket.socket, heard: bytearray) -> None:
        self._connection = connection
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def recv(self, size: int) -> bytes:
        octets = self._connection.recv(size)
        self._heard += octets
        return octets


# SOCKS 6.


def optioned(kind: int, *options: str) -> bytes:
    """An authentication reply of that type, with these options."""
    octets = b"".join(map(bytes.fromhex, options))
    return bytes((6, kind)) + len(octets).to_bytes(2, "big") + octets


#: The proxy selects a method (section 8.2).
SELECTED6 = optioned(1, "0003 0008 02 000000")
LIES6: dict[str, tuple[bytes, str]] = {
    "another version": (b"\x05\x00\x00\x00", PROTOCOL),
    "one octet": (b"\x05", PROTOCOL),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", PROTOCOL),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", PROTOCOL),
    "type 2": (optioned(2), PROTOCOL),
    "half a word of options": (b"\x06\x00\x00\x02\x00\x00", PROTOCOL),
    "20 KB and four octets": (b"\x06\x00\x50\x04", PROTOCOL),
    "an option without length": (optioned(0, "fc00 0000"), PROTOCOL),
    "an option beyond the end": (optioned(0, "fc00 0008"), PROTOCOL),
    "129 options": (optioned(0, *["fc00 0004"] * 129), PROTOCOL),
    "a method that was not offered": (SELECTED6, PROTOCOL),
    "two methods": (optioned(1, *["0003 0008 02 000000"] * 2), PROTOCOL),
    "no method": (optioned(1, "0003 0008 ff 000000"), LOGIN),
    "words of no method": (optioned(1, "0004 0008 00 010000"), LOGIN),
    "a session without ID": (optioned(0, "0006 0004"), PROTOCOL),
    "a window of no tokens": (optioned(0, "000c 000c 00000000 00000000"), PROTOCOL),
    "spent, and not": (optioned(0, "000e 0004", "000f 0004"), PROTOCOL),
    "a flood behind a refusal": (optioned(1) + bytes(1 << 20), LOGIN),
    "a flood behind words": (
        optioned(1, "0004 0008 00 010000") + bytes(1 << 20), LOGIN,
    ),
    "a reply of version 5": (LET_IN6 + b"\x05" + GRANTED6[1:], PROTOCOL),
    "no address type": (LET_IN6 + GRANTED6[:7] + bytes(5), PROTOCOL),
    "address type 2": (LET_IN6 + GRANTED6[:7] + b"\x02" + bytes(16), PROTOCOL),
    "a reply with 20 KB and more": (LET_IN6 + b"\x06\x00\x50\x04", PROTOCOL),
    "a reply whose option is none": (
        LET_IN6 + b"\x06\x00\x00\x04" + GRANTED6[4:] + bytes.fromhex("0001 0003"),
        PROTOCOL,
    ),
    "a reply in HTTP": (LET_IN6 + OK, PROTOCOL),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "reason"), LIES6.values(), ids=list(LIES6))
def test_sixLies(house: House, answer: bytes, reason: str) -> None:
    """What the draft does not have ends the session, with reply 1."""
    house.failed("six", says((12, answer), then="close"), 1, reason)


@pytest.mark.parametrize("octets", range(len(LET_IN6 + GRANTED6)))
def test_sixClosedAtEachOctet(house: House, octets: int) -> None:
    """Replies that are not whole are none."""
    script = says((12, (LET_IN6 + GRANTED6)[:octets]), then="close")
    house.failed("six", script, 1, CLOSED)


@pytest.mark.parametrize(("code", "reason"), REPLIES.items())
def test_sixReplies(house: House, code: int, reason: str) -> None:
    """Each refusal is handed on as it is; nothing behind its code need come."""
    script = says((12, LET_IN6 + bytes((6, code))), then="close")
    house.failed("six", script, code, reason)


LOGINS6: dict[str, tuple[Sequence[tuple[int, bytes]], str]] = {
    "wrong password": (((48, optioned(1, "0004 0008 02 0101 00")),), LOGIN),
    "right, and not let in": (((48, optioned(1, "0004 0008 02 0100 00")),), LOGIN),
    "status of 5": (((48, optioned(1, "0004 0008 02 0500 00")),), PROTOCOL),
    "words of another method": (((48, optioned(1, "0004 0008 03 0100 00")),), LOGIN),
    "another method": (((48, optioned(1, "0003 0008 03 000000")),), PROTOCOL),
    "words of the one, and another": (
        ((48, optioned(1, "0003 0008 03 000000", "0004 0008 02 0100 00")),), PROTOCOL,
    ),
    "half a status": (((48, SELECTED6), (23, b"\x01")), CLOSED),
    "wrong by messages": (((48, SELECTED6), (23, b"\x01\x01")), LOGIN),
    "right, then refused": (((48, SELECTED6), (23, b"\x01\x00" + optioned(1))), LOGIN),
    "another round": (((48, SELECTED6), (23, b"\x01\x00" + SELECTED6)), PROTOCOL),
    "the status ahead": (((48, SELECTED6 + b"\x01\x00"),), PROTOCOL),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "reason"), LOGINS6.values(), ids=list(LOGINS6))
def test_sixLogins(
    house: House, steps: Sequence[tuple[int, bytes]], reason: str
) -> None:
    """Nothing but what the draft has as success lets in; no secret is written."""
    house.failed("sixlogin", says(*steps, then="close"), 1, reason)


# SOCKS 4a.


@pytest.mark.parametrize("octets", range(len(GRANTED4)))
def test_fourClosedAtEachOctet(house: House, octets: int) -> None:
    """A reply that is not whole is none."""
    script = says((9, GRANTED4[:octets]), then="close")
    house.failed("four", script, 1, CLOSED)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"\x00\x5b" + bytes(6), REFUSED),
        (b"\x00\x5c" + bytes(6), REFUSED),
        (b"\x00\x5d" + bytes(6), REFUSED),
        (b"\x00\x00" + bytes(6), REFUSED),
        (b"\x05\x00" + bytes(6), PROTOCOL),
        (b"\x05\xff", PROTOCOL),
        (b"HTTP/1.1 400 \r\n\r\n", PROTOCOL),
    ],
)
def test_four(house: House, reply: bytes, reason: str) -> None:
    """Each refusal, and what is none of its replies."""
    house.failed("four", says((9, reply), then="close"), 1, reason)


# HTTP.

CHALLENGE = b'Proxy-Authenticate: Basic realm="x"\r\n'
EMPTY = b"Content-Length: 0\r\n\r\n"
HEADS: dict[str, tuple[bytes, int, str]] = {
    "SOCKS": (b"\x05\x00" * 40, 1, CLOSED),
    "no HTTP": (b"hello\r\n\r\n", 1, PROTOCOL),
    "another version": (b"HTTP/2.0 200 OK\r\n\r\n", 1, PROTOCOL),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", 1, PROTOCOL),
    "status 99": (b"HTTP/1.1 099 OK\r\n\r\n", 1, PROTOCOL),
    "zero": (b"HTTP/1.1 200 O\0K\r\n\r\n", 1, PROTOCOL),
    "bad field": (b"HTTP/1.1 200 OK\r\nbad field: x\r\n\r\n", 1, PROTOCOL),
    "endless head": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20), 1, PROTOCOL),
    "endless fields": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99_999, 1, PROTOCOL),
    "endless interim": (b"HTTP/1.1 100 Go on\r\n\r\n" * 99_999, 1, PROTOCOL),
    "ahead": (b"", 1, PROTOCOL),
    "403": (b"HTTP/1.1 403 No\r\n" + EMPTY, 2, REFUSED),
    "403 with a body": (b"HTTP/1.1 403 No\r\n\r\n" + bytes(1 << 21), 2, REFUSED),
    "404": (b"HTTP/1.1 404 No\r\n" + EMPTY, 4, "host-unreachable"),
    "405": (b"HTTP/1.1 405 No\r\n" + EMPTY, 7, REFUSED),
    "500": (b"HTTP/1.0 500 No\r\n\r\n", 1, REFUSED),
    "502": (b"HTTP/1.1 502 No\r\n" + EMPTY, 1, REFUSED),
    "504": (b"HTTP/1.1 504 No\r\n" + EMPTY, 4, "host-unreachable"),
    "599": (b"HTTP/1.1 599 No\r\n" + EMPTY, 1, REFUSED),
    "101": (b"HTTP/1.1 101 Else\r\n\r\n", 1, PROTOCOL),
    "301": (b"HTTP/1.1 301 There\r\nLocation: /\r\n" + EMPTY, 1, REFUSED),
    "squid's refusal": (
        b"HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n" + EMPTY,
        5,
        "refused",
    ),
    "407": (b"HTTP/1.1 407 Login\r\n" + CHALLENGE + EMPTY, 1, LOGIN),
    "401": (b"HTTP/1.1 401 Login\r\n" + CHALLENGE + EMPTY, 1, LOGIN),
}


@pytest.mark.parametrize(("head", "code", "reason"), HEADS.values(), ids=list(HEADS))
def test_heads(house: House, head: bytes, code: int, reason: str) -> None:
    """Each status becomes the reply that says the same; what is no head is none."""
    steps = [(19, head)] if head else [(0, b"HTTP/1.1 407 x\r\n\r\n" + OK)]
    reason = reason if head else LOGIN
    house.failed("http", says(*steps, then="close"), code, reason)


@pytest.mark.parametrize("octets", range(len(OK)))
def test_headsClosedAtEachOctet(house: House, octets: int) -> None:
    """A head that is not whole is none."""
    house.failed("http", says((19, OK[:octets]), then="close"), 1, CLOSED)


@pytest.mark.parametrize(
    "head",
    [
        OK,
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 Fine\r\n\r\n",
        # RFC 9110 section 9.3.6: these are to be ignored.
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_tunnels(house: House, head: bytes) -> None:
    """What is behind a granted head is the tunnel, whatever the head says."""
    script = says((19, head + b"220 "), (4, b"pong"), then="close")
    client, code, port = house.ask("http", script)
    with closing(client):
        assert code == 0
        assert raw.exactly(client, 4) == b"220 "
        client.sendall(b"ping")
        assert raw.exactly(client, 4) == b"pong"
    assert raw.end(house.gateway, port)["received"] == 8


SCHEMES: dict[str, tuple[bytes, int]] = {
    "no scheme": (b"HTTP/1.1 407 x\r\n" + EMPTY, 0),
    "Digest": (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Digest x=y\r\n" + EMPTY, 0),
    "Basic for ever": (b"HTTP/1.1 407 x\r\n" + CHALLENGE + EMPTY, 1),
    "endless content": (
        b"HTTP/1.1 407 x\r\nContent-Length: 99999999\r\n" + CHALLENGE + b"\r\n" + bytes(99),
        1,
    ),
    "garbled challenge": (
        b'HTTP/1.1 407 x\r\nProxy-Authenticate: "Basic, \x7f=\r\n' + EMPTY, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("head", "asked"), SCHEMES.values(), ids=list(SCHEMES))
def test_schemes(house: House, head: bytes, asked: int) -> None:
    """The password goes to a proxy that asks for Basic, once."""
    heard = bytearray()

    def script(connection: socket.socket) -> None:
        says((19, head), (19, head), (19, head), then="close")(
            _Hearing(connection, heard)  # type: ignore[arg-type]
        )

    client, code, port = house.ask("basic", script)
    client.close()
    assert code == 1
    assert raw.end(house.gateway, port)["reason"] in (LOGIN, CLOSED, PROTOCOL, TIMEOUT)
    assert heard.count(b"Proxy-Authorization: Basic ") <= asked


# TLS.

STRANGER = Authority("Stranger")
GOOD = server(ROOT)


def secured(issued: Issued, cut: bool = True) -> Script:
    """A server with TLS, which grants the request, sends ten octets and goes."""

    def script(plain: socket.socket) -> None:
        plain.settimeout(None)
        connection = SSL.Connection(serverContext(Own(issued.chain, issued.key)), plain)
        connection.set_accept_state()
        connection.do_handshake()
        for wanted, answer in (NONE, (10, GRANTED + b"0123456789")):
            came = b""
            while len(came) < wanted:
                came += connection.recv(4096)
            connection.sendall(answer)
        if not cut:
            connection.shutdown()
            with suppress(SSL.Error):
                connection.recv(1)

    return script


@pytest.mark.parametrize(
    "issued",
    [
        server(STRANGER),
        ROOT.issue(dns("elsewhere.example"), usage=()),
        ROOT.issue(dns("localhost")),
    ],
    ids=["nobody's", "another's", "a client's"],
)
def test_certificates(house: House, issued: Issued) -> None:
    """Who is not the upstream gets nothing."""
    end = house.failed("tls", secured(issued), 1, "upstream-tls")
    assert "its certificate is refused" in end["why"]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x16",
        b"\x16\x03\x03\x40",
        b"HTTP/1.1 400 \r\n\r\n",
        b"\x05\x00",
        bytes(9),
    ],
)
def test_noTLS(house: House, octets: bytes) -> None:
    """What is no handshake is told."""
    house.failed("tls", says((9, octets), then="close"), 1, "upstream-tls")


@pytest.mark.parametrize("cut", [False, True])
def test_streamsThatAreCut(house: House, cut: bool) -> None:
    """A stream that was cut is never told as complete."""
    client, code, port = house.ask("tls", secured(GOOD, cut))
    with closing(client):
        assert code == 0
        if cut:
            with pytest.raises(ConnectionResetError):
                until(lambda: client.recv(20) == b"unreached")
        else:
            assert raw.exactly(client, 10) == b"0123456789"
            assert client.recv(1) == b""
    reason = raw.end(house.gateway, port)["reason"]
    assert reason == ("destination-lost" if cut else "closed")


# Many at once.


def test_sessionsAreNotConfused(house: House) -> None:
    """Of many at once, each gets its own answer, whatever the order."""

    def script(connection: socket.socket) -> None:
        connection.recv(3)
        connection.sendall(b"\x05\x00")
        request = b""
        while len(request) < 10:
            request += connection.recv(64)
        port = int.from_bytes(request[8:10], "big")
        time.sleep(port % 7 / 100)
        if port % 3:
            connection.sendall(GRANTED + request[8:10])
        else:
            connection.sendall(bytes((5, port % 8 + 1, 0, 1)) + bytes(6))

    house.upstreams["socks"].script = script
    found: dict[int, bytes] = {}

    def one(port: int) -> None:
        with closing(raw.dial(house.ports["socks"])) as client:
            client.sendall(raw.GREETING)
            raw.exactly(client, 2)
            client.sendall(raw.request5("192.0.2.1", port))
            reply = raw.reply5(client)[0]
            found[port] = raw.exactly(client, 2) if reply == 0 else bytes((reply,))

    ports = [next(PORTS) for _ in range(64)]
    threads = [threading.Thread(target=one, args=(port,)) for port in ports]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert found == {
        port: port.to_bytes(2, "big") if port % 3 else bytes((port % 8 + 1,))
        for port in ports
    }
