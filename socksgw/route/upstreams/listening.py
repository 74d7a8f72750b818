"""
Wait for a peer at an upstream (BIND).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from twisted.internet.defer import CancelledError, Deferred

from socksgw.errors import ConnectFailed
from socksgw.interfaces import SetDeadline
from socksgw.route.upstreams.outlet import ThroughOutlet
from socksgw.route.upstreams.relayed import told, untrue
from socksgw.route.upstreams.trip import Leg
from socksgw.system.connection import Connection
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = ["UpstreamListening"]


@final
class UpstreamListening:
    """
    The port that an upstream has opened for one peer (L{Listening}).

    The upstream takes one connection. If that is not the peer's, the wait is over.

    @ivar own: the address that it listens at.
    @ivar told: the address and port that the peer is told to come to.
    @ivar strangers: how many connections were not the peer's.
    @ivar path: the upstreams that lead to it.
    """

    __slots__ = (
        "_leg", "_setDeadline", "_taken", "_timeout", "own", "path", "strangers", "told"
    )  # fmt: skip

    def __init__(self, leg: Leg, setDeadline: SetDeadline, timeout: float) -> None:
        """
        Take a leg that waits for a peer.

        @param timeout: seconds that L{accept} waits.
        @raise UpstreamFailed: the upstream does not tell where it listens.
        """
        self._leg = leg
        self._setDeadline = setDeadline
        self._timeout = timeout
        self._taken = False
        self.strangers = 0
        self.path = leg.path
        self.told = told(leg)
        self.own = self.told[0]

    async def accept(self, admits: Callable[[Address, int], bool]) -> ThroughOutlet:
        """
        As L{Listening.accept}.

        @raise UpstreamFailed: the upstream does not say who has come.
        """
        leg = self._leg
        assert leg.peer is not None
        waiting = Deferred.fromCoroutine(_awaited(leg))
        late = False

        def expired() -> None:
            nonlocal late
            late = True
            waiting.cancel()

        deadline = self._setDeadline(self._timeout, expired)
        try:
            connection, address, port, surplus = await waiting
        except CancelledError:
            if not late:
                raise
            raise ConnectFailed(
                "no peer came in time", Reply.HOST_UNREACHABLE, "bind-timeout"
            ) from None
        finally:
            deadline.clear()
        if address.isUnspecified:
            raise untrue(leg, "it does not tell which peer has come")
        if not admits(address, port):
            self.strangers += 1
            raise ConnectFailed(
                f"{address}:{port} has come, and may not", Reply.NOT_ALLOWED, "stranger"
            )
        self._taken = True
        accepted = leg._replace(connection=connection, bound=self.told, surplus=surplus)
        return ThroughOutlet(accepted, address, port)

    def close(self) -> None:
        """As L{Listening.close}."""
        if not self._taken:
            self._taken = True
            self._leg.connection.abortConnection()


async def _awaited(leg: Leg) -> tuple[Connection, Address, int, bytes]:
    assert leg.peer is not None
    return await leg.peer()
