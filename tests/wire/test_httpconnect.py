"""
The client's side of HTTP CONNECT.
"""

from __future__ import annotations

import pytest

from socksgw.wire.address import Address
from socksgw.wire.httpconnect import (
    MOST_BODY,
    ConnectAnswer,
    ConnectConversation,
    challenges,
)
from socksgw.wire.reader import WireError


def asked(*pieces: bytes, host: str = "example.com") -> ConnectConversation:
    """A conversation whose proxy has sent these octets."""
    conversation = ConnectConversation(host, 443)
    conversation.request()
    for piece in pieces:
        conversation.receive(piece)
    return conversation


def answered(*pieces: bytes) -> ConnectAnswer:
    answer = asked(*pieces).answer
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("example.com", b"example.com:443"),
        (Address.parse("192.0.2.7"), b"192.0.2.7:443"),
        (Address.parse("2001:db8::7"), b"[2001:db8::7]:443"),
    ],
    ids=str,
)
def test_request(host: Address | str, target: bytes) -> None:
    """The target is host and port, which Host repeats (RFC 9112 section 3.2.3)."""
    octets = ConnectConversation(host, 443).request()
    assert octets == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target)


def test_credentials() -> None:
    """They are sent where they are given, and only there."""
    octets = ConnectConversation("a.example", 80).request("Basic eDp5")
    assert octets.endswith(b"\r\nProxy-Authorization: Basic eDp5\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b"])
def test_noOctetOfAnotherField(value: str) -> None:
    """What would end the field is not sent."""
    with pytest.raises(ValueError, match="octet"):
        ConnectConversation("a.example", 80).request(value)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        # tinyproxy's.
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 299 Whatever\r\n\r\n",
        # RFC 9110 section 9.3.6: neither counts in a success.
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_granted(head: bytes, size: int) -> None:
    """Any 2xx opens the tunnel; what stands behind its head is the destination's."""
    octets = head + b"\x16\x03\x01 hello"
    pieces = [octets[start : start + size] for start in range(0, len(octets), size)]
    conversation = asked(*pieces)
    assert conversation.answer is not None
    assert conversation.answer.granted
    assert conversation.surplus() == b"\x16\x03\x01 hello"


def test_everyBeginning() -> None:
    """A head that is not whole is no answer."""
    head = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"
    for count in range(len(head)):
        assert asked(head[:count]).answer is None


def test_interim() -> None:
    """Interim answers come before the final one (RFC 9110 section 15.2)."""
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    )
    conversation = asked(interim)
    assert conversation.answer is None
    conversation.receive(b"HTTP/1.1 200 OK\r\n\r\nbehind")
    assert conversation.answer is not None
    assert conversation.answer.granted
    assert conversation.surplus() == b"behind"


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x05\x00\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * (1 << 16),
    ],
    ids=ascii,
)
def test_broken(octets: bytes) -> None:
    """What is no answer of HTTP/1 is told at once, and never a success."""
    with pytest.raises(WireError):
        asked(octets)


@pytest.mark.parametrize(
    ("octets", "kept", "body"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", True, b"login"),
        (
            b"HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            True,
            b"2;x\r\nab\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", True, b""),
        (
            b"HTTP/1.0 407 No\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
            True,
            b"x",
        ),
        (
            b"HTTP/1.1 407 No\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
            False,
            b"",
        ),
        (b"HTTP/1.1 407 No\r\nProxy-Connection: Close\r\n\r\n", False, b""),
        (b"HTTP/1.0 407 No\r\nContent-Length: 1\r\n\r\n", False, b""),
    ],
)
def test_kept(octets: bytes, kept: bool, body: bytes) -> None:
    """Another request follows the content, where the connection is kept."""
    conversation = asked(octets)
    answer = conversation.answer
    assert answer is not None
    assert (answer.status, answer.granted, answer.kept) == (407, False, kept)
    if not kept:
        return
    for count in range(len(body)):
        assert not conversation.drained()
        conversation.receive(body[count : count + 1])
    assert conversation.drained()
    assert conversation.held == 0
    assert conversation.request("Basic eDp5").startswith(b"CONNECT example.com:443 ")
    conversation.receive(b"HTTP/1.1 200 OK\r\n\r\nx")
    assert conversation.answer is not None
    assert conversation.answer.granted
    assert conversation.surplus() == b"x"


