"""
A broker in a thread, for the network namespace that the tests are in.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from socksgw.system.broker import Broker


class Threaded:
    """
    A broker that serves in a thread.

    @ivar where: its Unix socket.
    """

    def __init__(self, where: Path) -> None:
        self.where = where
        self._gone = False
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        where.unlink(missing_ok=True)
        listening.bind(str(where))
        # Each look of the clock is one second later: it looks at every turn.
        self._now = 0.0
        self.broker = Broker(listening, lambda: not self._gone, self._clock)
        self._thread = threading.Thread(target=self.broker.serve, daemon=True)
        self._thread.start()
        self._waitUntilItListens()

    def _clock(self) -> float:
        self._now += 1.0
        return self._now

    def _waitUntilItListens(self) -> None:
        for _ in range(1000):
            try:
                self.dialled().close()
                return
            except ConnectionRefusedError:
                threading.Event().wait(0.01)
        raise AssertionError("it does not listen")

    def dialled(self) -> socket.socket:
        """Connect to it."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(10)
        try:
            connection.connect(str(self.where))
        except OSError:
            connection.close()
            raise
        return connection

    def end(self) -> None:
        """Let the namespace be gone: it ends."""
        self._gone = True
        self._thread.join(10)
        assert not self._thread.is_alive()
