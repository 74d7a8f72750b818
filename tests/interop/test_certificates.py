"""
Certificates, CA and CRL that change while the gateway serves: new ones count
at once, and whose certificate is accepted no longer is out within a second or
two.
"""

from __future__ import annotations

import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.interop.partners import CONFIGURATION, NAME, House, housed
from tests.live import raw
from tests.live.datagrams import Echo, addressed
from tests.live.running import OPEN, Running
from tests.live.servers import Destination, echo, untilEnd
from tests.tools.certificates import Authority, Issued, pemOf, pemOfKey, server
from tests.tools.waiting import until

#: Seconds in which whoever is out is out: a look a second, and a busy machine.
SOON = 5.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway for all; who breaks something mends it."""
    yield from housed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_(destination: Callable[..., Destination]) -> Destination:
    """It sends back what it gets."""
    return destination(echo)


def through(house: House, issued: Issued, port: int) -> ssl.SSLSocket:
    """A session that lives."""
    client = house.dial(issued)
    try:
        raw.through(client, "127.0.0.1", port)
    except BaseException:
        client.close()
        raise
    return client


def lives(client: socket.socket) -> None:
    """Octets go both ways."""
    client.sendall(b"hello")
    assert raw.exactly(client, 5) == b"hello"


def isOut(client: socket.socket) -> None:
    """It is cut off, and not in order."""
    client.settimeout(SOON)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.recv(100)


def told(house: House, event: str, before: int) -> list[dict[str, Any]]:
    """Lines of the journal that are new."""
    until(lambda: len(house.gateway.journal(event)) > before, SOON)
    return house.gateway.journal(event)[before:]


def refused(house: House, issued: Issued) -> str:
    """Nobody gets in by it: why."""
    before = len(house.gateway.journal("refused"))
    try:
        with house.dial(issued) as client:
            client.sendall(raw.GREETING)
            assert untilEnd(client) == b""
    except (ssl.SSLError, ConnectionError):
        pass
    why: str = told(house, "refused", before)[0]["why"]
    return why


def shown(house: House) -> x509.Certificate:
    """The certificate that the gateway shows."""
    with house.dial(house.root.issue(NAME)) as client:
        octets = client.getpeercert(True)
        assert octets is not None
        return x509.load_der_x509_certificate(octets)


def test_anotherCertificate(house: House, server_: Destination) -> None:
    """Shown from then on; sessions that live do not notice."""
    with through(house, house.root.issue(NAME), server_.port) as client:
        lives(client)
        new = server(house.root)
        house.show(new)
        until(lambda: shown(house) == new.certificate, SOON)
        lives(client)


def test_brokenCertificate(house: House, server_: Destination) -> None:
    """The last good one is shown; said once, in log and journal."""
    good = shown(house)
    before = len(house.gateway.journal("tls-failed"))
    house.put("gw.key", b"no key")
    lines = told(house, "tls-failed", before)
    # Every listener that shows it.
    until(lambda: len(house.gateway.journal("tls-failed")) == before + 4)
    assert {line["listener"] for line in lines} <= {
        "partners",
        "either",
        "anybody",
        "unnamed",
    }
    assert "key:" in lines[0]["problems"][0]
    assert 'TLS of "partners": key:' in house.gateway.log
    assert shown(house) == good
    with through(house, house.root.issue(NAME), server_.port) as client:
        lives(client)
    assert len(house.gateway.journal("tls-failed")) == before + 4
    house.show(server(house.root))
    until(lambda: shown(house) != good, SOON)


def test_revoked(house: House, server_: Destination) -> None:
    """
    Whoever is revoked is out, with the reason in the record, also with an
    association; others stay.
    """
    bob, carol = house.below.issue(NAME), house.root.issue(NAME)
    sessions = len(house.gateway.journal("end"))
    with (
        Echo() as datagrams,
        through(house, bob, server_.port) as client,
        through(house, carol, server_.port) as other,
        house.dial(bob) as control,
        socket.socket(type=socket.SOCK_DGRAM) as sender,
    ):
        control.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, 3))
        raw.exactly(control, 2)
        code, host, port = raw.reply5(control)
        assert code == 0
        sender.settimeout(10)
        octets = addressed(*datagrams.place) + b"hello"
        sender.sendto(octets, (host, port))
        assert sender.recv(100) == octets
        house.revoke(bob.certificate)
        isOut(client)
        isOut(control)
        lives(other)
    lines = told(house, "end", sessions)[:2]
    assert {line["reason"] for line in lines} == {"revoked"}
    assert {line["why"] for line in lines} == {
        "the client's certificate: it is revoked"
    }
    assert "revoked" in refused(house, bob)


def test_brokenList(house: House, server_: Destination) -> None:
    """
    A list that cannot be read lets nobody in, and turns nobody out. When it is
    good again, all goes on.
    """
    bob = house.root.issue(NAME)
    before = len(house.gateway.journal("tls-failed"))
    with through(house, bob, server_.port) as client:
        (house.directory / "crl.pem").unlink()
        assert told(house, "tls-failed", before)[0]["listener"] == "partners"
        assert "crl.pem: No such file" in refused(house, bob)
        lives(client)
        house.revoke()
        until(lambda: _serves(house, bob, server_.port), SOON)
        lives(client)


def _serves(house: House, issued: Issued, port: int) -> bool:
    try:
        with closing(through(house, issued, port)) as client:
            lives(client)
    except (ssl.SSLError, ConnectionError, AssertionError):
        return False
    return True


def test_staleList(house: House, server_: Destination) -> None:
    """
    A list whose nextUpdate has passed lets nobody in, and turns nobody out;
    that is told once.
    """
    bob = house.root.issue(NAME)
    before = len(house.gateway.journal("tls-failed"))
    with through(house, bob, server_.port) as client:
        house.revoke(until=-timedelta(minutes=5))
        lines = told(house, "tls-failed", before)
        assert "stale" in lines[0]["problems"][0]
        assert "stale" in refused(house, bob)
        lives(client)
        assert len(house.gateway.journal("tls-failed")) == before + 1
        house.revoke()
        until(lambda: _serves(house, bob, server_.port), SOON)


def test_expires(house: House, server_: Destination) -> None:
    """A session lasts as long as the certificate that it came by."""
    short = house.root.issue(NAME, after=timedelta(seconds=2))
    ends = short.certificate.not_valid_after_utc.timestamp()
    sessions = len(house.gateway.journal("end"))
    with through(house, short, server_.port) as client:
        lives(client)
        isOut(client)
        assert -0.1 <= time.time() - ends < SOON
    (line,) = told(house, "end", sessions)
    assert (line["reason"], line["why"]) == ("revoked", "the login has expired")
    # The second of notAfter is still its own (RFC 5280 section 4.1.2.5).
    until(lambda: time.time() > ends + 1)
    assert "expired" in refused(house, short)


def test_reload(house: House, server_: Destination) -> None:
    """
    A reload reads them, too: with anything wrong nothing changes; with a CA
    that does not know somebody, they are out.
    """
    bob = house.root.issue(NAME)
    gateway = house.gateway
    failed, reloaded = (len(gateway.journal(e)) for e in ("reload-failed", "reloaded"))
    with through(house, bob, server_.port) as client:
        text = CONFIGURATION.replace('crl = "crl.pem"', 'crl = "nowhere.pem"')
        (house.directory / "gw.toml").write_text(text)
        gateway.process.send_signal(signal.SIGHUP)
        (line,) = told(house, "reload-failed", failed)
        assert "listen[1].tls.crl" in line["problems"][0]
        lives(client)
        assert _serves(house, bob, server_.port)
        other = Authority()
        house.put("others.pem", pemOf(other.certificate))
        house.put("others.crl", other.revoke())
        text = CONFIGURATION.replace("ca.pem", "others.pem")
        text = text.replace("crl.pem", "others.crl")
        (house.directory / "gw.toml").write_text(text)
        gateway.process.send_signal(signal.SIGHUP)
        assert told(house, "reloaded", reloaded)[0]["ended"] == 1
        isOut(client)
    (house.directory / "gw.toml").write_text(CONFIGURATION)
    gateway.process.send_signal(signal.SIGHUP)
    told(house, "reloaded", reloaded + 1)
    assert _serves(house, bob, server_.port)


def test_plainBecomesTLS(
    gateway: Callable[..., Running], tmp_path: Path, server_: Destination
) -> None:
    """A listener that is given TLS by a reload has it from the next client on."""
    directory = tmp_path / "gateway0"
    directory.mkdir()
    root = Authority()
    own = server(root)
    (directory / "gw.pem").write_bytes(pemOf(*own.chain))
    (directory / "gw.key").touch(0o600)
    (directory / "gw.key").write_bytes(pemOfKey(own.key))
    started = gateway(OPEN)
    with closing(raw.dial(started.port)) as before:
        raw.through(before, "127.0.0.1", server_.port)
        text = OPEN.replace(
            "[[auth", '[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\n[[auth'
        )
        (directory / "gw.toml").write_text(text)
        started.process.send_signal(signal.SIGHUP)
        until(lambda: started.journal("reloaded"))
        lives(before)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(raw.dial(started.port)) as client:
        raw.through(client, "127.0.0.1", server_.port)
        lives(client)


def test_expiredBetweenTwoRequests(house: House) -> None:
    """A connection that its certificate has logged in lasts longer; its login does not."""
    request = b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n"
    before = len(house.gateway.journal("login-failed"))
    short = house.root.issue(NAME, after=timedelta(seconds=3))
    end = short.certificate.not_valid_after_utc
    with house.dial(short) as client:
        client.sendall(request)
        assert raw.exactly(client, 13) == b"HTTP/1.1 502 "
        while not client.recv(65536).endswith(b"reached.\n"):
            pass
        until(lambda: datetime.now(UTC) > end, SOON)
        client.sendall(request)
        answers = b""
        while b"HTTP/1.1 403 " not in answers:
            came = client.recv(65536)
            assert came
            assert b"HTTP/1.1 502 " not in came
            answers += came
    line = told(house, "login-failed", before)[0]
    assert (line["reason"], line["method"]) == ("login-expired", "certificate")
