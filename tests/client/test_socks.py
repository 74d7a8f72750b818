"""
Dialogues with SOCKS proxies, each of which the test plays octet by octet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from socksgw.client import errors
from socksgw.client.errors import (
    AddressTypeNotSupported,
    LoginRefused,
    NoMethodAccepted,
    ProtocolBroken,
    ProxyClosed,
    ProxyError,
    ProxyRefused,
)
from socksgw.client.logins.login import Login
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.socks import Socks4Proxy, Socks5Proxy
from socksgw.wire.address import Address
from tests.fakes.carriers import Flipping
from tests.fakes.links import MemoryLink, begun, failed, result

V4 = Address.parse("192.0.2.7")
V6 = Address.parse("2001:db8::7")
NAME = "example.com"
ASKED = bytes.fromhex("05 01 00 03 0b 6578616d706c652e636f6d 01bb")
GRANTED = bytes.fromhex("05 00 00 01 c0000207 1f90")
GRANTED6 = bytes.fromhex("05 00 00 04 20010db8000000000000000000000007 1f90")
#: ULEN, UNAME, PLEN, PASSWD (RFC 1929 section 2).
LOGIN = bytes.fromhex("01 05 616c696365 03 707721")

#: What each kind of proxy is sent, and answers, to its success.
COURSES: dict[str, tuple[Any, list[tuple[bytes, bytes]]]] = {
    "5": (
        Socks5Proxy(),
        [(b"\x05\x01\x00", b"\x05\x00"), (ASKED, GRANTED)],
    ),
    "5 with login": (
        Socks5Proxy(PasswordLogin("alice", "pw!")),
        [(b"\x05\x01\x02", b"\x05\x02"), (LOGIN, b"\x01\x00"), (ASKED, GRANTED6)],
    ),
    "4a": (
        Socks4Proxy(b"fred"),
        [
            (
                bytes.fromhex(
                    "04 01 01bb 00000001 66726564 00 6578616d706c652e636f6d 00"
                ),
                bytes.fromhex("00 5a 1f90 c0000207"),
            )
        ],
    ),
}
#: Each place in each course: the course, and how many octets of answers come before.
CUTS = [
    (name, count)
    for name, (_, steps) in COURSES.items()
    for count in range(sum(len(answer) for _, answer in steps))
]


def played(
    proxy: Any, steps: Sequence[tuple[bytes, bytes]], size: int = 1 << 16
) -> tuple[MemoryLink, Any]:
    """Lead a dialogue through steps, whose answers come in pieces."""
    link = MemoryLink()
    running = begun(proxy.connect(link, NAME, 443))
    for asked, answer in steps:
        assert link.taken() == asked
        for start in range(0, len(answer), size):
            assert not running.called
            link.came(answer[start : start + size])
    assert link.taken() == b""
    return link, running


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("course", COURSES)
def test_granted(course: str, size: int) -> None:
    """The same comes of it however the answers are cut; nothing is sent ahead."""
    proxy, steps = COURSES[course]
    link, running = played(proxy, steps, size)
    bound = V6 if steps[-1][1] is GRANTED6 else V4
    assert result(running) == ((bound, 8080), None, "", b"", ())
    assert link.paused
    assert link.surplus == b""


@pytest.mark.parametrize("course", COURSES)
def test_surplus(course: str) -> None:
    """Octets behind the last reply are the destination's."""
    proxy, steps = COURSES[course]
    behind = [*steps[:-1], (steps[-1][0], steps[-1][1] + b"220 ready")]
    link, running = played(proxy, behind)
    result(running)
    assert link.surplus == b"220 ready"


@pytest.mark.parametrize(("course", "count"), CUTS)
def test_closedAtEachOctet(course: str, count: int) -> None:
    """A proxy that closes before its last reply is whole has granted nothing."""
    proxy, steps = COURSES[course]
    link = MemoryLink()
    running = begun(proxy.connect(link, NAME, 443))
    for _, answer in steps:
        link.came(answer[:count])
        count -= min(count, len(answer))
        if not count:
            break
    assert not running.called
    link.close()
    assert isinstance(failed(running), ProxyClosed)


@pytest.mark.parametrize("host", [V4, V6, "localhost"], ids=str)
def test_destinations(host: Address | str) -> None:
    """Addresses are sent as addresses, names as names (RFC 1928 section 5)."""
    link = MemoryLink()
    begun(Socks5Proxy().connect(link, host, 22))
    link.came(b"\x05\x00")
    spelled = {
        V4: "01 c0000207",
        V6: "04 20010db8000000000000000000000007",
        "localhost": "03 09 6c6f63616c686f7374",
    }
    expected = bytes.fromhex(f"05 01 00 {spelled[host]} 0016")
    assert link.taken() == b"\x05\x01\x00" + expected


