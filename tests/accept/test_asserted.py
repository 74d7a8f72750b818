"""
What another gateway has signed about a client, over real TLS: whom it is believed for.

The headers are made here, from the layout that socksgw/wire/assertion.py has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from OpenSSL import SSL

from socksgw.accept.asserted import AssertedLayer
from socksgw.accept.certificates import ServerTLS
from socksgw.accept.inbound import Inbound
from socksgw.accept.tls import TLSLayer
from socksgw.config.schema import ListenTLS
from socksgw.interfaces import IAssertedIdentity
from socksgw.system.assertionkeys import VerifyingKeys
from socksgw.wire.events import MethodsOffered
from tests.accept.listeners import House
from tests.tools.certificates import Authority, server
from tests.tools.proxyheaders import LOCAL, vector, version2

GREETING = b"\x05\x01\x00"
EDGE, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
CLAIMS: dict[str, Any] = {
    "user": "alice",
    "method": "gssapi",
    "tag": "",
    "secured": "confidentiality",
    "groups": ["ops"],
    "path": ["edge/1"],
    "expires": None,
}


def value(binding: bytes, key: Ed25519PrivateKey = EDGE, **changes: Any) -> bytes:
    """What a gateway signs about a client of its own."""
    claims = json.dumps({**CLAIMS, **changes}).encode()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = key.sign(b"socksgw assertion 1\0" + binding + claims)
    return b"\1" + hashlib.sha256(raw).digest()[:8] + signature + claims


def pem(key: Ed25519PrivateKey) -> bytes:
    """The public half, as the other side has it."""
    return key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )


class Gateway:
    """
    A gateway before the one that is tested: a client over TLS.

    @ivar house: the other one.
    @ivar binding: what the two ends of the connection know.
    """

    def __init__(self, house: House, version: int = SSL.TLS1_3_VERSION) -> None:
        self.house = house
        self.caller = house.call()
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(version)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        house.until(self._shaken)
        self.binding = self.tls.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, b""
        )

    def _shaken(self) -> bool:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self._push()
            try:
                self.tls.bio_write(self.caller.recv(1 << 16))
            except BlockingIOError:
                pass
            return False
        return True

    def _push(self) -> None:
        try:
            self.caller.sendall(self.tls.bio_read(1 << 16))
        except SSL.WantReadError:
            pass

    def say(self, octets: bytes) -> None:
        """Send something inside TLS."""
        self.tls.send(octets)
        self._push()

    def header(self, octets: bytes) -> bytes:
        """A header of a client, with such an assertion."""
        return version2("192.0.2.9", 4000, vectors=vector(0xE5, octets))


@pytest.fixture
def keys(tmp_path: Path) -> VerifyingKeys:
    """Believes the gateway at the edge."""
    (tmp_path / "edge.pub").write_bytes(pem(EDGE))
    return VerifyingKeys([tmp_path / "edge.pub"])


@pytest.fixture
def house(tmp_path: Path, keys: VerifyingKeys) -> Iterator[House]:
    """A listener with TLS; nothing is left of any client."""
    server(Authority()).write(tmp_path, "gw")
    made = House("address")
    tls = ServerTLS(ListenTLS("gw.pem", "gw.key"), tmp_path)
    layer = AssertedLayer(keys, "edge:", ["here/2"])
    made.listener.layers = [TLSLayer(tls, made.watch), layer]
    yield made
    made.close()
    made.atBase()


@pytest.fixture
def gateway(house: House) -> Iterator[Gateway]:
    """One that has connected."""
    made = Gateway(house)
    with made.caller:
        yield made


def one(house: House) -> Inbound:
    (client,) = house.listener.clients
    return client


@pytest.mark.parametrize("cut", [1, 11, 12, 16, 60, -1])
def test_believed(house: House, gateway: Gateway, cut: int) -> None:
    """The client is the other gateway's, in address, name and groups."""
    whole = gateway.header(value(gateway.binding, expires=9.5)) + GREETING
    gateway.say(whole[:cut])
    house.reactor.iterate(0.01)
    gateway.say(whole[cut:])
    house.until(lambda: house.events)
    client = one(house)
    assert house.events == [MethodsOffered(b"\x00")]
    assert (client.source.text, client.port) == ("192.0.2.9", 4000)
    assert IAssertedIdentity.providedBy(client.identity)
    identity = client.identity
    assert (identity.username, identity.expires) == (b"edge:alice", 9.5)
    assert identity.groups == {"ops"}
    assert client.gateways == ("edge/1",)
    assert client.origin is not None
    assert client.origin.header.told["gateways"] == b"edge/1"
    client.abort()


def test_nobody(house: House, gateway: Gateway) -> None:
    """Without a login there the client has none here, and comes from its address."""
    gateway.say(gateway.header(value(gateway.binding, user="")) + GREETING)
    house.until(lambda: house.events)
    client = one(house)
    assert (client.identity, client.source.text) == (None, "192.0.2.9")
    client.abort()


def test_others(house: House, gateway: Gateway) -> None:
    """A client that begins otherwise speaks for itself."""
    gateway.say(GREETING)
    house.until(lambda: house.events)
    client = one(house)
    assert (client.identity, client.origin) == (None, None)
    assert client.source.text == "127.0.0.1"
    client.abort()


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (lambda g: g.header(value(g.binding, OTHER)), "assertion", "key that is not"),
        (lambda g: g.header(value(bytes(32))), "assertion", "another connection"),
        (
            lambda g: g.header(value(g.binding).replace(b"alice", b"carol")),
            "assertion",
            "signature is wrong",
        ),
        (lambda g: g.header(value(g.binding, path=["here/2"])), "loop", "been at this"),
        (
            lambda g: g.header(value(g.binding, path=[*"abcde"])),
            "loop",
            "5 gateways; 4 are the most",
        ),
        (lambda g: g.header(value(g.binding, user=7)), "assertion", "claims"),
        (lambda g: g.header(b"\2"), "assertion", "format"),
        (lambda g: version2("192.0.2.9", 4000), "assertion", "without an identity"),
        (lambda g: LOCAL, "assertion", "without an identity"),
        (lambda g: LOCAL[:12] + b"\x29", "assertion", "version or command"),
    ],
)
def test_notBelieved(
    house: House, gateway: Gateway, make: Any, reason: str, words: str
) -> None:
    """The client is refused, and its session says why."""
    gateway.say(make(gateway) + GREETING)
    house.until(lambda: house.ended)
    failure = one(house).failure
    assert failure is not None
    assert failure.reason == reason
    assert words in str(failure)
    assert one(house).identity is None
    one(house).abort()


def test_earlierTLS(house: House) -> None:
    """What binds a signature to a connection of TLS 1.2 may be another's, too."""
    gateway = Gateway(house, SSL.TLS1_2_VERSION)
    with gateway.caller:
        gateway.say(gateway.header(value(gateway.binding)) + GREETING)
        house.until(lambda: house.ended)
        failure = one(house).failure
        assert failure is not None
        assert (failure.reason, "TLS 1.3" in str(failure)) == ("assertion", True)
        one(house).abort()
