"""
The metrics: C{/metrics}, for Prometheus.

Whoever asks gets the values of one moment. Reading these off takes the reactor several
turns where there are many sessions, and the text is made piece by piece as the client
takes it, so neither many clients nor slow ones hold up a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred

from socksgw.admin.table import Answer, Asked, Entry
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.measuring import gather
from socksgw.metrics.exposition import OPENMETRICS, TEXT, openMetricsWanted, pieces
from socksgw.metrics.snapshot import Snapshot

__all__ = ["ENTRIES"]

#: Seconds for which values are of now.
_FRESH: Final = 1.0


@final
class _Latest:
    """The values that a gateway had last."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._at = 0.0
        self._waiting: list[Deferred[Snapshot]] | None = None

    def ask(self, gateway: Gateway, reactor: Any) -> Deferred[Snapshot]:
        """Return what fires with values that are at most a second old."""
        asked: Deferred[Snapshot] = Deferred()
        fresh = reactor.seconds() - self._at
        if self._snapshot is not None and 0 <= fresh < _FRESH:
            asked.callback(self._snapshot)
        elif self._waiting is not None:
            self._waiting.append(asked)
        else:
            self._waiting = [asked]
            self._go(gather(gateway), reactor)
        return asked

    def _go(self, gathering: Any, reactor: Any) -> None:
        try:
            found = next(gathering)
        except Exception as e:
            waiting, self._waiting = self._waiting or [], None
            for each in waiting:
                each.errback(e)
            return
        if found is None:
            reactor.callLater(0, self._go, gathering, reactor)
            return
        self._snapshot, self._at = found, reactor.seconds()
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(found)


_LATEST: Final[WeakKeyDictionary[Gateway, _Latest]] = WeakKeyDictionary()


async def _metrics(asked: Asked) -> Answer:
    gateway = asked.gateway
    snapshot = await _LATEST.setdefault(gateway, _Latest()).ask(gateway, asked.reactor)
    openMetrics = openMetricsWanted(asked.accept)
    kind = OPENMETRICS if openMetrics else TEXT
    return Answer(pieces(snapshot, openMetrics), kind=kind, fields={"Vary": "Accept"})


ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/metrics",
        _metrics,
        "Tell the metrics of now, as Prometheus reads them.",
        {200: None},
        public="metrics",
        kinds=(TEXT, OPENMETRICS),
    ),
)
