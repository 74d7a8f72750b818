"""
The conformance vectors: right and wrong answers, written from the standards.
"""

from __future__ import annotations

import pytest

from socksgw.console.selftest.vectors import VECTORS, Vector

BOUND = b"\x00\x01\x00\x00\x00\x00\x00\x00"
BOUND6 = b"\x00\x04" + bytes(18)


def named(protocol: str, name: str) -> Vector:
    (found,) = (v for v in VECTORS if (v.protocol, v.name) == (protocol, name))
    return found


@pytest.mark.parametrize(
    ("protocol", "name", "right", "wrong"),
    [
        # RFC 1928 section 3: X'FF' NO ACCEPTABLE METHODS; the client offered none that
        # could be taken.
        ("socks5", "a method that nobody has", [b"\x05\xff"], [b"\x05\x00", b"\x05\xfe", b""]),
        ("socks5", "a greeting without methods", [b"\x05\xff", b""], [b"\x05\x00"]),
        ("socks5", "another version", [b"", b"\x04", b"HTTP/1.1 400 No\r\n"], [b"\x05\x00"]),
        # Section 6: X'07' Command not supported, X'08' Address type not supported; RSV
        # is X'00', and BND.ADDR as long as ATYP says.
        (
            "socks5",
            "an unknown command",
            [b"\x05\x07" + BOUND, b"\x05\x07" + BOUND6, b"\x05\x07\x00\x00" + bytes(6)],
            [b"\x05\x01" + BOUND, b"\x05\x00" + BOUND, b"\x05\x07" + BOUND[:-1],
             b"\x05\x07\x01" + BOUND[1:], b""],
        ),
        (
            "socks5",
            "an unknown type of address",
            [b"\x05\x08" + BOUND],
            [b"\x05\x07" + BOUND, b"\x05\x08" + BOUND + b"\x00"],
        ),
        (
            "socks5",
            "a destination of documentation",
            [b"\x05\x02" + BOUND, b"\x05\x04\x00\x03\x02ab\x00\x09"],
            [b"\x05\x00" + BOUND, b""],
        ),
        # SOCKS 4: VN of the reply is 0, CD 91, 92 or 93; eight octets.
        (
            "socks4",
            "a destination of documentation",
            [b"\x00\x5b" + bytes(6), b"\x00\x5d" + bytes(6)],
            [b"\x00\x5a" + bytes(6), b"\x04\x5b" + bytes(6), b"\x00\x5b", b""],
        ),
        (
            "http",
            "a CONNECT without a port",
            [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b""],
        ),
        # Who has logged in is not asked to do so.
        (
            "http",
            "a destination of documentation",
            [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 504 Late\r\n\r\n"],
            [b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", b"",
             b"HTTP/1.1 200 OK\r\n\r\n"],
        ),
        # draft-olteanu-intarea-socks-6-11 section 6: type X'01' and no options, or
        # those of methods; section 8.4: the session is not valid.
        (
            "socks6",
            "a session that nobody has",
            [b"\x06\x01\x00\x04\x00\x09\x00\x04", b"\x06\x01\x00\x00"],
            [b"\x06\x00\x00\x00\x06\x00\x00\x00", b""],
        ),
        # RFC 9110 section 15.5.8: a 407 has a Proxy-Authenticate.
        (
            "http",
            "a request without a login",
            [b"HTTP/1.1 403 Forbidden\r\n\r\n",
             b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"],
            [b"HTTP/1.1 407 Who\r\nServer: x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
        ),
    ],
)  # fmt: skip
def test_answers(
    protocol: str, name: str, right: list[bytes], wrong: list[bytes]
) -> None:
    vector = named(protocol, name)
    assert [each for each in right if not vector.holds(each)] == []
    assert [each for each in wrong if vector.holds(each)] == []


def test_harmless() -> None:
    """Nothing can reach a destination: addresses of documentation, no other names."""
    for vector in VECTORS:
        assert vector.source
        octets = vector.octets
        connects = octets[:2] in (b"\x05\x01", b"\x04\x01") and len(octets) > 4
        if connects or b"CONNECT" in octets:
            harmless = (b"\xc0\x00\x02", b"192.0.2.", b"selftest.invalid", b"\x03\x00")
            assert any(each in octets for each in harmless), vector.name
