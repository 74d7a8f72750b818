"""
The ways out of one UDP association: each is opened when the first flow wants it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.relay.exit import Exit, Owner, OwnExit
from socksgw.relay.flow import Flow, Permit
from socksgw.relay.seams import Associated, DatagramOutlet, Upstream
from socksgw.relay.upstream import UpstreamExit
from socksgw.system.coroutines import forget
from socksgw.system.watch import Watcher

__all__ = ["Exits"]


@final
class Exits:
    """
    All ways out of one association.
    """

    __slots__ = ("_end", "_exits", "_makeSocket", "_opening", "_owner", "_watch")

    def __init__(
        self,
        owner: Owner,
        watch: Watcher,
        makeSocket: Callable[[int], socket.socket],
        end: Callable[[Flow, str], None],
    ) -> None:
        """
        Open nothing yet.

        @param makeSocket: opens the sockets of flows that have no outlet of their own,
            for a version of IP.
        @param end: ends a flow whose way is lost, for a reason.
        """
        self._owner = owner
        self._watch = watch
        self._makeSocket = makeSocket
        self._end = end
        self._exits: dict[Any, Exit] = {}
        self._opening: dict[Any, _Opening] | None = None

    def own(self, outlet: DatagramOutlet | None) -> Exit:
        """
        Return the way out by an outlet's sockets, of this host.

        @param outlet: L{None} for the association's own.
        """
        way = self._exits.get(outlet)
        if way is None:
            make = self._makeSocket if outlet is None else outlet.outer
            way = self._exits[outlet] = OwnExit(self._owner, self._watch, make)
        return way

    async def through(self, upstream: Upstream, flow: Flow, permit: Permit) -> Exit:
        """
        Return the way out through an upstream, or from here in its place.

        The flows to addresses share one. An answer to what was sent to a name comes
        from an address that the upstream alone knows, so that the flow has a way of
        its own.

        @raise socksgw.errors.SocksError: the upstream gives no association.
        """
        key = upstream, flow.key if permit.address is None else None
        way = self._exits.get(key)
        if way is not None:
            return way
        if self._opening is None:
            self._opening = {}
        opening = self._opening.get(key)
        if opening is not None:
            return await opening.wait() or self._instead(flow, permit)
        running = Deferred.fromCoroutine(self._associated(key, upstream))
        opening = self._opening[key] = _Opening(running)
        waiting = opening.wait()
        opening.watch(partial(self._opening.pop, key, None))
        return await waiting or self._instead(flow, permit)

    def _instead(self, flow: Flow, permit: Permit) -> Exit:
        """
        Return the way out from here, in the place of an upstream.

        @raise socksgw.errors.SocksError: nothing may leave to that address.
        """
        outlet = permit.outlet
        assert outlet is not None
        assert permit.address is not None
        outlet.choose((permit.address,), flow.datagram.port, direct=True)
        return self.own(outlet)

    async def _associated(self, key: Any, upstream: Upstream) -> UpstreamExit | None:
        associated = await upstream.associate()
        return None if associated is None else self._opened(key, associated)

    def held(self, associated: Associated) -> UpstreamExit:
        """Return the way out through an association that is open already."""
        return self._opened(associated, associated)

    def _opened(self, key: Any, associated: Associated) -> UpstreamExit:
        """
        Return the way out through an association; its flows end with it.

        @raise OSError: its socket cannot be watched.
        """

        def lost(reason: str) -> None:
            way = self._exits.pop(key, None)
            if way is not None:
                for flow in list(way.flows):
                    self._end(flow, reason)

        way = UpstreamExit(self._owner, self._watch, associated, lost)
        self._exits[key] = way
        way.open()
        return way

    def index(self) -> None:
        """Take note of whose answers count, after C{replies} of flows changed."""
        for way in self._exits.values():
            way.index()

    def close(self) -> None:
        """Let go of everything: no flow is left."""
        for opening in list((self._opening or {}).values()):
            opening.cancel()
        for way in list(self._exits.values()):
            way.close()
        self._exits.clear()
        # No circle: the owner has these ways.
        del self._owner, self._end, self._makeSocket


@final
class _Opening:
    """
    A way that is being opened, and the flows that wait for it.
    """

    __slots__ = ("_running", "_waiting")

    def __init__(self, opening: Deferred[UpstreamExit | None]) -> None:
        self._running = opening
        self._waiting: list[Deferred[UpstreamExit | None]] = []

    def watch(self, over: Callable[[], object]) -> None:
        """
        Tell the flows, when it is open or cannot be.

        @param over: called before.
        """

        def done(result: UpstreamExit | Failure | None) -> None:
            over()
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(result)
            if isinstance(result, Failure):
                forget(result)

        self._running.addCallbacks(done, done)

    def wait(self) -> Deferred[UpstreamExit | None]:
        """Return what fires with the way, or fails as its opening."""
        waiting = Deferred[UpstreamExit | None](self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def cancel(self) -> None:
        """Open it no longer."""
        self._running.cancel()
