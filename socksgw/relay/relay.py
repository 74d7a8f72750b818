"""
What all relays between two connections have in common.
"""

from __future__ import annotations

from typing import Any, Protocol

from socksgw.relay.idle import IdleTime, IdleWatch
from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings
from socksgw.system.coroutines import Awaited

__all__ = ["Done", "Relay"]


class _Bounded(Protocol):
    """One direction of a relay."""

    @property
    def moved(self) -> int: ...

    @property
    def delayed(self) -> bool: ...

    def limit(self, allowance: Allowance | None) -> None: ...


class Done(Protocol):
    """What hears of the end of a relay: a C{Deferred}, or what acts as one."""

    def callback(self, result: tuple[str, bool, bool], /) -> None:
        """Hear of it; the result is as of C{Relay.done}."""


class Relay(IdleWatch):
    """
    Move octets between a client and a destination.

    A relay ends when both have ended, when one broke, or when nothing moved for too
    long.

    @ivar client: the client's connection, and the octets that come from it.
    @ivar destination: the same of the destination.
    @ivar done: fires with the reason, a fixed word, and with whether the client and
        the destination are to be closed with a reset. Cancelled, the relay lets go
        of both (L{cancel}).
    """

    __slots__ = ("_over", "client", "destination", "done")

    settings: RelaySettings
    client: _Bounded
    destination: _Bounded

    def __init__(self, settings: RelaySettings, done: Done | None = None) -> None:
        """
        @param done: hears of the end in the place of what could be awaited.
        """
        # As L{IdleWatch} would, whose calls cost more than this does.
        self._moved, self._parts = IdleTime.BEFORE, 0
        self._deadline = None
        self.settings = settings
        self._over = False
        self.done: Any = Awaited(self.cancel) if done is None else done

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over

    def start(self, early: bytes) -> None:
        """
        Begin.

        @param early: octets that came behind the request; they go first.
        """
        raise NotImplementedError

    def limit(self, sending: Allowance | None, receiving: Allowance | None) -> None:
        """
        Bound what moves from now on.

        @param sending: what bounds the octets from the client; L{None} for
            nothing.
        @param receiving: the same for those to it.
        """
        self.client.limit(sending)
        self.destination.limit(receiving)

    def isIdle(self) -> bool:
        """As L{IdleWatch.isIdle}: of both directions together."""
        client, destination = self.client, self.destination
        return self.idles(
            client.moved + destination.moved, client.delayed or destination.delayed
        )

    def idled(self) -> None:
        """End for being idle, with a reset for both."""
        self.finish("idle", True, True)

    def finish(
        self, reason: str, resetClient: bool = False, resetDestination: bool = False
    ) -> None:
        """
        End the relay; without effect when it is over.

        What waits for L{done} closes the connections.
        """
        if not self._over:
            # To let go of one connection may tell at once that it is lost.
            self._over = True
            self.ignoreIdle()
            self.release(closing=True, reset=resetDestination)
            self.done.callback((reason, resetClient, resetDestination))

    def cancel(self, _: object = None) -> None:
        """Let go of both connections, and tell nobody."""
        self._over = True
        self.ignoreIdle()
        self.release(closing=False, reset=False)

    def release(self, closing: bool, reset: bool) -> None:
        """
        Let go of both connections, and of what is held for them.

        @param closing: whether they are closed right after.
        @param reset: whether the destination is to be closed with a reset.
        """
        raise NotImplementedError

    def dissolve(self) -> None:
        """
        Cut the references in circles, when the relay's figures have been read.

        What it held is free then, without the garbage collector.
        """
        raise NotImplementedError
