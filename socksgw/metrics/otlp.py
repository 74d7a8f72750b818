"""
Send a snapshot to a collector of OpenTelemetry (OTLP over HTTP).

This needs C{socksgw[otel]}, and is imported only where metrics are sent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from socksgw.metrics.catalogue import Metric
from socksgw.metrics.meters import Histogram
from socksgw.metrics.snapshot import Labels, Snapshot, Value

__all__ = ["Pusher", "PushFailed", "dataOf"]

_TOTAL: Final = otel.AggregationTemporality.CUMULATIVE
#: Suffixes of names that say the unit (UCUM has it).
_UNITS: Final = (("_seconds", "s"), ("_bytes", "By"))
#: Nobody keeps the least and the largest value: they are left out.
_UNKNOWN: Final[Any] = None
_BILLION: Final = 1_000_000_000

# What fails is told by who sends, once.
logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
logging.getLogger("opentelemetry").propagate = False


class PushFailed(Exception):
    """The collector has not taken the metrics; the text says why."""


def dataOf(
    snapshot: Snapshot, since: float, resource: Mapping[str, str]
) -> otel.MetricsData:
    """
    Return a snapshot as OpenTelemetry has it.

    @param since: when counting began, in seconds since the epoch.
    @param resource: what tells this gateway from others.
    """
    moment = int(since * _BILLION), int(snapshot.at * _BILLION)
    metrics = [_metric(metric, values, *moment) for metric, values in snapshot]
    scope = otel.ScopeMetrics(InstrumentationScope("socksgw"), metrics, "")
    return otel.MetricsData([otel.ResourceMetrics(Resource(resource), [scope], "")])


def _metric(
    metric: Metric, values: Mapping[Labels, Value], since: int, now: int
) -> otel.Metric:
    name = metric.name.removesuffix("_total")
    unit = next((unit for end, unit in _UNITS if name.endswith(end)), "1")
    data: Any
    if metric.kind == "histogram":
        points = [
            otel.HistogramDataPoint(
                attributes=dict(zip(metric.labels, labels, strict=True)),
                start_time_unix_nano=since,
                time_unix_nano=now,
                count=sum(value.counts),
                sum=value.sum,
                bucket_counts=value.counts,
                explicit_bounds=value.bounds,
                min=_UNKNOWN,
                max=_UNKNOWN,
            )
            for labels, value in values.items()
            if isinstance(value, Histogram)
        ]
        data = otel.Histogram(points, _TOTAL)
        return otel.Metric(metric.name, metric.help, unit, data)
    numbers = [
        otel.NumberDataPoint(
            attributes=dict(zip(metric.labels, labels, strict=True)),
            start_time_unix_nano=since if metric.kind == "counter" else now,
            time_unix_nano=now,
            value=value + 0,
        )
        for labels, value in values.items()
        if not isinstance(value, Histogram)
    ]
    data = otel.Gauge(numbers)
    if metric.kind == "counter":
        data = otel.Sum(numbers, _TOTAL, is_monotonic=True)
    return otel.Metric(name, metric.help, unit, data)


@final
class Pusher:
    """
    Sends to one collector. It blocks: use it in a thread.
    """

    def __init__(self, url: str, token: str, ca: str, seconds: float) -> None:
        """
        Connect to nothing yet.

        @param token: sent as a bearer token; empty for none.
        @param ca: a file of CAs; empty for those of the library.
        @param seconds: that sending may take, tries again included.
        """
        self._seconds = seconds
        self._exporter = OTLPMetricExporter(
            endpoint=url,
            certificate_file=ca or None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=seconds,
        )

    def push(
        self, snapshot: Snapshot, since: float, resource: Mapping[str, str]
    ) -> None:
        """
        Send the values of one moment.

        @raise PushFailed: the collector has not taken them.
        """
        data = dataOf(snapshot, since, resource)
        try:
            result = self._exporter.export(data, timeout_millis=self._seconds * 1000)
        except Exception as e:
            # The library raises those of the libraries below.
            raise PushFailed(f"{type(e).__name__}") from None
        if result is not otel.MetricExportResult.SUCCESS:
            raise PushFailed("it does not answer, or takes nothing")

    def close(self) -> None:
        """Let go of the connection; a try that waits ends."""
        self._exporter.shutdown()
