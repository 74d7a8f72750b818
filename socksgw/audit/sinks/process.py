"""
The process of the sinks: it does what the gateway orders, and ends with it.
"""

from __future__ import annotations

import fcntl
import gc
import os
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, final

from socksgw.audit.sinks.entries import Lines
from socksgw.audit.sinks.follower import SinkFollower
from socksgw.audit.sinks.orders import FINISH, Orders, Standing

__all__ = ["ORDERS", "STANDINGS", "SinkProcess", "main"]

#: The descriptors of the pipes from and to the gateway.
ORDERS: Final = 0
STANDINGS: Final = 3
#: Seconds between two lines to the gateway about sinks that go on.
_TELL: Final = 1.0
#: Seconds that a sink has to end, for another configuration and for good.
_PATIENCE: Final = 2.0
_LAST: Final = 5.0
#: How many new objects have Python look for circles of dead ones. At its own 700, that
#: takes a fifth of the time that a line takes.
_COLLECT: Final = 50_000
#: Exit statuses: the end of the gateway, and sinks that did not end in time.
_DONE: Final = 0
_STUCK: Final = 3


@final
class SinkProcess:
    """The followers of one process."""

    def __init__(self, orders: int, standings: int) -> None:
        """
        Follow nothing yet.

        @param orders: the descriptor of the pipe from the gateway.
        @param standings: that of the pipe to it.
        """
        self._orders = orders
        self._standings = standings
        self._followers: dict[str, SinkFollower] = {}
        self._lines = Lines()
        self._told: dict[str, Standing] = {}
        self._lock = -1
        self._wake, self._wakeUp = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """
        Do what the gateway orders, until it ends.

        @return: the exit status.
        """
        rest = b""
        tellAt = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(max(0.0, tellAt - time.monotonic())):
                    if key.fd == self._wake:
                        os.read(self._wake, 512)
                        tellAt = 0.0
                        continue
                    octets = os.read(self._orders, 1 << 16)
                    *lines, rest = (rest + octets).split(b"\n")
                    for line in lines:
                        if line + b"\n" != FINISH and not self._obey(Orders.of(line)):
                            return _STUCK
                    if not octets or FINISH[:-1] in lines:
                        return self._end()
                if time.monotonic() >= tellAt:
                    self._tell()
                    tellAt = time.monotonic() + _TELL

    def _obey(self, orders: Orders) -> bool:
        """
        Follow for these sinks, and for no others.

        @return: whether every other one has ended.
        """
        state, journal = Path(orders.state), Path(orders.journal)
        self._take(state / "sinks")
        wanted = {each.name: each for each in orders.sinks}
        self._lines.kept = len(wanted) > 1
        old = [
            follower
            for name, follower in self._followers.items()
            if wanted.get(name) != follower.order
        ]
        for follower in old:
            follower.stop()
        if not _endedOf(old, _PATIENCE):
            return False
        for follower in old:
            del self._followers[follower.order.name]
        for name, order in wanted.items():
            if name not in self._followers:
                follower = SinkFollower(
                    order, journal, state, self._lines, orders.last, self._changed
                )
                self._followers[name] = follower
                follower.start()
        return True

    def _take(self, directory: Path) -> None:
        """
        Wait until the process of a gateway that was killed has ended.

        Two would both write to the sinks.
        """
        if self._lock < 0:
            directory.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._lock = os.open(directory / "lock", flags, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _end(self) -> int:
        """Deliver what there is, for some seconds at most."""
        followers = list(self._followers.values())
        for follower in followers:
            follower.finish()
        done = _endedOf(followers, _LAST)
        self._tell()
        return _DONE if done else _STUCK

    def _changed(self) -> None:
        """Have the gateway told at once; threads call this."""
        try:
            os.write(self._wakeUp, b"\0")
        except BlockingIOError:
            # It is about to be told.
            pass

    def _tell(self) -> None:
        """Tell the gateway what has changed."""
        now = {name: each.stands() for name, each in self._followers.items()}
        changed = [each for name, each in now.items() if self._told.get(name) != each]
        self._told = now
        if changed:
            left = Standing.octets(changed)
            try:
                while left:
                    left = left[os.write(self._standings, left) :]
            except BrokenPipeError:
                # It has ended, and so will this process.
                pass


def _endedOf(followers: Sequence[SinkFollower], seconds: float) -> bool:
    """Wait for the ends of threads, and return whether all have come in time."""
    until = time.monotonic() + seconds
    while not all(each.ended for each in followers):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def main() -> NoReturn:
    """
    Run the process.

    It ends when the gateway tells it to, or has gone, and not by the signals that a
    terminal or a supervisor sends to all processes of the gateway.
    """
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(each, signal.SIG_IGN)
    # Thousands of lines live and die together, and none is part of a circle.
    gc.set_threshold(_COLLECT)
    status = SinkProcess(ORDERS, STANDINGS).run()
    sys.stderr.flush()
    # A thread may be stuck in a sink.
    os._exit(status)
