"""
One request that is passed on, and its answer, octet by octet.
"""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as some

from socksgw.wire.http import Http, readRequest
from socksgw.wire.httpexchange import Exchange
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from tests.tools.httpmessages import chunked, exchangeOf, parts

GET = b"GET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n"


def passed(octets: bytes) -> bytes:
    """What the destination is sent of a request."""
    exchange, rest = exchangeOf(octets)
    out = exchange.begin()
    return out + exchange.fromClient(rest) if rest else out


def asking(fields: bytes = b"", method: bytes = b"GET") -> bytes:
    return (
        method
        + b" http://example.com/ HTTP/1.1\r\nHost: example.com\r\n"
        + fields
        + b"\r\n"
    )


def answered(answer: bytes, request: bytes = GET, end: bool = False) -> bytes:
    """What the client of a request is sent of an answer."""
    exchange, _ = exchangeOf(request)
    exchange.begin()
    out = exchange.fromDestination(answer)
    return out + exchange.destinationEnded() if end else out


def test_theTargetIsTheDestinations() -> None:
    """In origin form, and Host from the URL, whatever the client says (3.2.2)."""
    request = b"GET http://Example.COM.:80/a?b HTTP/1.1\r\nHost: evil\r\nA: b\r\n\r\n"
    assert passed(request) == b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nA: b\r\n\r\n"
    request = b"GET http://[2001:DB8::1]:8080?q HTTP/1.1\r\nHost: x\r\n\r\n"
    assert passed(request) == b"GET /?q HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n"
    request = b"OPTIONS http://example.com HTTP/1.1\r\nHost: x\r\n\r\n"
    assert passed(request) == b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n"
    request = (
        b"OPTIONS http://example.com/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\n\r\n"
    )
    assert b"OPTIONS / " in passed(request)
    assert b"Max-Forwards: 2" in passed(request)


def test_fieldsOfOneConnectionAreRemoved() -> None:
    """RFC 9110 section 7.6.1, and all that begins with Proxy-; others stay as spelled."""
    fields = (
        b"Connection: close, X-Private,Content-Length, host\r\nX-Private: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n"
        b"Trailer: X\r\nUpgrade: websocket\r\nProxy-Authorization: Basic czpz\r\n"
        b"proxy-anything: 1\r\nX-KEPT: Yes\r\nAuthorization: Basic YTpi\r\n"
        b"Content-Length: 2\r\n"
    )
    assert passed(asking(fields, b"POST") + b"hi") == (
        b"POST / HTTP/1.1\r\nHost: example.com\r\nX-KEPT: Yes\r\n"
        b"Authorization: Basic YTpi\r\nContent-Length: 2\r\n\r\nhi"
    )


@pytest.mark.parametrize(
    ("wanted", "told"),
    [(b"websocket", b"websocket"), (b"h2c", b""), (b"h2c, websocket", b"websocket")],
)
def test_anUpgradeIsAskedFor(wanted: bytes, told: bytes) -> None:
    """Where Connection names it; HTTP/2 without TLS is not (RFC 9113 section 3.1)."""
    fields = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAM\r\nUpgrade: "
    found = passed(asking(fields + wanted + b"\r\n"))
    assert (b"\r\nConnection: Upgrade\r\nUpgrade: " + told + b"\r\n" in found) == (
        told != b""
    )
    assert b"h2c" not in found
    assert b"Settings" not in found


def test_anAnswerIsPassedOn() -> None:
    """Its fields as spelled, without those of one connection."""
    answer = (
        b"HTTP/1.1 200 Fine\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Theirs: 1\r\n"
        b"Proxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert answered(answer) == (
        b"HTTP/1.1 200 Fine\r\nX-Theirs: 1\r\nContent-Length: 2\r\n\r\nhi"
    )


