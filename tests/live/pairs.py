"""
Sessions of which a test has both ends: octets that move, wait, or end half-way.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.live import raw

__all__ = ["OCTETS", "Pair"]

#: Of each direction of a session: more than sockets and the gateway hold.
OCTETS = 8_000_000


class Pair:
    """
    Both ends of a session, each of which sends what the other one knows.

    @ivar got: what came at the client, and at the destination.
    """

    def __init__(self, gateway: Any, number: int, octets: int = OCTETS) -> None:
        """
        @param number: of the session, whose octets follow from it.
        @param octets: of each direction.
        """
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        client, version = raw.dial(gateway.port), 5 + number % 2
        self.client = raw.through(client, "127.0.0.1", self.port, version)
        self.destination, _ = self._listening.accept()
        self.sent = [random.Random(number + way).randbytes(octets) for way in (0, 500)]
        self.got = [b"", b""]
        self._threads: list[threading.Thread] = []

    def send(self, urgent: int | None = None) -> None:
        """
        Send all of both directions, and end each behind it.

        @param urgent: after how many octets one more is sent as urgent data, which
            nobody gets.
        """
        for way in (0, 1):
            self.sendOne(way, urgent)

    def sendOne(self, way: int, urgent: int | None = None) -> None:
        """Do so in one direction: 0 is the client's."""
        end = (self.client, self.destination)[way]
        self._begin(partial(_sendAll, end, self.sent[way], urgent))

    def read(self) -> None:
        """Read both directions to their end."""
        self._begin(partial(self._readAll, self.client, 0))
        self._begin(partial(self._readAll, self.destination, 1))

    def _readAll(self, end: socket.socket, which: int) -> None:
        parts = []
        while came := end.recv(1 << 16):
            parts.append(came)
        self.got[which] = b"".join(parts)

    def _begin(self, run: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def over(self) -> None:
        """Wait until all has come, and see that it is what was sent."""
        for each in self._threads:
            each.join(30)
            assert not each.is_alive()
        # Without the octets, of which a difference would take minutes to tell.
        assert [len(each) for each in self.got] == [len(each) for each in self.sent]
        assert self.got[0] == self.sent[1]
        assert self.got[1] == self.sent[0]
        self.close()

    def close(self) -> None:
        for end in (self.client, self.destination, self._listening):
            end.close()


def _sendAll(end: socket.socket, octets: bytes, urgent: int | None) -> None:
    end.settimeout(60)
    if urgent is not None:
        end.sendall(octets[:urgent])
        end.send(b"!", socket.MSG_OOB)
        octets = octets[urgent:]
    end.sendall(octets)
    end.shutdown(socket.SHUT_WR)
