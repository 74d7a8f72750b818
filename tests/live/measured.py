"""
A gateway in the tests' own process, with real sockets, and what its metrics say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.epollreactor import EPollReactor

from socksgw.config.loading import loads
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.measuring import measure
from socksgw.metrics.snapshot import Labels, Value

T = TypeVar("T")


class Measured:
    """
    A gateway that runs while the test lets its reactor run.

    @ivar port: its first port.
    """

    def __init__(self, directory: Path, text: str, **options: Any) -> None:
        self.reactor: Any = EPollReactor()
        self.config = loads(text, "gw.toml", directory)
        self.gateway = Gateway(self.reactor, self.config, **options)
        self.gateway._state.directory.mkdir()
        self.gateway.listen()
        self.gateway.start()
        self.reactor.startRunning(installSignalHandlers=False)

    @property
    def ports(self) -> list[int]:
        """Its ports."""
        return [port for _, port in self.gateway.bound()]

    @property
    def port(self) -> int:
        """Its first port."""
        return self.ports[0]

    def run(self, work: Callable[[], T]) -> T:
        """Do a client's work in a thread, while the gateway runs."""
        found: list[T] = []
        failed: list[BaseException] = []

        def done() -> None:
            try:
                found.append(work())
            except BaseException as e:
                failed.append(e)

        thread = Thread(target=done, daemon=True)
        thread.start()
        self.until(lambda: not thread.is_alive())
        if failed:
            raise failed[0]
        return found[0]

    def until(self, done: Callable[[], object]) -> None:
        """Let the gateway run until something is so."""
        for _ in range(3000):
            if done():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it did not happen")

    def of(self, name: str) -> dict[Labels, Value]:
        """Return the values of a metric."""
        return measure(self.gateway).of(name)

    def stop(self) -> None:
        """End it."""
        over: list[object] = []
        self.gateway.stop().addBoth(over.append)
        self.until(lambda: over)
        self.reactor.fireSystemEvent("shutdown")
        self.reactor.iterate(0)


@contextmanager
def measured(directory: Path, text: str, **options: Any) -> Iterator[Measured]:
    """Start a gateway, and end it."""
    made = Measured(directory, text, **options)
    try:
        yield made
    finally:
        made.stop()
