"""
People and programs at standard output that do not read.
"""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.live.clients import Server, exactly, tunnel
from tests.live.running import OPEN, TWISTD, environment


@contextmanager
def unread(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """
    A gateway whose standard output is a pipe of one page, read up to the end
    of the banner: the process, and the port of the listener.
    """
    (directory / "gw.toml").write_text(OPEN)
    process = subprocess.Popen(
        [str(TWISTD), "-n", "--pidfile=", "socksgw", "--config", "gw.toml"],
        cwd=directory,
        # An old terminal, too.
        env=environment(PYTHONIOENCODING="ascii"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    assert process.stdout is not None
    try:
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        port = 0
        while b"  next " not in (line := process.stdout.readline()):
            assert line, "it ended"
            if match := re.search(rb"listens on .*:(\d+)", line):
                port = int(match[1])
        yield process, port
    finally:
        process.stdout.close()
        process.kill()
        process.wait(10)


def test_anUnreadStandardOutputStopsNobody(tmp_path: Path) -> None:
    """
    With standard output a full pipe (Ctrl-S, a stuck ssh, a dead log collector)
    clients are served, and live relays go on; who reads again finds the lines.
    """
    sessions = 200
    with Server() as server, unread(tmp_path) as (process, port):
        with closing(tunnel(port, server.place)) as living:
            for number in range(sessions):
                with closing(tunnel(port, server.place)) as client:
                    client.sendall(b"ping")
                    assert exactly(client, 4) == b"ping", number
                # Give the console time for its look.
                time.sleep(0.005)
            living.sendall(b"ping")
            assert exactly(living, 4) == b"ping"
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        text = process.stdout.read()
        assert process.wait(10) in (0, -signal.SIGTERM)
    shown = text.count(b"ALLOW ")
    more = sum(int(n) for n in re.findall(rb"(\d+) more decisions", text))
    assert shown + more == sessions + 1
    assert b"Server Shut Down" in text
    assert text.isascii()
    assert b"ALLOW anonymous -> " in text
