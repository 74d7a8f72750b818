"""
What conditions of Squid mean.
"""

from __future__ import annotations

import pytest

from socksgw.importing.squid.acls import Acl, Time, added, isUnder

EVERY = frozenset(range(7))


def acl(words: str) -> Acl:
    """A condition as it is written, without its name."""
    kind, *values = words.split()
    return added(Acl("a", 1, kind), values)


@pytest.mark.parametrize(
    ("words", "networks"),
    [
        ("src 10.0.0.0/8 10.1.2.3", ["10.0.0.0/8", "10.1.2.3/32"]),
        ("src 10.0.0.9/255.255.0.0", ["10.0.0.0/16"]),
        ("dst 10.0.0.2-10.0.0.4", ["10.0.0.2/31", "10.0.0.4/32"]),
        ("src all", ["0.0.0.0/0", "::/0"]),
        ("dst ipv6", ["::/0"]),
    ],
)
def test_addresses(words: str, networks: list[str]) -> None:
    """Networks, masks, ranges and words."""
    assert [*map(str, acl(words).networks)] == networks


def test_lines() -> None:
    """Of one name have all their values."""
    ports = added(acl("port 80 443"), ["1025-65535"])
    assert ports.ports == ((80, 80), (443, 443), (1025, 65535))
    names = added(acl("dstdomain -n .A.example"), ["b.example"])
    assert (names.values, names.looksUp) == ((".a.example", "b.example"), True)
    assert not acl("dstdomain -n .a.example").looksUp


@pytest.mark.parametrize(
    ("words", "time"),
    [
        ("time MTWHF 08:00-17:59", Time(frozenset(range(1, 6)), 480, 1079)),
        ("time D", Time(frozenset(range(1, 6)), 0, 1439)),
        ("time A S", Time(frozenset([0]), 0, 1439)),
        ("time 8:05-9:00", Time(EVERY, 485, 540)),
    ],
)
def test_times(words: str, time: Time) -> None:
    """The last minute is included."""
    assert acl(words).times == (time,)
    assert time.covers(min(time.days), time.last)
    assert not time.covers(min(time.days), time.last + 1)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("src build.example", "'build.example' is no address"),
        ("src 10.0.0.1-10.0.0.9/24", "is no address, range"),
        ("dst -n 10.0.0.1", "names are resolved"),
        ("port http", "'http' is no port"),
        ("time 22:00-06:00", "ends before it begins"),
        ("time noon", "'noon' is no time"),
        ("dstdomain 10.0.0.1", "is no name of a host here"),
        ("dstdomain *.x", "is no name of a host here"),
        ("proxy_auth users", "'users' is no name of a user here"),
        ("proxy_auth @staff", "is no name of a user here"),
        ("proxy_auth -i bob", "capital letters count"),
        ("url_regex -i evil", "expressions are not matched"),
        ("external helper", "programs are not asked"),
        ("any-of a b", "there is no condition like any-of"),
    ],
)
def test_unknown(words: str, why: str) -> None:
    """What a rule cannot say has its reason."""
    assert why in acl(words).why


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        (".a.example", "a.example", True),
        (".a.example", "X.a.example.", True),
        (".a.example", "xa.example", False),
        ("a.example", "x.a.example", False),
    ],
)
def test_names(pattern: str, host: str, expected: bool) -> None:
    """With a dot in front, what is below a name, too."""
    assert isUnder(pattern, host) is expected
