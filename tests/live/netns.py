"""
Network namespaces with cables between them, for tests that run in a mount and a network
namespace of their own (C{unshare -mn}).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.live.running import ROOT, environment
from tests.live.servers import missing, program
from tests.tools.namespaces import NETNS, cable, ip, within

__all__ = [
    "NETNS",
    "alone",
    "cable",
    "ip",
    "passable",
    "served",
    "servedUDP",
    "spawned",
    "within",
]

#: Where the interpreter is, whatever links lead there.
REAL = Path(sys.executable).resolve().parents[1]


def _passable() -> list[str]:
    """
    Return commands after which every user reaches this project and the interpreter.

    Folders above them may be closed to others (C{/root}): what is needed stands in an
    empty file system there then, in this mount namespace alone.
    """
    below: dict[Path, list[Path]] = {}
    for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), REAL):
        above = [each for each in reversed(path.parents) if not each.stat().st_mode & 1]
        inside = below.setdefault(above[0], []) if above else []
        if not any(path.is_relative_to(each) for each in inside):
            inside.append(path)
    steps = ["mount -t tmpfs tmpfs /mnt"]
    for closed, paths in below.items():
        kept = [f"/mnt/{str(path).replace('/', '_')}" for path in paths]
        for path, place in zip(paths, kept, strict=True):
            steps += [f"mkdir '{place}'", f"mount --bind '{path}' '{place}'"]
        steps.append(f"mount -t tmpfs -o mode=755 tmpfs '{closed}'")
        for path, place in zip(paths, kept, strict=True):
            steps += [f"mkdir -p '{path}'", f"mount --bind '{place}' '{path}'"]
    return [*steps, f"cd '{ROOT}'"]


def passable(*command: str) -> list[str]:
    """
    Return a command that runs C{command} where every user reaches what it needs.

    It runs in a mount namespace of its own.
    """
    setup = " && ".join(["mount --make-rprivate /", *_passable(), 'exec "$@"'])
    return [program("unshare", "util-linux"), "-m", "sh", "-c", setup, "sh", *command]


def alone(module: str, *arguments: str, seconds: int = 240) -> str:
    """
    Run a module of the tests in namespaces of its own, and return what it prints.

    C{/run/netns} is empty there.

    @param seconds: that it may take.
    """
    unshare = program("unshare", "util-linux")
    program("ip", "iproute2")
    if (
        os.geteuid() != 0
        or subprocess.run([unshare, "-mn", "true"], check=False).returncode
    ):
        missing("root, to make network namespaces")
    steps = ["mount --make-rprivate /", "mkdir -p /run/netns"]
    steps += ["mount -t tmpfs tmpfs /run/netns", "ip link set lo up", *_passable()]
    setup = " && ".join([*steps, 'exec "$@"'])
    command = [unshare, "-mn", "sh", "-c", setup, "sh", sys.executable, "-m", module]
    done = subprocess.run(
        [*command, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return done.stdout


# Threads of a process that only serves: their sockets stay open until the process ends.
# A test uses L{tests.live.servers.Destination}, which ends its threads.


def served(listening: Any, text: bytes) -> None:
    """Answer each connection with a text and what it sends, until the process ends."""

    def serve(connection: Any) -> None:
        with connection, suppress(OSError):
            connection.sendall(text)
            while octets := connection.recv(1000):
                connection.sendall(octets)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def servedUDP(bound: Any, answer: Callable[[bytes], bytes]) -> None:
    """Answer each datagram, until the process ends."""

    def serve() -> None:
        while True:
            octets, peer = bound.recvfrom(2000)
            bound.sendto(answer(octets), peer)

    threading.Thread(target=serve, daemon=True).start()


@contextmanager
def spawned(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process; at the end it is terminated."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment(), stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(10)
