"""
Name look-ups that nobody answers, and a name server that answers in part.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

from tests.live.clients import (
    GREETING,
    Server,
    exactly,
    named,
    replied5,
    request5,
)
from tests.live.names import AAAA, NameServer, a, answer
from tests.live.running import Running

Gateway = Callable[..., Running]

GOOD, GRANTED = "127.0.0.7", 0


def _configuration(*servers: str) -> str:
    places = ", ".join(f'"{place}"' for place in servers)
    return f"""
[resolver]
servers = [{places}]
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[never]
except = ["{GOOD}/32"]
[[rule]]
id = "all"
allow = ["connect"]
"""


def _halfMute(name: str, kind: int, _: int, query: bytes) -> bytes | None:
    """Answers no AAAA, nothing about C{muteN}, and C{long} over TCP only."""
    if kind == AAAA or name.startswith("mute"):
        return None
    if name.startswith("long"):
        return answer(query, flags=0x8380)
    return answer(query, a(GOOD))


def _whole(name: str, kind: int, _: int, query: bytes) -> bytes:
    """A long answer."""
    return answer(query, *([] if kind == AAAA else [a(GOOD)] * 200))


def test_aSourceThatFloodsDelaysOnlyItself(gateway: Gateway) -> None:
    """
    While one source has 300 names looked up that nobody answers, names of
    others are found, at once though AAAA is not answered, and over TCP where
    the answer is cut; each of 25 within a second.
    """
    with (
        NameServer(_halfMute, _whole) as names,
        Server(GOOD) as good,
        ExitStack() as stack,
    ):
        started = gateway(_configuration(names.place))
        for number in range(300):
            client = stack.enter_context(
                closing(socket.create_connection(("127.0.0.1", started.port), 20))
            )
            name = named(b"mute%d.test" % number)
            client.sendall(GREETING + request5(name, good.port))
        slowest = 0.0
        for number in range(25):
            label = b"long" if number % 5 == 0 else b"fine"
            with closing(
                socket.create_connection(
                    ("127.0.0.1", started.port), 20, ("127.0.0.66", 0)
                )
            ) as client:
                began = time.monotonic()
                name = named(b"%s%d.test" % (label, number))
                client.sendall(GREETING + request5(name, good.port))
                assert exactly(client, 2) == b"\x05\x00"
                assert replied5(client) == GRANTED
                slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1.0
        assert "UDP" not in started.log
