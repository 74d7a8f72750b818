"""
Associations of clients whose control connection is protected: every datagram
is a token (RFC 1961 section 5). Real sockets, the stub mechanism.
"""

from __future__ import annotations

import random
import socket

import pytest

from socksgw.plugins.gssapi_stub import StubTokens
from socksgw.wire.encapsulation import Encapsulation
from socksgw.wire.gssapi import Level, MessageType, encode, readData
from socksgw.wire.reader import Reader
from tests.fakes.gssapi import established
from tests.relay.associations import Association, Sea, header
from tests.relay.associations import echoed as echoedInTheClear


class Client:
    """
    A client with a context, and its association.

    @ivar server: where its datagrams go.
    """

    def __init__(self, sea: Sea, level: Level) -> None:
        self.sea = sea
        self.secret = level == Level.CONFIDENTIALITY
        self.tokens: StubTokens
        self.tokens, context = established()
        self.association: Association = sea.associate(
            protection=Encapsulation(context, level)
        )
        self.socket, self.server = sea.socket(), sea.socket()
        self.header = header("127.0.0.1", self.server.getsockname()[1])

    def message(self, text: bytes) -> bytes:
        """A datagram for the server, wrapped."""
        octets = self.tokens.wrap(self.header + text, self.secret)
        return encode(MessageType.DATA, octets)

    def send(self, octets: bytes, by: socket.socket | None = None) -> None:
        """Send what is wrapped already."""
        (by or self.socket).sendto(octets, self.association.place)

    def received(self) -> bytes:
        """The payload of the next datagram from the server."""
        reader = Reader(self.sea.relayed(self.socket)[0])
        octets, encrypted = self.tokens.unwrap(readData(reader))
        assert reader.position == len(reader.octets)
        assert encrypted == self.secret
        assert octets.startswith(self.header)
        return octets[len(self.header) :]

    def echoed(self, text: bytes) -> None:
        """There and back."""
        self.send(self.message(text))
        came, outer = self.sea.relayed(self.server)
        assert came == text
        self.server.sendto(text + b"!", outer)
        assert self.received() == text + b"!"


@pytest.mark.parametrize("level", [Level.INTEGRITY, Level.CONFIDENTIALITY])
def test_thereAndBack(sea: Sea, level: Level) -> None:
    """Header and payload are inside the token, both ways; flows are as ever."""
    client = Client(sea, level)
    for size in (0, 1, 1400, 20_000):
        client.echoed(bytes(size))
    assert len(client.association.judge.asked) == 1
    client.association.end()
    assert client.association.tally.strangers == 0


def test_lostAndLate(sea: Sea) -> None:
    """Loss and another order are UDP's own; what comes twice counts once."""
    client = Client(sea, Level.CONFIDENTIALITY)
    messages = [client.message(b"%d" % n) for n in range(5)]
    for n in (0, 3, 3, 1, 0, 4):
        client.send(messages[n])
    came = [sea.relayed(client.server)[0] for _ in range(4)]
    assert came == [b"0", b"3", b"1", b"4"]
    sea.silent(client.server)


def test_garbage(sea: Sea) -> None:
    """
    What is not wrapped, or was changed, reaches nobody, is answered by
    nothing, and gives its sender no claim on the association.
    """
    client = Client(sea, Level.CONFIDENTIALITY)
    other = sea.socket()
    chance = random.Random(1961)
    garbage = [b"", client.header + b"clear", b"\1\3\0\0", chance.randbytes(200)]
    for _ in range(20):
        changed = bytearray(client.message(b"x"))
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        garbage.append(bytes(changed))
    plain = encode(MessageType.DATA, client.tokens.wrap(client.header + b"x", False))
    for octets in (*garbage, plain):
        client.send(octets, other)
    sea.silent(client.server, other)
    client.echoed(b"owner")
    for octets in (*garbage, plain):
        client.send(octets)
    sea.silent(client.server, client.socket)
    client.echoed(b"still")
    assert len(client.association.judge.asked) == 1


def test_tooLongForAToken(sea: Sea) -> None:
    """What does not fit any more with its token is lost, as datagrams are."""
    client = Client(sea, Level.CONFIDENTIALITY)
    client.echoed(b"one")
    client.send(client.message(b"two"))
    _, outer = sea.relayed(client.server)
    client.server.sendto(bytes(65_507), outer)
    client.server.sendto(b"short", outer)
    assert client.received() == b"short"


def test_othersAreInTheClear(sea: Sea) -> None:
    """Beside it an association without protection is as ever."""
    client = Client(sea, Level.INTEGRITY)
    plain, association = sea.socket(), sea.associate()
    echoedInTheClear(sea, association, plain, b"plain")
    client.echoed(b"wrapped")
    plain.sendto(client.message(b"x"), association.place)
    sea.silent(client.server, plain)
