"""
GSSAPI with a real Kerberos: MIT's KDC, tickets by kinit, MIT's library on the
client's side, curl, and Dante's client where it has GSSAPI.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from socksgw.plugins.gssapi_stub import StubInitiator
from tests.live import raw
from tests.live.groups import BIND, MULTICAST, RECEIVE, SEND, heard, member, speaker
from tests.live.groups import asked as asked_
from tests.live.kerberos import Client, Realm, frame, initiator, within
from tests.live.names import KnownNames
from tests.live.running import Running, running, socksgw
from tests.live.running import environment as withProject
from tests.live.servers import (
    PATIENCE,
    Destination,
    Socksify,
    Web,
    echo,
    missing,
    package,
    program,
    untilEnd,
)
from tests.tools.waiting import until

REALM = "CORP.EXAMPLE"
MIB = 1 << 20
LEVELS = {1: "integrity", 2: "confidentiality"}
REFUSED = b"\x01\xff"

CONFIGURATION = """
[[listen]]
name = "protected"
address = ["127.0.0.1:0"]
[listen.multicast]
interface = "lo"
[[listen]]
name = "clear"
address = ["127.0.0.1:0"]
[auth]
strip_realms = [{strip}]
gssapi = {{ {gssapi}, protection = ["confidentiality", "integrity", "clear"], nec = true }}
[[auth.choose]]
listener = ["clear"]
methods = ["gssapi"]
protection = ["clear"]
[[auth.choose]]
methods = ["gssapi"]
protection = ["confidentiality", "integrity"]
[[rule]]
id = "secret"
allow = ["connect", "udp"]
who = ["{user}"]
secured = "confidentiality"
[[rule]]
id = "whole"
allow = ["connect", "udp"]
who = ["{user}"]
secured = ["integrity", "clear"]
[[rule]]
id = "groups"
allow = ["multicast"]
who = ["{user}"]
secured = ["integrity", "confidentiality"]
multicast = {{ send = true }}
[never]
except = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm with a user and two services; its KDC runs."""
    package("gssapi")
    made = Realm(tmp_path_factory.mktemp("kerberos") / "realm", REALM)
    made.services(made.keytab, "rcmd/localhost", "socks/localhost")
    made.user("alice")
    with made.running():
        yield made


@pytest.fixture(scope="module")
def tickets(realm: Realm) -> dict[str, str]:
    """The environment of alice, who has a ticket."""
    return realm.tickets()


def started(
    directory: Path,
    realm: Realm,
    keytab: Path,
    strip: str = f'"{REALM}"',
    user: str = "alice",
    **extra: str,
) -> Iterator[Running]:
    """A gateway with the keys of this keytab."""
    text = CONFIGURATION.format(strip=strip, gssapi=f'keytab = "{keytab}"', user=user)
    yield from running(directory, text, extra={**realm.environment, **extra})


@pytest.fixture(scope="module")
def gateway(
    realm: Realm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The gateway of most tests: alice's realm is cut."""
    yield from started(tmp_path_factory.mktemp("gateway"), realm, realm.keytab)


