"""
How the gateway is doing; reload and drain, which are journalled.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import OPEN
from tests.live.servers import Destination, echo, freePort
from tests.live.serving import Serving, served
from tests.tools.waiting import until


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serving]:
    """A gateway of the test's own, whose port stays the same."""
    port = freePort(kind=socket.SOCK_STREAM)
    yield from served(tmp_path, OPEN.replace("127.0.0.1:0", f"127.0.0.1:{port}"))


def acts(serving: Serving) -> list[tuple[Any, ...]]:
    """Return what the journal says of acts."""
    return [
        (line["who"], line["act"], line["result"])
        for line in serving.gateway.journal("admin")
    ]


def test_status(serving: Serving) -> None:
    """What it is, what it does, and how much."""
    with Destination(echo) as server, raw.dial(serving.gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
        client.sendall(b"x" * 100)
        raw.exactly(client, 100)
        status = serving.looker.get("/api/status")
    assert status["pid"] == serving.gateway.process.pid
    assert status["ready"]
    assert not status["draining"]
    assert status["configuration"] == "gw.toml"
    assert (status["rules"], status["warnings"]) == (1, [])
    sessions = status["sessions"]
    assert (sessions["live"], sessions["denied"]) == (1, 0)
    assert sessions["per_second"]["60s"]["begun"] > 0
    assert (status["octets"]["sent"], status["octets"]["received"]) == (100, 100)
    (listener,) = status["listeners"]
    assert (listener["name"], listener["clients"]) == ("main", 1)
    assert status["journal"]["number"] >= 2
    assert (status["sinks"], status["upstreams"]) == ([], [])
    until(lambda: serving.own.get("/api/status")["sessions"]["live"] == 0)
    # What is over counts all the same.
    assert serving.own.get("/api/status")["octets"]["sent"] == 100


def test_reload(own: Serving) -> None:
    """The answer has all problems, with their places; and then the warnings."""
    file = own.gateway.directory / "gw.toml"
    good = file.read_text()
    file.write_text(good + '[gateway]\nnaem = "x"\n[limits]\n')
    answered = own.operator.ask("/api/reload", "POST")
    assert answered.status == 422
    problems = answered.json["problems"]
    assert len(problems) == 2
    assert any('did you mean "name"' in each for each in problems)
    assert answered.json["error"] == f"not reloaded: {problems[0]}"

    file.write_text(good + '[gateway]\nname = "other"\n')
    answered = own.own.ask("/api/reload", "POST")
    assert answered.status == 200
    assert answered.json["reloaded"]
    assert answered.json["ended"] == 0
    assert "gateway.name" in answered.json["warnings"][0]
    assert own.own.get("/api/status")["reloads"] == {"done": 1, "failed": 1}
    assert acts(own) == [
        ("token:operator", "reload", f"not reloaded: {problems[0]}"),
        (f"uid:{os.geteuid()}", "reload", "reloaded; 0 sessions ended"),
    ]
    assert own.looker.ask("/api/reload", "POST").status == 403


def test_drain(own: Serving) -> None:
    """Nobody is let in, who is in stays, and it can be undone."""
    gateway, port = own.gateway, own.gateway.port
    with Destination(echo) as server, raw.dial(port) as client:
        raw.through(client, "127.0.0.1", server.port)
        left = {"draining": True, "sessions": 1, "clients": 1}
        answered = own.operator.ask("/api/drain", "POST")
        assert (answered.status, answered.json) == (200, left)
        assert own.looker.get("/api/drain") == left
        with pytest.raises(ConnectionRefusedError):
            raw.dial(port)
        client.sendall(b"x")
        assert raw.exactly(client, 1) == b"x"
        ready = own.nobody.ask("/readyz")
        assert (ready.status, ready.json["reasons"]) == (503, ["the gateway drains"])
        assert own.nobody.ask("/healthz").status == 200
        # A reload opens nothing.
        assert own.operator.ask("/api/reload", "POST").status == 200
        with pytest.raises(ConnectionRefusedError):
            raw.dial(port)
    until(lambda: own.own.get("/api/drain")["clients"] == 0)
    assert gateway.process.poll() is None

    # Somebody else has taken the port meanwhile.
    with Destination(echo) as server:
        file = gateway.directory / "gw.toml"
        before = file.read_text()
        file.write_text(before.replace(f":{port}", f":{server.port}"))
        assert own.operator.ask("/api/reload", "POST").status == 200
        answered = own.operator.ask("/api/drain", "DELETE")
        assert answered.status == 409
        assert "the port is taken" in answered.json["error"]
        file.write_text(before)
        assert own.operator.ask("/api/reload", "POST").status == 200
    answered = own.operator.ask("/api/drain", "DELETE")
    assert answered.json == {"draining": False, "sessions": 0, "clients": 0}
    assert own.own.get("/readyz")["ready"]
    with Destination(echo) as server, raw.dial(port) as client:
        raw.through(client, "127.0.0.1", server.port)
    assert [act for _, act, _ in acts(own)].count("drain") == 1
    assert acts(own)[-1] == ("token:operator", "undrain", "done")
