"""
The heads of HTTP messages: which are taken, and which of their fields are passed on.

h11 parses them. It is lenient where two parsers may disagree about where a message
ends (RFC 9112 section 11.2), and so the form of a head is looked at before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol, final

import h11

from socksgw.wire.reader import WireError

__all__ = [
    "MOST_FIELDS",
    "MOST_OCTETS",
    "Chunks",
    "Fields",
    "endOfHead",
    "looked",
    "options",
    "passedOn",
    "released",
    "strict",
    "trailersOf",
]

#: The most octets, and fields, of a head.
MOST_OCTETS: Final = 1 << 16
MOST_FIELDS: Final = 200

Fields = list[tuple[bytes, bytes]]

#: The end of a head, also of one with bare line feeds (which is refused then).
_END: Final = re.compile(rb"\n\r?\n")
#: Lines that end with CR LF, and no line that continues another one (obs-fold).
_STRICT: Final = re.compile(rb"[^\r\n]+\r\n(?:[^\r\n \t][^\r\n]*\r\n)*\r\n")
#: Fields of one connection (RFC 9110 section 7.6.1), beside those that Connection
#: names, and all that begin with C{Proxy-}.
_HOP: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding"),
        *(b"upgrade", b"http2-settings"),
    )
)
_PROXY: Final = b"proxy-"
#: What Connection may not take away: it tells the end of the message.
_FRAMING: Final = frozenset((b"content-length", b"host"))
#: What no trailer may say (RFC 9110 section 6.5.1): framing, routing, logins.
_NO_TRAILER: Final = frozenset(
    (
        *(b"content-length", b"host", b"authorization", b"cookie", b"set-cookie"),
        *(b"content-encoding", b"content-type", b"content-range", b"expect"),
        *(b"max-forwards", b"cache-control", b"www-authenticate"),
    )
)


def released(error: h11.ProtocolError) -> None:
    """
    Let go of the frames of an error of h11's.

    One of them has the error itself: a cycle with all that waits for the message.
    """
    error.__traceback__ = None


def endOfHead(octets: bytearray, searched: int = 0) -> int:
    """
    Return how many octets a head has.

    @param octets: what came so far.
    @param searched: how many of them were looked at before.
    @return: 0 while the head is not whole.
    """
    found = _END.search(octets, max(0, searched - 2))
    return found.end() if found else 0


def strict(head: bytes | bytearray) -> None:
    """
    Look at the form of a whole head.

    @raise WireError: it has a bare CR or LF, a folded field, or no first line.
    """
    if not _STRICT.fullmatch(head):
        raise WireError("a line ends with a bare CR or LF, is folded, or is empty")


def looked(event: h11.Request | h11.Response | h11.InformationalResponse) -> None:
    """
    Look at a parsed head for what h11 allows, and two parsers may read in two ways.

    @raise WireError: it is not taken.
    """
    fields = event.headers
    if len(fields) > MOST_FIELDS:
        raise WireError(f"more than {MOST_FIELDS} fields", reason="head-too-long")
    if event.http_version not in (b"1.1", b"1.0"):
        raise WireError("neither HTTP/1.1 nor HTTP/1.0", reason="version")
    names = {name for name, _ in fields}
    if b"transfer-encoding" in names:
        # RFC 9112 sections 6.1 and 6.3.
        if b"content-length" in names:
            raise WireError("both Content-Length and Transfer-Encoding: which holds?")
        if event.http_version == b"1.0":
            raise WireError("Transfer-Encoding in HTTP/1.0")


def options(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """
    Return the values of a field that is a list, in lower case.

    @param name: in lower case, such as C{connection}.
    """
    return [
        option
        for each, value in fields
        if each == name
        for option in (part.strip().lower() for part in value.split(b","))
        if option
    ]


class Headers(Protocol):
    """
    The fields of a message, as h11 has them: names in lower case.
    """

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...

    def raw_items(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the same with the names as they came."""


def passedOn(fields: Headers, *others: bytes) -> Fields:
    """
    Return the fields that are passed on: not those of one connection.

    C{Content-Length} is among them; C{Upgrade} and C{Transfer-Encoding} are not.

    @param others: the names, in lower case, of more that are not.
    """
    gone = _HOP
    named = options(fields, b"connection")
    if named or others:
        gone = (gone.union(named) - _FRAMING).union(others)
    return [
        raw
        for raw, (name, _) in zip(fields.raw_items(), fields, strict=True)
        if name not in gone and not name.startswith(_PROXY)
    ]


def trailersOf(event: h11.EndOfMessage) -> Fields:
    """
    Return the trailer fields that are passed on (RFC 9110 section 6.5.1).
    """
    if not event.headers:
        return []
    return [
        (name, value)
        for name, value in passedOn(event.headers)
        if name.lower() not in _NO_TRAILER
    ]


@final
class Chunks:
    """
    The end of a body in chunks, of which h11 does not tell how it was spelled.

    h11 takes a line without CR for the empty line that ends a body; others read on
    (RFC 9112 section 11.2).
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b""

    def went(self, octets: bytes | memoryview) -> None:
        """Take note of octets that do not end the body."""
        self._last = (self._last + octets[-3:])[-3:]

    def ended(self, octets: bytes | memoryview, behind: int) -> None:
        """
        Look at the octets that end the body.

        @param behind: how many of them are behind its end.
        @raise WireError: it does not end by two CR LF.
        """
        whole = self._last + octets
        if not whole.endswith(b"\r\n\r\n", 0, len(whole) - behind):
            raise WireError("a body whose last line ends with a bare LF")
