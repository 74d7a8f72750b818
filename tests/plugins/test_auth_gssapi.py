"""
GSSAPI (RFC 1961), with the stub mechanism and whole sessions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from socksgw.client.errors import LoginRefused
from socksgw.client.logins.gssapi import GssapiLogin
from socksgw.client.socks6 import Socks6Proxy
from socksgw.errors import AuthenticationFailed, LookupFailed
from socksgw.interfaces import (
    IAuthenticator,
    IProtectingMethod,
    IVerifiedIdentity,
    IVerifyingMethod,
    Settings,
)
from socksgw.plugins import auth_gssapi
from socksgw.plugins.auth_gssapi import Credentials
from socksgw.plugins.gssapi_stub import StubInitiator
from socksgw.wire.gssapi import Level, MessageType, encode
from tests.fakes.gateway import BOUND, CONNECT, LOGIN, Gateway, answer, well
from tests.fakes.gssapi import (
    OFFER,
    REALM,
    REFUSED,
    Peer,
    StubTickets,
    established,
    gatewayWith,
    method,
)
from tests.fakes.links import MemoryLink, begun, failed, result

REPLY = answer("socks5", 0, BOUND)[2:]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway where GSSAPI is all there is, and nothing goes wrong in it."""
    with capturedLogs() as events:
        made = gatewayWith()
        yield made
        well(made)
    assert not events


# What is asked of a plug-in.


def test_interfaces() -> None:
    """What is built is what the interfaces say."""
    verifyObject(IVerifyingMethod, auth_gssapi.method)
    verifyObject(IProtectingMethod, auth_gssapi.method)
    verifyObject(IAuthenticator, method().authenticator)
    credentials = Credentials(established()[1], b"")
    verifyObject(IVerifiedIdentity, credentials)
    assert "alice" not in repr(credentials)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "keytab"),
        ({"mechanism": "none"}, '"kerberos", "stub"'),
        ({"mechanism": "stub", "protection": []}, "empty"),
        ({"mechanism": "stub", "protection": ["clear", "strong"]}, '"strong"'),
        ({"mechanism": "stub", "protection": "clear"}, "array"),
        ({"mechanism": "stub", "nec": 1}, "true or false"),
        ({"mechanism": "stub", "keytap": "x"}, "keytap: unknown key"),
        ({"keytab": 1}, "keytab: must be a string"),
    ],
)
def test_settings(table: dict[str, Any], said: str) -> None:
    """What is wrong is said with its name and what would be right."""
    with pytest.raises(ValueError, match=said):
        auth_gssapi.method.build(Settings(table), None)


def test_stubIsForLoopback() -> None:
    """It believes everybody."""
    with pytest.raises(ValueError, match="loopback"):
        auth_gssapi.method.build(
            Settings({"mechanism": "stub"}, Path(), routable=True), None
        )


