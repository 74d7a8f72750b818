"""
The layer of a transparent listener, with real sockets and a kernel that diverts
nothing: what it says is what the test says.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from socksgw.accept.inbound import Inbound
from socksgw.accept.transparent import TransparentLayer
from socksgw.wire.address import Address
from socksgw.wire.transparent import connection
from tests.accept.listeners import House
from tests.tools.sockets import RESET

FAR = Address.parse("192.0.2.34"), 443


class Transparent(House):
    """
    A listener whose clients are diverted.

    @ivar own: listeners of the gateway.
    @ivar here: whether clients are programs of this host.
    @ivar clients: who calls.
    """

    def __init__(self) -> None:
        super().__init__("address")
        self.own: list[tuple[Address, int]] = []
        self.here = False
        self.clients: list[socket.socket] = []

    def divert(self, redirected: bool) -> None:
        self.listener.layers = [TransparentLayer(redirected, self)]

    def isListener(self, address: Address, port: int) -> bool:
        return (address, port) in self.own

    def isSelf(self, address: Address) -> bool:
        return self.here

    @property
    def place(self) -> tuple[Address, int]:
        """Where it listens."""
        host, port = self.port.socket.getsockname()
        return Address.parse(host), port

    def arrived(self) -> Inbound:
        """A client that says nothing, once it is served."""
        self.clients.append(self.call())
        self.until(lambda: self.served)
        return self.served[0]


@pytest.fixture
def house() -> Iterator[Transparent]:
    made = Transparent()
    yield made
    made.close()
    made.atBase()
    for each in made.clients:
        each.close()


def test_redirected(house: Transparent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session begins with the request before any octet came."""
    monkeypatch.setattr("socksgw.accept.transparent.originalOf", lambda _: FAR)
    house.divert(redirected=True)
    client = house.arrived()
    assert house.events == [connection(*FAR)]
    house.clients[0].send(b"for the destination")
    house.until(lambda: client.conversation.held)
    assert client.surplus() == b"for the destination"


@pytest.mark.parametrize("known", [None, "itself", "listener"])
def test_notRedirected(
    house: Transparent, monkeypatch: pytest.MonkeyPatch, known: str | None
) -> None:
    """Conntrack knows nothing, the listener itself, or another one of ours."""
    original = {None: None, "itself": house.place, "listener": FAR}[known]
    monkeypatch.setattr("socksgw.accept.transparent.originalOf", lambda _: original)
    house.divert(redirected=True)
    house.own.append(FAR)
    client = house.arrived()
    assert house.events == []
    assert client.failure is not None
    assert client.failure.reason == "not-diverted"
    said = str(client.failure)
    assert ("conntrack" in said) is (known is None)
    assert ("own listener" in said) is (known is not None)
    assert client.conversation.dialect.silent


@pytest.mark.parametrize("direct", [True, False])
def test_diverted(house: Transparent, direct: bool) -> None:
    """Our end is the destination, unless it is the listener's."""
    house.divert(redirected=False)
    if direct:
        house.own.append(house.place)
    client = house.arrived()
    if direct:
        assert client.failure is not None
        assert client.failure.reason == "not-diverted"
    else:
        assert house.events == [connection(*house.place)]


def test_loop(house: Transparent) -> None:
    """
    A rule that takes the gateway's own connections as well: each would come back for
    ever. Whose they are, the kernel says.
    """
    house.divert(redirected=False)
    house.here = True
    client = house.arrived()
    assert client.failure is not None
    assert "meta skuid" in str(client.failure)
    assert house.events == []


def test_anotherUsersProgram(
    house: Transparent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is served, as is one whose user the kernel does not say."""
    house.divert(redirected=False)
    house.here = True
    for user in (12345, None):
        monkeypatch.setattr("socksgw.accept.transparent.userOf", lambda *_, u=user: u)
        house.arrived()
    house.until(lambda: len(house.events) == 2)


def test_resetAtOnce(house: Transparent) -> None:
    """A client that is gone before it is looked at leaves nothing behind."""
    house.divert(redirected=False)
    with house.call() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    house.until(lambda: house.ended)
