"""
Which addresses lead to this host, where netlink is denied or stops answering.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, eventAsText

from socksgw.gateway.host import HostAddresses
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.system import sockets
from socksgw.system.once import Once
from socksgw.wire.address import Address
from tests.live import raw
from tests.live.running import HEAD, Running, running


def deny() -> None:
    """
    Let this process have no netlink socket (seccomp(2)), as systemd's
    C{RestrictAddressFamilies=} does.
    """
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]

    def step(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    # Load the call's number, then its first argument, and compare.
    filters = b"".join(
        (
            step(0x20, 0, 0, 0),
            step(0x15, 0, 3, number),
            step(0x20, 0, 0, 16),
            step(0x15, 0, 1, socket.AF_NETLINK),
            step(0x06, 0, 0, 0x00050000 | errno.EAFNOSUPPORT),
            step(0x06, 0, 0, 0x7FFF0000),
        )
    )
    held = ctypes.create_string_buffer(filters)
    count = len(filters) // 8
    asked = ctypes.create_string_buffer(
        struct.pack("@HxxxxxxP", count, ctypes.addressof(held))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with a filter.
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, asked, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


@pytest.fixture
def sandboxed(tmp_path: Path) -> Iterator[Running]:
    """A gateway that has no netlink."""
    text = HEAD.partition("[never]")[0] + '[never]\nto = ["self"]\n'
    text += '[[rule]]\nid = "all"\nallow = "any"\n'
    yield from running(tmp_path, text, preexec=deny)


def test_aSandboxThatDeniesNetlink(sandboxed: Running) -> None:
    """The gateway serves, says so in one line, and bans this host as ever."""
    said = [line for line in sandboxed.log.splitlines() if "netlink" in line]
    assert len(said) == 1
    assert "Address family not supported" in said[0]
    own = "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Without a network there is no other.
        if probe.connect_ex(("8.8.8.8", 9)) == 0:
            own = probe.getsockname()[0]
    with raw.dial(sandboxed.port) as client:
        client.sendall(raw.GREETING + raw.request5(own, sandboxed.port))
        assert raw.exactly(client, 4) == b"\x05\0\x05\x02"
    assert sandboxed.journal("decision")[-1]["why"] == "self"


class Failing:
    """Asks the kernel until it answers no more."""

    def __init__(self) -> None:
        self.changes = 3
        self.closed = False

    def leadsHere(self, address: Address) -> bool:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def look(self) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def close(self) -> None:
        self.closed = True


def test_netlinkThatStopsAnswering(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, said once, and everything is judged again."""
    monkeypatch.setattr(sockets, "_told", Once())
    routes = Failing()
    hosts = HostAddresses(list, lambda: routes)
    with capturedLogs() as logs:
        assert not hosts.isSelf(Address.parse("8.8.8.8"))
        assert hosts.changes > routes.changes
        assert hosts.isSelf(Address.parse("127.0.0.1"))
    assert len(logs) == 1
    assert "(Operation not permitted)" in (eventAsText(logs[0]) or "")
    assert routes.closed


def test_noSocketToProbeWith(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever cannot be found out to be elsewhere is here."""
    routes = ProbedRoutes(tmp_path)
    assert not routes.leadsHere(Address.parse("8.8.8.8"))

    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", exhausted)
    assert routes.leadsHere(Address.parse("8.8.8.8"))
