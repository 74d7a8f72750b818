"""
Limits, measured from outside: octets per second and per window with real
transfers, sessions and flows at N and N+1.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.interop.shared import PASSWORD
from tests.live import raw
from tests.live.datagrams import Association, Echo, associate
from tests.live.running import ALL, HEAD, LOOPBACK, Running, running, socksgw
from tests.live.servers import PATIENCE, Certificate, Destination, echo
from tests.tools.waiting import until

#: Of those that measure a rate.
alone = pytest.mark.alone

#: Octets per second of each user, each way.
RATE = 2_000_000
#: How long it is measured, in seconds from the first octet.
MEASURED = 3.5
#: Seconds of the windows of which one has to have the rate: a machine may stand still,
#: and what has waited comes in the next one.
WINDOW = 1.0
#: Seconds of the rate that may come at once, or be owed.
AT_ONCE = 0.3
USERS = ("ann", "ben", "cat", "dan", "eve", "fay")

RATES = """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
[[listen]]
name = "tls"
endpoint = "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={file}"
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "all"
allow = ["connect"]
[[limit]]
per = "user"
rate = "2MB/s"
[[limit]]
per = "all"
rate = "100MB/s"
"""


class Flow(NamedTuple):
    """
    A user's sessions that move all they can.

    @ivar ways: C{down} or C{up}.
    """

    user: str
    ways: str
    sessions: int
    tls: bool


FLOWS = {
    "one down": Flow("ann", "down", 1, False),
    "one up": Flow("ben", "up", 1, False),
    "eight down": Flow("cat", "down", 8, False),
    "eight up": Flow("dan", "up", 8, False),
    "TLS down": Flow("eve", "down", 1, True),
    "TLS up": Flow("fay", "up", 2, True),
}


def flood(connection: socket.socket) -> None:
    """Send until nobody takes it any more."""
    octets = bytes(1 << 16)
    with connection:
        try:
            while True:
                connection.sendall(octets)
        except OSError:
            return


def back(connection: socket.socket) -> None:
    """Send everything back, until nobody is there any more."""
    with suppress(ConnectionResetError):
        echo(connection)


class Meter:
    """
    Reads for as long as is measured, and closes.

    @ivar came: when something came, and how many octets.
    @ivar enough: set: it closes; L{None}: after a while.
    """

    def __init__(self, enough: threading.Event | None = None) -> None:
        self.came: list[tuple[float, int]] = []
        self.enough = enough

    def __call__(self, connection: socket.socket) -> None:
        with connection:
            while octets := len(connection.recv(1 << 16)):
                now = time.monotonic()
                self.came.append((now, octets))
                if self.enough is None:
                    if now > self.came[0][0] + MEASURED:
                        return
                elif self.enough.is_set():
                    return

    @property
    def octets(self) -> int:
        """How many have come."""
        return sum(octets for _, octets in self.came)


class Moved:
    """
    What the sessions of one user have moved.

    @ivar shares: the octets of each, until the first of them was closed.
    """

    def __init__(self, began: float, meters: Sequence[Meter]) -> None:
        """
        @param began: when the first of them was about to begin.
        """
        self._began = began
        self._came = sorted(each for meter in meters for each in meter.came)
        end = min(meter.came[-1][0] for meter in meters)
        self.shares = [sum(o for at, o in m.came if at <= end) for m in meters]

    @property
    def most(self) -> float:
        """How much had come, in parts of what the rate allows by then: the most of all times."""
        octets, found = 0, 0.0
        for at, each in self._came:
            octets += each
            found = max(found, octets / (RATE * (at - self._began + AT_ONCE)))
        return found

    @property
    def best(self) -> float:
        """Octets per second in the window in which most of them came."""
        found, octets, first = 0, 0, 0
        for at, each in self._came:
            octets += each
            while self._came[first][0] <= at - WINDOW:
                octets -= self._came[first][1]
                first += 1
            found = max(found, octets)
        return found / WINDOW


def asUser(connection: socket.socket, user: str, port: int) -> socket.socket:
    """Log in, ask for a port of this machine, and get it."""
    connection.sendall(raw.GREETING_LOGIN)
    assert raw.exactly(connection, 2) == b"\x05\x02"
    connection.sendall(raw.login(user.encode(), PASSWORD.encode()))
    assert raw.exactly(connection, 2) == b"\x01\x00"
    connection.sendall(raw.request5("127.0.0.1", port))
    assert raw.reply5(connection)[0] == 0
    return connection


@pytest.fixture(scope="module")
def moved(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> dict[str, Moved]:
    """What the sessions of each flow moved, all at once."""
    directory = tmp_path_factory.mktemp("rates")
    made = socksgw("passwd", "users", "ann", cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    line = (directory / "users").read_text()
    # The same password for everybody.
    (directory / "users").write_text(
        "".join(line.replace("ann", user, 1) for user in USERS)
    )
    text = RATES.format(key=certificate.key, file=certificate.file) + LOOPBACK
    meters: dict[str, list[Meter]] = {name: [] for name in FLOWS}
    began: dict[str, float] = {}
    threads: list[threading.Thread] = []
    with ExitStack() as stack:
        for gateway in running(directory, text):
            for name, flow in FLOWS.items():
                began[name] = time.monotonic()
                for _ in range(flow.sessions):
                    meter = Meter()
                    meters[name].append(meter)
                    down = flow.ways == "down"
                    server = stack.enter_context(Destination(flood if down else meter))
                    client = raw.dial(gateway.ports[flow.tls])
                    if flow.tls:
                        client = certificate.client().wrap_socket(
                            client, server_hostname="localhost"
                        )
                    asUser(client, flow.user, server.port)
                    target = meter if down else flood
                    thread = threading.Thread(target=target, args=(client,))
                    thread.start()
                    threads.append(thread)
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()
            stack.close()
    return {name: Moved(began[name], several) for name, several in meters.items()}


@alone
@pytest.mark.parametrize("name", FLOWS)
def test_rate(moved: dict[str, Moved], name: str) -> None:
    """
    Each user reaches their rate, and never has more, one session or several, either
    way, from kernel to kernel and through TLS, whatever the others do.
    """
    assert moved[name].best >= 0.9 * RATE
    assert moved[name].most <= 1


@alone
@pytest.mark.parametrize("name", ["eight down", "eight up"])
def test_fairShares(moved: dict[str, Moved], name: str) -> None:
    """The sessions of one user have equal parts of it."""
    shares = moved[name].shares
    mean = sum(shares) / len(shares)
    assert all(0.8 * mean <= each <= 1.2 * mean for each in shares)


# Quotas.

#: Each client speaks one of them.
BOTH = HEAD.replace('"main"\n', '"main"\nprotocols = ["socks5", "socks6"]\n', 1)
#: A window in whose end no test runs.
QUOTA = '[[limit]]\nper = "source"\nquota = "1MB/3650d"\n'


@contextmanager
def serving(directory: Path, text: str, killed: bool = False) -> Iterator[Running]:
    """
    A gateway, perhaps not the first one here, that is well at the end, or killed.
    """
    (directory / "log").unlink(missing_ok=True)
    if not killed:
        yield from running(directory, text)
        return
    gateway = Running(directory, text)
    try:
        yield gateway.ready()
    finally:
        gateway.kill()


#: Clients come by both in turn: what is counted is the same.
VERSIONS = cycle((5, 6))


def asked(at: int, port: int, source: str = "127.0.0.1") -> tuple[socket.socket, int]:
    """A client that has asked for a port of this machine, and the reply."""
    client = raw.dial(at, source=(source, 0))
    if next(VERSIONS) == 6:
        client.sendall(raw.request6("127.0.0.1", port))
        return client, raw.reply6(client)
    client.sendall(raw.GREETING)
    assert raw.exactly(client, 2) == b"\x05\x00"
    client.sendall(raw.request5("127.0.0.1", port))
    return client, raw.reply5(client)[0]


def admitted(gateway: Running, port: int, source: str = "127.0.0.1") -> socket.socket:
    """A client that is connected."""
    client, code = asked(gateway.port, port, source)
    assert code == 0
    return client


def refusal(
    gateway: Running, port: int, source: str = "127.0.0.1"
) -> tuple[int, str, str, str]:
    """The reply to somebody who is refused, and what the record says of it."""
    client, code = asked(gateway.port, port, source)
    client.close()
    line = raw.decision(gateway, port)
    assert line["verdict"] == "deny"
    assert line["reply"] == code
    return code, line["rule"], line["reason"], line["why"]


def received(client: socket.socket) -> int:
    """How many octets come before it ends, in order or not."""
    count = 0
    try:
        while octets := len(client.recv(1 << 16)):
            count += octets
    except ConnectionResetError:
        pass
    return count


def test_quota(tmp_path: Path) -> None:
    """
    Not an octet more than it passes, both ways and all sessions together; then
    everything that lives on it ends by itself with the reason in its
    record, and what is new is refused. A restart changes nothing, nor does a
    kill, of what was known some seconds before.
    """
    text = BOTH + ALL + QUOTA
    why = "1MB/3650d per source is used up"
    refused = (2, "limit", "quota", why)
    with Destination(flood) as server, Destination(back) as echoing:
        with serving(tmp_path, text, killed=True) as gateway:
            with closing(admitted(gateway, echoing.port)) as client:
                client.sendall(bytes(100_000))
                assert raw.exactly(client, 100_000)
            assert raw.end(gateway, echoing.port)["reason"] == "closed"
            gateway.stop()
        with serving(tmp_path, text, killed=True) as gateway:
            other = admitted(gateway, echoing.port, "127.0.0.2")
            idle = admitted(gateway, echoing.port)
            with closing(idle), closing(other):
                idle.sendall(b"12345")
                assert raw.exactly(idle, 5) == b"12345"
                with closing(admitted(gateway, server.port)) as client:
                    assert received(client) <= 799_990
                assert received(idle) == 0
                ends = [raw.end(gateway, each.port) for each in (server, echoing)]
                assert [line["sent"] for line in ends] == [0, 5]
                assert [line["received"] for line in ends] == [799_990, 5]
                for line in ends:
                    assert (line["reason"], line["why"]) == ("quota", why)
                assert refusal(gateway, server.port) == refused
                other.sendall(b"12345")
                assert raw.exactly(other, 5) == b"12345"
            kept = tmp_path / "var" / "quotas.json"
            assert kept.stat().st_mode & 0o777 == 0o600
            until(lambda: "127.0.0.2" in kept.read_text())
        with serving(tmp_path, text, killed=True) as gateway:
            assert refusal(gateway, server.port) == refused
            admitted(gateway, echoing.port, "127.0.0.2").close()


def test_quotasThatCannotBeRead(tmp_path: Path) -> None:
    """Nobody knows what is used up: the gateway does not start, and says why."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "quotas.json").write_text("{")
    gateway = Running(tmp_path, HEAD + ALL + QUOTA)
    assert gateway.process.wait(30) == 1
    until(lambda: "quotas.json: not a file of quotas; move it away" in gateway.log)


@alone
def test_otherLimitsForWhoLives(tmp_path: Path) -> None:
    """
    After a reload a transfer that runs goes on at the new rate, and counts by
    the rule that allows it now.
    """
    limits = '[[limit]]\nper = "user"\nrate = "{}"\n'
    enough = threading.Event()
    meter = Meter(enough)
    before, after = (BOTH + ALL + limits.format(x) for x in ("500KB/s", "2MB/s"))
    with serving(tmp_path, before) as gateway, Destination(flood) as server:
        began = time.monotonic()
        client = admitted(gateway, server.port)
        thread = threading.Thread(target=meter, args=(client,))
        thread.start()
        until(lambda: meter.octets > 400_000)
        slow = meter.octets, time.monotonic() - began
        after = after.replace('id = "all"', 'id = "every"')
        after += '[[limit]]\nper = "rule"\nsessions = 1\n'
        (tmp_path / "gw.toml").write_text(after)
        passed, changing = meter.octets, time.monotonic()
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: gateway.journal("reloaded"))
        assert refusal(gateway, server.port)[3] == '1 sessions per rule "every"'
        until(lambda: Moved(began, [meter]).best >= 0.9 * RATE)
        fast = meter.octets - passed, time.monotonic() - changing
        enough.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    for rate, (octets, seconds) in ((500_000, slow), (RATE, fast)):
        assert octets <= rate * (seconds + AT_ONCE)


