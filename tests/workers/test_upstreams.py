"""
Two workers and an upstream, which the supervisor checks; and what they remember of
logins. Clients and the upstream speak SOCKS 5 or 6.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from tests.live import raw
from tests.live.clients import exactly, opened
from tests.live.running import HEAD, Running, isGone, running, socksgw
from tests.live.servers import Destination
from tests.tools.waiting import until

#: A listener for clients of both versions.
_BOTH = '[[listen]]\nprotocols = ["socks5", "socks6"]'
#: The versions of SOCKS: what a client says that wants a connection to the port 440 and
#: so many, and what is answered first.
_SAID = {
    5: (raw.GREETING + raw.request5("203.0.114.1", 445), b"\5\0\5\0"),
    6: (raw.request6("203.0.114.1", 446), b"\6\0\0\0\6\0"),
}
#: Where checks lead.
_CHECKED = 7
#: Its changes, in the end, as the supervisor tells them.
_CHANGES = [("ejected", False), ("returned", False)]
#: What clients of each version are led to speaks the same.
_UPSTREAMS = "".join(
    f"""
[[upstream]]
name = "edge{version}"
url = "socks{version}://127.0.0.1:{{port}}"
resolve = "there"
check = {{{{ every = "1s", fall = 1, rise = 1, target = "127.0.0.1:{_CHECKED}" }}}}
[[upstream]]
name = "other{version}"
url = "socks{version}://127.0.0.1:{{other}}"
resolve = "there"
[[rule]]
id = "{version}"
allow = ["connect"]
ports = [44{version}]
via = [["edge{version}", "other{version}"]]
"""
    for version in _SAID
)
_TEXT = f"""\
[gateway]
workers = 2
{HEAD.replace("[[listen]]", _BOTH)}
{_UPSTREAMS}
"""


class Edge:
    """
    An upstream that opens everything, with nothing behind it, in SOCKS 5 or 6.

    @ivar works: whether it does for checks, and C{checks}: how many came, by version.
    @ivar sessions: how many others, likewise.
    """

    def __init__(self) -> None:
        self.works = True
        self.checks: Counter[int] = Counter()
        self.sessions: Counter[int] = Counter()
        self.server = Destination(self._have)

    def _have(self, connection: socket.socket) -> None:
        head = exactly(connection, 3)
        if len(head) < 3:
            return
        version = head[0]
        if version == 6:
            # Section 4 of the draft: no options here, and an address of IPv4.
            port = int.from_bytes(exactly(connection, 9)[1:3])
        else:
            connection.sendall(b"\x05\0")
            port = int.from_bytes(exactly(connection, 10)[8:])
        (self.checks if port == _CHECKED else self.sessions)[version] += 1
        code = 0 if self.works or port != _CHECKED else 1
        if version == 6:
            # Sections 5 and 7: let in; succeeded, or general failure.
            connection.sendall(
                bytes((6, 0, 0, 0, 6, code)) + bytes(5) + b"\1" + bytes(4)
            )
        else:
            # RFC 1928 section 6.
            connection.sendall(bytes((5, code, 0, 1)) + bytes(6))


def through(
    gateway: Running, edge: Edge, meanwhile: Callable[[], object] = lambda: None
) -> list[int]:
    """
    Return how many of some clients of each version go by an upstream.

    Both workers have some of the clients.

    @param meanwhile: called when all have asked.
    """
    before = edge.sessions.copy()
    with ExitStack() as stack:
        clients = []
        for said, answer in [*_SAID.values()] * 12:
            client = stack.enter_context(opened(gateway.port))
            client.sendall(said)
            clients.append((client, answer))
        meanwhile()
        for client, answer in clients:
            assert exactly(client, len(answer)) == answer
    return [edge.sessions[version] - before[version] for version in _SAID]


def changes(gateway: Running) -> list[list[tuple[str, bool]]]:
    """Return changes of each version's upstream, and whether a worker tells them."""
    lines = gateway.journal("upstream")
    return [
        [
            (e["state"], "worker" in e)
            for e in lines
            if e["upstream"] == f"edge{version}"
        ]
        for version in _SAID
    ]


def test_oneChecks(tmp_path: Path) -> None:
    """
    The supervisor checks, and all workers use what it finds: no session goes to an
    upstream that fails, from any of them, nor from one that takes the place of another.
    """
    edge, other = Edge(), Edge()
    with edge.server, other.server:
        text = _TEXT.format(port=edge.server.port, other=other.server.port)
        for gateway in running(tmp_path, text):
            by = partial(through, gateway, edge)
            until(lambda by=by: all(by()), 30)
            edge.works = False
            ejected = [[("ejected", False)]] * 2
            until(lambda g=gateway, x=ejected: changes(g) == x, 30)
            until(lambda by=by: not any(by()), 30)
            started = [e for e in gateway.journal("worker") if e["state"] == "started"]
            worker, supervisor = started[0]["pid"], gateway.process.pid
            # Some clients wait where nobody serves until another worker does.
            os.kill(supervisor, signal.SIGSTOP)
            os.kill(worker, signal.SIGKILL)
            until(lambda worker=worker: isGone(worker))
            goOn = partial(os.kill, supervisor, signal.SIGCONT)
            assert by(goOn) == [0, 0]
            assert by() == [0, 0]
            edge.works = True
            until(lambda by=by: all(by()), 30)
            until(lambda g=gateway: changes(g) == [_CHANGES] * 2)


_LOGIN = f"""\
[gateway]
workers = 2
{_BOTH}
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
cache = "1h"
throttle = {{ per_user = 1000, per_source = 1000 }}
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

        def statuses(name: str, password: str, port: int = gateway.port) -> set[int]:
            """Log in several times in both versions, at both workers."""
            message = raw.login(name.encode(), password.encode())
            option = raw.login6(name, password)
            found = set()
            for _ in range(4):
                with closing(opened(port)) as client:
                    client.sendall(raw.GREETING_LOGIN + message)
                    found.add(exactly(client, 4)[3])
                with closing(opened(port)) as client:
                    client.sendall(raw.request6("127.0.0.1", 1, options=option))
                    found.add(raw.entered6(client)[0])
            return found

        for name in ("alice", "bob"):
            assert statuses(name, "right") == {0}
        passwords(tmp_path, alice="other")
        until(lambda: statuses("alice", "right") == {1})
        assert statuses("alice", "other") == statuses("bob", "right") == {0}
