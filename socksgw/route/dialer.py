"""
From judged literals to one connected socket. No name ever comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from twisted.internet.defer import Deferred

from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline
from socksgw.route.outlet import PlainOutlet
from socksgw.route.race import Race
from socksgw.route.single import Single
from socksgw.system.coroutines import Awaited
from socksgw.system.domains import HERE, Sockets
from socksgw.system.stack import Dress, Dressed
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["Dialer"]


@final
class Dialer:
    """
    Opens outlets.
    """

    __slots__ = (
        "_inTurn", "_reactor", "_setDeadline", "_sockets", "_timeout", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        setDeadline: SetDeadline,
        timeout: float,
        sockets: Sockets = HERE,
        inTurn: bool = False,
    ) -> None:
        """
        Make a dialler.

        @param timeout: seconds for all attempts at one destination, where nothing
            else is said of an address.
        @param sockets: where they come from.
        @param inTurn: whether they are made one after the other.
        """
        self._sockets = sockets
        self._inTurn = inTurn
        self._reactor = reactor
        self._watch = watch
        self._setDeadline = setDeadline
        self._timeout = timeout

    def dressed(self, dress: Dress) -> Dialer:
        """Return another one, as of L{socksgw.route.ways.Ways.dressed}."""
        return Dialer(
            self._reactor,
            self._watch,
            self._setDeadline,
            self._timeout,
            Dressed(self._sockets, dress),
            dress.inTurn,
        )

    async def open(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None] = lambda _: None,
        traveller: object = None,
    ) -> PlainOutlet:
        """
        Connect to one of some addresses: as L{socksgw.route.ways.Ways.connect}.
        """
        if len(addresses) == 1:
            try:
                outlet = await self._single(addresses[0], port, admit)
            except BlockingIOError:
                # None is at hand: the race waits for one.
                outlet = await self._race(addresses, port, admit)
        else:
            outlet = await self._race(addresses, port, admit)
        return outlet

    def begin(
        self,
        address: Address,
        port: int,
        seconds: float | None,
        connected: Callable[[PlainOutlet], None],
        failed: Callable[[SocksError], None],
    ) -> Single:
        """
        Begin to connect to one address: as L{socksgw.route.ways.Begin}.
        """
        single = Single(self._watch, address, port, connected, failed, False)
        single.start(self._sockets, seconds or self._timeout, self._setDeadline)
        return single

    def _single(
        self, address: Address, port: int, admit: Callable[[Address], float | None]
    ) -> Deferred[PlainOutlet]:
        """
        Begin to connect to one address.

        @raise SocksError: it has failed already.
        @raise BlockingIOError: no socket is at hand.
        """
        seconds = admit(address) or self._timeout
        done: Awaited[PlainOutlet] = Awaited(lambda _: single.cancel())
        single = Single(self._watch, address, port, done.callback, done.errback)
        single.start(self._sockets, seconds, self._setDeadline)
        return done

    def _race(
        self,
        addresses: Sequence[Address],
        port: int,
        admit: Callable[[Address], float | None],
    ) -> Deferred[PlainOutlet]:
        """Begin to connect to one of some addresses."""

        def seconds(address: Address) -> float:
            return admit(address) or self._timeout

        race = Race(
            self._reactor,
            self._watch,
            self._setDeadline,
            addresses,
            port,
            seconds,
            self._sockets,
            self._inTurn,
        )
        race.start()
        return race.done
