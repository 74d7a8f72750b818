"""
What a gateway knows, across C{socksgw restart}: counts, ends, logins, grants, lines, and
what cannot move.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from socksgw.login.passwords import setPassword
from tests.live import raw
from tests.live.restarts import Restarted, restarted
from tests.live.running import LOOPBACK, running
from tests.live.servers import Destination, echo, freePort
from tests.live.transports import TLS
from tests.tools.certificates import Authority, pemOf
from tests.tools.certificates import server as certified
from tests.tools.tokens import AUDIENCE, ISSUER, Issuer, setOf
from tests.tools.waiting import until
from tests.tools.zones import zone

#: A listener with a login, and what fails there.
LOGIN = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 3, per_source = 0, window = "1h" }
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["userpass"]
"""
    + LOOPBACK
)
QUOTA = '[[limit]]\nper = "user"\nquota = "100KB/3650d"\n'
ALL = '[[rule]]\nid = "all"\nallow = ["connect", "bind"]\n'


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


def login(gateway: Restarted, user: bytes, password: bytes) -> socket.socket | None:
    """Return a client that has logged in; L{None} where it was refused."""
    client = raw.dial(gateway.port)
    client.sendall(raw.GREETING_LOGIN + raw.login(user, password))
    assert raw.exactly(client, 2) == b"\x05\x02"
    if raw.exactly(client, 2) == b"\x01\x00":
        return client
    client.close()
    return None


def through(client: socket.socket | None, server: Destination) -> socket.socket:
    """Have a client that has logged in connect."""
    assert client is not None
    client.sendall(raw.request5("127.0.0.1", server.port))
    assert raw.reply5(client)[0] == 0
    return client


def said(client: socket.socket, octets: bytes) -> None:
    """Have an echo."""
    client.sendall(octets)
    assert raw.exactly(client, len(octets)) == octets


def gone(client: socket.socket) -> None:
    """See that a client is cut off."""
    with suppress(ConnectionResetError):
        while client.recv(4096):
            pass
    client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_loginsAndQuotas(tmp_path: Path, server: Destination, workers: int) -> None:
    """
    Failed logins count on, and octets once, of the session that moves as of those that
    are over. A login that was remembered is not: the file of users decides.
    """
    directory = tmp_path / "gw"
    directory.mkdir()
    users = directory / "users"
    for user in ("alice", "bob", "carol"):
        setPassword(users, user, b"right")
    text = LOGIN + ALL + QUOTA + f"[gateway]\nworkers = {workers}\n"
    with restarted(directory, text) as gateway:
        for guess in (b"one", b"two"):
            assert login(gateway, b"bob", guess) is None
        live = through(login(gateway, b"alice", b"right"), server)
        said(live, b"x" * 100)
        with through(login(gateway, b"alice", b"right"), server) as over:
            said(over, b"x" * 50)
        until(lambda: gateway.journal("end"))
        through(login(gateway, b"carol", b"right"), server).close()
        for restart in range(1, 4 - workers):
            setPassword(users, "carol", b"right%d" % restart)
            gateway.restart()
            assert "; 0 end in the process before" in gateway.said
            said(live, b"x" * 100)
            assert login(gateway, b"carol", b"right") is None
            through(login(gateway, b"carol", b"right%d" % restart), server).close()
            # The third of them, and then whatever the password.
            if restart == 1:
                assert login(gateway, b"bob", b"three") is None
            assert login(gateway, b"bob", b"right") is None
            reasons = [e["reason"] for e in gateway.journal("login-failed")]
            assert reasons.count("throttled") == restart, reasons
        # What is left of it comes and goes; the end may come first.
        with suppress(ConnectionError):
            live.sendall(b"x" * 200_000)
        gone(live)
        until(lambda: [e for e in gateway.journal("end") if e["reason"] == "quota"])
        used: Counter[str] = Counter()
        names = {e["session"]: e["user"] for e in gateway.journal("decision")}
        for line in gateway.journal("end"):
            used[names[line["session"]]] += line["sent"] + line["received"]
        assert used["alice"] == 100_000


