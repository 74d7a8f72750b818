"""
The end of a client's connection, on a transport in memory.
"""

from __future__ import annotations

import pytest

from socksgw.errors import CertificateRefused, Draining, HandshakeTimedOut
from tests.accept.listeners import CONNECT4, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("said", [b"", b"\x05", b"\x05\x02\x00", b"\x04\x01\x00"])
def test_theHandshakeDeadlineIsAbsolute(world: World, said: bytes) -> None:
    """From accept to request, however the octets trickle."""
    client, transport = world.connect()
    for octet in said:
        world.advance(3)
        client.dataReceived(bytes([octet]))
    world.advance(9.75 - 3 * len(said))
    assert not transport.disconnected if hasattr(transport, "disconnected") else True
    assert client.failure is None
    world.advance(0.5)
    assert isinstance(client.failure, HandshakeTimedOut)
    assert transport.disconnecting
    world.lose(client)
    world.atBase()


def test_theFirstFailureIsTheOneThatCounts(world: World) -> None:
    """Ended by the gateway, then lost: the reason is ours."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.end(Draining("stopping"))
    assert transport.disconnecting
    world.lose(client)
    assert isinstance(client.failure, Draining)
    world.atBase()


@pytest.mark.parametrize("end", ["finish", "close"])
def test_whatWaitsIsForgottenAtTheEnd(world: World, end: str) -> None:
    """A client that lingers, or is slow to take our last octets, holds nothing."""
    client, _ = world.connect()
    client.dataReceived(CONNECT4 + bytes(1000))
    getattr(client, end)()
    assert world.memory.held == client.conversation.held == 0
    world.lose(client)


def test_finishingEndsOurSideAndReadsOnForAMoment(world: World) -> None:
    """A reply in flight is not destroyed by a reset (input left unread)."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.send(b"reply")
    client.finish()
    assert transport.value() == b"reply"
    assert transport.halfClosed
    assert not transport.disconnecting
    client.dataReceived(b"x" * 1000)
    assert len(world.served) == 1
    client.readConnectionLost()
    assert transport.disconnecting
    world.lose(client)
    world.atBase()


@pytest.mark.parametrize("how", ["time", "octets"])
def test_finishingIsBounded(world: World, how: str) -> None:
    """A client that goes on sending is closed all the same."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.finish()
    sent = 0
    while not transport.disconnecting:
        if how == "time":
            world.advance(0.5)
            sent += 1
            assert sent < 20
        else:
            client.dataReceived(b"x" * 65536)
            sent += 1
            assert sent < 100
    world.lose(client)
    world.atBase()


def test_aPatientEnd(world: World) -> None:
    """
    A client that sends much has the whole moment to look for the answer: a part is read
    of what it sends, and then nothing more.
    """
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    client.finish(patient=True)
    read = 0
    while transport.producerState == "producing":
        client.dataReceived(bytes(65536))
        read += 65536
        assert read <= 1 << 20
    assert read == 1 << 20
    world.advance(1.5)
    assert not transport.disconnecting
    world.advance(1)
    assert transport.disconnecting
    world.lose(client)
    world.atBase()


@pytest.mark.parametrize("finishing", [False, True])
def test_closingIsBounded(world: World, finishing: bool) -> None:
    """While our last octets wait to be sent, no more than 1 MiB is read for nothing."""
    client, transport = world.connect()
    client.dataReceived(CONNECT4)
    read = 0
    if finishing:
        client.finish()
        read = 9 << 16
        client.dataReceived(bytes(read))
    client.close()
    while not transport.disconnected:
        client.dataReceived(bytes(65536))
        read += 65536
        assert read <= 1 << 20
    assert read == 1 << 20
    world.lose(client)
    # What comes all the same is of nobody.
    client.dataReceived(bytes(65536))
    world.atBase()


def test_aRefusedClientIsLetGoOf(world: World) -> None:
    """
    One that TLS has refused, and that stays, holds its descriptor and its
    place among the half-open for a moment, and not for minutes.
    """
    client, transport = world.connect()
    client.refused(CertificateRefused("it is revoked"))
    client.finish()
    assert world.listener.admission.halfOpen == 1
    world.advance(3)
    assert transport.disconnected
    world.lose(client)
    world.atBase()