# Each at its number; one gateway for all, with a listener for each.

RULES = {
    "quota": 'quota = "1000B/3650d"',
    "sessions": "sessions = 2",
    "new": "new_sessions = 5",
    "hourly": 'new_sessions = "2/1h"',
    "churn": "sessions = 3",
    "flows": "associations = 2, flows = 3",
    "rate": 'rate = "100KB/s"',
}


#: A listener with two rules, of which one has a quota.
TWO = """
[[listen]]
name = "two"
address = ["127.0.0.1:0"]
[[rule]]
id = "much"
allow = ["udp"]
listener = ["two"]
to = ["127.0.0.1"]
[[rule]]
id = "few"
allow = ["udp"]
listener = ["two"]
to = ["127.0.0.3"]
limits = { per = "rule", quota = "500B/3650d" }
"""


#: For one client alone.
SOME = """
[[limit]]
per = "all"
from = ["127.0.0.9"]
who = ["anonymous"]
sessions = 1
"""


class Doors(NamedTuple):
    """
    A gateway with a listener, and a rule, for each of L{RULES}.
    """

    gateway: Running
    ports: dict[str, int]

    def asked(self, name: str, port: int) -> tuple[socket.socket, int]:
        """A client that has asked for a port there, and the reply."""
        return asked(self.ports[name], port)

    def lines(self, name: str, event: str) -> list[dict[str, Any]]:
        """The journal's lines of that listener."""
        lines = self.gateway.journal(event)
        sessions = {
            line["session"]
            for line in self.gateway.journal()
            if line.get("listener") == name
        }
        return [line for line in lines if line["session"] in sessions]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """That gateway."""
    text = HEAD[HEAD.index("[[auth.choose]]") :]
    for name, limits in RULES.items():
        text += (
            f'[[listen]]\nname = "{name}"\naddress = ["127.0.0.1:0"]\n'
            'protocols = ["socks5", "socks6"]\n'
            f'[[rule]]\nid = "{name}"\nallow = ["connect", "udp"]\n'
            f'listener = ["{name}"]\nlimits = {{ per = "user", {limits} }}\n'
        )
    text += TWO + SOME
    directory = tmp_path_factory.mktemp("numbers")
    for gateway in running(directory, text):
        yield Doors(gateway, dict(zip((*RULES, "two"), gateway.ports, strict=True)))


