"""
A clock of the day that is set while the gateway runs.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from twisted.internet.base import ReactorBase

from socksgw.system.clock import steady
from tests.live import raw
from tests.live.running import HEAD, Running, environment

#: The clock of a process is set when there is a file of that name.
SET = """
import os
import time
_time = time.time
time.time = lambda: _time() + (%d if os.path.exists("set") else 0)
"""


@pytest.mark.parametrize("seconds", [-3600, 86400])
def test_timersGoOn(tmp_path: Path, seconds: int) -> None:
    """
    Deadlines come neither early nor late: those that ran when it was set, and
    those that begin afterwards.
    """
    (tmp_path / "sitecustomize.py").write_text(SET % seconds)
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    text = f'{HEAD}[timeouts]\nhandshake = "300ms"\n'
    gateway = Running(tmp_path, text, extra={"PYTHONPATH": path})
    try:
        gateway.ready()
        for _ in range(2):
            with closing(raw.dial(gateway.port)) as client:
                began = time.monotonic()
                (tmp_path / "set").touch()
                with suppress(ConnectionResetError):
                    assert client.recv(1) == b""
                assert 0.25 < time.monotonic() - began < 30
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


class Bare(ReactorBase):
    """Timers, and nothing else."""

    def installWaker(self) -> None:
        pass


def test_steady() -> None:
    """Timers go by the clock that cannot be set, those that run already, too."""
    reactor = Bare()
    before, moved = [reactor.callLater(10, lambda: None) for _ in range(2)]
    steady(reactor)
    moved.reset(10)
    for call in (before, moved, reactor.callLater(10, lambda: None)):
        assert 9 < call.getTime() - time.monotonic() <= 10
    left = reactor.timeout()
    assert left is not None
    assert 9 < left <= 10
