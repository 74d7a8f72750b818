"""
Restarts that are refused: a process of another version of the handover, or with another
number of workers. The old processes go on.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socksgw.handover.place import VERSION
from tests.live import raw
from tests.live.played import Stub
from tests.live.restarts import Crowd, restarted
from tests.live.running import OPEN, TWISTD, environment
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

ONE = '[timeouts]\nhandshake = "60s"\n' + OPEN
TWO = "[gateway]\nworkers = 2\n" + ONE
#: Runs twistd, of a version of the handover that a file has.
PROGRAM = """
import sys
from pathlib import Path
from socksgw.handover import place
place.VERSION = int(Path("version").read_text())
from twisted.scripts.twistd import run
sys.argv.pop(0)
run()
"""
PREFIX = [sys.executable, "-c", PROGRAM]


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as made:
        yield made


def said(client: socket.socket) -> None:
    """Have an echo."""
    client.sendall(b"hello")
    assert raw.exactly(client, 5) == b"hello"


@pytest.mark.parametrize("text", [ONE, TWO], ids=["one", "two"])
def test_anotherVersion(tmp_path: Path, server: Destination, text: str) -> None:
    """
    An older or a newer version of the handover is refused: the command, the new process
    and the old one say so, and clients of the old one notice nothing.
    """
    directory = tmp_path / "gw"
    directory.mkdir()
    file = directory / "version"
    file.write_text(str(VERSION))
    with (
        restarted(directory, text, prefix=PREFIX) as gateway,
        raw.dial(gateway.port) as live,
    ):
        raw.through(live, "127.0.0.1", server.port)
        with Crowd(gateway, server) as crowd:
            for other in (VERSION + 1, VERSION - 1):
                file.write_text(str(other))
                why = (
                    f"the new process speaks version {other} of the handover, and the "
                    f"one that serves version {VERSION}: stop the gateway"
                )
                done = gateway.command("restart")
                assert done.returncode == 1
                assert why in done.stderr
                assert "not restarted; nothing has changed" in done.stderr
                until(
                    lambda why=why: (
                        f"not restarted: the gateway that serves does not hand over: {why}"
                        in gateway.log
                    )
                )
                late = subprocess.run(
                    [*PREFIX, TWISTD, "-n", "--pidfile=", "socksgw", "--take-over",
                     "--config", "gw.toml"],
                    cwd=directory, env=environment(), capture_output=True, text=True,
                    timeout=60, check=False,
                )  # fmt: skip
                assert late.returncode == 1
                assert why in late.stdout + late.stderr
            before = crowd.served
            until(lambda: crowd.served > before + 5)
        assert crowd.wrong == []
        said(live)
        assert gateway.process.poll() is None
        assert gateway.journal("handover") == []
        file.write_text(str(VERSION))
        gateway.restart()
        said(live)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"version": VERSION + 1, "workers": 1}, "speaks version 2 of the handover"),
        ({"workers": 1}, "speaks version None of the handover"),
        ({"version": VERSION, "workers": 2}, "1 processes serve clients"),
    ],
)
def test_whoDoesNotSayWhy(tmp_path: Path, asked: dict[str, Any], why: str) -> None:
    """
    A process of another version may end without a word: the old one says why all the
    same. It has handed nothing over.
    """
    with restarted(tmp_path / "gw", ONE) as gateway:
        new = Stub(gateway.dialOld())
        answers: list[Any] = []
        question = {"what": "sockets", "pid": 2**22 + 1, **asked}
        new.channel.ask(question).addBoth(answers.append)
        new.until(lambda: answers)
        assert why in answers[0].getErrorMessage()
        assert new.said == new.descriptors == []
        new.end()
        until(lambda: "not restarted: " in gateway.log)
        assert why in gateway.log