def test_quotaOfAnAssociation(doors: Doors) -> None:
    """
    Datagrams that it has no octets for do not pass; the association ends by itself,
    with the reason in its record.
    """
    port = doors.ports["quota"]
    with Echo() as server, Association(port) as client:
        client.echo(server, bytes(300))
        for _ in range(3):
            client.send(*server.place, bytes(300))
        assert received(client.control) == 0
    why = '1KB/3650d per user (rule "quota") is used up'
    (line,) = until(lambda: doors.lines("quota", "end"))
    assert (line["reason"], line["why"]) == ("quota", why)
    assert line["sent"] + line["received"] <= 1000
    (flow,) = doors.lines("quota", "flow-end")
    assert flow["limited"] >= 1
    assert len(server.came) * 300 == flow["sent"]
    control, (code, _, _) = associate(port)
    control.close()
    assert code == 2


def test_quotaOfSomeFlows(doors: Doors) -> None:
    """They end, with the reason in their record; the others go on."""
    with (
        Echo() as much,
        Echo("127.0.0.3") as few,
        Association(doors.ports["two"]) as client,
    ):
        client.echo(much, bytes(1000))
        client.echo(few, bytes(200))
        client.send(*few.place, bytes(200))
        (line,) = until(lambda: doors.lines("two", "flow-end"))
        why = '500B/3650d (rule "few") is used up'
        assert (line["reason"], line["why"]) == ("quota", why)
        assert line["sent"] == sum(len(octets) for octets, _ in few.came) <= 400
        client.send(*few.place, bytes(1))
        (line,) = until(lambda: doors.lines("two", "flows-refused"))
        assert line["why"] == why
        client.echo(much, bytes(1000))
        assert doors.lines("two", "end") == []


