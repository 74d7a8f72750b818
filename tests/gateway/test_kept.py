"""
Sockets that a service manager keeps: nobody who waits is refused or reset.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.managers import ServiceManager
from tests.live.restarts import Restarted, adopt
from tests.live.running import OPEN, isGone
from tests.live.servers import Destination, echo
from tests.tools.waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


class Service:
    """
    A service that is started again and again, in one directory.

    @ivar manager: its manager.
    @ivar port: the listener's, from the first start on.
    """

    def __init__(self, directory: Path, server: Destination, text: str = OPEN) -> None:
        self.manager = ServiceManager(directory)
        self._directory = directory / "gw"
        self._server = server
        self._starts = 0
        self.start(text)
        self.port = self.gateway.port

    def start(self, text: str = "") -> None:
        """Start it, with another configuration if there is one."""
        (self._directory / "log").unlink(missing_ok=True)
        if text:
            self._text = text
        self._starts += 1
        self.gateway = Restarted(
            self._directory,
            self._text,
            prefix=self.manager.prefix,
            extra=self.manager.extra,
        )
        self.gateway.ready()

    def name(self, index: int = 0, address: str = "127.0.0.1:0") -> str:
        """What a socket is called."""
        return f"socksgw-spoken-{index}-{address.replace(':', '%3A')}"

    def waiting(self, stack: ExitStack, count: int = 1) -> list[socket.socket]:
        """Return clients that have come, and said all that they say."""
        came = []
        for _ in range(count):
            client = stack.enter_context(raw.dial(self.port))
            client.sendall(raw.GREETING + raw.request5("127.0.0.1", self._server.port))
            came.append(client)
        return came

    def served(self, *clients: socket.socket) -> None:
        """See that clients are served that have waited."""
        for client in clients:
            assert raw.exactly(client, 2) == b"\x05\x00"
            assert raw.reply5(client)[0] == 0
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"

    def serves(self) -> None:
        """See that who comes now is served."""
        with ExitStack() as stack:
            self.served(*self.waiting(stack))

    def refuses(self) -> None:
        """See that nobody listens there, not even the manager."""
        with pytest.raises(ConnectionRefusedError):
            raw.dial(self.port)

    def close(self) -> None:
        self.gateway.process.kill()
        self.gateway.process.wait(30)
        self.manager.close()
        adopt(-self._starts)


@pytest.fixture
def service(tmp_path: Path, server: Destination) -> Iterator[Service]:
    made = Service(tmp_path, server)
    yield made
    made.close()


def test_whoWaitsIsServed(service: Service) -> None:
    """After a crash, after a stop, after a handover and a crash; the port is the same."""
    ours = service.name()
    service.manager.has(ours)
    for number in (signal.SIGKILL, signal.SIGTERM):
        os.kill(service.gateway.pid, number)
        service.gateway.process.wait(30)
        with ExitStack() as stack:
            came = service.waiting(stack, 3)
            service.start()
            service.served(*came)
        service.manager.has(ours)
    old = service.gateway.pid
    new = service.gateway.restart()
    service.gateway.over(old)
    # The new one has told of its own, and is heard.
    until(lambda: (new, "FDSTORE=1") in [(p, t[:9]) for p, t in service.manager.told])
    assert service.manager.main == new
    service.manager.has(ours)
    os.kill(new, signal.SIGKILL)
    service.gateway.over(new)
    with ExitStack() as stack:
        came = service.waiting(stack, 3)
        service.start()
        service.served(*came)
    service.gateway.healthy()


def test_whatIsClosedIsForgotten(service: Service) -> None:
    """
    By a reload, a drain, and a start whose configuration has other addresses: the port
    is free at once, also for an address that contains it.
    """
    port = service.port
    service.gateway.kill()
    # The same address is another place by its words, and so another socket.
    service.start(OPEN.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    service.manager.has(service.name(address=f"127.0.0.1:{port}"))
    gateway = service.gateway
    file = gateway.directory / "gw.toml"
    for address in ("0.0.0.0", "127.0.0.1", "127.0.0.2"):
        before = file.read_text()
        file.write_text(
            before.replace(
                next(line for line in before.split("\n") if line.startswith("address")),
                f'address = ["{address}:{port}"]',
            )
        )
        done = gateway.command("reload")
        assert done.returncode == 0, done.stderr
        service.manager.has(service.name(address=f"{address}:{port}"))
        if address != "127.0.0.2":
            service.serves()
    service.refuses()
    file.write_text(before)
    assert gateway.command("reload").returncode == 0
    service.serves()
    assert gateway.command("drain").returncode == 0
    service.refuses()
    service.manager.has()
    assert gateway.command("drain", "--undo").returncode == 0
    service.serves()
    service.manager.has(service.name(address=f"127.0.0.1:{port}"))
    gateway.kill()
    service.start(OPEN.replace("127.0.0.1:0", f"127.0.0.2:{port}"))
    service.refuses()
    service.manager.has(service.name(address=f"127.0.0.2:{port}"))
    service.gateway.healthy()


def test_withWorkers(tmp_path: Path, server: Destination) -> None:
    """Each has its own socket, and as many are kept, whatever their number becomes."""
    two = OPEN + "[gateway]\nworkers = 2\n"
    service = Service(tmp_path, server, two)
    try:
        both = service.name(0), service.name(1)
        service.manager.has(*both)
        for number, then in (
            (signal.SIGKILL, two),
            (signal.SIGTERM, two.replace("workers = 2", "workers = 3")),
        ):
            workers = service.gateway.processes[1:]
            os.kill(service.gateway.pid, number)
            service.gateway.process.wait(30)
            # They end after it, and serve meanwhile.
            until(lambda workers=workers: all(map(isGone, workers)))
            with ExitStack() as stack:
                # Each of the sockets has its part of them.
                came = service.waiting(stack, 12)
                service.start(then)
                service.served(*came)
        service.manager.has(*both, service.name(2))
        service.gateway.kill()
        service.start(OPEN)
        service.manager.has(service.name(0))
        for _ in range(8):
            service.serves()
        service.gateway.healthy()
    finally:
        service.close()