def test_withoutItsPackage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing, and the remedy."""
    monkeypatch.delitem(sys.modules, "socksgw.plugins.gssapi_kerberos", raising=False)
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(ValueError, match=r"pip install 'socksgw\[gssapi\]'"):
        auth_gssapi.method.build(Settings({"keytab": "gw.keytab"}, tmp_path), None)


# A session.


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(
    ("rounds", "silent"), [(1, False), (1, True), (2, False), (10, False)]
)
@pytest.mark.parametrize("level", [Level.INTEGRITY, Level.CONFIDENTIALITY])
def test_session(
    gateway: Gateway, level: Level, rounds: int, silent: bool, single: bool
) -> None:
    """
    Sections 3.6, 4 and 5: a context of one to ten tokens, with and without a
    last one of the server's; the level as asked for; request, reply and what
    follows in tokens of that level. The record has the user and the level.
    """
    peer = Peer(gateway, rounds=rounds, silent=silent, single=single)
    peer.authenticated()
    assert peer.agreed(level) == level
    secret = level == Level.CONFIDENTIALITY
    peer.send(peer.wrapped(CONNECT, secret))
    assert peer.unwrapped() == (REPLY, {secret})
    (line,) = gateway.lines("decision")
    assert {"user": "alice", "method": "gssapi"}.items() <= line.items()
    assert line["secured"] == level.name.lower()
    assert gateway.sessions[0].asker.secured == line["secured"]
    assert gateway.sessions[0].asker.user.groups == {"staff"}


def test_pipelined(gateway: Gateway) -> None:
    """
    Level, request and data in one piece: the messages behind the level are
    tokens already. They reach the relay in order.
    """
    gateway.steps["relay"] = Deferred()
    peer = Peer(gateway)
    tokens = peer.authenticated()
    message = encode(MessageType.LEVEL, tokens.wrap(b"\2", False))
    for part in (CONNECT[:5], CONNECT[5:] + b"GET ", b"/"):
        message += peer.wrapped(part)
    peer.send(message)
    assert ("relay", b"GET /") in gateway.happened


@pytest.mark.parametrize(
    ("accepted", "asked", "answered"),
    [
        (["confidentiality", "integrity"], 1, 1),
        (["confidentiality", "integrity"], 2, 2),
        (["confidentiality", "integrity"], 3, 2),
        (["integrity", "confidentiality"], 3, 1),
        (["confidentiality"], 1, 2),
        (["integrity"], 2, 1),
        (["selective"], 1, 3),
        (["selective", "integrity"], 3, 3),
        # Level 0 only where the list names it.
        (["confidentiality", "integrity"], 0, 2),
        (["clear"], 1, 0),
        (["clear"], 2, 0),
        (["integrity", "clear"], 0, 0),
        (["integrity"], 7, 1),
    ],
)
@pytest.mark.parametrize("nec", [True, False])
def test_levels(accepted: list[str], asked: int, answered: int, nec: bool) -> None:
    """
    Section 4.2: what is asked for and accepted is granted, else the first
    that is accepted is answered; in the way that it was asked.
    """
    gateway = gatewayWith(protection=accepted, nec=nec)
    peer = Peer(gateway)
    peer.authenticated()
    assert peer.agreed(asked, nec) == answered
    if answered == 0:
        peer.send(CONNECT)
        assert peer.received() == REPLY
        secured = "clear"
    else:
        peer.send(peer.wrapped(CONNECT, answered != 1))
        assert peer.unwrapped() == (REPLY, {answered != 1})
        secured = "confidentiality" if answered == 2 else "integrity"
    assert gateway.lines("decision")[0].get("secured", "clear") == secured
    well(gateway)


@pytest.mark.parametrize("secret", [True, False])
def test_selective(secret: bool) -> None:
    """Section 4.2: at level 3 the client decides, message by message."""
    gateway = gatewayWith(protection=["selective"])
    peer = Peer(gateway)
    peer.authenticated()
    assert peer.agreed(3) == 3
    peer.send(peer.wrapped(CONNECT, secret))
    assert peer.unwrapped() == (REPLY, {True})
    # No more than that can be relied on.
    assert gateway.lines("decision")[0]["secured"] == "integrity"


def test_realms(gateway: Gateway) -> None:
    """Only the realm that is to be stripped is."""
    for name, user in ((f"alice@{REALM}", "alice"), ("alice@O.R", "alice@O.R")):
        peer = Peer(gateway, name)
        peer.authenticated()
        peer.agreed(2)
        peer.send(peer.wrapped(CONNECT))
        assert gateway.lines("decision")[-1]["user"] == user


# SOCKS 6 (draft-olteanu-intarea-socks-6-11 sections 6 and 8.3).


def six(gateway: Gateway, rounds: int = 1, long: bool = False) -> Any:
    """
    Have our own client log in by the stub, and ask for example.com.

    @param long: whether its token does not fit into a request.
    @return: what has come of it, and the octets that the client has sent, by flight.
    """
    link, flights = MemoryLink(), []
    link.secured = True
    name = f"{'a' * 16_000 * long}alice@{REALM}"
    login = GssapiLogin(StubTickets(name, rounds), "rcmd@gw")
    transport = gateway.connect()
    running = begun(Socks6Proxy(login).connect(link, "example.com", 443))
    heard = 0
    while octets := link.taken():
        flights.append(octets)
        transport.protocol.dataReceived(octets)
        said = transport.value()[heard:]
        heard += len(said)
        if said:
            link.came(said)
        if transport.ending:
            link.close()
    return running, flights


@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_six(rounds: int) -> None:
    """
    The first token is in the request, and so one round trip is enough; others are
    messages. Nothing is wrapped, and no level is agreed on.
    """
    gateway = gatewayWith(protection=["confidentiality", "clear"])
    running, flights = six(gateway, rounds)
    assert result(running).protection is None
    assert len(flights) == rounds
    assert flights[0].startswith(b"\x06\x01")
    line = gateway.lines("decision")[0]
    assert (line["user"], line["method"]) == ("alice", "gssapi")
    assert "secured" not in line
    well(gateway)


def test_sixWithALongToken() -> None:
    """What does not fit into a request is a message behind it."""
    gateway = gatewayWith(protection=["clear"])
    running, flights = six(gateway, long=True)
    assert [len(each) < 100 for each in flights] == [True, False]
    # The name is too long for a user's: the message arrived whole.
    assert isinstance(failed(running), LoginRefused)
    well(gateway)


@pytest.mark.parametrize("clear", [True, False])
def test_sixInTheClear(clear: bool) -> None:
    """Where nothing protects what follows, the method must accept that."""
    gateway = gatewayWith(**({"protection": ["integrity", "clear"]} if clear else {}))
    running, _ = six(gateway)
    if clear:
        assert result(running).protection is None
    else:
        assert isinstance(failed(running), LoginRefused)
        assert gateway.lines()[-1]["reason"] == "protection"
    well(gateway)


# Refusals.

AUTH = MessageType.AUTHENTICATION


def _badLevel(octets: bytes) -> Callable[[Peer], bytes]:
    def message(peer: Peer) -> bytes:
        assert peer.tokens is not None
        return encode(MessageType.LEVEL, peer.tokens.wrap(octets, False))

    return message


def _changedLevel(peer: Peer) -> bytes:
    message = bytearray(_badLevel(b"\1")(peer))
    message[-1] ^= 1
    return bytes(message)


#: Before a context: what is sent in its place.
BROKEN: dict[str, bytes] = {
    "garbage": encode(AUTH, b"\x60\x82garbage"),
    "empty": encode(AUTH, b""),
    "cut": encode(AUTH, StubInitiator("alice@R").first[:9]),
    "no realm": encode(AUTH, StubInitiator("alice").first),
    "version": b"\2" + encode(AUTH, b"x")[1:],
    "type": encode(MessageType.DATA, b"x"),
    "level": encode(MessageType.LEVEL, b"\1"),
    "abort": b"\x01\xff",
    "request": CONNECT,
    "password": LOGIN,
    "escape": encode(AUTH, StubInitiator(f"alice\\@X@{REALM}").first),
    "two realms": encode(AUTH, StubInitiator(f"alice@X@{REALM}").first),
    "nul": encode(AUTH, StubInitiator(f"alice\0@{REALM}").first),
    "reserved": encode(AUTH, StubInitiator(f"anonymous@{REALM}").first),
}
#: After it, in the level's place.
LEVELS: dict[str, Callable[[Peer], bytes]] = {
    "two octets": _badLevel(b"\1\2"),
    "no octet": _badLevel(b""),
    "changed": _changedLevel,
    "unwrapped": lambda _: encode(MessageType.LEVEL, b"\1"),
    "nothing": lambda _: encode(MessageType.LEVEL, b""),
    "other message": lambda peer: peer.wrapped(CONNECT),
    "no message": lambda _: CONNECT,
    "again": lambda _: encode(AUTH, b"more"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken(gateway: Gateway, kind: str) -> None:
    """
    Section 3.8: whatever the reason, the same two octets, after the record,
    and nothing that the client sends behind it counts.
    """
    peer = Peer(gateway)
    peer.send(OFFER + BROKEN[kind])
    peer.send(CONNECT)
    assert peer.transport.value() == REFUSED
    assert gateway.order == ["sent", "commit", "sent", "ended"]
    (line,) = gateway.lines()
    assert (line["event"], line["method"]) == ("login-failed", "gssapi")
    assert line["reason"] in ("protocol", "bad-token", "bad-name", "wrong-credentials")
    assert line["why"]


@pytest.mark.parametrize("kind", LEVELS)
def test_brokenLevel(gateway: Gateway, kind: str) -> None:
    """The same when there is no acceptable level, although there is a user."""
    peer = Peer(gateway)
    peer.authenticated()
    peer.send(LEVELS[kind](peer))
    peer.send(CONNECT)
    assert peer.received() == b"\x01\xff"
    assert gateway.order[-3:] == ["commit", "sent", "ended"]
    (line,) = gateway.lines()
    assert line["event"] == "login-failed"
    assert line["reason"] in ("protocol", "protection")


def test_tooManyRounds(gateway: Gateway) -> None:
    """Ten tokens of the client's, and no more."""
    peer = Peer(gateway, rounds=11)
    peer.send(OFFER + encode(AUTH, peer.initiator.first))
    for _ in range(9):
        peer.send(encode(AUTH, b"more"))
    assert peer.received().endswith(b"\x01\xff")
    assert gateway.lines()[0]["event"] == "login-failed"


