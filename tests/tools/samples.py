"""
What the tests of the wire share: valid messages, and a peer that answers
every event as a server or a client would.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from socksgw.wire import socks4, socks5, userpass
from socksgw.wire.address import Address
from socksgw.wire.client import ClientConversation, ClientState
from socksgw.wire.codes import Method, Reply
from socksgw.wire.events import Decoded, MethodSelected, MethodsOffered, Requested
from socksgw.wire.reader import WireError
from socksgw.wire.server import ServerConversation

ports = st.integers(0, 65535)
hosts = st.ip_addresses().map(lambda address: Address(address.packed))
hosts4 = st.ip_addresses(v=4).map(lambda address: Address(address.packed))
#: Host names in their normal form.
names = st.from_regex(
    r"\A[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?(\.[a-z_]([a-z0-9_-]{0,9}[a-z_])?){0,4}\Z"
).filter(lambda name: not _numeric(name))


def _numeric(name: str) -> bool:
    """Whether the last label is a number, which no top-level domain is."""
    last = name.rsplit(".", 1)[-1]
    if last.startswith("0x"):
        return all(c in "0123456789abcdef" for c in last[2:])
    return last.isdigit()


#: What a decoder of a sub-negotiation may ask for: messages of RFC 1929.
LOGIN = userpass.encodeRequest(b"alice", b"correct horse")
REQUEST5 = socks5.encodeRequest(1, "example.com", 443)
#: Whole conversations of clients, with octets for the destination behind.
CLIENTS: dict[str, bytes] = {
    "socks5-none": b"\x05\x01\x00"
    + socks5.encodeRequest(1, Address(b"\x7f\0\0\1"), 80),
    "socks5-many": b"\x05\x03\x00\x01\x03" + REQUEST5 + b"GET / HTTP/1.1\r\n\r\n",
    "socks5-userpass": b"\x05\x02\x00\x02" + LOGIN + REQUEST5 + b"\x16\x03\x01",
    "socks5-ipv6": b"\x05\x01\x02"
    + userpass.encodeRequest(b"u" * 255, b"p" * 255)
    + socks5.encodeRequest(2, Address(b"\x20\x01" + bytes(13) + b"\x01"), 65535)
    + b"\x05\x01\x00",
    "socks5-longest": b"\x05\xff"
    + bytes(range(255))
    + LOGIN
    + socks5.encodeRequest(3, ("a" * 63 + ".") * 3 + "b" * 61, 1),
    "socks5-refused": b"\x05\x01\x01" + REQUEST5,
    "socks5-nothing": b"\x05\x00" + REQUEST5,
    "socks5-atyp": b"\x05\x01\x00" + b"\x05\x01\x00\x02" + bytes(6),
    "socks5-version": b"\x05\x01\x00" + b"\x04\x01\x00\x50\x7f\0\0\x01\0",
    "socks5-login-version": b"\x05\x01\x02" + b"\x05" + LOGIN[1:],
    "http": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
    b"Proxy-Authorization: Basic YTpi\r\n\r\n\x16\x03\x01",
    "socks4": socks4.encodeRequest(1, Address(b"\xc0\x00\x02\x07"), 80, b"fred")
    + b"hi",
    "socks4a": socks4.encodeRequest(1, "example.com", 443) + b"\x16\x03\x01",
    "socks4a-longest": socks4.encodeRequest(2, "a" * 255, 1, b"u" * 255) + b"\x04\x01",
    "socks4-userid-too-long": b"\x04\x01\0\x50\x7f\0\0\x01" + b"u" * 256 + b"\0",
    "socks4a-name-too-long": b"\x04\x01\0\x50\0\0\0\x01" + b"\0" + b"a" * 256 + b"\0",
    "socks6": bytes.fromhex("06 01 0000 0050 00 01 7f000001") + b"hi",
    "socks6-name": bytes.fromhex("06 01 0000 01bb 00 03 05")
    + b"a.com\0\0"
    + b"\x16\3\1",
    "socks6-userpass": bytes.fromhex("06 01 001c 01bb 00 01 c0000207 0004 001c 02")
    + LOGIN
    + bytes(2)
    + b"GET /",
    "socks6-messages": bytes.fromhex(
        "06 01 000c 01bb 00 03 01 61 0000 0002 000c 0005 02 000000 0000"
    )
    + b"early"
    + LOGIN
    + b"late",
    "socks6-options": bytes.fromhex(
        "06 02 0038 0000 00 04 20010db8000000000000000000000001"
        "0001 0008 81 01 b8 00  fc00 0008 00000000  0005 0004"
        "000b 0008 00000040  000d 0008 fffffff0"
        "0002 000c 0000 02 03 01 000000  0001 0008 84 01 0200"
    ),
    "socks6-refused": bytes.fromhex(
        "06 01 0008 01bb 00 01 c0000207 0002 0008 0000 0300"
    ),
    "socks6-atyp": bytes.fromhex("06 01 0000 01bb 00 02 c0000207"),
    "socks6-options-length": bytes.fromhex("06 01 5004 01bb 00 01 c0000207"),
    "socks6-option-length": bytes.fromhex(
        "06 01 0008 01bb 00 01 c0000207 0005 000c 00000000"
    ),
    "socks6-longest": bytes.fromhex("06 01 5000 01bb 00 03 ff")
    + b"a" * 255
    + bytes.fromhex("fc00 5000")
    + bytes(0x5000 - 4)
    + b"?",
    "http-origin": b"GET / HTTP/1.1\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
}

#: Whole conversations of servers, by version.
SERVERS: list[tuple[str, int, bytes]] = [
    ("socks5", 5, b"\x05\x00" + socks5.encodeReply(Reply.SUCCEEDED, Address(b"\1\2\3\4"), 5)),
    (
        "socks5-userpass",
        5,
        b"\x05\x02\x01\x00"
        + socks5.encodeReply(Reply.SUCCEEDED, Address(bytes(15) + b"\1"), 5)
        + b"220 ready\r\n",
    ),
    ("socks5-name", 5, b"\x05\x00\x05\x00\x00\x03\x0bexample.com\x00\x50" + b"data"),
    ("socks5-failure", 5, b"\x05\x00\x05\x05\x00\x01" + bytes(6)),
    ("socks5-denied", 5, b"\x05\x02\x01\x01"),
    ("socks5-none-acceptable", 5, b"\x05\xff" + b"?"),
    ("socks5-not-offered", 5, b"\x05\x01" + b"?"),
    ("socks5-version", 5, b"\x04\x00"),
    ("socks5-status-version", 5, b"\x05\x02\x05\x00"),
    ("socks5-reply-version", 5, b"\x05\x00\x04\x00\x00\x01" + bytes(6)),
    ("socks5-reply-atyp", 5, b"\x05\x00\x05\x00\x00\x02" + bytes(6)),
    ("socks4", 4, b"\x00\x5a\x00\x50\x7f\x00\x00\x01" + b"data"),
    ("socks4-rejected", 4, b"\x00\x5b" + bytes(6)),
    ("socks4-version", 4, b"\x04\x5a" + bytes(6)),
]  # fmt: skip


class Course:
    """
    What became of a conversation.

    @ivar events: what it yielded, in order.
    @ivar sent: what it gave to send, in order.
    @ivar error: what kind of error ended it, with its words and its reply.
    @ivar surplus: the octets behind the last message, when it is over and
        nothing failed.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.sent: list[bytes] = []
        self.error: tuple[str, Reply | None] | None = None
        self.surplus: bytes | None = None
        self.state: Any = None
        self.replyable = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Course) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"Course({vars(self)})"


