"""
TCP Fast Open (RFC 7413) on both sides of a gateway: what L{tests.interop.fastopening}
tells.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live import raw
from tests.live.netns import alone

TEN = "0123456789"


@pytest.fixture(scope="module")
def found() -> Any:
    """Return what has come of everything."""
    return json.loads(alone("tests.interop.fastopening"))


@pytest.mark.parametrize(
    ("case", "told", "syn"),
    [
        # Without a cookie there is none.
        ("first", 0, ""),
        ("all", 10, TEN),
        # As the payload size says.
        ("three", 3, TEN[:3]),
        # Not unless the client asks, the listener allows it, and nothing is looked at.
        ("unasked", None, ""),
        ("not allowed", 0, ""),
        ("looked at", 0, ""),
        # The kernel does not do it (net.ipv4.tcp_fastopen).
        ("off", 0, ""),
    ],
)
def test_destination(found: Any, case: str, told: int | None, syn: str) -> None:
    """
    What the SYN carries is what the client is told; each octet comes once, and is
    counted.
    """
    assert found[case] == {
        "told": told, "syn": syn, "echo": TEN, "near": False, "sent": len(TEN),
    }  # fmt: skip


def test_quota(found: Any) -> None:
    """The SYN carries as much as the client's limits allow, and that counts."""
    assert found["bounded"] == [TEN[:4], 4]


def test_rulesThatChange(found: Any) -> None:
    """
    A reload while the SYN is under way, by which a header goes first: the session ends,
    and what the SYN has carried is recorded.
    """
    assert found["changed"] == [TEN, 2, "revoked", len(TEN)]


@pytest.mark.parametrize(
    ("case", "near"),
    [("near off", False), ("near on", True), ("near off again", False)],
)
def test_client(found: Any, case: str, near: bool) -> None:
    """A request in the SYN is taken where C{fast_open} says so, also after a reload."""
    assert found[case]["near"] is near
    assert (found[case]["syn"], found[case]["echo"]) == (TEN, TEN)


def test_bind(found: Any) -> None:
    """A peer of BIND may send in its SYN where the client has asked for that."""
    assert found["bind"] == [True, True]
    assert found["bind unasked"] == [False, False]


def test_told(found: Any) -> None:
    """That the kernel does not do it is logged, with the remedy."""
    (line,) = [
        each
        for each in found["log"].splitlines()
        if "TCP Fast Open is refused here" in each
    ]
    assert "set the bit 1 of net.ipv4.tcp_fastopen" in line


def request(port: int, options: bytes = b"") -> str:
    """A request of SOCKS 6, as the wire's octets are told."""
    return raw.request6("127.0.0.1", port, options=options).decode("latin-1")


def test_upstream(found: Any) -> None:
    """
    The SYN to an upstream carries the request, and not an octet of the client's; where
    the kernel does not do it, the request comes later, and that is logged once.
    """
    port = found["port"]
    assert found["through"] == [0, request(port), TEN]
    assert found["through off"] == [0, "", TEN]
    (told,) = found["through told"]
    assert "set the bit 1 of net.ipv4.tcp_fastopen" in told


def test_upstreamByTLS(found: Any) -> None:
    """The SYN carries the record of a ClientHello (RFC 8446 sections 4 and 5.1)."""
    assert found["through tls"][0] == "\x16"
    assert found["through tls"][5] == "\x01"


def test_upstreamThatCannotBeReached(found: Any) -> None:
    """
    One that refuses the connection is told as that, though its dialogue has begun, and
    so is one of which a router tells that its host cannot be reached (ICMP, type 3 code
    1).
    """
    assert found["through away"] == request(5)
    unreached = "upstream-unreachable"
    # The last one with a session that has not begun.
    assert found["through whom"] == [unreached, "upstream-tls", *[unreached] * 3]


#: Sections 8.4 and 8.5 of the draft: a session and a window of tokens are asked for.
BEGINNING = bytes.fromhex("0005 0004 000b 0008 00000100")


def spending(syn: str, port: int) -> tuple[bytes, int]:
    """Read the SYN of a request in a session: the option with the ID, and the token."""
    octets = syn.encode("latin-1")
    bare = raw.request6("127.0.0.1", port)
    # What is before the length of the options, and behind it.
    assert (octets[:2], octets[4:12]) == (bare[:2], bare[4:])
    session, option, token = octets[12:-8], octets[-8:-4], octets[-4:]
    assert octets[2:4] == (len(session) + 8).to_bytes(2)
    assert (session[:2], option) == (b"\0\6", bytes.fromhex("000d 0008"))
    return session, int.from_bytes(token)


def test_session(found: Any) -> None:
    """
    In a session the SYN to an upstream carries the ID and a token, each once; without an
    octet of the client's.
    """
    port, told = found["port"], found["session"]
    assert [code for code, _ in told["each"]] == [0] * 4
    first, *others = [syn for _, syn in told["each"]]
    assert first == request(port, BEGINNING)
    read = [spending(each, port) for each in others]
    assert [token for _, token in read] == [0, 1, 2]
    assert len({session for session, _ in read}) == 1
    again, ahead = told["spent"]
    # Idempotence Rejected, and Idempotence Accepted with Session OK.
    assert again == [1, "000f0004"]
    assert ahead[0] == 0
    assert {ahead[1][:8], ahead[1][8:16]} == {"000e0004", "00080004"}


def test_sessionWhoseTokenIsRefused(found: Any) -> None:
    """
    The client does not notice: its request is made again, and begins another session.
    That is no failure of the upstream.
    """
    port, told = found["port"], found["session"]
    code, refused, made = told["after"]
    assert code == 0
    assert spending(refused, port) == (spending(told["each"][-1][1], port)[0], 3)
    assert made == request(port, BEGINNING)
    assert told["known"] == []
    assert found["session refused"] == ["replayed", "replayed"]


def test_program(found: Any) -> None:
    """The SYN of a Twisted program carries the request, and the initial data."""
    assert found["program"] == [TEN, request(found["port"]) + TEN]
