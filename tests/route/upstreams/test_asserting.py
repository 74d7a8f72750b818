"""
What is said of a client to the next gateway, and when nothing can be said.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from socksgw.errors import UserRefused
from socksgw.interfaces import Asker
from socksgw.login.realm import ANYBODY
from socksgw.route.upstreams.asserting import Asserting
from socksgw.system.assertionkeys import SigningKey
from socksgw.wire.address import Address
from socksgw.wire.assertion import TYPE, decode, open_
from socksgw.wire.proxyheader import readProxyHeader, vectorOf
from socksgw.wire.reader import WireError
from tests.fakes.policy import Somebody, doubted, loggedIn

CONNECTION = SimpleNamespace(binding=b"b" * 32)
SOURCE = Address.parse("192.0.2.9")


@pytest.fixture
def asserting(tmp_path: Path) -> Asserting:
    """Signs by a key of its own."""
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "edge.key"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    file.chmod(0o600)
    return Asserting(SigningKey(file, "edge"), "next")


def traveller(user: Any, *gateways: str) -> Any:
    """A session of a user, whose connection came through other gateways."""
    asker = Asker(user, SOURCE, "lan", "integrity", "job")
    return SimpleNamespace(asker=asker, port=4000, gateways=gateways)


def test_said(asserting: Asserting) -> None:
    """The client's address, where it wants to go, and who it is."""
    client = traveller(loggedIn("alice", "ops"), "first/1")
    octets = asserting.header(CONNECTION, client, "db.corp.example", 5432)
    found = readProxyHeader(octets)
    assert found is not None
    header, length = found
    assert (header.source, length) == ((SOURCE, 4000), len(octets))
    assert header.told["authority"] == b"db.corp.example"
    value = vectorOf(octets, TYPE)
    assert value is not None
    said = decode(open_(value).claims)
    assert (said.user, said.method, said.groups) == ("alice", "userpass", {"ops"})
    assert (said.secured, said.tag, said.expires) == ("integrity", "job", None)
    assert said.path[0] == "first/1"
    assert said.path[1].startswith("edge/")
    nobody = asserting.header(CONNECTION, traveller(ANYBODY), SOURCE, 80)
    value = vectorOf(nobody, TYPE)
    assert value is not None
    assert decode(open_(value).claims).user == ""


@pytest.mark.parametrize(
    ("client", "reason", "words"),
    [
        (traveller(loggedIn("alice"), *"abcd"), "loop", "behind 5 gateways"),
        (traveller(doubted("alice", "ops")), "identity", "cannot be told the groups"),
        (
            traveller(Somebody("alice", frozenset({"g" * 8000}), "userpass")),
            "identity",
            "cannot be told who asks",
        ),
    ],
)
def test_unsaid(asserting: Asserting, client: Any, reason: str, words: str) -> None:
    """Nothing is cut: the session fails, and the record says why."""
    with pytest.raises(UserRefused, match=words) as caught:
        asserting.header(CONNECTION, client, SOURCE, 80)
    assert caught.value.reason == reason


def test_earlierTLS(asserting: Asserting) -> None:
    """An upstream that speaks TLS 1.2 at most is told nothing."""

    class Connection:
        @property
        def binding(self) -> bytes:
            raise WireError("TLS 1.3 is needed")

    with pytest.raises(UserRefused, match=r"TLS 1\.3") as caught:
        asserting.header(Connection(), traveller(loggedIn("alice")), SOURCE, 80)
    assert caught.value.reason == "identity"
