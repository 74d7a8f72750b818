"""
How many ports of a listener one source may have.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from socksgw.config.defaults import defaultConfig
from socksgw.config.schema import Listen, ListenUDP
from socksgw.errors import LimitReached
from socksgw.gateway.gateway import Gateway
from socksgw.interfaces import Asker
from socksgw.route.udpoptions import portShares, wrongOptions
from socksgw.wire.address import Address
from tests.fakes.policy import ANONYMOUS


def listen(name: str, ports: str) -> Listen:
    return Listen(name=name, address=("127.0.0.1:0",), udp=ListenUDP(ports=ports))


def test_halfOfTheRange() -> None:
    """One port at least; where there is no range there is no share."""
    listens = [
        listen("one", "40000-40000"),
        listen("odd", "40000-40004"),
        listen("even", "40000-40999"),
        listen("none", ""),
    ]
    said = ListenUDP(ports="40000-40999", ports_per_source=1000)
    assert portShares([Listen(name="said", udp=said)]) == {"said": 1000}
    assert portShares(listens) == {"one": 1, "odd": 3, "even": 500}


@pytest.mark.parametrize(
    ("udp", "key"),
    [
        (ListenUDP(ports="40000-40001", ports_per_source=0), "ports_per_source"),
        (ListenUDP(ports="40000-40001", ports_per_source=3), "ports_per_source"),
        (ListenUDP(ports="40000-x", ports_per_source=3), "ports"),
        (ListenUDP(ports_per_source=1), "ports"),
    ],
)
def test_aShareThatCannotBe(udp: ListenUDP, key: str) -> None:
    """A share of nothing, and one of more than there is, are errors."""
    assert [where for where, _ in wrongOptions(udp)] == [key]
    assert not list(wrongOptions(ListenUDP(ports="40000-40001", ports_per_source=1)))


def test_theGatewayHoldsIt(tmp_path: Path) -> None:
    """A source that has its share is refused, and others are not."""
    config = evolve(
        defaultConfig(), directory=tmp_path, listen=(listen("lan", "40000-40001"),)
    )
    clock = Clock()
    limits = Gateway(clock, config, clock=clock.seconds).limits
    one, other = (
        Asker(ANONYMOUS, Address.parse(text), "lan")
        for text in ("192.0.2.1", "192.0.2.2")
    )
    limits.take(one, "bind", "all")
    with pytest.raises(LimitReached, match=r"^1 ports per source$"):
        limits.take(one, "udp", "all")
    limits.take(other, "udp", "all")