def get(gateway: Restarted, port: int) -> str:
    """Return the file of C{[pac]}, which another process opens in a moment."""

    def got() -> str:
        with suppress(OSError):
            url = f"http://127.0.0.1:{port}/proxy.pac"
            with urllib.request.urlopen(url, timeout=20) as answer:
                return str(answer.read().decode())
        return ""

    found: str = until(got, 30)
    return found


def test_endsLinesAndGrants(tmp_path: Path, server: Destination) -> None:
    """
    The end of a rule by the clock, of a grant, and of what the new file allows: sessions
    that have moved end by them. A sink has each line once, and C{[pac]} is served.
    """
    moment = (datetime.now(UTC) + timedelta(seconds=11)).replace(microsecond=0)
    pac = freePort(kind=socket.SOCK_STREAM)
    with Destination(echo) as brief, Destination(echo) as granted:
        http = 'name = "main"\nprotocols = ["socks5", "http"]'
        own = freePort(kind=socket.SOCK_STREAM)
        head = LOGIN.replace('name = "main"', http).replace(":0", f":{own}", 1)
        text = head + (
            f'[pac]\naddress = ["127.0.0.1:{pac}"]\n'
            '[[audit.sink]]\nkind = "file"\n'
            f'url = "{tmp_path}/copy.jsonl"\n'
            f'[[rule]]\nid = "brief"\nallow = ["connect"]\nports = [{brief.port}]\n'
            f"until = {moment:%Y-%m-%dT%H:%M:%SZ}\n"
            f'[[rule]]\nid = "all"\nallow = ["connect"]\nports = [{server.port}]\n'
            '[grants]\nlongest = "1h"\napprovers = ["uid:0", "token:bob"]\n'
            '[[grants.may]]\nid = "some"\n'
            f'to = ["127.0.0.0/8"]\nports = [{granted.port}]\n'
            '[[admin.token]]\nname = "bob"\nfile = "token"\nroles = ["read"]\n'
        )
        directory = tmp_path / "gw"
        directory.mkdir()
        token = directory / "token"
        token.touch(0o600)
        token.write_text("a-token-of-bob-0123456789\n")
        setPassword(directory / "users", "alice", b"right")
        with restarted(directory, text) as gateway:

            def come(to: Destination) -> socket.socket:
                return through(login(gateway, b"alice", b"right"), to)

            def refused(to: Destination) -> bool:
                client = login(gateway, b"alice", b"right")
                assert client is not None
                with client:
                    client.sendall(raw.request5("127.0.0.1", to.port))
                    return raw.reply5(client)[0] == 2

            def grant(*words: str) -> str:
                done = gateway.command("grant", *words)
                assert done.returncode == 0, done.stderr
                return done.stdout

            grant(
                "request", "--who", "alice", "--to", "127.0.0.1", "--port",
                str(granted.port), "--for", "1h", "--ticket", "T",
            )  # fmt: skip
            grant("approve", "1", "--token-file", str(token))
            clients = [come(each) for each in (brief, granted, server)]
            assert get(gateway, pac)
            gateway.restart()
            assert "; 0 end in the process before" in gateway.said
            for each in clients:
                said(each, b"hello")
            # The grant is in force there, and ends there.
            come(granted).close()
            until(lambda: gateway.journal("end"))
            grant("revoke", "1")
            gone(clients[1])
            assert refused(granted)
            assert get(gateway, pac)
            gone(clients[0])
            assert datetime.now(UTC) >= moment
            said(clients[2], b"hello")
            file = directory / "gw.toml"
            file.write_text(file.read_text().replace(f"[{server.port}]", "[9]"))
            gateway.restart()
            gone(clients[2])
            assert refused(server)
            until(lambda: len(gateway.journal("end")) == 4)
            ends = {e["session"]: e["reason"] for e in gateway.journal("end")}
            assert sorted(ends.values()) == ["closed", "revoked", "revoked", "revoked"]
            # The third process follows from where the first one was.
            copy = tmp_path / "copy.jsonl"
            numbers = [e["n"] for e in gateway.journal()]

            def copied() -> list[int]:
                lines = copy.read_text().splitlines()
                return [json.loads(line)["n"] for line in lines]

            until(lambda: len(copied()) >= len(numbers), 30)
            assert copied()[: len(numbers)] == numbers


