"""
What the relay needs of other parts of the gateway.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from socksgw.interfaces import Protection
from socksgw.system.connection import Connection, Receiver
from socksgw.wire.address import Address

__all__ = [
    "Allowance",
    "Associated",
    "Client",
    "DatagramOutlet",
    "Diverted",
    "Layer",
    "Upstream",
]


class DatagramOutlet(Protocol):
    """
    The sockets of one association (L{socksgw.route.datagrams.DatagramOutlet}).
    """

    @property
    def inner(self) -> socket.socket | None:
        """
        The socket that the client sends to, bound and non-blocking.

        It is L{None} where datagrams come inside the control connection.
        """

    def outer(self, version: int) -> socket.socket:
        """
        Open a socket for datagrams to destinations.

        @param version: of their addresses, 4 or 6.
        @raise OSError: there is none.
        """

    def choose(
        self, addresses: tuple[Address, ...], port: int, direct: bool = False
    ) -> Address:
        """
        Return the address that datagrams go to, of several that are allowed.

        @param direct: whether they leave from here, although there is an upstream.
        @raise socksgw.errors.SocksError: no datagram may leave to any of them.
        """

    @property
    def upstream(self) -> Upstream | None:
        """What the datagrams go through; L{None} where they leave from here."""


class Upstream(Protocol):
    """
    What gives associations with an upstream (L{socksgw.route.ways}).
    """

    def associate(self) -> Awaitable[Associated | None]:
        """
        Have an association at the upstream.

        @return: L{None} where datagrams leave from here after all.
        @raise socksgw.errors.SocksError: there is none, with why.
        """


class Layer(NamedTuple):
    """
    What one hop of a chain wants around each datagram.

    @ivar header: names where the hop before it sends the datagram (RFC 1928 section
        7); empty of the first.
    @ivar protection: what it goes through; L{None} for nothing.
    """

    header: bytes
    protection: Protection | None


class Associated(Protocol):
    """
    An association at an upstream, of which nothing has moved yet.
    """

    @property
    def controls(self) -> Sequence[Connection]:
        """
        The control connections, from the first hop that carries datagrams on.

        The end of one is the end of the association.
        """

    @property
    def socket(self) -> socket.socket | None:
        """
        The socket for datagrams, connected to the upstream's relay address.

        It is L{None} where they go inside the first control connection.
        """

    @property
    def framing(self) -> str:
        """
        In which framing they go there, as in C{listen.udp.tunnels}; or empty.
        """

    @property
    def association(self) -> bytes:
        """The ID of the association whose messages they go in there; or empty."""

    @property
    def surplus(self) -> bytes:
        """What came on the first control connection behind the reply."""

    @property
    def layers(self) -> Sequence[Layer]:
        """What stands around each datagram, the outermost first."""

    def close(self) -> None:
        """Close everything."""


class Diverted(Protocol):
    """
    What brings datagrams that say by themselves where they go.

    Headers are those of RFC 1928 section 7.
    """

    def carry(self, take: Callable[[bytes, memoryview], None]) -> None:
        """
        Hand the client's datagrams over from now on.

        @param take: takes the header that names the destination, and the payload,
            which is good for this call only.
        """

    def answer(self, header: bytes, payload: memoryview) -> None:
        """
        Send a datagram to the client.

        @param header: names the source.
        """

    def forget(self, header: bytes) -> None:
        """
        Let go of what is kept for answers from a source.
        """


class Allowance(Protocol):
    """
    What bounds the octets of one session, one way.

    As L{socksgw.limits.allowance.Allowance}.
    """

    @property
    def delaying(self) -> bool:
        """Whether a wait is under way that ends by itself: one for a rate."""

    def room(self, most: int) -> int:
        """
        Return how many octets may move now.

        @param most: as many as there are, or fit.
        @return: C{most} or fewer; 0 for none.
        """

    def spend(self, octets: int) -> None:
        """Count octets that have moved, up to what L{room} has said."""

    def charge(self, octets: bytes) -> bytes:
        """
        Count octets that have come already and cannot wait.

        @return: the part of them that may move.
        """

    def passes(self, length: int) -> bool:
        """
        Count a datagram, if it may move.

        @param length: its octets, all of which move, or none.
        @return: whether it may.
        """

    def wait(self, again: Callable[[], None]) -> None:
        """Call C{again} once when there may be room."""

    def forget(self) -> Callable[[], None] | None:
        """
        End the wait.

        @return: what L{wait} was to call; L{None} when nothing waits.
        """


class Client(Protocol):
    """
    What a relay needs of a client.
    """

    @property
    def connection(self) -> Connection:
        """What carries its octets."""

    @property
    def ended(self) -> bool:
        """Whether it has ended its side."""

    @property
    def closing(self) -> bool:
        """Whether the connection is to end with the present answer."""

    @property
    def ipsec(self) -> int:
        """The mark that datagrams beside the connection have to have; 0: any or none."""

    @property
    def protection(self) -> Protection | None:
        """What datagrams beside the connection go through; L{None} for nothing."""

    def take(self, receiver: Receiver | None) -> None:
        """
        Hand what comes to a receiver from now on, and read.

        @param receiver: L{None} to hand it to nobody else any more.
        """
