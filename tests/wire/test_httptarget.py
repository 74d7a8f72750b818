"""
Targets of requests that are passed on.
"""

from __future__ import annotations

import pytest

from socksgw.wire.address import Address, BadHost
from socksgw.wire.httptarget import Target, readTarget
from socksgw.wire.reader import WireError


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            b"http://Example.COM.:080/a?b",
            Target("example.com", 80, b"Example.COM.", b"example.com", b"/a?b"),
        ),
        (b"ws://a:81/b", Target("a", 81, b"a", b"a:81", b"/b")),
        (b"HTTP://a:", Target("a", 80, b"a", b"a", b"/")),
        (b"http://a?//", Target("a", 80, b"a", b"a", b"/?//")),
        (b"http://a/@#"[:-1], Target("a", 80, b"a", b"a", b"/@")),
        (
            b"http://192.0.2.1:8080",
            Target(
                Address.parse("192.0.2.1"), 8080, b"192.0.2.1", b"192.0.2.1:8080", b"/"
            ),
        ),
        (
            b"http://[2001:DB8::1]:81//",
            Target(
                Address.parse("2001:db8::1"),
                *(81, b"2001:DB8::1", b"[2001:db8::1]:81", b"//"),
            ),
        ),
    ],
)
def test_targets(target: bytes, expected: Target) -> None:
    """The destination is told the host that was judged, in its one form."""
    assert readTarget(b"GET", target) == expected


def test_theWholeServer() -> None:
    """RFC 9112 section 3.2.4."""
    assert readTarget(b"OPTIONS", b"http://a:81").path == b"*"
    assert readTarget(b"OPTIONS", b"http://a:81/").path == b"/"


@pytest.mark.parametrize(
    "host",
    [b"ex%61mple.com", b"127.1", b"0x7f.1", b"a b", b"[::ffff:1%25eth0]", b"[v1.x]"],
)
def test_hostsThatAreNone(host: bytes) -> None:
    """They are refused as in every protocol, and nobody is told of them."""
    found = readTarget(b"GET", b"http://" + host + b"/")
    assert isinstance(found.host, BadHost)
    assert found.authority == b""


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (b"/path", ""),
        (b"*", ""),
        (b"example.com:80", ""),
        (b"http:/example.com/", ""),
        (b"http:///path", ""),
        (b"http://:80/", ""),
        (b"http://example.com:0/", ""),
        (b"http://example.com:65536/", ""),
        (b"http://example.com:+80/", ""),
        (b"http://example.com:80:80/", ""),
        (b"http://[::1/", ""),
        (b"http://[::1]x/", ""),
        (b"http://example.com/#fragment", ""),
        (b"http://alice:canary@example.com/", ""),
        (b"http://example.com\\@evil/", ""),
        (b"https://example.com/", ""),
        (b"ftp://example.com/", "not-implemented"),
        (b"wss://example.com/", ""),
        (b"gopher://example.com/", "not-implemented"),
    ],
)
def test_targetsThatAreRefused(target: bytes, reason: str) -> None:
    """Before anybody is asked or dialled; the text repeats nothing of them."""
    with pytest.raises(WireError) as caught:
        readTarget(b"GET", target)
    assert caught.value.reason == reason
    assert "canary" not in str(caught.value)