def test_sessions(doors: Doors) -> None:
    """At N they come in, at N+1 they do not; when one goes another may come."""
    with Destination(back) as server, ExitStack() as stack:
        asks = partial(doors.asked, "sessions", server.port)
        clients = [asks() for _ in range(3)]
        for client, _ in clients:
            stack.enter_context(closing(client))
        assert [code for _, code in clients] == [0, 0, 1]
        line = doors.lines("sessions", "decision")[-1]
        assert (line["verdict"], line["rule"], line["reply"]) == ("deny", "limit", 1)
        assert line["why"] == '2 sessions per user (rule "sessions")'
        clients[0][0].close()
        until(lambda: doors.lines("sessions", "end"))
        for expected in (0, 1):
            client, code = asks()
            stack.enter_context(closing(client))
            assert code == expected


def test_newSessions(doors: Doors) -> None:
    """Never more in any one second than the limit, and no fewer than it allows."""
    let: list[tuple[float, float]] = []
    tries = 0
    with Destination(back) as server:

        def come() -> bool:
            nonlocal tries
            tries += 1
            began = time.monotonic()
            client, code = doors.asked("new", server.port)
            client.close()
            if code == 0:
                let.append((began, time.monotonic()))
            # At first all that may come do.
            assert len(let) == tries or len(let) >= 5
            return len(let) >= 15

        until(come)
    lines = doors.lines("new", "decision")
    refused = {line["why"] for line in lines if line["verdict"] == "deny"}
    assert refused == {'5 new sessions per second per user (rule "new")'}
    # It was let in at some time between the two.
    for (asked_, _), (_, answered) in zip(let, let[5:], strict=False):
        assert answered - asked_ >= 1


