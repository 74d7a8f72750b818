"""
What every kind of proxy does for a client: the seam that hops and endpoints use.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from socksgw.client.errors import CommandNotSupported
from socksgw.client.link import Link
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.codes import Command, Reply
from socksgw.wire.protection import Protection
from socksgw.wire.stacks import Stack

__all__ = ["Accepted", "Again", "Asking", "ConnectOnly", "Expecting", "Proxy"]

_UNSUPPORTED: Final = int(Reply.COMMAND_NOT_SUPPORTED)


class Accepted(NamedTuple):
    """
    A request that the proxy has granted.

    What came behind the reply is L{Link.surplus}, with the protection taken off. The
    link is paused.

    @ivar bound: the proxy's address and port on the connection to the destination;
        0.0.0.0 and 0 where it tells none.
    @ivar protection: what stands between the octets and the wire from here on, in both
        directions; L{None} for nothing.
    @ivar name: what the proxy tells instead of an address; usually empty.
    @ivar association: the ID of the association whose messages go on the link from
        here on (L{socksgw.wire.association}); empty where none do.
    @ivar stack: what the proxy tells of the stacks of its connections, as it was asked
        (SOCKS 6); nothing where it does not know.
    """

    bound: tuple[Address, int] = (UNSPECIFIED4, 0)
    protection: Protection | None = None
    name: str = ""
    association: bytes = b""
    stack: tuple[Stack, ...] = ()


class Again(Exception):
    """
    The dialogue goes on on a new connection to the same proxy.

    @ivar proxy: speaks on it, with the same destination.
    """

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self.proxy = proxy


class Asking(Protocol):
    """What makes requests to a proxy."""

    async def connect(self, link: Link, host: Address | str, port: int) -> Accepted:
        """
        Have the proxy connect to a destination.

        @param host: a name is looked up by the proxy.
        @raise socksgw.client.errors.ProxyError: it does not.
        @raise Again: the connection is of no more use, and a new one is needed.
        """


class Proxy(Asking, Protocol):
    """
    One kind of proxy, with the login for it; for any number of connections.
    """

    async def greet(self, link: Link) -> None:
        """
        Log in, and ask for nothing: to see whether the proxy works.

        Where its protocol has no step before the request, nothing is said.

        @raise socksgw.client.errors.ProxyError: it does not let the client in.
        """

    async def bind(self, link: Link, host: Address | str, port: int) -> Expecting:
        """
        Have the proxy open a port for one connection from outside.

        @param host: whose connection is awaited; 0.0.0.0 where it is not known.
        @param port: of that host's connection; 0 where it is not known.
        @raise socksgw.client.errors.ProxyError: it does not.
        """

    async def associate(
        self,
        link: Link,
        host: Address = UNSPECIFIED4,
        port: int = 0,
        command: int = Command.UDP_ASSOCIATE,
    ) -> Accepted:
        """
        Have the proxy relay datagrams, as long as the link lives.

        @param host: where our datagrams come from; 0.0.0.0 where it is not known.
        @param port: likewise; 0 where it is not known.
        @param command: another one than UDP ASSOCIATE where the datagrams go inside
            the link.
        @return: C{bound} is where datagrams go, where there is no C{association};
            0.0.0.0 stands for the proxy's own address.
        @raise socksgw.client.errors.ProxyError: it does not.
        """


class Expecting(Protocol):
    """
    A proxy that waits for a connection from outside.
    """

    @property
    def bound(self) -> tuple[Address, int]:
        """
        The address and port to tell the peer.

        0.0.0.0 stands for the proxy's own address.
        """

    async def peer(self) -> Accepted:
        """
        Await the peer's connection; from then on the link carries its octets.

        @return: C{bound} is the peer's address and port.
        @raise socksgw.client.errors.ProxyError: none has come.
        """


class ConnectOnly:
    """What a proxy does not do whose protocol has CONNECT alone (L{Proxy})."""

    async def greet(self, link: Link) -> None:
        """As L{Proxy.greet}: such a protocol begins with the request."""

    async def bind(self, link: Link, host: Address | str, port: int) -> Expecting:
        """As L{Proxy.bind}: it does not."""
        raise CommandNotSupported(_UNSUPPORTED, "its protocol has no BIND")

    async def associate(
        self,
        link: Link,
        host: Address = UNSPECIFIED4,
        port: int = 0,
        command: int = Command.UDP_ASSOCIATE,
    ) -> Accepted:
        """As L{Proxy.associate}: it does not."""
        raise CommandNotSupported(_UNSUPPORTED, "its protocol has no UDP")
