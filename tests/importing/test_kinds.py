"""
Which server a file is of.
"""

from __future__ import annotations

import pytest

from socksgw.importing.kinds import KINDS, kindOf


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
