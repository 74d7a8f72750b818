"""
A gateway of two workers, as a real process with two more.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from tests.live.clients import Server, connected, four, isClosed
from tests.live.raw import dialPath, through
from tests.live.running import OPEN, Running, isGone, running, socksgw
from tests.live.servers import freePort
from tests.tools.waiting import until

#: What each of them may reach.
TWO = "[gateway]\nworkers = 2\n" + OPEN


def workers(gateway: Running) -> dict[int, int]:
    """Return the processes of the workers that have started last, by number."""
    pids: dict[int, int] = {}

    def found() -> bool:
        for each in gateway.journal("worker"):
            if each["state"] == "started":
                pids[each["worker"]] = each["pid"]
        return len(pids) == 2

    until(found)
    return pids


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    """One with two workers."""
    yield from running(tmp_path, TWO)


@pytest.fixture
def server() -> Iterator[Server]:
    """What clients reach."""
    with Server() as found:
        yield found


def several(gateway: Running, server: Server, stack: ExitStack) -> list[socket.socket]:
    """Return clients that have a session; both workers have some."""
    clients = []
    for _ in range(24):
        client, reply = connected(gateway.port, four(server.place[0]), server.port)
        clients.append(stack.enter_context(closing(client)))
        assert reply == 0
    return clients


def placed(gateway: Running) -> dict[str, int]:
    """Return which worker has recorded which client."""
    return {each["client"]: each["worker"] for each in gateway.journal("decision")}


def nameOf(client: socket.socket) -> str:
    """Return a client as the journal has it."""
    host, port = client.getsockname()
    return f"{host}:{port}"


def test_twoServeAsOne(gateway: Running, server: Server) -> None:
    """
    Both have sessions, each with a number of its own; the journal is one chain, and
    SIGTERM ends all.
    """
    pids = workers(gateway)
    with ExitStack() as stack:
        clients = several(gateway, server, stack)
        where = placed(gateway)
        assert {where[nameOf(each)] for each in clients} == {1, 2}
    gateway.stop()
    assert all(map(isGone, pids.values()))
    decisions, ends = gateway.journal("decision"), gateway.journal("end")
    numbers = [each["session"] for each in decisions]
    assert len(set(numbers)) == len(numbers) == len(clients)
    assert sorted(each["session"] for each in ends) == sorted(numbers)
    assert {each["session"] % 2 for each in decisions if each["worker"] == 1} == {1}
    verified = socksgw(
        "audit", "verify", "--config", str(gateway.directory / "gw.toml")
    )
    assert verified.returncode == 0, verified


def test_aWorkerThatDies(gateway: Running, server: Server) -> None:
    """
    It loses its own sessions alone, clients that come meanwhile are served, and another
    one takes its place within a second. No number is used twice.
    """
    before = workers(gateway)
    with ExitStack() as stack:
        clients = several(gateway, server, stack)
        where = placed(gateway)
        os.kill(before[1], signal.SIGKILL)
        more = several(gateway, server, stack)
        for client in clients:
            if where[nameOf(client)] == 1:
                until(lambda client=client: isClosed(client), 30)
        for client in (*(c for c in clients if where[nameOf(c)] == 2), *more):
            client.sendall(b"x")
            client.settimeout(10)
            assert client.recv(1) == b"x"
    until(partial(replaced, gateway, before[1]), 30)
    after = workers(gateway)
    assert after[2] == before[2]
    died = [each for each in gateway.journal("worker") if each["state"] == "died"]
    assert [each["worker"] for each in died] == [1]
    assert died[0]["why"] == "by signal 9"
    numbers = [each["session"] for each in gateway.journal("decision")]
    assert len(set(numbers)) == len(numbers)


def test_stoppedAtOnce(gateway: Running) -> None:
    """Who waits to become a worker ends, too, also while it begins: in order."""
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
    until(lambda: len(children.read_text().split()) == 3)
    gateway.healthy()


def test_theSupervisorDies(tmp_path: Path, server: Server) -> None:
    """Workers end at once, in order: nobody serves without one, and all is recorded."""
    gateway = Running(tmp_path, TWO).ready()
    pids = workers(gateway)
    with ExitStack() as stack:
        clients = several(gateway, server, stack)
        gateway.kill()

        until(lambda: all(map(isGone, pids.values())), 30)
        assert all(map(isClosed, clients))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gateway.port)).close()
    assert len(gateway.journal("end")) == len(clients)
    for again in running(tmp_path, TWO):
        assert again.port


def reload(gateway: Running, text: str, event: str) -> None:
    """Have another configuration read, and wait for what the journal says of it."""
    count = len(gateway.journal(event))
    (gateway.directory / "gw.toml").write_text(text)
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.journal(event)) > count, 30)


def replaced(gateway: Running, pid: int) -> bool:
    """Return whether a process is no worker any more."""
    return pid not in workers(gateway).values()


def test_reload(tmp_path: Path, server: Server) -> None:
    """
    All change, or none: a rule, a listener that comes, a Unix socket, one that goes.
    What is wrong changes nothing, and the answer is one for all. Workers that die
    afterwards begin with what is in force.
    """
    path = f"unix:{tmp_path}/gw.sock"
    for gateway in running(tmp_path, TWO):
        before = workers(gateway)
        port = freePort(kind=socket.SOCK_STREAM)
        more = TWO.replace('"127.0.0.1:0"', f'"127.0.0.1:{port}", "{path}"')
        reload(gateway, more, "reloaded")
        assert len(gateway.journal("reloaded")) == 1
        with ExitStack() as stack:
            for _ in range(8):
                client, reply = connected(port, four(server.place[0]), server.port)
                stack.enter_context(closing(client))
                assert reply == 0
            for _ in range(4):
                client = stack.enter_context(closing(dialPath(f"{tmp_path}/gw.sock")))
                through(client, "127.0.0.1", server.port)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", gateway.port)).close()
            # What lives by a rule that is gone ends, in both.
            reload(
                gateway,
                more.replace('id = "all"', 'id = "none"\nto = ["192.0.2.1"]'),
                "reloaded",
            )
            assert gateway.journal("reloaded")[-1]["ended"] == 12
        reload(gateway, more.replace("connect", "conect"), "reload-failed")
        reload(gateway, more.replace('["connect"]', '["connect", "bind"]'), "reloaded")
        os.kill(before[2], signal.SIGKILL)
        until(partial(replaced, gateway, before[2]), 30)
        for _ in range(8):
            client, reply = connected(port, four(server.place[0]), server.port)
            client.close()
            assert reply == 0
        assert workers(gateway)[1] == before[1]


def test_whoStandsStill(gateway: Running, server: Server) -> None:
    """
    New clients come to the other worker alone while one does not answer, and to both
    when it does again.
    """
    before = workers(gateway)
    os.kill(before[2], signal.SIGSTOP)
    try:
        # What the kernel has given it before waits.
        until(partial(answers, gateway, server, 12), 12)
    finally:
        os.kill(before[2], signal.SIGCONT)
    until(partial(bothServe, gateway, server), 20)
    assert workers(gateway) == before


def answers(gateway: Running, server: Server, count: int) -> bool:
    """Return whether so many clients are served, each at once."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(closing(socket.socket()))
            client.settimeout(0.5)
            try:
                client.connect(("127.0.0.1", gateway.port))
                client.sendall(b"\x05\x01\x00")
                client.recv(2)
            except TimeoutError:
                return False
    return True


def bothServe(gateway: Running, server: Server) -> bool:
    """Return whether both workers have new clients."""
    count = len(gateway.journal("decision"))
    with ExitStack() as stack:
        several(gateway, server, stack)
    return {each["worker"] for each in gateway.journal("decision")[count:]} == {1, 2}
