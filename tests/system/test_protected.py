"""
A connection through a protection, with real sockets on loopback and a reactor of the
test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone

from socksgw.system.protected import ProtectedConnection
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY, INTEGRITY
from socksgw.wire.protection import Protection
from socksgw.wire.reader import WireError
from tests.fakes.carriers import Flipping
from tests.fakes.connections import Floor, Recorder


class Ending(Flipping):
    """One that has an end of its own, and takes no octet that is zero."""

    naked = False

    def unwrap(self, octets: bytes | memoryview) -> bytes:
        if 0xFF in octets:
            raise WireError("a zero")
        return super().unwrap(octets)

    def close(self) -> bytes:
        return b"<end>"


@pytest.fixture
def floor() -> Iterator[Floor]:
    """Nothing is left of any connection."""
    made = Floor()
    yield made
    made.atBase()


def protected(
    floor: Floor, protection: Protection | None = None
) -> tuple[socket.socket, Any, Recorder]:
    """A client, its connection and what takes what comes."""
    receiver = Recorder()
    client, below = floor.connect(Recorder())
    return (
        client,
        ProtectedConnection(below, protection or Flipping(), receiver),
        receiver,
    )


def test_bothWays(floor: Floor) -> None:
    """What is written goes out wrapped, what comes is unwrapped."""
    client, connection, receiver = protected(floor)
    client.sendall(Flipping().wrap(b"question"))
    floor.until(lambda: receiver.octets == b"question")
    connection.write(memoryview(b"answer"))
    assert Flipping().unwrap(floor.read(client, 6)) == b"answer"
    assert connection.plain is None
    assert connection.local.port == client.getpeername()[1]
    assert connection.peer.port == client.getsockname()[1]
    client.shutdown(socket.SHUT_WR)
    floor.until(lambda: receiver.readEnds)
    connection.loseConnection()
    assert receiver.lost == [ConnectionDone]
    assert connection.receiver is None


@pytest.mark.parametrize(
    ("below", "level", "secured"),
    [
        (CLEAR, INTEGRITY, INTEGRITY),
        (CLEAR, CONFIDENTIALITY, CONFIDENTIALITY),
        (CONFIDENTIALITY, INTEGRITY, CONFIDENTIALITY),
        (CONFIDENTIALITY, CLEAR, CONFIDENTIALITY),
    ],
)
def test_howItIsSecured(below: str, level: str, secured: str) -> None:
    """By the stronger of the two."""

    class Below:
        halfCloses = True

        def take(self, receiver: object) -> None: ...

    protection, lower = Flipping(), Below()
    protection.level, lower.secured = level, below  # type: ignore[attr-defined]
    upper: Any = lower
    assert ProtectedConnection(upper, protection, Recorder()).secured == secured


def test_violated(floor: Floor) -> None:
    """What cannot be unwrapped is told, and not an octet of it is handed on."""
    client, connection, receiver = protected(floor, Ending())
    client.sendall(Flipping().wrap(b"\0"))
    floor.until(lambda: receiver.violations)
    assert [each.reason for each in receiver.violations] == ["protection"]
    assert receiver.octets == b""
    connection.abortConnection()


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["loseWriteConnection", "loseConnection"], b"<end>"),
        (["loseConnection"], b"<end>"),
        (["cut"], b""),
    ],
    ids=["half, then all", "all", "cut"],
)
def test_itsOwnEnd(floor: Floor, ways: list[str], said: bytes) -> None:
    """Said once, in front of the connection's; not where it is cut off."""
    client, connection, receiver = protected(floor, Ending())
    connection.write(b"last")
    for way in ways:
        getattr(connection, way)()
    assert floor.read(client, 100) == Flipping().wrap(b"last") + said
    floor.until(lambda: receiver.lost)


def test_takenByAnother(floor: Floor) -> None:
    """What comes goes to the new receiver, unwrapped; so does the end."""
    client, connection, receiver = protected(floor)
    other = Recorder()
    connection.pauseProducing()
    connection.take(other)
    client.sendall(Flipping().wrap(b"for the other"))
    floor.until(lambda: other.octets == b"for the other")
    client.close()
    floor.until(lambda: other.readEnds)
    connection.loseConnection()
    assert (receiver.octets, receiver.lost) == (b"", [])
    assert other.lost == [ConnectionDone]
