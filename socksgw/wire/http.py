"""
HTTP as a proxy's clients speak it.

That is CONNECT (RFC 9110 section 9.3.6), and requests that are passed on (RFC 9112
section 3.2.2).

Octets are parsed by h11 (RFC 9112). What h11 is lenient about, and a proxy must not
be, is refused here before it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, final

import h11

from socksgw.wire.address import Address, Host, parseHost
from socksgw.wire.codes import Command, Method, Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Requested
from socksgw.wire.httpexchange import Exchange, forwarded
from socksgw.wire.httphead import released
from socksgw.wire.httpreplies import (
    CONNECTED,
    Refusals,
    bodiless,
    challenge,
    concluded,
)
from socksgw.wire.httptarget import Target
from socksgw.wire.httpudp import SWITCHED, asksForUDP, readDestination
from socksgw.wire.looks import PROXY1, lookOf
from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = ["HEAD_LIMIT", "Http", "HttpRequested", "wordsOf"]

#: Octets of a request line and its fields. A ticket of Kerberos with the groups of
#: a large directory has 48,000, which are 64,000 in base64.
HEAD_LIMIT: Final = 1 << 16
#: Octets of a request line (RFC 9112 section 3 recommends to take 8,000).
_LINE_LIMIT: Final = 8192
#: Octets of a method, and the space behind it.
_METHOD_LIMIT: Final = 33
#: Fields of a request.
_FIELDS: Final = 100
#: A host has as many octets at most, as in SOCKS; a port has five.
_HOST_LIMIT: Final = 255
_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"
#: RFC 9112 section 2.2: some take that for the end of a line, and some do not.
_OTHER_END: Final = "a line that ends otherwise than by CRLF"
#: How h11's errors begin, of which some repeat the line that is wrong.
_WORDS: Final = (
    "illegal request line",
    "illegal header line",
    "illegal chunk header",
    "malformed chunk footer",
    "Illegal method characters",
    "Illegal target characters",
    "Missing mandatory Host: header",
    "Found multiple Host: headers",
    "conflicting Content-Length headers",
    "bad Content-Length",
    "multiple Transfer-Encoding headers",
    "Only Transfer-Encoding: chunked is supported",
)
_FOLDED: Final = (b"\r\n ", b"\r\n\t")
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})
#: Stands for the command of a request that is passed on: it has no number.
_FORWARD: Final = 0
#: Octets of a body that are read for nothing, so that the connection can be kept.
_SMALL: Final = 1 << 16
_WORDLESS: Final = bytes((Method.NO_AUTHENTICATION,))
#: Heads that were read, each with what it asks for: a program asks for one host again
#: and again in the same octets, and h11 costs a seventh of the session. None of them
#: holds a secret.
_KNOWN: Final[dict[bytes, HttpRequested]] = {}
_KNOWN_MOST: Final = 512
#: Octets of each.
_KNOWN_LIMIT: Final = 512
_PLAIN: Final = frozenset({b"host", b"user-agent", b"connection", b"proxy-connection"})
#: What h11 is told of the most octets that it may hold.
_PATIENCE: Final = HEAD_LIMIT + 1


@final
class HttpRequested(Requested):
    """
    A request of HTTP.

    Only its first fields are ever printed: the others hold credentials.

    @ivar head: the request line and the fields; L{None} where a tunnel follows.
    @ivar parser: what has read it, and can read what follows; likewise.
    @ivar target: where it is passed on to; L{None} where a tunnel follows.
    @ivar keeps: whether the client takes an answer and goes on, on this connection.
    @ivar body: octets that stand behind it, and are none of the next request, where
        it C{keeps}.
    @ivar scheme: the authentication scheme of its credentials, in lower case; empty
        where it has none.
    @ivar answer: what stands behind the scheme.
    """

    head: h11.Request | None
    parser: h11.Connection | None
    target: Target | None
    keeps: bool
    body: int
    scheme: str
    answer: bytes


def _head(octets: bytes | bytearray | memoryview, scanned: int = 0) -> bytes:
    """
    Return a request up to the empty line.

    @param scanned: as in L{Reader}: whoever sends octet by octet does not have all of
        them looked at each time.
    @raise NeedMoreData: it is not whole.
    @raise WireError: it is too long, or has what must not be passed on.
    """
    # A view has no find; what it shows has.
    whole: Any = octets.obj if isinstance(octets, memoryview) else octets
    line = whole.find(b"\n", 0, _LINE_LIMIT)
    if line == -1 or line >= _METHOD_LIMIT:
        if whole.find(b" ", 0, _METHOD_LIMIT) == -1 and len(whole) >= _METHOD_LIMIT:
            raise WireError("no method of HTTP")
        if line == -1 and len(whole) >= _LINE_LIMIT:
            raise WireError("a request line that is too long", reason="target-too-long")
    if line != -1 and whole[line - 1 : line] != b"\r":
        raise WireError(_OTHER_END)
    start = max(0, scanned - len(_HEAD_END) + 1)
    end = whole.find(_HEAD_END, start, HEAD_LIMIT)
    if end == -1:
        if whole.find(b"\n\n", start) != -1:
            raise WireError(_OTHER_END)
        if len(whole) >= HEAD_LIMIT:
            raise WireError("fields that are too long", reason="head-too-long")
        raise NeedMoreData
    head = bytes(whole[: end + len(_HEAD_END)])
    lines = head.count(_LINE_END)
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise WireError(_OTHER_END)
    if lines > _FIELDS + 2:
        raise WireError("too many fields", reason="head-too-long")
    if _FOLDED[0] in head or _FOLDED[1] in head:
        raise WireError("a field that is folded (RFC 9112 section 5.2)")
    return head


def wordsOf(error: h11.RemoteProtocolError) -> str:
    """
    Return what h11 says of a message, without what it repeats of it.

    That can be a field with credentials.
    """
    text = str(error)
    return next((each for each in _WORDS if text.startswith(each)), "malformed HTTP")


def _parsed(head: bytes) -> tuple[h11.Connection, h11.Request]:
    """
    Have h11 read a request's head.

    @raise WireError: it is none.
    """
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_PATIENCE)
    parser.receive_data(head)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as e:
        released(e)
        if head.startswith(PROXY1):
            raise WireError(lookOf(head)) from None
        text = wordsOf(e)
        if e.error_status_hint == 501:
            raise WireError(text, reason="not-implemented") from None
        raise WireError(text) from None
    if not isinstance(event, h11.Request):
        raise WireError("no request")
    if event.http_version not in _VERSIONS:
        raise WireError("neither HTTP/1.0 nor HTTP/1.1", reason="version")
    return parser, event


def readRequest(reader: Reader) -> HttpRequested:
    """
    Read one request, up to the empty line.

    @raise WireError: it breaks the protocol, or is such as a proxy must refuse.
    """
    came = reader.octets
    if len(came) <= _KNOWN_LIMIT:
        known = _KNOWN.get(bytes(came))
        if known is not None:
            reader.position = len(came)
            return known
    octets = _head(came, reader.scanned)
    reader.position = len(octets)
    parser, head = _parsed(octets)
    keeps = head.http_version == b"1.1"
    credentials = host = None
    length, transfer, waits = 0, False, False
    plain = len(octets) <= _KNOWN_LIMIT
    for name, value in head.headers:
        plain = plain and name in _PLAIN
        if name == b"proxy-authorization":
            if credentials is not None:
                raise WireError("credentials twice")
            credentials = value
        elif name == b"host":
            host = value
        elif name == b"content-length":
            # h11 has looked at the digits.
            length = int(value)
        elif name == b"transfer-encoding":
            transfer = True
        elif name == b"expect":
            # The body may come, or not.
            waits = True
        elif name in (b"connection", b"proxy-connection"):
            words = value.lower()
            keeps = b"close" not in words and (keeps or b"keep-alive" in words)
    if transfer and (length or head.http_version == b"1.0"):
        # RFC 9112 section 6.1: what others would read of it is not known.
        raise WireError("a length beside Transfer-Encoding, or that in HTTP/1.0")
    if head.method == b"CONNECT":
        if length or transfer:
            raise WireError("CONNECT with a content")
        destination, port = _authority(head.target, host)
        command, asked = int(Command.CONNECT), _bare(head.target)
        target = None
    elif asksForUDP(head):
        destination, port, asked = readDestination(head)
        command = int(Command.UDP_ASSOCIATE)
        target = None
    else:
        target = forwarded(head)
        destination, port, asked = target.host, target.port, target.asked
        command = _FORWARD
    version = 11 if head.http_version == b"1.1" else 10
    request = HttpRequested(version, command, destination, port, asked, b"")
    request.head, request.parser = (head, parser) if target else (None, None)
    request.target = target
    request.keeps = keeps and not transfer and not waits and length <= _SMALL
    request.body = length
    request.scheme, request.answer = _presented(credentials)
    if plain and target is None:
        if len(_KNOWN) >= _KNOWN_MOST:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[octets] = request
    return request


def _presented(credentials: bytes | None) -> tuple[str, bytes]:
    """Return scheme and answer of a Proxy-Authorization (RFC 9110 section 11.4)."""
    if credentials is None:
        return "", b""
    scheme, _, answer = credentials.partition(b" ")
    return scheme.lower().decode("ascii", "replace"), answer.strip(b" ")


def _bare(target: bytes) -> bytes:
    """Return the host of C{host:port}, without brackets."""
    host = target.rpartition(b":")[0]
    return host[1:-1] if host.startswith(b"[") else host


def _authority(target: bytes, host: bytes | None) -> tuple[Host, int]:
    """
    Return what C{host:port} means (RFC 9112 section 3.2.3).

    @param host: the Host field, which has to say the same.
    @raise WireError: it has another form.
    """
    name, colon, port = target.rpartition(b":")
    bracketed = name.startswith(b"[") and name.endswith(b"]")
    if (
        not colon
        or not 1 <= len(port) <= 5
        or not port.isdigit()
        or int(port) > 0xFFFF
        or not 1 <= len(name) <= _HOST_LIMIT
        or (b":" in name) is not bracketed
    ):
        raise WireError("CONNECT wants a host and a port, as example.com:443")
    if host and host.lower() not in (target.lower(), name.lower()):
        raise WireError("a Host field that names something else")
    return parseHost(name), int(port)


@final
class Http(Dialect):
    """
    HTTP/1.1 and 1.0 as a proxy speaks it.

    The request comes first, with the credentials in it. A client without any, or
    with such as are not wanted, is told which are, and asks again.
    """

    protocol = "http"
    version = 1
    # Methods are in capitals; RFC 9110 section 9.1 knows them by their case.
    first = bytes(range(ord("A"), ord("Z") + 1))
    firstLimit = HEAD_LIMIT
    secret = True
    challenging = True
    commands: ClassVar[Mapping[int, str]] = {
        Command.CONNECT: "connect",
        _FORWARD: "forward",
        Command.UDP_ASSOCIATE: "connect-udp",
    }
    denial = Reply.NOT_ALLOWED
    fault = Reply.GENERAL_FAILURE
    late = Reply.GENERAL_FAILURE

    readFirst = staticmethod(readRequest)

    def __init__(
        self,
        realm: str = "socksgw",
        reasons: bool = False,
        connected: bytes = CONNECTED,
    ) -> None:
        """
        Take what C{[http]} says.

        @param realm: what clients are told that they log in to.
        @param reasons: whether refusals tell the rule and the reason.
        @param connected: the answer to a request that is granted.
        """
        self._realm = realm
        self._refusals = Refusals(reasons)
        self._connected = connected
        self._datagrams: Http | None = None
        if connected is CONNECTED:
            self._datagrams = Http(realm, reasons, SWITCHED)

    def configured(self, realm: str, reasons: bool) -> Http:
        """As L{Dialect.configured}."""
        return Http(realm, reasons)

    @staticmethod
    def offered(_event: Requested, /) -> bytes:
        """Return no authentication: the methods without messages."""
        return _WORDLESS

    def called(self, request: Any) -> str:
        """Return C{http}; the credentials have done their work."""
        request.answer = b""
        return self.protocol

    @staticmethod
    def presented(event: Any) -> tuple[str, bytes]:
        """As L{Dialect.presented}."""
        return event.scheme, event.answer

    @staticmethod
    def keeps(event: Any) -> bool:
        """As L{Dialect.keeps}."""
        keeps: bool = event.keeps
        return keeps

    def encodeChallenge(self, challenges: Sequence[str], keep: bool) -> bytes:
        """As L{Dialect.encodeChallenge}: 407 (RFC 9110 section 15.5.8)."""
        return challenge(
            [each.replace("REALM", self._realm) for each in challenges], keep
        )

    def answering(self, request: Requested) -> Http:
        """As L{Dialect.answering}: UDP is granted by another status."""
        udp = request.command == Command.UDP_ASSOCIATE
        return (udp and self._datagrams) or self

    def encodeReply(self, _reply: Reply, _host: Address, _port: int, /) -> bytes:  # type: ignore[override]
        """Return 200: the address where the gateway is bound has no place there."""
        return self._connected

    @staticmethod
    def concluded(reply: bytes, conclusion: str) -> bytes:
        """As L{Dialect.concluded}."""
        return concluded(reply, conclusion)

    @staticmethod
    def fitted(octets: bytes, request: Any) -> bytes:
        """As L{Dialect.fitted}: without a body where the request was HEAD."""
        head = None if request is None else request.head
        if head is not None and head.method == b"HEAD":
            return bodiless(octets)
        return octets

    @staticmethod
    def goesOn(request: Any) -> int | None:
        """As L{Dialect.goesOn}: CONNECT ends with its refusal."""
        if request.target is None or not request.keeps:
            return None
        body: int = request.body
        return body

    def exchange(self, request: Any) -> Exchange:
        """As L{Dialect.exchange}."""
        return Exchange(request.parser, request.head, request.target, self._refusals)

    def encodeRefusal(
        self, reply: Reply, reason: str, why: str, rule: str = "", keep: bool = False
    ) -> bytes:
        """Return the status for the cause, with a text for people."""
        return self._refusals.of(reply, reason, why, rule, keep)