def test_ahead() -> None:
    """What comes behind a refusal before the next request is seen."""
    conversation = asked(
        b"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n"
    )
    assert conversation.drained()
    assert conversation.held == len(b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize("framing", ["Content-Length: 99999999", "X: y"])
def test_longContent(framing: str) -> None:
    """The content of a refusal is read as far as is reasonable."""
    conversation = asked(f"HTTP/1.1 407 No\r\n{framing}\r\n\r\n".encode())
    conversation.receive(bytes(MOST_BODY))
    assert not conversation.drained()
    conversation.receive(b"x")
    with pytest.raises(WireError, match="more than"):
        conversation.drained()


@pytest.mark.parametrize("body", [b"zz\r\n", b"1\r\nabc\r\n", b"-1\r\n\r\n"])
def test_badChunks(body: bytes) -> None:
    """Content that is not what its head says ends the conversation."""
    conversation = asked(b"HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    conversation.receive(body)
    with pytest.raises(WireError):
        conversation.drained()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        # RFC 9110 section 11.6.1.
        (
            [
                'Basic realm="simple", Newauth realm="apps", type=1, title="Login, \\"x\\""'
            ],
            [
                ("basic", 'realm="simple"'),
                ("newauth", 'realm="apps", type=1, title="Login, \\"x\\""'),
            ],
        ),
        (["Negotiate", "Basic realm = x"], [("negotiate", ""), ("basic", "realm = x")]),
        (["Negotiate YII=="], [("negotiate", "YII==")]),
        (["Negotiate, NTLM,Basic"], [("negotiate", ""), ("ntlm", ""), ("basic", "")]),
        ([", ,BEARER realm=a,, error=b,"], [("bearer", "realm=a, error=b")]),
        ([], []),
        ([""], []),
        (['"x'], []),
        (['Basic a="x\\'], []),
        # A minute for one field, if each quote is read again.
        (['"' + '\\"' * 32_000], []),
        (["realm=x"], []),
    ],
)
def test_challenges(values: list[str], found: list[tuple[str, str]]) -> None:
    """A field has several challenges, and each may have commas of its own."""
    assert list(challenges(values)) == found


def test_challengeOf401() -> None:
    """In 401 (tinyproxy) both fields count; in 407 one alone."""
    fields = b"WWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    assert answered(b"HTTP/1.1 401 No\r\n" + fields).challenges == (
        ("basic", "realm=x"),
    )
    assert answered(b"HTTP/1.1 407 No\r\n" + fields).challenges == ()


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        (b"Proxy-Status: socksgw; error=connection_refused", "connection_refused"),
        (
            b'Proxy-Status: far; error=dns_error; details="a", near;error=dns_timeout',
            "dns_timeout",
        ),
        (b"X-Squid-Error: ERR_CONNECT_FAIL 111", "ERR_CONNECT_FAIL 111"),
        (b"Proxy-Status: near", ""),
    ],
)
def test_problem(field: bytes, problem: str) -> None:
    """The proxy's own word says more than a status (RFC 9209 section 2.3)."""
    assert answered(b"HTTP/1.1 502 Bad\r\n" + field + b"\r\n\r\n").problem == problem


def test_told() -> None:
    """The proxy's words are printable, and few."""
    answer = answered(b"HTTP/1.1 403 N\xc3\xb6 \x7f" + b"x" * 500 + b"\r\n\r\n")
    assert answer.told.startswith("403 N\\xc3\\xb6 ")
    assert answer.told.isprintable()
    assert len(answer.told) <= 200
