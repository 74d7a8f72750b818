"""
Grants on a gateway that runs: asked for, approved, in every record, gone by the clock.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.clients import isClosed
from tests.live.datagrams import Association, Echo
from tests.live.running import LOOPBACK, Running, running
from tests.live.servers import Destination, echo
from tests.live.serving import Serving, served
from tests.tools.waiting import until

TEXT = f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["memory:alice:canary-3f7a:bob:canary-3f7b"]
[[auth.choose]]
methods = ["userpass"]
{LOOPBACK}
[[rule]]
id = "dead"
allow = ["connect"]
ports = [1]
[[rule]]
id = "no"
deny = "any"
message = "ask for a grant"
[grants]
longest = "1h"
ticket_pattern = "INC-[0-9]+"
[[grants.may]]
id = "loopback"
allow = ["connect", "udp"]
who = ["users"]
to = ["127.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway that lets people grant loopback."""
    yield from served(tmp_path_factory.mktemp("grants"), TEXT)


@pytest.fixture
def server() -> Iterator[Destination]:
    """What clients connect to."""
    with Destination(echo) as running:
        yield running


def body(port: int, **fields: Any) -> dict[str, Any]:
    """What is asked for."""
    return {
        "who": ["alice"],
        "to": ["127.0.0.1"],
        "ports": [str(port)],
        "for": "10m",
        "ticket": "INC-7",
        **fields,
    }


def login(gateway: Running, stack: ExitStack, user: bytes = b"alice") -> socket.socket:
    """Log a client in."""
    client = stack.enter_context(closing(raw.dial(gateway.port)))
    client.sendall(raw.GREETING_LOGIN)
    assert raw.exactly(client, 2) == b"\x05\x02"
    word = b"canary-3f7a" if user == b"alice" else b"canary-3f7b"
    client.sendall(raw.login(user, word))
    assert raw.exactly(client, 2) == b"\x01\x00"
    return client


def code(gateway: Running, port: int, user: bytes = b"alice") -> int:
    """Ask for a port of loopback: the reply."""
    with ExitStack() as stack:
        client = login(gateway, stack, user)
        client.sendall(raw.request5("127.0.0.1", port))
        return raw.reply5(client)[0]


def made(serving: Serving, port: int, **fields: Any) -> int:
    """Have a grant asked for and approved."""
    asked = serving.looker.ask("/api/grants", "POST", body(port, **fields))
    assert asked.status == 201, asked
    number: int = asked.json["number"]
    answered = serving.operator.ask(f"/api/grants/{number}/approve", "POST")
    assert (answered.status, answered.json["state"]) == (200, "active")
    return number


def granted(gateway: Running, number: int) -> list[dict[str, Any]]:
    """The lines of the journal about a grant, and of what it allowed."""
    return [line for line in gateway.journal() if line.get("grant") == number]


def test_aLife(serving: Serving, server: Destination) -> None:
    """A denied request becomes an allowed one; every record says by which grant."""
    gateway = serving.gateway
    assert code(gateway, server.port) == 2
    asked = serving.looker.ask("/api/grants", "POST", body(server.port))
    number = asked.json["number"]
    assert (asked.status, asked.json["state"]) == (201, "pending")
    assert asked.json["allows"] == (
        f"connect for alice to 127.0.0.1 ports {server.port}"
    )
    assert code(gateway, server.port) == 2
    path = f"/api/grants/{number}"
    # Who may only look may ask, and not approve; nobody approves what they ask for.
    assert serving.looker.ask(f"{path}/approve", "POST").status == 403
    assert serving.nobody.ask(f"{path}/approve", "POST").status == 401
    assert serving.operator.ask(f"{path}/approve", "POST").status == 200
    assert code(gateway, server.port, b"bob") == 2
    with ExitStack() as stack:
        client = login(gateway, stack)
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        found = serving.looker.get(path)
        assert (found["state"], found["approved_by"], found["rule"]) == (
            "active",
            "token:operator",
            f"grant:{number}",
        )
        # It is over: so is the session, within a second.
        ended = serving.operator.ask(f"{path}?why=done", "DELETE")
        assert (ended.status, ended.json["ended_why"]) == (200, "done")
        until(lambda: isClosed(client), 2)
    assert code(gateway, server.port) == 2
    lines = until(lambda: [e for e in granted(gateway, number) if e["event"] == "end"])
    assert (lines[0]["reason"], lines[0]["ticket"]) == ("revoked", "INC-7")
    (decision,) = [e for e in granted(gateway, number) if e["event"] == "decision"]
    assert (decision["rule"], decision["ticket"], decision["verdict"]) == (
        f"grant:{number}",
        "INC-7",
        "allow",
    )
    acts = [e for e in granted(gateway, number) if e["event"] == "grant"]
    assert [(e["act"], e["by"]) for e in acts] == [
        ("requested", "token:looker"),
        ("approved", "token:operator"),
        ("revoked", "token:operator"),
    ]
    said = [(e["who"], e["act"], e["what"]) for e in gateway.journal("admin")]
    what = f"grant {number}, ticket INC-7"
    assert ("token:operator", "grant-approve", what) in said


