"""
What a process dials, as the kernel sees it.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.live.names import NameServer
from tests.live.running import Running
from tests.live.servers import program
from tests.tools.waiting import until

__all__ = ["dialled", "ended", "tracing"]

_FOUR = re.compile(
    r'sa_family=AF_INET, sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)'
)
_SIX = re.compile(
    r"sa_family=AF_INET6, sin6_port=htons\((\d+)\),.*?"
    r'inet_pton\(AF_INET6, "([^"]+)"'
)


def tracing(file: Path) -> list[str]:
    """
    A command that runs another, in the same process, and writes every
    connect(2) of it to C{file}.
    """
    strace = program("strace", "strace")
    only = ["-e", "trace=connect"]
    return [strace, "-D", "-f", "--seccomp-bpf", *only, "-o", str(file)]


def dialled(file: Path, names: NameServer | None = None) -> list[tuple[str, int]]:
    """
    The address and port of every connect(2) to an Internet address.

    @param names: the name server that the gateway asks; not it.
    """
    besides = None if names is None else ("127.0.0.1", names.port)
    found = []
    for line in file.read_text().splitlines():
        if "connect(" not in line or "AF_UNIX" in line or "AF_UNSPEC" in line:
            continue
        match = _FOUR.search(line) or _SIX.search(line)
        # What is written in another way must not pass unseen.
        assert match is not None, line
        if (place := (match[2], int(match[1]))) != besides:
            found.append(place)
    return found


def ended(gateway: Running, file: Path) -> None:
    """Stop the gateway, and wait until its trace is whole."""
    pid = gateway.process.pid
    gateway.stop()
    last = re.compile(rf"^{pid} +\+\+\+ (exited|killed)", re.M)
    until(lambda: last.search(file.read_text()))
