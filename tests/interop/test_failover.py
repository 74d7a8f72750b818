"""
Several upstreams in one place: what becomes of sessions when one of them dies.

Clients and the gateway speak SOCKS 5 to microsocks, and SOCKS 6 to gateways of ours.
"""

from __future__ import annotations

import os
import socket
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from socksgw.console.manual import chapters
from tests.live import raw, upstreams
from tests.live.admin import AdminClient
from tests.live.running import LOOPBACK, Running, running
from tests.live.servers import Daemon, Destination, echo, freePort
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

UPSTREAM = """
[[upstream]]
name = "{0}"
url = "{3}://127.0.0.1:{1}"
{2}
"""
#: A listener and its rule.
LISTEN = """
[[listen]]
name = "{0}"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[[rule]]
id = "{0}"
listener = ["{0}"]
allow = ["connect"]
via = {1}
"""
VIA = {
    "resort": '[["gone", "direct"]]',
    "gone": '[["gone"]]',
    "alone": '["d"]',
    "tls": '["e"]',
}
#: A listener whose sessions the manual's rule leads out.
POOL = LISTEN[: LISTEN.index("[[rule]]")].format("pool")
#: What is otherwise here than in the manual.
HERE = {
    'id = "web"': 'id = "web"\nlistener = ["pool"]',
    "ports = [80, 443]\n": "",
    'every = "10s"': 'every = "1s"',
    "10.0.0.11:1080": "127.0.0.1:{a}",
    "10.0.0.12:1080": "127.0.0.1:{b}",
    "10.0.0.13:1080": "127.0.0.1:{c}",
}
#: A gateway of ours that speaks TLS.
TLS = """
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
tls = { certificate = "gw.pem", key = "gw.key" }
[[rule]]
id = "all"
allow = ["connect"]
"""
#: A gateway of ours at a port, in place of microsocks.
OURS = """
[[listen]]
name = "six"
address = ["127.0.0.1:{}"]
protocols = ["socks6"]
[[rule]]
id = "all"
allow = ["connect"]
"""
NONE = '[[auth.choose]]\nmethods = ["none"]\nfrom = ["127.0.0.0/8"]\n'


def manual(ports: Mapping[str, int], scheme: str) -> str:
    """Return the configuration that the manual shows, for what is here."""
    section = chapters()["upstreams"].partition("\nSeveral upstreams")[2]
    block = section.partition(".. code-block:: toml\n\n")[2].partition("\n\n``")[0]
    text = textwrap.dedent(block)
    for there, here in HERE.items():
        assert there in text
        text = text.replace(there, here.format(**ports))
    return text.replace("socks5:", f"{scheme}:") + "\n"


