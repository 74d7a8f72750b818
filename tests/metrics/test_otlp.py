"""
Metrics for OpenTelemetry: what a collector is sent, and one that fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock

from socksgw.gateway.push import MetricsPush
from socksgw.metrics.snapshot import Snapshot
from tests.live import raw
from tests.live.running import OPEN, Running, running
from tests.live.servers import Destination, echo, package
from tests.tools.waiting import until

OTLP = """
[metrics.otlp]
url = "http://127.0.0.1:{0}/v1/metrics"
every = "1s"
token_file = "token"
"""
TOKEN = "canary-0123456789"


class Collector:
    """
    Takes what is sent, as the protocol buffers of OTLP say it.

    @ivar requests: what was sent.
    @ivar tokens: with which Authorization.
    @ivar status: what it answers.
    @ivar asked: how often it was asked.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.tokens: set[str | None] = set()
        self.status = 200
        self.asked = 0

    def metrics(self) -> dict[str, Any]:
        """What was sent last, by name."""
        (resource,) = self.requests[-1].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Serve at a port."""
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                length = int(handler.headers["Content-Length"])
                octets = handler.rfile.read(length)
                self.asked += 1
                if self.status == 200:
                    self.tokens.add(handler.headers["Authorization"])
                    request = pb.ExportMetricsServiceRequest()
                    request.ParseFromString(octets)
                    self.requests.append(request)
                handler.send_response(self.status)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def points(metric: Any) -> dict[tuple[tuple[str, str], ...], float]:
    """The values of a counter by their attributes."""
    return {
        tuple((each.key, each.value.string_value) for each in point.attributes): (
            point.as_double or point.as_int
        )
        for point in metric.sum.data_points
    }


def session(gateway: Running) -> None:
    """Have a client come and go."""
    with Destination(echo) as server, raw.dial(gateway.port) as client:
        raw.through(client, "127.0.0.1", server.port)
        client.sendall(b"hello")
        assert raw.exactly(client, 5) == b"hello"


def test_collector(tmp_path: Path) -> None:
    """It gets all metrics again and again; while it fails, nobody is the worse for it."""
    package("opentelemetry.exporter.otlp.proto.http")
    collector = Collector()
    with collector.serving() as port:
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text(TOKEN)
        text = OPEN + OTLP.format(port)
        with contextmanager(running)(tmp_path, text) as gateway:
            session(gateway)
            until(
                lambda: collector.requests and "socksgw_octets" in collector.metrics()
            )
            metrics = collector.metrics()
            sent = (("listener", "main"), ("direction", "sent"))
            assert points(metrics["socksgw_octets"])[sent] == 5
            assert metrics["socksgw_octets"].sum.is_monotonic
            (connect,) = metrics["socksgw_connect_seconds"].histogram.data_points
            assert (connect.count, len(connect.bucket_counts)) == (1, 14)
            assert not connect.HasField("min")
            assert metrics["socksgw_connect_seconds"].unit == "s"
            assert metrics["socksgw_rules"].gauge.data_points[0].as_int == 1
            resource = collector.requests[-1].resource_metrics[0].resource
            told = {each.key: each.value.string_value for each in resource.attributes}
            assert told["service.name"] == "socksgw"
            assert collector.tokens == {f"Bearer {TOKEN}"}

            collector.status = 400
            until(lambda: "the collector has not taken the metrics" in gateway.log)
            session(gateway)
            collector.status = 200
            before = len(collector.requests)
            until(lambda: len(collector.requests) > before)
            assert gateway.log.count("has not taken the metrics") == 1
            assert TOKEN not in gateway.log


def test_aTryThatWaitsEnds() -> None:
    """What is sent when the part ends does not hold it up, and is not told."""
    package("opentelemetry.exporter.otlp.proto.http")
    from socksgw.metrics.otlp import Pusher, PushFailed

    collector = Collector()
    collector.status = 503
    with collector.serving() as port:
        pusher = Pusher(f"http://127.0.0.1:{port}/v1/metrics", "", "", 10.0)
        failed: list[PushFailed] = []

        def push() -> None:
            try:
                pusher.push(Snapshot(1.0), 0.0, {})
            except PushFailed as e:
                failed.append(e)

        part: Any = MetricsPush(cast(Any, None), MemoryReactorClock())
        part._pusher = pusher
        part._threads.do(push)
        until(lambda: collector.asked)
        part.close()
        until(lambda: failed, 3)
