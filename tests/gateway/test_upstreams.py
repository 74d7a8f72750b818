"""
The upstreams of a generation: checked while it is in force, known beyond it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from socksgw.config.convert import Duration
from socksgw.config.schema import Upstream, UpstreamCheck
from socksgw.errors import ConnectFailed
from socksgw.gateway.upstreamclients import clientFor
from socksgw.gateway.upstreams import Upstreams
from socksgw.policy.leaving import Leaving
from socksgw.route.upstreams.checks import ALONE, Checked, Checks
from socksgw.system.domains import OWN, Domain
from socksgw.system.usage import Holding, UsagePool
from tests.fakes.loops import Timers
from tests.tools.catalogue import catalogued

EVERY = 10.0
CHECKED = Upstream(
    "edge", "socks5://192.0.2.1:1080", check=UpstreamCheck(Duration(EVERY), fall=2)
)
LEAVING = Leaving((("edge",),))
BLUE = Domain("netns", "blue")


class Direct:
    """
    Ways on which nothing is reached.

    @ivar dialled: how often that was tried.
    """

    def __init__(self) -> None:
        self.dialled = 0

    async def connect(self, *_: Any) -> Any:
        """Fail at once."""
        self.dialled += 1
        raise ConnectFailed("ECONNREFUSED", reason="refused")


class House(Timers):
    """Generations on one clock, and what they write into the journal."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = UsagePool()
        self.direct: Any = Direct()
        self.lines: list[dict[str, Any]] = []

    def generation(
        self,
        tables: Sequence[Upstream] = (CHECKED,),
        domain: Domain = OWN,
        checks: Checks = ALONE,
    ) -> Upstreams:
        """Make the upstreams of one, which are used in a domain."""
        nothing: Any = None
        made = Upstreams(
            tables,
            {each.name: clientFor(each, Path(), nothing) for each in tables},
            self.setDeadline,
            5.0,
            lambda: self.now,
            lambda *_: False,
            120.0,
            Holding(self.pool).share,
            lambda line: self.lines.append(json.loads("{" + line + "}")),
            checks=checks,
        )
        made.through("main", domain, self.direct, self.direct, nothing, LEAVING)
        return made


def test_checks() -> None:
    """They begin with the generation and end with it, and are told in the journal."""
    house = House()
    made = house.generation()
    assert house.pending == 0
    made.start()
    house.advance(3 * EVERY)
    assert house.direct.dialled >= 2
    (line,) = house.lines
    catalogued(line)
    assert line["upstream"] == "edge"
    assert line["state"] == "ejected"
    assert line["why"] == "2 checks in a row failed: upstream-unreachable"
    made.stop()
    made.stop()
    dialled = house.direct.dialled
    house.advance(10 * EVERY)
    assert (house.pending, house.direct.dialled) == (0, dialled)


def test_aReloadForgetsNothing() -> None:
    """Generations with the same table share what is known; a changed one is new."""
    house = House()
    before = house.generation()
    before.start()
    house.advance(3 * EVERY)
    after = house.generation()
    assert [s.state for _, s in after.standings] == ["ejected"]
    # For a moment both are there: each ends its own checks.
    after.start()
    before.stop()
    assert house.pending == 1
    after.stop()
    other = Upstream("edge", "socks5://192.0.2.1:1081")
    assert [s.state for _, s in house.generation([other]).standings] == ["up"]


def test_anotherNetwork() -> None:
    """Whether it is reached from another network is another matter."""
    house = House()
    here, there = house.generation(), house.generation(domain=BLUE)
    here.start()
    house.advance(3 * EVERY)
    assert [(d, s.state) for d, s in here.standings] == [(OWN, "ejected")]
    assert [(d, s.state) for d, s in there.standings] == [(BLUE, "up")]
    there.start()
    house.advance(3 * EVERY)
    assert [line.get("network") for line in house.lines] == [None, "netns:blue"]
    here.stop()
    there.stop()


@pytest.mark.parametrize("check", [None, CHECKED.check])
def test_onlyWhatIsUsed(check: UpstreamCheck | None) -> None:
    """An upstream that no rule names, or whose table has no check, is not checked."""
    house = House()
    other = Upstream("other", "socks5://192.0.2.9:1080", check=CHECKED.check)
    made = house.generation([Upstream("edge", CHECKED.url, check=check), other])
    made.start()
    assert house.pending == (check is not None)
    made.stop()


def test_anotherProcessChecks() -> None:
    """
    What one process finds out the other hears: it is ejected and returns there, without
    a line and a count of its own; one that begins later hears what has failed.
    """
    one, other, late = House(), House(), House()
    there = other.generation(checks=Checks(False, lambda _: None))
    found: list[Checked] = []

    def hear(checked: Checked) -> None:
        found.append(checked)
        there.heard(checked)

    here = one.generation(checks=Checks(True, hear))
    here.start()
    there.start()
    assert other.pending == 0
    one.advance(3 * EVERY)
    here.stop()
    assert [each.changed for each in found[:2]] == [False, True]
    for made in (here, there):
        ((_, standing),) = made.standings
        assert standing.state == "ejected"
    assert (standing.health.missed, other.lines) == (0, [])
    assert len(one.lines) == 1
    after = late.generation(checks=Checks(False, lambda _: None))
    for each in here.failing:
        after.heard(each)
    ((_, standing),) = after.standings
    assert (standing.state, late.lines) == ("ejected", [])
    for _ in range(2):
        after.heard(Checked("edge", "", "", False))
    # Here it returns for a reason of its own: that is told.
    assert (standing.state, late.lines[0]["state"]) == ("up", "returned")