@pytest.fixture(scope="module")
def stub(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that needs no Kerberos."""
    text = CONFIGURATION.format(
        strip=f'"{REALM}"', gssapi='mechanism = "stub"', user="alice"
    )
    yield from running(tmp_path_factory.mktemp("stub"), text)


class Unwrapped(NamedTuple):
    """What C{gssapi.SecurityContext.unwrap} returns."""

    message: bytes
    encrypted: bool
    qop: int


class Stub:
    """The stub's client, in the words of Kerberos's library."""

    def __init__(self, name: str = f"alice@{REALM}") -> None:
        self._initiator = StubInitiator(name)
        self._tokens: Any = None

    @property
    def complete(self) -> bool:
        return self._tokens is not None

    def step(self, token: bytes = b"") -> bytes:
        if token:
            self._tokens = self._initiator.established(token)
        return self._initiator.first

    def wrap(self, octets: bytes, secret: bool) -> Any:
        return SimpleNamespace(message=self._tokens.wrap(octets, secret))

    def unwrap(self, token: bytes) -> Any:
        octets, encrypted = self._tokens.unwrap(token)
        return Unwrapped(octets, encrypted, 0)


# Streams.


@pytest.mark.parametrize("service", ["rcmd@localhost", "socks@localhost"])
@pytest.mark.parametrize("level", LEVELS)
def test_login(
    gateway: Running,
    tickets: dict[str, str],
    destination: Callable[..., Destination],
    level: int,
    service: str,
) -> None:
    """
    Any service of the keytab is good; the user is alice, whose realm is cut;
    rules see the level, and the record shows it.
    """
    server = destination(echo)
    with within(tickets), Client(gateway.port, initiator(service)) as client:
        client.login(level).request("127.0.0.1", server.port)
        client.send(b"hello")
        assert client.exactly(5) == b"hello"
    line = raw.decision(gateway, server.port)
    assert (line["user"], line["method"]) == ("alice", "gssapi")
    assert line["secured"] == LEVELS[level]
    assert line["rule"] == ("secret" if level == 2 else "whole")
    end = raw.end(gateway, server.port)
    assert (end["sent"], end["received"]) == (5, 5)


def connected(
    gateway: Running, environment: dict[str, str], port: int, octets: bytes
) -> subprocess.CompletedProcess[bytes]:
    """C{socksgw connect} with the ticket of an environment, if it has one."""
    command = [sys.executable, "-m", "socksgw.console.command", "connect"]
    command += ["127.0.0.1", str(port), "--login", "gssapi"]
    command += ["--proxy", f"socks5://localhost:{gateway.port}"]
    return subprocess.run(
        command,
        env=withProject(**environment),
        input=octets,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_connect(
    gateway: Running,
    tickets: dict[str, str],
    realm: Realm,
    destination: Callable[..., Destination],
) -> None:
    """
    C{socksgw connect} logs in by the ticket, protects all that follows, and ends each
    side by itself; without a ticket it says so in one line.
    """
    server = destination(lambda connection: connection.sendall(untilEnd(connection)))
    payload = random.Random(13).randbytes(MIB)
    done = connected(gateway, tickets, server.port, payload)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == payload
    line = raw.decision(gateway, server.port)
    assert (line["user"], line["method"]) == ("alice", "gssapi")
    assert line["secured"] == "confidentiality"
    done = connected(gateway, realm.environment, server.port, b"")
    assert done.returncode == 1
    [said] = done.stderr.decode().splitlines()
    assert "ticket" in said


#: A Twisted program that goes by an endpoint string.
PROGRAM = """
import random, sys
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import react
from socksgw.client.errors import LoginFailed

SENT = random.Random(13).randbytes(1 << 20)


class Asking(Protocol):
    def connectionMade(self):
        self.heard, self.whole = b"", Deferred()
        self.transport.write(SENT)

    def dataReceived(self, data):
        self.heard += data
        if len(self.heard) >= len(SENT):
            self.whole.callback(self.heard == SENT)


async def main(reactor, text):
    try:
        asking = await connectProtocol(clientFromString(reactor, text), Asking())
    except LoginFailed as error:
        print("failed:", error)
    else:
        print("equal:", await asking.whole)
        asking.transport.loseConnection()


react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1])))
"""


def test_endpoint(
    gateway: Running,
    tickets: dict[str, str],
    realm: Realm,
    destination: Callable[..., Destination],
) -> None:
    """C{SocksClientEndpoint}, by its string: with a ticket, and without one."""
    server = destination(echo)
    text = f"socks:127.0.0.1:{server.port}:login=gssapi:service=rcmd@localhost"
    text += rf":proxy=tcp\:localhost\:{gateway.port}"

    def asked(environment: dict[str, str]) -> str:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, text],
            env=withProject(**environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    assert asked(tickets) == "equal: True\n"
    line = raw.decision(gateway, server.port)
    assert (line["user"], line["method"]) == ("alice", "gssapi")
    assert line["secured"] == "confidentiality"
    assert "ticket" in asked(realm.environment)


@pytest.mark.parametrize("mechanism", ["kerberos", "stub"])
@pytest.mark.parametrize("level", LEVELS)
def test_bulk(
    request: pytest.FixtureRequest,
    tickets: dict[str, str],
    destination: Callable[..., Destination],
    mechanism: str,
    level: int,
) -> None:
    """
    10 MiB each way at once arrive with equal hashes; the client ends its side
    first, and hears the rest.
    """
    used: Running = request.getfixturevalue(
        "gateway" if mechanism == "kerberos" else "stub"
    )
    chance = random.Random(level)
    up, down = chance.randbytes(10 * MIB), chance.randbytes(10 * MIB)
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        sending = threading.Thread(target=connection.sendall, args=(down,))
        sending.start()
        octets = bytearray()
        while came := connection.recv(1 << 18):
            octets += came
        sending.join(PATIENCE)
        # Heard after the client's end, which is the proof of the half-close.
        connection.sendall(hashlib.sha256(octets).digest())
        heard.append(bytes(octets))

    server = destination(serve)
    with within(tickets):
        context = initiator() if mechanism == "kerberos" else Stub()
        client = Client(used.port, context)
        client.login(level).request("127.0.0.1", server.port)
    with client:
        # Wrapped by one thread alone: a context is not two threads' at a time.
        messages = [
            client.wrapped(up[i : i + 60_000]) for i in range(0, len(up), 60_000)
        ]
        sending = threading.Thread(
            target=lambda: (
                [client.connection.sendall(x) for x in messages],
                client.connection.shutdown(socket.SHUT_WR),
            )
        )
        sending.start()
        came = bytearray()
        while octets := client.receive():
            came += octets
        sending.join(PATIENCE)
    assert bytes(came[: len(down)]) == down
    assert bytes(came[len(down) :]) == hashlib.sha256(up).digest()
    assert heard == [up]
    end = raw.end(used, server.port)
    assert (end["sent"], end["received"]) == (len(up), len(down) + 32)
    assert end["reason"] == "closed"


def test_stalledReader(
    gateway: Running, tickets: dict[str, str], destination: Callable[..., Destination]
) -> None:
    """A client that does not read stops the destination, and loses nothing."""
    octets = random.Random(5).randbytes(24 * MIB)
    sent: list[int] = [0]

    def serve(connection: socket.socket) -> None:
        for start in range(0, len(octets), 65536):
            connection.sendall(octets[start : start + 65536])
            sent[0] = start

    server = destination(serve)
    with within(tickets), Client(gateway.port, initiator()) as client:
        client.login(2).request("127.0.0.1", server.port)
        until(lambda: sent[0] > 0)
        time.sleep(0.3)
        assert sent[0] < len(octets) - 8 * MIB
        came = bytearray()
        while more := client.receive():
            came += more
    assert came == octets


def test_realmsThatAreNotCut(
    realm: Realm,
    tickets: dict[str, str],
    tmp_path: Path,
    destination: Callable[..., Destination],
) -> None:
    """Without C{strip_realms} the user is alice of that realm."""
    server = destination(echo)
    name = f"alice@{REALM}"
    for whole in started(tmp_path, realm, realm.keytab, "", name):
        with within(tickets), Client(whole.port, initiator()) as client:
            client.login(2).request("127.0.0.1", server.port)
        assert raw.decision(whole, server.port)["user"] == name


# Datagrams.


@pytest.mark.parametrize("level", LEVELS)
def test_datagrams(gateway: Running, tickets: dict[str, str], level: int) -> None:
    """
    RFC 1961 section 5: each is a token. Loss, another order and garbage do no
    harm to those that come.
    """
    with (
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as own,
        within(tickets),
        Client(gateway.port, initiator(sequence=False)) as client,
    ):
        for each in (server, own):
            each.bind(("127.0.0.1", 0))
            each.settimeout(PATIENCE)
        port = server.getsockname()[1]
        relay = client.login(level).request("0.0.0.0", 0, 3)
        header = b"\0\0\0\x01\x7f\0\0\1" + port.to_bytes(2, "big")
        messages = [client.wrapped(header + b"%d" % n) for n in range(8)]
        for n in (0, 4, 2, 7, 3):
            changed = bytearray(messages[1])
            changed[-1 - n] ^= 1
            own.sendto(bytes(changed), relay)
            own.sendto(header + b"in the clear", relay)
            own.sendto(messages[n], relay)
            own.sendto(messages[n], relay)
            octets, outer = server.recvfrom(99)
            assert octets == b"%d" % n
            server.sendto(b"echo " + octets, outer)
            message, peer = own.recvfrom(999)
            assert peer == relay
            assert message[:2] == b"\x01\x03"
            assert int.from_bytes(message[2:4], "big") == len(message) - 4
            assert client.unwrapped(message[4:]) == header + b"echo %d" % n
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.recvfrom(99)
    (flow,) = [e for e in until(lambda: gateway.journal("flow")) if e["port"] == port]
    assert (flow["user"], flow["secured"]) == ("alice", LEVELS[level])
    (end,) = until(
        lambda: [
            e for e in gateway.journal("flow-end") if e["session"] == flow["session"]
        ]
    )
    assert (end["sent_datagrams"], end["received_datagrams"]) == (5, 5)


@pytest.mark.parametrize("level", LEVELS)
def test_groups(gateway: Running, tickets: dict[str, str], level: int) -> None:
    """Those of groups are tokens each way, too; what is none is dropped."""
    group, port = f"239.1.7.{level}", 5004
    with (
        closing(member(group, port, "lo")) as hearer,
        closing(speaker("127.0.0.1", "lo")) as sender,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as own,
        within(tickets),
        Client(gateway.port, initiator(sequence=False)) as client,
    ):
        own.bind(("127.0.0.1", 0))
        own.settimeout(PATIENCE)
        client.login(level).send(raw.request5("0.0.0.0", 0, 4))
        assert client.exactly(10)[:2] == b"\x01\0"
        asking = asked_(BIND, RECEIVE | SEND | MULTICAST, (group, port), ttl=1)
        client.send(asking)
        told = client.exactly(27)
        assert told[3] == 0
        relay = socket.inet_ntoa(told[14:18]), int.from_bytes(told[18:20], "big")
        header = bytes(4) + told[9:13]
        own.sendto(header + b"in the clear", relay)
        own.sendto(client.wrapped(header + b"up"), relay)
        assert heard(hearer)[0] == b"up"
        sender.sendto(b"down", (group, port))
        assert heard(hearer)[0] == b"down"
        message, peer = own.recvfrom(999)
        assert peer == relay
        assert message[:2] == b"\x01\x03"
        assert client.unwrapped(message[4:]) == header + b"down"
    (flow,) = [e for e in gateway.journal("flow") if e["asked"] == group]
    assert (flow["user"], flow["secured"]) == ("alice", LEVELS[level])


# Who does not get in.


def failed(gateway: Running, before: int) -> dict[str, Any]:
    """The next line of a failed login."""
    lines: list[dict[str, Any]] = until(
        lambda: gateway.journal("login-failed")[before:]
    )
    assert len(lines) == 1
    return lines[0]


def refused(gateway: Running, token: bytes) -> dict[str, Any]:
    """
    A context's token that is answered by the two octets of an abort, and
    nothing else; its line in the journal, which has nothing of the token.
    """
    before = len(gateway.journal("login-failed"))
    with closing(raw.dial(gateway.port)) as connection:
        connection.sendall(b"\x05\x01\x01" + frame(1, token))
        assert raw.exactly(connection, 4) == b"\x05\x01" + REFUSED
        assert connection.recv(1) == b""
    line = failed(gateway, before)
    assert len(token) < 60 or repr(token[20:60])[2:-1] not in str(line)
    assert (line["event"], line["method"]) == ("login-failed", "gssapi")
    return line


def test_garbage(gateway: Running) -> None:
    """No token of Kerberos's."""
    chance = random.Random(1961)
    for octets in (
        b"\x60",
        chance.randbytes(2000),
        b"\x60\x82" + chance.randbytes(900),
    ):
        assert refused(gateway, octets)["reason"] == "bad-token"


