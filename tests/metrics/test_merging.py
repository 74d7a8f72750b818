"""
Metrics of several processes as those of one.
"""

from __future__ import annotations

import json

from socksgw.metrics.merging import counted, merged, packed, unpacked
from socksgw.metrics.meters import Histogram
from socksgw.metrics.snapshot import Snapshot


def taken(
    begun: int, live: int, up: int, rules: int = 3, position: int = 7
) -> Snapshot:
    """Return the values of one process."""
    found = Snapshot(1000.0 + begun)
    found.put("socksgw_session_ends_total", begun, "done")
    found.put("socksgw_live_sessions", live, "main", "relay")
    found.put("socksgw_upstream_up", up, "hop", "")
    found.put("socksgw_rules", rules)
    found.put("socksgw_journal_position", position)
    found.put("socksgw_paused", live > 5)
    histogram = Histogram((0.1, 1.0))
    histogram.observeAll([0.05] * begun)
    found.put("socksgw_policy_seconds", histogram)
    return found


def test_asOne() -> None:
    """Counters add up, gauges by their meaning; as messages they are the same."""
    parts = [
        unpacked(json.loads(json.dumps(packed(each))))
        for each in (taken(4, 2, 1), taken(10, 9, 0, position=5))
    ]
    whole = merged(taken(0, 0, 1), parts)
    assert whole.of("socksgw_session_ends_total") == {("done",): 14}
    assert whole.of("socksgw_live_sessions") == {("main", "relay"): 11}
    assert whole.of("socksgw_upstream_up") == {("hop", ""): 0}
    assert whole.of("socksgw_rules") == {(): 3}
    assert whole.of("socksgw_journal_position") == {(): 7}
    assert whole.of("socksgw_paused") == {(): 1}
    (histogram,) = whole.of("socksgw_policy_seconds").values()
    assert isinstance(histogram, Histogram)
    assert (histogram.counts, round(histogram.sum, 2)) == ([14, 0, 0], 0.7)


def test_whatStays() -> None:
    """Of a process that has ended, counters stay, and gauges go."""
    past = counted([counted([taken(4, 2, 1)]), taken(3, 1, 1)])
    whole = merged(taken(0, 0, 1), [past, taken(1, 1, 1)])
    assert whole.of("socksgw_session_ends_total") == {("done",): 8}
    assert whole.of("socksgw_live_sessions") == {("main", "relay"): 1}
    assert whole.of("socksgw_upstream_up") == {("hop", ""): 1}
