"""
TLS listeners, with real clients: who gets in by which certificate, and what
works inside.
"""

from __future__ import annotations

import random
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from tests.interop.partners import BOB, NAME, STRICT, House, housed
from tests.live import raw
from tests.live.clients import four
from tests.live.datagrams import Echo, addressed, replied
from tests.live.protocols import PROTOCOLS
from tests.live.running import socksgw
from tests.live.servers import (
    PATIENCE,
    Daemon,
    Destination,
    Recorder,
    Web,
    echo,
    freePort,
    program,
    sha256,
    untilEnd,
)
from tests.tools.certificates import (
    SERVER,
    Authority,
    Issued,
    dns,
    pemOf,
    rawName,
)
from tests.tools.sockets import RESET
from tests.tools.waiting import until

MIB = 1 << 20
UP = random.Random(30).randbytes(10 * MIB)
DOWN = random.Random(31).randbytes(10 * MIB)

PARTNERS, EITHER, ANYBODY, UNNAMED = range(4)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway for all."""
    yield from housed(tmp_path_factory.mktemp("tls"))


def printOf(issued: Issued) -> str:
    """The SHA-256 of a certificate."""
    return issued.certificate.fingerprint(SHA256()).hex()


def serialOf(issued: Issued) -> str:
    """A certificate's number, as openssl x509 -serial prints it: whole octets."""
    digits = f"{issued.certificate.serial_number:X}"
    return "0" * (len(digits) % 2) + digits


# Real programs.


def socat(house: House, bob: Issued, port: int, log: Path) -> Daemon:
    """socat, which brings plain clients to the TLS listener."""
    key = bob.writeTogether(house.directory, "socat")
    to = f"OPENSSL:127.0.0.1:{house.partners},openssl-commonname=localhost"
    to += f",cafile={house.directory / 'ca.pem'},cert={key}"
    at = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
    return Daemon([program("socat", "socat"), at, to], port, log, {})


def stunnel(house: House, bob: Issued, port: int, log: Path) -> Daemon:
    """stunnel, the same."""
    key = bob.writeTogether(house.directory, "stunnel")
    file = house.directory / "stunnel.conf"
    file.write_text(
        "foreground = yes\npid =\n[gw]\nclient = yes\nverifyChain = yes\n"
        f"accept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{house.partners}\n"
        f"CAfile = {house.directory / 'ca.pem'}\ncert = {key}\n"
        "checkHost = localhost\n"
    )
    return Daemon([program("stunnel", "stunnel4"), str(file)], port, log, {})