def test_heldBack(gateway: Gateway) -> None:
    """
    The last token leaves when the Portal said yes, and not before: whom it
    refuses has no context.
    """
    waiting: Deferred[Any] = Deferred()
    login = gateway.generation.login

    class Slow:
        tagIn = staticmethod(login.tagIn)

        async def settle(self, *attempt: Any) -> Any:
            await waiting
            return await login.settle(*attempt)

    gateway.generation.login = Slow()
    peer = Peer(gateway, "users@" + REALM)
    peer.send(OFFER + encode(AUTH, peer.initiator.first))
    assert peer.received() == b"\x05\x01"
    waiting.callback(None)
    assert peer.received() == b"\x01\xff"


def test_clientGoesAway(gateway: Gateway) -> None:
    """At any step."""
    for steps in range(3):
        peer = Peer(gateway)
        if steps:
            peer.authenticated()
        if steps > 1:
            peer.agreed(2)
        peer.transport.lost()
    lost = gateway.lines()
    assert [line["reason"] for line in lost] == ["client-lost"] * 2
    # In its sub-negotiation, and behind it: which one it was.
    assert [line["method"] for line in lost] == ["gssapi"] * 2


# After the agreement.


def protected(gateway: Gateway, level: int = 2) -> Peer:
    """A client whose next message is its request."""
    peer = Peer(gateway)
    peer.authenticated()
    assert peer.agreed(level) == level
    return peer


