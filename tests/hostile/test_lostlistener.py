"""
A listener that the process loses: whoever supervises it learns of that.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.running import HEAD, environment

#: The program, with a port that goes by itself soon after the start.
PROGRAM = """
import sys
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.scripts.twistd import run
from socksgw.gateway.gateway import Gateway

def start(self, start=Gateway.start):
    start(self)
    (port,) = self._listeners._ports.values()
    reactor.callLater(0, port.connectionLost, Failure(ConnectionLost()))

Gateway.start = start
sys.argv[1:] = ["-n", "--pidfile=", "socksgw", "--config", "gw.toml"]
run()
"""


@pytest.mark.parametrize(
    "where", ['address = ["127.0.0.1:0"]', 'endpoint = "tcp:0:interface=127.0.0.1"']
)
def test_itEndsWithAnError(tmp_path: Path, where: str) -> None:
    """With a status, and a line that says why; the journal is closed in order."""
    text = HEAD.replace('address = ["127.0.0.1:0"]', where)
    (tmp_path / "gw.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert 'the listener "main" was lost' in said
    assert "Traceback" not in said
    (journal,) = (tmp_path / "var" / "audit").glob("*.jsonl")
    assert '"event":"stop"' in journal.read_text().splitlines()[-1]
