"""
One admin interface of a gateway of two workers.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.admin import AdminClient
from tests.live.clients import Server, connected, four, isClosed
from tests.live.running import HEAD, Running, socksgw
from tests.live.servers import freePort
from tests.live.serving import Serving, served
from tests.tools.waiting import until

_TEXT = f"""\
[gateway]
workers = 2
{HEAD}
[[limit]]
per = "source"
sessions = 100
[[rule]]
id = "all"
allow = ["connect"]
to = ["127.0.0.1"]
"""


#: Who has logged in may be granted loopback; nobody else may go anywhere.
_GRANTS = """\
[auth]
checkers = ["memory:ann:canary-3f7a"]
[grants]
approvers = ["token:operator"]
[[grants.may]]
id = "loopback"
approvers = ["token:operator"]
allow = ["connect"]
who = ["users"]
to = ["127.0.0.0/8"]
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """One with two workers."""
    port = freePort(kind=socket.SOCK_STREAM)
    yield from served(tmp_path, _TEXT.replace("127.0.0.1:0", f"127.0.0.1:{port}"))


@pytest.fixture
def gateway(serving: Serving) -> Running:
    """Its process."""
    return serving.gateway


@pytest.fixture
def admin(serving: Serving) -> AdminClient:
    """A client of its interface."""
    return serving.operator


@pytest.fixture
def server() -> Iterator[Server]:
    """What clients reach."""
    with Server() as found:
        yield found


def opened(gateway: Running, server: Server, stack: ExitStack) -> list[socket.socket]:
    """Return clients that have a session; both workers have some."""
    clients = []
    for _ in range(24):
        client, reply = connected(gateway.port, four("127.0.0.1"), server.port)
        clients.append(stack.enter_context(closing(client)))
        assert reply == 0
    return clients


def listed(admin: AdminClient, query: str = "") -> list[Any]:
    """Return the sessions that are listed."""
    found = admin.ask(f"/api/sessions{query}").json
    return list(found["sessions"])


def standings(admin: AdminClient) -> list[Any]:
    """Return how the workers are doing."""
    return list(admin.ask("/api/status").json["workers"])


def processes(gateway: Running) -> dict[int, int]:
    """Return the processes of the workers that have started last, by number."""
    found = [e for e in gateway.journal("worker") if e["state"] == "started"]
    return {each["worker"]: each["pid"] for each in found}


