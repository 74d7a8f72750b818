"""
Limits of a gateway of two workers, counted by the target.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.live.clients import (
    connected,
    exactly,
    four,
    isClosed,
    opened,
    reset,
    verdict5,
)
from tests.live.raw import login
from tests.live.running import OPEN, Running, running, socksgw
from tests.tools.waiting import until

_MOST = 10
LIMITED = f"""\
[gateway]
workers = 2
{OPEN}
[[limit]]
per = "source"
sessions = {_MOST}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    """One with two workers."""
    yield from running(tmp_path, LIMITED)


def started(gateway: Running) -> dict[int, int]:
    """Return the processes of the workers that have started last, by number."""
    found = [each for each in gateway.journal("worker") if each["state"] == "started"]
    return {each["worker"]: each["pid"] for each in found}


def isReplaced(gateway: Running, pid: int) -> bool:
    """Tell whether another process has the place of one."""
    return pid not in started(gateway).values()


class Counted:
    """
    A target that counts who is there, and the octets that have come.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.live = self.most = self.total = self.octets = 0
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            ready = [key.fileobj for key, _ in self._selector.select(0.05)]
            # Ends come first: who has come has come after them.
            for found in ready:
                if found is not self._listener:
                    self._read(found)
            if self._listener in ready:
                accepted, _ = self._listener.accept()
                self._selector.register(accepted, selectors.EVENT_READ)
                self.live += 1
                self.total += 1
                self.most = max(self.most, self.live)

    def _read(self, found: Any) -> None:
        try:
            more = found.recv(1 << 16)
        except OSError:
            more = b""
        self.octets += len(more)
        if not more:
            self._selector.unregister(found)
            found.close()
            self.live -= 1

    def close(self) -> None:
        """End."""
        self._over = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


@pytest.fixture
def target() -> Iterator[Counted]:
    """What clients reach."""
    found = Counted()
    yield found
    found.close()


def asked(gateway: Running, target: Counted) -> socket.socket | None:
    """Ask for a session; L{None} where it was refused."""
    client, reply = connected(gateway.port, four("127.0.0.1"), target.port)
    if reply == 0:
        return client
    client.close()
    # RFC 1928 section 6: general failure.
    assert reply == 1
    return None


def filled(gateway: Running, target: Counted, stack: ExitStack) -> list[socket.socket]:
    """Ask until nobody gets in; return who did."""
    clients = []
    for _ in range(3 * _MOST):
        client = asked(gateway, target)
        if client is not None:
            clients.append(stack.enter_context(closing(client)))
    return clients


def load(gateway: Running, target: Counted, over: threading.Event) -> None:
    """Come and go, and come again when a worker has died."""
    while not over.is_set():
        with suppress(OSError, AssertionError):
            client = asked(gateway, target)
            if client is not None:
                client.close()


def test_neverMoreThanTheLimit(gateway: Running, target: Counted) -> None:
    """
    Both workers let in as many as one would, not one more or fewer. When one is killed
    under load, there are never more, and then as many again.
    """
    with ExitStack() as stack:
        clients = filled(gateway, target, stack)
        assert len(clients) == target.live == _MOST
        assert len({each["worker"] for each in gateway.journal("decision")}) == 2
        over = threading.Event()
        threads = [
            threading.Thread(target=load, args=(gateway, target, over)) for _ in "ab"
        ]
        for each in threads:
            each.start()
        before = started(gateway)
        for client in clients[:4]:
            client.close()
        until(lambda: target.total > 2 * _MOST, 30)
        os.kill(before[1], signal.SIGKILL)
        until(lambda: started(gateway)[1] != before[1], 30)
        seen = target.total
        until(lambda: target.total > seen + _MOST, 30)
        over.set()
        for each in threads:
            each.join()
        stay = [each for each in clients[4:] if not isClosed(each)]
        until(lambda: target.live == len(stay), 30)
        more = filled(gateway, target, stack)
        assert len(stay) + len(more) == target.live == _MOST
        assert target.most == _MOST


_QUOTA = 100_000


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[Running]:
    """One with two workers and a quota."""
    limited = LIMITED.replace(f"sessions = {_MOST}", f'quota = "{_QUOTA}B/1d"')
    yield from running(tmp_path, limited)


def test_oneQuota(bounded: Running, target: Counted) -> None:
    """
    Sessions at both workers have one quota, of which one session of one worker moves
    each octet that the others have taken in advance and do not need. Then all end.
    """
    with ExitStack() as stack:
        clients = []
        while len({each["worker"] for each in bounded.journal("decision")}) < 2:
            client = asked(bounded, target)
            assert client is not None
            clients.append(stack.enter_context(closing(client)))
            client.sendall(bytes(100))
        with suppress(ConnectionError):
            clients[0].sendall(bytes(2 * _QUOTA))
        until(lambda: all(map(isClosed, clients)))
        until(lambda: target.live == 0)
        assert target.octets == _QUOTA
        assert {each["reason"] for each in bounded.journal("end")} == {"quota"}
        # RFC 1928 section 6: not allowed.
        assert verdict5(bounded.port, four("127.0.0.1"), target.port) == 2


_RATE = 1_000_000


class Sending:
    """
    Sends all that can be sent, and checks that no more comes than the rate allows from
    the beginning on, with half a second of it at once.
    """

    def __init__(self, target: Counted) -> None:
        self._target = target
        self._began = time.monotonic()

    def reached(self, clients: list[socket.socket]) -> None:
        """Send until most of the rate has come, in a window of 1.5 s."""
        with selectors.DefaultSelector() as selector:
            for client in clients:
                client.setblocking(False)
                selector.register(client, selectors.EVENT_WRITE)
            until(lambda: self._window(selector) > 0.8, 60)

    def _window(self, selector: selectors.BaseSelector) -> float:
        """Return how much has come, in parts of the rate."""
        before, began = self._target.octets, time.monotonic()
        while time.monotonic() < began + 1.5:
            for key, _ in selector.select(0.1):
                with suppress(BlockingIOError):
                    key.fileobj.send(bytes(1 << 16))  # type: ignore[union-attr]
        came = self._target.octets
        now = time.monotonic()
        assert came <= _RATE * (now - self._began + 0.5)
        return (came - before) / (now - began) / _RATE


@pytest.mark.alone
def test_oneRate(tmp_path: Path, target: Counted) -> None:
    """
    Sessions at both workers have one rate together, and reach it. When one of them is
    killed, those of the other one have all of it.
    """
    limited = LIMITED.replace(f"sessions = {_MOST}", f'rate = "{_RATE}B/s"')
    for gateway in running(tmp_path, limited):
        with ExitStack() as stack:
            clients, where = dict[str, socket.socket](), dict[str, int]()
            while len(clients) < 12 or len(set(where.values())) < 2:
                client = asked(gateway, target)
                assert client is not None
                stack.callback(reset, client)
                clients["{}:{}".format(*client.getsockname())] = client
                line = gateway.journal("decision")[-1]
                where[line["client"]] = line["worker"]
            sending = Sending(target)
            sending.reached([*clients.values()])
            os.kill(started(gateway)[1], signal.SIGKILL)
            sending.reached(
                [clients[name] for name, worker in where.items() if worker == 2]
            )


_THROTTLED = """\
[gateway]
workers = 2
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 6, per_source = 6, window = "10m" }
[[auth.choose]]
methods = ["userpass"]
"""


def hears(gateway: Running, name: bytes, password: bytes) -> int:
    """Log in; return the status (RFC 1929 section 2)."""
    with opened(gateway.port) as client:
        client.sendall(b"\x05\x01\x02" + login(name, password))
        return exactly(client, 4)[3]


def bothOf(lines: list[dict[str, Any]]) -> bool:
    """Return whether both workers have written some of these."""
    return {each["worker"] for each in lines} == {1, 2}


def test_oneThrottle(tmp_path: Path) -> None:
    """
    Six wrong passwords are checked, whichever worker has them; then the right one does
    not help at any. A worker that takes the place of a dead one knows of that.
    """
    made = socksgw("passwd", str(tmp_path / "users"), "alice", stdin="right\n")
    assert made.returncode == 0, made.stderr
    for gateway in running(tmp_path, _THROTTLED):
        assert hears(gateway, b"alice", b"right") == 0
        failed: list[dict[str, Any]] = []
        while len(failed) < 12 or not bothOf(failed):
            assert hears(gateway, b"alice", b"wrong%d" % len(failed)) == 1
            failed = gateway.journal("login-failed")
        reasons = [each["reason"] for each in failed]
        assert reasons == ["wrong-credentials"] * 6 + ["throttled"] * len(failed[6:])
        dead = started(gateway)[1]
        os.kill(dead, signal.SIGKILL)
        until(partial(isReplaced, gateway, dead), 30)
        later: list[dict[str, Any]] = []
        while not bothOf(later):
            assert hears(gateway, b"alice", b"right") == 1
            later = gateway.journal("login-failed")[len(failed) :]
