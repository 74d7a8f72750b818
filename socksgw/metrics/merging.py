"""
The values of several processes that serve as one gateway, as those of one.

Counters and histograms are added, and what a process that has ended had counted stays.
A gauge is added, too, where it is a share of something; others are one process's, the
greatest, or the least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from socksgw.metrics.catalogue import CATALOGUE, Metric
from socksgw.metrics.meters import Histogram
from socksgw.metrics.snapshot import Snapshot, Value

__all__ = ["counted", "merged", "packed", "unpacked"]

#: What the supervisor alone knows, or knows as well as anybody.
_ITS_OWN: Final = frozenset(
    {
        "socksgw_start_time_seconds", "socksgw_build_info", "socksgw_journal_position",
        "socksgw_journal_bytes", "socksgw_journal_limit_bytes", "socksgw_sink_up",
        "socksgw_sink_position", "socksgw_sink_behind_lines",
        "socksgw_sink_delivered_total", "socksgw_sink_failures_total",
        "socksgw_sink_missed_total", "socksgw_sink_aside_total", "socksgw_reloads_total",
        "socksgw_configuration_since_seconds", "socksgw_configuration_info",
        "socksgw_rules", "socksgw_certificate_expiry_seconds",
        "socksgw_upstream_checks_total",
    }
)  # fmt: skip
#: What the supervisor has, too, and does not use.
_THEIRS: Final = frozenset(
    {
        "socksgw_clients_limit", "socksgw_held_limit_bytes", "socksgw_upstream_up",
        "socksgw_upstream_sessions", "socksgw_upstream_opened_total",
        "socksgw_upstream_failed_total", "socksgw_upstream_ejections_total",
        "socksgw_reactor_lag_seconds",
    }
)  # fmt: skip
_GREATEST: Final = frozenset(
    {
        "socksgw_paused", "socksgw_journal_failing", "socksgw_throttle_failures",
        "socksgw_throttle_blocked",
    }
)  # fmt: skip
_LEAST: Final = frozenset({"socksgw_upstream_up"})


def packed(snapshot: Snapshot) -> dict[str, Any]:
    """Return values for a message."""
    found: dict[str, list[Any]] = {}
    for metric, values in snapshot:
        found[metric.name] = [
            [
                labels,
                [list(value.bounds), value.counts, value.sum]
                if isinstance(value, Histogram)
                else float(value),
            ]
            for labels, value in values.items()
        ]
    return {"at": snapshot.at, "values": found}


def unpacked(message: Mapping[str, Any]) -> Snapshot:
    """
    Return the values of a message.

    @raise KeyError: it has a metric that is not known.
    """
    snapshot = Snapshot(float(message["at"]))
    for name, rows in message["values"].items():
        for labels, found in rows:
            value: Value
            if isinstance(found, list):
                value = Histogram(found[0])
                value.counts, value.sum = found[1], found[2]
            else:
                value = found
            snapshot.put(name, value, *labels)
    return snapshot


def counted(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return what stays counted when these processes have ended."""
    found = Snapshot(0.0)
    for snapshot in snapshots:
        for metric, values in snapshot:
            if metric.kind != "gauge" and metric.name not in _ITS_OWN:
                for labels, value in values.items():
                    found.put(metric.name, value, *labels)
    return found


def merged(supervisor: Snapshot, workers: Iterable[Snapshot]) -> Snapshot:
    """Return the values of a gateway of several processes."""
    whole = Snapshot(supervisor.at)
    theirs = [*workers]
    for name, metric in CATALOGUE.items():
        of = [] if name in _ITS_OWN else theirs
        if name not in _THEIRS:
            of = [supervisor, *of]
        _put(whole, metric, of)
    return whole


def _put(whole: Snapshot, metric: Metric, of: Iterable[Snapshot]) -> None:
    name = metric.name
    choose = max if name in _GREATEST else min if name in _LEAST else None
    if choose is None:
        for each in of:
            for labels, value in each.of(name).items():
                whole.put(name, value, *labels)
        return
    found: dict[tuple[str, ...], list[Any]] = {}
    for each in of:
        for labels, value in each.of(name).items():
            found.setdefault(labels, []).append(value)
    for labels, values in found.items():
        whole.put(name, choose(values), *labels)