def test_changedToken(gateway: Running, tickets: dict[str, str]) -> None:
    """A real one with a bit changed here and there; and the same one twice."""
    chance = random.Random(3)
    with within(tickets):
        token = initiator().step()
        for _ in range(10):
            changed = bytearray(token)
            changed[chance.randrange(200, len(token))] ^= 1 << chance.randrange(8)
            assert refused(gateway, bytes(changed))["reason"] == "bad-token"
        for cut in (20, 40, 80):
            # The library has no words of its own for all of these.
            line = refused(gateway, token[:cut])
            assert line["reason"] == "bad-token"
            assert line["why"] not in ("", "Success")
        with Client(gateway.port, initiator()) as client:
            client.greet()
            client.connection.sendall(frame(1, token))
            client.message(1)
    assert refused(gateway, token)["why"] == "Request is a replay"


def test_keysThatDoNotFit(
    realm: Realm,
    tickets: dict[str, str],
    tmp_path: Path,
    destination: Callable[..., Destination],
) -> None:
    """
    A service that is not in the keytab; one that is, with another key; a
    ticket that has expired on its way. And a session ends with its ticket.
    """

    def cut(connection: socket.socket) -> None:
        # A session that is ended early is no orderly end, there either.
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    server = destination(cut)
    realm.services(tmp_path / "unused", "host/localhost", "imap/localhost")
    other = Realm(tmp_path / "other", REALM)
    keytab = other.services(tmp_path / "mixed.keytab", "rcmd/localhost")
    realm.administer(f"ktadd -norandkey -k {keytab} imap/localhost")
    strict = tmp_path / "strict.conf"
    strict.write_text(
        (realm.directory / "krb5.conf")
        .read_text()
        .replace("[libdefaults]", "[libdefaults]\n clockskew = 1")
    )
    with within(tickets):
        absent, changed = initiator("host@localhost").step(), initiator().step()
    with within(realm.tickets(life="2s")):
        old = initiator("imap@localhost").step()
    born = time.monotonic()
    for wrong in started(tmp_path / "gw", realm, keytab, KRB5_CONFIG=str(strict)):
        # Who has a session keeps it until the ticket ends.
        with within(realm.tickets(life="2s")):
            client = Client(wrong.port, initiator("imap@localhost")).login(1)
        client.request("127.0.0.1", server.port)
        assert "host/localhost" in refused(wrong, absent)["why"]
        assert "rcmd/localhost" in refused(wrong, changed)["why"]
        time.sleep(max(0.0, born + 3.5 - time.monotonic()))
        assert refused(wrong, old)["why"] in ("Ticket expired", "Clock skew too great")
        with client, pytest.raises(ConnectionResetError):
            client.receive()
        assert raw.end(wrong, server.port)["why"] == "the login has expired"


