"""
Chains and places, with real sockets on loopback.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from socksgw.client.logins.password import PasswordLogin
from socksgw.client.socks import Socks5Proxy
from socksgw.errors import (
    LimitReached,
    UpstreamFailed,
    UpstreamRefused,
    UserRefused,
)
from socksgw.route.ways import Ways
from socksgw.wire.address import Address
from tests.fakes.connections import Recorder
from tests.route.upstreams.scripted import (
    ALICE,
    BOUND,
    FAR,
    GRANTED,
    LOOP,
    Network,
)

OTHER = Address.parse("198.51.100.10")
REFUSED = b"\x05\x05" + GRANTED[2:]
UNREACHED = b"\x05\x04" + GRANTED[2:]


def anywhere(_: Address) -> None:
    """Admit every address, for the usual time."""


def closedPort() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_threeInARow(network: Network) -> None:
    """Each is asked for the next one, and the last for the destination."""
    server = network.scripted(GRANTED, GRANTED, GRANTED, then=lambda c: c.sendall(b"x"))
    ways: Ways = network.ways(
        [network.hop("a", "127.0.0.1", server.port)],
        [network.hop("b", "192.0.2.2", 1082)],
        [network.hop("c", "2001:db8::3", 1083)],
    )
    outlet = network.result(ways.connect((FAR,), 443, anywhere, ALICE))
    assert server.asked == [("192.0.2.2", 1082), ("2001:db8::3", 1083), (FAR.text, 443)]
    assert (outlet.address, outlet.port, outlet.bound) == (FAR, 443, BOUND)
    assert outlet.path == "a, b, c"
    receiver = Recorder()
    outlet.take(receiver)
    network.until(lambda: outlet.surplus() or receiver.octets)
    outlet.loseConnection()


@pytest.mark.parametrize("there", [True, False])
def test_nextName(network: Network, there: bool) -> None:
    """Each says who looks up the next one's name."""
    server = network.scripted(GRANTED, GRANTED)
    network.names.addresses["b.example"] = ["192.0.2.2"]
    ways = network.ways(
        [network.hop("a", "127.0.0.1", server.port, there)],
        [network.hop("b", "b.example", 1082, True)],
    )
    network.result(ways.reach("www.example", 443, None, ALICE)).loseConnection()
    second = "b.example" if there else "192.0.2.2"
    assert server.asked == [(second, 1082), ("www.example", 443)]
    assert network.names.asked == ([] if there else ["b.example"])


def test_nextNameHasSeveralAddresses(network: Network) -> None:
    """One after the other is tried."""
    server = network.scripted(UNREACHED)
    network.names.addresses["b.example"] = ["192.0.2.2", "192.0.2.3"]
    ways = network.ways(
        [network.hop("a", "127.0.0.1", server.port)],
        [network.hop("b", "b.example", 1082)],
    )
    with pytest.raises(UpstreamFailed) as caught:
        network.result(ways.connect((FAR,), 443, anywhere, ALICE))
    assert [host for host, _ in server.asked] == ["192.0.2.2", "192.0.2.3"]
    # What the first says of the second is no word about the destination.
    assert (caught.value.upstream, caught.value.reply) == ("b", 1)


def test_addressesInTurn(network: Network) -> None:
    """Where one is not reached, the next is tried; a refusal says more."""
    server = network.scripted(UNREACHED)
    ways = network.ways([network.hop("a", "127.0.0.1", server.port)])
    admitted: list[Address] = []

    def admit(address: Address) -> float:
        admitted.append(address)
        if address == LOOP:
            raise LimitReached("one too many")
        return 5.0

    with pytest.raises(UpstreamRefused, match="unreachable"):
        network.result(ways.connect((FAR, OTHER), 443, admit, ALICE))
    assert admitted == [FAR, OTHER]
    assert [host for host, _ in server.asked] == [FAR.text, OTHER.text]
    with pytest.raises(LimitReached):
        network.result(ways.connect((FAR, LOOP), 443, admit, ALICE))


def test_fewAddresses(network: Network) -> None:
    """Whoever owns a name does not make every upstream connect that often."""
    server = network.scripted(*[REFUSED] * 6)
    ways = network.ways([network.hop("a", "127.0.0.1", server.port)])
    many = [Address.parse(f"198.51.100.{number}") for number in range(1, 7)]
    with pytest.raises(UpstreamRefused):
        network.result(ways.connect(many, 443, anywhere, ALICE))
    assert [host for host, _ in server.asked] == [each.text for each in many[:4]]


