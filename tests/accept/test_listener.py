"""
The accept loop, with real sockets: a failure there costs one client, and never
the listener.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from socksgw.accept import endpoints
from socksgw.accept.inbound import Inbound
from socksgw.accept.tls import TLSLayer
from tests.accept.listeners import House
from tests.tools.certificates import Authority, server

WAYS = ("address", "endpoint")


@pytest.fixture(params=WAYS)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """One for each way of listening; nothing of any client is left."""
    made = House(request.param)
    yield made
    made.close()
    made.atBase()


class Once:
    """
    Fails the first time.

    @ivar refused: what it was called with then.
    """

    refused: tuple[Any, ...] = ()

    def __init__(self, error: Exception, call: Callable[..., Any]) -> None:
        self.left = [error]
        self._call = call

    def __call__(self, *arguments: Any, **others: Any) -> Any:
        if self.left:
            self.refused = arguments
            raise self.left.pop()
        return self._call(*arguments, **others)


def _building(house: House, monkeypatch: pytest.MonkeyPatch) -> Once:
    failing = Once(MemoryError(), house.census.entered)
    monkeypatch.setattr(house.census, "entered", failing)
    return failing


class Epoll:
    """A kernel that has no memory to watch one more (epoll_ctl(2))."""

    def __init__(self, below: Any) -> None:
        self._below = below
        self.register = Once(OSError(errno.ENOMEM, "no memory"), below.register)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


def _watching(house: House, monkeypatch: pytest.MonkeyPatch) -> Once:
    """In our own epoll, or in the reactor's."""
    if isinstance(house.port, endpoints.ListeningPort):
        epoll = Epoll(house.watch._epoll)
        monkeypatch.setattr(house.watch, "_epoll", epoll)
        return epoll.register
    error = OSError(errno.ENOMEM, "Cannot allocate memory")
    failing = Once(error, house.reactor.addReader)
    monkeypatch.setattr(house.reactor, "addReader", failing)
    return failing


def _connecting(house: House, monkeypatch: pytest.MonkeyPatch) -> Once:
    failing = Once(MemoryError(), house.listener.setDeadline)
    monkeypatch.setattr(house.listener, "setDeadline", failing)
    return failing


@pytest.mark.parametrize("where", [_building, _watching, _connecting])
def test_aFailureWhileAccepting(
    house: House, monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    """
    The client is closed and counted no longer; the next one is served.
    """
    failing = where(house, monkeypatch)
    client = house.call()
    with capturedLogs() as events:
        house.until(lambda: not failing.left)
    failures = sum("log_failure" in each for each in events)
    assert events
    ours = isinstance(house.port, endpoints.ListeningPort)
    if ours or where is not _watching:
        # What Twisted has logged may hold it for a while.
        house.until(lambda: _closed(client))
    else:
        # Twisted leaves it to the collector, and its log keeps it: some other
        # test's warning.
        failing.refused[0].socket.close()
    client.close()
    assert house.serves()
    assert "lost lan" not in house.events
    assert house.listener.admission.halfOpen == house.census.clients == 1
    assert house.rests == (1 if ours or where is not _connecting else 0)
    if ours:
        assert failures == 0


def test_noRoomForAClientOfTLS(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with the transport that TLS has."""
    house = House("address")
    tls: Any = object()
    house.listener.layers = (TLSLayer(tls, house.watch),)
    failing = _watching(house, monkeypatch)
    with closing(house.call()) as client, capturedLogs():
        house.until(lambda: _closed(client))
    assert not failing.left
    assert (house.rests, house.census.clients) == (1, 0)
    house.listener.layers = ()
    assert house.serves()
    house.close()
    house.atBase()


def _closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "no memory")])
def test_acceptItselfFails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rests, and goes on."""
    house = House("address")
    port: Any = house.port

    class Listening:
        """Its socket, as it is when memory is short."""

        def __init__(self, below: Any) -> None:
            self._accept = Once(error, below._accept)
            self.fileno = below.fileno

    below = port.socket
    port.socket = Listening(below)
    with capturedLogs():
        port.doRead()
    assert house.rests == 1
    port.socket = below
    assert house.serves()
    house.close()


def test_aPortThatIsLost(house: House) -> None:
    """It is told, unlike one that was told to go."""
    house.listener.doStart()
    house.listener.doStop()
    assert house.events == ["lost lan"]


@pytest.mark.filterwarnings("ignore:(.*X509|Passing pyOpenSSL):DeprecationWarning")
@pytest.mark.parametrize("kind", ["tcp", "unix", "ssl"])
def test_whoGoesWhilePaused(kind: str, tmp_path: Path) -> None:
    """
    Of Twisted's own endpoints, too: it is told, once, with what was sent still
    unread; also when it had been read on in the meantime.
    """
    own = server(Authority()).writeTogether(tmp_path, "gw")
    house = House(
        {
            "tcp": "endpoint",
            "unix": f"unix:{tmp_path}/s",
            "ssl": f"ssl:0:interface=127.0.0.1:privateKey={own}",
        }[kind]
    )
    with closing(house.call()) as client:
        house.until(lambda: house.listener.clients)
        (inbound,) = house.listener.clients
        inbound.connection.pauseProducing()
        inbound.connection.resumeProducing()
        inbound.connection.pauseProducing()
        client.sendall(b"\x05")
        for _ in range(3):
            house.reactor.iterate(0.01)
        assert inbound.failure is None
        client.shutdown(socket.SHUT_WR)
        house.until(lambda: inbound.failure)
        assert "went away" in str(inbound.failure)
        assert house.watch.watched == 0
        house.close()
    house.atBase()


def test_displaced(house: House) -> None:
    """At the mark the oldest goes at once, and another has its place."""
    house.listener.admission.limit(2, 2)
    clients = [house.call() for _ in range(2)]
    house.until(lambda: house.listener.admission.halfOpen == 2)
    house.listener.admission.limit(2, 3)
    with house.call() as third:
        house.until(lambda: len(house.listener.clients) == 2)
        house.until(lambda: _closed(clients[0]))
        assert not _closed(third)
        assert house.listener.admission.halfOpen == 2
        survivors: list[Inbound] = list(house.listener.clients)
        assert len(survivors) == 2
    for each in clients:
        each.close()


@pytest.mark.parametrize("house", ["address"], indirect=True)
def test_oneAtATime(house: House) -> None:
    """Where clients come alone, those that come together are all served as well."""
    house.listener.admission.limit(100, 100)
    for _ in range(4):
        assert house.serves()
    clients = [house.call() for _ in range(30)]
    house.until(lambda: len(house.listener.clients) >= len(clients))
    for _ in range(4):
        assert house.serves()
    waiting = [house.call() for _ in range(30)]
    before = len(house.listener.clients)
    house.port.loseConnection()
    # The kernel had accepted them.
    assert len(house.listener.clients) == before + len(waiting)
    for each in (*clients, *waiting):
        each.close()