def test_byTheClock(serving: Serving, server: Destination) -> None:
    """Its sessions, streams and flows, end with it."""
    gateway = serving.gateway
    with Echo() as other, ExitStack() as stack:
        number = made(
            serving, server.port, allow=["connect", "udp"], ports=[
                str(server.port), str(other.port)], **{"for": "1500ms"},
        )  # fmt: skip
        client = login(gateway, stack)
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        control = login(gateway, stack)
        association = stack.enter_context(Association(0, control=control))
        association.echo(other, b"x")
        until(lambda: isClosed(client) and isClosed(control))
    kinds = until(lambda: _ends(gateway, number))
    assert kinds == {"end": "revoked", "flow-end": "revoked"}
    acts = [e["act"] for e in granted(gateway, number) if e["event"] == "grant"]
    assert acts == ["requested", "approved", "ended"]
    assert code(gateway, server.port) == 2


def _ends(gateway: Running, number: int) -> dict[str, str]:
    found = {
        e["event"]: e["reason"]
        for e in granted(gateway, number)
        if e["event"] in ("end", "flow-end")
    }
    return found if len(found) == 2 else {}


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"to": ["10.0.0.0/8"]}, 403, "wider"),
        ({"who": ["anonymous"]}, 400, "for users"),
        ({"ticket": "x"}, 400, "INC-"),
        ({"for": "2h"}, 400, "at most"),
        ({"for": "soon"}, 400, "for: must be a duration"),
        ({"ports": ["x"]}, 400, "port"),
        ({"allow": ["fly"]}, 400, "allow"),
        ({"until": "x"}, 400, "no field"),
    ],
)
def test_refused(
    serving: Serving, fields: dict[str, Any], status: int, said: str
) -> None:
    """What may not be granted, with the reason."""
    answered = serving.looker.ask("/api/grants", "POST", body(7, **fields))
    assert answered.status == status
    assert said in answered.json["error"]


def test_list(serving: Serving) -> None:
    """All, and those in a state."""
    number = serving.looker.ask("/api/grants", "POST", body(9)).json["number"]
    listed = serving.looker.get("/api/grants?state=pending")
    assert number in [each["number"] for each in listed]
    # Whoever has asked may take it back.
    assert serving.looker.ask(f"/api/grants/{number}", "DELETE").status == 200
    assert serving.looker.get("/api/grants?state=pending") == []
    assert serving.looker.ask("/api/grants/4711").status == 404
    assert serving.nobody.ask("/api/grants").status == 401


def test_reloadAndRestart(tmp_path: Path) -> None:
    """A grant lives on over both, also over kill -9; a broken file stops the start."""
    with Destination(echo) as server, contextmanager(served)(tmp_path, TEXT) as serving:
        gateway = serving.gateway
        number = made(serving, server.port)
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: gateway.journal("reloaded"))
        assert code(gateway, server.port) == 0
        gateway.kill()
        (tmp_path / "log").write_text("")
        text = (tmp_path / "gw.toml").read_text()
        for again in running(tmp_path, text):
            assert code(again, server.port) == 0
            since = again.journal("start")[-1]["n"]
            allowed = [e for e in granted(again, number) if e["n"] > since]
            assert allowed[0]["event"] == "decision"
        file = tmp_path / "var" / "grants.json"
        whole = file.read_text()
        file.write_text(whole[:-2])
        broken = Running(tmp_path, text)
        assert broken.process.wait(30) != 0
        assert "not a file of grants; move it away" in broken.log
        file.write_text(whole)
        (tmp_path / "log").write_text("")
        # For the fixture, which stops it in order.
        gateway.process = Running(tmp_path, text).ready().process