def test_noOtherAddressWithoutUpstream(network: Network) -> None:
    """It is of no use to ask for another one."""
    ways = network.ways([network.hop("a", "127.0.0.1", closedPort())])
    admitted: list[Address] = []
    with pytest.raises(UpstreamFailed):
        network.result(ways.connect((FAR, OTHER), 443, admitted.append, ALICE))
    assert admitted == [FAR]


def test_noOtherAddressForThePassword(network: Network) -> None:
    """What is said of a user's own password holds for every address."""

    def passing(user: bytes, password: bytes) -> Socks5Proxy:
        return Socks5Proxy(PasswordLogin(user, password))

    hop = network.hop("a", "127.0.0.1", closedPort(), passing=passing)
    ways = network.ways([hop])
    admitted: list[Address] = []
    with pytest.raises(UserRefused, match="no password"):
        network.result(ways.connect((FAR, OTHER), 443, admitted.append, ALICE))
    assert admitted == [FAR]


def test_noOtherUpstreamForThePassword(network: Network) -> None:
    """A later place tries none of its own, and nothing counts against them."""
    tried: list[bytes] = []

    def passing(user: bytes, password: bytes) -> Socks5Proxy:
        tried.append(user)
        return Socks5Proxy(PasswordLogin(user, password))

    def deny(connection: socket.socket) -> None:
        connection.recv(99)
        connection.sendall(b"\x05\x02")
        connection.recv(99)
        connection.sendall(b"\x01\x01")

    first = network.hop("a", "127.0.0.1", network.served(deny).port, passing=passing)
    later = [network.hop(each, "192.0.2.2", 1) for each in ("b1", "b2")]
    ways = network.ways([first], later)
    shown = SimpleNamespace(**{**vars(ALICE), "shown": (b"alice", b"wrong")})
    with pytest.raises(UserRefused):
        network.result(ways.connect((FAR,), 443, anywhere, shown))
    assert tried == [b"alice"]
    assert [each.standing.failed for each in later] == [{}, {}]


def test_failover(network: Network) -> None:
    """The next of a place is tried where one does not work; not where it refuses."""
    server = network.scripted(GRANTED)
    dead = network.hop("dead", "127.0.0.1", closedPort())
    ways = network.ways([dead, network.hop("a", "127.0.0.1", server.port)])
    outlet = network.result(ways.connect((FAR,), 443, anywhere, ALICE))
    assert outlet.path == "a"
    outlet.loseConnection()
    refusing = network.scripted(REFUSED)
    ways = network.ways(
        [network.hop("no", "127.0.0.1", refusing.port), dead],
    )
    with pytest.raises(UpstreamRefused):
        network.result(ways.connect((FAR,), 443, anywhere, ALICE))


def test_anEarlierPlaceFails(network: Network) -> None:
    """The choice in a later place does not mend that."""
    ways = network.ways(
        [network.hop("dead", "127.0.0.1", closedPort())],
        [network.hop("b1", "192.0.2.2", 1), network.hop("b2", "192.0.2.3", 1)],
    )
    with pytest.raises(UpstreamFailed) as caught:
        network.result(ways.connect((FAR,), 443, anywhere, ALICE))
    assert caught.value.upstream == "dead"


def test_lastResort(network: Network) -> None:
    """Only where it is named, and only where no upstream works."""
    dead = [network.hop("dead", "127.0.0.1", closedPort())]
    server = network.scripted(GRANTED)
    port = server.port
    outlet = network.result(
        network.ways(dead, direct=True).connect((LOOP,), port, anywhere, ALICE)
    )
    assert outlet.path == ""
    outlet.loseConnection()
    refusing = [network.hop("no", "127.0.0.1", network.scripted(REFUSED).port)]
    with pytest.raises(UpstreamRefused):
        network.result(
            network.ways(refusing, direct=True).connect((LOOP,), port, anywhere, ALICE)
        )


def test_surplusInTheMiddle(network: Network) -> None:
    """A hop that speaks before it is spoken to is broken."""
    server = network.scripted(GRANTED + b"\x05\x00", then=lambda c: c.recv(9))
    ways = network.ways(
        [network.hop("a", "127.0.0.1", server.port)],
        [network.hop("b", "192.0.2.2", 1082)],
    )
    with pytest.raises(UpstreamFailed) as caught:
        network.result(ways.connect((FAR,), 443, anywhere, ALICE))
    assert caught.value.reason == "upstream-protocol"
