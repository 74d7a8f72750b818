"""
C{socksgw restart} and C{--take-over}, with real processes.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from socksgw.audit.chain import FIRST
from socksgw.handover.place import bind
from socksgw.login.ring import Ring
from socksgw.metrics.meters import Meters
from tests.live import raw
from tests.live.pairs import OCTETS, Pair
from tests.live.played import Stub
from tests.live.restarts import Crowd, Restarted, restarted
from tests.live.running import (
    ALL,
    HEAD,
    OPEN,
    TWISTD,
    VERSIONS,
    Running,
    environment,
    running,
)
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

#: A restart may take longer than a client has for its handshake.
PATIENT = '[timeouts]\nhandshake = "60s"\n'


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Restarted]:
    with restarted(tmp_path / "gw", PATIENT + VERSIONS) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


def test_nobodyIsRefused(gateway: Restarted, server: Destination) -> None:
    """
    New clients find a listener at any time; each process but the last one ends. Every
    session is in the one journal, with a number of its own.
    """
    pids = [gateway.pid]
    with Crowd(gateway, server) as crowd:
        until(lambda: crowd.served > 5)
        for _ in range(2):
            before = crowd.served
            pids.append(gateway.restart())
            until(lambda before=before: crowd.served > before + 5)
    assert crowd.wrong == []
    assert len(set(pids)) == 3
    for pid in pids[:-1]:
        assert gateway.over(pid) == 0
    handovers = gateway.journal("handover")
    assert [each["before"] for each in handovers] == pids[:-1]
    assert [each["pid"] for each in handovers] == pids[1:]
    numbers = [each["session"] for each in gateway.journal("decision")]
    assert len(numbers) == len(set(numbers)) == crowd.served
    until(lambda: len(gateway.journal("end")) == crowd.served)
    # A session is counted a moment after its last line.
    each = {"sessions": 1, "session_ends": 1, "octets": 10}
    due = {f"socksgw_{name}_total": n * crowd.served for name, n in each.items()}

    def counted() -> dict[str, float]:
        return {name: gateway.metered(name) for name in due}

    until(lambda: counted() == due, seen=lambda: (counted(), due))


def test_whatHasNotBegun(gateway: Restarted, server: Destination) -> None:
    """
    Clients that are half-way through their handshake go on in the old process, whose
    lines the new one writes, and move with their first octets; then the old one ends.
    """
    request = raw.request6("127.0.0.1", server.port)
    with raw.dial(gateway.port) as client, raw.dial(gateway.port) as six:
        client.sendall(raw.GREETING[:2])
        six.sendall(request[:-1])
        gateway.restart()
        six.sendall(request[-1:] + b"six")
        assert raw.reply6(six) == 0
        assert raw.exactly(six, 3) == b"six"
        client.sendall(raw.GREETING[2:])
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        number = raw.decision(gateway, server.port)["session"]
        with raw.dial(gateway.port) as other:
            raw.through(other, "127.0.0.1", server.port)
            assert raw.decision(gateway, server.port)["session"] > number
        # It has moved, and is served there.
        assert gateway.over(gateway.process.pid) == 0
        for each in (client, six):
            each.sendall(b"again")
            assert raw.exactly(each, 5) == b"again"
    until(lambda: len(gateway.journal("end")) == 3)
    ended = {each["session"]: each["sent"] for each in gateway.journal("end")}
    assert ended[number] == 10


def test_liveSessions(gateway: Restarted) -> None:
    """
    They go on, by whichever protocol they came, with all that waits in the gateway for
    readers that do not read, through several processes; each has one decision and one
    end, with all its octets.
    """
    pairs = [Pair(gateway, number) for number in range(12)]
    stalled, moving, quiet = pairs[:4], pairs[4:8], pairs[8:]
    for each in stalled:
        each.send()
    for each in moving:
        each.send()
        each.read()
    # One direction has ended, and nothing moves in the other one.
    quiet[0].client.shutdown(socket.SHUT_WR)
    assert quiet[0].destination.recv(1) == b""
    pids = [gateway.pid]
    for _ in range(3):
        pids.append(gateway.restart())
        assert "; 0 end in the process before" in gateway.said
    for pid in pids[:-1]:
        assert gateway.over(pid) == 0
    assert all(line["sessions"] >= 8 for line in gateway.journal("handover"))
    for each in stalled:
        each.read()
    for each in (*stalled, *moving):
        each.over()
    quiet[0].destination.sendall(b"still here")
    assert raw.exactly(quiet[0].client, 10) == b"still here"
    for each in quiet:
        each.close()
    until(lambda: len(gateway.journal("end")) == len(pairs))
    assert len(gateway.journal("decision")) == len(pairs)
    ports = {each["session"]: each["port"] for each in gateway.journal("decision")}
    octets = {ports[e["session"]]: e["sent"] for e in gateway.journal("end")}
    for each in (*stalled, *moving):
        assert octets[each.port] == OCTETS
    status = json.loads(gateway.command("status", "--json").stdout)
    assert status["sessions"]["live"] == status["clients"]["connected"] == 0


def test_limitsAndRules(tmp_path: Path, server: Destination) -> None:
    """
    Sessions that have moved, and those that are left, are counted together. The new
    process ends those that its rules do not allow.
    """
    limit = '[[limit]]\nper = "source"\nsessions = 2\n'
    with restarted(tmp_path / "gw", PATIENT + OPEN + limit) as gateway:
        file = gateway.directory / "gw.toml"
        with raw.dial(gateway.port) as moved, raw.dial(gateway.port) as left:
            raw.through(moved, "127.0.0.1", server.port)
            left.sendall(raw.GREETING)
            assert raw.exactly(left, 2) == b"\x05\x00"
            gateway.restart()
            left.sendall(raw.request5("127.0.0.1", server.port))
            assert raw.reply5(left)[0] == 0

            def refused() -> bool:
                with raw.dial(gateway.port) as third:
                    third.sendall(raw.GREETING + raw.request5("127.0.0.1", server.port))
                    raw.exactly(third, 2)
                    return raw.reply5(third)[0] != 0

            # The old process tells of its own within a quarter of a second.
            until(refused)
            left.close()
            until(lambda: not refused())
            file.write_text(
                file.read_text().replace('allow = ["connect"]', "deny = 'any'")
            )
            gateway.restart()
            with suppress(ConnectionResetError):
                assert moved.recv(1) == b""
        until(lambda: [e for e in gateway.journal("end") if e["reason"] == "revoked"])


def test_whatIsLeft(tmp_path: Path) -> None:
    """
    What cannot move is seen and counted by commands and metrics of the new process,
    and ended by them, through two restarts.
    """
    with (
        restarted(tmp_path / "gw", HEAD + ALL) as gateway,
        raw.dial(gateway.port) as one,
        raw.dial(gateway.port) as other,
    ):
        for each in (one, other):
            each.sendall(raw.GREETING + raw.request5("0.0.0.0", 0, command=3))
            assert raw.exactly(each, 2) == b"\x05\x00"
            assert raw.reply5(each)[0] == 0
        for _ in range(2):
            gateway.restart()
            assert "; 2 end in the process before" in gateway.said
            found = json.loads(gateway.command("sessions", "--json").stdout)
            assert found["matched"] == len(found["sessions"]) == 2
            until(lambda: gateway.metered("socksgw_live_sessions") == 2)
            status = json.loads(gateway.command("status", "--json").stdout)
            assert status["sessions"]["live"] == status["clients"]["connected"] == 2
            number = found["sessions"][1]["session"]
        story = json.loads(gateway.command("sessions", str(number), "--json").stdout)
        assert story["live"]
        done = gateway.command("kill", str(number))
        assert done.returncode == 0, done.stderr
        with suppress(ConnectionResetError):
            assert other.recv(1) == b""
        until(lambda: [e["reason"] for e in gateway.journal("end")] == ["killed"])
        assert gateway.command("kill", "--all").returncode == 0
        with suppress(ConnectionResetError):
            assert one.recv(1) == b""


BEYOND = """
[[upstream]]
name = "next"
url = "socks5://127.0.0.1:%d"