def test_newSessionsOfAnHour(doors: Doors) -> None:
    """They do not come back within it."""
    with Destination(back) as server:
        codes = []
        for _ in range(4):
            client, code = doors.asked("hourly", server.port)
            client.close()
            codes.append(code)
    assert codes == [0, 0, 1, 1]
    line = doors.lines("hourly", "decision")[-1]
    assert line["why"] == '2 new sessions in 3600s per user (rule "hourly")'


def test_aLimitForOneClient(doors: Doors) -> None:
    """Others do not count in it."""
    at = doors.ports["rate"]
    with Destination(back) as server, ExitStack() as stack:
        codes = []
        for source in ("127.0.0.9", "127.0.0.8", "127.0.0.9", "127.0.0.8"):
            client, code = asked(at, server.port, source)
            stack.enter_context(closing(client))
            codes.append(code)
        assert codes == [0, 0, 1, 0]
        refused = [
            line["why"]
            for line in doors.lines("rate", "decision")
            if line["verdict"] == "deny"
        ]
        assert refused == ["1 sessions in all (who anonymous from 127.0.0.9)"]


def test_churn(doors: Doors) -> None:
    """Hundreds that come and go, in every way, leave nothing counted."""
    with Destination(back) as server:
        for number in range(1000):
            client = raw.dial(doors.ports["churn"])
            # Some do not wait for the reply, and some ask where nobody is.
            client.sendall(
                raw.GREETING + raw.request5("127.0.0.1", server.port - number % 2)
            )
            if number % 3:
                raw.exactly(client, 12)
            client.close()

        def over() -> bool:
            refused = [
                line
                for line in doors.lines("churn", "decision")
                if line["verdict"] == "deny"
            ]
            refused += doors.lines("churn", "refused")
            return len(refused) + len(doors.lines("churn", "end")) == 1000

        until(over)
        clients = [doors.asked("churn", server.port) for _ in range(4)]
        assert [code for _, code in clients] == [0, 0, 0, 1]
        for client, _ in clients:
            client.close()


def test_associationsAndFlows(doors: Doors) -> None:
    """
    At N+1 an association is refused; a flow's datagrams are dropped, and the
    journal says so once. When others end another may begin.
    """
    port = doors.ports["flows"]
    with ExitStack() as stack:
        servers = [stack.enter_context(Echo()) for _ in range(4)]
        one, two = (stack.enter_context(Association(port)) for _ in range(2))
        control, (code, _, _) = associate(port)
        control.close()
        assert code == 1
        line = doors.lines("flows", "decision")[-1]
        assert line["why"] == '2 associations per user (rule "flows")'
        one.echo(servers[0], b"first")
        two.echo(servers[1], b"second")
        two.echo(servers[2], b"third")
        for _ in range(20):
            one.send(*servers[3].place, b"fourth")
            one.echo(servers[0], b"first")
        (line,) = doors.lines("flows", "flows-refused")
        assert line["why"] == '3 flows per user (rule "flows")'
        assert servers[3].came == []
        two.control.close()

        def fourth() -> bool:
            one.send(*servers[3].place, b"fourth")
            return bool(servers[3].came)

        until(fourth)


@alone
def test_datagramsAtTheirRate(doors: Doors) -> None:
    """What is more than the rate is dropped, and counted in the record."""
    with Echo() as server, Association(doors.ports["rate"]) as client:
        began = time.monotonic()
        client.echo(server, b"begin")

        def passed() -> int:
            return sum(len(octets) for octets, _ in list(server.came))

        def window() -> bool:
            """Send for a second five times as much as may pass; most of that does."""
            before, since, sent = passed(), time.monotonic(), 0
            while (now := time.monotonic()) - since < WINDOW:
                while sent < (now - since) * 500:
                    client.send(*server.place, bytes(1000))
                    sent += 1
                time.sleep(0.002)
            return passed() - before >= 0.9 * 100_000 * WINDOW

        until(window)
        client.control.close()
        (line,) = until(lambda: doors.lines("rate", "flow-end"))
        until(lambda: passed() == line["sent"])
        seconds = time.monotonic() - began
    assert line["sent"] <= 100_000 * (seconds + AT_ONCE)
    # How many depends on what sockets lose that are not read for a while.
    assert line["limited"] > 0
