"""
What stands in C{etc/} for Prometheus and Grafana: true to the catalogue, and to
Prometheus' own tools.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from socksgw.console.manual import chapters
from socksgw.metrics.catalogue import CATALOGUE
from tests.live.running import ROOT
from tests.live.servers import program

PROMETHEUS = ROOT / "etc" / "prometheus"
DASHBOARD: Any = json.loads((ROOT / "etc" / "grafana" / "socksgw.json").read_text())
#: What has to be a rate, or a quantile, by the kind of the metric.
SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
NAMES = {
    metric.name + suffix: metric
    for metric in CATALOGUE.values()
    for suffix in SUFFIXES[metric.kind]
}
#: Of a metric, with its selector, in a query.
USES = re.compile(r"(\w+\()?\b(socksgw_\w+)(\{[^}]*\})?")
#: Labels that Prometheus itself, or the shape of histograms, adds.
ADDED = {"job", "instance", "le", "__name__"}


def queries(panels: list[Any]) -> Iterator[tuple[str, str]]:
    """The queries of panels, each with the legend."""
    for panel in panels:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]


def rules() -> list[str]:
    """The expressions of the alert rules."""
    text = (PROMETHEUS / "socksgw.rules.yml").read_text("utf-8")
    return re.findall(r"(?m)^ +expr: (.*)$", text)


@pytest.mark.parametrize(
    "command", ["rules socksgw.rules.yml", "config prometheus.yml"]
)
def test_checked(command: str) -> None:
    """promtool takes both files."""
    promtool = program("promtool", "prometheus")
    what, file = command.split()
    more = ["--syntax-only"] if what == "config" else []
    done = subprocess.run(
        [promtool, "check", what, *more, file],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts() -> None:
    """Each alert fires when it should: the unit tests beside the rules say when."""
    promtool = program("promtool", "prometheus")
    done = subprocess.run(
        [promtool, "test", "rules", "socksgw.test.yml"],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tests = (PROMETHEUS / "socksgw.test.yml").read_text("utf-8")
    alerts = re.findall(r"alert: (\w+)", (PROMETHEUS / "socksgw.rules.yml").read_text())
    assert all(alert in tests for alert in alerts)


@pytest.mark.parametrize(
    "query", [*rules(), *(q for q, _ in queries(DASHBOARD["panels"]))]
)
def test_queries(query: str) -> None:
    """Each names metrics that exist, by labels that these have, and in a fit way."""
    uses = [*USES.finditer(query)]
    assert uses or query.startswith("up{")
    labels = set(ADDED)
    for around, name, selector in (use.groups() for use in uses):
        metric = NAMES[name]
        own = {*metric.labels, *ADDED}
        assert set(re.findall(r"(\w+)\s*[=!]~?\s*\"", selector or "")) <= own, name
        rated = (around or "").rstrip("(") in ("rate", "increase")
        assert rated == (metric.kind != "gauge"), name
        labels |= own
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        assert set(re.split(r",\s*", grouped)) <= labels


def test_dashboard() -> None:
    """Each panel has a unit and a title; its legends name labels that are kept."""
    panels = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
    assert {each["type"] for each in panels} == {"timeseries", "stat"}
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not places & cells
        assert place["x"] + place["w"] <= 24
        places |= cells
    for query, legend in queries(panels):
        kept = re.findall(r"by \(([^)]*)\)", query)
        names = re.findall(r"{{(\w+)}}", legend)
        if kept:
            assert set(names) <= set(re.split(r",\s*", kept[-1])), query


def test_manual() -> None:
    """The chapter's table is the catalogue."""
    table = chapters()["metrics"].partition("All metrics")[2]
    rows: list[str] = []
    for line in table.splitlines():
        if line.startswith("``"):
            rows.append(line)
        elif rows and line.startswith("  "):
            rows[-1] += " " + line
    found = [re.sub(r"\s+", " ", row) for row in rows]
    assert found == [
        f"``{each.name.removeprefix('socksgw_')}`` {each.kind}"
        + (f" ({', '.join(each.labels)})" if each.labels else "")
        + f": {each.help}"
        for each in CATALOGUE.values()
    ]