@pytest.mark.parametrize("wrapper", [socat, stunnel])
def test_curl(
    house: House,
    web: Callable[..., Web],
    quiet: dict[str, str],
    tmp_path: Path,
    wrapper: Callable[..., Daemon],
) -> None:
    """
    curl through another program's TLS: 10 MiB up, and the user of the
    certificate is on record.
    """
    (tmp_path / "up").write_bytes(UP)
    port = freePort(kind=socket.SOCK_STREAM)
    bob = house.below.issue(NAME)
    with wrapper(house, bob, port, tmp_path / "log") as daemon:
        command = [program("curl", "curl"), "-sS", "--fail", "--data-binary"]
        command += [f"@{tmp_path / 'up'}", "-x", f"socks5://127.0.0.1:{port}"]
        command += [f"http://127.0.0.1:{web().port}/"]
        done = subprocess.run(
            command, env=quiet, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr.decode() + daemon.log
    assert done.stdout.decode() == sha256(UP)
    line = raw.decision(house.gateway, web().port)
    assert (line["user"], line["method"]) == (BOB, "certificate")
    assert (line["verdict"], line["secured"]) == ("allow", "confidentiality")
    assert (line["tls_version"], line["fingerprint"]) == ("TLSv1.3", printOf(bob))
    assert line["serial"] == serialOf(bob)


def test_curlOfHttps(
    house: House, web: Callable[..., Web], quiet: dict[str, str], tmp_path: Path
) -> None:
    """
    curl speaks HTTP to the gateway in TLS of its own, and its certificate logs it
    in; with one that names nobody it comes in as anonymous.
    """
    (tmp_path / "up").write_bytes(UP)
    server = web()
    for issued, login in (
        (house.below.issue(NAME), (BOB, "certificate")),
        (house.root.issue(), ("anonymous", "none")),
    ):
        chain, key = issued.write(tmp_path, "curl")
        command = [program("curl", "curl"), "-sS", "--fail", "--proxytunnel"]
        command += ["--data-binary", f"@{tmp_path / 'up'}", "--noproxy", ""]
        command += ["-x", f"https://localhost:{house.gateway.ports[EITHER]}"]
        command += ["--proxy-cert", str(chain), "--proxy-key", str(key)]
        command += ["--proxy-cacert", str(house.directory / "ca.pem")]
        command += [f"http://127.0.0.1:{server.port}/"]
        done = subprocess.run(
            command, env=quiet, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode() == sha256(UP)
        line = raw.decision(house.gateway, server.port)
        assert (line["protocol"], line["secured"]) == ("http", "confidentiality")
        assert (line["user"], line["method"]) == login


def sClient(
    house: House, issued: Issued | None, *more: str, octets: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """C{openssl s_client} against the listener that wants a certificate."""
    command = [program("openssl", "openssl"), "s_client", "-connect"]
    command += [f"127.0.0.1:{house.partners}", "-CAfile", "ca.pem", "-no_ign_eof"]
    if issued is not None:
        file, key = issued.write(house.directory, "s_client")
        command += ["-cert", str(file), "-key", str(key), "-cert_chain", str(file)]
    return subprocess.run(
        [*command, *more],
        cwd=house.directory,
        input=octets,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def test_sClient(house: House, destination: Callable[..., Destination]) -> None:
    """A banner through the gateway, and then an orderly end."""
    server = destination(lambda c: c.sendall(b"220 ready\r\n"))
    octets = raw.GREETING + raw.request5("127.0.0.1", server.port)
    done = sClient(house, house.root.issue(NAME), "-quiet", octets=octets)
    assert done.stdout[:4] == b"\x05\0\x05\0"
    assert done.stdout.endswith(b"220 ready\r\n")
    assert raw.decision(house.gateway, server.port)["user"] == BOB


STRANGER = Authority()


def withdraw(house: House, issued: Issued) -> None:
    """Revoke it; that is seen within a second."""
    before = len(house.gateway.journal("tls-read"))
    house.revoke(issued.certificate)
    until(lambda: len(house.gateway.journal("tls-read")) > before)


def revoked(house: House) -> Issued:
    bob = house.below.issue(NAME)
    withdraw(house, bob)
    return bob


MINUTES = timedelta(minutes=5)
NUL = rawName(0x81, b"bob@partner.example\0.evil.example")
BAD: dict[str, tuple[Callable[[House], Issued | None], str]] = {
    "expired": (lambda h: h.root.issue(NAME, after=-MINUTES), "expired"),
    "early": (lambda h: h.root.issue(NAME, before=MINUTES), "not valid yet"),
    "revoked": (revoked, "revoked"),
    "wrong-ca": (lambda _: STRANGER.issue(NAME), "client_ca"),
    "wrong-usage": (lambda h: h.root.issue(NAME, usage=(SERVER,)), "key usage"),
    "nul-in-name": (lambda h: h.root.issue(raw=NUL), "control characters"),
    "none": (lambda _: None, "has shown no certificate"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad(house: House, kind: str) -> None:
    """
    Nobody gets in by it: SOCKS is not heard, and why is on record. OpenSSL's
    client need not say so: in TLS 1.3 it is done before the server is.
    """
    make, why = BAD[kind]
    issued = make(house)
    decided = len(house.gateway.journal("decision"))
    before = len(house.gateway.journal("refused"))
    octets = raw.GREETING + raw.request5("127.0.0.1", 80)
    for version in ("-tls1_3", "-tls1_2"):
        done = sClient(house, issued, "-quiet", version, octets=octets)
        assert done.stdout == b""
        assert done.returncode != 0
    until(lambda: len(house.gateway.journal("refused")) == before + 2)
    refused = house.gateway.journal("refused")[before:]
    assert {line["reason"] for line in refused} == {"certificate"}
    assert all(why in line["why"] for line in refused), refused
    # The one that is refused is named; it is not always as far as its version.
    shown = [line.get("fingerprint") for line in refused]
    assert shown == [None if issued is None else printOf(issued)] * 2
    assert [line["tls_version"] for line in refused if issued] == (
        ["TLSv1.3", "TLSv1.2"] if issued else []
    )
    assert len(house.gateway.journal("decision")) == decided


def test_oldVersions(house: House) -> None:
    """TLS 1.1 and older: the gateway's own alert says no."""
    for version in ("-tls1_1", "-tls1"):
        done = sClient(
            house, house.root.issue(NAME), version, "-cipher", "ALL:@SECLEVEL=0"
        )
        assert done.returncode != 0
        assert b"alert protocol version" in done.stderr


def test_noRenegotiation(house: House) -> None:
    """A client that asks for it is told no."""
    done = sClient(house, house.root.issue(NAME), "-tls1_2", octets=b"R\n")
    assert b"Compression: NONE" in done.stdout
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sClientResumes(
    house: House, destination: Callable[..., Destination], version: str, tmp_path: Path
) -> None:
    """The certificate of a session that is resumed logs in, until it is revoked."""
    bob = house.below.issue(NAME)
    session = tmp_path / "session"
    server = destination(lambda c: c.sendall(b"220 ready\r\n"))
    octets = raw.GREETING + raw.request5("127.0.0.1", server.port)
    more = version, "-ign_eof"
    ways = ("-sess_out", b"New, "), ("-sess_in", b"Reused, "), ("-sess_in", b"Reused, ")
    for way, word in ways:
        done = sClient(house, bob, *more, way, str(session), octets=octets)
        assert word in done.stdout
        assert b"220 ready" in done.stdout
        line = raw.decision(house.gateway, server.port)
        assert (line["user"], line["method"]) == (BOB, "certificate")
    withdraw(house, bob)
    done = sClient(house, bob, *more, "-sess_in", str(session), octets=octets)
    assert b"Reused" not in done.stdout
    assert b"220 ready" not in done.stdout


def test_curlResumes(
    house: House, web: Callable[..., Web], quiet: dict[str, str], tmp_path: Path
) -> None:
    """A second tunnel of curl's is of the same session, and of the same user."""
    chain, key = house.below.issue(NAME).write(tmp_path, "curl")
    server = web()
    # Without a word for the end the second transfer is in the first one's tunnel.
    command = [program("curl", "curl"), "-sSv", "--fail", "--proxytunnel"]
    command += ["-H", "Connection: close"]
    command += ["-x", f"https://localhost:{house.partners}", "--noproxy", ""]
    command += ["--proxy-cert", str(chain), "--proxy-key", str(key)]
    command += ["--proxy-cacert", str(house.directory / "ca.pem")]
    command += 2 * [f"http://127.0.0.1:{server.port}/"]
    done = subprocess.run(
        command, env=quiet, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rb"SSL re-?using session", done.stderr), done.stderr
    # The gateway proves itself once only.
    assert len(re.findall(rb"\(IN\), TLS handshake, CERT verify", done.stderr)) == 1
    lines = house.gateway.journal("decision")[-2:]
    assert [(line["port"], line["user"]) for line in lines] == 2 * [(server.port, BOB)]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pythonResumes(
    house: House, destination: Callable[..., Destination], version: ssl.TLSVersion
) -> None:
    """Python's client does where it is told to; not with another set of authorities."""
    server = destination(echo)
    context = ssl.create_default_context(cafile=str(house.directory / "ca.pem"))
    context.maximum_version = version
    context.load_cert_chain(*house.root.issue(NAME).write(house.directory, "python"))

    def session(last: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession]:
        with raw.dial(house.partners) as plain:
            client = context.wrap_socket(
                plain, server_hostname="localhost", session=last
            )
            with client:
                raw.through(client, "127.0.0.1", server.port)
                line = raw.decision(house.gateway, server.port)
                assert (line["user"], line["method"]) == (BOB, "certificate")
                assert client.session is not None
                return bool(client.session_reused), client.session

    reused, last = session(None)
    assert not reused
    reused, last = session(last)
    assert reused
    before = len(house.gateway.journal("tls-read"))
    more = pemOf(house.root.certificate, STRANGER.certificate)
    house.put("ca.pem", more)
    until(lambda: len(house.gateway.journal("tls-read")) > before)
    assert not session(last)[0]


def test_keyUpdate(house: House, destination: Callable[..., Destination]) -> None:
    """A client that wants new keys (RFC 8446 section 4.6.3) gets them, and goes on."""
    server = destination(echo)
    file, key = house.root.issue(NAME).write(house.directory, "update")
    command = [program("openssl", "openssl"), "s_client", "-tls1_3", "-connect"]
    command += [f"127.0.0.1:{house.partners}", "-cert", str(file), "-key", str(key)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            # A command is a line that begins with its letter, and is read alone.
            _until(client.stdout, b"---\n")
            octets = raw.GREETING + raw.request5("127.0.0.1", server.port)
            for said, answer in (
                (b"K\n", b"KEYUPDATE\n"),
                (octets, b""),
                (b"K\n", b"KEYUPDATE\n"),
                (b"\x01the echo\n", b"\x01the echo\n"),
            ):
                client.stdin.write(said)
                client.stdin.flush()
                time.sleep(0.2)
                if answer:
                    _until(client.stdout, answer)
        finally:
            client.terminate()
    assert raw.end(house.gateway, server.port)["sent"] == 10


def _until(output: Any, line: bytes) -> None:
    """Read lines until one ends so."""
    while found := output.readline():
        if found.endswith(line):
            return
    raise AssertionError(f"{line!r} did not come")


# Inside.


def test_socks4a(house: House, destination: Callable[..., Destination]) -> None:
    """SOCKS 4a has no login of its own: the certificate is one."""
    server = destination(echo)
    for host in ("127.0.0.1", b"127.0.0.1"):
        with house.dial(house.root.issue(NAME)) as client:
            client.sendall(raw.request4(host, server.port, userId=b"mallory"))
            assert raw.reply4(client)[0] == 90
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
        line = raw.decision(house.gateway, server.port)
        assert (line["user"], line["method"]) == (BOB, "certificate")


def test_bothWays(house: House, destination: Callable[..., Destination]) -> None:
    """10 MiB each way, with equal hashes, each side ending when it is done."""
    arrived: list[str] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(DOWN)
        connection.shutdown(socket.SHUT_WR)
        arrived.append(sha256(untilEnd(connection)))

    server = destination(serve)
    with closing(halfClosing(house, house.root.issue(NAME))) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", server.port))
        came = read(client, 12 + len(DOWN), sending=UP)
        assert sha256(came[12:]) == sha256(DOWN)
        # Our end, and then theirs.
        client.shutdown()
        with pytest.raises(SSL.ZeroReturnError):
            client.recv(1)
    until(lambda: arrived)
    assert arrived == [sha256(UP)]
    line = raw.end(house.gateway, server.port)
    assert (line["sent"], line["received"]) == (len(UP), len(DOWN))
    assert line["reason"] == "closed"


def halfClosing(house: House, issued: Issued, version: int = 0) -> Any:
    """
    A client that knows the two ends of a connection apart, as Python's does not.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version:
        context.set_max_proto_version(version)
    context.use_certificate(issued.certificate)
    context.use_privatekey(issued.key)
    plain = raw.dial(house.partners)
    # pyOpenSSL has no patience of its own.
    plain.settimeout(None)
    client = SSL.Connection(context, plain)
    client.set_connect_state()
    client.do_handshake()
    return client


def read(client: Any, octets: int, sending: bytes = b"") -> bytes:
    """So many octets, while sending."""
    found, left = bytearray(), memoryview(sending)
    while len(found) < octets or left:
        if left:
            left = left[client.send(left[: 1 << 16]) :]
        if len(found) < octets:
            found += client.recv(min(1 << 17, octets - len(found)))
    return bytes(found)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_halfClose(
    house: House, destination: Callable[..., Destination], version: int
) -> None:
    """
    A client's close_notify is the end of what it sends, and the destination
    is told; what that answers still comes (RFC 8446 section 6.1).
    """
    recorder = Recorder(DOWN[: 3 * MIB + 17])
    server = destination(recorder)
    client = halfClosing(house, house.root.issue(NAME), version)
    with closing(client):
        client.sendall(
            raw.GREETING + raw.request5("127.0.0.1", server.port) + UP[:9999]
        )
        client.shutdown()
        assert read(client, 12 + 3 * MIB + 17)[12:] == DOWN[: 3 * MIB + 17]
        with pytest.raises(SSL.ZeroReturnError):
            client.recv(1)
    until(lambda: recorder.received)
    assert recorder.received == [UP[:9999]]
    assert raw.end(house.gateway, server.port)["reason"] == "closed"


def test_cutOff(house: House, destination: Callable[..., Destination]) -> None:
    """An end without TLS's own word for it is on record as a client lost."""
    server = destination(echo)
    client = house.dial(house.root.issue(NAME))
    raw.through(client, "127.0.0.1", server.port)
    client.shutdown(socket.SHUT_RDWR)
    client.close()
    assert raw.end(house.gateway, server.port)["reason"] == "client-lost"


def test_associate(house: House) -> None:
    """
    UDP ASSOCIATE: the control connection is inside TLS, and the datagrams are not,
    which rules and record tell.
    """
    with Echo() as server, house.dial(house.root.issue(NAME)) as client:
        client.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, 3))
        assert raw.exactly(client, 2) == b"\x05\0"
        code, host, port = replied(client)
        assert code == 0
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(PATIENCE)
            octets = addressed(*server.place) + b"hello"
            datagrams.sendto(octets, (host, port))
            assert datagrams.recv(100) == octets
    (flow,) = [x for x in house.gateway.journal("flow") if x["user"] == BOB]
    association = raw.decision(house.gateway, 0)
    for line in (association, flow):
        assert (line["command"], line["verdict"]) == ("udp", "allow")
        assert (line["rule"], "secured" in line) == ("beside", False)
        # Who it is came by TLS all the same.
        assert {"tls_version", "fingerprint", "serial"} <= set(line)


@pytest.mark.parametrize("inside", [False, True])
def test_datagramsThatHaveToBeProtected(house: House, inside: bool) -> None:
    """
    A rule that wants them protected allows those inside TLS alone; the record tells
    the reason, and C{explain} has the same verdict of it.
    """
    gateway, decided = house.gateway, len(house.gateway.journal("decision"))
    with Echo() as server, house.dial(house.root.issue(STRICT)) as client:
        command = 5 if inside else 3
        client.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, command))
        assert raw.exactly(client, 2) == b"\x05\0"
        assert replied(client)[0] == (0 if inside else 2)
        if inside:
            # The framing of hev: the lengths of the data, and of what is before it.
            place = addressed(*server.place)[3:]
            octets = bytes((0, 5, 3 + len(place))) + place + b"hello"
            client.sendall(octets)
            assert raw.exactly(client, len(octets)) == octets
    (line,) = gateway.journal("decision")[decided:]
    if not inside:
        assert (line["verdict"], line["rule"]) == ("deny", "default")
        assert "secured" not in line
        assert line["why"] == "no rule allows it"
        return
    assert (line["verdict"], line["secured"]) == ("allow", "confidentiality")
    flow = gateway.journal("flow")[-1]
    assert (flow["rule"], flow["secured"]) == ("strict", "confidentiality")
    config = str(house.directory / "gw.toml")
    told = socksgw("explain", "--config", config, "--record", str(flow["n"]))
    assert told.returncode == 0, told.stdout
    assert 'allow by rule "strict"' in told.stdout


def test_bind(house: House) -> None:
    """BIND: two replies, then octets both ways."""
    with house.dial(house.root.issue(NAME)) as client:
        client.sendall(raw.GREETING + b"\x05\x02\0" + four("127.0.0.1") + b"\0\0")
        assert raw.exactly(client, 2) == b"\x05\0"
        code, host, port = raw.reply5(client)
        assert code == 0
        with socket.create_connection((host, port), PATIENCE) as peer:
            assert raw.reply5(client)[0] == 0
            peer.sendall(b"from the peer")
            assert raw.exactly(client, 13) == b"from the peer"


@pytest.mark.parametrize("resets", [True, False])
def test_destinationsEnd(house: House, resets: bool) -> None:
    """
    One that ends in order ends in order here, too; after one that was reset
    TLS's own word for the end never comes.
    """

    def serve(connection: socket.socket) -> None:
        connection.sendall(DOWN[:MIB])
        assert raw.exactly(connection, 4) == b"read"
        if resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    with Destination(serve) as server, house.dial(None, ANYBODY) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", server.port))
        assert raw.exactly(client, 2) == b"\x05\0"
        assert raw.reply5(client)[0] == 0
        assert raw.exactly(client, MIB) == DOWN[:MIB]
        client.sendall(b"read")
        if resets:
            with pytest.raises(ssl.SSLEOFError):
                client.recv(1)
        else:
            assert client.recv(1) == b""


# Who it is.


def asked(house: House, issued: Issued | None, listener: int) -> bytes:
    """What comes of a request for a port that nobody has."""
    with house.dial(issued, listener) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", 1))
        return untilEnd(client)


def test_eitherWay(house: House) -> None:
    """
    `certificate` and `none` have one number on the wire: the certificate
    counts where there is one. The listener has no CRL.
    """
    for issued, user, method in (
        (house.root.issue(NAME), BOB, "certificate"),
        (
            house.root.issue(dns("Host.Partner.Example")),
            "partner/host.partner.example",
            "certificate",
        ),
        (house.root.issue(), "anonymous", "none"),
        (None, "anonymous", "none"),
    ):
        assert asked(house, issued, EITHER)[:4] == b"\x05\0\x05\x05"
        line = raw.decision(house.gateway, 1)
        assert (line["user"], line["method"]) == (user, method)


def test_noCertificateInHttp(house: House) -> None:
    """Where only a certificate logs in, and this one names no user: 403, and why."""
    with house.dial(house.below.issue(NAME)) as client:
        client.sendall(PROTOCOLS["http"].request("127.0.0.1", 1))
        assert PROTOCOLS["http"].reply(client) == 502
    line = raw.decision(house.gateway, 1)
    assert (line["user"], line["method"]) == (BOB, "certificate")
    before = len(house.gateway.journal("refused"))
    with house.dial(house.root.issue()) as client:
        client.sendall(PROTOCOLS["http"].request("127.0.0.1", 1))
        octets = untilEnd(client)
    line = until(lambda: house.gateway.journal("refused")[before:])[0]
    assert octets.startswith(b"HTTP/1.1 403 ")
    assert b"Proxy-Authenticate" not in octets
    assert (line["reason"], line["protocol"]) == ("no-acceptable-method", "http")
    assert '("certificate")' in line["why"]


def test_noneLogsNobodyIn(house: House) -> None:
    """Where `none` is offered, a certificate is not asked for."""
    assert asked(house, house.root.issue(NAME), ANYBODY)[:4] == b"\x05\0\x05\x05"
    assert raw.decision(house.gateway, 1)["user"] == "anonymous"


def test_noName(house: House) -> None:
    """A certificate without a name is nobody's: no method is left."""
    assert asked(house, house.root.issue(), PARTNERS) == b"\x05\xff"
    with house.dial(house.root.issue(), PARTNERS) as client:
        client.sendall(raw.request4("127.0.0.1", 1))
        assert raw.reply4(client)[0] == 91


@pytest.mark.parametrize("name", [b"anonymous", b"users", b"@staff"])
def test_reservedNames(house: House, name: bytes) -> None:
    """Who is called like a word of the policy is not let in by the Portal."""
    bad = house.root.issue(raw=rawName(0x82, name))
    before = len(house.gateway.journal("login-failed"))
    assert asked(house, bad, UNNAMED) == b"\x05\0"
    with house.dial(bad, UNNAMED) as client:
        client.sendall(raw.request4("127.0.0.1", 1))
        assert raw.reply4(client)[0] == 91
    lines = house.gateway.journal("login-failed")[before:]
    assert [line["method"] for line in lines] == ["certificate"] * 2