class Pool:
    """
    Real gateways that can be killed and started again, and ours before them.

    @ivar ports: our listeners' ports, by name.
    @ivar version: of SOCKS, which clients and upstreams speak.
    """

    def __init__(self, stack: ExitStack, directory: Path, version: int) -> None:
        self._quiet = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        self._directory = directory
        self.version, scheme = version, f"socks{version}"
        self._there: dict[str, Daemon | Running] = {}
        self._ports = {each: freePort(kind=socket.SOCK_STREAM) for each in "abcd"}
        stack.callback(lambda: [self.kill(each) for each in list(self._there)])
        for name in self._ports:
            self.start(name)
        gone = freePort(kind=socket.SOCK_STREAM)
        text = NONE + LOOPBACK + UPSTREAM.format("gone", gone, "", scheme)
        text += UPSTREAM.format("d", self._ports["d"], "", scheme)
        text += manual(self._ports, scheme) + POOL
        authority = Authority()
        (directory / "e").mkdir()
        server(authority).write(directory / "e", "gw")
        self.tls = Running(directory / "e", TLS + NONE + LOOPBACK).ready()
        stack.callback(self.tls.kill)
        (directory / "ca.pem").write_bytes(pemOf(authority.certificate))
        trust = f'ca = "{directory}/ca.pem"\nserver_name = "localhost"'
        text += UPSTREAM.format("e", self.tls.port, trust, f"{scheme}+tls")
        text += "".join(LISTEN.format(*each) for each in VIA.items())
        self.admin = AdminClient(directory / "gateway" / "admin.sock")
        text += f'[admin]\nendpoint = "unix:{self.admin.place}"\n'
        for each in self._there.values():
            if isinstance(each, Running):
                each.ready()
        self.gateway: Running = stack.enter_context(
            contextmanager(running)(directory / "gateway", text)
        )
        self.ports = dict(zip(["pool", *VIA], self.gateway.ports, strict=True))

    def start(self, name: str) -> None:
        """Start an upstream, which serves soon."""
        port = self._ports[name]
        place = self._directory / name
        if self.version == 6:
            place.mkdir(exist_ok=True)
            text = OURS.format(port) + NONE + LOOPBACK
            self._there[name] = Running(place, text)
            return
        daemon = Daemon(upstreams.microsocks(port), port, place, self._quiet)
        self._there[name] = daemon.__enter__()

    def kill(self, name: str) -> None:
        """End one: its connections end as its process does."""
        there = self._there.pop(name)
        if isinstance(there, Running):
            there.kill()
        else:
            there.__exit__()

    def asked(self, client: socket.socket, port: int) -> int:
        """Return the reply to a client that asks for a port of this host."""
        return raw.asked(client, "127.0.0.1", port, self.version)

    def through(self, name: str, port: int) -> socket.socket:
        """Return a client of a listener that is connected to a port of this host."""
        client = raw.dial(self.ports[name])
        try:
            return raw.through(client, "127.0.0.1", port, self.version)
        except BaseException:
            client.close()
            raise

    def echoed(self, name: str, port: int) -> bool:
        """Return whether a new session works: its request, and octets both ways."""
        try:
            with self.through(name, port) as client:
                client.sendall(b"hello")
                return raw.exactly(client, 5) == b"hello"
        except (OSError, AssertionError):
            return False

    def metrics(self, name: str) -> dict[tuple[str, str], float]:
        """What the metrics say of an upstream: by what, and why or how."""
        text = self.admin.ask("/metrics").octets.decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("upstream") == name:
                    how = {"upstream", "network"} ^ {*sample.labels}
                    more = "".join(sample.labels[each] for each in how)
                    what = sample.name.removeprefix("socksgw_upstream_")
                    found[what, more] = sample.value
        return found

    def states(self, name: str) -> list[tuple[str, str]]:
        """What the journal has told of an upstream."""
        lines = self.gateway.journal("upstream")
        return [(e["state"], e["why"]) for e in lines if e["upstream"] == name]


@pytest.fixture(scope="module", params=[5, 6], ids=["socks5", "socks6"])
def pool(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool]:
    """All of it, started once."""
    with ExitStack() as stack:
        yield Pool(stack, tmp_path_factory.mktemp("failover"), request.param)


class Load:
    """
    Sessions of the pool one after the other, in some threads.

    @ivar outcomes: when each began, and whether it worked.
    """

    def __init__(self, pool: Pool, destination: int, threads: int = 6) -> None:
        self.outcomes: list[tuple[float, bool]] = []
        self._over = threading.Event()
        self._pool, self._destination = pool, destination
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for each in self._threads:
            each.start()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            worked = self._pool.echoed("pool", self._destination)
            self.outcomes.append((began, worked))

    def more(self, count: int) -> None:
        """Wait for so many more sessions."""
        before = len(self.outcomes)
        until(lambda: len(self.outcomes) >= before + count)

    def stop(self) -> None:
        """Wait for the end of all sessions."""
        self._over.set()
        for each in self._threads:
            each.join()


