"""
The broker: what it hands out, to whom, and how it ends.
"""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.system.broker import GREETING, KINDS, MOST, identityOf
from tests.system.brokers import Threaded
from tests.tools.sockets import descriptors
from tests.tools.waiting import until


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Threaded]:
    made = Threaded(tmp_path / "b.sock")
    yield made
    made.end()


def answer(gateway: socket.socket) -> tuple[bytes, list[int]]:
    """Return a message, and the descriptors with it."""
    octets, control, _, _ = gateway.recvmsg(100, socket.CMSG_SPACE(4 * MOST))
    fds = array("i")
    for _, _, rights in control:
        fds.frombytes(rights)
    return octets, list(fds)


def test_itsSockets(serving: Threaded) -> None:
    """Each kind that may be asked for, as many as are asked for, and none is kept."""
    with serving.dialled() as gateway:
        octets, _ = answer(gateway)
        identity = identityOf(Path("/proc/self/ns/net"))
        assert GREETING.unpack(octets) == (b"socksgwN", 1, identity)
        before = descriptors()
        for number, (family, kind, _) in KINDS.items():
            gateway.send(bytes((number, 3)))
            octets, fds = answer(gateway)
            assert octets == bytes((number, 3, 0))
            made = [socket.socket(fileno=fd) for fd in fds]
            assert [(s.family, s.type) for s in made] == [(family, kind)] * 3
            for each in made:
                each.close()
        until(lambda: descriptors() <= before)


@pytest.mark.parametrize(
    "asked", [b"\0\1", b"\6\1", b"\1\0", bytes((1, MOST + 1)), b"\1", b"\1\1\1"]
)
def test_whatMayNotBeAskedFor(serving: Threaded, asked: bytes) -> None:
    """Other kinds, none, more than a bound, what is no request: it hangs up."""
    with serving.dialled() as gateway:
        answer(gateway)
        gateway.send(asked)
        assert gateway.recv(100) == b""
    with serving.dialled() as other:
        assert answer(other)[0]


def test_whoMayNotAsk(serving: Threaded) -> None:
    """Another user, also one who may open the Unix socket: nothing is said."""
    serving.broker._allowed = {os.getuid() + 1}
    with serving.dialled() as gateway:
        assert gateway.recv(100) == b""


def test_howManyMayAsk(serving: Threaded) -> None:
    """Eight at a time; a place is free when one has gone."""
    gateways, said = [], []
    for _ in range(9):
        gateways.append(serving.dialled())
        said.append(gateways[-1].recv(100))
    assert [bool(each) for each in said] == [True] * 8 + [False]
    gateways[0].close()
    gateways[8].close()

    def again() -> bool:
        with serving.dialled() as gateway:
            return bool(gateway.recv(100))

    assert any(again() for _ in range(100))
    for each in gateways:
        each.close()


def test_noSocket(serving: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error number comes in place of them."""
    real = socket.socket

    def none(family: int = -1, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "none")
        return real(family, *rest)

    with serving.dialled() as gateway:
        answer(gateway)
        monkeypatch.setattr("socksgw.system.broker.socket.socket", none)
        gateway.send(b"\2\4")
        assert answer(gateway) == (bytes((2, 4, errno.EAFNOSUPPORT)), [])
