"""
Nothing is lost and nothing is invented: what clients have seen, the lines of the journal
and the metrics are the same numbers, through deaths of workers, reloads and restarts.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.live import raw
from tests.live.admin import AdminClient
from tests.live.clients import GREETING, isClosed
from tests.live.restarts import restarted
from tests.live.running import LOOPBACK, Running
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

#: Clients that ask at a time, one session after the other, and sessions that stay.
_THREADS: Final = 4
_HELD: Final = 12
#: Deaths, fewer than what counts as a storm; restarts; reloads.
_KILLS, _RESTARTS, _RELOADS = 2, 2, 2
#: Seconds between two of them.
_PAUSE: Final = (0.2, 0.6)
#: Seconds in which a worker that dies may have counted what nobody else knows: it is
#: asked once a second.
_UNKNOWN: Final = 2.0
#: Of SOCKS, as clients speak it.
_VERSIONS: Final = (5, 6)
_PASSWORD: Final = "canary-5b1c"
_TEXT = (
    """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6"]
[auth]
checkers = ["memory:ann:canary-5b1c"]
throttle = { per_user = 0, per_source = 0 }
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "all"
allow = ["connect"]
"""
    + LOOPBACK
)
#: A rule that comes and goes.
_OTHER = '[[rule]]\nid = "other"\ndeny = "any"\nto = ["192.0.2.0/24"]\n'
#: Octets that a session moves at most.
_OCTETS: Final = 3000
_VERDICTS: Final = ("allow", "deny", "refuse")
#: What clients do, with the verdict and the reason of the end in the journal.
_OUTCOMES: Final = {
    "served": ("allow", "closed"),
    "served by name": ("allow", "closed"),
    "nobody there": ("allow", "refused"),
    "denied": ("deny", ""),
    "wrong password": ("refuse", ""),
    "no method": ("refuse", ""),
}


class Cut(Exception):
    """A client was cut off before it had seen how it ends."""


class Client(threading.Thread):
    """
    Asks again and again.

    @ivar seen: what it has seen to the end, by its place and the outcome.
    @ivar times: when it has seen each verdict, in seconds since the epoch.
    @ivar cut: the places of those that were cut off.
    @ivar octets: how many came back.
    @ivar failed: what may not happen.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        ports: list[int],
        server: int,
        closed: int,
        ending: threading.Event,
    ) -> None:
        super().__init__()
        self._random = random.Random(f"{seed}.{number}")
        self._source = f"127.0.0.{10 + number}"
        self._open, self._login = ports
        self._server, self._closed = server, closed
        self._ending = ending
        self.seen: Counter[tuple[str, str]] = Counter()
        self.times: list[tuple[str, float]] = []
        self.cut: list[str] = []
        self.octets = 0
        self.failed: list[BaseException] = []

    def run(self) -> None:
        outcomes = list(_OUTCOMES)
        while not self._ending.is_set() and not self.failed:
            outcome = self._random.choice(outcomes)
            version = self._random.choice(_VERSIONS)
            port = self._open
            if outcome in ("served by name", "wrong password"):
                port = self._login
            elif (outcome, version) == ("no method", 6):
                # Every client of it has the method `none`.
                port = self._login
            try:
                with raw.dial(port, source=(self._source, 0)) as client:
                    place = "{}:{}".format(*client.getsockname())
                    try:
                        self._ask(client, outcome, version)
                    except (Cut, ConnectionError):
                        self.cut.append(place)
                    else:
                        self.seen[place, outcome] += 1
                        self.times.append((_OUTCOMES[outcome][0], time.time()))
            except BaseException as e:
                # Refused connections and timeouts among them.
                self.failed.append(e)

    def _ask(self, client: socket.socket, outcome: str, version: int) -> None:
        entered = self._entered6 if version == 6 else self._entered5
        if not entered(client, outcome):
            return
        code = {"denied": 2, "nobody there": 5}.get(outcome, 0)
        _expect(client, bytes((version, code)))
        # SOCKS 6 has the length of the options, too.
        _exactly(client, 10 if version == 6 else 8)
        if code:
            return
        octets = self._random.randbytes(self._random.randint(1, _OCTETS))
        client.sendall(octets)
        _expect(client, octets)
        client.shutdown(socket.SHUT_WR)
        if client.recv(1) != b"":
            raise AssertionError("more octets than were sent")
        self.octets += len(octets)

    def _place(self, outcome: str) -> tuple[str, int]:
        """Where a client wants to go."""
        host = "127.0.0.9" if outcome == "denied" else "127.0.0.1"
        return host, self._closed if outcome == "nobody there" else self._server

    def _entered6(self, client: socket.socket, outcome: str) -> bool:
        """Log in and ask by SOCKS 6; return whether a reply is to come."""
        options, told = b"", b""
        if outcome in ("served by name", "wrong password"):
            right = outcome == "served by name"
            options = raw.login6("ann", _PASSWORD if right else "wrong")
            told = raw.LET_IN6 if right else raw.LET_IN6[:-2] + b"\x01\x00"
        client.sendall(raw.request6(*self._place(outcome), options=options))
        refused = _OUTCOMES[outcome][0] == "refuse"
        _expect(client, bytes((6, refused, 0, len(told))) + told)
        return not refused

    def _entered5(self, client: socket.socket, outcome: str) -> bool:
        """The same by SOCKS 5."""
        if outcome == "no method":
            client.sendall(b"\x05\x01\x80")
            _expect(client, b"\x05\xff")
            return False
        if outcome in ("served by name", "wrong password"):
            client.sendall(raw.GREETING_LOGIN)
            _expect(client, b"\x05\x02")
            right = outcome == "served by name"
            client.sendall(raw.login(b"ann", _PASSWORD.encode() if right else b"wrong"))
            _expect(client, b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return False
        else:
            client.sendall(GREETING)
            _expect(client, b"\x05\x00")
        client.sendall(raw.request5(*self._place(outcome)))
        return True


def _exactly(client: socket.socket, count: int) -> bytes:
    came = b""
    while len(came) < count:
        more = client.recv(count - len(came))
        if not more:
            raise Cut
        came += more
    return came


def _expect(client: socket.socket, octets: bytes) -> None:
    came = _exactly(client, len(octets))
    assert came == octets, (came[:20], octets[:20])


class Death(NamedTuple):
    """
    A worker that has died.

    @ivar first: the number of its first line, and C{last}: of that about its death.
    @ivar at: when that was, in seconds since the epoch.
    """

    worker: int
    first: int
    last: int
    at: float

    def has(self, line: dict[str, Any]) -> bool:
        """Return whether it has written a line."""
        return bool(
            line["worker"] == self.worker and self.first <= line["n"] < self.last
        )

    def took(self, line: dict[str, Any]) -> bool:
        """
        Return whether a session died with it that was let in at a line.

        In a restart sessions move to the worker that has the place of theirs.
        """
        return bool(line["worker"] == self.worker and line["n"] < self.last)

    def soonAfter(self, line: dict[str, Any]) -> bool:
        """Return whether it died soon after a line of its own."""
        return self.has(line) and self.at - secondsOf(line) < _UNKNOWN


def secondsOf(line: dict[str, Any]) -> float:
    """Return when a line was written, in seconds since the epoch."""
    return datetime.fromisoformat(line["time"]).timestamp()


class Run:
    """
    A gateway under load, and what its clients have seen.

    @ivar held: sessions that stay, by their places.
    @ivar heldOctets: how many came back to them.
    """

    def __init__(self, gateway: Running, admin: AdminClient, seed: int) -> None:
        self.gateway, self.admin = gateway, admin
        self.random = random.Random(seed)
        self._seed = seed
        self.held: dict[str, socket.socket] = {}
        self.heldOctets = 0
        self.clients: list[Client] = []

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Let the clients ask while something is done to the gateway."""
        ports = self.gateway.ports
        ending = threading.Event()
        with ExitStack() as stack:
            server = stack.enter_context(Destination(echo))
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            for number in range(_HELD):
                client = stack.enter_context(closing(raw.dial(ports[0])))
                version = _VERSIONS[number % len(_VERSIONS)]
                raw.through(client, "127.0.0.1", server.port, version)
                self.held["{}:{}".format(*client.getsockname())] = client
            self.clients = [
                Client(
                    n, self._seed, ports, server.port, taken.getsockname()[1], ending
                )
                for n in range(_THREADS)
            ]
            for each in self.clients:
                each.start()
            try:
                yield
            finally:
                ending.set()
                for each in self.clients:
                    each.join(60)
            assert [each.failed for each in self.clients] == [[]] * _THREADS
            self.judgeHeld()
        until(lambda: self.metric("socksgw_live_sessions") == 0, 20)

    def judgeHeld(self) -> None:
        """Those of a worker that has died are gone, and no others."""
        where = {e["client"]: e for e in self.gateway.journal("decision")}
        dead = self.dead()
        for place, client in self.held.items():
            if any(each.took(where[place]) for each in dead):
                assert isClosed(client)
            else:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                self.heldOctets += 1

    def dead(self) -> list[Death]:
        """Return the workers that have died."""
        began: dict[int, int] = {}
        found = []
        for each in self.gateway.journal("worker"):
            number = each["worker"]
            if each["state"] == "started":
                began[number] = each["n"]
            elif each["state"] == "died":
                death = Death(number, began[number], each["n"], secondsOf(each))
                found.append(death)
        return found

    def seen(self, verdict: str) -> Counter[str]:
        """Return the clients that have seen a verdict."""
        found: Counter[str] = Counter()
        for client in self.clients:
            for (place, outcome), count in client.seen.items():
                if _OUTCOMES[outcome][0] == verdict:
                    found[place] += count
        if verdict == "allow":
            found.update(list(self.held))
        return found

    def before(self, dead: Sequence[Death], verdict: str) -> int:
        """Return how often a verdict was seen shortly before a death."""
        return sum(
            word == verdict and any(0 <= each.at - at < _UNKNOWN for each in dead)
            for client in self.clients
            for word, at in client.times
        )

    def ends(self) -> Counter[tuple[str, str]]:
        """Return the clients that had a session, and how it has ended."""
        found: Counter[tuple[str, str]] = Counter()
        for client in self.clients:
            for (place, outcome), count in client.seen.items():
                if reason := _OUTCOMES[outcome][1]:
                    found[place, reason] += count
        found.update((place, "closed") for place in self.held)
        return found

    def endsOf(self, cut: Counter[str]) -> Counter[tuple[str, str]]:
        """Return any end, once for each that was cut off."""
        reasons = {line["reason"] for line in self.gateway.journal("end")}
        return Counter({(c, r): n for c, n in cut.items() for r in reasons})

    def do(self, *acts: Callable[[], object]) -> None:
        """Do something, with reloads before, between and after, in any order."""
        several = [*acts, *[self.reload] * _RELOADS]
        self.random.shuffle(several)
        for each in several:
            time.sleep(self.random.uniform(*_PAUSE))
            each()
            self._speak()
        time.sleep(_PAUSE[0])

    def _speak(self) -> None:
        """Have an octet back through each session that stays, if its worker lives."""
        for client in self.held.values():
            with suppress(ConnectionError):
                client.sendall(b"x")
                self.heldOctets += len(client.recv(1))

    def kill(self) -> None:
        """Kill a worker that serves."""
        workers = self.admin.get("/api/status")["workers"]
        serving = [each["pid"] for each in workers if each["state"] == "serves"]
        os.kill(self.random.choice(serving), signal.SIGKILL)

    def reload(self) -> None:
        """Have another rule, or have it no longer."""
        file = self.gateway.directory / "gw.toml"
        text = file.read_text()
        other = text.replace(_OTHER, "") if _OTHER in text else text + _OTHER
        file.write_text(other)
        answered = self.admin.ask("/api/reload", "POST")
        assert answered.status == 200, answered.json

    def values(self, name: str, label: str) -> Counter[str]:
        """Return the values of a metric by one label; of all together for none."""
        text = self.admin.ask("/metrics").octets.decode()
        found: Counter[str] = Counter()
        for line in re.findall(rf"^{name}(.* \S+)$", text, re.MULTILINE):
            labels, _, value = line.rpartition(" ")
            word = re.search(rf'{label}="([^"]*)"', labels) if label else None
            found[word[1] if word else ""] += int(float(value))
        return +found

    def metric(self, name: str) -> int:
        """Return the sum of a metric's values."""
        return self.values(name, "").total()


class Told:
    """
    What the journal says.

    @ivar verdicts: lines about sessions, by client and verdict.
    @ivar ends: lines of ends, by client and reason.
    @ivar sums: sessions that have no line of their own, by verdict.
    @ivar late: lines that the metrics need not have, by verdict: of a worker that died
        soon after; C{lateEnds}: the same of ends, by reason.
    @ivar unended: the clients of sessions that died with their worker.
    @ivar octets: how many came back from destinations.
    """

    def __init__(self, journal: list[dict[str, Any]], dead: list[Death]) -> None:
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.ends: Counter[tuple[str, str]] = Counter()
        self.sums: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self.lateEnds: Counter[str] = Counter()
        self.octets = 0
        ended = {e["session"] for e in journal if e["event"] == "end"}
        unended = []
        clients: dict[int, str] = {}
        for line in journal:
            event = line["event"]
            if event in ("refusals", "denials"):
                self.sums["deny" if event == "denials" else "refuse"] += line["count"]
            elif event == "end":
                self.ends[clients[line["session"]], line["reason"]] += 1
                self.octets += line["received"]
                if any(each.soonAfter(line) for each in dead):
                    self.lateEnds[line["reason"]] += 1
            elif event in ("decision", "refused", "login-failed"):
                verdict = line.get("verdict", "refuse")
                clients[line["session"]] = line["client"]
                self.verdicts[line["client"], verdict] += 1
                lost = verdict == "allow" and line["session"] not in ended
                if lost:
                    unended.append(line)
                if lost or any(each.soonAfter(line) for each in dead):
                    self.late[verdict] += 1
        for line in unended:
            assert any(each.took(line) for each in dead), line
        self.unended = Counter(e["client"] for e in unended)

    def of(self, verdict: str) -> Counter[str]:
        """Return the clients of a verdict."""
        found = {c: n for (c, v), n in self.verdicts.items() if v == verdict}
        return Counter(found)


def judged(run: Run) -> None:
    """
    Hold the clients, the journal and the metrics against each other.

    Without deaths all are equal. A worker that is killed takes with it: its live
    sessions, which have no end; sums of refusals that are not written yet; and what it
    has counted since it was asked last.
    """
    dead = run.dead()
    told = Told(run.gateway.journal(), dead)
    spoken = {line["protocol"] for line in run.gateway.journal("decision")}
    assert spoken == {f"socks{version}" for version in _VERSIONS}
    cut = Counter(place for each in run.clients for place in each.cut)
    # Whoever was cut off was a client of a worker that died: one of each thread.
    assert cut.total() <= len(dead) * _THREADS
    counted = run.values("socksgw_sessions_total", "verdict")
    lost = 0
    for verdict in _VERDICTS:
        seen, lines = run.seen(verdict), told.of(verdict)
        assert seen.total() > _THREADS
        # What has a line was seen, or cut off before it was.
        assert not lines - seen - cut, verdict
        if verdict == "allow":
            assert not seen - lines, "a session that the journal does not have"
        # The others may be in a sum, of which one may be lost with a worker.
        gone = seen.total() - (seen & lines).total() - told.sums[verdict]
        assert gone <= run.before(dead, verdict), verdict
        assert dead or gone == 0, verdict
        total = lines.total() + told.sums[verdict]
        late = told.late[verdict]
        assert total - late <= counted[verdict] <= total + max(gone, 0), verdict
        lost += late
    # How they ended, each: a session of which the end was seen, and has no line, was
    # one of a worker that died.
    ends = run.ends()
    assert not told.ends - ends - run.endsOf(cut), "ends that nobody has seen"
    missing = Counter(place for place, _ in (ends - told.ends).elements())
    assert not missing - told.unended
    # And by the metric: what was counted and has no line was cut off in between.
    reasons: Counter[str] = Counter()
    for (_, reason), count in told.ends.items():
        reasons[reason] += count
    counted = run.values("socksgw_session_ends_total", "reason")
    # Those who were refused have no line of an end.
    counted = Counter({why: n for why, n in counted.items() if why in reasons})
    assert not reasons - told.lateEnds - counted, (reasons, counted)
    assert (counted - reasons).total() <= told.unended.total(), (reasons, counted)
    # The octets of each are in its line; those who were cut off have seen some of them.
    most = _OCTETS * (cut.total() + told.unended.total())
    came = sum(each.octets for each in run.clients) + run.heldOctets
    assert abs(told.octets - came) <= most
    moved = run.values("socksgw_octets_total", "direction")["received"]
    assert told.octets - _OCTETS * lost <= moved <= told.octets + most


@pytest.fixture
def seed() -> int:
    """What the events are drawn by; printed, so that they may be had again."""
    found = random.SystemRandom().randrange(1 << 32)
    print(f"seed {found}")
    return found


def test_deathsReloadsAndRestarts(tmp_path: Path, seed: int) -> None:
    """Two workers, of which some are killed, and others take the place of all."""
    text = f"{_TEXT}\n[gateway]\nworkers = 2\n"
    with restarted(tmp_path, text) as gateway:
        run = Run(gateway, AdminClient(gateway.admin), seed)
        with run.loaded():
            run.do(*[run.kill] * _KILLS, *[gateway.restart] * _RESTARTS)
        assert len(run.dead()) == _KILLS
        assert len(gateway.journal("handover")) == _RESTARTS
        judged(run)


def test_restartsAndReloads(tmp_path: Path, seed: int) -> None:
    """One process after the other."""
    with restarted(tmp_path, _TEXT) as gateway:
        run = Run(gateway, AdminClient(gateway.admin), seed)
        with run.loaded():
            run.do(*[gateway.restart] * _RESTARTS)
        judged(run)
