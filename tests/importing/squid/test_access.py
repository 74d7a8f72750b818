"""
What lists of Squid decide.
"""

from __future__ import annotations

import pytest

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.squid.access import Asked, Client, Line, decided, falls
from socksgw.importing.squid.file import directives
from socksgw.importing.squid.reading import Reading

HOST = Host(lambda _: (), lambda _: None, lambda _: None)
ACLS = """\
acl lan src 10.0.0.0/8
acl servers dst 10.1.0.0/16
acl sites dstdomain .x.example
acl web port 80 443
acl bob proxy_auth bob
acl staff proxy_auth REQUIRED
acl noon time W 12:00-12:00
acl second myportname second
acl bad url_regex bad
"""


def listed(*rules: str) -> list[Line]:
    """Lines as they are written."""
    text = ACLS + "".join(f"http_access {each}\n" for each in rules)
    return Reading(directives(text, HOST), HOST, Draft()).lists["http_access"]


@pytest.mark.parametrize(
    ("rules", "user", "expected"),
    [
        (["allow lan"], "", True),
        (["deny !lan"], "", True),
        (["allow lan !sites"], "", False),
        (["allow sites servers web"], "", True),
        (["allow noon CONNECT"], "", True),
        (["deny second"], "", True),
        (["allow bob"], "bob", True),
        (["allow bob"], "eve", False),
        (["deny bob"], "eve", True),
        # A login is asked for where a condition needs it.
        (["deny bob", "allow all"], "", False),
        (["deny second bob", "allow all"], "", True),
        (["allow staff"], "eve", True),
        (["deny bad"], "", None),
        (["deny second bad"], "", True),
    ],
)
def test_decided(rules: list[str], user: str, expected: bool | None) -> None:
    """The first line that matches, and else the opposite of the last one."""
    asked = Asked("CONNECT", "www.x.example", "10.1.0.1", 443)
    _, said = decided(listed(*rules), Client("10.0.0.1", user), asked, 3, 720)
    assert said is expected


def test_falls() -> None:
    """Without a line nobody gets in."""
    assert [falls(listed(each)) for each in ("allow lan", "deny lan")] == [False, True]
    assert falls([]) is False
