"""
Which server a file is of.
"""

from __future__ import annotations

import pytest

from socksgw.importing.dante import keywords
from socksgw.importing.host import Host, Unreadable
from socksgw.importing.kinds import KINDS, kindOf
from socksgw.importing.squid import reading
from socksgw.importing.threeproxy import services


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/etc/danted.conf", None, "dante"),
        ("sockd.conf", None, "dante"),
        ("old/Danted.conf.bak", None, "dante"),
        ("danted/proxy.conf", None, None),
        ("proxy.conf", "dante", "dante"),
        ("/etc/squid/squid.conf", None, "squid"),
        ("3proxy.cfg", None, "3proxy"),
    ],
)
def test_kinds(path: str, name: str | None, expected: str | None) -> None:
    """By its own name, or as it is told."""
    kind = kindOf(path, name)
    assert (kind and kind.name) == expected


def test_names() -> None:
    """No two share one, also not of a file."""
    names = [each.name for each in KINDS]
    files = [file.partition(".")[0] for each in KINDS for file in each.files]
    assert len({*names}) == len(names)
    assert len({*files}) == len(files)


DANTE = """{0}
external: 10.0.0.1
client pass {{ from: 10.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 10.0.0.0/8 to: 0.0.0.0/0 {0} }}
"""
SQUID = """{}
acl lan src 10.0.0.0/8
http_access allow lan
"""
THREEPROXY = """auth iponly
allow *
{}
socks
"""
#: What the words of a file are that have values, by kind, and the file around one.
WORDS = {
    "dante": (
        DANTE,
        [
            f"{each}:"
            for each in (
                *keywords.WRITTEN,
                *keywords.ELSEWHERE,
                *keywords.NARROWING,
            )
        ],
    ),
    "squid": (
        SQUID,
        [
            *reading.KEPT,
            *reading.ELSEWHERE,
            *("acl", "acl a port", "acl a time", "http_access", "http_port"),
            "auth_param basic credentialsttl",
        ],
    ),
    "3proxy": (
        THREEPROXY,
        [
            *services.LIMITS,
            *services.ELSEWHERE,
            *("allow", "redirect", "parent", "parent 1000 socks5 10.0.0.1", "internal"),
            *("external", "maxconn", "timeouts", "nserver", "nsrecord", "socks -p"),
        ],
    ),
}


@pytest.mark.parametrize("name", list(WORDS))
def test_oddValues(name: str) -> None:
    """
    What is not there, or no value, is told with its line, and in words of ours; and what
    is left out has a reason.
    """
    (kind,) = (each for each in KINDS if each.name == name)
    host = Host(lambda _: (), lambda _: None, lambda _: None)
    text, words = WORDS[name]
    told = []
    for word in words:
        for value in ("", "x", "8000-8099", "10.0.0.0/8 port = 8000-8099", "1 x y z"):
            try:
                draft = kind.draftOf(text.format(f"{word} {value}"), host)
            except Unreadable as e:
                told.append(str(e))
            else:
                told += [each.why for each in draft.left]
    assert all(told)
    assert not [each for each in told if "int()" in each or "unpack" in each]
    ports = [each for each in told if "'8000-8099' is no port" in each]
    assert ports
    assert all("write one number" in each for each in ports)
