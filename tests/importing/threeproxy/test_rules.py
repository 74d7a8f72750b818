"""
What a list of 3proxy means.
"""

from __future__ import annotations

import pytest

from socksgw.importing.threeproxy.rules import Ace, Asked, Client, aceOf, allows


def listed(*lines: str) -> list[Ace]:
    """Rules as they are written."""
    return [
        aceOf(number, "", line.split()[0], line.split()[1:])
        for number, line in enumerate(lines, 1)
    ]


@pytest.mark.parametrize(
    ("line", "host", "address", "port", "expected"),
    [
        ("allow * * 10.1.0.5-10.1.0.9", "10.1.0.9", "10.1.0.9", 1, True),
        ("allow * * 10.1.0.5-10.1.0.9", "10.1.0.10", "10.1.0.10", 1, False),
        # An address matches where a name leads there, too.
        ("allow * * 10.1.0.0/16,x", "a.b", "10.1.0.1", 1, True),
        ("allow * * *.b", "a.b", "10.1.0.1", 1, True),
        # What follows the * has to be shorter than the name.
        ("allow * * *a.b", "a.b", "10.1.0.1", 1, False),
        ("allow * * *a*", "b.a.b", "10.1.0.1", 1, True),
        ("allow * * a*", "A.b", "10.1.0.1", 1, True),
        ("allow * * *.1", "10.1.0.1", "10.1.0.1", 1, True),
        ("allow * * * 20,80-90", "a", "10.1.0.1", 90, True),
        ("allow * * * 20,80-90", "a", "10.1.0.1", 91, False),
        ("allow * * * * BIND", "a", "10.1.0.1", 1, False),
        ("allow * * * * CONNECT 1-5", "a", "10.1.0.1", 1, True),
        ("allow * * * * * 0,7", "a", "10.1.0.1", 1, False),
        ("allow * * * * * * 00:00:00-12:00:00", "a", "10.1.0.1", 1, False),
        ("allow * * * * * * 12:00:00-24:00:00", "a", "10.1.0.1", 1, True),
    ],
)
def test_conditions(
    line: str, host: str, address: str, port: int, expected: bool
) -> None:
    """On a Wednesday, at noon."""
    asked = Asked("CONNECT", host, address, port)
    client = Client("10.0.0.1")
    assert allows(listed(line), ["iponly"], client, asked, 3, 12 * 3600) is expected


@pytest.mark.parametrize(
    ("kinds", "user", "expected"),
    [
        (["none"], "", True),
        (["iponly"], "bob", False),
        (["strong"], "", False),
        (["strong"], "bob", True),
        (["strong"], "eve", False),
        # Without the name first.
        (["iponly", "strong"], "eve", False),
        (["iponly", "strong"], "bob", True),
    ],
)
def test_logins(kinds: list[str], user: str, expected: bool) -> None:
    """Who counts by which kind of C{auth}."""
    asked = Asked("CONNECT", "a", "10.1.0.1", 1)
    rules = listed("allow bob")
    assert allows(rules, kinds, Client("10.0.0.1", user), asked, 3, 0) is expected
    assert allows([], ["iponly"], Client("10.0.0.1"), asked, 3, 0)


@pytest.mark.parametrize(
    "line",
    [
        "allow * name",
        "allow * * 10.0.0.9-10.0.0.1",
        "allow * * 10.0.0.0/33",
        "allow * * * http",
        "allow * * * 70000",
        "allow * * * * SHOUT",
        "allow * * * * * * noon",
    ],
)
def test_wrong(line: str) -> None:
    """3proxy does not start with these."""
    with pytest.raises(ValueError, match="is no"):
        listed(line)
