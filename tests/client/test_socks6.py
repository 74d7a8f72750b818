"""
Dialogues with SOCKS 6 proxies, each of which the test plays octet by octet.
"""

from __future__ import annotations

from typing import Any

import pytest

from socksgw.client.errors import (
    CommandNotSupported,
    LoginRefused,
    NoMethodAccepted,
    NotAllowed,
    ProtocolBroken,
    ProxyClosed,
    ProxyError,
    TTLExpired,
)
from socksgw.client.logins.certificate import CERTIFICATE_LOGIN
from socksgw.client.logins.chap import ChapLogin
from socksgw.client.logins.gssapi import GssapiLogin
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.logins.token import TokenLogin
from socksgw.client.socks6 import Socks6Proxy
from socksgw.wire.address import Address
from socksgw.wire.socks6options import INITIAL_LIMIT
from socksgw.wire.stacks import FAST_OPEN, TTL, Leg, Stack
from tests.fakes.gssapi import StubTickets
from tests.fakes.links import MemoryLink, begun, failed, result

V4 = Address.parse("192.0.2.7")
PASSWORD = PasswordLogin("alice", "pw!")
#: ULEN, UNAME, PLEN, PASSWD (RFC 1929 section 2).
LOGIN = bytes.fromhex("01 05 616c696365 03 707721")
#: Port, padding, address type, the length of a name, the name.
PLACE = bytes.fromhex("01bb 00 03 0b 6578616d706c652e636f6d")
ASKED = bytes.fromhex("06 01 0000") + PLACE
#: With the login in an option, and the method in another one.
ASKED_LOGIN = (
    bytes.fromhex("06 01 0018 01bb 00 03 0b 6578616d706c652e636f6d 0004 0010 02")
    + LOGIN
    + bytes.fromhex("0002 0008 0000 02 00")
)
LET_IN = bytes.fromhex("06 00 0000")
RIGHT = bytes.fromhex("06 00 0008 0004 0008 02 0100 00")
WRONG = bytes.fromhex("06 01 0008 0004 0008 02 0101 00")
SELECTED = bytes.fromhex("06 01 0008 0003 0008 02 000000")
REFUSED = bytes.fromhex("06 01 0000")
GRANTED = bytes.fromhex("06 00 0000 1f90 00 01 c0000207")
#: CHAP with the second test vector of RFC 2104: the request with ALGORITHMS (X'11',
#: HMAC-MD5), the method that is selected, what the option says of it with its head.
CHAP = ChapLogin("alice", "Jefe")
ASKED_CHAP = bytes.fromhex(
    "06 01 0014 01bb 00 03 0b 6578616d706c652e636f6d "
    "0004 000c 03 01 01 11 01 85 0000 0002 0008 0000 03 00"
)
CHAP_SELECTED = "0003 0008 03 000000"
ALGORITHMS = "01 01 11 01 85"
CHALLENGE = "01 01 03 1c" + b"what do ya want for nothing?".hex()
RESPONSE = bytes.fromhex(
    "01 02 02 05 616c696365 04 10 750c783e6ab0b503eaa86e310a5db738"
)
RIGHT_CHAP = bytes.fromhex("01 01 00 01 00")
#: What each kind is sent, and answers, to its success.
COURSES: dict[str, tuple[Socks6Proxy, list[tuple[bytes, bytes]]]] = {
    "no login": (Socks6Proxy(), [(ASKED, LET_IN + GRANTED)]),
    "certificate": (Socks6Proxy(CERTIFICATE_LOGIN), [(ASKED, LET_IN + GRANTED)]),
    "initial data": (Socks6Proxy(initial=b"GET"), [(ASKED + b"GET", LET_IN + GRANTED)]),
    "login": (Socks6Proxy(PASSWORD), [(ASKED_LOGIN, RIGHT + GRANTED)]),
    "login and initial data": (
        Socks6Proxy(PASSWORD, initial=b"GET"),
        [(ASKED_LOGIN[:-4] + b"\0\3\2\0GET", RIGHT + GRANTED)],
    ),
    "no login wanted": (Socks6Proxy(PASSWORD), [(ASKED_LOGIN, LET_IN + GRANTED)]),
    "login by messages": (
        Socks6Proxy(PASSWORD),
        [(ASKED_LOGIN, SELECTED), (LOGIN, b"\x01\x00" + LET_IN + GRANTED)],
    ),
    "two messages in an option": (
        Socks6Proxy(CHAP),
        [
            (
                ASKED_CHAP,
                bytes.fromhex(
                    f"06 01 0034 {CHAP_SELECTED} 0004 002c 03 {ALGORITHMS} {CHALLENGE} 0000"
                ),
            ),
            (RESPONSE, RIGHT_CHAP + LET_IN + GRANTED),
        ],
    ),
    "one in an option, one behind it": (
        Socks6Proxy(CHAP),
        [
            (
                ASKED_CHAP,
                bytes.fromhex(
                    f"06 01 0014 {CHAP_SELECTED} 0004 000c 03 {ALGORITHMS} 0000 {CHALLENGE}"
                ),
            ),
            (RESPONSE, RIGHT_CHAP + LET_IN + GRANTED),
        ],
    ),
}


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("course", COURSES)
def test_granted(course: str, size: int) -> None:
    """The same comes of it however the answers are cut."""
    proxy, steps = COURSES[course]
    link = MemoryLink()
    running = begun(proxy.connect(link, "example.com", 443))
    for asked, answer in steps:
        assert link.taken() == asked
        for start in range(0, len(answer), size):
            assert not running.called
            link.came(answer[start : start + size])
    assert result(running) == ((V4, 8080), None, "", b"", ())
    assert link.taken() == b""
    assert link.paused
    assert link.surplus == b""


