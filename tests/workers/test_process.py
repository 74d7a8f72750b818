"""
The process of a worker whose supervisor goes away while it begins.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from socksgw.workers.process import Worker


def test_abandonedWhileItBegins() -> None:
    """It ends its gateway in order, whose threads would keep the process otherwise."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stopped: list[str] = []
    over: Deferred[None] = Deferred()
    gateway: Any = SimpleNamespace(
        stopping=False,
        stop=lambda: stopped.append("gateway") or over,
        endAll=lambda: stopped.append("sessions"),
    )
    reactor = EPollReactor()
    patched: Any = reactor
    patched.stop = lambda: stopped.append("reactor")
    worker: Any = Worker(reactor, ours)

    def start(message: Any, descriptors: Any) -> dict[str, Any]:
        worker._abandoned("it is gone")
        assert stopped == []
        worker._gateway = gateway
        return {}

    worker._start = start
    try:
        assert worker._asked({"do": "start"}, []) == {}
        assert stopped == ["gateway", "sessions"]
        over.callback(None)
        assert stopped[-1] == "reactor"
    finally:
        ours.close()
        theirs.close()
