"""
A link to a proxy that the test plays, in memory.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.python.failure import Failure

from socksgw.client.errors import ProxyClosed
from socksgw.client.link import Link
from socksgw.system.coroutines import Running

__all__ = ["MemoryLink", "begun", "failed", "result"]

T = TypeVar("T")


class MemoryLink(Link):
    """
    A link whose other end the test is.

    @ivar paused: whether the proxy is not read any more.
    """

    #: Whether TLS stands in between.
    secured = False

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()
        self.paused = False

    def write(self, octets: bytes) -> None:
        self._written += octets

    def pause(self) -> None:
        self.paused = True

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        octets = bytes(self._written)
        self._written.clear()
        return octets

    def close(self) -> None:
        """End the connection in order."""
        self.ended(ProxyClosed("closed"))


def begun(dialogue: Coroutine[Any, Any, T]) -> Running[T]:
    """Begin a dialogue, whose end is looked at later."""
    return Running(dialogue)


def result(running: Running[T]) -> T:
    """Return what a dialogue has come to."""
    assert running.called, "the dialogue still waits"
    found: list[Any] = []
    running.addBoth(found.append)
    if isinstance(found[0], Failure):
        found[0].raiseException()
    made: T = found[0]
    return made


def failed(running: Running[Any]) -> BaseException:
    """Return what a dialogue has failed with."""
    assert running.called, "the dialogue still waits"
    found: list[Any] = []
    running.addBoth(found.append)
    assert isinstance(found[0], Failure), f"no failure, but {found[0]!r}"
    assert found[0].value is not None
    return found[0].value
