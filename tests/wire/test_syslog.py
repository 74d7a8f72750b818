"""
Messages of syslog, held against the examples of RFC 5424 and RFC 5425.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.syslog import FACILITIES, Header, counted, message, structured

#: RFC 5424, section 6, as a regular expression: what precedes MSG.
_HEADER = re.compile(
    rb"<(0|[1-9]\d{0,2})>1 (?P<time>\S+) [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} "
    rb'[!-~]{1,32} (?P<data>-|(?:\[[!-~]+(?: [!-~]+?="(?:[^"\\\]]|\\["\\\]])*")*\])+) '
)


def test_section65() -> None:
    """The first two examples; theirs have a byte-order mark, or no process."""
    su = Header(FACILITIES["auth"], "mymachine.example.com", "su", "")
    assert message(su, 2, "2003-10-11T22:14:15.003Z", "ID47", structured({})) == (
        b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
    )
    mine = Header(FACILITIES["local4"], "192.0.2.1", "myproc", "8710")
    assert message(mine, 5, "2003-08-24T05:14:15.000003-07:00", "", "-") == (
        b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - "
    )


def test_structuredData() -> None:
    """The third and the fourth example have one element, and two of them."""
    first = {"iut": "3", "eventSource": "Application", "eventID": "1011"}
    one = '[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
    assert structured({"exampleSDID@32473": first}) == one
    assert structured(
        {"exampleSDID@32473": first, "examplePriority@32473": {"class": "high"}}
    ) == (one + '[examplePriority@32473 class="high"]')


def test_escapes() -> None:
    """Section 6.3.3; what would end the element for rsyslog is escaped, too."""
    assert structured({"x": {"v": 'a"] b\\'}}) == '[x v="a\\"\\] b\\\\"]'
    assert structured({"x": {"v": "a\nb\xfc", "none": None, "empty": ""}, "y": {}}) == (
        '[x v="a\\\\nb\\\\xfc"]'
    )


@given(st.text(max_size=300), st.text(max_size=300))
def test_everyText(host: str, value: str) -> None:
    """Whatever names and values are, the message has the form of the standard."""
    header = Header(13, host, host, host)
    data = structured({"x@32473": {"v": value}})
    octets = message(header, 6, "2026-11-28T02:14:15.003456Z", host, data)
    assert _HEADER.fullmatch(octets)
    assert len(octets) < 1200


def test_noTime() -> None:
    """What is no time does not become one."""
    with pytest.raises(ValueError):
        message(Header(1, "h", "p", "1"), 6, "now x", "e", "-")


def test_counted() -> None:
    """Octets are counted, not characters; RFC 5425, section 4.3, has this ABNF."""
    assert counted("ab\xfc".encode()) == b"4 ab\xc3\xbc"
