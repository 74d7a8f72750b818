"""
Reloads of a gateway of two workers: what each kind of change does in all of them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.clients import Server, connected, four
from tests.live.running import HEAD
from tests.live.servers import freePort
from tests.live.serving import Serving, served

_RULE = '[[rule]]\nid = "all"\nallow = ["connect"]\n'
_TEXT = f"[gateway]\nworkers = 2\n{HEAD}{_RULE}"
#: Clients of which both workers have some.
_SEVERAL = 64


@pytest.fixture
def port() -> int:
    """Where it listens."""
    return freePort(kind=socket.SOCK_STREAM)


@pytest.fixture
def serving(tmp_path: Path, port: int) -> Iterator[Serving]:
    """A gateway of two workers, at a port that is known."""
    yield from served(tmp_path, _TEXT.replace("127.0.0.1:0", f"127.0.0.1:{port}"))


@pytest.fixture
def server() -> Iterator[Server]:
    """What clients reach."""
    with Server() as found:
        yield found


def change(serving: Serving, before: str, after: str) -> None:
    """Replace something in the configuration, and have it read."""
    file = serving.gateway.directory / "gw.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    answered = serving.operator.ask("/api/reload", "POST")
    assert answered.status == 200, answered.json


def workers(serving: Serving, port: int, server: Server) -> set[int]:
    """Return which workers serve a port, by several clients that come there."""
    gateway = serving.gateway
    before = len(gateway.journal("decision"))
    found: set[int] = set()
    for _ in range(_SEVERAL):
        client, reply = connected(port, four("127.0.0.1"), server.port)
        client.close()
        assert reply == 0
        found = {each["worker"] for each in gateway.journal("decision")[before:]}
        if len(found) == 2:
            break
    return found


def test_theSamePortElsewhere(serving: Serving, port: int, server: Server) -> None:
    """A port that moves to an address that has the old one in it, and back."""
    assert workers(serving, port, server) == {1, 2}
    one, all_ = f"127.0.0.1:{port}", f"0.0.0.0:{port}"
    change(serving, one, all_)
    assert workers(serving, port, server) == {1, 2}
    change(serving, all_, one)
    assert workers(serving, port, server) == {1, 2}


def test_thePlaceIsTaken(serving: Serving, port: int, server: Server) -> None:
    """
    A port that cannot move since another program has a part of its new place: what
    was open is open, in every worker.
    """
    file = serving.gateway.directory / "gw.toml"
    text = file.read_text()
    with socket.create_server(("127.0.0.9", port)):
        file.write_text(text.replace(f"127.0.0.1:{port}", f"0.0.0.0:{port}"))
        assert serving.operator.ask("/api/reload", "POST").status == 422
        assert workers(serving, port, server) == {1, 2}


def test_drainedAndBackAtOnce(serving: Serving, port: int, server: Server) -> None:
    """A drain that is taken back at once, several times."""
    for _ in range(8):
        assert serving.operator.ask("/api/drain", "POST").status == 200
        answered = serving.operator.ask("/api/drain", "DELETE")
        assert answered.status == 200, answered.json
    assert workers(serving, port, server) == {1, 2}