def bearing(port: int, token: bytes, to: Destination) -> socket.socket:
    """Return a client whose tunnel was asked for with a token."""
    client = raw.dial(port)
    place = b"127.0.0.1:%d" % to.port
    client.sendall(
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n"
        b"Proxy-Authorization: Bearer %b\r\n\r\n" % (place, place, token)
    )
    heard = b""
    while not heard.endswith(b"\r\n\r\n"):
        heard += raw.exactly(client, 1)
    assert heard.startswith(b"HTTP/1.1 200 "), heard
    return client


@pytest.mark.parametrize("workers", [1, 2])
def test_endsByTheClock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """
    The end of a schedule and the end of a login's token: sessions that have moved end by
    them, each when it is time, and others go on.
    """
    zones = tmp_path / "zones"
    monkeypatch.setenv("PYTHONTZPATH", str(zones))
    zone(zones, "23:00:00")
    issuer = Issuer("ES256")
    directory = tmp_path / "gw"
    directory.mkdir()
    keys = directory / "keys.json"
    keys.write_bytes(setOf(issuer))
    keys.chmod(0o644)
    with Destination(echo) as night, Destination(echo) as any_:
        text = (
            f"[gateway]\nworkers = {workers}\n{LOOPBACK}"
            '[[listen]]\nname = "main"\naddress = ["127.0.0.1:0"]\nprotocols = ["http"]\n'
            '[[auth.choose]]\nmethods = ["token"]\n'
            '[[auth.checker]]\nkind = "jwt"\nname = "build"\nleeway = "0s"\n'
            f'issuer = "{ISSUER}"\naudience = "{AUDIENCE}"\nkeys = "keys.json"\n'
            '[schedules]\nnight = { hours = "22:00-06:00", zone = "Test/Now" }\n'
            '[[rule]]\nid = "night"\nallow = ["connect"]\nduring = ["night"]\n'
            f"ports = [{night.port}]\n"
            f'[[rule]]\nid = "any"\nallow = ["connect"]\nports = [{any_.port}]\n'
        )
        began = time.monotonic()
        with restarted(directory, text) as gateway, ExitStack() as stack:

            def come(token: bytes, to: Destination) -> socket.socket:
                return stack.enter_context(bearing(gateway.port, token, to))

            # The next one takes as long as the first to begin, on a busy machine, too.
            seconds = max(8, min(25, int(4 * (time.monotonic() - began))))
            long = issuer.token()
            dark, stays = come(long, night), come(long, any_)
            # When it is time is known to the process that takes over only.
            soon = int(time.time()) + seconds
            zone(zones, f"05:59:{60 - seconds:02}")
            brief = come(issuer.token(exp=soon), any_)
            gateway.restart()
            assert "; 0 end in the process before" in gateway.said
            for each in (dark, stays, brief):
                said(each, b"hello")
            gone(dark)
            gone(brief)
            assert time.time() >= soon
            said(stays, b"hello")
            stays.close()
            until(lambda: len(gateway.journal("end")) == 3)
            ends = {e["session"]: e for e in gateway.journal("end")}
            ended = [ends[e["session"]] for e in gateway.journal("decision")]
            reasons = [each["reason"] for each in ended]
            assert reasons == ["revoked", "closed", "revoked"]
            assert ended[0]["why"].endswith('"night" matches no longer: during')
            assert ended[2]["why"] == "the login has expired"


