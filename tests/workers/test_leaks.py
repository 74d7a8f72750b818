"""
Sessions that end in every way, by every transport, in two workers: afterwards no worker
has a socket more than before, and nothing counts for a limit any more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK
from tests.live.servers import Destination, untilEnd
from tests.live.transports import TRANSPORTS, Channel, Serving, opened, serving
from tests.tools.sockets import RESET
from tests.tools.waiting import until

#: Sessions that the whole gateway may have at a time.
_MOST = 12
_RULES = (
    f"""
[[limit]]
per = "rule"
sessions = {_MOST}
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "all"
allow = ["connect", "bind", "udp"]
"""
    + LOOPBACK
)
_ROUNDS = 2


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What has a listener for each transport, with two workers."""
    with serving(tmp_path_factory.mktemp("leaks"), _RULES, workers=2) as found:
        yield found


def reset(connection: socket.socket) -> None:
    """End with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def serve(connection: socket.socket) -> None:
    """Do what the first octet says."""
    with suppress(OSError):
        what = connection.recv(1)
        connection.sendall(b"x" * 20_000)
        if what == b"r":
            reset(connection)
        elif what == b"w":
            untilEnd(connection)


def churn(name: str, both: Serving, port: int) -> None:
    """Have a session end in each way."""
    for ending in ("orderly", "reset", "by the destination", "left", "refused", "denied",
                   "bind", "udp", "nothing asked"):  # fmt: skip
        with opened(both, name) as client, suppress(OSError, AssertionError):
            # Transports tell ends in ways of their own: that is tested elsewhere.
            end(client, ending, port)


def end(client: Channel, ending: str, port: int) -> None:
    """Have one session end."""
    match ending:
        case "orderly":
            client.connect(port, b"w")
            client.shutdown(socket.SHUT_WR)
            untilEnd(client.socket)
        case "by the destination":
            client.connect(port, b"r")
            untilEnd(client.socket)
        case "reset" | "left":
            client.connect(port, b"w")
            if ending == "reset":
                reset(client.plain)
        case "refused":
            client.ask("127.0.0.1", 1)
        case "denied":
            client.ask("127.0.0.9", 80)
        case "bind" | "udp":
            client.sendall(raw.request5("127.0.0.1", 0, 2 if ending == "bind" else 3))
            raw.reply5(client.socket)


def sockets(both: Serving) -> dict[int, int]:
    """Return how many sockets each worker has, by its process."""
    found = {}
    for line in both.journal("worker"):
        pid, count = line["pid"], 0
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                count += os.readlink(each).startswith("socket:")
        found[pid] = count
    return found


def test_nothingIsLeft(both: Serving) -> None:
    """Sockets and claims are as before."""
    with Destination(serve) as server:
        for name in TRANSPORTS:
            # What is opened once, and stays.
            churn(name, both, server.port)
        until(lambda: len(both.journal("end")) >= len(allowed(both)), 20)
        before = sockets(both)
        assert len(before) == 4
        for _ in range(_ROUNDS):
            for name in TRANSPORTS:
                churn(name, both, server.port)
        until(lambda: sockets(both) == before, 20, lambda: (before, sockets(both)))
        ended = {each["session"] for each in both.journal("end")}
        assert {each["session"] for each in allowed(both)} <= ended
        with ExitStack() as stack:
            replies = []
            for _ in range(_MOST + 1):
                client = stack.enter_context(opened(both, "plain"))
                replies.append(client.ask("127.0.0.1", server.port))
            assert replies == [0] * _MOST + [1]


def allowed(both: Serving) -> list[dict[str, object]]:
    """Return the lines of sessions that were allowed."""
    return [e for e in both.journal("decision") if e["verdict"] == "allow"]