[[rule]]
id = "beyond"
allow = ["connect"]
via = ["next"]
"""


def test_throughAnUpstream(tmp_path: Path, server: Destination) -> None:
    """It moves, is counted at the upstream, and ends by the rules of the new file."""
    with (
        contextmanager(running)(tmp_path / "next") as beyond,
        restarted(tmp_path / "gw", HEAD + BEYOND % beyond.port) as gateway,
        raw.dial(gateway.port) as client,
    ):
        raw.through(client, "127.0.0.1", server.port)
        old = gateway.pid
        gateway.restart()
        # Nothing is left there.
        assert gateway.over(old) == 0
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        assert gateway.metered("socksgw_upstream_sessions") == 1
        file = gateway.directory / "gw.toml"
        file.write_text(file.read_text().replace('["connect"]', '["udp"]'))
        gateway.restart()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
        until(lambda: [e for e in gateway.journal("end") if e["reason"] == "revoked"])
        assert gateway.metered("socksgw_upstream_sessions") == 0


def test_aConfigurationThatIsWrong(gateway: Restarted, server: Destination) -> None:
    """The old process goes on, and the command says why."""
    file = gateway.directory / "gw.toml"
    text = file.read_text()
    with Crowd(gateway, server) as crowd:
        file.write_text(text.replace('allow = ["connect"]', 'allow = ["conect"]'))
        done = gateway.command("restart")
        until(lambda: crowd.served > 5)
    assert done.returncode == 1, done.stderr
    assert "gw.toml:16: rule[1].allow" in done.stderr
    assert "not restarted; nothing has changed" in done.stderr
    file.write_text(text)
    assert crowd.wrong == []
    assert gateway.process.poll() is None
    assert gateway.journal("handover") == []
    gateway.restart()


def test_byTheOperator(gateway: Restarted, server: Destination) -> None:
    """
    C{--take-over} finds the gateway by its C{state_dir}; the configuration is the new
    one's own.
    """
    file = gateway.directory / "gw.toml"
    more = file.read_text().replace('["127.0.0.1:0"]', '["127.0.0.1:0", "[::1]:0"]')
    file.write_text(more)
    command = [str(TWISTD), "-n", "--pidfile=p", "socksgw", "--config", "gw.toml"]
    with (
        (gateway.directory / "log2").open("wb") as log,
        Crowd(gateway, server) as crowd,
    ):
        new = subprocess.Popen(
            [*command, "--take-over"],
            cwd=gateway.directory,
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=log,
            stderr=log,
        )
        assert gateway.over(gateway.process.pid) == 0
        before = crowd.served
        until(lambda: crowd.served > before + 5)
    gateway.pid = new.pid
    assert crowd.wrong == []
    assert (gateway.directory / "p").read_text() == str(new.pid)
    printed = (gateway.directory / "log2").read_text()
    assert f"127.0.0.1:{gateway.port}, [::1]:" in printed.replace("\n", "")
    # Nobody is there any more to be taken over from.
    done = gateway.command("restart")
    assert done.returncode == 0
    assert new.wait(20) == 0
    gateway.pid = gateway.journal("handover")[-1]["pid"]
    assert (gateway.directory / "p").read_text() == str(gateway.pid)
    gateway.stop()
    assert not (gateway.directory / "p").exists()
    late = subprocess.run(
        [*command, "--take-over"],
        cwd=gateway.directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert late.returncode == 1
    assert "there is no gateway to take over from" in late.stderr


def test_theServiceManager(tmp_path: Path) -> None:
    """It is told which process serves, before the old one ends; that one is ready."""
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.settimeout(20)
        extra = {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "60000000"}
        with restarted(tmp_path / "gw", extra=extra) as gateway:
            old = gateway.pid
            new = gateway.restart()
            gateway.over(old)
            told = _told(manager)
            assert told.count("READY=1") == 2
            assert f"MAINPID={new}" in told
            assert not any(each.startswith("STOPPING") for each in told)
        assert "STOPPING=1" in _told(manager)


def _told(manager: socket.socket) -> list[str]:
    """Return what the manager has been told so far, and not read."""
    manager.setblocking(False)
    found: list[str] = []
    with suppress(BlockingIOError):
        while True:
            found += manager.recv(4096).decode().split("\n")
    return found


def test_theEndOfAll(gateway: Restarted, server: Destination) -> None:
    """SIGTERM for the new process ends the sessions of the old one, too."""
    file = gateway.directory / "gw.toml"
    file.write_text(file.read_text().replace(PATIENT, PATIENT + 'drain = "1s"\n'))
    with raw.dial(gateway.port) as client:
        client.sendall(raw.GREETING[:2])
        gateway.restart()
        client.sendall(raw.GREETING[2:])
        assert raw.exactly(client, 2) == b"\x05\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        os.kill(gateway.pid, signal.SIGTERM)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gateway.over(gateway.pid)
    assert [each["reason"] for each in gateway.journal("end")] == ["draining"]
    assert gateway.journal()[-1]["event"] == "stop"


def test_aSuccessorThatIsKilled(gateway: Restarted, server: Destination) -> None:
    """When the new process is gone, the old one ends what it has yet."""
    with raw.dial(gateway.port) as client:
        client.sendall(raw.GREETING[:2])
        gateway.restart()
        client.sendall(raw.GREETING[2:])
        assert raw.exactly(client, 2) == b"\x05\x00"
        os.kill(gateway.pid, signal.SIGKILL)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert gateway.over(gateway.process.pid) == 0


def test_strangers(gateway: Restarted) -> None:
    """Another user's process gets no answer."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    (gateway.directory).chmod(0o755)
    for each in (gateway.directory, *gateway.directory.parents):
        with suppress(PermissionError):
            each.chmod(each.stat().st_mode | 0o011)
    (gateway.directory / "var" / "handover").chmod(0o777)
    (gateway.directory / "var").chmod(0o755)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            with gateway.dialOld() as connection:
                status = 0 if connection.recv(1) == b"" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (gateway.directory / "var").chmod(0o700)