def _replayed(peer: Peer) -> bytes:
    message = peer.wrapped(CONNECT[:4])
    return message + message


VIOLATIONS: dict[str, Callable[[Peer], bytes]] = {
    "in the clear": lambda _: CONNECT,
    "not encrypted": lambda peer: peer.wrapped(CONNECT, False),
    "replayed": _replayed,
    "level again": lambda _: encode(MessageType.LEVEL, b"\0"),
    "abort": lambda _: b"\x01\xff",
    "garbage": lambda _: encode(MessageType.DATA, bytes(99)),
    "empty": lambda _: encode(MessageType.DATA, b""),
}


@pytest.mark.parametrize("pipelined", [True, False])
@pytest.mark.parametrize("kind", VIOLATIONS)
def test_violations(gateway: Gateway, kind: str, pipelined: bool) -> None:
    """
    The level is enforced on every message: anything else ends the connection,
    and nothing of it is taken.
    """
    if pipelined:
        peer = Peer(gateway)
        tokens = peer.authenticated()
        level = encode(MessageType.LEVEL, tokens.wrap(b"\2", False))
        peer.send(level + VIOLATIONS[kind](peer))
    else:
        peer = protected(gateway)
        peer.send(VIOLATIONS[kind](peer))
    assert "decide" not in gateway.order
    (line,) = gateway.lines()
    assert line["event"] == "refused"
    assert line["reason"] in ("protection", "protocol")
    assert (
        peer.transport.ending
        or peer.transport.disconnecting
        or "ended" in gateway.order
    )


def test_violationWhileRelaying(gateway: Gateway) -> None:
    """Also then: the session is cut off, and its record says why."""
    gateway.steps["relay"] = Deferred()
    peer = protected(gateway)
    peer.send(peer.wrapped(CONNECT))
    peer.send(peer.wrapped(b"x")[:-1] + b"?")
    assert peer.transport.ending == "aborted"
    assert gateway.lines("end")[0]["reason"] == "protection"