def metric(admin: AdminClient, name: str) -> float:
    """Return the sum of a metric's values."""
    text = admin.ask("/metrics").octets.decode()
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def test_oneViewOfAll(gateway: Running, admin: AdminClient, server: Server) -> None:
    """Sessions of all workers are listed, sorted, told of, and ended."""
    with ExitStack() as stack:
        clients = opened(gateway, server, stack)
        clients[0].sendall(b"x" * 1000)
        clients[0].settimeout(10)
        assert clients[0].recv(1000)
        workers = {each["worker"] for each in gateway.journal("decision")}
        assert workers == {1, 2}
        # Sorted and in pages, over both workers.
        numbers = [each["session"] for each in listed(admin)]
        assert len(numbers) == 24
        assert numbers == sorted(numbers)
        pages = [
            each["session"]
            for offset in (0, 10, 20)
            for each in listed(
                admin, f"?sort=session&order=desc&limit=10&offset={offset}"
            )
        ]
        assert pages == numbers[::-1]
        (most,) = listed(admin, "?sort=octets&order=desc&limit=1")
        assert most["client"].endswith(f":{clients[0].getsockname()[1]}")
        assert listed(admin, "?user=nobody") == []
        # Each is of the worker that has let it in.
        where = {e["session"]: e["worker"] for e in gateway.journal("decision")}
        by = [(e["worker"], e["session"]) for e in listed(admin, "?sort=worker")]
        assert by == sorted((worker, number) for number, worker in where.items())
        shown = socksgw("sessions", "--config", "gw.toml", cwd=gateway.directory)
        title, *rows, _ = shown.stdout.splitlines()
        assert title.split()[-1] == "worker"
        assert {int(e.split()[0]): int(e.split()[-1]) for e in rows} == where
        assert admin.ask("/api/sessions?source=bad").status == 400
        # The story of one.
        story = admin.ask(f"/api/sessions/{most['session']}").json
        assert story["live"]
        assert story["facts"]["sent"] == 1000
        assert [each["event"] for each in story["journal"]] == ["decision"]
        assert admin.ask("/api/sessions/999999").status == 404
        # Status, metrics, and what would be decided.
        status = admin.ask("/api/status").json
        assert (status["sessions"]["live"], status["sessions"]["begun"]) == (24, 24)
        assert status["clients"]["connected"] == 24
        assert status["octets"]["sent"] == 1000
        assert [each["clients"] for each in status["listeners"]] == [24]
        assert status["journal"]["number"] == gateway.journal()[-1]["n"]
        assert status["ready"]
        pids = processes(gateway)
        told = [(e["number"], e["pid"], e["state"]) for e in status["workers"]]
        assert told == [(1, pids[1], "serves"), (2, pids[2], "serves")]
        until(lambda: sum(e["sessions"] for e in standings(admin)) == 24, 10)
        assert metric(admin, "socksgw_live_sessions") == 24
        question = "command=connect&destination=127.0.0.1:80&from=127.0.0.1"
        assert admin.ask(f"/api/explain?{question}").json["rule"] == "all"
        # Kill.
        answer = admin.ask(f"/api/sessions/{numbers[0]}", "DELETE")
        assert answer.json == {"ended": 1}
        assert admin.ask(f"/api/sessions/{numbers[0]}", "DELETE").status == 404
        assert admin.ask("/api/sessions", "DELETE").status == 400
        assert admin.ask("/api/sessions?all=true", "DELETE").json == {"ended": 23}
        until(lambda: all(map(isClosed, clients)), 10)
        until(lambda: len(gateway.journal("end")) == 24, 10)
        until(lambda: metric(admin, "socksgw_session_ends_total") == 24, 10)
        over = admin.ask(f"/api/sessions/{numbers[0]}").json
        assert [each["event"] for each in over["journal"]] == ["decision", "end"]
        assert not over["live"]


def test_operating(gateway: Running, admin: AdminClient, server: Server) -> None:
    """Drain and reload are for all workers."""
    with ExitStack() as stack:
        opened(gateway, server, stack)
        assert admin.ask("/api/drain", "POST").json == {
            "draining": True, "sessions": 24, "clients": 24,
        }  # fmt: skip
        assert admin.ask("/readyz").status == 503
        until(lambda: _refused(gateway.port), 10)
        assert not admin.ask("/api/drain", "DELETE").json["draining"]
        opened(gateway, server, stack)
        assert admin.ask("/readyz").status == 200
    text = (gateway.directory / "gw.toml").read_text()
    denying = text.replace('to = ["127.0.0.1"]', 'to = ["192.0.2.1"]')
    (gateway.directory / "gw.toml").write_text(denying)
    assert admin.ask("/api/reload", "POST").json["reloaded"]
    assert _replies(gateway, server) == {2}
    (gateway.directory / "gw.toml").write_text("[gateway]\nworkers = 2\nbad = 1\n")
    assert admin.ask("/api/reload", "POST").status == 422


def test_grants(tmp_path: Path, server: Server) -> None:
    """A grant holds in every worker, and ends in every one."""
    text = _TEXT.replace('"none"', '"userpass"').replace(
        '127.0.0.1"]\n', '192.0.2.1"]\n'
    )
    for serving in served(tmp_path, _GRANTS + text):
        port, admin = serving.gateway.port, serving.operator
        assert {granted(port, server) for _ in range(8)} == {2}
        asked = {"who": ["ann"], "to": ["127.0.0.1"], "for": "10m", "ticket": "INC-7"}
        number = serving.looker.ask("/api/grants", "POST", asked).json["number"]
        assert admin.ask(f"/api/grants/{number}/approve", "POST").status == 200
        until(lambda port=port: {granted(port, server) for _ in range(8)} == {0}, 10)
        with ExitStack() as stack:
            live = [granted(port, server, stack) for _ in range(8)]
            assert set(live) == {0}
            assert admin.ask(f"/api/grants/{number}", "DELETE").status == 200
            until(lambda admin=admin: listed(admin) == [], 10)
        assert {granted(port, server) for _ in range(8)} == {2}
        workers = {each["worker"] for each in serving.gateway.journal("decision")}
        assert workers == {1, 2}


