"""
One identity, whatever way it came: one rule admits alice by Kerberos, by
certificate, by a password that travels and by one that does not, in SOCKS 5 and 6.
"""

from __future__ import annotations

import hmac
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.interop.partners import House
from tests.live import raw
from tests.live.kerberos import Client, Realm, frame, initiator, within
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import Destination, package, untilEnd
from tests.tools.certificates import Issued, upn
from tests.tools.waiting import until

REALM = "CORP.EXAMPLE"
PASSWORD = "correct-horse"

CONFIGURATION = (
    """
[[listen]]
name = "inside"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[[listen]]
name = "partners"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "optional"
identity = ["upn"]
[auth]
strip_realms = ["CORP.EXAMPLE"]
checkers = ["passwd:users", "secrets:chap"]
gssapi = { keytab = "%s" }
throttle = { per_user = 0, per_source = 0 }
[[auth.choose]]
methods = ["certificate", "gssapi", "chap", "userpass"]
[groups]
staff = ["alice"]
[[rule]]
id = "one"
allow = ["connect"]
who = ["%s"]
"""
    + LOOPBACK
)


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm whose users have the names of ours."""
    package("gssapi")
    made = Realm(tmp_path_factory.mktemp("kerberos") / "realm", REALM)
    made.services(made.keytab, "rcmd/localhost")
    for name in ("alice", "bob"):
        made.user(name)
    with made.running():
        yield made


class Six:
    """
    A client of SOCKS 6, whose login goes with its request
    (draft-olteanu-intarea-socks-6-11).
    """

    def __init__(
        self,
        connection: socket.socket,
        options: bytes,
        enters: Callable[[socket.socket], None],
    ) -> None:
        """
        @param options: of the request.
        @param enters: goes on from there, until it is let in.
        """
        self._connection, self._options, self._enters = connection, options, enters

    def ask(self, port: int) -> int:
        """Return the reply to a request."""
        request = raw.request6("127.0.0.1", port, options=self._options)
        self._connection.sendall(request)
        self._enters(self._connection)
        return raw.replied6(self._connection)[0]


def told(options: bytes) -> Callable[[socket.socket], None]:
    """Be let in at once, and be told so much (section 6)."""

    def enters(connection: socket.socket) -> None:
        assert raw.entered6(connection) == (0, options)

    return enters


class Entry:
    """
    A gateway with every way in, and who comes by them.

    @ivar gateway: it runs.
    """

    def __init__(self, house: House, realm: Realm) -> None:
        self._house = house
        self._realm = realm
        self._issued: dict[str, Issued] = {}

    @property
    def gateway(self) -> Running:
        return self._house.gateway

    def write(self, who: str) -> None:
        """The configuration, with a rule for these."""
        text = CONFIGURATION % (self._realm.keytab, who)
        (self._house.directory / "gw.toml").write_text(text)

    def kerberos(self, name: str, stack: ExitStack) -> Any:
        """With a ticket of the realm's."""
        stack.enter_context(within(self._realm.tickets(name)))
        client = Client(self.gateway.ports[0], initiator())
        return stack.enter_context(client).login(2)

    def certificate(self, name: str, stack: ExitStack) -> ssl.SSLSocket:
        """With a certificate, and method 00."""
        if name not in self._issued:
            self._issued[name] = self._house.root.issue(upn(name))
        client = stack.enter_context(self._house.dial(self._issued[name], 1))
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\x05\x00"
        return client

    def password(self, name: str, stack: ExitStack) -> socket.socket:
        """RFC 1929."""
        client = stack.enter_context(raw.dial(self.gateway.ports[0]))
        login = raw.login(name.encode(), PASSWORD.encode())
        client.sendall(raw.GREETING_LOGIN + login)
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        return client

    def chap(self, name: str, stack: ExitStack) -> socket.socket:
        """draft-ietf-aft-socks-chap-01: ALGORITHMS; USER and RESPONSE."""
        client = stack.enter_context(raw.dial(self.gateway.ports[0]))
        client.sendall(b"\x05\x01\x03\x01\x01\x11\x01\x85")
        assert raw.exactly(client, 9) == b"\x05\x03\x01\x01\x11\x01\x85\x01\x01"
        attribute, length = raw.exactly(client, 2)
        assert attribute == 3
        made = hmac.digest(PASSWORD.encode(), raw.exactly(client, length), "md5")
        user = bytes((2, len(name))) + name.encode()
        client.sendall(b"\x01\x02" + user + b"\x04\x10" + made)
        assert raw.exactly(client, 5) == b"\x01\x01\x00\x01\x00"
        return client

    def kerberos6(self, name: str, stack: ExitStack) -> Six:
        """The token in an option, as the answer to it; TLS protects the rest."""
        stack.enter_context(within(self._realm.tickets(name)))
        client = stack.enter_context(self._house.dial(None, 1))
        context = initiator()
        message = frame(1, context.step())

        def enters(connection: socket.socket) -> None:
            kind, options = raw.entered6(connection)
            assert (kind, options[:2], options[4:7]) == (0, b"\0\x04", b"\x01\x01\x01")
            length = int.from_bytes(options[7:9], "big")
            context.step(options[9 : 9 + length])
            assert context.complete

        return Six(client, raw.option6(4, b"\x01" + message), enters)

    def certificate6(self, name: str, stack: ExitStack) -> Six:
        """With a certificate, and nothing else."""
        if name not in self._issued:
            self._issued[name] = self._house.root.issue(upn(name))
        client = stack.enter_context(self._house.dial(self._issued[name], 1))
        return Six(client, b"", told(b""))

    def password6(self, name: str, stack: ExitStack) -> Six:
        """In an option (section 9)."""
        client = stack.enter_context(raw.dial(self.gateway.ports[0]))
        return Six(client, raw.login6(name, PASSWORD), told(raw.LET_IN6))

    def chap6(self, name: str, stack: ExitStack) -> Six:
        """ALGORITHMS in an option; USER and RESPONSE behind the request."""
        client = stack.enter_context(raw.dial(self.gateway.ports[0]))
        first = b"\x01\x01\x11\x01\x85"

        def enters(connection: socket.socket) -> None:
            kind, options = raw.entered6(connection)
            # Method 3 is selected; the answer is in an option.
            selected = bytes.fromhex("0003 0008 03 000000 0004")
            assert (kind, options[:10]) == (1, selected)
            assert options[12:21] == b"\x03" + first + b"\x01\x01\x03"
            challenge = options[22 : 22 + options[21]]
            made = hmac.digest(PASSWORD.encode(), challenge, "md5")
            user = bytes((2, len(name))) + name.encode()
            connection.sendall(b"\x01\x02" + user + b"\x04\x10" + made)
            assert raw.exactly(connection, 5) == b"\x01\x01\x00\x01\x00"
            assert raw.entered6(connection) == (0, b"")

        offered = raw.option6(2, b"\0\0\x03")
        return Six(client, offered + raw.option6(4, b"\x03" + first), enters)


