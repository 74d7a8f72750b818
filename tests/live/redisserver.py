"""
A real Redis of our own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.live.servers import package, program
from tests.tools.waiting import until

__all__ = ["LiveRedis"]


class LiveRedis:
    """
    A server on a Unix socket, which keeps nothing on the disk.

    @ivar directory: where its socket is.
    @ivar url: its URL.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        """
        @param options: further ones of its command line; C{--port} for TCP.
        """
        package("redis")
        self._program = program("redis-server", "redis-server")
        self.directory = Path(tempfile.mkdtemp(prefix="socksgw-redis-"))
        self._options = options
        self.socket = self.directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, with nothing in it, and wait until it listens."""
        self.socket.unlink(missing_ok=True)
        command = [self._program, "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self.directory), "--unixsocket", str(self.socket)]
        if "--port" not in self._options:
            command += ["--port", "0"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], stdout=log, stderr=log
            )
        until(self.socket.exists, 30)

    def kill(self) -> None:
        """Kill it; whatever it had is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def hang(self, hangs: bool) -> None:
        """Have it answer nothing, while it accepts connections; or answer again."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP if hangs else signal.SIGCONT)

    def client(self) -> Any:
        """Return a client of the library's."""
        from redis import Redis

        return Redis(unix_socket_path=str(self.socket))

    def close(self) -> None:
        """End it, and remove what it had."""
        if self._process is not None and self._process.poll() is None:
            self.hang(False)
            self.kill()
        shutil.rmtree(self.directory)
