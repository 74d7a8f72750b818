"""
The metrics of a gateway that runs: what sessions count, and what its parts say.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from socksgw.config.loading import loads
from socksgw.config.problems import ConfigError, Problem
from socksgw.config.schema import Config
from socksgw.gateway.measuring import gather, measure, render
from socksgw.metrics.catalogue import CATALOGUE
from socksgw.metrics.meters import MOST, Histogram
from tests.live import raw
from tests.live.measured import Measured, measured
from tests.live.running import HEAD, Running
from tests.live.servers import Destination, echo, freePort
from tests.tools import certificates

RULES = """
[[rule]]
id = "no"
deny = "any"
ports = [9]
[[rule]]
id = "all"
allow = ["connect"]
"""
UPSTREAM = """
[[upstream]]
name = "edge"
url = "socks5://127.0.0.1:{0}"
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[never]
except = ["127.0.0.0/8"]
[[rule]]
id = "out"
allow = ["connect"]
via = ["edge"]
"""
ALLOWED = ("main", "socks5", "connect", "none", "allow", "0")


@pytest.fixture
def server() -> Iterator[Destination]:
    """A server that sends back what it is sent."""
    with Destination(echo) as started:
        yield started


def count(value: object) -> int:
    """How many values a histogram has."""
    assert isinstance(value, Histogram)
    return sum(value.counts)


def test_sessions(tmp_path: Path, server: Destination) -> None:
    """Each is counted once, by what it asked for and was answered; so are its octets."""
    with measured(tmp_path, HEAD + RULES) as house:

        def begin() -> socket.socket:
            client = raw.dial(house.port)
            raw.through(client, "127.0.0.1", server.port)
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
            return client

        live = house.run(begin)
        assert house.of("socksgw_sessions_total") == {ALLOWED: 1}
        assert house.of("socksgw_live_sessions") == {("main", "relay"): 1}
        moved = {("main", "sent"): 5, ("main", "received"): 5}
        assert house.of("socksgw_octets_total") == moved
        assert house.of("socksgw_session_ends_total") == {}
        # Looked at twice, it is still one.
        assert house.of("socksgw_sessions_total") == {ALLOWED: 1}

        def more() -> bytes:
            live.sendall(b" and more")
            return raw.exactly(live, 9)

        house.run(more)
        live.close()
        house.until(lambda: not len(house.gateway.sessions))
        house.run(begin).close()
        house.until(lambda: not len(house.gateway.sessions))
        assert house.of("socksgw_sessions_total") == {ALLOWED: 2}
        moved = {("main", "sent"): 19, ("main", "received"): 19}
        assert house.of("socksgw_octets_total") == moved
        assert house.of("socksgw_session_ends_total") == {("closed",): 2}
        assert count(house.of("socksgw_handshake_seconds")["main",]) == 2
        assert count(house.of("socksgw_policy_seconds")[()]) == 2
        assert count(house.of("socksgw_record_seconds")[()]) == 2
        assert count(house.of("socksgw_connect_seconds")["main", "direct"]) == 2
        # No login, and no name.
        assert house.of("socksgw_login_seconds") == {}
        assert house.of("socksgw_lookup_seconds") == {}

        def refused(port: int, command: int = 1) -> int:
            with raw.dial(house.port) as client:
                client.sendall(raw.GREETING)
                raw.exactly(client, 2)
                request = bytearray(raw.request5("127.0.0.1", port))
                request[1] = command
                client.sendall(request)
                return raw.reply5(client)[0]

        closed = freePort(kind=socket.SOCK_STREAM)
        assert house.run(lambda: refused(9)) == 2
        assert house.run(lambda: refused(closed)) == 5
        assert house.run(lambda: refused(9, 0x77)) == 7
        house.until(lambda: not len(house.gateway.sessions))
        socks5 = "main", "socks5"
        assert house.of("socksgw_sessions_total") == {
            ALLOWED: 2,
            (*socks5, "connect", "none", "deny", "2"): 1,
            (*socks5, "connect", "none", "allow", "5"): 1,
            (*socks5, "other", "none", "refuse", "7"): 1,
        }
        assert house.of("socksgw_denials_total") == {("no",): 1}
        ends = {reason for (reason,) in house.of("socksgw_session_ends_total")}
        assert ends == {"closed", "policy", "refused", "command"}


def test_whatTheGatewaySays(tmp_path: Path) -> None:
    """Its parts are read; the whole catalogue but what is not there has values."""
    with measured(tmp_path, HEAD + RULES) as house:
        house.until(lambda: house.gateway.journal.number)
        snapshot = measure(house.gateway)
        silent = {name for name in CATALOGUE if not snapshot.of(name)}
        apart = (
            "upstream", "sink", "session", "octets", "denials", "certificate", "cluster",
        )  # fmt: skip
        unused = ("live", "handshake", "login", "lookup", "decider", "connect")
        assert {name.split("_")[1].rstrip("s") for name in silent} == {
            each.rstrip("s") for each in (*apart, *unused)
        }
        value = {name: snapshot.of(name).get(()) for name in CATALOGUE}
        assert value["socksgw_clients"] == 0
        assert value["socksgw_journal_position"] == 1
        assert value["socksgw_journal_failing"] == 0
        assert value["socksgw_rules"] == 2
        limit, opened = "socksgw_descriptors_limit", "socksgw_open_descriptors"
        assert 0 < value[opened] < value[limit]  # type: ignore[operator]
        ((digest,),) = snapshot.of("socksgw_configuration_info")
        assert len(digest) == 64
        assert snapshot.of("socksgw_pool_threads")["reactor",] == 0


def test_configuration(tmp_path: Path) -> None:
    """A reload, good or bad, is counted; digest, age and certificate are those in force."""
    made = certificates.server(certificates.Authority())
    made.write(tmp_path, "gw")
    text = HEAD.replace(
        "[[auth", 'tls = { certificate = "gw.pem", key = "gw.key" }\n[[auth', 1
    )
    found = loads(text + RULES + "# once more\n", "gw.toml", tmp_path)
    broken = ConfigError("gw.toml", [Problem("rule", "is wrong")])

    def reread() -> Config:
        if found.digest == house.gateway.config.digest:
            raise broken
        return found

    with measured(tmp_path, text + RULES, reread=reread) as house:
        before = measure(house.gateway)
        expires = made.certificate.not_valid_after_utc.timestamp()
        assert before.of("socksgw_certificate_expiry_seconds") == {("main",): expires}
        digests, results = [], []
        for _ in range(2):
            answered: list[object] = []
            house.gateway.reload().addCallback(answered.append)
            house.until(answered.__len__)
            after = measure(house.gateway)
            results.append([*after.of("socksgw_reloads_total").values()])
            digests += [digest for (digest,) in after.of("socksgw_configuration_info")]
        assert results == [[1, 0], [1, 1]]
        assert (
            digests
            == [sha256((text + RULES + "# once more\n").encode()).hexdigest()] * 2
        )
        since = "socksgw_configuration_since_seconds"
        assert after.of(since)[()] > before.of(since)[()]  # type: ignore[operator]


def test_loginsAndLookUps(tmp_path: Path) -> None:
    """Both are timed where they take place."""
    text = HEAD.replace('["none"]', '["userpass"]\ncleartext_passwords = true')
    users = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    with measured(tmp_path, text + RULES, checkers=[users]) as house:

        def ask(password: bytes, host: bytes = b"") -> bytes:
            with raw.dial(house.port) as client:
                client.sendall(b"\x05\x01\x02")
                raw.exactly(client, 2)
                client.sendall(raw.login(b"alice", password))
                answer = raw.exactly(client, 2)
                if host:
                    client.sendall(raw.request5(host, 80))
                    raw.reply5(client)
                return answer

        assert house.run(lambda: ask(b"secret", b"localhost")) == b"\x01\x00"
        assert house.run(lambda: ask(b"wrong")) != b"\x01\x00"
        house.until(lambda: not len(house.gateway.sessions))
        (login,) = house.of("socksgw_login_seconds").items()
        assert (login[0], count(login[1])) == (("userpass",), 1)
        (lookUp,) = house.of("socksgw_lookup_seconds").items()
        assert (lookUp[0], count(lookUp[1])) == (("found",), 1)
        decided = house.of("socksgw_policy_seconds")[()]
        assert isinstance(decided, Histogram)
        assert 0 < decided.sum < 0.05
        assert house.of("socksgw_throttle_failures") == {(): 1}


def test_stalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that holds the reactor up is seen in its lag."""
    with measured(tmp_path, HEAD + RULES) as house:
        lag = house.gateway.meters.lag
        house.until(lambda: sum(lag.counts) >= 2)
        assert lag.sum < 0.2
        monkeypatch.setattr(house.gateway._rounds._beat._lag, "_clock", lambda: 0.0)
        house.gateway._rounds._beat._lag._last = -1.0
        before = lag.sum
        house.until(lambda: lag.sum > before + 0.4)


