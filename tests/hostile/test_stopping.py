"""
The end of a gateway, and of what goes on in it then.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

from tests.live.clients import (
    GREETING,
    Server,
    exactly,
    four,
    isClosed,
    opened,
    replied5,
    request5,
    tunnel,
)
from tests.live.running import VERSIONS, Running
from tests.tools.waiting import until

Gateway = Callable[..., Running]

#: twistd ends by the signal that it was told to end with, in good order.
IN_ORDER = (0, -signal.SIGTERM)


def _accepts(port: int) -> bool:
    try:
        opened(port).close()
    except ConnectionRefusedError:
        return False
    return True


def _drain(seconds: str) -> str:
    return f'[timeouts]\ndrain = "{seconds}"\n' + VERSIONS


def test_aLiveSessionGoesOnUntilItEnds(gateway: Gateway) -> None:
    """
    SIGTERM ends the accepting, not the live sessions; when the last of them
    has ended the gateway stops, and says so in its journal.
    """
    with Server() as echo:
        started = gateway(_drain("60s"))
        with closing(tunnel(started.port, echo.place)) as live, ExitStack() as stack:
            six = stack.enter_context(
                closing(tunnel(started.port, echo.place, version=6))
            )
            with closing(opened(started.port)) as half:
                half.sendall(GREETING)
                assert exactly(half, 2) == b"\x05\x00"
                started.process.send_signal(signal.SIGTERM)
                until(lambda: not _accepts(started.port))
                for client in (live, six) * 3:
                    client.sendall(b"hello")
                    assert exactly(client, 5) == b"hello"
                six.close()
                # Who was let in before may still make a request.
                half.sendall(request5(four(echo.place[0]), echo.port))
                assert replied5(half) == 0
            until(lambda: len(started.journal("end")) == 2)
            assert started.process.poll() is None
            assert not started.journal("stop")
        assert started.process.wait(20) in IN_ORDER
        ends = started.journal("end")
        assert sorted((end["reason"], end["sent"]) for end in ends) == [
            ("closed", 0),
            ("closed", 15),
            ("closed", 15),
        ]
        assert started.journal()[-1]["event"] == "stop"


def test_whatOutlivesTheDrainIsEndedWithItsRecord(gateway: Gateway) -> None:
    """
    Sessions and half-open clients that outlive C{timeouts.drain} are ended,
    each session with its record, and the gateway stops.
    """
    with Server() as echo:
        started = gateway(_drain("1s"))
        with (
            closing(tunnel(started.port, echo.place)) as one,
            closing(tunnel(started.port, echo.place, version=6)) as two,
            closing(opened(started.port)) as silent,
            closing(opened(started.port)) as half,
            closing(opened(started.port)) as half6,
        ):
            half6.sendall(b"\x06\x01\0")
            half.sendall(GREETING)
            assert exactly(half, 2) == b"\x05\x00"
            two.sendall(b"hello")
            assert exactly(two, 5) == b"hello"
            began = time.monotonic()
            started.process.send_signal(signal.SIGTERM)
            assert started.process.wait(20) in IN_ORDER
            assert time.monotonic() - began >= 1
            for client in (one, two, silent, half, half6):
                assert isClosed(client)
        ends = started.journal("end")
        assert [line["reason"] for line in ends] == ["draining"] * 2
        assert sorted(line["sent"] for line in ends) == [0, 5]
        assert started.journal()[-1]["event"] == "stop"


def test_aSecondSignalEndsAtOnce(gateway: Gateway) -> None:
    """
    A second SIGTERM does not wait for the drain; the records are written all
    the same.
    """
    with Server() as echo:
        started = gateway(_drain("1h"))
        with closing(tunnel(started.port, echo.place)) as live:
            started.process.send_signal(signal.SIGTERM)
            until(lambda: not _accepts(started.port))
            assert started.process.poll() is None
            live.sendall(b"hello")
            assert exactly(live, 5) == b"hello"
            started.process.send_signal(signal.SIGTERM)
            assert started.process.wait(20) in IN_ORDER
            assert isClosed(live)
        assert [line["reason"] for line in started.journal("end")] == ["draining"]
        assert started.journal()[-1]["event"] == "stop"


def test_stoppingWhileClientsKeepComing(gateway: Gateway) -> None:
    """
    Clients in every state of their handshakes, lookups and connects, while
    the gateway is told to stop: it stops, whole.
    """
    with Server() as echo, Server(flood=True) as flood:
        started = gateway(_drain("1s"))
        clients = []
        try:
            for number in range(100):
                clients.append(opened(started.port))
                clients[-1].sendall((GREETING + b"\x05\x01\0\x01\x7f\0\0\1")[:number])
            for _ in range(20):
                clients.append(tunnel(started.port, flood.place))
                clients.append(tunnel(started.port, echo.place))
            started.process.send_signal(signal.SIGTERM)
            assert started.process.wait(20) in IN_ORDER
        finally:
            for client in clients:
                client.close()
        decisions = started.journal("decision")
        ended = {line["session"] for line in started.journal("end")}
        assert ended == {line["session"] for line in decisions}
        assert len(ended) == 40
