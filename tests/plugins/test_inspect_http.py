"""
Heads of HTTP requests (RFC 9112 section 3, RFC 9113 section 3.4).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.interfaces import MALFORMED, NOT_MINE, Finding
from socksgw.plugins.inspect_http import inspector
from tests.tools.looking import lookedAt, split

#: RFC 9112 section 3.2.1 and following, and 9113 section 3.4.
HEADS = [
    (
        b"GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
        Finding("http", "www.example.org", method="GET"),
    ),
    (
        b"GET http://www.example.org/pub/WWW/ HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
        Finding("http", "www.example.org", method="GET"),
    ),
    (
        b"CONNECT server.example.com:80 HTTP/1.1\r\nHost: server.example.com\r\n\r\n",
        Finding("http", "server.example.com", method="CONNECT"),
    ),
    (
        b"OPTIONS * HTTP/1.1\r\nX: y\r\nhOST: \tWWW.Example.org.:8001 \r\n\r\nbody",
        Finding("http", "www.example.org", method="OPTIONS"),
    ),
    (
        b"\r\n\r\nPOST / HTTP/1.0\nhost:[2001:DB8::1]:80\n\n",
        Finding("http", "2001:db8::1", method="POST"),
    ),
    (b"GET / HTTP/1.0\r\n\r\n", Finding("http", method="GET")),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Finding("http", method="GET")),
    (b"GET /\r\n", Finding("http", method="GET")),
    (
        b"GET ftp://u:p@a.example/x HTTP/1.1\r\n\r\n",
        Finding("http", "a.example", method="GET"),
    ),
    (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4",
        Finding("http", hidden=True, method="PRI", detail="HTTP/2"),
    ),
]


@pytest.mark.parametrize(("octets", "finding"), HEADS)
def test_heads(octets: bytes, finding: Finding) -> None:
    """Method and host, in every form of the target; at once and octet by octet."""
    assert lookedAt(inspector, [octets]) == finding
    parts = [octets[i : i + 1] for i in range(len(octets))]
    assert lookedAt(inspector, parts) == finding


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nno field\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 2001:db8::1\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"CONNECT a.example:1 HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\n\r\n",
        b"GET  HTTP/1.1\r\n",
        b"GET / HTTP/3.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX",
        b"\n\n\n\n\n",
    ],
)
def test_malformed(octets: bytes) -> None:
    """What servers may read differently is no finding."""
    assert lookedAt(inspector, [octets]) == MALFORMED


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO a.example\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
        b"OPTIONS rtsp://a/ RTSP/1.0\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"A" * 40,
        b"GE\0",
        b"\x16\x03\x01",
    ],
)
def test_somethingElse(octets: bytes) -> None:
    """Other protocols of lines, and what cannot be a method."""
    assert lookedAt(inspector, [octets]) == NOT_MINE


@given(
    st.one_of(
        st.sampled_from([each for each, _ in HEADS]),
        st.binary(max_size=200),
        st.text("GET /HTP1.\r\nost:a", max_size=80).map(str.encode),
    ),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_anySplit(octets: bytes, cuts: list[int]) -> None:
    """However octets come, the finding is the same; nothing makes it raise."""
    whole = lookedAt(inspector, [octets])
    found = lookedAt(inspector, split(octets, cuts))
    assert found == whole