def test_refusedRequest(gateway: Gateway) -> None:
    """A refusal's reply is in a token, too."""
    gateway.steps["policy"] = LookupFailed("nothing there")
    peer = protected(gateway)
    peer.send(peer.wrapped(CONNECT))
    assert peer.unwrapped() == (b"\x05\x04\x00\x01" + bytes(6), {True})


def test_clientThatCannotEncrypt() -> None:
    """Of what is accepted only what its mechanism can do is answered."""
    _, context = established()
    context.confidential = False
    both = method(protection=["confidentiality", "integrity"]).authenticator
    assert both._agreed(2, context) == Level.INTEGRITY
    one = method(protection=["confidentiality"]).authenticator
    with pytest.raises(AuthenticationFailed):
        one._agreed(1, context)


# No connect without a login of this connection.


def _first(peer: Peer, name: str, rounds: int) -> bytes:
    peer.initiator = StubInitiator(name, rounds)
    return encode(AUTH, peer.initiator.first)


#: What clients may say, in any order.
ALPHABET: dict[str, Callable[[Peer], bytes]] = {
    "offer": lambda _: OFFER,
    "offer all": lambda _: b"\x05\x03\x00\x01\x02",
    "offer none": lambda _: b"\x05\x01\x00",
    "first": lambda peer: _first(peer, f"alice@{REALM}", 1),
    "first of two": lambda peer: _first(peer, f"alice@{REALM}", 2),
    "bad name": lambda peer: _first(peer, f"users@{REALM}", 1),
    "more": lambda _: encode(AUTH, b"more"),
    "level": lambda peer: (
        _badLevel(b"\2")(peer) if peer.tokens else encode(MessageType.LEVEL, b"\2")
    ),
    "level unwrapped": lambda _: encode(MessageType.LEVEL, b"\2"),
    "request": lambda peer: peer.wrapped(CONNECT) if peer.tokens else CONNECT,
    "request in the clear": lambda _: CONNECT,
    "password": lambda _: LOGIN,
    "socks4": lambda _: b"\4\1\0\x50\xc6\x33\x64\x09\0",
}
#: The sequences that are a login and a request.
GOOD = {
    (offer, *context, "level", "request")
    for offer in ("offer", "offer all")
    for context in (("first",), ("first of two", "more"))
}


def said(peer: Peer, letter: str) -> None:
    """The client says it, and looks at what it hears."""
    peer.send(ALPHABET[letter](peer))
    heard = peer.received()
    if peer.tokens is None and heard[:2] == b"\1\1" and len(heard) == 20:
        # The server's last token: the context is there.
        peer.tokens = peer.initiator.established(heard[4:])


def test_everySequence() -> None:
    """
    Every sequence of five messages, as long as the connection lasts: only
    offer, context, level and request, in this order, reach a connect.
    """
    dialled: set[tuple[str, ...]] = set()
    alive: list[tuple[str, ...]] = [()]
    tried = 0
    for _ in range(5):
        before, alive = alive, []
        for sequence in ((*x, letter) for x in before for letter in ALPHABET):
            tried += 1
            gateway = gatewayWith()
            gateway.steps["relay"] = Deferred()
            peer = Peer(gateway)
            for each in sequence:
                said(peer, each)
            if "dial" in gateway.order:
                dialled.add(sequence)
            elif not (gateway.over or peer.transport.ending):
                alive.append(sequence)
            well(gateway)
    assert dialled == GOOD
    assert tried > 100


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(sorted(ALPHABET))), max_size=14)
)
def test_loginOfAnother(messages: list[tuple[bool, str]]) -> None:
    """
    Two clients in any turns, the one in possession of the other's context:
    what one has proved is nothing to the other.
    """
    gateway = gatewayWith()
    gateway.steps["relay"] = Deferred()
    peers = Peer(gateway), Peer(gateway)
    spoken: tuple[list[str], list[str]] = ([], [])
    for other, letter in messages:
        peer = peers[other]
        if peer.transport.ending or tuple(spoken[other]) in GOOD:
            continue
        if peer.tokens is None:
            peer.tokens = peers[not other].tokens
        said(peer, letter)
        spoken[other].append(letter)
    entitled = sum(tuple(each) in GOOD for each in spoken)
    assert gateway.order.count("dial") <= entitled
    well(gateway)
