"""
Requests of HTTP: what is read of them, what is refused, what is answered.
"""

from __future__ import annotations

import pytest

from socksgw import errors
from socksgw.errors import SocksError
from socksgw.wire import http as reading
from socksgw.wire.address import Address, BadHost
from socksgw.wire.codes import Reply
from socksgw.wire.http import HEAD_LIMIT, Http, HttpRequested
from socksgw.wire.httpreplies import STATUSES
from socksgw.wire.reader import WireError
from socksgw.wire.server import Asking, ServerConversation

HOST = b"Host: example.com:443\r\n"
CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\n"


def asked(octets: bytes) -> tuple[ServerConversation, HttpRequested]:
    """A conversation whose request has come."""
    conversation = ServerConversation()
    conversation.receive(octets)
    event = conversation.next()
    assert isinstance(event, HttpRequested)
    return conversation, event


def status(octets: bytes) -> int:
    """The status of an answer."""
    return int(octets.split(b" ", 2)[1])


def refused(octets: bytes, ended: bool = True) -> tuple[int, str]:
    """Which status a violation is answered with, and its text."""
    conversation = ServerConversation()
    conversation.receive(octets)
    with pytest.raises(WireError) as raised:
        conversation.next()
    error = raised.value
    assert conversation.failed
    assert conversation.replyable
    assert error.reply is not None
    answer = conversation.refuse(error.reply, error.reason or "protocol", str(error))
    return status(answer), str(error)


@pytest.mark.parametrize(
    ("target", "host", "port", "spelled"),
    [
        (b"example.com:443", "example.com", 443, b"example.com"),
        (b"EXAMPLE.com.:0443", "example.com", 443, b"EXAMPLE.com."),
        (b"192.0.2.7:80", Address.parse("192.0.2.7"), 80, b"192.0.2.7"),
        (b"[2001:db8::7]:80", Address.parse("2001:db8::7"), 80, b"2001:db8::7"),
        (b"[::ffff:192.0.2.7]:80", Address.parse("::ffff:192.0.2.7"), 80, None),
        (b"a:0", "a", 0, b"a"),
        (b"a:65535", "a", 65535, b"a"),
    ],
)
def test_connect(target: bytes, host: object, port: int, spelled: bytes | None) -> None:
    """RFC 9112 section 3.2.3: a host and a port; octets behind are not lost."""
    octets = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n\x16\x03" % (target, target)
    conversation, request = asked(octets)
    assert (request.host, request.port) == (host, port)
    assert spelled in (None, request.asked)
    assert conversation.dialect.commands[request.command] == "connect"
    assert conversation.admit(request) is request
    assert conversation.protocol == "http"
    reply = conversation.reply(Reply.SUCCEEDED)
    assert reply == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert conversation.surplus() == b"\x16\x03"


@pytest.mark.parametrize(
    "target",
    [
        b"0x7f.1:80",
        b"[fe80::1%25eth0]:80",
        b"a%2eb:80",
        b"user@example.com:80",
        b"[::1%lo]:80",
        b"1.2.3:80",
    ],
)
def test_badHosts(target: bytes) -> None:
    """What SOCKS would not dial is not dialled here; it is recorded as it came."""
    _, request = asked(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target))
    assert isinstance(request.host, BadHost)


