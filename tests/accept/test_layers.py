"""
Layers below a client, with real sockets: a header that tells who the client is,
before TLS, inside it and without; of a kind that only this test knows.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.inbound import Inbound
from socksgw.accept.layers import Client, Layer, Preface, Upwards
from socksgw.accept.tls import TLSLayer
from socksgw.config.schema import ListenTLS
from socksgw.errors import HandshakeTimedOut
from socksgw.system.connection import Connection
from socksgw.wire.address import Address
from socksgw.wire.events import MethodsOffered
from tests.accept.listeners import House
from tests.tools.certificates import Authority, server

#: Who the client is: four octets of address, two of port.
HEADER = socket.inet_aton("192.0.2.9") + (4000).to_bytes(2, "big")
GREETING = b"\x05\x01\x00"
OWN = server(Authority())


class Header(Preface):
    """The layer's part of one client: reads L{HEADER}."""

    _came = b""

    def dataReceived(self, data: Any) -> None:
        self._came += bytes(data)
        if len(self._came) < len(HEADER):
            return
        source, port = Address(self._came[:4]), self._came[4:6]
        if self.client.comesFrom(source, int.from_bytes(port, "big")):
            self.upwards(self.below, self._came[len(HEADER) :])


class HeaderLayer:
    """The layer."""

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        Header(below, client, upwards, early)


class Caller:
    """A proxy in front, which tells a client's address and goes on as it."""

    def __init__(self, house: House, order: Sequence[str]) -> None:
        self.house = house
        self.plain = house.call()
        self._order = order
        self._tls: SSL.Connection | None = None

    def say(self, octets: bytes) -> None:
        """Octet by octet, each read before the next is sent."""
        for octet in octets:
            (self._tls or self.plain).send(bytes((octet,)))
            self.house.reactor.iterate(0.001)

    def arrive(self, header: bytes = HEADER) -> None:
        """All layers, from below."""
        for each in self._order:
            if each == "header":
                self.say(header)
            else:
                self._tls = SSL.Connection(
                    SSL.Context(SSL.TLS_CLIENT_METHOD), self.plain
                )
                self._tls.set_connect_state()
                self.house.until(self._shaken)

    def halfway(self) -> Inbound:
        """All layers that are below the header, and a part of that."""
        if self._order[0] == "tls":
            self._order = ["tls"]
            self.arrive()
        self.say(HEADER[:4])
        self.house.until(lambda: self.house.listener.clients)
        (client,) = self.house.listener.clients
        return client

    def _shaken(self) -> bool:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True


@pytest.fixture
def house() -> Iterator[House]:
    """Nothing is left of any client."""
    made = House("address")
    yield made
    made.close()
    made.atBase()


ORDERS = [("header",), ("header", "tls"), ("tls", "header")]


@pytest.fixture(params=ORDERS, ids="+".join)
def caller(
    request: pytest.FixtureRequest, house: House, tmp_path: Path
) -> Iterator[Caller]:
    """One that comes through such layers."""
    OWN.write(tmp_path, "gw")
    tls = ServerTLS(ListenTLS("gw.pem", "gw.key"), tmp_path)
    made: dict[str, Layer] = {
        "header": HeaderLayer(),
        "tls": TLSLayer(tls, house.watch),
    }
    house.listener.layers = [made[each] for each in request.param]
    caller = Caller(house, request.param)
    yield caller
    caller.plain.close()


def test_whoItIs(house: House, caller: Caller) -> None:
    """
    The session is that of the client whom the header names, however it is cut up;
    not an octet behind it is lost, or read for the header's.
    """
    caller.arrive()
    caller.say(GREETING)
    house.until(lambda: house.events)
    assert house.events == [MethodsOffered(b"\x00")]
    (client,) = house.listener.clients
    assert (client.source.text, client.port) == ("192.0.2.9", 4000)
    assert client.secured == ("confidentiality" if len(caller._order) > 1 else "clear")
    client.send(b"\x05\x00")
    came = caller._tls or caller.plain
    house.reactor.iterate(0.01)
    assert came.recv(2) == b"\x05\x00"


def test_inOneSegment(house: House, caller: Caller) -> None:
    """What is above a header gets what came with the header, all of it and once."""
    order = caller._order
    if order[0] == "tls":
        caller._order = ["tls"]
        caller.arrive()
        assert caller._tls is not None
        caller._tls.send(HEADER + GREETING)
    elif len(order) == 1:
        caller.plain.sendall(HEADER + GREETING)
    else:
        tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        tls.set_connect_state()
        with pytest.raises(SSL.WantReadError):
            tls.do_handshake()
        caller.plain.sendall(HEADER + tls.bio_read(4096))

        def shaken() -> bool:
            try:
                tls.bio_write(caller.plain.recv(4096))
                tls.do_handshake()
            except (BlockingIOError, SSL.WantReadError):
                return False
            return True

        house.until(shaken)
        tls.send(GREETING)
        caller.plain.sendall(tls.bio_read(4096))
    house.until(lambda: house.events)
    assert house.events == [MethodsOffered(b"\x00")]


def test_admittedAsThat(house: House, caller: Caller) -> None:
    """
    The limits of a source are those of the client; whom it came from has its place
    back.
    """
    house.listener.admission.limit(10, 1)
    caller.arrive()
    admission = house.listener.admission
    house.until(lambda: {*admission._bySource} == {HEADER[:4]})
    assert (admission.halfOpen, house.census.clients) == (1, 1)
    other = Caller(house, ["header"])
    house.listener.layers = [HeaderLayer()]
    other.say(HEADER)
    with other.plain as plain:
        plain.settimeout(5)
        house.until(lambda: len(house.listener.clients) == 1)
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    assert (admission.halfOpen, house.census.clients) == (1, 1)
    assert house.census.refused == 1


@pytest.mark.parametrize("how", ["goes", "ends", "waits"])
def test_beforeItIsKnown(house: House, caller: Caller, how: str) -> None:
    """It counts as the one that it came from, is let go of, and has a deadline."""
    client = caller.halfway()
    assert client.source.text == "127.0.0.1"
    if how == "goes":
        caller.plain.close()
    elif how == "ends":
        caller.plain.shutdown(socket.SHUT_WR)
    else:
        house.advance(11)
    house.until(lambda: not house.listener.clients)
    assert isinstance(client.failure, HandshakeTimedOut) == (how == "waits")
    assert (house.served, house.events) == ([], [])


def test_anotherHasItsPlace(house: House, caller: Caller) -> None:
    """A client that was displaced is admitted as nobody else."""
    client = caller.halfway()
    client.displaced()
    assert not client.comesFrom(Address(HEADER[:4]), 1)
    assert house.listener.admission.halfOpen == 0
