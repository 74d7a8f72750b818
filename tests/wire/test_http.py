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
from socksgw.wire.http import HEAD_LIMIT, Http, HttpRequested, readRequest
from socksgw.wire.httpreplies import STATUSES
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.server import Asking, ServerConversation
from tests.tools.requests import BROKEN, CONNECT, HOST


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
@pytest.mark.parametrize(
    ("reply", "reason", "error"),
    [
        (Reply.HOST_UNREACHABLE, "no-such-host", b"dns_error"),
        (Reply.HOST_UNREACHABLE, "lookup-timeout", b"dns_timeout"),
        (Reply.CONNECTION_REFUSED, "refused", b"connection_refused"),
        (Reply.NOT_ALLOWED, "policy", b"http_request_denied"),
        (Reply.NOT_ALLOWED, "self", b"destination_ip_prohibited"),
        (Reply.GENERAL_FAILURE, "leave-by", b"proxy_configuration_error"),
        (Reply.GENERAL_FAILURE, "upstream-unreachable", b"destination_unavailable"),
        (Reply.GENERAL_FAILURE, "upstream-timeout", b"connection_timeout"),
        (Reply.GENERAL_FAILURE, "loop", b"proxy_loop_detected"),
        (Reply.GENERAL_FAILURE, "audit", b""),
    ],
)
def test_proxyStatus(reasons: bool, reply: Reply, reason: str, error: bytes) -> None:
    """RFC 9209 section 2.3, where reasons are told at all."""
    answer = Http("here", reasons).encodeRefusal(reply, reason, "why")
    field = b"\r\nProxy-Status: socksgw; error=%b\r\n" % error
    assert (field in answer) is bool(reasons and error)
    assert (b"Proxy-Status" in answer) is bool(reasons and error)


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
    assert rest.startswith(b"Proxy-Status: socksgw; error=http_request_denied\r\n")


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
    # What an upstream cannot do is no fault of the request.
    for reply in (Reply.COMMAND_NOT_SUPPORTED, Reply.ADDRESS_TYPE_NOT_SUPPORTED):
        assert status(http.encodeRefusal(reply, "upstream-refused", "")) == 502


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


def test_octetByOctet() -> None:
    """
    What was looked at in vain is not looked at again, but for what may be the
    beginning of the end.
    """
    head = b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n"
    for scanned in range(len(head)):
        assert isinstance(readRequest(Reader(head, 0, scanned)), HttpRequested)
    # Far before what is looked at.
    odd = b"CONNECT a.example:1 HTTP/1.1\r\nX:\n\n" + b"y" * 100
    with pytest.raises(WireError):
        readRequest(Reader(odd, 0, 30))
    with pytest.raises(NeedMoreData):
        readRequest(Reader(odd, 0, len(odd)))