#: RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.1, 6.3; RFC 9110 sections 5.5, 7.2, 9.3.6.
BROKEN: dict[str, tuple[bytes, int]] = {
    "no port": (b"CONNECT example.com HTTP/1.1\r\n" + HOST, 400),
    "empty port": (b"CONNECT example.com: HTTP/1.1\r\n" + HOST, 400),
    "no host": (b"CONNECT :443 HTTP/1.1\r\nHost: a\r\n", 400),
    "port too large": (b"CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n", 400),
    "port of six digits": (b"CONNECT a:000443 HTTP/1.1\r\nHost: a\r\n", 400),
    "port with a sign": (b"CONNECT a:+443 HTTP/1.1\r\nHost: a\r\n", 400),
    "IPv6 without brackets": (b"CONNECT ::1:443 HTTP/1.1\r\nHost: a\r\n", 400),
    "IPv4 in brackets": (b"CONNECT [127.0.0.1]:1 HTTP/1.1\r\nHost: a\r\n", 400),
    "two ports": (b"CONNECT a:1:2 HTTP/1.1\r\nHost: a\r\n", 400),
    "long host": (b"CONNECT " + b"a" * 256 + b":1 HTTP/1.1\r\nHost: a\r\n", 400),
    "absolute": (b"CONNECT http://example.com:443/ HTTP/1.1\r\n" + HOST, 400),
    "path": (b"CONNECT / HTTP/1.1\r\n" + HOST, 400),
    "asterisk": (b"CONNECT * HTTP/1.1\r\n" + HOST, 400),
    "another Host": (CONNECT + b"Host: evil.example:443\r\n", 400),
    "another port in Host": (CONNECT + b"Host: example.com:444\r\n", 400),
    "two Hosts": (CONNECT + HOST + HOST, 400),
    "no Host": (CONNECT, 400),
    "space before the colon": (CONNECT + b"Host : example.com:443\r\n", 400),
    "space before the name": (CONNECT + HOST + b" X: y\r\n", 400),
    "folded": (CONNECT + HOST + b"X: y\r\n z\r\n", 400),
    "folded by a tab": (CONNECT + HOST + b"X: y\r\n\tz\r\n", 400),
    "NUL": (CONNECT + HOST + b"X: y\0z\r\n", 400),
    "NUL in the target": (b"CONNECT a\0b:1 HTTP/1.1\r\n" + HOST, 400),
    "CR alone": (CONNECT + HOST + b"X: y\rz: t\r\n", 400),
    "LF alone": (CONNECT + HOST + b"X: y\nZ: t\r\n", 400),
    "LF behind the request": (CONNECT.replace(b"\r", b"") + HOST, 400),
    "no colon": (CONNECT + HOST + b"X\r\n", 400),
    "empty name": (CONNECT + HOST + b": y\r\n", 400),
    "name that is no token": (CONNECT + HOST + b"X(y): z\r\n", 400),
    "length": (CONNECT + HOST + b"Content-Length: 5\r\n", 400),
    "two lengths": (
        CONNECT + HOST + b"Content-Length: 0\r\nContent-Length: 5\r\n",
        400,
    ),
    "length twice": (CONNECT + HOST + b"Content-Length: 5\r\n" * 2, 400),
    "list of lengths": (CONNECT + HOST + b"Content-Length: 0, 5\r\n", 400),
    "length with a sign": (CONNECT + HOST + b"Content-Length: +0\r\n", 400),
    "length in hexadecimal": (CONNECT + HOST + b"Content-Length: 0x0\r\n", 400),
    "chunks": (CONNECT + HOST + b"Transfer-Encoding: chunked\r\n", 400),
    "unknown coding": (CONNECT + HOST + b"Transfer-Encoding: gzip\r\n", 501),
    "chunks last but one": (
        CONNECT + HOST + b"Transfer-Encoding: chunked, identity\r\n",
        501,
    ),
    "vertical tab before chunks": (
        CONNECT + HOST + b"Transfer-Encoding: \x0bchunked\r\n",
        400,
    ),
    "length beside chunks": (
        b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n",
        400,
    ),
    "chunks in 1.0": (
        b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    "credentials twice": (
        CONNECT + HOST + b"Proxy-Authorization: Basic YTpi\r\n" * 2,
        400,
    ),
    "no version": (b"CONNECT example.com:443\r\n", 400),
    "two spaces": (b"CONNECT  example.com:443 HTTP/1.1\r\n" + HOST, 400),
    "space in the target": (b"CONNECT exa mple.com:443 HTTP/1.1\r\n" + HOST, 400),
    "tab": (b"CONNECT\texample.com:443 HTTP/1.1\r\n" + HOST, 400),
    "lower case of HTTP": (b"CONNECT example.com:443 http/1.1\r\n" + HOST, 400),
    "version 1.2": (b"CONNECT example.com:443 HTTP/1.2\r\n" + HOST, 505),
    "version 0.9": (b"CONNECT example.com:443 HTTP/0.9\r\n" + HOST, 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 505),
    "many digits": (b"CONNECT example.com:443 HTTP/1.10\r\n" + HOST, 400),
    "no method": (b"CON(ECT example.com:443 HTTP/1.1\r\n" + HOST, 400),
    "PROXY header": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + CONNECT + HOST, 400),
    "many fields": (CONNECT + HOST + b"X: y\r\n" * 101, 431),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    """Each form that is no request, or could smuggle one, gets its status."""
    octets, expected = BROKEN[name]
    assert refused(octets + b"\r\n")[0] == expected


@pytest.mark.parametrize(
    "line",
    [
        b"Proxy-Authorization : Basic c2VjcmV0",
        b"Proxy-Authorization\tBasic c2VjcmV0",
        b"Proxy-Authorization: Basic c2VjcmV0\0",
        b" Proxy-Authorization: Basic c2VjcmV0",
    ],
)
def test_nothingIsRepeated(line: bytes) -> None:
    """h11 repeats the line that is wrong, and that can be the credentials."""
    _, text = refused(CONNECT + HOST + line + b"\r\n\r\n")
    assert "c2VjcmV0" not in text


def test_aBalancerIsNamed() -> None:
    """A PROXY header where none is taken is told from HTTP."""
    assert "send-proxy" in refused(BROKEN["PROXY header"][0] + b"\r\n")[1]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"CONNECT " + b"a" * 9000, 414),
        (CONNECT + b"X: " + b"y" * HEAD_LIMIT, 431),
        (b"A" * 40, 400),
        (b"CONNECT a:1 HTTP/1.1\n\n", 400),
        (CONNECT + b"X: y\n\n", 400),
    ],
)
def test_neverWhole(octets: bytes, expected: int) -> None:
    """Who never comes to an end is not waited for."""
    assert refused(octets)[0] == expected


