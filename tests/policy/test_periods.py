"""
The periods in which the same rules hold, to the second.
"""

from __future__ import annotations

from random import Random

from socksgw.policy.periods import Periods
from tests.fakes.policy import ruleset

#: Until a moment within a minute, and hours that overlap.
RULES = """
[[rule]]
id = "always"
allow = "any"
ports = [1]
[[rule]]
id = "ticket"
allow = "any"
ports = [2]
until = 1970-01-02T10:30:30Z
[[rule]]
id = "day"
allow = "any"
ports = [3]
during = ["day"]
[[rule]]
id = "morning"
allow = "any"
ports = [4]
during = ["morning", "early"]
[[rule]]
id = "both"
allow = "any"
ports = [5]
during = ["day"]
until = 1970-01-02T12:00:01Z
[schedules]
day = { hours = "08:00-18:00" }
morning = { hours = "06:00-12:00" }
early = { hours = "05:00-07:00" }
"""
DAY = 86_400.0


def test_whatHoldsIsWhatTheRulesSay() -> None:
    """At any moment, whatever moments come before it; each change has its number."""
    rules = ruleset(RULES).rules
    periods = Periods(rules)
    random = Random(1)
    moments = [
        DAY + at + step
        for at in (5, 6, 7, 8, 10.5, 12, 18)
        for step in (at * 3600 - at - 1, at * 3600 - at, at * 3600 - at + 30)
    ]
    moments += [random.uniform(DAY, 2 * DAY) for _ in range(200)]
    seen: dict[int, frozenset[int]] = {}
    for moment in (*sorted(moments), *random.sample(moments, len(moments))):
        number = periods.at(moment)
        naive = {
            n
            for n, rule in enumerate(rules)
            if (rule.during is not None or rule.until is not None)
            and (rule.until is None or moment < rule.until)
            and (rule.during is None or any(s.covers(moment) for s in rule.during))
        }
        assert periods.held == naive
        assert seen.setdefault(number, periods.held) == naive
    assert len({frozenset(held) for held in seen.values()}) > 6


def test_theNumberStaysWhileNothingChanges() -> None:
    """From minute to minute, and from one second to the next."""
    periods = Periods(ruleset(RULES).rules)
    noon = DAY + 12 * 3600
    first = periods.at(noon + 2)
    assert {periods.at(noon + second) for second in range(2, 6 * 3600, 7)} == {first}
    assert periods.at(noon) > first
