"""
Network namespaces with cables between them, for tests that run in a mount and a network
namespace of their own (C{unshare -mn}).
"""

from __future__ import annotations

import ctypes
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

NETNS = Path("/run/netns")
#: Where the interpreter is, whatever links lead there.
REAL = Path(sys.executable).resolve().parents[1]
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


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


def alone(module: str, *arguments: str) -> str:
    """
    Run a module of the tests in namespaces of its own, and return what it prints.

    C{/run/netns} is empty there.
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
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return done.stdout


def ip(*lines: str, netns: str = "") -> None:
    """Run C{ip} with each line, in a namespace if one is named."""
    inside = ["-n", netns] if netns else []
    for line in lines:
        subprocess.run(["ip", *inside, *line.split()], check=True)


def cable(
    near: tuple[str, str], far: tuple[str, str], *addresses: tuple[str, str]
) -> None:
    """
    Lay a cable.

    @param near: a namespace (empty for this one), and the name of the interface there.
    @param addresses: with their prefixes, at each end.
    """
    ip(f"link add {near[1]} type veth peer name {far[1]}")
    for i, (netns, device) in enumerate((near, far)):
        if netns:
            ip(f"link set {device} netns {netns}")
        ip(*(f"addr add {pair[i]} dev {device} {_nodad(pair[i])}" for pair in addresses),
           f"link set {device} up", netns=netns)  # fmt: skip


def _nodad(address: str) -> str:
    return "nodad" if ":" in address else ""


@contextmanager
def within(netns: str) -> Iterator[None]:
    """Be in a namespace, this thread alone; sockets that are made stay there."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(NETNS / netns, os.O_RDONLY)
    try:
        assert _libc.setns(there, _CLONE_NEWNET) == 0
        yield
    finally:
        assert _libc.setns(own, _CLONE_NEWNET) == 0
        os.close(own)
        os.close(there)


def served(listening: Any, text: bytes) -> None:
    """Answer each connection with a text and what it sends, in a thread."""

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
    """Answer each datagram, in a thread."""

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
