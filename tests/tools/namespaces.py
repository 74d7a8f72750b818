"""
Network namespaces and cables between them, by C{ip} (ip-netns(8)).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NETNS", "cable", "ip", "ipAtOnce", "within"]

NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*lines: str, netns: str = "") -> None:
    """Run C{ip} with each line, in a namespace if one is named."""
    inside = ["-n", netns] if netns else []
    for line in lines:
        subprocess.run(["ip", *inside, *line.split()], check=True)


def ipAtOnce(*lines: str, netns: str = "") -> None:
    """As L{ip}, in one process; no line has an option in front."""
    told = "\n".join(lines)
    command = ["ip", *(["-n", netns] if netns else []), "-batch", "-"]
    subprocess.run(command, input=told, text=True, check=True)


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
