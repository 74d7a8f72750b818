"""
Limits of a gateway of two workers, counted by the target.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.live.clients import Server, connected, four, isClosed
from tests.live.running import OPEN, Running, running
from tests.tools.waiting import until

_MOST = 10
LIMITED = f"""\
[gateway]
workers = 2
{OPEN}
[[limit]]
per = "source"
sessions = {_MOST}
[[limit]]
per = "user"
quota = "100KB/1d"
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    """One with two workers."""
    yield from running(tmp_path, LIMITED)


@pytest.fixture
def server() -> Iterator[Server]:
    """What clients reach."""
    with Server() as found:
        yield found


def started(gateway: Running) -> dict[int, int]:
    """Return the processes of the workers that have started last, by number."""
    found = [each for each in gateway.journal("worker") if each["state"] == "started"]
    return {each["worker"]: each["pid"] for each in found}


def opened(gateway: Running, server: Server) -> tuple[socket.socket, bool]:
    """Ask for a session, and tell whether it was granted."""
    client, reply = connected(gateway.port, four(server.place[0]), server.port)
    return client, reply == 0
