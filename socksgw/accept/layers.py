"""
The layers between a client's socket and its conversation.

TLS is one; another is a header by which a proxy in front tells whose connection
it passes on. The socket's peer counts as the client, and is admitted as it, until a
layer says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from typing import Protocol as Seam

from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.system.connection import Connection, Receiver
from socksgw.wire.address import Address
from socksgw.wire.proxyheader import Origin
from socksgw.wire.server import ServerConversation

__all__ = ["Client", "Layer", "Preface", "Upwards", "enter"]

#: Goes on with the layer above: on this connection, with the octets that were read
#: already and are not the layer's.
Upwards = Callable[[Connection, bytes], None]


class Client(Receiver, Seam):
    """
    What the layers lead to.

    @ivar connection: what the highest layer so far stands on, or is.
    @ivar identity: what a layer has proved of the client
        (L{socksgw.interfaces.IVerifiedIdentity}).
    @ivar gateways: those before this one that the connection has come through, as
        they have signed.
    @ivar signer: the one that has signed who the client is
        (L{socksgw.accept.asserted.Signer}); L{None} where none has.
    @ivar ipsec: the mark by which the kernel tells that the connection came in by
        IPsec; 0 where it did not.
    @ivar source: the address that it is admitted as.
    @ivar port: its port there.
    """

    connection: Any
    identity: Any
    gateways: tuple[str, ...]
    signer: Any
    ipsec: int
    source: Address
    port: int

    def comesFrom(self, source: Address, port: int) -> bool:
        """
        Be admitted as another source than the one that was admitted before.

        @return: whether there is room; else the client has ended.
        """

    def converse(self, conversation: ServerConversation) -> None:
        """Speak with the client in this way, and not as its listener has it."""

    def begin(self) -> None:
        """Begin the session, before the client says anything."""

    def forwarded(self, origin: Origin) -> None:
        """Take note that a proxy in front passes the client on, and what it tells."""

    def refused(self, failure: SocksError) -> None:
        """Have a session record why the client is not let in."""

    def end(self, failure: SocksError) -> None:
        """End, for the reason given."""


class Layer(Seam):
    """One layer, ready for each client of a listener."""

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """
        Begin with a client.

        @param below: nothing takes what comes on it yet.
        @param client: what hears of the connection's end meanwhile
            (L{Preface} sees to that), and is told what the layer finds out.
        @param upwards: called when the layer has nothing more to wait for.
        @param early: octets that the layer below has read already; they come before
            all that comes on C{below}.
        """


def enter(
    layers: Sequence[Layer], connection: Connection, client: Client, early: bytes = b""
) -> None:
    """
    Lead a client up through all layers; at the end it takes what comes.

    @param layers: those that are left, the lowest first.
    @param early: as of L{Layer.over}.
    """
    client.connection = connection
    if not layers:
        connection.take(client)
        if early:
            client.dataReceived(early)
        return

    def upwards(above: Connection, rest: bytes) -> None:
        enter(layers[1:], above, client, rest)

    layers[0].over(connection, client, upwards, early)


class Preface:
    """
    A layer's part of one client that reads the first octets, and then gives way.

    Whatever else the connection tells goes to the client. Octets behind those that
    it wants are handed to L{upwards}.
    """

    def __init__(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """Begin with what has been read already (L{Layer.over})."""
        self.below = below
        self.client = client
        self.upwards = upwards
        below.take(self)
        if early:
            self.dataReceived(early)

    def dataReceived(self, data: Any) -> None:
        """
        Take octets, and call L{upwards} when they are enough.
        """
        raise NotImplementedError

    def readConnectionLost(self) -> None:
        """As L{Receiver.readConnectionLost}."""
        self.client.readConnectionLost()

    def departed(self) -> None:
        """As L{Receiver.departed}."""
        self.client.departed()

    def violated(self, failure: SocksError) -> None:
        """As L{Receiver.violated}."""
        self.client.violated(failure)

    def connectionLost(self, reason: Failure) -> None:
        """As L{Receiver.connectionLost}."""
        self.client.connectionLost(reason)

    @property
    def identity(self) -> Any:
        """The client's identity, which TLS below sets here."""
        return self.client.identity

    @identity.setter
    def identity(self, identity: Any) -> None:
        self.client.identity = identity

    def refused(self, failure: SocksError) -> None:
        """As L{Client.refused}."""
        self.client.refused(failure)
