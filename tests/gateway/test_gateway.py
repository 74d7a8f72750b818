"""
What a gateway does about itself, with a clock and a reactor of the test's own.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import loads
from socksgw.gateway.gateway import Gateway
from socksgw.system.domains import OWN


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

    works = service._beat._works
    (at,) = (i for i, (_, named, _) in enumerate(works) if named == what)
    works[at] = (works[at][0], what, fail)
    with capturedLogs() as events:
        for _ in range(48):
            clock.advance(0.25)
            service._beat.tick()
    assert len(came) == len(events) == 1
    assert len(failed) == 48 // works[at][0]


def test_upstreams(tmp_path: Any) -> None:
    """What is known of them can be asked for, from the beginning."""
    text = (
        '[[listen]]\nname = "main"\naddress = ["127.0.0.1:0"]\n'
        '[[upstream]]\nname = "edge"\nurl = "socks5://192.0.2.1:1080"\n'
        '[[auth.choose]]\nmethods = ["none"]\nfrom = ["127.0.0.1"]\n'
        '[[rule]]\nid = "r"\nallow = ["connect"]\nvia = ["edge"]\n'
    )
    clock = Clock()
    config = evolve(loads(text, "gw.toml"), directory=tmp_path)
    service = Gateway(clock, config, clock=clock.seconds)
    service.generation.start()
    ((domain, edge),) = service.upstreams
    assert (domain, edge.name, edge.state, edge.sessions) == (OWN, "edge", "up", 0)
    assert (edge.opened, edge.failed, edge.health.ejections) == (0, {}, 0)
    service.generation.discard()
