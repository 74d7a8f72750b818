"""
The broker: what it hands out, to whom, and how it ends.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.system import broker
from socksgw.system.broker import GREETING, KINDS, MOST, brokerMain, identityOf
from tests.live.netns import alone
from tests.live.running import environment
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
        gc.collect()
        before = descriptors()
        for number, (family, kind, _) in KINDS.items():
            gateway.send(bytes((number, 3)))
            octets, fds = answer(gateway)
            assert octets == bytes((number, 3, 0))
            made = [socket.socket(fileno=fd) for fd in fds]
            assert [(s.family, s.type) for s in made] == [(family, kind)] * 3
            for each in made:
                each.close()
        until(lambda: descriptors() == before)


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


def run(*arguments: str, user: str = "") -> tuple[int, str]:
    """Run the command, and return its status and errors."""
    as_ = ["setpriv", f"--reuid={user}", "--clear-groups", "--"] if user else []
    command = [sys.executable, "-m", "socksgw.console.command", "netns-broker"]
    done = subprocess.run(
        [*as_, *command, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_noSuchNamespace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error with a remedy."""
    me = "root" if os.getuid() == 0 else None
    assert brokerMain("no-such-netns", tmp_path / "s", me) == 2
    assert "ip netns add no-such-netns makes one" in capsys.readouterr().err


def test_rootHasToSayWho(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who the gateway is; and the user has to be there."""
    if os.getuid() == 0:
        assert brokerMain("x", tmp_path / "s", None) == 2
        assert "--user socksgw" in capsys.readouterr().err
    assert brokerMain("x", tmp_path / "s", "no-such-user") == 2
    assert 'there is no user "no-such-user"' in capsys.readouterr().err


def test_itsPlace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left of a broker is removed; what serves, or is another thing, is not."""
    monkeypatch.setattr(broker, "NAMESPACES", Path("/proc/self/ns"))
    monkeypatch.setattr(broker.Broker, "serve", lambda self: self._listening.close())
    me = "root" if os.getuid() == 0 else None
    for _ in range(2):
        assert brokerMain("net", tmp_path / "dir" / "s", me) == 1
        assert (tmp_path / "dir" / "s").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").write_text("")
    assert brokerMain("net", tmp_path / "file", me) == 2
    assert "is not a socket" in capsys.readouterr().err
    monkeypatch.undo()
    other = Threaded(tmp_path / "other")
    monkeypatch.setattr(broker, "NAMESPACES", Path("/proc/self/ns"))
    assert brokerMain("net", tmp_path / "other", me) == 2
    assert "another broker serves" in capsys.readouterr().err
    other.end()


def test_withoutPrivilege() -> None:
    """Somebody who may not enter is told what is needed, and how to do without."""
    assert alone("tests.system.test_broker") == ""


if __name__ == "__main__":
    subprocess.run(["ip", "netns", "add", "red"], check=True)
    code, said = run("red", "--socket", "/tmp/never.sock", user="nobody")
    assert code == 2, said
    for words in ("CAP_SYS_ADMIN", "--user", "NetworkNamespacePath=/run/netns/red"):
        assert words in said, said
