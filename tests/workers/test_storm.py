"""
How long a worker that died is not replaced.
"""

from __future__ import annotations

from twisted.logger import capturedLogs

from socksgw.workers.storm import Storm


def test_pauses() -> None:
    """None, but for the fifth within ten seconds; never more than half a second."""
    storm = Storm()
    with capturedLogs() as logs:
        found = [(storm.died(now), storm.isNew) for now in (0, 1, 2, 3, 11)]
        assert found == [(0, False)] * 5
        assert not logs
        found = [(storm.died(now), storm.isNew) for now in (11.5, 11.7, 12, 12.5, 12.6)]
        assert found == [
            (0, False), (0.25, True), (0.5, False), (0.5, False), (0.5, False)
        ]  # fmt: skip
        assert len(logs) == 4
    assert storm.died(60) == 0
    assert [storm.died(61 + each) for each in range(4)] == [0, 0, 0, 0.25]
    assert storm.isNew
