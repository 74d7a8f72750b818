"""
The metrics: C{/metrics}, for Prometheus.

Whoever asks gets the values of one moment. Reading these off takes the reactor several
turns where there are many sessions, and the text is made piece by piece as the client
takes it, so neither many clients nor slow ones hold up a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

from socksgw.admin.table import Answer, Asked, Entry
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.measuring import Latest
from socksgw.metrics.exposition import OPENMETRICS, TEXT, openMetricsWanted, pieces

__all__ = ["ENTRIES"]

_LATEST: Final[WeakKeyDictionary[Gateway, Latest]] = WeakKeyDictionary()


async def _metrics(asked: Asked) -> Answer:
    gateway = asked.gateway
    snapshot = await _LATEST.setdefault(gateway, Latest()).ask(gateway, asked.reactor)
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
