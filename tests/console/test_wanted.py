"""
Options that say which lines are wanted.
"""

from __future__ import annotations

import pytest

from socksgw.console.parser import makeParser
from socksgw.console.usage import joined
from socksgw.console.wanted import WrongUse, criteriaOf
from socksgw.records.criteria import Criteria


def criteria(*words: str) -> Criteria:
    arguments = joined(["audit", "search", *words])
    return criteriaOf(makeParser().parse_args(arguments))


def test_everyOption() -> None:
    """Each is a criterion, and those of words may be repeated."""
    found = criteria(
        *[
            "--user",
            "a",
            "--user",
            "b",
            "--to",
            "*.example",
            "--denied",
            "--since",
            "2026-03-02",
            "--session",
            "4",
            "--where",
            "port=22",
            "--server-name",
            "s",
            "--event",
            "end",
            "--client",
            "10.0.0.0/8",
        ]
    )
    assert found == Criteria(
        user=("a", "b"),
        to=("*.example",),
        verdict="deny",
        since="2026-03-02T00:00:00.000Z",
        session=4,
        where=(("port", "22"),),
        server_name=("s",),
        event=("end",),
        client=("10.0.0.0/8",),
    )


def test_timesBackFromNow() -> None:
    """A value with a minus sign is no option."""
    assert criteria("--since", "-2h", "--until", "-90m").since
    assert joined(["--since", "-x"]) == ["--since", "-x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--since noon", "--since: "),
        ("--since today --until yesterday", "--until yesterday is not after"),
        ("--event ends", 'did you mean "end"'),
        ("--where user", "write FIELD=VALUE"),
        ("--where usr=a", 'did you mean "user"'),
        ("--client alice", '--client "alice": neither'),
        ("--to 10.0.0.0/40", '--to "10.0.0.0/40": not a network'),
    ],
)
def test_wrongUse(words: str, said: str) -> None:
    """It is told with the option's name."""
    with pytest.raises(WrongUse) as raised:
        criteria(*words.split())
    assert said in str(raised.value)