def test_surplus() -> None:
    """Octets behind the last reply are the destination's."""
    link = MemoryLink()
    running = begun(Socks6Proxy().connect(link, "example.com", 443))
    link.came(LET_IN + GRANTED + b"220 ready")
    result(running)
    assert link.surplus == b"220 ready"


def test_stacks() -> None:
    """What the reply tells of the stacks (section 8.1); unknown options are ignored."""
    link = MemoryLink()
    asked = Stack(Leg.REMOTE, TTL, 9)
    running = begun(Socks6Proxy(stack=[asked]).connect(link, "example.com", 443))
    assert link.taken().endswith(bytes.fromhex("0001 0008 81 03 09 00"))
    told = "0001 0008 81 03 09 00 fbff 0008 00000000 0001 0008 84 01 0005"
    grant = bytes.fromhex("06 00 0018 1f90 00 01 c0000207" + told)
    link.came(LET_IN + grant)
    assert result(running).stack == (asked, Stack(Leg.REMOTE, FAST_OPEN, 5))


@pytest.mark.parametrize("course", COURSES)
def test_closedAtEachOctet(course: str) -> None:
    """A proxy that closes before its last reply is whole has granted nothing."""
    proxy, steps = COURSES[course]
    whole = b"".join(answer for _, answer in steps)
    for count in range(len(whole)):
        link = MemoryLink()
        running = begun(proxy.connect(link, "example.com", 443))
        left = whole[:count]
        for _, answer in steps:
            part, left = left[: len(answer)], left[len(answer) :]
            if part:
                link.came(part)
        link.close()
        assert isinstance(failed(running), ProxyClosed)


@pytest.mark.parametrize(
    ("login", "answer", "error"),
    [
        (PASSWORD, WRONG, LoginRefused),
        (PASSWORD, REFUSED, NoMethodAccepted),
        (PASSWORD, bytes.fromhex("06 01 0008 0003 0008 ff 000000"), NoMethodAccepted),
        (None, REFUSED, NoMethodAccepted),
        # It says something of a method that has no messages; it wants one that was not
        # offered, and says something of that which was.
        (None, bytes.fromhex("06 01 0008 0004 0008 00 000000"), NoMethodAccepted),
        (None, SELECTED, ProtocolBroken),
        (
            PASSWORD,
            bytes.fromhex("06 01 0010 0003 0008 03 000000 0004 0008 02 0100 00"),
            ProtocolBroken,
        ),
        # It is let in by the status, and not by the reply.
        (PASSWORD, bytes.fromhex("06 01 0008 0004 0008 02 0100 00"), LoginRefused),
        (PASSWORD, bytes.fromhex("06 01 0008 0003 0008 03 000000"), ProtocolBroken),
        (PASSWORD, bytes.fromhex("06 00 0008 0004 0008 02 0500 00"), ProtocolBroken),
        # Another version: a proxy that does not speak SOCKS 6 (section 5).
        (None, b"\x05\xff", ProtocolBroken),
        (None, LET_IN + bytes.fromhex("06 02"), NotAllowed),
        (None, LET_IN + bytes.fromhex("06 09"), TTLExpired),
        (None, LET_IN + bytes.fromhex("05 00"), ProtocolBroken),
        # Stack options that contradict one another.
        (
            None,
            LET_IN
            + GRANTED.replace(b"\0\0\x1f", b"\0\x10\x1f")
            + bytes.fromhex("0001 0008 81 03 09 00 0001 0008 81 03 08 00"),
            ProtocolBroken,
        ),
    ],
)  # fmt: skip
def test_refused(login: Any, answer: bytes, error: type[ProxyError]) -> None:
    """Each answer that is no success says what it means."""
    link = MemoryLink()
    proxy = Socks6Proxy(login) if login else Socks6Proxy()
    running = begun(proxy.connect(link, "example.com", 443))
    link.came(answer)
    assert type(failed(running)) is error


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"\x01\x01", LoginRefused),
        (b"\x01\x00" + REFUSED, LoginRefused),
        # Section 6: the second reply must not allow for further negotiations.
        (b"\x01\x00" + SELECTED, ProtocolBroken),
    ],
)
def test_refusedByMessages(answer: bytes, error: type[ProxyError]) -> None:
    """The status, or the second reply, refuses."""
    link = MemoryLink()
    running = begun(Socks6Proxy(PASSWORD).connect(link, "example.com", 443))
    link.came(SELECTED)
    link.came(answer)
    assert type(failed(running)) is error


