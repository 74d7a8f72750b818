"""
SIGHUP, ^C and pid files: of a real process, with a real terminal.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.live.clients import Server, isClosed, tunnel
from tests.live.running import OPEN, ROOT, TWISTD, Running, environment
from tests.live.servers import missing
from tests.tools.waiting import until

COMMAND = [str(TWISTD), "-n", "socksgw", "--config", "gw.toml"]


class Terminal:
    """
    A gateway in the foreground of a terminal of its own.
    """

    def __init__(self, directory: Path, prefix: Sequence[str] = ()) -> None:
        (directory / "gw.toml").write_text(OPEN)
        self.text = ""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            # Shells have what they start in the background ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.execvpe([*prefix, *COMMAND][0], [*prefix, *COMMAND], environment())

    def read(self, words: str, seconds: float = 20.0) -> re.Match[str]:
        """Read what the terminal shows until a pattern is there."""
        end = time.monotonic() + seconds
        while (found := re.search(words, self.text)) is None:
            assert time.monotonic() < end, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 4096).decode()
        return found

    def ended(self, seconds: float) -> int | None:
        """Its wait status, if it ends in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return status
            time.sleep(0.02)
        return None

    def close(self) -> None:
        """Close the terminal."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@contextmanager
def terminal(directory: Path, prefix: Sequence[str] = ()) -> Iterator[Terminal]:
    made = Terminal(directory, prefix)
    try:
        made.read("is ready")
        yield made
    finally:
        made.close()
        if made.pid:
            os.kill(made.pid, signal.SIGKILL)
            os.waitpid(made.pid, 0)


def journal(directory: Path) -> str:
    return "".join(f.read_text() for f in (directory / "var/audit").glob("*.jsonl"))


def test_aClosedTerminalStopsInOrder(tmp_path: Path) -> None:
    """SIGHUP of a terminal that was closed is no reload: the gateway ends."""
    with terminal(tmp_path) as shown:
        # Somebody's kill -HUP still is one.
        os.kill(shown.pid, signal.SIGHUP)
        shown.read("reloaded: 1 rules")
        shown.close()
        assert shown.ended(10) is not None
    text = journal(tmp_path)
    assert text.count('"event":"reloaded"') == 1
    assert '"event":"stop"' in text


def test_aTerminalClosedAtOnce(tmp_path: Path) -> None:
    """Also with the signal blocked until it can be caught, it is no reload."""
    with terminal(tmp_path, BLOCKED) as shown:
        shown.close()
        assert shown.ended(10) is not None


def test_underNohupAClosedTerminalEndsNothing(tmp_path: Path) -> None:
    """It was told so."""
    with terminal(tmp_path, ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]) as shown:
        shown.close()
        assert shown.ended(1) is None
        os.kill(shown.pid, signal.SIGTERM)
        assert shown.ended(10) is not None


EARLY = """
import os, signal, sys
from socksgw.system.signals import hangups
signals = hangups()
signals.foreground()
os.kill(os.getpid(), signal.SIGTERM)
assert "twisted.internet.reactor" not in sys.modules
from twisted.internet import reactor
signals.serve(reactor, sys.exit, sys.exit)
reactor.callLater(60, os.abort)
reactor.run()
print("stopped")
"""


def test_toldToEndEarly() -> None:
    """What comes before there is a reactor stops it when it runs."""
    done = subprocess.run(
        [sys.executable, "-c", EARLY],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_interruptSaysThatItDrainsAndHowToEnd(tmp_path: Path) -> None:
    """^C: what is left, for how long, and that ^C again ends it."""
    with Server() as server, terminal(tmp_path) as shown:
        port = int(shown.read(r"listens on .*:(\d+)")[1])
        with closing(tunnel(port, server.place)) as client:
            os.write(shown.master, b"\x03")
            shown.read(r"stopping: 1 sessions may go on for \d+ s; \^C ends them")
            assert not isClosed(client)
            os.write(shown.master, b"\x03")
            assert shown.ended(5) is not None


@pytest.mark.parametrize(
    ("kind", "name"), [("import", "socksgw.gateway.gateway"), ("open", "gw.toml")]
)
def test_hangupJustAfterTheStartIsAReload(tmp_path: Path, kind: str, name: str) -> None:
    """From the moment on that our part of twistd runs, no SIGHUP ends it."""
    slow = tmp_path / "slow"
    slow.mkdir()
    # Before anything runs.
    (slow / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "def hook(event, arguments):\n"
        f"    if event == {kind!r} and str(arguments[0]).endswith({name!r}):\n"
        "        if not hook.done:\n"
        "            hook.done = True\n"
        "            os.kill(os.getpid(), signal.SIGHUP)\n"
        "hook.done = False\n"
        "sys.addaudithook(hook)\n"
    )
    # In front of another module of that name, which coverage has.
    path = os.pathsep.join([str(slow), environment()["PYTHONPATH"]])
    gateway = Running(tmp_path, extra={"PYTHONPATH": path})
    try:
        gateway.ready()
        until(lambda: gateway.journal("reloaded"))
        gateway.healthy()
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


#: What C{make run} puts in front of twistd.
BLOCKED = ["env", "--block-signal=HUP"]


def isPython(pid: int) -> bool:
    """Whether a process has executed Python by now."""
    return "python" in os.readlink(f"/proc/{pid}/exe")


@pytest.mark.parametrize("after", [0, 20, 50, 100, 200, 400])
def test_hangupBeforeOurFirstLineIsAReload(tmp_path: Path, after: int) -> None:
    """
    As C{make run} starts it, a SIGHUP that comes while the interpreter loads,
    milliseconds after execve(2), waits until it can be caught.
    """
    gateway = Running(tmp_path, prefix=BLOCKED)
    try:
        until(lambda: isPython(gateway.process.pid), turn=lambda: None)
        time.sleep(after / 1000)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.ready()
        until(lambda: gateway.journal("reloaded"))
        gateway.healthy()
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


def test_howMakeStartsIt() -> None:
    """That is what C{make run} does."""
    ran = subprocess.run(
        # A make that runs the tests would hand on its own VENV and ARGS.
        [
            *("make", "--no-print-directory", "-n", "-o", ".venv/bin/twistd"),
            *("VENV=.venv", "ARGS=", "run"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = ran.stdout.split()[:4]
    assert words == ["PYTHONMALLOC=malloc", *BLOCKED, ".venv/bin/twistd"]


def test_readyForAReload(tmp_path: Path) -> None:
    """
    A unit of C{Type=notify}: systemd is told when a SIGHUP can come, and one
    that comes then is a reload; and when the gateway stops.
    """
    unit = (ROOT / "etc/socksgw.service").read_text()
    assert "\nType=notify\n" in unit
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        gateway = Running(tmp_path, extra={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        try:
            # Its listening socket, and then itself.
            assert manager.recv(1000).startswith(b"FDSTORE=1\n")
            assert manager.recv(1000).startswith(b"READY=1\n")
            gateway.process.send_signal(signal.SIGHUP)
            assert manager.recv(1000).startswith(b"RELOADING=1\n")
            until(lambda: gateway.journal("reloaded"))
            assert manager.recv(1000).startswith(b"READY=1\n")
            gateway.process.send_signal(signal.SIGTERM)
            assert manager.recv(1000).startswith(b"STOPPING=1\n")
            assert gateway.process.wait(30) == -signal.SIGTERM
        finally:
            if gateway.process.poll() is None:
                gateway.kill()


@pytest.mark.parametrize("named", [False, True])
def test_inTheForegroundThereIsNoPidFile(tmp_path: Path, named: bool) -> None:
    """Unless one is named; one that a crash left behind is none of ours."""
    (tmp_path / "twistd.pid").write_text(str(os.getpid()))
    (tmp_path / "gw.toml").write_text(OPEN)
    pidfile = ["--pidfile=named.pid"] if named else []
    process = subprocess.Popen(
        [str(TWISTD), "-n", *pidfile, "socksgw", "--config", "gw.toml"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        until(lambda: "is ready" in process.stdout.readline())  # type: ignore[union-attr]
        assert (tmp_path / "named.pid").exists() is named
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert (tmp_path / "twistd.pid").read_text() == str(os.getpid())


def test_asProcessOneOfAContainer(
    tmp_path: Path, gateway: Callable[..., Running]
) -> None:
    """It starts after a crash, reaps, and ends by SIGTERM."""
    unshare = shutil.which("unshare")
    if unshare is None:
        missing("unshare is missing: apt-get install util-linux")
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        missing("this user cannot make a namespace of processes")
    for number in range(2):
        directory = tmp_path / "container"
        directory.mkdir(exist_ok=True)
        (directory / "gw.toml").write_text(OPEN)
        process = subprocess.Popen(
            [*prefix, *COMMAND],
            cwd=directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while "is ready" not in (line := process.stdout.readline()):
                assert line, "".join(lines)
                lines.append(line)
            (child,) = (
                Path(f"/proc/{process.pid}/task/{process.pid}/children")
                .read_text()
                .split()
            )
            if number == 0:
                os.kill(int(child), signal.SIGKILL)
            else:
                os.kill(int(child), signal.SIGTERM)
            process.wait(10)
        finally:
            process.kill()
            process.communicate()
    text = journal(tmp_path / "container")
    assert text.count('"event":"stop"') == 1
