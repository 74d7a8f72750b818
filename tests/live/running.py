"""
A real gateway in a process of its own, for the tests that drive it from
outside.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from socksgw.audit.verify import verify
from socksgw.console.command import main
from tests.live.nursery import Process, forked
from tests.tools.catalogue import catalogued
from tests.tools.waiting import until

ROOT = Path(__file__).parents[2]
TWISTD = Path(sys.executable).with_name("twistd")

#: Rules that let tests reach servers on loopback.
LOOPBACK = """
[never]
except = ["127.0.0.0/8", "::1"]
"""

#: A listener on any port, for everybody on this machine, without login.
HEAD = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
"""
    + LOOPBACK
)
#: With a rule that allows CONNECT to everywhere.
OPEN = HEAD + '[[rule]]\nid = "all"\nallow = ["connect"]\n'
#: The same for clients of all versions of SOCKS.
VERSIONS = OPEN.replace(
    "[[listen]]", '[[listen]]\nprotocols = ["socks5", "socks4", "socks6"]', 1
)
#: A rule that allows CONNECT and UDP to everywhere.
ALL = '[[rule]]\nid = "all"\nallow = ["connect", "udp"]\n'


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a process that shall find this project."""
    places = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        places.insert(0, str(ROOT / "tests" / "measured"))
    path = os.pathsep.join(places)
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), **extra}


def withPlugins(directory: Path, package: str, **modules: str) -> dict[str, str]:
    """
    Return the environment of a process that finds more modules in C{package}.

    They stand in another directory than ours, as those of another project do.
    """
    elsewhere = directory / "elsewhere"
    plugins = elsewhere.joinpath(*package.split("."))
    plugins.mkdir(parents=True)
    for name, text in modules.items():
        (plugins / f"{name}.py").write_text(text)
    path = os.pathsep.join([environment()["PYTHONPATH"], str(elsewhere)])
    return environment(PYTHONPATH=path)


#: Commands that run no reactor, and so may run within the tests' own process.
_WITHIN = (
    "audit", "check", "client-config", "diff", "drain", "explain", "help", "kill",
    "grant", "passwd", "reload", "restart", "sessions", "status", "suggest",
)  # fmt: skip


def socksgw(
    *arguments: str, cwd: Path | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """
    Run C{socksgw ARGUMENTS} to its end.

    Within this process, where that is the same: what is imported is imported once.
    """
    if not arguments or arguments[0] not in _WITHIN:
        return socksgwProcess(*arguments, cwd=cwd, stdin=stdin)
    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with (
        chdir(cwd or Path.cwd()),
        redirect_stdout(out),
        redirect_stderr(errors),
        patch.object(sys, "stdin", io.StringIO(stdin)),
    ):
        try:
            status = main(arguments)
        except SystemExit as e:  # argparse
            status = int(e.code or 0)
    printed = []
    for each in (out, errors):
        each.seek(0)
        printed.append(each.read())
    return subprocess.CompletedProcess(arguments, status, *printed)


def socksgwProcess(
    *arguments: str, cwd: Path | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run C{socksgw ARGUMENTS} to its end, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "socksgw.console.command", *arguments],
        cwd=cwd,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


#: How many processes are to serve where a configuration says nothing of them.
WORKERS = int(os.environ.get("SOCKSGW_WORKERS", "1"))


def withWorkers(text: str) -> str:
    """
    Return a configuration for as many workers as the environment asks for.

    C{SOCKSGW_WORKERS=2 pytest …} runs a suite with two; few tests look at what is of
    one process alone. A member of a cluster has no workers.
    """
    if WORKERS < 2 or "workers =" in text or "[cluster]" in text:
        return text
    if "[gateway]" in text:
        return text.replace("[gateway]", f"[gateway]\nworkers = {WORKERS}", 1)
    return f"{text}\n[gateway]\nworkers = {WORKERS}\n"


class Running:
    """
    A gateway that runs.

    @ivar process: the process.
    @ivar directory: its working directory; C{gw.toml} and C{var/} are there.
    """

    def __init__(
        self,
        directory: Path,
        configuration: str | None = OPEN,
        *arguments: str,
        preexec: Any = None,
        prefix: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
        stdout: Any = None,
    ) -> None:
        """
        @param configuration: the text of C{gw.toml}; L{None} for no
            C{--config}.
        @param arguments: more of the command line.
        @param preexec: called in the new process, for its limits.
        @param prefix: a command that runs the gateway's, in the same process.
        @param extra: more of its environment.
        @param stdout: where its standard output goes; by default to its log.
        """
        self.directory = directory
        self._log = directory / "log"
        command = [str(TWISTD), "-n", "--pidfile=", "socksgw"]
        if configuration is not None:
            (directory / "gw.toml").write_text(withWorkers(configuration))
            command += ["--config", "gw.toml"]
        command += arguments
        usual = environment(PYTHONUNBUFFERED="1")
        env = {**usual, **(extra or {})}
        self.process: Process | subprocess.Popen[bytes]
        with self._log.open("ab") as log:
            # Before it there may be what an earlier one has printed there.
            self._start = log.tell()
            out = log if stdout is None else stdout
            if not prefix and preexec is None and not isinstance(out, int):
                files = (out.fileno(), log.fileno())
                begun = forked(command, directory, env, usual, *files)
                if begun is not None:
                    self.process = begun
                    return
            self.process = subprocess.Popen(
                [*prefix, *command],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                preexec_fn=preexec,
            )

    @property
    def log(self) -> str:
        """Everything it has printed."""
        printed = self._log.read_bytes()[self._start :]
        return printed.decode("utf-8", "replace")

    def ready(self) -> Running:
        """Wait until it serves."""
        until(lambda: self.process.poll() is not None or "is ready" in self.log, 90)
        assert self.process.poll() is None, self.log
        return self

    @property
    def ports(self) -> list[int]:
        """Its TCP ports, in the order of the configuration."""
        listens = re.search(r"listens on +(.*)", self.log)
        assert listens is not None, self.log
        return [int(port) for port in re.findall(r":(\d+)(?:,|$)", listens[1])]

    @property
    def port(self) -> int:
        """Its first TCP port."""
        return self.ports[0]

    def journal(self, event: str | None = None) -> list[dict[str, Any]]:
        """Read the lines of its journal; of one event, if it is given."""
        found: list[dict[str, Any]] = []
        for file in sorted(self._journal.glob("*.jsonl")):
            for line in file.read_bytes().split(b"\n")[:-1]:
                found.append(json.loads(line))
        return [line for line in found if event in (None, line["event"])]

    @property
    def summed(self) -> Counter[str]:
        """The reasons of refusals and denials that came too fast for own lines."""
        found: Counter[str] = Counter()
        for line in [*self.journal("refusals"), *self.journal("denials")]:
            found.update(line["reasons"])
        return found

    def stop(self, seconds: float = 30.0) -> int:
        """End it in order, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it without warning, and its workers with it."""
        workers = self.processes[1:] if self.process.poll() is None else []
        self.process.kill()
        self.process.wait(10)
        # They write that it is gone.
        until(lambda: all(map(isGone, workers)))

    def healthy(self) -> None:
        """
        Stop it and see that it was well: no traceback, ended in order, the
        journal whole, and every line of it as the catalogue says.
        """
        status = self.stop()
        log = self.log
        assert "Traceback" not in log, log
        assert "Unhandled" not in log, log
        # twistd ends by the signal that it was told to end with.
        assert status in (0, -signal.SIGTERM), log
        # As "socksgw audit verify" does, without the second that starting it takes.
        assert verify(self._journal).problems == []
        for line in self.journal():
            catalogued(line)

    @property
    def _journal(self) -> Path:
        return self.directory / "var" / "audit"

    @property
    def processes(self) -> list[int]:
        """Itself, with its workers and the one that waits to take the place of one."""
        found = [self.process.pid]
        for pid in self.children:
            with suppress(FileNotFoundError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"socksgw.workers" in words:
                    found.append(pid)
        return found

    @property
    def serving(self) -> list[int]:
        """The processes that have clients: its workers, or itself."""
        found = {
            each["worker"]: each["pid"]
            for each in self.journal("worker")
            if each["state"] == "started"
        }
        return list(found.values()) or [self.process.pid]

    @property
    def descriptors(self) -> int:
        """How many descriptors it has open, with its workers."""
        return sum(map(descriptorsOf, self.processes))

    @property
    def open(self) -> list[str]:
        """What each of its descriptors is, and its workers': C{NUMBER TARGET}."""
        found = []
        for pid in self.processes:
            with suppress(FileNotFoundError):
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    # Some are open for a moment only.
                    with suppress(FileNotFoundError):
                        found.append(f"{descriptor.name} {os.readlink(descriptor)}")
        return sorted(found)

    @property
    def sockets(self) -> int:
        """How many of its descriptors are sockets: idle pipes are kept."""
        return sum(" socket:" in each for each in self.open)

    @property
    def children(self) -> list[int]:
        """The processes that it has started."""
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(each) for each in found.split()]

    @property
    def pipes(self) -> int:
        """How many pipes it has: splice(2) goes by them, and keeps them for the next."""
        return sum("pipe:" in each for each in self.open)


