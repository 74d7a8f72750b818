"""
What a gateway does again and again, with a clock of the test's own.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksgw.config.defaults import defaultConfig
from socksgw.gateway.gateway import Gateway


@pytest.mark.parametrize(
    "what",
    [
        "the check of the stores of users",
        "the end of quotas",
        "the heap",
        "the check of networks",
        "the check for changes",
        "the quotas of others",
        "the check of the journal",
        "the parts",
        "the cleared deadlines",
        "the file of quotas",
        "the metrics",
        "the counters",
        "the allowances",
    ],
)
def test_deadlinesGoOn(tmp_path: Any, what: str) -> None:
    """
    Whatever fails that is done once in a while takes nobody's time-outs, and is
    said once.
    """
    clock = Clock()
    config = evolve(defaultConfig(), directory=tmp_path)
    service = Gateway(clock, config, clock=clock.seconds)
    came: list[float] = []
    service.setDeadline(5, lambda: came.append(clock.seconds()))
    failed: list[str] = []

    def fail() -> None:
        failed.append(what)
        raise RuntimeError("a defect")

    works = service._rounds._beat._works
    (at,) = (i for i, (_, named, _) in enumerate(works) if named == what)
    works[at] = (works[at][0], what, fail)
    service._rounds.start()
    with capturedLogs() as events:
        clock.pump([0.25] * 48)
    service._rounds.stop()
    assert len(came) == len(events) == 1
    assert len(failed) == 48 // works[at][0]


def test_quotasOfOthers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Within a second it is known here that another process has used a quota up, and
    the sessions that live by it end.
    """
    clock = Clock()
    config = evolve(defaultConfig(), directory=tmp_path)
    service = Gateway(clock, config, clock=clock.seconds)
    cut: list[float] = []

    def end() -> None:
        service.limits.usedUp = False
        cut.append(clock.seconds())

    monkeypatch.setattr(service._revocation, "cut", end)
    monkeypatch.setattr(service._counters, "look", lambda: clock.seconds() == 2)
    service._rounds.start()
    clock.pump([0.25] * 12)
    service._rounds.stop()
    # The first is what a new configuration may have used up.
    assert cut == [0.25, 2.25]
