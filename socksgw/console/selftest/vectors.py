"""
Conformance vectors: what a client sends, and what a proxy has to answer.

They are written from the texts of the standards. Nothing in them reaches a destination:
the addresses are those of documentation (RFC 5737), the names end in C{.invalid}
(RFC 2606).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["ADDRESS", "DATAGRAMS", "LOGIN", "VECTORS", "BadDatagram", "Vector"]

#: A reply of SOCKS 5 that refuses: REP within 1 to 8, and an address of any type.
_REFUSED5: Final = (
    rb"\x05[\x01-\x09]\x00(?:\x01.{6}|\x04.{18}|\x03(?:\x00.{2}|.{3,257})|\x00.{6})"
)
#: The same with one REP.
_REP: Final = rb"\x05%s\x00(?:\x01.{6}|\x04.{18}|\x03(?:\x00.{2}|.{3,257})|\x00.{6})"
_REFUSED4: Final = rb"\x00[\x5b-\x5d].{6}"
#: In SOCKS 6 the address has an octet of padding before it, and options behind it; the
#: reply follows an authentication reply, which may have options, too (sections 6, 7).
_REP6: Final = (
    rb"\x06\x00(?:\x00\x00|\x00[\x04-\xfc].{4,252})"
    rb"\x06%s\x00\x00.{2}\x00(?:\x01.{4}|\x04.{16})"
)
_REFUSED6: Final = _REP6 % rb"[\x01-\x09]"
#: The session is not valid (section 8.4): kind 9, of 4 octets.
_INVALID6: Final = rb"\x06\x01\x00\x04\x00\x09\x00\x04"
#: A login is wanted (section 6): no options, or any.
_WANTED6: Final = rb"\x06\x01(?:\x00\x00|\x00[\x04-\xfc].{4,252})"
_DRAFT: Final = "draft-olteanu-intarea-socks-6-11"
_STATUS: Final = rb"HTTP/1\.[01] (?:%s) .*"
_CONNECT: Final = b"CONNECT 192.0.2.1:9 HTTP/1.1\r\nHost: 192.0.2.1:9\r\n\r\n"
#: A status that refuses for another reason than the login.
_NOT: Final = rb"(?!407)[45].. .*"
#: 192.0.2.1 port 9.
ADDRESS: Final = b"\xc0\x00\x02\x01\x00\x09"
_DESTINATION: Final = "a destination of documentation"
#: Before a vector that is of requests: log in, where a login is wanted.
LOGIN: Final = "login"


class Vector(NamedTuple):
    """
    One exchange.

    @ivar protocol: C{"socks5"}, C{"socks4"}, C{"http"} or C{"socks6"}.
    @ivar name: what it is about.
    @ivar source: the text that demands the answer.
    @ivar octets: what is sent.
    @ivar answer: a pattern of the whole answer.
    @ivar slowly: whether each octet is sent by itself.
    @ivar before: L{LOGIN}, or empty.
    @ivar closes: whether the proxy may also close without an answer.
    @ivar decided: whether the journal has a decision of it: CONNECT to 192.0.2.1 port 9.
    """

    protocol: str
    name: str
    source: str
    octets: bytes
    answer: bytes
    slowly: bool = False
    before: str = ""
    closes: bool = False
    decided: bool = False

    @property
    def called(self) -> str:
        """What people call it."""
        return f"{self.protocol}: {self.name}"

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
        "socks5", _DESTINATION, "RFC 1928 section 6",
        b"\x05\x01\x00\x01" + ADDRESS, _REFUSED5, before=LOGIN, decided=True,
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
        "socks4", _DESTINATION, "SOCKS 4: 91, 92 or 93",
        b"\x04\x01\x00\x09\xc0\x00\x02\x01selftest\x00", _REFUSED4, decided=True,
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
        "socks6", _DESTINATION, f"{_DRAFT} section 7",
        b"\x06\x01\x00\x00\x00\x09\x00\x01\xc0\x00\x02\x01", _REFUSED6, before=LOGIN,
        decided=True,
    ),
    Vector(
        "socks6", "a request octet by octet", f"{_DRAFT} sections 4 and 7",
        b"\x06\x01\x00\x00\x00\x09\x00\x01\xc0\x00\x02\x01", _REFUSED6,
        slowly=True, before=LOGIN,
    ),
    Vector(
        "socks6", "a name with its padding", f"{_DRAFT} section 4: address type 3",
        b"\x06\x01\x00\x00\x00\x09\x00\x03\x10selftest.invalid\x00\x00\x00",
        _REFUSED6, before=LOGIN,
    ),
    Vector(
        "socks6", "an option that nobody knows", f"{_DRAFT} section 8: it is ignored",
        b"\x06\x01\x00\x08\x00\x09\x00\x01\xc0\x00\x02\x01"
        b"\xfe\xdc\x00\x08self", _REFUSED6, before=LOGIN,
    ),
    Vector(
        "socks6", "an unknown command", f"{_DRAFT} section 7: X'07'",
        b"\x06\x77\x00\x00\x00\x09\x00\x01\xc0\x00\x02\x01", _REP6 % rb"\x07",
        before=LOGIN,
    ),
    Vector(
        "socks6", "a NOOP", f"{_DRAFT} section 7: X'00', or X'07'",
        b"\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
        _REP6 % rb"[\x00\x07]", before=LOGIN,
    ),
    Vector(
        "socks6", "a session that nobody has", f"{_DRAFT} section 8.4: session invalid",
        b"\x06\x01\x00\x0c\x00\x09\x00\x01\xc0\x00\x02\x01"
        b"\x00\x06\x00\x0cselftest",
        rb"(?:%s|%s|%s)" % (_INVALID6, _WANTED6, _REFUSED6),
    ),
    Vector(
        "socks6", "another version", f"{_DRAFT} section 5: X'06'",
        b"\x09\x01\x00\x00\x00\x09\x00\x01\xc0\x00\x02\x01",
        rb"(?!\x06\x00).*", closes=True,
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
        "http", "a request without a login", "RFC 9110 section 15: 4xx or 5xx",
        _CONNECT, rb"HTTP/1\.[01] (?:407 (?i:.*\r\nproxy-authenticate: .*)|%s)" % _NOT,
    ),
    Vector(
        "http", _DESTINATION, "RFC 9110 section 15: 4xx or 5xx, not 407",
        _CONNECT, rb"HTTP/1\.[01] %s" % _NOT, before=LOGIN, decided=True,
    ),
    Vector(
        "http", "a request octet by octet", "RFC 9112 section 2.2",
        _CONNECT, rb"HTTP/1\.[01] %s" % _NOT, slowly=True, before=LOGIN,
    ),
    Vector(
        "http", "a name that does not exist", "RFC 9110 section 15, RFC 2606",
        b"CONNECT selftest.invalid:9 HTTP/1.1\r\nHost: selftest.invalid:9\r\n\r\n",
        rb"HTTP/1\.[01] %s" % _NOT, before=LOGIN,
    ),
)  # fmt: skip


class BadDatagram(NamedTuple):
    """
    What stands before the payload of a datagram that reaches nobody.

    @ivar name: what it is about.
    @ivar source: the text that says so.
    @ivar head: makes it, of the head of a datagram that is as it has to be.
    """

    name: str
    source: str
    head: Callable[[bytes], bytes]


DATAGRAMS: Final = (
    BadDatagram(
        "a first fragment", "RFC 1928 section 7: put together, or dropped",
        lambda head: head[:2] + b"\x01" + head[3:],
    ),
    BadDatagram(
        "an unknown type of address", "RFC 1928 section 7: ATYP",
        lambda head: head[:3] + b"\x02" + head[4:],
    ),
    BadDatagram(
        "a header that is cut off", "RFC 1928 section 7", lambda head: head[:3],
    ),
)  # fmt: skip
