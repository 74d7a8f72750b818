"""
The schema of where metrics are sent.
"""

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = ["MetricsConfig", "MetricsOTLP"]


@frozen
class MetricsOTLP:
    """
    Where metrics are sent by OTLP over HTTP; needs C{socksgw[otel]}.

    @ivar url: The collector's URL for metrics, such as
        C{"http://127.0.0.1:4318/v1/metrics"}, or C{https}.
    @ivar every: How often they are sent; at least C{"1s"}.
    @ivar token_file: A file with the bearer token, which nobody else may read. Absent:
        none is sent.
    @ivar ca: A file of the CAs of the collector's certificate. Absent: those that the
        package certifi brings.
    """

    url: str
    every: Duration = Duration(60)
    token_file: str = ""
    ca: str = ""


@frozen
class MetricsConfig:
    """
    Metrics that are sent; C{/metrics} of the admin interface is there without it.

    @ivar otlp: To a collector of OpenTelemetry.
    """

    otlp: MetricsOTLP | None = None
