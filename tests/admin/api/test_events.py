"""
Who listens is told of decisions and ends as they happen, and holds up nobody.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Any

from tests.live import raw
from tests.live.servers import Destination, echo
from tests.live.serving import Serving
from tests.tools.waiting import until


def listen(serving: Serving, query: str = "") -> socket.socket:
    """Begin to listen at the port, and read the head of the answer."""
    client = raw.dial(serving.port)
    token = serving.tokens["looker"]
    client.sendall(
        f"GET /api/events{query} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    read(client, b"retry: 3000\n\n")
    return client


def read(client: socket.socket, pattern: bytes) -> bytes:
    """Read until something has come."""
    found = b""
    while re.search(pattern, found) is None:
        came = client.recv(65536)
        assert came, found
        found += came
    return found


def connect(serving: Serving, server: Destination) -> None:
    """Have a session begin and end."""
    with raw.dial(serving.gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)


def told(octets: bytes) -> list[tuple[str, Any]]:
    """Return the events in a part of a stream, with their data."""
    found = []
    for piece in octets.replace(b"\r\n", b"").split(b"event: ")[1:]:
        name, _, rest = piece.partition(b"\n")
        data = rest.partition(b"data: ")[2].partition(b"\n")[0]
        found.append((name.decode(), json.loads(data)))
    return found


def test_told(serving: Serving) -> None:
    """Each line is an event; nothing of before."""
    with Destination(echo) as server:
        connect(serving, server)
        until(lambda: serving.own.get("/api/status")["sessions"]["live"] == 0)
        with listen(serving) as client:
            connect(serving, server)
            octets = read(client, rb"event: end\n[^\n]*\n[^\n]*\n\n")
    found = told(octets)
    assert [name for name, _ in found] == ["decision", "end"]
    (_, decision), (_, end) = found
    assert decision["port"] == server.port
    assert decision["session"] == end["session"]


def test_chosen(serving: Serving) -> None:
    """Only the events that are wanted; others are no events."""
    with Destination(echo) as server, listen(serving, "?event=end") as client:
        connect(serving, server)
        assert {name for name, _ in told(read(client, b"\n\n"))} == {"end"}
    assert serving.own.ask("/api/events?event=x").status == 400
    head = serving.looker.ask("/api/events", "HEAD")
    assert (head.status, head.fields["content-type"]) == (200, "text/event-stream")


def test_bounded(serving: Serving) -> None:
    """So many may listen, and no more; places of those who have gone are free."""
    clients = [listen(serving) for _ in range(16)]
    try:
        assert serving.own.ask("/api/events").status == 429
    finally:
        for client in clients:
            client.close()
    assert serving.nobody.ask("/api/events").status == 401

    def again() -> bool:
        try:
            listen(serving).close()
        except AssertionError:
            return False
        return True

    until(again)
