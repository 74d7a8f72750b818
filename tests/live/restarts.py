"""
A gateway that is restarted: several processes, one after the other.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from socksgw.audit.verify import verify
from tests.live import raw
from tests.live.admin import AdminClient
from tests.live.netns import within
from tests.live.running import OPEN, Running, socksgw
from tests.tools.catalogue import catalogued
from tests.tools.waiting import until

#: prctl(2).
_PR_SET_CHILD_SUBREAPER = 36


_adopting = 0


def adopt(more: int) -> None:
    """Have what our children leave behind be our children, while any gateway needs it."""
    global _adopting
    _adopting += more
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(_adopting > 0))


class Restarted(Running):
    """
    A gateway, whichever process serves.

    @ivar pid: of the process that serves, as far as it is known.
    @ivar said: what the last L{restart} has printed.
    """

    def __init__(self, directory: Path, configuration: str = OPEN, **options: Any):
        # What the gateway's processes start is ours when they have ended.
        adopt(1)
        directory.mkdir(parents=True, exist_ok=True)
        self.admin = directory / "admin.sock"
        text = f'{configuration}\n[admin]\nendpoint = "unix:{self.admin}"\n'
        super().__init__(directory, text, **options)
        self.pid = self.process.pid
        self.said = ""

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command, which asks the gateway alone."""
        return socksgw(*arguments, "--endpoint", f"unix:{self.admin}")

    def restart(self) -> int:
        """Restart it, and return the number of the process that serves now."""
        done = self.command("restart")
        assert done.returncode == 0, done.stderr + self.log
        self.said = done.stdout
        self.pid = self.journal("handover")[-1]["pid"]
        return self.pid

    def metered(self, name: str) -> float:
        """Return what a metric says, of all its labels together."""
        text = AdminClient(self.admin).ask("/metrics").octets.decode()
        names = f"{name}{{", f"{name} "
        lines = [each for each in text.splitlines() if each.startswith(names)]
        return sum(float(each.rpartition(" ")[2]) for each in lines)

    def over(self, pid: int, seconds: float = 30.0) -> int:
        """Wait until one of its processes has ended, and return its status."""
        if pid == self.process.pid:
            return self.process.wait(seconds)
        # It is our child from the end of its own parent on.
        status: list[int] = []

        def ended() -> bool:
            with suppress(ChildProcessError):
                found, state = os.waitpid(pid, os.WNOHANG)
                if found:
                    status.append(os.waitstatus_to_exitcode(state))
            return bool(status) or not Path(f"/proc/{pid}").exists()

        until(ended, seconds)
        return status[0] if status else 0

    def stop(self, seconds: float = 30.0) -> int:
        """End it in order."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        status = self.over(self.pid, seconds)
        self.process.wait(seconds)
        return status

    def healthy(self) -> None:
        """As L{Running.healthy}, of all its processes together."""
        status = self.stop()
        log = self.log
        assert "Traceback" not in log, log
        assert "Unhandled" not in log, log
        assert status in (0, -signal.SIGTERM), log
        assert verify(self._journal).problems == []
        for line in self.journal():
            catalogued(line)

    def dialOld(self) -> socket.socket:
        """Connect as a process that wants to take over."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(20)
        connection.connect(str(self.directory / "var" / "handover"))
        return connection


class Crowd:
    """
    Clients that come one after the other, and say something each.

    @ivar wrong: what happened instead.
    """

    def __init__(self, gateway: Any, server: Any, network: str = "") -> None:
        """
        @param network: where they come from: as of L{within}.
        """
        self._port, self._server, self._network = gateway.port, server, network
        self._enough = False
        self.served = 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._come) for _ in range(4)]

    def _come(self) -> None:
        with within(self._network) if self._network else nullcontext():
            self._comeAgain()

    def _comeAgain(self) -> None:
        while not self._enough:
            try:
                with raw.dial(self._port) as client:
                    raw.through(client, "127.0.0.1", self._server.port)
                    client.sendall(b"hello")
                    assert raw.exactly(client, 5) == b"hello"
                self.served += 1
            except (OSError, AssertionError) as e:
                self.wrong.append(repr(e))

    def __enter__(self) -> Crowd:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough = True
        for each in self._threads:
            each.join()


@contextmanager
def restarted(directory: Path, *arguments: Any, **options: Any) -> Iterator[Restarted]:
    """Start one; at the end it must have been well."""
    gateway = Restarted(directory, *arguments, **options)
    try:
        yield gateway.ready()  # type: ignore[misc]
        gateway.healthy()
    finally:
        taken = [each["pid"] for each in gateway.journal("handover")]
        for pid in (gateway.process.pid, *taken, gateway.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        gateway.process.wait(10)
        for pid in {*taken, gateway.pid} - {gateway.process.pid}:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        # Else processes that later tests leave behind would be ours, and stay.
        adopt(-1)
