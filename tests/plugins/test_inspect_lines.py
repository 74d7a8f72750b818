"""
First lines and messages of SSH, SMTP, DNS and SOCKS.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.interfaces import MALFORMED, NOT_MINE, Finding
from socksgw.plugins.inspect_dns import inspector as dns
from socksgw.plugins.inspect_smtp import inspector as smtp
from socksgw.plugins.inspect_socks import inspector as socks
from socksgw.plugins.inspect_ssh import inspector as ssh
from tests.tools.looking import lookedAt, split

#: RFC 1035 sections 4.1 and 4.2.2: a query for the addresses of a name.
HEADER = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"
QUESTION = b"\3WWW\7example\0\0\1\0\1"
QUERY = b"\0\x1d" + HEADER + QUESTION
#: The same with EDNS (RFC 6891 section 6.1.2).
EDNS = b"\0\x28" + HEADER[:-1] + b"\1" + QUESTION + b"\0\0\x29\x10\0\0\0\0\0\0\0"

FOUND: list[tuple[Any, bool, bytes, Finding]] = [
    # RFC 4253 section 4.2.
    (
        ssh,
        True,
        b"SSH-2.0-billsSSH_3.6.3q3\r\n\0\0",
        Finding("ssh", detail="SSH-2.0-billsSSH_3.6.3q3"),
    ),
    (ssh, False, b"SSH-1.99-x y\n", Finding("ssh", detail="SSH-1.99-x y")),
    (
        ssh,
        True,
        b"SSH-2.0-a\xff\x1b[0m\r\n",
        Finding("ssh", detail=r"SSH-2.0-a\xff\x1b[0m"),
    ),
    # RFC 5321 section 4.2 and appendix D.
    (
        smtp,
        False,
        b"220 foo.com Simple Mail Transfer Service Ready SMTP\r\n",
        Finding("smtp", detail="220 foo.com Simple Mail Transfer Service Ready SMTP"),
    ),
    (smtp, False, b"220-a ESMTP\r\n220 b\r\n", Finding("smtp", detail="220-a ESMTP")),
    (dns, True, QUERY, Finding("dns", detail="www.example")),
    (dns, True, EDNS, Finding("dns", detail="www.example")),
    (dns, True, b"\0\x11" + HEADER + b"\0\0\6\0\1", Finding("dns", detail=".")),
    # RFC 1928 section 3, and the texts of SOCKS 4 and 4a.
    (socks, True, b"\5\1\0", Finding("socks", detail="5")),
    (socks, True, b"\5\3\0\1\2\5\1\0\1", Finding("socks", detail="5")),
    (
        socks,
        True,
        b"\4\1\0\x50\xc0\0\2\1fred\0",
        Finding("socks", detail="4 192.0.2.1:80"),
    ),
    (
        socks,
        True,
        b"\4\1\1\xbb\0\0\0\1\0a.example\0",
        Finding("socks", detail="4a a.example:443"),
    ),
]


@pytest.mark.parametrize(("inspector", "client", "octets", "finding"), FOUND)
def test_found(inspector: Any, client: bool, octets: bytes, finding: Finding) -> None:
    """At once, and octet by octet."""
    assert lookedAt(inspector, [octets], client) == finding
    parts = [octets[i : i + 1] for i in range(len(octets))]
    assert lookedAt(inspector, parts, client) == finding


@pytest.mark.parametrize(
    ("inspector", "client", "octets"),
    [
        (ssh, True, b"SSX"),
        (ssh, False, b"Sorry\r\n"),
        (smtp, False, b"220 ProFTPD Server ready\r\n"),
        (smtp, False, b"221 bye SMTP\r\n"),
        (smtp, False, b"220SMTP\r\n"),
        (smtp, False, b"220 " + b"x" * 600),
        (dns, True, b"\0\0\0\x08\x04\xd2\x16\x2f"),
        (dns, True, b"\0\x10" + HEADER + QUESTION),
        (dns, True, b"\0\x1d\x12\x34\x81\0" + HEADER[4:] + QUESTION),
        (dns, True, b"\0\x1d\x12\x34\x79\0" + HEADER[4:] + QUESTION),
        (dns, True, b"\0\x1d" + HEADER[:5] + b"\2" + HEADER[6:] + QUESTION),
        (dns, True, b"\0\x1d" + HEADER[:6] + b"\xff\xff" + HEADER[8:] + QUESTION),
        (dns, True, b"\0\x1d" + HEADER + b"\xc0\x0c" + b"\0" * 15),
        (dns, True, b"\0\x1d" + HEADER + b"\x3f" + b"a" * 20),
        (dns, True, b"\0\x1d" + HEADER + QUESTION[:-2] + b"\0\2"),
        (dns, True, b"\1\x1d" + HEADER + b"\x3faaaa" * 80),
        (socks, True, b"\5\0"),
        (socks, True, b"\5\2\0\0"),
        (socks, True, b"\4\3"),
        (socks, True, b"\4\1\0\x50\xc0\0\2\1" + b"x" * 300),
        (socks, True, b"\4\1\0\x50\0\0\0\1\0" + b"x" * 300),
    ],
)
def test_somethingElse(inspector: Any, client: bool, octets: bytes) -> None:
    """What begins so, and is not that."""
    assert lookedAt(inspector, [octets], client) == NOT_MINE
    parts = [octets[i : i + 1] for i in range(len(octets))]
    assert lookedAt(inspector, parts, client) == NOT_MINE


@pytest.mark.parametrize("line", [b"SSH-2.0\r\n", b"SSH-2.0-" + b"x" * 300])
def test_malformed(line: bytes) -> None:
    """An identification string that is none, or does not end."""
    assert lookedAt(ssh, [line]) == MALFORMED


@given(
    st.sampled_from([ssh, smtp, dns, socks]),
    st.one_of(
        st.sampled_from([octets for _, _, octets, _ in FOUND]),
        st.binary(max_size=60),
        st.binary(max_size=40).map(lambda each: b"\0\x1d" + HEADER + each),
        st.binary(max_size=40).map(lambda each: b"\4\1" + each),
    ),
    st.lists(st.integers(0, 100), max_size=5),
)
def test_anySplit(inspector: Any, octets: bytes, cuts: list[int]) -> None:
    """However octets come, the finding is the same; nothing makes it raise."""
    for client in (False, True):
        parts = split(octets, cuts)
        whole = lookedAt(inspector, [octets], client)
        assert lookedAt(inspector, parts, client) == whole
