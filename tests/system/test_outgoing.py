"""
Sockets that leave by a chosen address, device or mark.

What the destination sees of that, the tests in network namespaces show
(tests/interop/test_outgoing.py).
"""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from socksgw.errors import ConnectFailed
from socksgw.system.domains import HERE, Device
from socksgw.system.outgoing import Marked, Near, Outgoing
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
INET, INET6 = socket.AF_INET, socket.AF_INET6
#: Two addresses of every host.
FOUR, SIX = Address.parse("127.0.0.9"), Address.parse("::1")
#: An address of none (RFC 5737).
FOREIGN = Address.parse("192.0.2.7")


@pytest.mark.parametrize("sockets", [HERE, Device("lo"), Marked(HERE, "lo")])
@pytest.mark.parametrize(("family", "near"), [(INET, FOUR), (INET6, SIX)])
def test_streams(sockets: Marked, family: int, near: Address) -> None:
    """A stream is bound to the address, and has no port until it connects."""
    with Outgoing(sockets, Near(FOUR, SIX)).open(family, STREAM) as opened:
        assert opened.gettimeout() == 0
        assert opened.getsockname()[:2] == (near.text, 0)
        with socket.create_server((near.text, 0), family=family) as server:
            opened.setblocking(True)
            opened.connect(server.getsockname())
            peer, name = server.accept()
            with closing(peer):
                assert name == opened.getsockname()
                assert name[0] == near.text
                assert name[1]


@pytest.mark.parametrize(("family", "near"), [(INET, FOUR), (INET6, SIX)])
def test_datagrams(family: int, near: Address) -> None:
    """They have a port from the beginning: on no port nobody could answer."""
    with Outgoing(HERE, Near(FOUR, SIX)).open(family, DATAGRAM) as opened:
        host, port, *_ = opened.getsockname()
        assert host == near.text
        assert port
        if family == INET6:
            assert opened.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_noAddressOfTheFamily(kind: int) -> None:
    """It does not leave, unless any address of that family will do."""
    only = Outgoing(HERE, Near(FOUR, None))
    with pytest.raises(ConnectFailed, match="no IPv6 address; add one") as raised:
        only.open(INET6, kind)
    assert (raised.value.reason, raised.value.reply) == (
        "leave-by",
        Reply.NETWORK_UNREACHABLE,
    )
    with Outgoing(HERE, Near(FOUR, None, any=True)).open(INET6, kind) as opened:
        host, port, *_ = opened.getsockname()
        assert host == "::"
        assert bool(port) is (kind == DATAGRAM)


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
def test_foreignAddress(kind: int) -> None:
    """The failure has its own reason; whoever asked to know is told each time."""
    told: list[tuple[Address, bool]] = []
    sockets = Outgoing(HERE, Near(FOREIGN, SIX), lambda *found: told.append(found))
    with pytest.raises(ConnectFailed, match=r"192\.0\.2\.7 is no address") as raised:
        sockets.open(INET, kind)
    assert (raised.value.reason, raised.value.reply) == (
        "leave-by",
        Reply.GENERAL_FAILURE,
    )
    sockets.open(INET6, kind).close()
    assert told == [(FOREIGN, False), (SIX, True)]


def test_serves() -> None:
    """Which versions of IP may leave."""
    assert [Near(FOUR, None).serves(each) for each in (4, 6)] == [True, False]
    assert [Near(None, SIX).serves(each) for each in (4, 6)] == [False, True]
    assert Near(FOUR, None, any=True).serves(6)


def test_unbound() -> None:
    """What binds a socket itself, such as a listener, gets one that is not bound."""
    sockets = Marked(HERE, "lo")
    assert (sockets.bound, Outgoing(sockets, Near(FOUR, SIX)).bound) == (False, True)
    with sockets.open(INET, STREAM) as opened:
        assert opened.getsockname() == ("0.0.0.0", 0)
        device = opened.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert device == b"lo\0"


def test_noSuchDevice() -> None:
    """As of a listener's device: that network is not there."""
    with pytest.raises(ConnectFailed, match='device "none": there is no') as raised:
        Marked(HERE, "none").open(INET, STREAM)
    assert raised.value.reason == "network-lost"


def test_mark() -> None:
    """Whoever may not set marks is told which capability is missing."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
    except PermissionError:
        with pytest.raises(ConnectFailed, match="CAP_NET_ADMIN") as raised:
            Marked(HERE, mark=7).open(INET, STREAM)
        assert raised.value.reason == "leave-by"
    else:
        for mark in (7, 0xFFFFFFFF, 0):
            with Marked(HERE, mark=mark).open(INET6, DATAGRAM) as opened:
                found = opened.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
                assert found & 0xFFFFFFFF == mark


def test_closed() -> None:
    """A socket that cannot be bound is closed at once, and the number is free."""
    with socket.socket() as probe:
        number = probe.fileno()
    with pytest.raises(ConnectFailed):
        Outgoing(HERE, Near(FOREIGN, None)).open(INET, STREAM)
    with pytest.raises(ConnectFailed):
        Marked(HERE, "none").open(INET, STREAM)
    with socket.socket() as probe:
        assert probe.fileno() == number
