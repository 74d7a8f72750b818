"""
What is told of proxies that answer wrongly, or not at all.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from socksgw.console.selftest.speaking import Access, Speaker
from socksgw.console.selftest.vectors import VECTORS
from socksgw.interfaces import ProbeFailed

NOBODY = next(v for v in VECTORS if v.name == "a method that nobody has")
LENGTHS = next(v for v in VECTORS if v.name == "two lengths of one body")


@contextmanager
def proxy(answer: Callable[[bytes], bytes | None]) -> Iterator[tuple[str, int]]:
    """Serve clients one by one: answer what they say, until that is L{None}."""

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                while said := client.recv(100):
                    octets = answer(said)
                    if octets is None:
                        break
                    client.sendall(octets)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join(10)


def test_wrong() -> None:
    """An answer that is not in the text fails, and the text is named."""
    with proxy(lambda _: b"\x05\x00") as place:
        (found,) = Speaker(Access(place), 5).all([NOBODY])
    assert found.state == "failed"
    assert found.said == "05 00: not as in RFC 1928 section 3: X'FF'"


def test_silent() -> None:
    """A proxy that does not answer is told so; one that was there before, likewise."""
    silent = pytest.raises(ProbeFailed, match="does not answer in time")
    with proxy(lambda _: b"") as place, silent:
        Speaker(Access(place), 0.2).all([NOBODY])
    says = iter([b"\x05\xff", b""])
    with proxy(lambda _: next(says, None)) as place:
        found = Speaker(Access(place), 0.2).all([NOBODY, NOBODY])
    assert [each.state for each in found] == ["ok", "failed"]


def test_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = listening.getsockname()
    with pytest.raises(ProbeFailed, match="cannot be reached: Connection refused"):
        Speaker(Access(place), 5).all([NOBODY])


def test_endless() -> None:
    """Of an answer that goes on and on, what has come in time is judged."""
    over = threading.Event()

    def serve() -> None:
        client, _ = listening.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            while not over.wait(0.0005):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        (found,) = Speaker(Access(listening.getsockname()), 0.3).all([LENGTHS])
        over.set()
        serving.join(10)
    assert (found.state, found.said) == ("ok", "HTTP/1.1 400 Bad Request")