def test_theNewOneDies(gateway: Restarted, server: Destination) -> None:
    """At whatever step: the old one serves on, and its sessions go on."""
    for step in ("connected", "sockets", "state", "adopted"):
        dieAt(step, gateway, server)
    until(lambda: len(gateway.journal("end")) == 8)
    assert gateway.journal("handover") == []
    # It can be restarted all the same.
    gateway.restart()


def dieAt(step: str, gateway: Restarted, server: Destination) -> None:
    """Play a process that wants to take over, and ends."""
    with raw.dial(gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
        new = Stub(gateway.dialOld())
        if step != "connected":
            new.ask(what="sockets", version=1, workers=1, pid=2**22 + 1)
            assert new.said == ["sockets"]
        if step in ("state", "adopted"):
            new.ask(what="state")
            assert new.said[1:] == ["lock"]
            # Whoever has a session is served, nobody else is.
            client.sendall(b"hello")
        if step == "adopted":
            new.channel.send({"what": "adopted"})
            new.until(lambda: "go" in new.said)
        new.end()
        if step not in ("state", "adopted"):
            client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        with raw.dial(gateway.port) as other:
            raw.through(other, "127.0.0.1", server.port)


@pytest.mark.parametrize("step", ["connected", "sockets", "adopted"])
def test_theOldOneDies(tmp_path: Path, server: Destination, step: str) -> None:
    """
    Before the new one has everything it does not start; from then on it serves alone.
    """
    state = tmp_path / "var"
    (state / "audit").mkdir(0o700, parents=True)
    state.chmod(0o700)
    lock = os.open(state / "audit" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with bind(state) as door, socket.create_server(("127.0.0.1", 0)) as listening:
        door.settimeout(30)
        new = Running(tmp_path, OPEN, "--take-over")
        old = Stub(door.accept()[0])
        told = {
            "number": 0, "head": FIRST, "session": 7, "quotas": [], "counts": [],
            "meters": Meters().take(), "left": 0,
        }  # fmt: skip

        def answer(what: str) -> dict[str, Any]:
            if what == "sockets":
                place = ["main", "127.0.0.1:0", "address", "spoken", ""]
                told_ = {"what": what, "places": [place]}
                old.channel.send(told_, [listening.fileno()])
                return {"pid": os.getpid()}
            old.channel.send({"what": "lock", "others": {}}, [lock, Ring.made().fd])
            return told

        old.answer = answer
        names = ["sockets", "state", "adopted"]
        steps = ["connected", *names]
        # Everything is answered, but in the first case not as it should be.
        if step == "connected":
            old.answer = lambda what: {"no": "pid"}
        old.until(lambda: len(old.said) >= max(1, steps.index(step)))
        # It may have told of the wrong answer already.
        told_ = [each for each in old.said if each != "failed"]
        assert told_ == names[: len(told_)]
        port = listening.getsockname()[1]
        old.end()
        os.close(lock)
        if step not in ("state", "adopted"):
            assert new.process.wait(30) == 1
            assert "does not hand over" in new.log
            return
        new.ready()
        with raw.dial(port) as client:
            raw.through(client, "127.0.0.1", server.port)
        assert raw.end(new, server.port)["session"] == 8
        assert new.journal("handover")[0]["before"] == os.getpid()
        new.healthy()
