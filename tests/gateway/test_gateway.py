"""
What a gateway does about itself, with a clock and a reactor of the test's own.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock

from socksgw.config.loading import loads
from socksgw.gateway.gateway import Gateway
from socksgw.system.domains import OWN


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