def test_whatItCannotDo() -> None:
    """Each is told before anything is sent."""
    with pytest.raises(ValueError, match="token"):
        Socks6Proxy(TokenLogin("t"))
    with pytest.raises(ValueError, match="initial data"):
        Socks6Proxy(initial=bytes(INITIAL_LIMIT + 1))
    link = MemoryLink()
    bare = Socks6Proxy(GssapiLogin(StubTickets(), "rcmd@gw"))
    assert "TLS" in str(failed(begun(bare.connect(link, "example.com", 443))))
    # hev's framing is another protocol's.
    error = failed(begun(Socks6Proxy().associate(link, command=5)))
    assert isinstance(error, CommandNotSupported)
    assert link.taken() == b""


@pytest.mark.parametrize("size", [1, 3, 100])
def test_associate(size: int) -> None:
    """The operation reply, then the association's ID (7.3); its messages follow."""
    link = MemoryLink()
    running = begun(Socks6Proxy(PASSWORD).associate(link))
    asked = bytes.fromhex("06 03 0018 0000 00 01 00000000")
    assert link.taken() == asked + ASKED_LOGIN[-24:]
    answer = RIGHT + GRANTED + bytes.fromhex("06 01 000c 0011223344556677")
    for start in range(0, len(answer), size):
        assert not running.called
        link.came(answer[start : start + size])
    accepted = result(running)
    assert accepted.association == bytes.fromhex("0011223344556677")
    assert link.paused


@pytest.mark.parametrize(
    "first",
    ["06 02 000c 0011223344556677", "05 01 000c 0011223344556677", "06 01 0000"],
)
def test_noAssociation(first: str) -> None:
    """Another message is none to begin with."""
    link = MemoryLink()
    running = begun(Socks6Proxy().associate(link))
    link.came(LET_IN + GRANTED + bytes.fromhex(first))
    assert type(failed(running)) is ProtocolBroken


def test_bind() -> None:
    """Two operation replies: where the proxy listens, and who has come (7.2)."""
    link = MemoryLink()
    running = begun(Socks6Proxy(PASSWORD).bind(link, V4, 21))
    asked = bytes.fromhex("06 02 0018 0015 00 01 c0000207")
    assert link.taken() == asked + ASKED_LOGIN[-24:]
    link.came(RIGHT + GRANTED)
    binding = result(running)
    assert binding.bound == (V4, 8080)
    coming = begun(binding.peer())
    link.came(bytes.fromhex("06 00 0000 0014 00 01 c6336401") + b"220 ready")
    assert result(coming).bound == (Address.parse("198.51.100.1"), 20)
    assert link.surplus == b"220 ready"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (RIGHT + bytes.fromhex("06 00 0000 0000 00 01 00000000"), None),
        # The command is not one that each proxy has (section 7).
        (RIGHT + bytes.fromhex("06 07"), None),
        (WRONG, LoginRefused),
        (RIGHT + bytes.fromhex("06 02"), NotAllowed),
    ],
)
def test_greet(answer: bytes, error: type[ProxyError] | None) -> None:
    """NOOP tells whether the login is the right one; without one nothing is said."""
    link = MemoryLink()
    running = begun(Socks6Proxy(PASSWORD).greet(link))
    assert (
        link.taken()
        == bytes.fromhex("06 00 0018 0000 00 01 00000000") + (ASKED_LOGIN[-24:])
    )
    link.came(answer)
    if error is None:
        assert result(running) is None
    else:
        assert type(failed(running)) is error
    assert result(begun(Socks6Proxy().greet(link))) is None
    assert link.taken() == b""
