"""
Conformance vectors: what a client sends, and what a proxy has to answer.

They are written from the texts of the standards. Nothing in them reaches a destination:
the addresses are those of documentation (RFC 5737), the names end in C{.invalid}
(RFC 2606).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["ADDRESS", "LOGIN", "VECTORS", "Vector"]

#: A reply of SOCKS 5 that refuses: REP within 1 to 8, and an address of any type.
_REFUSED5: Final = (
    rb"\x05[\x01-\x09]\x00(?:\x01.{6}|\x04.{18}|\x03(?:\x00.{2}|.{3,257})|\x00.{6})"
)
#: The same with one REP.
_REP: Final = rb"\x05%s\x00(?:\x01.{6}|\x04.{18}|\x03(?:\x00.{2}|.{3,257})|\x00.{6})"
_REFUSED4: Final = rb"\x00[\x5b-\x5d].{6}"
_STATUS: Final = rb"HTTP/1\.[01] (?:%s) .*"
#: 192.0.2.1 port 9.
ADDRESS: Final = b"\xc0\x00\x02\x01\x00\x09"
#: Before a vector that is of requests: log in.
LOGIN: Final = "login"


class Vector(NamedTuple):
    """
    One exchange.

    @ivar protocol: C{"socks5"}, C{"socks4"} or C{"http"}.
    @ivar name: what it is about.
    @ivar source: the text that demands the answer.
    @ivar octets: what is sent.
    @ivar answer: a pattern of the whole answer.
    @ivar slowly: whether each octet is sent by itself.
    @ivar before: L{LOGIN}, or empty.
    @ivar closes: whether the proxy may also close without an answer.
    """

    protocol: str
    name: str
    source: str
    octets: bytes
    answer: bytes
    slowly: bool = False
    before: str = ""
    closes: bool = False

    def holds(self, answer: bytes) -> bool:
        """Return whether an answer is as it has to be."""
        if not answer:
            return self.closes
        return re.fullmatch(self.answer, answer, re.DOTALL) is not None


VECTORS: Final = (
    Vector(
        "socks5", "a method that nobody has", "RFC 1928 section 3: X'FF'",
        b"\x05\x01\xfe", rb"\x05\xff",
    ),
    Vector(
        "socks5", "a greeting octet by octet", "RFC 1928 section 3",
        b"\x05\x01\xfe", rb"\x05\xff", slowly=True,
    ),
    Vector(
        "socks5", "all methods but none and password", "RFC 1928 section 3: X'FF'",
        b"\x05\x02\xfd\xfe", rb"\x05\xff",
    ),
    Vector(
        "socks5", "a greeting without methods", "RFC 1928 section 3: 1 to 255",
        b"\x05\x00", rb"\x05\xff", closes=True,
    ),
    Vector(
        "socks5", "another version", "RFC 1928 section 3: X'05'",
        b"\x09\x01\x00", rb"(?!\x05\x00).*", closes=True,
    ),
    Vector(
        "socks5", "an unknown command", "RFC 1928 section 6: X'07'",
        b"\x05\x77\x00\x01" + ADDRESS, _REP % rb"\x07", before=LOGIN,
    ),
    Vector(
        "socks5", "an unknown type of address", "RFC 1928 section 6: X'08'",
        b"\x05\x01\x00\x02" + ADDRESS, _REP % rb"\x08", before=LOGIN,
    ),
    Vector(
        "socks5", "a destination of documentation", "RFC 1928 section 6",
        b"\x05\x01\x00\x01" + ADDRESS, _REFUSED5, before=LOGIN,
    ),
    Vector(
        "socks5", "a request octet by octet", "RFC 1928 section 6",
        b"\x05\x01\x00\x01" + ADDRESS, _REFUSED5, slowly=True, before=LOGIN,
    ),
    Vector(
        "socks5", "a name that does not exist", "RFC 1928 section 6, RFC 2606",
        b"\x05\x01\x00\x03\x10selftest.invalid\x00\x09", _REFUSED5, before=LOGIN,
    ),
    Vector(
        "socks5", "a name of no octets", "RFC 1928 section 5",
        b"\x05\x01\x00\x03\x00\x00\x09", _REFUSED5, before=LOGIN, closes=True,
    ),
    Vector(
        "socks4", "a destination of documentation", "SOCKS 4: 91, 92 or 93",
        b"\x04\x01\x00\x09\xc0\x00\x02\x01selftest\x00", _REFUSED4,
    ),
    Vector(
        "socks4", "a request octet by octet", "SOCKS 4",
        b"\x04\x01\x00\x09\xc0\x00\x02\x01selftest\x00", _REFUSED4, slowly=True,
    ),
    Vector(
        "socks4", "a name that does not exist", "SOCKS 4A",
        b"\x04\x01\x00\x09\x00\x00\x00\x01\x00selftest.invalid\x00", _REFUSED4,
    ),
    Vector(
        "socks4", "an unknown command", "SOCKS 4: 91",
        b"\x04\x77\x00\x09\xc0\x00\x02\x01\x00", _REFUSED4, closes=True,
    ),
    Vector(
        "http", "a CONNECT without a port", "RFC 9110 section 9.3.6: 400",
        b"CONNECT 192.0.2.1 HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        _STATUS % rb"400|407",
    ),
    Vector(
        "http", "a line that is no request", "RFC 9112 section 3: 400",
        b"selftest\r\n\r\n", _STATUS % rb"400", closes=True,
    ),
    Vector(
        "http", "two lengths of one body", "RFC 9112 section 6.3: 400",
        b"POST http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n"
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        _STATUS % rb"400", closes=True,
    ),
    Vector(
        "http", "a destination of documentation", "RFC 9110 section 15: 4xx or 5xx",
        b"CONNECT 192.0.2.1:9 HTTP/1.1\r\nHost: 192.0.2.1:9\r\n\r\n",
        rb"HTTP/1\.[01] (?:407 (?i:.*\r\nproxy-authenticate: .*)|(?!407)[45].. .*)",
    ),
)  # fmt: skip