def test_killedUnderLoad(pool: Pool, destination: Callable[..., Destination]) -> None:
    """
    No new session fails once the killed ones are ejected; both return, the one by a
    session, the other by its checks.
    """
    server = destination(echo)
    load = Load(pool, server.port)
    assert pool.metrics("a")["up", ""] == 1
    try:
        load.more(100)
        pool.kill("a")
        pool.kill("b")
        until(lambda: pool.states("a") and pool.states("b"))
        ejected = time.monotonic()
        load.more(200)
    finally:
        load.stop()
    failed = [began for began, worked in load.outcomes if not worked]
    assert all(began < ejected for began in failed)
    # Those that were open in the two; others were led elsewhere at once.
    assert len(failed) <= 6
    assert pool.states("a")[0][0] == pool.states("b")[0][0] == "ejected"
    assert "in a row failed: upstream-" in pool.states("a")[0][1]
    # Metrics may be a second old.
    until(lambda: not pool.metrics("a")["up", ""] and not pool.metrics("b")["up", ""])
    dead, checked = pool.metrics("a"), pool.metrics("b")
    assert dead["ejections_total", ""] == checked["ejections_total", ""] == 1
    assert dead["opened_total", ""] > 0
    assert any(name == "failed_total" and value for (name, _), value in dead.items())

    pool.start("a")
    pool.start("b")
    until(lambda: pool.states("b")[-1] == ("returned", "2 checks in a row passed"))

    def returned() -> bool:
        assert pool.echoed("pool", server.port)
        return pool.states("a")[-1] == ("returned", "it answered a session")

    until(returned, 30)
    until(lambda: pool.metrics("a")["up", ""] and pool.metrics("b")["up", ""])
    assert pool.metrics("b")["checks_total", "passed"] >= 2
    lines = pool.gateway.journal("upstream")
    assert all(line["opened"] > 0 and line["failed"] for line in lines)
    # None is counted that is over; the one that tried it still was there.
    assert {line["upstream"]: line["sessions"] for line in lines} == {"a": 1, "b": 0}
    assert {"a", "b", "c"} == {line["path"] for line in ends(pool, server.port)}


def ends(pool: Pool, port: int) -> list[dict[str, str]]:
    """The last lines of the sessions with a destination that had a path."""
    decisions = pool.gateway.journal("decision")
    wanted = {line["session"] for line in decisions if line["port"] == port}
    lines = pool.gateway.journal("end")
    return [e for e in lines if e["session"] in wanted and "path" in e]


def test_lastResort(pool: Pool, destination: Callable[..., Destination]) -> None:
    """Directly where that is named, and where it is not, the failure is told."""
    server = destination(echo)
    for _ in range(5):
        assert pool.echoed("resort", server.port)
        assert raw.end(pool.gateway, server.port)["path"] == "direct"
    # It is ejected by now: the least bad is still tried, for want of another.
    assert pool.states("gone")
    for _ in range(2):
        with raw.dial(pool.ports["gone"]) as client:
            assert pool.asked(client, server.port) == 1
        assert raw.end(pool.gateway, server.port)["reason"] == "upstream-unreachable"


def test_refusalsDoNotEject(pool: Pool) -> None:
    """What an upstream says of a destination is the answer, however often."""
    closed = freePort(kind=socket.SOCK_STREAM)
    before = len(pool.gateway.journal("upstream"))
    for _ in range(12):
        with raw.dial(pool.ports["pool"]) as client:
            assert pool.asked(client, closed) == 5
    assert raw.end(pool.gateway, closed)["reason"] == "refused"
    assert len(pool.gateway.journal("upstream")) == before


def fill(client: socket.socket) -> None:
    """Send until nothing takes more."""
    client.settimeout(1)
    with suppress(TimeoutError):
        while True:
            client.sendall(bytes(1 << 18))
    client.settimeout(20)


def test_killedInMidTransfer(
    pool: Pool, destination: Callable[..., Destination]
) -> None:
    """The client's stream is cut: it is not taken for a whole one."""
    release = threading.Event()

    def stalled(connection: socket.socket) -> None:
        connection.recv(1)
        release.wait(30)

    server = destination(stalled)
    try:
        with pool.through("alone", server.port) as client:
            # The upstream has octets that it cannot pass on, and dies with them.
            fill(client)
            pool.kill("d")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    finally:
        release.set()
    assert raw.end(pool.gateway, server.port)["reason"] == "destination-reset"


def test_killedBehindTLS(pool: Pool, destination: Callable[..., Destination]) -> None:
    """
    What has come is handed over, and the end of TLS that is missing is a cut, though
    the killed process's kernel ends the connection in order.
    """
    release = threading.Event()

    def half(connection: socket.socket) -> None:
        connection.sendall(bytes(100_000))
        release.wait(30)

    serving = destination(half)
    try:
        with pool.through("tls", serving.port) as client:
            raw.exactly(client, 100_000)
            pool.tls.kill()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    finally:
        release.set()
    assert raw.end(pool.gateway, serving.port)["reason"] == "destination-lost"
