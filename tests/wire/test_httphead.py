"""
The heads of HTTP messages: their form, and what is passed on of them.
"""

from __future__ import annotations

import h11
import pytest

from socksgw.wire.httphead import (
    endOfHead,
    looked,
    options,
    passedOn,
    strict,
    trailersOf,
)
from socksgw.wire.reader import WireError


def test_theEndOfAHead() -> None:
    """It is found at whatever octet the search begins, also among bare line feeds."""
    head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    for searched in range(len(head) + 1):
        assert endOfHead(bytearray(head[:searched])) == (
            len(head) if searched == len(head) else 0
        )
        assert endOfHead(bytearray(head + b"x\r\n\r\n"), searched) >= len(head)
    assert endOfHead(bytearray(b"a\n\nb")) == 3
    assert endOfHead(bytearray(b"a\r\n\nb")) == 4


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\n",
        b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\tfolded\r\n\r\n",
        b"GET / HTTP/1.1\r\n A: b\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n",
    ],
)
def test_formsThatAreRefused(head: bytes) -> None:
    """What two parsers may read in two ways."""
    with pytest.raises(WireError):
        strict(head)


def test_theFormOfEveryHead() -> None:
    """Any octets but CR and LF may be in a line; a field may be empty."""
    strict(b"GET / HTTP/1.1\r\n\r\n")
    strict(b"HTTP/1.1 200 \xfc\r\nA:\r\nB: \t c \r\n\r\n")


def answer(*fields: tuple[bytes, bytes], version: bytes = b"1.1") -> h11.Response:
    return h11.Response(status_code=200, headers=[*fields], http_version=version)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (answer((b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")), ""),
        (answer((b"Transfer-Encoding", b"chunked"), version=b"1.0"), ""),
        (answer(version=b"2.0"), "version"),
        (answer(version=b"0.9"), "version"),
        (answer(*[(b"A", b"b")] * 201), "head-too-long"),
    ],
)
def test_headsThatAreRefused(event: h11.Response, reason: str) -> None:
    """What h11 takes, and a proxy must not."""
    with pytest.raises(WireError) as caught:
        looked(event)
    assert caught.value.reason == reason


def test_headsThatAreTaken() -> None:
    looked(answer((b"Content-Length", b"1"), version=b"1.0"))
    looked(answer(*[(b"A", b"b")] * 200))


def test_lists() -> None:
    """Several fields are one list (RFC 9110 section 5.3); empty parts are none."""
    fields = [(b"a", b"X, y ,,"), (b"b", b"z"), (b"a", b" Z")]
    assert options(fields, b"a") == [b"x", b"y", b"z"]
    assert options(fields, b"c") == []


def test_fieldsThatArePassedOn() -> None:
    """Not those of one connection; what frames the message cannot be named away."""
    fields = answer(
        (b"Connection", b"X-One, content-length"),
        (b"connection", b"HOST"),
        (b"x-one", b"1"),
        (b"Host", b"a"),
        (b"Content-Length", b"5"),
        (b"X-Two", b"2"),
        (b"Proxy-Connection", b"close"),
        (b"PROXY-ANY", b"1"),
        *[(name, b"1") for name in (b"Keep-Alive", b"TE", b"Trailer", b"Upgrade")],
    ).headers
    kept = [(b"Host", b"a"), (b"Content-Length", b"5"), (b"X-Two", b"2")]
    assert passedOn(fields) == kept
    assert passedOn(fields, b"host", b"x-two") == kept[1:2]


def test_trailersThatArePassedOn() -> None:
    """Nothing that frames or routes a message (RFC 9110 section 6.5.1)."""
    named = (b"Host", b"Set-Cookie", b"Authorization", b"X-Sum", b"TE", b"Trailer")
    end = h11.EndOfMessage(headers=[(name, b"1") for name in named])
    assert trailersOf(end) == [(b"X-Sum", b"1")]
    assert trailersOf(h11.EndOfMessage()) == []
