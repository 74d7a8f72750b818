"""
What is counted of an upstream.
"""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock

from socksgw.route.upstreams.health import FALL, Health
from socksgw.route.upstreams.standing import Standing


def standing() -> Standing:
    """Make one."""
    return Standing("edge", Health(Clock().seconds, Random(1), lambda *_: None))


def test_sessions() -> None:
    """Those that are opened count, until they end."""
    edge = standing()
    for _ in range(3):
        edge.begin()
        edge.answered(opened=True)
    edge.begin()
    edge.answered(opened=False)
    edge.end()
    assert (edge.sessions, edge.opened, edge.failed, edge.state) == (3, 3, {}, "up")


def test_failures() -> None:
    """Each counts by its reason; those that may be the destination's never eject."""
    edge = standing()
    for _ in range(20):
        edge.broke("upstream-closed", counts=False)
    assert edge.state == "up"
    for _ in range(FALL):
        edge.broke("upstream-login")
    assert edge.failed == {"upstream-closed": 20, "upstream-login": FALL}
    assert edge.state == "ejected"
    assert edge.health.ejections == 1