def test_whatCannotMove(tmp_path: Path, server: Destination) -> None:
    """
    TLS of clients and to an upstream, and a BIND that waits: they go on in the old
    process, and are told of; what goes through an HTTP proxy moves.
    """
    authority = Authority()
    certificate, key = certified(authority).write(tmp_path, "gw")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pemOf(authority.certificate))
    secured = f'[listen.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    listen = (
        '[[listen]]\nname = "%s"\naddress = ["127.0.0.1:0"]\n'
        'protocols = ["socks5", "http"]\n'
    )
    above = (
        listen % "clear" + listen % "tls" + secured + "[[auth.choose]]\n"
        'from = ["127.0.0.0/8"]\nmethods = ["none"]\n' + LOOPBACK + ALL
    )
    (tmp_path / "next").mkdir()
    with contextmanager(running)(tmp_path / "next", above) as beyond:
        clear, safe = beyond.ports
        text = listen % "main" + listen % "tls" + secured + (
            '[[auth.choose]]\nfrom = ["127.0.0.0/8"]\nmethods = ["none"]\n'
        ) + LOOPBACK + (
            f'[[upstream]]\nname = "http"\nurl = "http://127.0.0.1:{clear}"\n'
            f'[[upstream]]\nname = "https"\nurl = "https://localhost:{safe}"\n'
            f'ca = "{ca}"\n'
            '[[rule]]\nid = "http"\nallow = ["connect"]\nvia = ["http"]\n'
            'from = ["127.0.0.2"]\n'
            '[[rule]]\nid = "https"\nallow = ["connect"]\nvia = ["https"]\n'
            'from = ["127.0.0.3"]\n'
        ) + ALL  # fmt: skip
        with restarted(tmp_path / "gw", text) as gateway:
            one, other = (
                raw.through(
                    raw.dial(gateway.port, source=(source, 0)), "127.0.0.1", server.port
                )
                for source in ("127.0.0.2", "127.0.0.3")
            )
            tls = TLS(gateway.ports[1])
            tls.sendall(raw.GREETING + raw.request5("127.0.0.1", server.port))
            assert exactly(tls, 12)[2:4] == b"\x05\x00"
            waiting = raw.dial(gateway.port)
            waiting.sendall(raw.GREETING + raw.request5("127.0.0.1", 0, command=2))
            raw.exactly(waiting, 2)
            code, _, port = raw.reply5(waiting)
            assert code == 0
            gateway.restart()
            assert "with 1 sessions; 3 end in the process before" in gateway.said
            for each in (one, other):
                said(each, b"hello")
            tls.sendall(b"hello")
            assert exactly(tls, 5) == b"hello"
            assert gateway.metered("socksgw_upstream_sessions") == 1
            with socket.create_connection(("127.0.0.1", port), 20) as peer:
                code, host, came = raw.reply5(waiting)
                assert (code, host, came) == (0, *peer.getsockname())
                peer.sendall(b"hello")
                assert raw.exactly(waiting, 5) == b"hello"
            gone(waiting)
            one.close()
            until(lambda: len(gateway.journal("end")) == 2)
            # The end of all.
            file = gateway.directory / "gw.toml"
            file.write_text(file.read_text() + '[timeouts]\ndrain = "1s"\n')
            assert gateway.command("reload").returncode == 0
            os.kill(gateway.pid, signal.SIGTERM)
            for each in (tls.plain, other):
                gone(each)
            gateway.over(gateway.pid)
            reasons = [e["reason"] for e in gateway.journal("end")]
            assert sorted(reasons) == ["closed", "closed", "draining", "draining"]


def exactly(channel: TLS, count: int) -> bytes:
    """Read so many octets."""
    octets = b""
    while len(octets) < count:
        came = channel.recv(count - len(octets))
        assert came
        octets += came
    return octets
