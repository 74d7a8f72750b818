"""
What is opened for one session, and how far it has come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple, Protocol, final

from socksgw.interfaces import Asker, Protection
from socksgw.route.upstreams.standing import Standing
from socksgw.system.connection import Connection, SocketName
from socksgw.wire.address import Address

__all__ = ["Asked", "Leg", "Names", "Opener", "Traveller", "Trip"]

#: What an upstream is asked for.
Asked = Literal["connect", "bind", "udp"]
_CONNECT: Final = "connect"


class Names(Protocol):
    """What looks up the names of upstreams."""

    def lookUp(self, name: str, source: Address) -> Awaitable[tuple[Address, ...]]:
        """Look up every address of a name, as L{socksgw.route.resolver.Resolver}."""


class Traveller(Protocol):
    """Whoever a connection is opened for: a session."""

    @property
    def asker(self) -> Asker:
        """Who the client is."""

    @property
    def port(self) -> int:
        """The client's port; 0 where it has none."""

    @property
    def gateways(self) -> tuple[str, ...]:
        """The gateways before this one that the client's connection came through."""

    @property
    def local(self) -> SocketName | None:
        """Our end of the client's connection; L{None} where it has none."""

    @property
    def shown(self) -> tuple[bytes, bytes] | None:
        """
        The name and the password by which it has logged in on this very connection.

        L{None} where there are none, or nothing may hand them on.
        """

    def joins(self, standing: Standing) -> None:
        """Note that it uses an upstream, until it L{parts} with it or is over."""

    def parts(self, standing: Standing) -> None:
        """Note that it does not use an upstream any more: have it L{Standing.end}."""


@final
class Trip:
    """
    One attempt to reach a destination, with the time that it has.

    @ivar traveller: for whom.
    @ivar asked: what the last upstream is asked for.
    @ivar opening: whether what is said first at its end may go in the first packet (RFC
        7413).
    """

    __slots__ = ("_clock", "_ends", "_names", "asked", "opening", "traveller")

    def __init__(
        self,
        traveller: Traveller,
        seconds: float,
        clock: Callable[[], float],
        names: Names,
        asked: Asked = _CONNECT,
        opening: bool = False,
    ) -> None:
        """
        Begin to count the time.

        @param seconds: for the whole of it.
        @param clock: monotonic seconds.
        @param names: what looks up the names of upstreams here.
        """
        self._names = names
        self.traveller = traveller
        self.asked = asked
        self.opening = opening
        self._clock = clock
        self._ends = clock() + seconds

    def within(self, seconds: float) -> Trip:
        """Return the same with less time, of which this is the most."""
        if seconds >= self.left:
            return self
        return Trip(
            self.traveller,
            seconds,
            self._clock,
            self._names,
            self.asked,
            self.opening,
        )

    @property
    def left(self) -> float:
        """The seconds that are left; may be negative."""
        return self._ends - self._clock()

    def towards(self, opening: bool = False) -> Trip:
        """
        Return the trip to the last upstream: all others are asked to connect.

        @param opening: as the trip has it.
        """
        if self.asked == _CONNECT and self.opening is opening:
            return self
        return Trip(
            self.traveller, self.left, self._clock, self._names, opening=opening
        )

    async def lookUp(self, name: str) -> tuple[Address, ...]:
        """
        Look up the name of an upstream here; the policy is not asked.

        @raise SocksError: it has no address.
        """
        return await self._names.lookUp(name, self.traveller.asker.source)


#: Awaits a peer: the connection to it, its address and port, and what came behind the
#: reply that tells them. Nothing reads the connection then. Raises C{SocksError}: none
#: has come.
Peer = Callable[[], Awaitable[tuple[Connection, Address, int, bytes]]]


class Leg(NamedTuple):
    """
    An open connection, through so many upstreams.

    @ivar connection: nothing reads it.
    @ivar bound: the address and port that the last server has told.
    @ivar surplus: what came behind its reply.
    @ivar used: the upstreams that it goes through.
    @ivar own: the last upstream, as the one before it reaches it.
    @ivar framing: in which framing that takes datagrams inside the connection; empty
        where it does not.
    @ivar association: the ID of the association whose messages go there; or empty.
    @ivar protection: what datagrams beside the connection go through.
    @ivar tls: whether TLS with the last upstream is around the connection.
    @ivar peer: awaits the peer that it waits for (BIND).
    """

    connection: Connection
    bound: tuple[Address, int]
    surplus: bytes = b""
    used: tuple[Standing, ...] = ()
    own: Address | str = ""
    framing: str = ""
    protection: Protection | None = None
    tls: bool = False
    peer: Peer | None = None
    association: bytes = b""

    @property
    def inside(self) -> bool:
        """Whether datagrams go inside the connection."""
        return bool(self.framing or self.association)

    @property
    def name(self) -> str:
        """The name of the last upstream."""
        return self.used[-1].name

    @property
    def path(self) -> str:
        """The upstreams, for the record."""
        return ", ".join(each.name for each in self.used)


class Opener(Protocol):
    """What opens connections: this host, or upstreams in a row."""

    async def open(self, host: Address | str, port: int, trip: Trip) -> Leg:
        """
        Open a connection to an address, or to a name that is looked up there.

        @raise SocksError: it cannot be opened; nothing is left open then.
        """