@pytest.mark.parametrize(
    ("answer", "bound", "name"),
    [
        ("05 00 00 01 00000000 0000", "0.0.0.0", ""),
        ("05 00 00 03 01 61 1f90", "0.0.0.0", "a"),
        ("05 00 00 03 07 312e322e332e34 1f90", "1.2.3.4", ""),
        # No name, and no address: the destination is open all the same.
        ("05 00 00 03 00 1f90", "0.0.0.0", ""),
        ("05 00 ff 01 c0000207 1f90", "192.0.2.7", ""),
    ],
)
def test_boundAsProxiesTell(answer: str, bound: str, name: str) -> None:
    """What stands in BND does not decide whether the request is granted."""
    _, running = played(
        Socks5Proxy(), [(b"\x05\x01\x00", b"\x05\x00"), (ASKED, bytes.fromhex(answer))]
    )
    accepted = result(running)
    assert (accepted.bound[0].text, accepted.name) == (bound, name)


#: Section 6 of RFC 1928, and what has no meaning there.
REPLIES = {
    0x01: errors.GeneralFailure,
    0x02: errors.NotAllowed,
    0x03: errors.NetworkUnreachable,
    0x04: errors.HostUnreachable,
    0x05: errors.ConnectionRefused,
    0x06: errors.TTLExpired,
    0x07: errors.CommandNotSupported,
    0x08: errors.AddressTypeNotSupported,
    0x09: errors.UnassignedReply,
    0xFF: errors.UnassignedReply,
}


@pytest.mark.parametrize(
    "behind",
    ["", "00", "00 01 00000000 0000", "00 00 00000000 0000", "00 03 01 61 0050"],
    ids=["cut behind REP", "cut", "whole", "ATYP 00 (Tor)", "ATYP 03 (Dante)"],
)
@pytest.mark.parametrize("code", REPLIES)
def test_refused(code: int, behind: str) -> None:
    """Each reply has its class, whatever stands behind it."""
    answer = bytes((5, code)) + bytes.fromhex(behind)
    _, running = played(
        Socks5Proxy(), [(b"\x05\x01\x00", b"\x05\x00"), (ASKED, answer)]
    )
    failure = failed(running)
    assert type(failure) is REPLIES[code]
    assert isinstance(failure, ProxyRefused)
    assert failure.code == code
    assert f"{code:02X}" in str(failure)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0, errors.RequestRejected),
        (91, errors.RequestRejected),
        (92, errors.IdentUnreachable),
        (93, errors.IdentMismatch),
        (255, errors.RequestRejected),
    ],
)
def test_rejected(code: int, kind: type[ProxyRefused]) -> None:
    """Each reply of SOCKS 4 but 90 is a refusal."""
    proxy, [(asked, _)] = COURSES["4a"]
    _, running = played(proxy, [(asked, bytes((0, code)) + bytes(6))])
    failure = failed(running)
    assert type(failure) is kind
    assert isinstance(failure, ProxyRefused)
    assert failure.code == code


#: What is no answer of SOCKS 5 at its place: the greeting's, the login's, the request's.
LIES = [
    (0, "04 00"),
    (0, "00 5a"),
    # "HT": a web server.
    (0, "48 54"),
    # Methods that were not offered, 00 among them.
    (0, "05 00"),
    (0, "05 01"),
    (0, "05 80"),
    # Answers to what was not asked yet.
    (0, "05 02 01"),
    (0, "05 02 01 00 05 00 00 01 00000000 0000"),
    (1, "05 00"),
    (1, "00 00"),
    (1, "01 00 05"),
    (1, "01 00 05 00 00 01 00000000 0000"),
    (2, "04 00 00 01"),
    (2, "01 00 00 01"),
    (2, "00 5a 0000 00000000"),
    (2, "05 00 00 00 00000000 0000"),
    (2, "05 00 00 02 00000000 0000"),
    (2, "05 00 00 ff 00000000 0000"),
]


@pytest.mark.parametrize(("place", "answer"), LIES)
def test_lies(place: int, answer: str) -> None:
    """What breaks the protocol ends the dialogue, and nothing more is sent."""
    proxy, steps = COURSES["5 with login"]
    _, running = played(
        proxy, [*steps[:place], (steps[place][0], bytes.fromhex(answer))]
    )
    assert isinstance(failed(running), ProtocolBroken)


