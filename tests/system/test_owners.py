"""
Whose socket the other end of a loopback connection is, by the real kernel.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from twisted.logger import capturedLogs

from socksgw.system import owners, sockets
from socksgw.system.once import Once
from socksgw.system.owners import programBehind, senderOf, userOf
from socksgw.system.program import Program
from socksgw.wire.address import Address

ME = Program(os.geteuid())
#: SO_LINGER without a time: close(2) resets.
RESET = struct.pack("ii", 1, 0)
#: A port that the kernel gives to no other program meanwhile.
PORT = 20_000 + os.getpid() % 10_000


class Pair:
    """
    A connection within this host.

    @ivar client: the other end.
    @ivar ours: the end that asks.
    """

    def __init__(self, listener: socket.socket, client: socket.socket) -> None:
        where = listener.getsockname()
        if client.family != listener.family:
            where = (f"::ffff:{where[0]}", where[1])
        client.connect(where)
        self.client = client
        self.ours, _ = listener.accept()

    def close(self) -> None:
        self.client.close()
        self.ours.close()


@pytest.fixture(params=["127.0.0.1", "127.9.8.7", "::1", "mapped"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One of each family, and one that is of both."""
    host = "127.0.0.1" if request.param == "mapped" else request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.create_server((host, 0), family=family) as listener:
        own = socket.AF_INET6 if request.param == "mapped" else family
        with closing(Pair(listener, socket.socket(own))) as made:
            yield made
        return
    pytest.skip("this machine has no ::1")


def test_ours(pair: Pair) -> None:
    """The user who has made the socket; no group, and no process."""
    assert programBehind(pair.ours) == ME
    assert programBehind(pair.client) == ME


def test_anEndThatIsHalfClosed(pair: Pair) -> None:
    """It is still somebody's, whichever side has ended."""
    pair.client.shutdown(socket.SHUT_WR)
    assert programBehind(pair.ours) == ME
    pair.ours.shutdown(socket.SHUT_WR)
    assert programBehind(pair.ours) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
def test_another(pair: Pair) -> None:
    """Another user's, and one of another user namespace."""
    os.fchown(pair.client.fileno(), 4321, -1)
    assert programBehind(pair.ours) == Program(4321)


def test_anEndThatIsClosed(pair: Pair) -> None:
    """
    It is nobody's: it has no inode any more, and kernels that look there for the
    user say 0. A program must not become root by closing its socket.
    """
    if os.geteuid() == 0:
        os.fchown(pair.client.fileno(), 4321, -1)
    here, there = pair.ours.getsockname(), pair.ours.getpeername()
    pair.client.sendall(b"\5\1\0")
    pair.client.close()
    octets = owners._ask(pair.ours.family, there, here)
    *_, inode = owners._OWNER.unpack_from(octets, 52)
    assert inode == 0
    assert programBehind(pair.ours) is None


def test_anEndThatIsReset(pair: Pair) -> None:
    """Nothing is known of a connection that is gone."""
    pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    pair.client.close()
    assert programBehind(pair.ours) is None


def test_aListenerInItsPlace() -> None:
    """
    Where a client has gone and something listens on the port that it had, the kernel
    finds that listener, which has not asked for anything.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.bind(("127.0.0.1", PORT))
        made = Pair(listener, client)
        name, here = client.getsockname(), made.ours.getsockname()
        client.close()
        with closing(made), socket.create_server(name):
            found = owners._ask(socket.AF_INET, name, here)
            # TCP_LISTEN.
            assert found[1] == 10
            assert owners._ownerIn(found, name, here) is None
            assert programBehind(made.ours) is None


def test_anotherClientInItsPlace() -> None:
    """
    A connection that was reset, and another one between the same ends: the new
    client's user is not the old one's.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = socket.socket()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        first.bind(("127.0.0.1", PORT))
        before = Pair(listener, first)
        name, here = first.getsockname(), before.ours.getsockname()
        first.sendall(b"\5\1\0")
        first.close()
        second = socket.socket()
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.bind(name)
        with closing(before), closing(Pair(listener, second)) as after:
            # What the kernel knows of these ends is the second one.
            octets = owners._ask(socket.AF_INET, name, here)
            assert owners._ownerIn(octets, name, here) == os.geteuid()
            assert programBehind(after.ours) == ME
            assert programBehind(before.ours) is None


def test_whereTheKernelRefuses(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox without netlink: it is told once, and nobody has a user."""
    monkeypatch.setattr(sockets, "_told", Once())

    def refused(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(owners, "_ask", refused)
    with capturedLogs() as events:
        assert programBehind(pair.ours) is None
        assert programBehind(pair.ours) is None
    assert [event["what"] for event in events] == ["sock_diag(7)"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_anySocketOfThisHost(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the ends that it has itself; none that listens or is gone counts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = Address.parse(host)
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
    ):
        theirs, ours = ((address, each.getsockname()[1]) for each in (client, listener))
        assert userOf(theirs, ours) == os.geteuid()
        assert userOf(ours, (address, 1)) is None
        assert userOf((address, 1), ours) is None
        monkeypatch.setattr(sockets, "_told", Once())

        def refused(*_: object) -> bytes:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(owners, "_ask", refused)
        with capturedLogs() as events:
            assert userOf(theirs, ours) is None
        assert "loop" in events[0]["instead"]


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::1", "::", "mapped"])
@pytest.mark.parametrize("connected", [False, True])
def test_sendersOfDatagrams(bound: str, connected: bool) -> None:
    """By the port that datagrams come from, whatever the socket is bound to."""
    near = "::1" if bound in ("::1", "::") else "127.0.0.1"
    family = socket.AF_INET6 if near == "::1" else socket.AF_INET
    own = socket.AF_INET6 if bound == "mapped" else family
    with (
        socket.socket(family, socket.SOCK_DGRAM) as ours,
        socket.socket(own, socket.SOCK_DGRAM) as theirs,
    ):
        ours.bind((near, 0))
        theirs.bind(("::" if bound == "mapped" else bound, 0))
        place = ours.getsockname()[:2]
        if bound == "mapped":
            place = (f"::ffff:{place[0]}", place[1])
        if connected:
            theirs.connect(place)
            theirs.send(b"x")
        else:
            theirs.sendto(b"x", place)
        sender = ours.recvfrom(1)[1][:2]
        assert senderOf(sender, ours) == os.geteuid()
        if os.geteuid() == 0:
            os.fchown(theirs.fileno(), 4321, -1)
            assert senderOf(sender, ours) == 4321
        theirs.close()
        with capturedLogs() as events:
            assert senderOf(sender, ours) is None
        assert events == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOENT])
def test_aSenderWhereTheKernelRefuses(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Nobody has sent it, and it is told once; without its module it finds nothing."""
    monkeypatch.setattr(sockets, "_told", Once())

    def refused(*_: object) -> bytes:
        raise OSError(code, "no")

    monkeypatch.setattr(owners, "_ask", refused)
    with socket.socket(type=socket.SOCK_DGRAM) as ours, capturedLogs() as events:
        ours.bind(("127.0.0.1", 0))
        assert senderOf(("127.0.0.1", 9), ours) is None
        assert senderOf(("127.0.0.1", 9), ours) is None
    assert len(events) == 1


@pytest.mark.parametrize("octets", [b"", bytes(4), bytes(71), bytes(72)])
def test_answersThatAreNone(octets: bytes) -> None:
    """Too short, or about something else."""
    ends = ("127.0.0.1", 1), ("127.0.0.1", 2)
    assert owners._ownerIn(octets, *ends) is None