def granted(port: int, server: Server, stack: ExitStack | None = None) -> int:
    """
    Ask for a session as ann, and return the reply.

    @param stack: keeps the client.
    """
    client = raw.dial(port)
    if stack is not None:
        stack.enter_context(closing(client))
    client.sendall(raw.GREETING_LOGIN)
    assert raw.exactly(client, 2) == b"\x05\x02"
    client.sendall(raw.login(b"ann", b"canary-3f7a"))
    assert raw.exactly(client, 2) == b"\x01\x00"
    client.sendall(raw.request5("127.0.0.1", server.port))
    reply = raw.reply5(client)[0]
    if stack is None:
        client.close()
    return reply


def test_countersOfTheDead(
    gateway: Running, admin: AdminClient, server: Server
) -> None:
    """What a worker had counted stays counted; its live sessions are gone."""
    with ExitStack() as stack:
        for client in opened(gateway, server, stack):
            client.close()
        until(lambda: metric(admin, "socksgw_session_ends_total") == 24, 10)
        opened(gateway, server, stack)
        where = [each["worker"] for each in gateway.journal("decision")[24:]]
        os.kill(processes(gateway)[1], signal.SIGKILL)
        left = where.count(2)
        until(lambda: metric(admin, "socksgw_live_sessions") == left, 10)
        assert metric(admin, "socksgw_session_ends_total") == 24
        assert admin.ask("/api/status").json["sessions"]["live"] == left


def test_whoServes(gateway: Running, admin: AdminClient, server: Server) -> None:
    """
    The banner, C{check}, C{status} and the stream of events tell of the workers; of
    one that is stopped, and of one that has died.
    """
    directory = gateway.directory
    assert "workers     2 processes serve clients" in gateway.log
    checked = socksgw("check", "gw.toml", cwd=directory)
    assert "clients are served by:\n  2 workers\n" in checked.stdout
    before = processes(gateway)
    with ExitStack() as stack:
        stream = stack.enter_context(closing(events(directory, "decision", "worker")))
        opened(gateway, server, stack)
        os.kill(before[2], signal.SIGSTOP)
        until(lambda: standings(admin)[1]["state"] == "silent", 15)
        assert standings(admin)[0]["state"] == "serves"
        os.kill(before[2], signal.SIGKILL)
        until(lambda: standings(admin)[1]["deaths"] == 1, 15)
        until(lambda: standings(admin)[1]["state"] == "serves", 15)
        after = standings(admin)
        assert after[0]["pid"] == before[1]
        assert (after[1]["pid"], after[1]["deaths"]) == (processes(gateway)[2], 1)
        heard = b""
        while b'"state":"started"' not in heard:
            heard += stream.recv(1 << 16)
        # Each line says whose it is.
        decided = re.findall(rb'"event":"decision",[^\n]*"worker":([12])', heard)
        assert {*decided} == {b"1", b"2"}
        assert re.search(rb'"state":"died",[^\n]*"worker":2', heard)
    printed = socksgw("status", "--config", "gw.toml", cwd=directory)
    (first, second) = re.findall(r"^worker +(.*)$", printed.stdout, re.MULTILINE)
    assert first.startswith(f"1: serves, process {before[1]} for ")
    assert second.startswith(f"2: serves, process {after[1]['pid']} for ")
    assert second.endswith("; died 1 time")


def events(directory: Path, *kinds: str) -> socket.socket:
    """Return the stream of some events."""
    stream = raw.dialPath(str(directory / "admin.sock"))
    query = "&".join(f"event={each}" for each in kinds)
    stream.sendall(
        f"GET /api/events?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    stream.settimeout(15)
    head = b""
    while b"retry:" not in head:
        head += stream.recv(1 << 16)
    return stream


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def _replies(gateway: Running, server: Server) -> set[int | None]:
    """Return what many clients are answered."""
    found = set()
    for _ in range(16):
        client, reply = connected(gateway.port, four("127.0.0.1"), server.port)
        client.close()
        found.add(reply)
    return found