@pytest.mark.parametrize(
    ("fields", "keeps"),
    [
        (b"HTTP/1.1\r\nHost: a:1", True),
        (b"HTTP/1.1\r\nHost:", True),
        (b"HTTP/1.1\r\nHost: A\r\nConnection: close", False),
        (b"HTTP/1.1\r\nHost: a\r\nProxy-Connection: Close", False),
        (b"HTTP/1.1\r\nHost: a\r\nProxy-Connection: keep-alive", True),
        (b"HTTP/1.0", False),
        (b"HTTP/1.0\r\nProxy-Connection: Keep-Alive", True),
        (b"HTTP/1.1\r\nHost: a\r\nContent-Length: 0", True),
    ],
)
def test_persistence(fields: bytes, keeps: bool) -> None:
    """RFC 9112 section 9.3; an empty Host, or one without port, is as good."""
    conversation, request = asked(b"CONNECT a:1 " + fields + b"\r\n\r\n")
    assert conversation.dialect.keeps(request) is keeps


def test_challenged() -> None:
    """The request comes again on the same connection, with credentials."""
    conversation, request = asked(CONNECT + HOST + b"\r\n")
    assert conversation.dialect.presented(request) == ("", b"")
    conversation.asking = Asking(['Basic realm="REALM"', "Negotiate"])
    answer = conversation.challenge()
    assert status(answer) == 407
    assert b'Proxy-Authenticate: Basic realm="socksgw"\r\n' in answer
    assert b"Proxy-Authenticate: Negotiate\r\n" in answer
    assert b"\r\nProxy-Connection: keep-alive\r\n" in answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert conversation.next() is None
    conversation.receive(
        CONNECT + HOST + b"proxy-authorization:  BASIC  YTpi \r\n\r\nbehind"
    )
    again = conversation.next()
    assert isinstance(again, HttpRequested)
    request = again
    assert conversation.dialect.presented(request) == ("basic", b"YTpi")
    assert "YTpi" not in repr(request)
    conversation.asking.conclusion = "Negotiate abc"
    conversation.admit(request)
    assert request.answer == b""
    assert conversation.reply(Reply.SUCCEEDED) == (
        b"HTTP/1.1 200 Connection established\r\n"
        b"Proxy-Authenticate: Negotiate abc\r\n\r\n"
    )
    assert conversation.surplus() == b"behind"


