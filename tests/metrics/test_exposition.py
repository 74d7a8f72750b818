"""
The text that Prometheus gets: well-formed for its own tool, in the format it prefers.
"""

from __future__ import annotations

import subprocess
from itertools import count

import pytest
from prometheus_client.openmetrics import parser as openMetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from socksgw.metrics.catalogue import CATALOGUE
from socksgw.metrics.exposition import (
    OPENMETRICS,
    TEXT,
    exposition,
    openMetricsWanted,
)
from socksgw.metrics.meters import LONG, Histogram
from socksgw.metrics.snapshot import Snapshot
from tests.live.servers import program

#: What Prometheus 3 and 2 send (observed of the programs), with the scores of theirs.
PROMETHEUS3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS2 = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
    "*/*;q=0.1"
)


def full() -> Snapshot:
    """A snapshot with values of every metric, two series each where there are labels."""
    numbers = count(1)
    snapshot = Snapshot(1_700_000_000.0)
    for metric in CATALOGUE.values():
        for each in ("a", 'b"\\\n') if metric.labels else ("",):
            labels = [each] * len(metric.labels)
            value: float | Histogram = float(next(numbers))
            if metric.kind == "histogram":
                value = Histogram()
                value.observe(0.02)
                value.observe(20)
            snapshot.put(metric.name, value, *labels)
    return snapshot


def test_promtool() -> None:
    """promtool has nothing to say about names, types and texts."""
    text, _ = exposition(full(), "")
    promtool = program("promtool", "prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("accept", ["", PROMETHEUS3])
def test_whole(accept: str) -> None:
    """Every metric is there with what it means, nothing else, and no creation times."""
    text, kind = exposition(full(), accept)
    assert kind == (OPENMETRICS if accept else TEXT)
    assert text.endswith(b"# EOF\n") == bool(accept)
    read = openMetrics.text_string_to_metric_families if accept else parsed
    families = {family.name: family for family in read(text.decode())}
    suffix = "_total"
    assert set(families) == {name.removesuffix(suffix) for name in CATALOGUE}
    for metric in CATALOGUE.values():
        family = families[metric.name.removesuffix(suffix)]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {name for sample in family.samples for name in sample.labels}
        assert labels - {"le"} == set(metric.labels)
    assert b"_created" not in text
    histogram = families["socksgw_policy_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in histogram if "le" in s.labels}
    assert [*map(float, buckets)] == [*LONG, float("inf")]
    assert [buckets[each] for each in ("0.01", "0.025", "10.0", "+Inf")] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROMETHEUS3, True),
        (PROMETHEUS2, True),
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; q=0", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.9", False),
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", False),
        ("Application/OpenMetrics-Text; Version=1.0.0", True),
        ("application/openmetrics-text;version=1.0.0," + "x" * 100_000, True),
        (";,;q=,\x00=,q=7", False),
    ],
)
def test_accept(accept: str, wanted: bool) -> None:
    """What the client prefers, or the older format."""
    assert openMetricsWanted(accept) is wanted
