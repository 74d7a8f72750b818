"""
Processes of twistd that begin where an interpreter has imported everything.

Most of what the start of a gateway takes is the interpreter's, and imports; the tests
start some hundred. So one process imports, and the others are its forks, which run what
C{twistd} runs. Whoever needs another environment than ours (rights, limits, a
namespace, another C{PYTHONPATH}) starts the program itself, and so do all tests that do
not go by C{tests.live.running}.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["Process", "forked"]

#: prctl(2).
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37
#: What says what a process may do, of proc_pid_status(5).
_RIGHTS: Final = (
    "CapAmb", "CapBnd", "CapEff", "CapInh", "CapPrm", "Gid", "Groups", "NoNewPrivs",
    "Seccomp", "SigBlk", "SigIgn", "Uid", "Umask",
)  # fmt: skip
_NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
#: Beginnings of variables that an interpreter heeds as it starts.
_HEEDED: Final = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_", "OPENSSL_")
_MOST: Final = 1 << 20


class Process:
    """A child that this process did not start by itself; as C{subprocess.Popen}."""

    def __init__(self, pid: int, args: Sequence[str]) -> None:
        self.pid = pid
        self.args = args
        self.returncode: Any = None

    def poll(self) -> Any:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.0005
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return int(self.returncode)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def send_signal(self, number: int) -> None:
        # A process that has ended keeps its number until it was waited for.
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _rights() -> list[Any]:
    """Return what a child would inherit of this thread, beside its environment."""
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    limits = [
        resource.getrlimit(getattr(resource, name))
        for name in dir(resource)
        if name.startswith("RLIMIT_")
    ]
    spaces = [os.readlink(f"/proc/thread-self/ns/{name}") for name in _NAMESPACES]
    return [*(status[name] for name in _RIGHTS), *limits, *spaces]


def _heeded(environment: Mapping[str, str]) -> dict[str, str]:
    return {n: value for n, value in environment.items() if n.startswith(_HEEDED)}


class _Nursery:
    """The process that forks, as seen by the one that asks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.owner = os.getpid()
        self.rights = _rights()
        self.heeded = _heeded(environment)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Only its forks are measured.
        unmeasured = dict(environment)
        unmeasured.pop("COVERAGE_PROCESS_CONFIG", None)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.live.nursery", str(theirs.fileno())],
                env=unmeasured,
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._libc = ctypes.CDLL(None)

    def fork(self, order: Mapping[str, Any], out: int, errors: int) -> int:
        """Return the process of a fork, which is our child."""
        before = ctypes.c_int()
        self._libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
        # What its parent leaves behind is ours.
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        try:
            octets = json.dumps(order).encode()
            socket.send_fds(self._channel, [octets], [out, errors])
            pid = int(self._channel.recv(64))
        finally:
            self._libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value)
        return pid

    def close(self) -> None:
        self._channel.close()
        self._process.wait(30)


_nursery: _Nursery | None = None


def forked(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    usual: Mapping[str, str],
    out: int,
    errors: int,
) -> Process | None:
    """
    Run C{twistd} in a fork; with standard input from nowhere.

    @param command: the program, and its arguments.
    @param usual: the environment in which everything is imported.
    @return: L{None} where the program has to be started by itself.
    """
    global _nursery
    if _nursery is not None and _nursery.owner != os.getpid():
        return None
    if _nursery is None:
        _nursery = _Nursery(usual)
    if _nursery.heeded != _heeded(environment) or _nursery.rights != _rights():
        return None
    order = {"args": list(command), "cwd": str(cwd), "environment": dict(environment)}
    return Process(_nursery.fork(order, out, errors), command)


def closed() -> None:
    """Have no nursery any more."""
    global _nursery
    if _nursery is not None and _nursery.owner == os.getpid():
        _nursery.close()
    _nursery = None


# The process that forks.


def _serve(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork when told to; return in the forks only, with their order."""
    while True:
        octets, fds, _, _ = socket.recv_fds(channel, _MOST, 2)
        if not octets:
            os._exit(0)
        told, tells = os.pipe()
        between = os.fork()
        if not between:
            os.close(told)
            pid = os.fork()
            if pid:
                os.write(tells, str(pid).encode())
                os._exit(0)
            os.close(tells)
            channel.close()
            return json.loads(octets), fds
        os.close(tells)
        pid_ = os.read(told, 64)
        os.close(told)
        # It has gone: the fork is another process's child when that is told.
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)
        channel.send(pid_)


def main() -> None:
    """Import everything; then fork."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    import coverage
    from twisted.scripts.twistd import run

    import socksgw.gateway.gateway
    import socksgw.tap
    import socksgw.workers.workforce

    del socksgw
    # Each process has a reactor of its own.
    assert "twisted.internet.reactor" not in sys.modules
    gc.collect()
    order, fds = _serve(channel)
    for to, fd in enumerate(fds, 1):
        os.dup2(fd, to)
        os.close(fd)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = order["args"]
    sys.orig_argv[1:] = order["args"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        coverage.process_startup()
    sys.exit(run())


if __name__ == "__main__":
    main()