def test_levelInTheClear(gateway: Running, tickets: dict[str, str]) -> None:
    """
    NEC's way is accepted here, and answered in kind; then tokens are due, and
    nothing else is taken.
    """
    with within(tickets), Client(gateway.port, initiator()) as client:
        client.greet()
        client.connection.sendall(frame(1, client.context.step()))
        client.context.step(client.message(1))
        client.connection.sendall(frame(2, b"\0"))
        assert client.message(2) == b"\2"
        client.connection.sendall(raw.request5("127.0.0.1", 9))
        with pytest.raises(ConnectionResetError):
            client.connection.recv(1)


def test_bitFlips(realm: Realm, tickets: dict[str, str]) -> None:
    """
    Of 2,000 of Kerberos's tokens with a bit changed not one gives what the
    client has not said. RRC, octets 6 and 7, may turn the token by a multiple
    of its length, which changes nothing: RFC 4121 section 4.2.5.
    """
    from socksgw.plugins.gssapi_kerberos import Kerberos
    from socksgw.wire.encapsulation import Encapsulation
    from socksgw.wire.gssapi import Level
    from socksgw.wire.reader import WireError

    class Reactor:
        """Threads are not needed here."""

    chance = random.Random(1961)
    with within({**realm.environment, **tickets}):
        client = initiator(sequence=False)
        context = Kerberos(realm.keytab, Reactor()).accept()
        client.step(context._step(client.step()))
    assert (context.name, context.realm) == (b"alice", REALM)
    for secret, level in ((False, Level.INTEGRITY), (True, Level.CONFIDENTIALITY)):
        protection = Encapsulation(context, level)
        for n in range(1000):
            said = b"x" * (n % 99)
            message = bytearray(frame(3, client.wrap(said, secret).message))
            bit = chance.randrange(32, 8 * len(message))
            message[bit // 8] ^= 1 << bit % 8
            try:
                heard = protection.unwrapDatagram(bytes(message))
            except WireError:
                continue
            assert bit // 8 - 4 in (6, 7)
            assert heard == said
        good = frame(3, client.wrap(b"good", secret).message)
        assert protection.unwrapDatagram(good) == b"good"


def test_keytabs(realm: Realm, tmp_path: Path) -> None:
    """What cannot be used is said at the start, with the place and the remedy."""
    from socksgw.plugins.gssapi_kerberos import Kerberos

    for name, octets, mode in (
        ("empty", b"", 0o600),
        ("text", b"no keytab", 0o600),
        ("open", realm.keytab.read_bytes(), 0o644),
        ("good", realm.keytab.read_bytes(), 0o600),
    ):
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(mode)
    (tmp_path / "directory").mkdir()
    with within(realm.environment):
        for name, said in {
            "absent": "absent: No such file or directory",
            "empty": "empty: ",
            "text": "text: ",
            "open": "open: others can read it; remedy: chmod o-rwx",
            "directory": "directory: Is a directory",
        }.items():
            with pytest.raises(ValueError, match=said):
                Kerberos(tmp_path / name, object())
        Kerberos(tmp_path / "good", object())
    text = CONFIGURATION.format(strip="", gssapi='keytab = "open"', user="alice")
    (tmp_path / "gw.toml").write_text(text)
    checked = socksgw("check", str(tmp_path / "gw.toml"))
    assert checked.returncode == 2
    assert f'auth.gssapi: "gssapi": {tmp_path}/open: others' in checked.stdout


def test_aKeytabOfRoot(realm: Realm) -> None:
    """Who may not read it is told whose it has to be, and not to make it again."""
    from socksgw.plugins.gssapi_kerberos import Kerberos

    user = os.geteuid()
    us = user or 65534
    # Where any user may go.
    keytab = Path("/dev/shm") / f"socksgw-{os.getpid()}.keytab"
    keytab.touch(0o600 if user == 0 else 0)
    try:
        os.seteuid(us)
        with pytest.raises(ValueError, match=f"let user {us} .*chown {us} {keytab}"):
            Kerberos(keytab, object())
    finally:
        os.seteuid(user)
        keytab.unlink()


def test_aKeytabThatBecomesReadable(
    gateway: Running,
    realm: Realm,
    tickets: dict[str, str],
    destination: Callable[..., Destination],
) -> None:
    """
    While running: nobody gets in from then on, and log and journal say why and
    what to do; when its mode is mended all is as before.
    """
    port = destination(echo).port

    def served() -> None:
        with within(tickets), Client(gateway.port, initiator()) as client:
            client.login(1).request("127.0.0.1", port)

    served()
    remedy = f"chmod o-rwx {realm.keytab}"
    realm.keytab.chmod(0o644)
    try:
        with (
            within(tickets),
            Client(gateway.port, initiator()) as client,
            pytest.raises(AssertionError, match="aborted"),
        ):
            client.login(1)
        failed = gateway.journal("login-failed")[-1]
        assert failed["reason"] == "store-unreadable"
        assert failed["why"].endswith(remedy)
        until(lambda: gateway.journal("stores"))
        assert gateway.journal("stores")[-1]["problems"][0].endswith(remedy)
        assert gateway.log.count(f"#error] {realm.keytab}: others can read it") == 1
    finally:
        realm.keytab.chmod(0o600)
    served()
    until(lambda: gateway.journal("stores")[-1]["problems"] == [])


# curl.


@pytest.mark.parametrize("nec", [False, True])
def test_curl(
    gateway: Running, tickets: dict[str, str], nec: bool, tmp_path: Path
) -> None:
    """
    curl asks for level 1 or 2 and can only do 0, so it works where that is all
    there is.

    Debian 12's (7.88, lib/socks.c) forgets that it offered GSSAPI when it has to
    wait for the method (so strace makes it late in asking), and takes the end of
    the negotiation for an error, before it makes its request. The negotiation
    itself is whole.
    """
    port = gateway.ports[1]
    before = len(gateway.journal())
    command = [program("strace", "strace"), "-f", "-qq", "-o", str(tmp_path / "trace")]
    command += ["-e", "trace=recvfrom", "-e", "inject=recvfrom:delay_enter=50000"]
    command += [program("curl", "curl"), "-sS", "-m", "30", "--noproxy", ""]
    command += ["--proxy", f"socks5h://localhost:{port}", "--socks5-gssapi"]
    command += ["--socks5-gssapi-service", "rcmd"]
    command += ["--socks5-gssapi-nec"] if nec else []
    with Web("127.0.0.1") as web:
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{web.port}/curl"],
            env={**os.environ, **tickets},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    lines = until(lambda: gateway.journal()[before:])
    assert lines[0]["event"] in ("decision", "refused")
    assert (lines[0]["user"], lines[0]["method"]) == ("alice", "gssapi")
    if done.returncode:
        assert "Undocumented SOCKS5 mode" in done.stderr, done.stderr
        assert lines[0]["reason"] == "client-lost"
    else:
        assert "served: /curl" in done.stdout
        assert "secured" not in lines[0]


#: What libcurl does for a person who types the URL; its log goes to stderr.
LIBCURL = """
import io, sys, pycurl
port, nec, url = sys.argv[1:]
page, curl = io.BytesIO(), pycurl.Curl()
for option, value in (
    (pycurl.URL, url),
    (pycurl.PROXY, f"localhost:{port}"),
    (pycurl.PROXYTYPE, pycurl.PROXYTYPE_SOCKS5_HOSTNAME),
    (pycurl.NOPROXY, ""),
    (pycurl.SOCKS5_GSSAPI_SERVICE, "rcmd"),
    (pycurl.SOCKS5_GSSAPI_NEC, int(nec)),
    (pycurl.TIMEOUT, 30),
    (pycurl.VERBOSE, 1),
    (pycurl.WRITEDATA, page),
):
    curl.setopt(option, value)
curl.perform()
print(pycurl.version, page.getvalue().decode())
"""


@pytest.mark.parametrize("nec", [False, True])
def test_libcurl(gateway: Running, tickets: dict[str, str], nec: bool) -> None:
    """A libcurl of today, which pycurl brings, gets its page."""
    package("pycurl")
    with Web("127.0.0.1") as web:
        url = f"http://127.0.0.1:{web.port}/libcurl"
        done = subprocess.run(
            [sys.executable, "-c", LIBCURL, str(gateway.ports[1]), str(int(nec)), url],
            env={**os.environ, **tickets},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "served: /libcurl" in done.stdout, done.stderr
        line = raw.decision(gateway, web.port)
    assert (line["user"], line["method"]) == ("alice", "gssapi")
    assert "secured" not in line


# Dante's client.


def _danteHasGssapi() -> bool:
    """
    Whether the library that C{socksify} preloads can do it at all; Debian
    builds it without.
    """
    library = os.environ.get("SOCKS_LIBRARY") or ctypes.util.find_library("dsocksd")
    if not library:
        return False
    found = subprocess.run(["ldd", _path(library)], capture_output=True, text=True)
    return "libgssapi" in found.stdout


def _path(library: str) -> str:
    if "/" in library:
        return library
    listed = subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout
    match = re.search(rf"{re.escape(library)}.* => (\S+)", listed)
    return match[1] if match else library


def _library() -> dict[str, str]:
    """C{socksify} takes name and folder."""
    library = os.environ.get("SOCKS_LIBRARY")
    if library is None:
        return {}
    return {"SOCKS_LIBRARY": library, "SOCKS_LIBDIR": str(Path(library).parent)}


@pytest.fixture
def dante() -> None:
    """A client of Dante's that can do it."""
    if not _danteHasGssapi():
        missing(
            "GSSAPI in Dante's client (Debian's is built without; .ci/dante builds "
            "one, and SOCKS_LIBRARY names its libdsocks.so)"
        )


@pytest.mark.usefixtures("dante")
@pytest.mark.parametrize("level", LEVELS)
def test_dante(
    gateway: Running,
    tickets: dict[str, str],
    quiet: dict[str, str],
    tmp_path: Path,
    level: int,
) -> None:
    """Dante's client over TCP."""
    environment = {**quiet, **tickets, **_library()}
    socksify = Socksify(tmp_path, environment, gateway.port, gssapi=LEVELS[level])
    with Web("127.0.0.1") as web:
        done = socksify(
            program("curl", "curl"), "-sS", f"http://127.0.0.1:{web.port}/dante"
        )
        assert "served: /dante" in done.stdout, (done, (tmp_path / "socksify.log"))
        line = raw.decision(gateway, web.port)
    assert (line["user"], line["secured"]) == ("alice", LEVELS[level])


@pytest.mark.usefixtures("dante")
@pytest.mark.parametrize("level", LEVELS)
def test_danteDatagrams(
    gateway: Running,
    tickets: dict[str, str],
    quiet: dict[str, str],
    tmp_path: Path,
    level: int,
) -> None:
    """
    Dante's client over UDP: dig asks a name server through it (by sendmsg(2),
    since no wrapper sees its sendmmsg).
    """
    environment = {**quiet, **tickets, **_library()}
    socksify = Socksify(tmp_path, environment, gateway.port, gssapi=LEVELS[level])
    strace: tuple[str, ...] = (
        program("strace", "strace"),
        "-f",
        "-qq",
        "-o",
        "/dev/null",
    )
    strace += ("-e", "trace=sendmmsg", "-e", "inject=sendmmsg:error=ENOSYS")
    with KnownNames({"www.corp.example": "192.0.2.80"}) as names:
        command = [program("dig", "bind9-dnsutils"), "+tries=1", "+time=20", "+short"]
        command += ["-p", str(names.port), "@127.0.0.1", "www.corp.example", "A"]
        done = socksify(*command, prefix=strace)
        assert done.stdout.strip() == "192.0.2.80", done
        flows = until(
            lambda: [e for e in gateway.journal("flow") if e["port"] == names.port]
        )
    assert (flows[0]["user"], flows[0]["secured"]) == ("alice", LEVELS[level])