#: By the protocol and the method.
WAYS: dict[tuple[str, str], Callable[[Entry, str, ExitStack], Any]] = {
    ("socks5", "gssapi"): Entry.kerberos,
    ("socks5", "certificate"): Entry.certificate,
    ("socks5", "userpass"): Entry.password,
    ("socks5", "chap"): Entry.chap,
    ("socks6", "gssapi"): Entry.kerberos6,
    ("socks6", "certificate"): Entry.certificate6,
    ("socks6", "userpass"): Entry.password6,
    ("socks6", "chap"): Entry.chap6,
}


@pytest.fixture(scope="module")
def entry(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entry]:
    """One gateway for all."""
    directory = tmp_path_factory.mktemp("gateway")
    house = House(directory)
    for name in ("alice", "bob"):
        for file in (["users"], ["--secrets", "chap"]):
            made = socksgw("passwd", *file, name, cwd=directory, stdin=PASSWORD)
            assert made.returncode == 0, made.stderr
    text = CONFIGURATION % (realm.keytab, "alice")
    for house.gateway in running(directory, text, extra=realm.environment):
        yield Entry(house, realm)


def patient(connection: socket.socket) -> None:
    """A server; whoever is cut off resets it."""
    with suppress(ConnectionError):
        untilEnd(connection)


def asked(client: Any, port: int) -> int:
    """The reply to a request."""
    if isinstance(client, Six):
        return client.ask(port)
    request = raw.request5("127.0.0.1", port)
    if isinstance(client, Client):
        client.send(request)
        return client.exactly(10)[1]
    client.sendall(request)
    return raw.reply5(client)[0]


@pytest.mark.parametrize("who", ["alice", "@staff"])
def test_oneRule(
    entry: Entry, destination: Callable[..., Destination], who: str
) -> None:
    """
    One rule lets alice in by each way, and bob by none; the journal has one
    user, four methods and two protocols. A reload that leaves her out ends all her sessions.
    """
    gateway = entry.gateway
    reloads = len(gateway.journal("reloaded"))
    entry.write(who)
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.journal("reloaded")) == reloads + 1)
    server = destination(patient)
    with ExitStack() as stack:
        alices = []
        for way in WAYS.values():
            alices.append(way(entry, "alice", stack))
            assert asked(alices[-1], server.port) == 0
            assert asked(way(entry, "bob", stack), server.port) == 2
        entry.write("nobody")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: len(gateway.journal("reloaded")) == reloads + 2)
        assert gateway.journal("reloaded")[-1]["ended"] == len(WAYS)
    lines = [x for x in gateway.journal("decision") if x["port"] == server.port]
    found = {
        (x["user"], (x["protocol"], x["method"]), x["verdict"], x["rule"])
        for x in lines
    }
    assert found == {
        (user, way, verdict, rule)
        for way in WAYS
        for user, verdict, rule in (
            ("alice", "allow", "one"),
            ("bob", "deny", "default"),
        )
    }
    ends = {x["session"]: x["reason"] for x in gateway.journal("end")}
    allowed = [x["session"] for x in lines if x["verdict"] == "allow"]
    assert [ends[each] for each in allowed] == ["revoked"] * len(WAYS)
