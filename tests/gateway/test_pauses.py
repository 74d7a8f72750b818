"""
Accepting pauses when the system has no room, and goes on.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import capturedLogs

from socksgw.config.loading import loads
from socksgw.gateway.gateway import Gateway
from tests.live.running import OPEN


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "no memory"), MemoryError()])
def test_acceptingGoesOnLater(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """
    Where the kernel has no memory to watch a listener again after a rest
    (epoll_ctl(2)), it is tried until it has: the listener is not lost silently.
    """
    reactor: Any = EPollReactor()
    now = 0.0
    text = OPEN.replace('["127.0.0.1:0"]', '["127.0.0.1:0", "[::1]:0"]')
    config = loads(text, "gw.toml", tmp_path)
    gateway = Gateway(reactor, config, clock=lambda: now)
    gateway.listen()
    gateway.start()
    ports = list(gateway._listeners._ports.values())
    add, failing = gateway.watch.add, [error, error]

    def adding(fd: int, *more: Any) -> None:
        if fd == ports[-1].fileno() and failing:
            raise failing.pop()
        add(fd, *more)

    monkeypatch.setattr(gateway.watch, "add", adding)
    gateway.exhausted()
    left = []
    with capturedLogs() as events:
        for _ in range(4):
            now += 1
            gateway.deadlines.scan()
            left.append(len(failing))
    assert left == [1, 0, 0, 0]
    assert [each for each in events if "log_failure" in each] == []
    assert not gateway.census.paused
    places = [port.socket.getsockname()[:2] for port in ports]
    clients = [socket.create_connection(place, 5) for place in places]
    for _ in range(10):
        reactor.iterate(0.01)
    assert gateway.census.clients == len(clients) == 2
    for client in clients:
        client.close()
    done: list[object] = []
    gateway.stop().addBoth(done.append)
    while not done:
        reactor.iterate(0.01)
