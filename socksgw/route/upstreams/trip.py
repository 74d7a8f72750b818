"""
What is opened for one session, and how far it has come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, final

from socksgw.interfaces import Asker
from socksgw.route.upstreams.standing import Standing
from socksgw.system.connection import Connection, SocketName
from socksgw.wire.address import Address

__all__ = ["Leg", "Opener", "Traveller", "Trip"]


class Traveller(Protocol):
    """Whoever a connection is opened for: a session."""

    @property
    def asker(self) -> Asker:
        """Who the client is."""

    @property
    def local(self) -> SocketName | None:
        """Our end of the client's connection; L{None} where it has none."""

    def joins(self, standing: Standing) -> None:
        """Note that it uses an upstream, until it L{parts} with it or is over."""

    def parts(self, standing: Standing) -> None:
        """Note that it does not use an upstream any more: have it L{Standing.end}."""


@final
class Trip:
    """
    One attempt to reach a destination, with the time that it has.

    @ivar traveller: for whom.
    """

    __slots__ = ("_clock", "_ends", "traveller")

    def __init__(
        self, traveller: Traveller, seconds: float, clock: Callable[[], float]
    ) -> None:
        """
        Begin to count the time.

        @param seconds: for the whole of it.
        @param clock: monotonic seconds.
        """
        self.traveller = traveller
        self._clock = clock
        self._ends = clock() + seconds

    def within(self, seconds: float) -> Trip:
        """Return the same with less time, of which this is the most."""
        if seconds >= self.left:
            return self
        return Trip(self.traveller, seconds, self._clock)

    @property
    def left(self) -> float:
        """The seconds that are left; may be negative."""
        return self._ends - self._clock()


class Leg(NamedTuple):
    """
    An open connection, through so many upstreams.

    @ivar connection: nothing reads it.
    @ivar bound: the address and port that the last server has told.
    @ivar surplus: what came behind its reply.
    @ivar used: the upstreams that it goes through.
    """

    connection: Connection
    bound: tuple[Address, int]
    surplus: bytes = b""
    used: tuple[Standing, ...] = ()


class Opener(Protocol):
    """What opens connections: this host, or upstreams in a row."""

    async def open(self, host: Address | str, port: int, trip: Trip) -> Leg:
        """
        Open a connection to an address, or to a name that is looked up there.

        @raise SocksError: it cannot be opened; nothing is left open then.
        """
