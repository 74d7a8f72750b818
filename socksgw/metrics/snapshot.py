"""
The values of all metrics at one moment.

A snapshot is taken in the reactor's thread, and refers to nothing that changes: what
is made of it may be made at any time, in any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from socksgw.metrics.catalogue import CATALOGUE, Metric
from socksgw.metrics.meters import MOST, OTHER, Histogram

__all__ = ["Labels", "Snapshot", "Value"]

Labels = tuple[str, ...]
Value = float | Histogram


@final
class Snapshot:
    """
    Values by metric and labels: at most L{MOST} series of each metric.

    @ivar at: when it was taken, in seconds since the epoch.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self._values: dict[str, dict[Labels, Value]] = {}

    def put(self, name: str, value: Value, *labels: object) -> None:
        """
        Add a value.

        Values of the same labels are added together, and so are all beyond the bound,
        whose labels are C{other} then.

        @param name: of a metric in L{CATALOGUE}.
        @param value: a number; of a histogram a L{Histogram} that does not change.
        @param labels: as many as the metric has, in its order.
        @raise KeyError: there is no such metric.
        """
        metric = CATALOGUE[name]
        key = tuple(map(str, labels))
        assert len(key) == len(metric.labels), name
        values = self._values.setdefault(name, {})
        if key not in values and len(values) >= _most(value):
            key = (OTHER,) * len(key)
        before = values.get(key)
        if before is None:
            values[key] = value
        elif isinstance(value, Histogram):
            assert isinstance(before, Histogram)
            values[key] = total = before.copy()
            total.add(value)
        else:
            assert not isinstance(before, Histogram)
            values[key] = before + value

    def renew(self, later: Snapshot) -> None:
        """Take the values of a later one, of the metrics that it has."""
        self.at = later.at
        self._values |= later._values

    def of(self, name: str) -> dict[Labels, Value]:
        """Return the values of a metric by their labels; none where there are none."""
        return self._values.get(name, {})

    def __iter__(self) -> Iterator[tuple[Metric, dict[Labels, Value]]]:
        """Iterate over the metrics that have values, in the catalogue's order."""
        for name, metric in CATALOGUE.items():
            values = self._values.get(name)
            if values:
                yield metric, values


def _most(value: Value) -> int:
    """Return how many sets of labels there may be, but for that of all others."""
    if isinstance(value, Histogram):
        # Each bucket is a series, and so are the sum and the count.
        return MOST // (len(value.counts) + 2) - 1
    return MOST - 1