def upstream(house: Measured, what: str, *more: str) -> object:
    """The value of a metric of the one upstream."""
    return house.of(f"socksgw_upstream_{what}").get(("edge", "", *more))


def test_upstreams(tmp_path: Path, server: Destination) -> None:
    """An upstream that dies is seen, and so is why, and that it is back."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    port = freePort(kind=socket.SOCK_STREAM)
    far = HEAD.replace("127.0.0.1:0", f"127.0.0.1:{port}") + RULES

    with measured(tmp_path / "near", UPSTREAM.format(port)) as house:

        def session() -> int:
            with raw.dial(house.port) as client:
                client.sendall(raw.GREETING)
                raw.exactly(client, 2)
                client.sendall(raw.request5("127.0.0.1", server.port))
                return raw.reply5(client)[0]

        other = Running(tmp_path / "far", far).ready()
        try:
            assert house.run(session) == 0
            assert upstream(house, "up") == 1
            assert upstream(house, "opened_total") == 1
            assert house.of("socksgw_upstream_failed_total") == {}
        finally:
            other.kill()
        for _ in range(3):
            assert house.run(session) == 1
        house.until(lambda: not len(house.gateway.sessions))
        assert upstream(house, "up") == 0
        assert upstream(house, "ejections_total") == 1
        assert upstream(house, "failed_total", "upstream-unreachable") == 3
        assert upstream(house, "sessions") == 0
        ways = house.of("socksgw_connect_seconds")
        assert set(ways) == {("main", "upstream")}


def test_hostileNames(tmp_path: Path) -> None:
    """What clients send makes no series: 2,000 methods, names and commands of theirs."""
    with measured(tmp_path, HEAD + RULES) as house:

        def ask(number: int) -> None:
            with raw.dial(house.port) as client:
                client.sendall(raw.GREETING)
                raw.exactly(client, 2)
                client.sendall(
                    bytes((5, number % 256, 0, 3, 6)) + b"n%05d" % number + b"\x00\x09"
                )
                raw.reply5(client)

        house.run(lambda: [ask(number) for number in range(300)])
        house.until(lambda: not len(house.gateway.sessions))
        found = house.of("socksgw_sessions_total")
        assert sum(map(int, found.values())) == 300  # type: ignore[arg-type]
        assert len(found) < 20
        assert len(render(house.gateway)[0].splitlines()) < MOST


def test_inParts(tmp_path: Path) -> None:
    """Many sessions are looked at in several turns; none is then counted twice."""
    with measured(tmp_path, HEAD + RULES) as house:
        assert [found is None for found in gather(house.gateway)] == [False]