def test_anotherProtocolDoesNotFollow() -> None:
    """Behind a challenge there is no SOCKS."""
    conversation, _ = asked(CONNECT + HOST + b"\r\n")
    conversation.asking = Asking(["Negotiate"])
    conversation.challenge()
    conversation.receive(b"\x05\x01\x00" + b"\r\n\r\n")
    with pytest.raises(WireError):
        conversation.next()
    assert conversation.protocol == "http"


@pytest.mark.parametrize("reasons", [False, True])
def test_told(reasons: bool) -> None:
    """Rule and reason where it is wanted, else a text that is always the same."""
    http = Http("here", reasons)
    answer = http.encodeRefusal(Reply.NOT_ALLOWED, "policy", "it may not", "no-web")
    assert status(answer) == 403
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert b"Via" not in answer
    told = b'Rule "no-web": it may not (policy)\n'
    assert answer.endswith(told) is reasons
    same = http.encodeRefusal(Reply.NOT_ALLOWED, "revoked", "another", "other")
    assert (answer == same) is not reasons
    line = b'HTTP/1.1 403 Forbidden: rule "no-web": it may not (policy)\r\n'
    assert answer.startswith(line) is reasons


def test_theFirstLineIsOne() -> None:
    """Whatever a rule is called and a reason says (RFC 9112 section 4)."""
    answer = Http("here", True).encodeRefusal(
        Reply.NOT_ALLOWED, "policy", "a\r\nX: é\0" + 999 * "n", "ü"
    )
    line, _, rest = answer.partition(b"\r\n")
    assert line.startswith(b'HTTP/1.1 403 Forbidden: rule "?": a??X: ??nnn')
    assert len(line) < 256
    assert rest.startswith(b"Content-Type: ")


def test_everyCauseHasItsStatus() -> None:
    """Whatever a session can fail with is a status of 4xx or 5xx."""
    http = Http()
    found = {}
    for error in vars(errors).values():
        if not (isinstance(error, type) and issubclass(error, SocksError)):
            continue
        if error.reply is not None:
            found[error.reason] = status(
                http.encodeRefusal(error.reply, error.reason, "")
            )
    assert found["policy"] == 403
    assert found["no-such-host"] == found["unreachable"] == 502
    assert (found["limit"], found["audit"], found["draining"]) == (429, 503, 503)
    assert (found["command"], found["bad-destination"]) == (405, 400)
    assert all(400 <= each < 600 for each in (*found.values(), *STATUSES.values()))


def test_theSameOctetsAgain() -> None:
    """
    Whoever asks again in the same octets asks for the same, and what holds a secret is
    not remembered.
    """
    head = b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n"
    plain = head + b"User-Agent: one\r\n\r\n"
    for _ in range(2):
        conversation, request = asked(plain + b"behind")
        assert (request.host, request.port) == ("other.example", 443)
        assert (request.scheme, request.answer) == ("", b"")
        conversation.admit(request)
        assert conversation.surplus() == b"behind"
    assert plain in reading._KNOWN
    for _ in range(2):
        secret = head + b"Proxy-Authorization: Basic dTpw\r\n\r\n"
        _, request = asked(secret)
        assert (request.scheme, request.answer) == ("basic", b"dTpw")
        assert secret not in reading._KNOWN
    other = head + b"X-Token: t\r\n\r\n"
    asked(other)
    assert other not in reading._KNOWN


def test_whatIsRememberedIsBounded() -> None:
    """However many hosts are asked for, and however long the heads are."""
    for number in range(2000):
        asked(
            b"CONNECT n%d.example:1 HTTP/1.1\r\nHost: n%d.example:1\r\n\r\n"
            % (number, number)
        )
    assert len(reading._KNOWN) <= 512
    long = CONNECT + HOST + b"User-Agent: " + b"x" * 600 + b"\r\n\r\n"
    asked(long)
    assert long not in reading._KNOWN
