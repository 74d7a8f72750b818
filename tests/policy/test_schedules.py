"""
When rules hold: schedules, ends, and what the clock changes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.policy.facts import Facts
from socksgw.policy.outcome import Step, consider
from socksgw.policy.schedules import Schedule
from tests.fakes.policy import PUBLIC, errors, question, ruleset
from tests.fakes.policy import warnings as oddities

BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        # 2026-03-02 is a Monday.
        ("2026-03-02T07:59:59+01:00", False),
        ("2026-03-02T08:00:00+01:00", True),
        ("2026-03-02T17:59:59+01:00", True),
        ("2026-03-02T18:00:00+01:00", False),
        ("2026-03-07T10:00:00+01:00", False),
        ("2026-03-08T10:00:00+01:00", False),
        # The zone's own hours: summer time has begun.
        ("2026-03-30T06:00:00+00:00", True),
        ("2026-03-27T06:30:00+00:00", False),
    ],
)
def test_officeHours(moment: str, holds: bool) -> None:
    """Days and hours count in the schedule's zone."""
    assert Schedule(["mon-fri"], "08:00-18:00", BERLIN).covers(at(moment)) is holds


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-03-06T21:59:59+00:00", False),
        ("2026-03-06T22:00:00+00:00", True),
        ("2026-03-07T05:59:59+00:00", True),
        ("2026-03-07T06:00:00+00:00", False),
        # Saturday's night is not Friday's.
        ("2026-03-07T23:00:00+00:00", False),
        ("2026-03-06T01:00:00+00:00", False),
    ],
)
def test_acrossMidnight(moment: str, holds: bool) -> None:
    """Hours that go across midnight belong to the day on which they began."""
    assert Schedule(["fri"], "22:00-06:00", "UTC").covers(at(moment)) is holds


def test_dates() -> None:
    """From and until are days, both included."""
    schedule = Schedule([], "", "UTC", date(2026, 3, 2), date(2026, 3, 3))
    held = [
        schedule.covers(at(f"2026-03-0{day}T12:00:00+00:00")) for day in range(1, 6)
    ]
    assert held == [False, True, True, False, False]


def test_daysAcrossTheWeek() -> None:
    """A range of days may go across the week's end."""
    schedule = Schedule(["fri-mon"], "", "UTC")
    held = [
        schedule.covers(at(f"2026-03-0{day}T12:00:00+00:00")) for day in range(2, 9)
    ]
    assert held == [True, False, False, False, True, True, True]


@pytest.mark.parametrize(
    "wrong",
    [
        (["monday"], "", "UTC"),
        (["mon-"], "", "UTC"),
        ([], "8-18", "UTC"),
        ([], "08:00-25:00", "UTC"),
        ([], "08:00-08:00", "UTC"),
        ([], "08:60-09:00", "UTC"),
        ([], "", "Mars/Olympus"),
        ([], "", "../../etc/passwd"),
    ],
)
def test_wrong(wrong: tuple[list[str], str, str]) -> None:
    """What is no schedule is an error."""
    with pytest.raises(ValueError, match=r"\w"):
        Schedule(*wrong)


@given(st.integers(0, 2**31))
def test_everyMomentIsDayOrNight(moment: int) -> None:
    """Two schedules that complete each other hold in turns."""
    day = Schedule([], "06:00-22:00", BERLIN)
    night = Schedule([], "22:00-06:00", BERLIN)
    assert day.covers(moment) != night.covers(moment)


RULES = """
schedules = { office = { days = "mon-fri", hours = "08:00-18:00", zone = "UTC" } }
[[rule]]
id = "office"
allow = ["connect"]
during = ["office"]
[[rule]]
id = "emergency"
allow = ["connect"]
until = 2026-03-07T12:00:00Z
ticket = "CHG-1"
"""


@pytest.mark.parametrize(
    ("moment", "rule"),
    [
        ("2026-03-02T10:00:00+00:00", "office"),
        ("2026-03-02T19:00:00+00:00", "emergency"),
        ("2026-03-07T11:59:59+00:00", "emergency"),
        ("2026-03-07T12:00:00+00:00", "default"),
    ],
)
def test_rulesThatEnd(moment: str, rule: str) -> None:
    """A rule with `during` or `until` matches while it holds, with its ticket."""
    from socksgw.wire.address import Address

    asked = question()
    asked.at = at(moment)
    verdict = ruleset(RULES).judge(asked, Address.parse(PUBLIC))
    assert verdict.rule == rule
    assert verdict.ticket == ("CHG-1" if rule == "emergency" else "")


def test_whatTheClockChanges() -> None:
    """The rules know when the clock alone changes a verdict."""
    rules = ruleset(RULES)
    assert rules.timed
    assert rules.moment(at("2026-03-02T10:00:00+00:00")) == (True, True)
    assert rules.moment(at("2026-03-02T19:00:00+00:00")) == (False, True)
    assert not ruleset('[[rule]]\nid = "a"\nallow = "any"').timed


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('schedules = { s = { days = "someday" } }', "schedules.s"),
        ('services = { s = ["tcp"] }', "services.s"),
        ('services = { s = ["icmp/1"] }', "services.s"),
        ('[[rule]]\nid = "a"\nallow = "any"\nduring = ["s"]', "rule[0].during[0]"),
        ('[[rule]]\nid = "a"\nallow = "any"\nservices = ["s"]', "rule[0].services[0]"),
        ('[[rule]]\nid = "a"\nallow = "any"\nsecured = "very"', "rule[0].secured"),
        ('[[rule]]\nid = "a"\nallow = "any"\nasked_by = "me"', "rule[0].asked_by"),
    ],
)
def test_errors(text: str, path: str) -> None:
    """Undeclared and impossible words are errors at their place."""
    assert path in [place for place, _ in errors(text)]


