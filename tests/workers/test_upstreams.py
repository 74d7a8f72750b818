"""
Two workers and an upstream, which the supervisor checks; and what they remember of
logins.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from tests.live.clients import GREETING, exactly, four, opened, request5
from tests.live.raw import login
from tests.live.running import HEAD, Running, isGone, running, socksgw
from tests.live.servers import Destination
from tests.tools.waiting import until

#: Where checks lead, and where sessions do.
_CHECKED, _WANTED = 7, 443
#: Its changes, in the end, as the supervisor tells them.
_CHANGES = [("ejected", False), ("returned", False)]
_TEXT = f"""\
[gateway]
workers = 2
{HEAD}
[[upstream]]
name = "edge"
url = "socks5://127.0.0.1:{{port}}"
resolve = "there"
check = {{{{ every = "1s", fall = 1, rise = 1, target = "127.0.0.1:{_CHECKED}" }}}}
[[upstream]]
name = "other"
url = "socks5://127.0.0.1:{{other}}"
resolve = "there"
[[rule]]
id = "all"
allow = ["connect"]
via = [["edge", "other"]]
"""


class Edge:
    """
    An upstream that opens everything, with nothing behind it.

    @ivar works: whether it does for checks, and C{checks}: how many came.
    @ivar sessions: how many others.
    """

    def __init__(self) -> None:
        self.works = True
        self.checks = self.sessions = 0
        self.server = Destination(self._have)

    def _have(self, connection: socket.socket) -> None:
        if len(exactly(connection, 3)) < 3:
            return
        connection.sendall(b"\x05\0")
        port = int.from_bytes(exactly(connection, 10)[8:])
        if port == _CHECKED:
            self.checks += 1
        else:
            self.sessions += 1
        fine = self.works or port != _CHECKED
        # RFC 1928 section 6: succeeded, or general failure.
        connection.sendall(bytes((5, 0 if fine else 1, 0, 1)) + bytes(6))


def through(
    gateway: Running, edge: Edge, meanwhile: Callable[[], object] = lambda: None
) -> int:
    """
    Return how many of some clients go by an upstream; both workers have some.

    @param meanwhile: called when all have asked.
    """
    before = edge.sessions
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(gateway.port)) for _ in range(12)]
        for each in clients:
            each.sendall(GREETING + request5(four("203.0.114.1"), _WANTED))
        meanwhile()
        for each in clients:
            assert exactly(each, 4) == b"\x05\x00\x05\x00"
    return edge.sessions - before


def changes(gateway: Running) -> list[tuple[str, bool]]:
    """Return changes of the upstream, and whether a worker tells them."""
    return [(e["state"], "worker" in e) for e in gateway.journal("upstream")]


def test_oneChecks(tmp_path: Path) -> None:
    """
    The supervisor checks, and all workers use what it finds: no session goes to an
    upstream that fails, from any of them, nor from one that takes the place of another.
    """
    edge, other = Edge(), Edge()
    with edge.server, other.server:
        text = _TEXT.format(port=edge.server.port, other=other.server.port)
        for gateway in running(tmp_path, text):
            until(lambda gateway=gateway: through(gateway, edge), 30)
            edge.works = False
            until(lambda gateway=gateway: changes(gateway) == [("ejected", False)], 30)
            until(lambda gateway=gateway: through(gateway, edge) == 0, 30)
            started = [e for e in gateway.journal("worker") if e["state"] == "started"]
            worker, supervisor = started[0]["pid"], gateway.process.pid
            # Some clients wait where nobody serves until another worker does.
            os.kill(supervisor, signal.SIGSTOP)
            os.kill(worker, signal.SIGKILL)
            until(lambda worker=worker: isGone(worker))
            goOn = partial(os.kill, supervisor, signal.SIGCONT)
            assert through(gateway, edge, goOn) == 0
            assert through(gateway, edge) == 0
            edge.works = True
            until(lambda gateway=gateway: through(gateway, edge), 30)
            until(lambda g=gateway: changes(g) == _CHANGES)


_LOGIN = """\
[gateway]
workers = 2
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
cache = "1h"
throttle = { per_user = 1000, per_source = 1000 }
[[auth.choose]]
methods = ["userpass"]
"""


def passwords(directory: Path, **users: str) -> None:
    """Set passwords."""
    for name, password in users.items():
        done = socksgw("passwd", str(directory / "users"), name, stdin=f"{password}\n")
        assert done.returncode == 0, done.stderr


def test_logins(tmp_path: Path) -> None:
    """Each worker forgets a login that has changed, and remembers the others."""
    passwords(tmp_path, alice="right", bob="right")
    for gateway in running(tmp_path, _LOGIN):

        def statuses(
            name: bytes, password: bytes, port: int = gateway.port
        ) -> set[int]:
            """Log in several times, at both workers."""
            found = set()
            for _ in range(12):
                with closing(opened(port)) as client:
                    client.sendall(b"\x05\x01\x02" + login(name, password))
                    found.add(exactly(client, 4)[3])
            return found

        for name in (b"alice", b"bob"):
            assert statuses(name, b"right") == {0}
        passwords(tmp_path, alice="other")
        until(lambda: statuses(b"alice", b"right") == {1})
        assert statuses(b"alice", b"other") == statuses(b"bob", b"right") == {0}
