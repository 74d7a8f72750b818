"""
The agent of a workstation in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

from tests.live.running import environment
from tests.tools.waiting import until


class Agent:
    """
    An agent that runs.

    @ivar lines: what it has told so far, without the words before each.
    """

    def __init__(self, directory: Path, *arguments: str, **more: str) -> None:
        self._log = directory / "agent.log"
        home = {"HOME": str(directory), "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "socksgw.console.command", "agent", *arguments],
                cwd=directory,
                env=environment(PYTHONUNBUFFERED="1", **home, **more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def lines(self) -> list[str]:
        """As said above; root is told that it is root, which is left out."""
        lines = self._log.read_text().splitlines()
        assert all(line.startswith("socksgw agent: ") for line in lines), lines
        told = [line.removeprefix("socksgw agent: ") for line in lines]
        return [line for line in told if not line.startswith("runs as root")]

    def tells(self, words: str, times: int = 1) -> str:
        """Wait for so many lines with these words; return the last one."""
        until(lambda: self.process.poll() is not None or self._with(words, times), 30)
        assert self.process.poll() is None, self.lines
        return self._with(words, times)[-1]

    def _with(self, words: str, times: int) -> list[str]:
        found = [line for line in self.lines if words in line]
        return found if len(found) >= times else []

    @property
    def port(self) -> int:
        """Its port, once it serves."""
        return int(
            self.tells("serves this user's programs on").split(":")[1].split(",")[0]
        )

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(SIGTERM)
        assert self.process.wait(30) == 0, self.lines


@contextmanager
def agent(directory: Path, *arguments: str, **more: str) -> Iterator[Agent]:
    """Run an agent for as long as the context lasts."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Agent(directory, *arguments, **more)
    try:
        yield made
        made.stop()
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait(10)