def test_answersThatHaveNoBody() -> None:
    """HEAD, 204 and 304: the answer ends with its head."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    assert answered(head, asking(method=b"HEAD")) == head
    assert answered(b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n") == (
        b"HTTP/1.1 204 No\r\n\r\n"
    )
    head = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n"
    assert answered(head) == head
    for status, method in ((204, b"GET"), (304, b"GET"), (200, b"HEAD")):
        exchange, _ = exchangeOf(asking(method=method))
        exchange.begin()
        exchange.fromDestination(b"HTTP/1.1 %d X\r\n\r\n" % status)
        assert exchange.answerDone
        assert exchange.keepsClient
        assert exchange.keepsDestination


def test_anAnswerToTheEndOfTheConnection() -> None:
    """Chunks for a client of HTTP/1.1; to HTTP/1.0 as it came, to the end as well."""
    answer = b"HTTP/1.0 200 OK\r\n\r\nhello"
    assert answered(answer, end=True) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    old = b"GET http://example.com/ HTTP/1.0\r\n\r\n"
    assert answered(answer, old, end=True) == (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
    )
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n"
    assert answered(answer, old) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi"
    exchange, _ = exchangeOf(old)
    exchange.begin()
    exchange.fromDestination(answer)
    assert exchange.untilClose
    assert not exchange.keepsClient
    assert exchange.keepsDestination


def test_trailers() -> None:
    """Passed on both ways, but for those that no trailer may be."""
    trailers = b"X-Sum: 1\r\nContent-Length: 9\r\nConnection: X\r\nHost: evil\r\n"
    request = asking(b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", b"POST")
    expected = b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n"
    assert passed(request + chunked(b"hi", [2], trailers)).endswith(
        b"\r\nTransfer-Encoding: chunked\r\n\r\n" + expected
    )
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answered(answer + chunked(b"hi", [2], trailers)) == answer + expected


def test_interimAnswers() -> None:
    """Any number of 1xx goes before the answer; HTTP/1.0 does not know them."""
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nKeep-Alive: 1\r\n\r\n"
    )
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    expected = interim.replace(b"Keep-Alive: 1\r\n", b"") + final
    request = asking(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"POST")
    exchange, _ = exchangeOf(request)
    assert b"\r\nExpect: 100-continue\r\n" in exchange.begin()
    assert exchange.fromDestination(interim) == expected[: -len(final)]
    assert exchange.fromClient(b"hi") == b"hi"
    assert exchange.fromDestination(final) == final
    assert exchange.keepsClient
    assert exchange.keepsDestination
    old = b"POST http://example.com/ HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"
    assert b"Expect" not in passed(old)
    assert answered(interim + final, old) == final[:-2] + b"Connection: close\r\n\r\n"


def test_anAnswerBeforeTheEndOfTheRequest() -> None:
    """The client learns that its connection ends: what it sends is no request."""
    exchange, _ = exchangeOf(asking(b"Content-Length: 9\r\n", b"POST"))
    exchange.begin()
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n"
    assert exchange.fromDestination(answer + b"\r\n") == (
        answer + b"Connection: close\r\n\r\n"
    )
    assert exchange.answerDone
    assert not exchange.keepsClient
    assert not exchange.keepsDestination


def test_anotherProtocol() -> None:
    """101: both may speak from then on, and no octet of theirs is lost."""
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
    exchange, rest = exchangeOf(asking(fields) + b"client's")
    exchange.begin()
    exchange.fromClient(rest)
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert exchange.fromDestination(answer + b"server's") == answer
    assert exchange.upgraded
    assert (exchange.surplus, exchange.early) == (b"client's", b"server's")


def test_aProtocolThatNobodyAskedFor() -> None:
    """101 that was not asked for is no answer; nor is one to half a request."""
    switching = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with pytest.raises(WireError):
        answered(switching)
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"
    with pytest.raises(WireError):
        answered(switching, asking(fields, b"POST"))


def test_noMoreForwards() -> None:
    """RFC 9110 section 7.6.2: it is for us, and we serve no such thing."""
    with pytest.raises(WireError) as caught:
        exchangeOf(asking(b"Max-Forwards: 0\r\n", b"TRACE"))
    assert caught.value.reason == "not-implemented"


#: Answers which two parsers may read in two ways, and others that are none.
MALFORMED = [
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/0.9 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000,
]
BODIES = [
    b"2\r\nhiX\r\n0\r\n\r\n",
    b"2\r\nhi\n0\r\n\r\n",
    b"g\r\nhi\r\n0\r\n\r\n",
    b"-2\r\nhi\r\n0\r\n\r\n",
    b"0x2\r\nhi\r\n0\r\n\r\n",
    b" 2\r\nhi\r\n0\r\n\r\n",
    b"2;\nhi\r\n0\r\n\r\n",
    b"2\rhi\r\n0\r\n\r\n",
    b"\r\nhi\r\n0\r\n\r\n",
    b"111111111111111111111\r\nhi",
    b"2\x00\r\nhi\r\n0\r\n\r\n",
    b"3\r\nxxx__1a\r\n",
    b"3\r\nxxx\r_1a\r\n",
    b"3\r\nxxx_\n1a\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"2" + b";x" * 40000,
    # h11 takes each of these for the end.
    b"0\r\n\n",
    b"0\r\nX: y\n\n",
    b"0\r\nX: y\n\r\n",
    b"2\r\nhi\r\n0\r\nX: y\r\n\n",
    b"0\r\n\nGET http://example.com/ HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("answer", MALFORMED)
def test_answersThatAreNone(answer: bytes) -> None:
    """502 for each: none reaches the client, however it is cut."""
    for cuts in ((), (1,), (7,)):
        if len(answer) > 10_000 and cuts == (1,):
            continue
        exchange, _ = exchangeOf(GET)
        exchange.begin()
        with pytest.raises(WireError):
            assert not any(map(exchange.fromDestination, parts(answer, cuts)))
        assert not exchange.answered
        told = exchange.refuse("bad-answer", "no")
        assert told.startswith(b"HTTP/1.1 502 ")
        assert b"\r\nConnection: keep-alive\r\n" in told
        assert exchange.keepsClient


@pytest.mark.parametrize("body", BODIES)
def test_bodiesThatAreNone(body: bytes) -> None:
    """Neither a client's nor a destination's is passed on behind the fault."""
    exchange, _ = exchangeOf(asking(b"Transfer-Encoding: chunked\r\n", b"POST"))
    exchange.begin()
    with pytest.raises(WireError):
        exchange.fromClient(body)
    told = exchange.refuse("protocol", "no")
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in told
    assert not exchange.keepsClient
    exchange, _ = exchangeOf(GET)
    exchange.begin()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(WireError):
        exchange.fromDestination(head + body)
    assert not exchange.answerDone
    assert not exchange.keepsClient


def test_endsInParts() -> None:
    """Where octets of the end come one by one, and others behind it."""
    body, behind = b"2\r\nhi\r\n0\r\nX: y\r\n\r\n", b"GET"
    for wrong in (False, True):
        exchange, _ = exchangeOf(asking(b"Transfer-Encoding: chunked\r\n", b"POST"))
        exchange.begin()
        octets = body[:-2] + b"\n" if wrong else body[:-1]
        for octet in octets[:-1]:
            exchange.fromClient(bytes((octet,)))
        if wrong:
            with pytest.raises(WireError):
                exchange.fromClient(octets[-1:] + behind)
        else:
            exchange.fromClient(octets[-1:])
            assert not exchange.requestDone
            exchange.fromClient(b"\n" + behind)
            assert exchange.surplus == behind
        assert exchange.requestDone is not wrong


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
    ],
)
def test_anAnswerThatBreaksOff(answer: bytes) -> None:
    """The end of the connection is not the end of the answer."""
    exchange, _ = exchangeOf(GET)
    exchange.begin()
    if answer:
        exchange.fromDestination(answer)
    with pytest.raises(WireError):
        exchange.destinationEnded()
    assert not exchange.answerDone


def test_whatComesBehindAnAnswer() -> None:
    """A destination that says more than was asked is not asked again."""
    exchange, _ = exchangeOf(GET)
    exchange.begin()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    assert exchange.fromDestination(whole + b"HTTP/1.1 200 OK\r\n\r\n") == whole
    assert exchange.keepsClient
    assert not exchange.keepsDestination


def test_againOnAnotherConnection() -> None:
    """Only what does no harm twice, before a word of the answer (9.3.1)."""
    exchange, _ = exchangeOf(GET)
    first = exchange.begin()
    assert exchange.repeatable
    assert exchange.begin() == first
    exchange.fromDestination(b"H")
    assert not exchange.repeatable
    for request in (asking(method=b"POST"), asking(b"Content-Length: 2\r\n")):
        exchange, _ = exchangeOf(request)
        exchange.begin()
        assert not exchange.repeatable


FRAMINGS = some.sampled_from(["length", "chunked", "close"])
CUTS = some.lists(some.integers(1, 40), min_size=1, max_size=5)


@given(
    some.binary(max_size=200),
    some.binary(max_size=200),
    FRAMINGS,
    FRAMINGS,
    CUTS,
    CUTS,
    CUTS,
)
def test_anyFragmentation(
    up: bytes,
    down: bytes,
    asked: str,
    given_: str,
    sizes: list[int],
    above: list[int],
    below: list[int],
) -> None:
    """The octets of both bodies are the same behind us, in any framing and cut."""
    if asked == "chunked":
        request = asking(b"Transfer-Encoding: chunked\r\n", b"POST")
        request += chunked(up, sizes)
    else:
        request = asking(b"Content-Length: %d\r\n" % len(up), b"POST") + up
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
    if given_ == "chunked":
        answer += b"Transfer-Encoding: chunked\r\n\r\n" + chunked(down, sizes)
    elif given_ == "length":
        answer += b"Content-Length: %d\r\n\r\n" % len(down) + down
    else:
        answer += b"\r\n" + down
    exchange, rest = exchangeOf(request)
    sent = exchange.begin()
    for part in parts(rest + b"next", above):
        sent += exchange.fromClient(part)
    assert exchange.requestDone
    assert exchange.surplus == b"next"
    received = b""
    for part in parts(answer, below):
        received += exchange.fromDestination(part)
    if given_ == "close":
        received += exchange.destinationEnded()
    assert exchange.answerDone
    assert exchange.keepsClient
    assert bodyOf(h11.Connection(h11.SERVER), sent) == up
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    assert bodyOf(client, received) == down


def bodyOf(parser: h11.Connection, octets: bytes) -> bytes:
    """The whole body of a message, as another program reads it."""
    parser.receive_data(octets)
    body = b""
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Event), event
        if isinstance(event, h11.Data):
            body += event.data
    return body


@given(some.binary(max_size=300), CUTS)
def test_anyOctetsAreAnAnswerOrNone(octets: bytes, cuts: list[int]) -> None:
    """Whatever comes, it is passed on or refused, and nothing else is raised."""
    exchange: Exchange = exchangeOf(GET)[0]
    exchange.begin()
    try:
        for part in parts(octets, cuts):
            exchange.fromDestination(part)
        exchange.destinationEnded()
    except WireError:
        assert not exchange.answerDone


HEADS = [
    GET,
    asking(b"Connection: a\r\nUpgrade: b\r\n"),
    asking(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"POST"),
    asking(b"Transfer-Encoding: chunked\r\n", b"PUT"),
    asking(b"Max-Forwards: 3\r\n", b"OPTIONS"),
]


@given(
    some.sampled_from(HEADS),
    some.lists(some.tuples(some.integers(0, 150), some.binary(max_size=3)), max_size=3),
    some.binary(max_size=60),
)
def test_anyOctetsAreARequestOrNone(
    head: bytes, changes: list[tuple[int, bytes]], body: bytes
) -> None:
    """
    A request is passed on or refused, and what is passed on is one request for
    another parser, too, with a Host that is the one that was judged.
    """
    for at, octets in changes:
        head = head[:at] + octets + head[at + len(octets) :]
    try:
        request = readRequest(Reader(head))
    except (WireError, NeedMoreData):
        return
    if request.target is None:
        return
    exchange = Http().exchange(request)
    try:
        sent = exchange.begin()
        if body:
            sent += exchange.fromClient(body)
    except WireError:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(sent)
    found = server.next_event()
    assert isinstance(found, h11.Request)
    assert dict(found.headers)[b"host"] == request.target.authority
    while (event := server.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        assert isinstance(event, h11.Data | h11.EndOfMessage)
    assert server.trailing_data[0] == b"" or not exchange.requestDone