def test_noMethod() -> None:
    """FF says that none of the methods is accepted (RFC 1928 section 3)."""
    proxy, steps = COURSES["5 with login"]
    _, running = played(proxy, [(steps[0][0], b"\x05\xff")])
    failure = failed(running)
    assert isinstance(failure, NoMethodAccepted)
    assert "02 (user and password)" in str(failure)


@pytest.mark.parametrize("status", [1, 2, 255])
def test_loginRefused(status: int) -> None:
    """A status other than 0 is a failure (RFC 1929 section 2): no request follows."""
    proxy, steps = COURSES["5 with login"]
    _, running = played(proxy, [steps[0], (steps[1][0], bytes((1, status)))])
    failure = failed(running)
    assert isinstance(failure, LoginRefused)
    assert "pw!" not in str(failure) + repr(failure)


@pytest.mark.parametrize("version", ["04", "05", "FF"])
def test_versionOf4(version: str) -> None:
    """VN of a reply is 0 (SOCKS 4)."""
    proxy, [(asked, _)] = COURSES["4a"]
    answer = bytes.fromhex(version + "5a 0000 00000000")
    _, running = played(proxy, [(asked, answer)])
    assert isinstance(failed(running), ProtocolBroken)


def test_notIn4() -> None:
    """What SOCKS 4 cannot say is not sent."""
    link = MemoryLink()
    failure = failed(begun(Socks4Proxy().connect(link, V6, 80)))
    assert isinstance(failure, AddressTypeNotSupported)
    assert "IPv6" in str(failure)
    assert link.taken() == b""


def test_bind() -> None:
    """Two replies: where the proxy listens, and who has come."""
    link = MemoryLink()
    running = begun(Socks5Proxy().bind(link, V4, 21))
    assert link.taken() == b"\x05\x01\x00"
    link.came(b"\x05\x00")
    assert link.taken() == bytes.fromhex("05 02 00 01 c0000207 0015")
    link.came(GRANTED6)
    binding = result(running)
    assert binding.bound == (V6, 8080)
    peer = begun(binding.peer())
    assert not peer.called
    link.came(GRANTED + b"150 here")
    assert result(peer).bound == (V4, 8080)
    assert link.surplus == b"150 here"
    assert link.taken() == b""


def test_bindAtOnce() -> None:
    """Both replies may come together."""
    link = MemoryLink()
    running = begun(Socks4Proxy().bind(link, V4, 21))
    reply = bytes.fromhex("00 5a 1f90 c0000207")
    link.came(reply + reply + b"x")
    assert result(begun(result(running).peer())).bound == (V4, 8080)
    assert link.surplus == b"x"


@pytest.mark.parametrize(
    ("answer", "kind"), [("05 01", errors.GeneralFailure), ("", ProxyClosed)]
)
def test_nobodyComes(answer: str, kind: type[ProxyError]) -> None:
    """The second reply may be a refusal, or not come."""
    link = MemoryLink()
    running = begun(Socks5Proxy().bind(link, V4, 21))
    link.came(b"\x05\x00")
    link.came(GRANTED)
    peer = begun(result(running).peer())
    link.came(bytes.fromhex(answer))
    link.close()
    assert isinstance(failed(peer), kind)


def test_associate() -> None:
    """UDP ASSOCIATE says where our datagrams come from (RFC 1928 section 4)."""
    link = MemoryLink()
    running = begun(Socks5Proxy().associate(link, V4, 5353))
    link.came(b"\x05\x00")
    assert link.taken() == b"\x05\x01\x00" + bytes.fromhex("05 03 00 01 c0000207 14e9")
    link.came(GRANTED)
    assert result(running).bound == (V4, 8080)


def test_protected() -> None:
    """What a login puts around the octets is around the request and all that follows."""
    flipping = Flipping()

    class Protecting(Login):
        methods = b"\x80"
        called = "a login that protects"

        async def socks5(self, method: int, exchange: Any) -> Any:
            return flipping

    link, running = played(
        Socks5Proxy(Protecting()),
        [
            (b"\x05\x01\x80", b"\x05\x80"),
            (flipping.wrap(ASKED), flipping.wrap(GRANTED + b"behind")),
        ],
    )
    assert result(running) == ((V4, 8080), flipping, "", b"", ())
    assert link.surplus == b"behind"


def test_loginWithoutMethod() -> None:
    """A login that SOCKS 5 does not have is refused before anything is sent."""
    with pytest.raises(ValueError, match="SOCKS 5"):
        Socks5Proxy(Login())
