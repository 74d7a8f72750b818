"""
What a gateway does again and again while it serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final

from socksgw.accept.admission import Census
from socksgw.audit.journal import Journal
from socksgw.gateway.generation import Generation
from socksgw.gateway.networks import Networks
from socksgw.gateway.parts import Parts
from socksgw.gateway.reload import Reload
from socksgw.gateway.revocation import Revocation
from socksgw.gateway.state import State
from socksgw.limits.allowance import Allowances
from socksgw.limits.counters import Kept
from socksgw.limits.limits import Limits
from socksgw.metrics.meters import Meters
from socksgw.system.beat import Beat
from socksgw.system.deadlines import Deadlines
from socksgw.system.domains import Domain
from socksgw.system.heap import Heap

__all__ = ["Rounds"]


class Service(Protocol):
    """The parts of a gateway that have their turn here."""

    clock: Callable[[], float]
    deadlines: Deadlines
    census: Census
    meters: Meters
    limits: Limits
    journal: Journal
    networks: Networks
    reloads: Reload

    @property
    def generation(self) -> Generation: ...


@final
class Rounds:
    """Look after everything that is due at some time, and not by an event."""

    def __init__(
        self,
        gateway: Service,
        reactor: Any,
        parts: Parts,
        revocation: Revocation,
        state: State,
        counters: Kept,
        allowances: Allowances,
        reopen: Callable[[Domain], bool],
    ) -> None:
        """
        Do nothing yet.

        @param reopen: opens the listeners of a domain anew, and returns whether all of
            them are as they are to be.
        """
        self._gateway = gateway
        self._revocation = revocation
        self._counters = counters
        heap, lag = Heap(), gateway.meters.lag
        self._beat = Beat(reactor, Deadlines.TICK, gateway.clock, lag.observe)
        # A beat is a quarter of a second.
        every = self._beat.every
        every(1, "a deadline", gateway.deadlines.scan)
        every(
            1,
            "the check of the stores of users",
            lambda: gateway.generation.login.look(),
        )
        every(1, "the end of quotas", self._lookAtLimits)
        every(1, "the heap", lambda: heap.look(gateway.census.clients))
        every(4, "the check of networks", lambda: gateway.networks.look(reopen))
        every(4, "the check for changes", self.look)
        every(4, "the quotas of others", self._lookAtQuotas)
        every(4, "the check of the journal", gateway.journal.look)
        every(4, "the parts", parts.look)
        every(4, "the cleared deadlines", gateway.deadlines.sweep)
        every(12, "the file of quotas", state.save)
        every(1, "the metrics", gateway.meters.look)
        every(40, "the counters", counters.sweep)
        every(40, "the allowances", allowances.sweep)

    def start(self) -> None:
        """Begin; the first round is a quarter of a second from now."""
        self._beat.start()

    def stop(self) -> None:
        """End, after L{start}."""
        self._beat.stop()

    def look(self) -> None:
        """Look for changes of files, and for sessions that they end."""
        self._gateway.reloads.look()
        self._revocation.look()

    def _lookAtLimits(self) -> None:
        limits = self._gateway.limits
        if limits.usedUp and limits.enforced:
            self._revocation.cut()

    def _lookAtQuotas(self) -> None:
        if self._counters.look():
            self._gateway.limits.usedUp = True