def running(directory: Path, *arguments: Any, **options: Any) -> Iterator[Running]:
    """
    Start a gateway; at the end it must have been well (L{Running.healthy}).

    For C{yield from} in fixtures, and for C{contextlib.contextmanager}.
    """
    directory.mkdir(parents=True, exist_ok=True)
    gateway = Running(directory, *arguments, **options)
    try:
        yield gateway.ready()
        gateway.healthy()
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


def descriptorsOf(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(gateway: Running) -> int:
    """Octets of memory that it has, with its workers."""
    statm = [Path(f"/proc/{pid}/statm").read_text() for pid in gateway.processes]
    return sum(int(each.split()[1]) for each in statm) * os.sysconf("SC_PAGE_SIZE")


def settled(gateway: Running) -> Running:
    """Wait until the process that waits to serve is there, too, and needs no more."""
    if WORKERS > 1:
        until(lambda: len(gateway.processes) == WORKERS + 2)
        megabytes: list[int] = []

        def isStill() -> bool:
            megabytes.append(resident(gateway) >> 20)
            return len(megabytes) >= 40 and len(set(megabytes[-40:])) == 1

        until(isStill)
    return gateway


def processorTime(gateway: Running) -> float:
    """Seconds of processor time that it has had, with its workers, user and system."""
    ticks = 0
    for pid in gateway.processes:
        stat = Path(f"/proc/{pid}/stat").read_text()
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def isGone(pid: int) -> bool:
    """Return whether a process has ended, whoever is to take note of that."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