def answer(conversation: ServerConversation, event: Any, course: Course) -> bool:
    """
    Do what a server does at an event: prefer a login with RFC 1929, let
    everybody in.

    @return: whether there is more to come.
    """
    if isinstance(event, MethodsOffered):
        for method in (Method.USERNAME_PASSWORD, Method.NO_AUTHENTICATION):
            if method in event.methods:
                course.sent.append(conversation.chooseMethod(method))
                break
        else:
            course.sent.append(conversation.chooseMethod(Method.NO_ACCEPTABLE))
            return False
        if method == Method.USERNAME_PASSWORD:
            conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
        else:
            conversation.authenticated()
        return True
    login = conversation.login
    if isinstance(event, Decoded):
        course.sent.append(conversation.said(userpass.encodeStatus(0)))
        if login is None:
            conversation.authenticated()
            return True
        return _admit(conversation, course)
    assert isinstance(event, Requested)
    if login is None:
        return False
    for offered in login.offers:
        if Method.USERNAME_PASSWORD in offered:
            course.sent.append(conversation.chooseMethod(Method.USERNAME_PASSWORD))
            break
    else:
        course.sent.append(conversation.chooseMethod(Method.NO_AUTHENTICATION))
        return _admit(conversation, course)
    brought = conversation.brought(userpass.readRequest, userpass.REQUEST_LIMIT)
    if brought is not None:
        course.events.append(brought)
        return answer(conversation, brought, course)
    course.sent.append(conversation.invite())
    conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
    return True


def _admit(conversation: ServerConversation, course: Course) -> bool:
    """Let a client in whose request came before its login."""
    (request,) = (each for each in course.events if isinstance(each, Requested))
    assert conversation.admit(request) is request
    course.sent.append(conversation.welcome())
    return False


def serve(chunks: Iterable[bytes]) -> Course:
    """
    Lead a server's conversation with a client that sends these octets.

    Between messages it may hold no more than the longest of them.
    """
    conversation = ServerConversation()
    course = Course()
    going = True
    for chunk in chunks:
        conversation.receive(chunk)
        try:
            while going and (event := conversation.next()) is not None:
                course.events.append(event)
                going = answer(conversation, event, course)
        except WireError as e:
            course.error = (str(e), e.reply)
            break
        limit = max(socks4.REQUEST_LIMIT, conversation.dialect.firstLimit)
        assert not going or conversation.held < limit
    course.state = conversation.state
    course.replyable = conversation.replyable
    if not going and not conversation.failed:
        course.sent.append(conversation.reply(Reply.SUCCEEDED))
        course.surplus = conversation.surplus()
    return course


def call(version: int, chunks: Iterable[bytes]) -> Course:
    """Lead a client's conversation with a server that sends these octets."""
    conversation = ClientConversation(version, 1, "example.com", 443, b"\x00\x02")
    course = Course()
    course.sent.append(conversation.start())
    for chunk in chunks:
        conversation.receive(chunk)
        try:
            while (event := conversation.next()) is not None:
                course.events.append(event)
                if isinstance(event, MethodSelected) and not conversation.failed:
                    if event.method == Method.USERNAME_PASSWORD:
                        conversation.expect(userpass.readStatus, userpass.STATUS_LIMIT)
                    else:
                        course.sent.append(conversation.authenticated())
                elif isinstance(event, Decoded) and event.message == 0:
                    course.sent.append(conversation.authenticated())
        except WireError as e:
            course.error = (str(e), e.reply)
            break
    course.state = conversation.state
    if conversation.state is ClientState.REPLIED:
        course.surplus = conversation.surplus()
    return course
