"""
Chains of our own gateways.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.live import raw
from tests.live.running import HEAD, OPEN, Running, running
from tests.live.servers import Destination, echo

#: A gateway that leaves by the upstreams of this rule.
VIA = """
[[rule]]
id = "chained"
allow = ["connect"]
via = [%s]
"""
UPSTREAM = """
[[upstream]]
name = "%s"
url = "socks5://127.0.0.1:%d"
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Three gateways: the first leaves by the second, or by that and the third."""
    directory = tmp_path_factory.mktemp("chain")
    with ExitStack() as stack:
        start = contextmanager(running)
        last = stack.enter_context(start(directory / "last", OPEN))
        middle = stack.enter_context(start(directory / "middle", OPEN))
        upstreams = UPSTREAM % ("middle", middle.port) + UPSTREAM % ("last", last.port)
        rules = VIA % '"middle", "last"'
        first = stack.enter_context(
            start(directory / "first", HEAD + upstreams + rules)
        )
        yield [first, middle, last]


def test_path(three: list[Running], destination: Callable[..., Destination]) -> None:
    """The octets go through every hop, and the journal says so."""
    server = destination(echo)
    with raw.dial(three[0].port) as client:
        raw.through(client, "127.0.0.1", server.port)
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert raw.decision(three[0], server.port)["via"] == "middle, last"
    assert raw.end(three[0], server.port)["path"] == "middle, last"
    assert "path" not in raw.end(three[2], server.port)
