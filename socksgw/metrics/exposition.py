"""
A snapshot as a text for Prometheus: its own format, or OpenMetrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final

from prometheus_client import core
from prometheus_client import exposition as plain
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics

from socksgw.metrics.catalogue import Metric
from socksgw.metrics.meters import Histogram
from socksgw.metrics.snapshot import Labels, Snapshot, Value

__all__ = ["OPENMETRICS", "TEXT", "exposition", "openMetricsWanted", "pieces"]

#: The content types of the two formats (Prometheus' documentation, "Exposition
#: formats"; OpenMetrics 1.0 section "Transport").
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
#: The last line in OpenMetrics.
_END: Final = b"# EOF\n"
_WORD: Final = re.compile(r"[\w*.+-]+/[\w*.+-]+")
#: The weight of one kind in an Accept header, as RFC 9110 section 12.4.2 has it.
_WEIGHT: Final = re.compile(r";\s*q=([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)
#: The longest Accept header that is looked at.
_LONGEST: Final = 4096


def openMetricsWanted(accept: str) -> bool:
    """
    Tell whether an Accept header prefers OpenMetrics 1.0, or 0.0.1, to other texts.

    Prometheus 2 and 3 name what they take with weights.
    """
    wanted, other = 0.0, 0.0
    for each in accept[:_LONGEST].split(","):
        kind = _WORD.match(each.strip())
        if kind is None:
            continue
        found = _WEIGHT.search(each)
        weight = float(found[1]) if found else 1.0
        if kind[0].lower() != "application/openmetrics-text":
            if kind[0].lower() in ("text/plain", "text/*", "*/*"):
                other = max(other, weight)
        elif not (version := re.search(r"version=\"?([\d.]+)", each)) or (
            version[1] in ("1.0.0", "0.0.1")
        ):
            wanted = max(wanted, weight)
    return wanted > 0 and wanted >= other


def pieces(snapshot: Snapshot, openMetrics: bool) -> Iterator[bytes]:
    """
    Yield the text in pieces, one of each metric, each of which is made quickly.
    """
    write: Any = (openmetrics if openMetrics else plain).generate_latest
    for metric, values in snapshot:
        text: bytes = write(_Only(_family(metric, values)))
        yield text.removesuffix(_END)
    if openMetrics:
        yield _END


def exposition(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """
    Return the text, and its content type.

    @param accept: the Accept header of the request; may be empty.
    """
    openMetrics = openMetricsWanted(accept)
    text = b"".join(pieces(snapshot, openMetrics))
    return text, OPENMETRICS if openMetrics else TEXT


class _Only:
    """A registry of one metric."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> list[Family]:
        """Return it."""
        return [self._family]


def _family(metric: Metric, values: dict[Labels, Value]) -> Family:
    name, meaning, labels = metric.name, metric.help, metric.labels
    if metric.kind == "histogram":
        histogram = core.HistogramMetricFamily(name, meaning, labels=labels)
        for key, value in values.items():
            assert isinstance(value, Histogram)
            bounds = [*map(str, map(float, value.bounds)), "+Inf"]
            counts = [*accumulate(value.counts)]
            buckets = [*zip(bounds, counts, strict=True)]
            histogram.add_metric(key, buckets, sum_value=value.sum)
        return histogram
    made: Any = core.GaugeMetricFamily(name, meaning, labels=labels)
    if metric.kind == "counter":
        made = core.CounterMetricFamily(name, meaning, labels=labels)
    for key, value in values.items():
        made.add_metric(key, value)
    return made  # type: ignore[no-any-return]
