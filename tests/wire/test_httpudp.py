"""
Requests for UDP in HTTP/1.1, by RFC 9298.
"""

from __future__ import annotations

import pytest

from socksgw.wire.address import Address, BadHost
from socksgw.wire.codes import Reply
from socksgw.wire.events import Requested
from socksgw.wire.http import HttpRequested
from socksgw.wire.reader import WireError
from socksgw.wire.server import ServerConversation

#: The example of section 3.2, and the answer of section 3.3.
EXAMPLE = (
    b"GET https://example.org/.well-known/masque/udp/192.0.2.6/443/ HTTP/1.1\r\n"
    b"Host: example.org\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: connect-udp\r\n"
    b"Capsule-Protocol: ?1\r\n"
    b"\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: connect-udp\r\n"
    b"Capsule-Protocol: ?1\r\n"
    b"\r\n"
)


def asked(octets: bytes) -> tuple[ServerConversation, HttpRequested]:
    """What a conversation makes of them."""
    conversation = ServerConversation()
    conversation.receive(octets)
    event = conversation.next()
    assert isinstance(event, HttpRequested)
    return conversation, event


def word(conversation: ServerConversation, request: Requested) -> str | None:
    """The command's."""
    return conversation.dialect.commands.get(request.command)


def test_theExample() -> None:
    conversation, request = asked(EXAMPLE + b"\0\x04\0ask")
    assert word(conversation, request) == "connect-udp"
    assert (request.host, request.port) == (Address.parse("192.0.2.6"), 443)
    assert request.asked == b"192.0.2.6"
    assert conversation.admit(request) is request
    assert conversation.protocol == "http"
    assert conversation.reply(Reply.SUCCEEDED) == ANSWER
    assert conversation.surplus() == b"\0\x04\0ask"


def test_aRefusal() -> None:
    """As to any other request, and without Capsule-Protocol."""
    conversation, request = asked(EXAMPLE)
    conversation.admit(request)
    octets = conversation.refuse(Reply.NOT_ALLOWED, "policy", "")
    assert octets.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"capsule" not in octets.lower()


@pytest.mark.parametrize(
    ("spelled", "host"),
    [
        (b"2001%3Adb8%3A%3A42", Address.parse("2001:db8::42")),
        (b"2001%3adb8%3a%3a42", Address.parse("2001:db8::42")),
        (b"%3A%3Affff%3A192.0.2.6", Address.parse("192.0.2.6")),
        (b"example.org", "example.org"),
        (b"EX%41MPLE.org.", "example.org"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_hosts(spelled: bytes, host: object) -> None:
    """Section 2: names and addresses, percent-encoded."""
    _, request = asked(EXAMPLE.replace(b"192.0.2.6", spelled))
    assert request.host == host


@pytest.mark.parametrize(
    "spelled",
    [b"fe80%3A%3A1%25eth0", b"127.1", b"a%20b", b"a%00", b"a%2Fb", b"b%C3%BCcher"],
)
def test_badHosts(spelled: bytes) -> None:
    """Such as is never dialled; the policy refuses it, and it stands in the record."""
    _, request = asked(EXAMPLE.replace(b"192.0.2.6", spelled))
    assert isinstance(request.host, BadHost)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"192.0.2.6", b"2001:db8::42"),
        (b"192.0.2.6", b"[2001%3Adb8%3A%3A42]"),
        (b"192.0.2.6", b"%5B2001%3Adb8%3A%3A42%5D"),
        (b"192.0.2.6", b""),
        (b"192.0.2.6", b"a%"),
        (b"192.0.2.6", b"a%4"),
        (b"192.0.2.6", b"a%4g"),
        (b"192.0.2.6", b"%61" * 256),
        (b"/443/", b"/0/"),
        (b"/443/", b"/65536/"),
        (b"/443/", b"/000443/"),
        (b"/443/", b"//"),
        (b"/443/", b"/443"),
        (b"/443/", b"/443/?a"),
        (b"/443/", b"/443/a"),
        (b"/443/", b"/%34/"),
        (b"/.well-known/masque", b"/masque"),
        (b"https://example.org/", b"https:///"),
        (b"https://example.org/", b"ftp://example.org/"),
        (b"https://example.org/", b"/a/"),
        (b"GET", b"POST"),
        (b"GET", b"HEAD"),
        (b"Connection: Upgrade\r\n", b""),
        (b"Connection: Upgrade", b"Connection: keep-alive"),
        (b"Upgrade: connect-udp", b"Upgrade: connect-udp, websocket"),
        (b"Capsule-Protocol: ?1", b"Upgrade: websocket"),
        (b"Capsule-Protocol: ?1", b"Content-Length: 0"),
        (b"Capsule-Protocol: ?1", b"Content-Type: text/plain"),
        (b"Capsule-Protocol: ?1", b"Transfer-Encoding: chunked"),
        (b"Host: example.org\r\n", b""),
        (b"Capsule-Protocol: ?1", b"Host: example.org"),
    ],
)
def test_malformed(old: bytes, new: bytes) -> None:
    """Section 3.2: 400."""
    octets = EXAMPLE.replace(old, new)
    assert octets != EXAMPLE
    conversation = ServerConversation()
    conversation.receive(octets)
    with pytest.raises(WireError) as raised:
        conversation.next()
    error = raised.value
    assert error.reply is not None
    refusal = conversation.refuse(error.reply, error.reason or "protocol", str(error))
    assert refusal.startswith(b"HTTP/1.1 400 ")
    # No error repeats what a client sent.
    assert b"example.org" not in str(error).encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"HTTP/1.1\r\n", b"HTTP/1.0\r\n"),
        (b"Upgrade: connect-udp", b"Upgrade: websocket"),
        (b"Upgrade: connect-udp\r\n", b""),
    ],
)
def test_noneOfThese(old: bytes, new: bytes) -> None:
    """RFC 9110 section 7.8: HTTP/1.0 has no upgrades; others are not ours."""
    # With https:// it would be no request to a proxy.
    octets = EXAMPLE.replace(b"https:", b"http:")
    conversation, request = asked(octets.replace(old, new))
    assert word(conversation, request) != "connect-udp"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Connection: Upgrade", b"connection: keep-alive, uPGRADE"),
        (b"Upgrade: connect-udp", b"upgrade: Connect-UDP"),
        (b"Capsule-Protocol: ?1\r\n", b""),
        (b"Capsule-Protocol: ?1", b"Capsule-Protocol: ?0"),
        (b"https://example.org", b""),
        (b"https://example.org", b"http://example.org:80"),
        (b"https://example.org", b"HTTPS://[2001:db8::1]:443"),
    ],
)
def test_alsoWellFormed(old: bytes, new: bytes) -> None:
    """
    Names are of any case (RFC 9110 section 7.6.1); the field Capsule-Protocol need not
    be there (RFC 9297 section 3.4).
    """
    octets = EXAMPLE.replace(old, new)
    assert octets != EXAMPLE
    conversation, request = asked(octets)
    assert word(conversation, request) == "connect-udp"