def test_expiredAndUnusedAreOdd() -> None:
    """Expired rules and unused names are warnings."""
    found = oddities(
        'services = { web = ["tcp/80"] }\nschedules = { s = {} }\n[[rule]]\nid = "a"\n'
        'allow = "any"\nuntil = 2020-01-01T00:00:00Z'
    )
    assert [path for path, _ in found] == [
        "rule[0].until",
        "services.web",
        "schedules.s",
    ]


@pytest.mark.parametrize(
    ("command", "port", "allowed"),
    [
        ("connect", 80, True),
        ("connect", 8005, True),
        ("connect", 53, False),
        ("udp", 53, True),
        ("udp", 80, False),
        ("bind", 80, True),
    ],
)
def test_services(command: str, port: int, allowed: bool) -> None:
    """A service is a protocol with a port."""
    from socksgw.wire.address import Address

    rules = ruleset(
        'services = { s = ["tcp/80", "tcp/8000-8010", "udp/53"] }\n'
        '[[rule]]\nid = "a"\nallow = "any"\nservices = ["s"]'
    )
    verdict = rules.judge(question(command=command, port=port), Address.parse(PUBLIC))
    assert verdict.allowed is allowed


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        # Spring: at 02:00 it is 03:00.
        ("2026-03-29T00:59:59+00:00", False),
        ("2026-03-29T01:00:00+00:00", True),
        ("2026-03-29T01:59:59+00:00", True),
        ("2026-03-29T02:00:00+00:00", False),
        # Autumn: the hour from 02:00 to 03:00 comes twice.
        ("2026-10-24T23:59:59+00:00", False),
        ("2026-10-25T00:00:00+00:00", True),
        ("2026-10-25T01:30:00+00:00", True),
        ("2026-10-25T02:00:00+00:00", False),
    ],
)
def test_clocksThatAreSet(moment: str, holds: bool) -> None:
    """Hours are those that the clocks of the zone show."""
    hours = "03:00-04:00" if "-03-" in moment else "02:00-03:00"
    assert Schedule([], hours, "Europe/Berlin").covers(at(moment)) is holds


def test_schedulesThatAreOver() -> None:
    """A schedule whose last day is over is odd, as a rule that has ended is."""
    night = Schedule(["mon"], "22:00-06:00", "UTC", None, date(2026, 3, 2))
    assert not night.isOver(at("2026-03-03T05:00:00+00:00"))
    assert night.isOver(at("2026-03-04T00:00:00+00:00"))
    found = oddities(
        "[schedules]\ns = { until = 2020-01-01 }\nt = { until = 2999-01-01 }\n"
        '[[rule]]\nid = "a"\nallow = "any"\nduring = ["s", "t"]'
    )
    assert [path for path, _ in found] == ["schedules.s"]


def test_reportOnly() -> None:
    """A rule that only reports decides nothing, and is told of."""
    from socksgw.wire.address import Address

    rules = ruleset(
        '[[rule]]\nid = "new"\ndeny = "any"\nreport_only = true\n'
        '[[rule]]\nid = "old"\nallow = "any"'
    )
    address = Address.parse(PUBLIC)
    assert rules.judge(question(), address).rule == "old"
    assert rules.reports(question(), address) == ["new: deny"]
    facts = Facts("anonymous", frozenset(), "connect", None, 443, (address,))
    assert consider(rules, facts).steps == (
        (address, (Step("new", "report_only"), Step("old", None))),
    )


def test_reportOnlyShadowsNothing() -> None:
    """A rule behind one that only reports is reachable."""
    assert not errors(
        '[[rule]]\nid = "new"\ndeny = "any"\nreport_only = true\n'
        '[[rule]]\nid = "old"\nallow = ["connect"]'
    )


def test_aRuleForAWhileShadowsNothing() -> None:
    """Nor is one unreachable behind a rule that does not always hold."""
    assert not errors(RULES + '[[rule]]\nid = "last"\nallow = ["connect"]\n')


def test_withoutTheDatabaseOfZonesThereIsUtc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small containers have none; the error for others has the remedy."""
    tried: list[str] = []

    def none(name: str) -> None:
        tried.append(name)
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr("socksgw.policy.schedules.ZoneInfo", none)
    monkeypatch.setattr("socksgw.policy.schedules.available_timezones", set)
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
    for zone in ("UTC", "Etc/UTC"):
        schedule = Schedule([], "11:00-13:00", zone)
        assert schedule.covers(noon)
        assert not schedule.covers(noon + 7200)
    assert tried == []
    with pytest.raises(ValueError, match="install tzdata"):
        Schedule([], "11:00-13:00", "Europe/Berlin")
