"""
C{/metrics}: who may read them, in which format; many and slow readers hold up nobody.
"""

from __future__ import annotations

import select
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.task import Clock

from socksgw.gateway.measuring import Latest
from socksgw.gateway.role import Role
from socksgw.metrics.exposition import OPENMETRICS, TEXT
from tests.live import raw
from tests.live.running import HEAD, resident
from tests.live.servers import Destination, echo, program
from tests.live.serving import Serving, served
from tests.tools.waiting import until

#: 300 rules with long names: the text has more than a socket takes at once.
RULES = "".join(
    f'[[rule]]\nid = "rule-{number}-{"x" * 200}"\ndeny = ["connect"]\n'
    f"ports = [{number + 1}]\n"
    for number in range(300)
)
OPEN = '[[rule]]\nid = "all"\nallow = ["connect"]\n'


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway whose metrics are many."""
    text = HEAD + RULES + OPEN
    for serving in served(
        tmp_path_factory.mktemp("large"), text, 'public = ["metrics"]'
    ):
        with raw.dial(serving.gateway.port) as client:
            client.sendall(raw.GREETING)
        for port in range(1, 301):
            with raw.dial(serving.gateway.port) as client:
                client.sendall(raw.GREETING)
                raw.exactly(client, 2)
                client.sendall(raw.request5("127.0.0.1", port))
                assert raw.reply5(client)[0] == 2
        yield serving


def test_who(serving: Serving, large: Serving) -> None:
    """A token that may read, and everybody only where the configuration says so."""
    assert serving.nobody.ask("/metrics").status == 401
    for client in (serving.looker, serving.own, large.nobody):
        answered = client.ask("/metrics")
        assert (answered.status, answered.fields["content-type"]) == (200, TEXT)
    assert large.nobody.ask("/healthz").status == 401
    assert serving.looker.ask("/metrics", "POST").status == 405


def test_formats(large: Serving) -> None:
    """promtool finds nothing wrong with the one, a parser nothing with the other."""
    text = large.nobody.ask("/metrics").octets
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    answered = large.nobody.ask("/metrics", Accept="application/openmetrics-text")
    assert answered.fields["content-type"] == OPENMETRICS
    families = {
        each.name: each
        for each in text_string_to_metric_families(answered.octets.decode())
    }
    denials = {
        sample.labels["rule"]: sample.value
        for sample in families["socksgw_denials"].samples
    }
    assert len(denials) == 300
    assert set(denials.values()) == {1.0}


def test_slowReaders(large: Serving) -> None:
    """50 that read nothing keep no session from being served, and little memory."""
    gateway = large.gateway
    size = len(large.nobody.ask("/metrics").octets)
    readers = []
    with Destination(echo) as server:
        memory = resident(gateway)
        for _ in range(50):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", large.port))
            reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            readers.append(reader)
        # What is written at once and whole would wait for them.
        until(lambda: all(map(hasCome, readers)))
        for _ in range(20):
            with raw.dial(gateway.port) as client:
                raw.through(client, "127.0.0.1", server.port)
                client.sendall(b"hello")
                assert raw.exactly(client, 5) == b"hello"
        assert resident(gateway) < memory + 40_000_000
    assert large.nobody.ask("/metrics").status == 200
    for reader in readers:
        # There is more than it has room for.
        assert len(reader.recv(1 << 20)) < size
        reader.close()


def hasCome(reader: socket.socket) -> bool:
    """Return whether an answer has begun to come."""
    return bool(select.select([reader], [], [], 0)[0])


class Gathering:
    """Stands for the gathering of values in several turns."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, gateway: Any) -> Iterator[Any]:
        """Gather in three turns."""
        self.begun += 1
        number = self.begun
        yield None
        yield None
        if gateway == "broken":
            raise ValueError("broken")
        yield number


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> Gathering:
    """What is used in place of a gateway's own."""
    made = Gathering()
    monkeypatch.setattr("socksgw.gateway.measuring.gather", made)
    return made


class Named(str):
    """Stands for a gateway that is alone."""

    __slots__ = ()
    role = Role()


def test_togetherAndOnceASecond(gathering: Gathering) -> None:
    """Those that ask at a time get the same values; a second later others."""
    clock, latest = Clock(), Latest()
    found: list[Any] = []

    def ask() -> Any:
        gateway: Any = Named("gateway")
        return latest.ask(gateway, clock)

    for _ in range(5):
        ask().addCallback(found.append)
    assert found == []
    clock.pump([0, 0])
    ask().addCallback(found.append)
    assert found == [1] * 6
    clock.advance(1)
    ask().addCallback(found.append)
    clock.pump([0, 0])
    assert found == [1] * 6 + [2]


def test_whatFails(gathering: Gathering) -> None:
    """A defect is told to all that wait, and the next one tries again."""
    clock, latest = Clock(), Latest()
    gateway: Any = Named("broken")
    asked = [latest.ask(gateway, clock) for _ in range(2)]
    clock.pump([0, 0])
    failed: list[Any] = []
    for each in asked:
        each.addErrback(lambda failure: failed.append(failure.type))
    assert failed == [ValueError] * 2
    gateway = Named("gateway")
    found: list[Any] = []
    latest.ask(gateway, clock).addCallback(found.append)
    clock.pump([0, 0])
    assert found == [2]
