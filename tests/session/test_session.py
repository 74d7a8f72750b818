"""
The life of a session: real octets, methods, logins, records and limits; the
policy, the journal's disk, the dialler and the relay are the test's.
"""

from __future__ import annotations

import errno
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText

import socksgw
from socksgw import errors
from socksgw.config.schema import Limit, Quota, Rate, Rule, Throttle
from socksgw.errors import (
    AuditFailed,
    AuthenticationFailed,
    ConnectFailed,
    Draining,
    LimitReached,
    LookupFailed,
    NoAcceptableMethod,
    Revoked,
    SocksError,
)
from socksgw.interfaces import Asker
from socksgw.login.portal import Login
from socksgw.login.throttle import LoginThrottle
from socksgw.negotiate.methods import Choice, Methods, OfferedMethod
from socksgw.policy.decision import Decision
from socksgw.policy.leaving import Leaving
from socksgw.policy.questions import Obligations, Verdict
from socksgw.route.failures import failureFor
from socksgw.session import express
from socksgw.session.express import Express
from socksgw.session.session import Session
from socksgw.session.stage import Stage
from socksgw.system.fairly import ASKING
from socksgw.wire import socks4, socks5, userpass
from socksgw.wire.address import Address
from tests.fakes.gateway import (
    BASIC,
    BEFORE,
    BOUND,
    CANARY,
    CONNECT,
    CONNECT4,
    CONNECTING,
    LOGIN,
    TARGET,
    USERPASS,
    WAYS,
    WRONG,
    Gateway,
    Transport,
    answer,
    denied,
    option6,
    request6,
    well,
)
from tests.fakes.policy import Somebody
from tests.tools.requests import BROKEN
from tests.tools.samples import CLIENTS

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")


#: Where protocols with a login of their own could differ.
BOTH = pytest.mark.parametrize("way", ["socks5", "socks6"])


@pytest.fixture
def logged() -> Iterator[Sequence[dict[str, Any]]]:
    """
    Everything that is logged; and the password is nowhere in it.
    """
    with capturedLogs() as events:
        yield events
    for event in events:
        assert CANARY.decode() not in f"{event!r}\n{eventAsText(event)}"


@pytest.fixture
def gateway(logged: Sequence[Any]) -> Iterator[Gateway]:
    """A gateway where every session comes to its end, and without a defect."""
    made = Gateway()
    yield made
    well(made)
    assert not logged


# The order of things.


def test_stages() -> None:
    """
    The stages are the folders of the session: accept, negotiate, login,
    policy, route, relay, audit.
    """
    assert [stage.value for stage in Stage] == [
        "accept",
        "negotiate",
        "login",
        "policy",
        "route",
        "relay",
        "audit",
    ]
    root = Path(socksgw.__path__[0])
    folders = {path.parent.name for path in root.glob("*/__init__.py")}
    others = {"wire", "plugins", "config", "system", "limits", "session", "interfaces"}
    others |= {"metrics", "records", "report", "warehouse"}
    others |= {"admin", "agent", "client", "gateway", "handover", "console"}
    others |= {"importing", "run", "testing", "workers"}
    assert folders - others == {stage.value for stage in Stage}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("single", [False, True])
def test_wholeSession(gateway: Gateway, way: str, single: bool) -> None:
    """
    Judged, recorded, dialled, answered, relayed, recorded: in this order,
    however the octets come.
    """
    octets = WAYS[way]
    transport = gateway.connect(b"" if single else octets)
    if single:
        for octet in octets:
            transport.protocol.dataReceived(bytes((octet,)))
    start = gateway.order.index("decide")
    assert gateway.order[start:] == [
        "decide",
        "commit",
        "dial",
        "sent",
        "relay",
        "append",
    ]
    assert set(gateway.order[:start]) <= {"sent"}
    assert transport.value() == answer(way, 0, BOUND)
    assert transport.ending == "closed"
    (decision,) = gateway.lines("decision")
    name = None if way == "socks4" else "example.com"
    user = "alice" if way.endswith("-userpass") else "anonymous"
    expected = {
        "session": 1,
        "listener": "lan",
        "client": "127.0.0.1:50000",
        "protocol": way.partition("-")[0],
        "user": user,
        "method": "userpass" if user == "alice" else "none",
        "command": "connect",
        "asked": name or TARGET.text,
        "name": name,
        "port": 443,
        "verdict": "allow",
        "rule": "all",
        "why": "it may",
        "addresses": [TARGET.text],
    }
    assert expected.items() <= decision.items()
    assert decision.get("groups") == (["staff"] if user == "alice" else None)
    assert decision.get("user_id") == ("fred" if way == "socks4" else None)
    (end,) = gateway.lines("end")
    assert {
        "session": 1,
        "address": TARGET.text,
        "bound": "192.0.2.1:40000",
        "sent": 11,
        "received": 22,
        "reason": "closed",
        "reply": 0,
    }.items() <= end.items()
    asked = gateway.happened[start]
    assert asked[1:] == (
        user,
        Address.parse("127.0.0.1"),
        "lan",
        "connect",
        name or TARGET,
        443,
    )
    assert gateway.happened[start + 2] == ("dial", (TARGET,), 443)
    # Part of the journal is for those who have logged in.
    assert gateway.stranger is (user == "anonymous")


@pytest.mark.parametrize("way", WAYS)
def test_boundToIPv6(gateway: Gateway, way: str) -> None:
    """BND.ADDR may be IPv6 (RFC 1928 section 6); SOCKS 4 says 0.0.0.0:0."""
    gateway.outlet.bound = (Address.parse("2001:db8::1"), 40000)
    transport = gateway.connect(WAYS[way])
    assert transport.value() == answer(way, 0, gateway.outlet.bound)


@pytest.mark.parametrize("banned", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_ledHome(gateway: Gateway, way: str, banned: bool) -> None:
    """
    A connection of this host to itself, though nothing said so before: where
    that is banned it is refused before any octet is relayed, and recorded.
    """
    closed: list[bool] = []
    asked: list[tuple[Address, int]] = []

    def bansSelf(address: Address, port: int) -> bool:
        asked.append((address, port))
        return banned

    never = SimpleNamespace(bansSelf=bansSelf)
    gateway.generation.policy.ruleset = SimpleNamespace(never=never)
    gateway.outlet.bound = (TARGET, 40000)
    gateway.outlet.loseConnection = lambda: closed.append(True)
    transport = gateway.connect(WAYS[way])
    assert asked == [(TARGET, 443)]
    assert ("relay" in gateway.order) is not banned
    if banned:
        assert closed == [True]
        assert transport.value() == answer(way, 2, None, "self")
        end = gateway.lines("end")[0]
        assert (end["address"], end["reason"], end["reply"]) == (TARGET.text, "self", 2)
        assert end["why"] == "the destination turned out to be this host"


@BOTH
def test_reset(gateway: Gateway, way: str) -> None:
    """A destination's reset is passed on, and recorded as any end."""
    gateway.tally |= {"reason": "reset", "reset": True}
    assert gateway.connect(WAYS[way]).ending == "aborted"
    assert gateway.lines("end")[0]["reason"] == "reset"


@pytest.mark.parametrize("way", WAYS)
def test_pipelined(gateway: Gateway, way: str) -> None:
    """
    Octets behind the request go to the destination, first and once: those
    that came with it, and those that came while it was being dialled.
    """
    gateway.steps["route"] = dialling = Deferred[None]()
    gateway.steps["relay"] = Deferred[None]()
    transport = gateway.connect(WAYS[way] + b"GET ")
    transport.protocol.dataReceived(b"/ HTTP")
    assert "relay" not in gateway.order
    dialling.callback(None)
    relays = [happening for happening in gateway.happened if happening[0] == "relay"]
    assert relays == [("relay", b"GET / HTTP")]
    assert transport.protocol.client.conversation.surplus() == b""


# No dial without a login of this connection.


def test_wrongPassword(gateway: Gateway) -> None:
    """A failed login is recorded, then told (RFC 1929 section 2), then over."""
    transport = gateway.connect(b"\x05\x02\x00\x02" + WRONG + CONNECT)
    assert gateway.order == ["sent", "commit", "sent", "ended"]
    assert transport.value() == b"\x05\x02\x01\x01"
    (line,) = gateway.lines()
    assert {
        "event": "login-failed",
        "method": "userpass",
        "claimed": "alice",
        "reason": "wrong-credentials",
        "protocol": "socks5",
    }.items() <= line.items()


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (request6(option6(4, b"\2" + WRONG)), "06 01 0008 0004 0008 02 01 01 00"),
        (
            request6(option6(2, b"\0\0\2")) + WRONG,
            "06 01 0008 0003 0008 02 000000 01 01 06 01 0000",
        ),
    ],
    ids=["option", "messages"],
)
def test_wrongPasswordInSocks6(logged: Sequence[Any], octets: bytes, told: str) -> None:
    """The same, in the reply that does not let in (sections 6 and 9)."""
    gateway = Gateway([USERPASS])
    transport = gateway.connect(octets)
    assert transport.value() == bytes.fromhex(told)
    assert [each for each in gateway.order if each != "sent"] == ["commit", "ended"]
    (line,) = gateway.lines()
    assert {
        "event": "login-failed",
        "method": "userpass",
        "claimed": "alice",
        "reason": "wrong-credentials",
        "protocol": "socks6",
    }.items() <= line.items()
    well(gateway)
    assert not logged


def test_loginOfAnother(gateway: Gateway) -> None:
    """One client's login, cached or not, is nothing to another client."""
    gateway.steps["relay"] = Deferred[None]()
    first = gateway.connect(b"\x05\x01\x02")
    second = gateway.connect(b"\x05\x01\x02")
    first.protocol.dataReceived(LOGIN)
    second.protocol.dataReceived(CONNECT)
    assert "decide" not in gateway.order
    assert second.value() == b"\x05\x02"
    third = gateway.connect(b"\x05\x01\x02" + WRONG + CONNECT)
    assert third.value() == b"\x05\x02\x01\x01"
    fourth = gateway.connect(request6(option6(4, b"\2" + WRONG)))
    assert fourth.value()[:2] == b"\6\1"
    first.protocol.dataReceived(CONNECT)
    assert gateway.order.count("dial") == 1
    assert first.value() == answer("socks5-userpass", 0, BOUND)


def test_whatComesWithTheRequest() -> None:
    """It goes to the destination, whether the login is remembered or not."""
    gateway = Gateway([USERPASS])
    for way in ("socks5-userpass", "socks6-userpass") * 2:
        gateway.connect(WAYS[way] + b"early")
    relayed = [each for each in gateway.happened if each[0] == "relay"]
    assert relayed == [("relay", b"early")] * 4


clientOctets = st.one_of(
    st.sampled_from(sorted(CLIENTS)).map(CLIENTS.__getitem__),
    st.sampled_from([*WAYS.values(), b"\x05\x02\x00\x02" + WRONG + CONNECT]),
    st.lists(
        st.sampled_from(
            [b"\x05\x01\x02", b"\x05\x01\x00", LOGIN, WRONG, CONNECT, CONNECT4, b"\x05"]
        ),
        max_size=5,
    ).map(b"".join),
)


def _hasBasic(octets: bytes) -> bool:
    """Whether there is alice's login of HTTP in them."""
    found = re.search(rb"\r\nproxy-authorization:[ \t]*basic +([^ \r]+)", octets, re.I)
    try:
        login = found is not None and b64decode(found[1])
    except ValueError:
        return False
    return octets[:1].isupper() and login == b"alice:" + CANARY


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            clientOctets,
            st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=2),
        ),
        min_size=1,
        max_size=3,
    ),
    st.randoms(use_true_random=False),
)
def test_noDialWithoutLogin(
    clients: list[tuple[bytes, list[tuple[int, int]]]], chance: Any
) -> None:
    """
    Where a login is wanted, whatever clients send and in whatever turns:
    something is dialled only for one who offered the method, then sent the
    right name and password, then a request, and each time after a line in
    the journal.
    """
    gateway = Gateway([USERPASS])
    left: list[tuple[Transport, bytes, list[bytes]]] = []
    for octets, changes in clients:
        changed = bytearray(octets)
        for place, value in changes:
            if place < len(changed):
                changed[place] = value
        # What is a password to SOCKS 5 is a user id to SOCKS 4, and recorded.
        assume(octets[:1] == b"\x04" or changed[:1] != b"\x04")
        cut = chance.randrange(len(changed) + 1)
        parts = [bytes(changed[:cut]), bytes(changed[cut:])]
        left.append((gateway.connect(), bytes(changed), parts))
    turns = [i for i in range(len(left)) for _ in range(2)]
    chance.shuffle(turns)
    for i in turns:
        transport, _, parts = left[i]
        part = parts.pop(0)
        if part and not transport.ending:
            transport.protocol.dataReceived(part)
    entitled = 0
    for transport, octets, _ in left:
        count = octets[1] if len(octets) > 1 else 0
        good = (
            octets.startswith(b"\x05")
            and 2 in octets[2 : 2 + count]
            and octets[2 + count :].startswith(LOGIN)
        ) or _hasBasic(octets)
        good |= octets.startswith(b"\x06") and b"\x02" + LOGIN in octets
        if transport.value().startswith(b"\x05\x02\x01\x00"):
            assert good, octets
        if not good:
            assert not transport.value().startswith(
                (b"\x05\x00", b"\x00\x5a", b"\x06\x00", b"HTTP/1.1 200")
            )
            assert transport.value()[4:6] != b"\x05\x00"
        entitled += good
    assert gateway.order.count("dial") <= entitled
    seen = 0
    for happening in gateway.happened:
        if happening[0] == "commit":
            seen += happening[1].get("verdict") == "allow"
        elif happening[0] == "dial":
            seen -= 1
            assert seen >= 0
    well(gateway)


# Refusals before the policy is asked.


def test_noAcceptableMethod(gateway: Gateway) -> None:
    """
    X'FF' (RFC 1928 section 3), after a record of what was offered and what
    was wanted.
    """
    transport = gateway.connect(b"\x05\x02\x01\x03" + CONNECT)
    assert gateway.order == ["commit", "sent", "ended"]
    assert transport.value() == b"\x05\xff"
    (line,) = gateway.lines()
    assert {
        "event": "refused",
        "reason": "no-acceptable-method",
        "offered": [1, 3],
        "wanted": ["userpass", "none"],
        "protocol": "socks5",
    }.items() <= line.items()


def test_noAcceptableMethodOfSocks6(logged: Sequence[Any]) -> None:
    """FF is selected (section 8.2), after the same record."""
    gateway = Gateway([USERPASS])
    transport = gateway.connect(request6(option6(2, b"\0\0\1\3"), option6(4, b"\3x")))
    assert gateway.order == ["commit", "sent", "ended"]
    assert transport.value() == bytes.fromhex("06 01 0008 0003 0008 ff 000000")
    (line,) = gateway.lines()
    assert {
        "event": "refused",
        "reason": "no-acceptable-method",
        "offered": [3, 0, 1, 3],
        "wanted": ["userpass"],
        "protocol": "socks6",
    }.items() <= line.items()
    well(gateway)
    assert not logged


def test_socks4WhereLoginIsWanted(logged: Sequence[Any]) -> None:
    """91 (SOCKS 4, CONNECT): USERID is no login."""
    gateway = Gateway([USERPASS])
    transport = gateway.connect(CONNECT4)
    assert gateway.order == ["commit", "sent", "ended"]
    assert transport.value() == b"\x00\x5b" + bytes(6)
    (line,) = gateway.lines()
    assert line["reason"] == "no-acceptable-method"
    assert line["user_id"] == "fred"
    well(gateway)
    assert not logged


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("socks5", b"\x05\xff"),
        ("socks4", b"\x00\x5b" + bytes(6)),
        ("socks6", b"\x06\x01\x00\x00"),
        ("http", answer("http", 2, None, "no-acceptable-method")),
    ],
)
def test_noChoice(logged: Sequence[Any], way: str, told: bytes) -> None:
    """Where no choice matches, nobody gets in: X'FF', or 91."""
    gateway = Gateway([])
    transport = gateway.connect(WAYS[way])
    assert transport.value() == told
    assert gateway.lines()[0]["wanted"] == []
    assert "decide" not in gateway.order
    well(gateway)


#: What is refused before the policy, as request octets of SOCKS 5, with the
#: reply of RFC 1928 section 6.
EARLY: dict[str, tuple[bytes, int, str]] = {
    "command 0": (socks5.encodeRequest(0, "example.com", 443), 7, "command"),
    "UDP in TCP": (socks5.encodeRequest(5, "example.com", 443), 7, "command"),
    "UDP tunnel": (socks5.encodeRequest(0xF3, "example.com", 443), 7, "command"),
    "unknown command": (socks5.encodeRequest(9, "example.com", 443), 7, "command"),
    "unknown ATYP": (b"\x05\x01\x00\x02", 8, "address-type"),
    "version": (b"\x04", 1, "protocol"),
    "inet_aton": (socks5.encodeRequest(1, "127.1", 443), 1, "bad-destination"),
    "zone id": (socks5.encodeRequest(1, "fe80::1%eth0", 443), 1, "bad-destination"),
    "no name": (b"\x05\x01\x00\x03\x00\x00\x50", 1, "bad-destination"),
}


@pytest.mark.parametrize("kind", EARLY)
def test_refusedEarly(gateway: Gateway, kind: str) -> None:
    """
    What is no request for the policy is recorded, then answered with its own
    code (RFC 1928 section 6), and never dialled.
    """
    request, reply, reason = EARLY[kind]
    transport = gateway.connect(b"\x05\x01\x00" + request)
    assert gateway.order == ["sent", "commit", "sent", "ended"]
    assert transport.value() == answer("socks5", reply)
    (line,) = gateway.lines()
    assert {
        "event": "refused",
        "reason": reason,
        "reply": reply,
    }.items() <= line.items()
    assert line["user"] == "anonymous"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (socks4.encodeRequest(3, TARGET, 443), "command"),
        (socks4.encodeRequest(0xF1, "example.com", 443), "command"),
        (socks4.encodeRequest(1, "127.1", 443), "bad-destination"),
        (CONNECT4[:8] + b"u" * 256, "protocol"),
    ],
)
def test_refusedEarlySocks4(gateway: Gateway, octets: bytes, reason: str) -> None:
    """SOCKS 4 knows one failure, 91."""
    transport = gateway.connect(octets)
    assert gateway.order == ["commit", "sent", "ended"]
    assert transport.value() == b"\x00\x5b" + bytes(6)
    assert gateway.lines()[0]["reason"] == reason


@pytest.mark.parametrize(
    ("octets", "told", "reason"),
    [
        *((request6(command=each), "07", "command") for each in (4, 9, 0xF0)),
        (b"\6\1\0\0\0\x50\0\3\x05127.1\0\0", "01", "bad-destination"),
        (b"\6\1\0\0\0\x50\0\3\0\0\0\0", "01", "bad-destination"),
        # Broken: there is no operation to reply to.
        (b"\6\1\0\0\0\x50\0\2", "", "address-type"),
        (b"\6\1\0\1", "", "protocol"),
        (request6(b"\0\5\0\x08"), "", "protocol"),
        (request6(option6(5, b"") * 2), "", "protocol"),
        # Section 4: the address and the port of NOOP are zeros.
        (request6(command=0), "", "protocol"),
        (b"\6\0\0\0\0\x50\0\1" + bytes(4), "", "protocol"),
        (b"\6\0\0\0\0\0\0\1\x7f\0\0\1", "", "protocol"),
    ],
)
def test_refusedEarlySocks6(
    gateway: Gateway, octets: bytes, told: str, reason: str
) -> None:
    """A reply behind that which lets in; of a broken request the one that does not."""
    transport = gateway.connect(octets)
    expected = "06 01 0000"
    if told:
        expected = f"06 00 0000 06 {told} 0000 0000 00 01 00000000"
    assert transport.value() == bytes.fromhex(expected)
    assert gateway.lines()[0]["reason"] == reason
    assert "dial" not in gateway.order


def test_anotherVersionThanSocks6(logged: Sequence[Any]) -> None:
    """A listener that speaks it alone tells its version (section 5 of the draft)."""
    gateway = Gateway(protocols=("socks6",))
    transport = gateway.connect(WAYS["socks5"])
    assert transport.value() == b"\6"
    assert gateway.lines()[0]["reason"] == "protocol"
    well(gateway)


@pytest.mark.parametrize("octets", [b"get / HTTP/1.1\r\n", b"\x16\x03\x01", b"\x07"])
def test_noSocks(gateway: Gateway, octets: bytes) -> None:
    """What is no SOCKS is recorded and closed without an answer."""
    transport = gateway.connect(octets)
    assert gateway.order == ["commit", "ended"]
    assert transport.value() == b""
    assert gateway.lines()[0]["reason"] == "protocol"


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_brokenInHttp(gateway: Gateway, name: str, pieces: bool) -> None:
    """Each form that could smuggle a request gets one answer, and is never dialled."""
    octets, status = BROKEN[name]
    transport = gateway.connect()
    sent = octets + b"\r\n" + WAYS["http"]
    for part in [bytes((each,)) for each in sent] if pieces else [sent]:
        transport.protocol.dataReceived(part)
    assert transport.value().startswith(b"HTTP/1.1 %d " % status)
    assert transport.value().count(b"HTTP/1.1 ") == 1
    assert gateway.order == ["commit", "sent", "ended"]
    (line,) = gateway.lines("refused")
    assert line["protocol"] == "http"


def test_brokenLogin(gateway: Gateway) -> None:
    """RFC 1929 has no answer to another version: closed, and recorded."""
    transport = gateway.connect(b"\x05\x01\x02" + b"\x05" + LOGIN[1:])
    assert transport.value() == b"\x05\x02"
    assert gateway.order == ["sent", "commit", "ended"]
    assert gateway.lines()[0]["reason"] == "protocol"


# What the policy and the dialler refuse.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("decision", "reply", "reason"),
    [
        (denied(), 2, "policy"),
        (denied(LookupFailed("no such host")), 4, "no-such-host"),
        (denied(LookupFailed("", reason="lookup-timeout")), 4, "lookup-timeout"),
        (denied(LimitReached("look-ups")), 1, "limit"),
        (denied(errors.BadDestination("port 0")), 1, "bad-destination"),
    ],
)
def test_denied(
    gateway: Gateway, way: str, decision: Decision, reply: int, reason: str
) -> None:
    """
    A denial is recorded, then answered with its code (RFC 1928 section 6;
    SOCKS 4: 91); nothing is dialled.
    """
    gateway.decision = decision
    transport = gateway.connect(WAYS[way])
    start = gateway.order.index("decide")
    assert gateway.order[start:] == ["decide", "commit", "sent", "ended"]
    assert transport.value() == answer(way, reply, None, reason)
    (line,) = gateway.lines()
    assert {
        "event": "decision",
        "verdict": "deny",
        "reply": reply,
        "reason": reason,
        "addresses": [],
    }.items() <= line.items()


@BOTH
@pytest.mark.parametrize("allowed", [True, False])
def test_judgedAgainMeanwhile(gateway: Gateway, way: str, allowed: bool) -> None:
    """
    When something changes while a name is looked up, this one is
    before it dials: by the user, and the rules, of then.
    """
    gateway.steps["policy"] = Deferred[None]()
    transport = gateway.connect(WAYS[way])
    assert gateway.order[-1] == "decide"
    gateway.changes += 1
    judged: list[Session] = []

    def recheck(session: Session) -> None:
        judged.append(session)
        if not allowed:
            raise Revoked("the user no longer exists")

    gateway.recheck = recheck  # type: ignore[method-assign]
    gateway.steps["policy"].callback(None)
    assert judged == gateway.sessions
    assert ("dial" in gateway.order) == allowed
    if not allowed:
        assert transport.value() == answer(way, 2)
        assert gateway.lines("end")[0]["why"] == "the user no longer exists"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("code", "reply"),
    [
        (errno.ECONNREFUSED, 5),
        (errno.ECONNRESET, 5),
        (errno.ENETUNREACH, 3),
        (errno.EHOSTUNREACH, 4),
        (errno.ETIMEDOUT, 4),
        (errno.EMFILE, 1),
        (errno.ENOBUFS, 1),
        (errno.EADDRNOTAVAIL, 1),
        (errno.EIO, 1),
    ],
    ids=lambda v: errno.errorcode.get(v, str(v)) if v > 8 else str(v),
)
def test_notConnected(gateway: Gateway, way: str, code: int, reply: int) -> None:
    """
    A connect that fails is answered with the code of its cause (RFC 1928
    section 6; SOCKS 4: 91), and recorded as the session's end.
    """
    failure = failureFor(code)
    gateway.steps["route"] = failure
    transport = gateway.connect(WAYS[way])
    start = gateway.order.index("decide")
    assert gateway.order[start:] == [
        "decide",
        "commit",
        "dial",
        "append",
        "sent",
        "ended",
    ]
    assert transport.value() == answer(way, reply, None, failure.reason)
    decision, end = gateway.lines()
    assert decision["verdict"] == "allow"
    assert end["reason"] == failure.reason
    assert end["reply"] == reply
    assert end["address"] is None
    assert (end["sent"], end["received"]) == (0, 0)


ALL = [
    error
    for error in vars(errors).values()
    if isinstance(error, type)
    and issubclass(error, SocksError)
    # These belong to other stages.
    and not issubclass(error, (AuthenticationFailed, NoAcceptableMethod, AuditFailed))
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
@pytest.mark.parametrize("way", ["socks5", "socks4", "socks6", "http"])
@pytest.mark.parametrize("stage", ["policy", "route"])
def test_everyError(
    gateway: Gateway, error: type[SocksError], way: str, stage: str
) -> None:
    """
    Every class of error says what the client is told, wherever it is raised;
    one without a reply says nothing.
    """
    gateway.steps[stage] = error("for the operator")
    transport = gateway.connect(WAYS[way])
    told = transport.value()[len(BEFORE[way]) :]
    if error.reply is None:
        assert told == b""
    else:
        whole = answer(way, error.reply, None, error.reason)
        assert told == whole[len(BEFORE[way]) :]
    assert gateway.lines()[-1]["reason"] == error.reason
    assert "relay" not in gateway.order


@BOTH
def test_limit(logged: Sequence[Any], way: str) -> None:
    """
    A limit on live sessions refuses what the policy allowed, is recorded as
    the reason, and is given back when a session ends.
    """
    gateway = Gateway(limits=[Limit(per="source", sessions=1)])
    gateway.steps["relay"] = relaying = Deferred[None]()
    gateway.connect(WAYS[way])
    second = gateway.connect(WAYS[way])
    assert second.value() == answer(way, 1)
    line = gateway.lines("decision")[1]
    assert (line["verdict"], line["rule"], line["reply"]) == ("deny", "limit", 1)
    assert gateway.order.count("dial") == 1
    assert gateway.limits.live == 1
    relaying.callback(None)
    assert gateway.limits.live == 0
    del gateway.steps["relay"]
    third = gateway.connect(WAYS[way])
    assert third.value() == answer(way, 0, BOUND)
    well(gateway)
    assert not logged


def test_aQuotaThatIsUsedUp(logged: Sequence[Any]) -> None:
    """
    Whoever comes is refused with 02, and the record says which; whoever lives
    on it ends with a reset, with the same in the record.
    """
    gateway = Gateway(limits=[Limit(per="source", quota=Quota(1000, 864e8))])
    gateway.steps["relay"] = Deferred[None]()
    first = gateway.connect(WAYS["socks5"])
    claim = gateway.sessions[0].claim
    assert claim is not None
    assert claim.sending is not None
    claim.sending.spend(1000)
    second = gateway.connect(WAYS["socks5"])
    assert second.value() == answer("socks5", 2)
    for way in ("socks4", "socks6"):
        assert gateway.connect(WAYS[way]).value() == answer(way, 2)
    line = gateway.lines("decision")[1]
    why = "1KB/1000000d per source is used up"
    assert (line["verdict"], line["rule"], line["reply"]) == ("deny", "limit", 2)
    assert (line["reason"], line["why"]) == ("quota", why)
    over = claim.over
    assert over is not None
    gateway.sessions[0].client.end(over)
    assert first.ending == "aborted"
    line = gateway.lines("end")[0]
    assert (line["reason"], line["why"]) == ("quota", why)
    well(gateway)
    assert not logged


def test_otherAllowancesForWhatRelays(logged: Sequence[Any]) -> None:
    """Counted anew, the relay is told of them, and the old ones are closed."""
    gateway = Gateway(limits=[Limit(per="source", sessions=2, rate=Rate(1000))])
    gateway.steps["relay"] = Deferred[None]()
    gateway.connect(WAYS["socks5"])
    session = gateway.sessions[0]
    told: list[Any] = []
    assert session.tally is not None
    session.tally.relay = SimpleNamespace(  # type: ignore[assignment]
        limit=lambda *allowances: told.append(allowances)
    )
    gateway.limits.apply([Limit(per="user", sessions=1, rate=Rate(5))], ())
    session.recount("all")
    claim = session.claim
    assert claim is not None
    assert told == [(claim.sending, claim.receiving)]
    assert claim.sending is not None
    second = gateway.connect(WAYS["socks5"])
    assert second.value() == answer("socks5", 1)
    gateway.limits.apply((), ())
    session.recount("all")
    assert told[1:] == [(None, None)]
    well(gateway)
    assert not logged


OTHER = Address.parse("203.0.113.9")


def twofold(gateway: Gateway, *rules: Any) -> None:
    """
    The name has two addresses, of two rules; the second one is dialled in the
    end.
    """
    first = Verdict(True, "first", "", ticket="T-1", obligations=Obligations(1, 10))
    second = Verdict(True, "second", "", obligations=Obligations(9, 90))
    verdicts: dict[Address | str, Verdict] = {TARGET: first, OTHER: second}
    gateway.decision = Decision(first, (TARGET, OTHER), verdicts=verdicts)
    gateway.outlet.address = OTHER
    gateway.limits.apply(
        (), [Rule(id=name, allow="any", limits=x) for name, x in rules]
    )


def test_addressesThatLeaveByDifferentWays(gateway: Gateway) -> None:
    """Those that leave as the first one does are tried first, then the others."""
    third = Address.parse("203.0.113.10")
    hop = Leaving((("hop",),))
    first = Verdict(True, "hop", "", obligations=Obligations(leaving=hop))
    verdicts: dict[Address | str, Verdict] = {
        TARGET: first,
        OTHER: Verdict(True, "here", ""),
        third: first,
    }
    gateway.decision = Decision(first, (TARGET, OTHER, third), verdicts=verdicts)
    tried: list[tuple[Leaving | None, tuple[Address, ...]]] = []

    def waysOf(listener: str, leaving: Leaving | None = None) -> Any:
        async def connect(addresses: Any, port: int, admit: Any, traveller: Any) -> Any:
            tried.append((leaving, tuple(addresses)))
            if leaving is not None:
                raise ConnectFailed("no way")
            gateway.outlet.address = OTHER
            return gateway.outlet

        return SimpleNamespace(connect=connect, reached=lambda *_: None)

    gateway.generation.waysOf = waysOf
    assert gateway.connect(WAYS["socks5"]).value() == answer("socks5", 0, BOUND)
    assert tried == [(hop, (TARGET, third)), (None, (OTHER,))]
    (line,) = gateway.lines("decision")
    (end,) = gateway.lines("end")
    assert (line["rule"], line["via"]) == ("hop", "hop")
    assert (end["rule"], end["path"]) == ("here", "direct")


def test_judgedAgainWhileItIsDialled(gateway: Gateway) -> None:
    """The session lives by the rule that allows it then."""
    gateway.steps["route"] = dialling = Deferred[None]()
    gateway.steps["relay"] = relaying = Deferred[None]()
    gateway.connect(WAYS["socks5"])
    (session,) = gateway.sessions
    later = Verdict(True, "later", "", obligations=Obligations(idle=7))
    session.verdicts = {TARGET: later}
    dialling.callback(None)
    assert session.obligations.idle == 7
    relaying.callback(None)
    assert gateway.lines("end")[0]["rule"] == "later"


def test_theDialledAddressCounts(gateway: Gateway) -> None:
    """
    Of a name with several addresses, the rule of the one that is dialled bounds
    the session and stands in its record.
    """
    rates = {"first": Rate(1000), "second": Rate(5)}
    twofold(gateway, *((n, Limit("user", 1, rate=r)) for n, r in rates.items()))
    gateway.steps["relay"] = relaying = Deferred[None]()
    gateway.connect(WAYS["socks5"])
    assert gateway.seconds == [1, 9]
    (session,) = gateway.sessions
    claim = session.claim
    assert claim is not None
    assert claim.rule == "second"
    assert session.obligations.idle == 90
    # The first rule's session is free again, the second's is taken.
    assert gateway.connect(WAYS["socks5"]).value() == answer("socks5", 1)
    assert gateway.lines("end")[0]["reason"] == "limit"
    gateway.decision = Decision(gateway.decision.verdicts[TARGET], (TARGET,))
    gateway.outlet.address = TARGET
    assert gateway.connect(WAYS["socks5"]).value() == answer("socks5", 0, BOUND)
    relaying.callback(None)
    assert [line["rules"] for line in gateway.lines("decision")[:2]] == [
        ["first", "second"]
    ] * 2
    end = next(line for line in gateway.lines("end") if line["session"] == 1)
    assert end["rule"] == "second"
    assert "ticket" not in end


def test_theFirstRuleHasNoRoom(gateway: Gateway) -> None:
    """Then the addresses of the next rule are dialled, and counted by that."""
    twofold(gateway, ("first", Limit("rule", sessions=1)))
    asker = Asker(Somebody("bob"), TARGET, "lan")
    taken = gateway.limits.take(asker, "connect", "first")
    gateway.steps["relay"] = relaying = Deferred[None]()
    tried: list[str] = []

    async def open_(
        addresses: Any, port: int, admit: Callable[..., Any], traveller: Any
    ) -> Any:
        for address in addresses:
            try:
                admit(address)
                tried.append(address.text)
            except LimitReached:
                pass
        return gateway.outlet

    gateway.generation.ways.connect = open_
    gateway.connect(WAYS["socks5"])
    assert tried == [OTHER.text]
    claim = gateway.sessions[0].claim
    assert claim is not None
    assert claim.rule == "second"
    relaying.callback(None)
    assert gateway.lines("end")[0]["rule"] == "second"
    gateway.limits.give(taken)


def test_theLimitsOfTheAddressThatIsTried(gateway: Gateway) -> None:
    """An address whose rule has no room is not dialled; nothing stays counted."""
    limits = Limit("rule", sessions=1)
    twofold(gateway, ("second", limits))
    asker = Asker(Somebody("bob"), TARGET, "lan")
    taken = gateway.limits.take(asker, "connect", "second")
    assert gateway.connect(WAYS["socks5"]).value() == answer("socks5", 1)
    end = gateway.lines("end")[0]
    assert (end["address"], end["reason"], end["reply"]) == (None, "limit", 1)
    gateway.limits.give(taken)
    assert gateway.connect(WAYS["socks5"]).value() == answer("socks5", 0, BOUND)
    again = gateway.limits.take(asker, "connect", "second")
    gateway.limits.give(again)


# The journal.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("allowed", [True, False])
def test_recordedFirst(gateway: Gateway, way: str, allowed: bool) -> None:
    """
    Before its line is in the kernel nothing is dialled, and nobody is told
    anything.
    """
    if not allowed:
        gateway.decision = denied()
    gateway.steps["audit"] = writing = Deferred[None]()
    transport = gateway.connect(WAYS[way])
    assert transport.value() == BEFORE[way]
    assert gateway.order[-1] == "decide"
    writing.callback(None)
    assert ("dial" in gateway.order) is allowed
    reply = (0, BOUND) if allowed else (2, None)
    assert transport.value() == answer(way, *reply)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x05\x01\x02" + WRONG,
        b"\x05\x01\x01",
        b"\x05\x01\x00\x05\x01\x00\x02",
        b"\x05\x01\x00" + EARLY["unknown command"][0],
        socks4.encodeRequest(3, TARGET, 1),
        request6(option6(4, b"\2" + WRONG)),
        request6(b"\0\5\0\x08"),
        request6(command=9),
    ],
    ids=[
        "login",
        "methods",
        "ATYP",
        "command",
        "SOCKS 4",
        "login6",
        "option",
        "command6",
    ],
)
def test_refusalRecordedFirst(gateway: Gateway, octets: bytes) -> None:
    """The same for what is refused before the policy is asked."""
    gateway.steps["audit"] = writing = Deferred[None]()
    transport = gateway.connect(octets)
    before = transport.value()
    assert before in (b"", b"\x05\x00", b"\x05\x02", b"\x06\x00\x00\x00")
    assert transport.ending == ""
    writing.callback(None)
    assert len(transport.value()) > len(before)
    assert gateway.order[-3:] == ["commit", "sent", "ended"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_journalFails(gateway: Gateway, way: str, allowed: bool, late: bool) -> None:
    """
    What cannot be recorded is not granted: 01 (RFC 1928 section 6), and no
    dial.
    """
    if not allowed:
        gateway.decision = denied()
    failing = Deferred[None]()
    gateway.steps["audit"] = failing if late else AuditFailed("disk full")
    transport = gateway.connect(WAYS[way])
    if late:
        failing.errback(AuditFailed("disk full"))
    assert transport.value() == answer(way, 1, None, "audit")
    assert "dial" not in gateway.order
    assert not gateway.lines()
    assert gateway.order[-1] == "ended"


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"\x05\x01\x02" + WRONG, b"\x05\x02\x01\x01"),
        (b"\x05\x01\x01", b"\x05\xff"),
        (b"\x05\x01\x00\x05\x01\x00\x02", answer("socks5", 8)),
        (socks4.encodeRequest(3, TARGET, 1), b"\x00\x5b" + bytes(6)),
        (
            request6(option6(4, b"\2" + WRONG)),
            bytes.fromhex("06 01 0008 0004 0008 02 01 01 00"),
        ),
        (request6(command=9), answer("socks6", 7)),
    ],
    ids=["login", "methods", "ATYP", "SOCKS 4", "login6", "command6"],
)
def test_refusalWithoutJournal(gateway: Gateway, octets: bytes, told: bytes) -> None:
    """A refusal stands, recorded or not."""
    gateway.steps["audit"] = AuditFailed("disk full")
    transport = gateway.connect(octets)
    assert transport.value() == told
    assert gateway.order[-1] == "ended"


# Clients that go away.


def lost(transport: Transport) -> None:
    transport.lost()


def drained(transport: Transport) -> None:
    transport.protocol.client.end(Draining("the gateway is stopping"))


LOST = pytest.mark.parametrize(
    ("how", "reason"), [(lost, "client-lost"), (drained, "draining")]
)
How = Callable[[Transport], None]


def granted(transport: Transport, way: str) -> bool:
    """
    Whether the client was told anything but that it failed: who is put off by
    the gateway may be told so with 01, who is gone is told nothing.
    """
    put = transport.value()
    return put != BEFORE[way] and (
        put != answer(way, 1, None, "draining")
        or transport.protocol.client.failure.reply is None
    )


@LOST
@pytest.mark.parametrize(
    "octets",
    [
        *(b"\x05\x01\x02", b"\x05\x01\x02" + LOGIN[:4]),
        b"\x05\x01\x00" + CONNECT[:5],
        WAYS["socks6-userpass"][:-1],
    ],
    ids=["greeting", "login", "request", "request6"],
)
def test_lostWhileTalking(
    gateway: Gateway, octets: bytes, how: How, reason: str
) -> None:
    """A client that goes away before its request was whole has its record."""
    transport = gateway.connect(octets)
    how(transport)
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("refused", reason)
    assert "decide" not in gateway.order
    assert transport.value() in (b"", b"\x05\x00", b"\x05\x02")
    assert gateway.over


@LOST
def test_lostBeforeItsMessages(logged: Sequence[Any], how: How, reason: str) -> None:
    """A client of SOCKS 6 that is invited to log in, and goes."""
    gateway = Gateway([USERPASS])
    selected = bytes.fromhex("06 01 0008 0003 0008 02 000000")
    initial = option6(2, b"\0\5\2")
    transport = gateway.connect(request6(initial) + b"early" + LOGIN[:4])
    how(transport)
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("refused", reason)
    assert not {"decide", "relay"} & set(gateway.order)
    assert transport.value().startswith(selected)
    assert b"\6\0" not in transport.value()
    well(gateway)
    assert not logged


@LOST
@BOTH
def test_lostWhileLoggingIn(gateway: Gateway, way: str, how: How, reason: str) -> None:
    """A password that turns out right too late opens nothing."""
    gateway.checker.held = checking = Deferred[Any]()
    transport = gateway.connect(WAYS[f"{way}-userpass"])
    how(transport)
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("refused", reason)
    told = {"socks5": b"\x05\x02", "socks6": b""}
    if way == "socks6" and how is drained:
        # It is told that it is not let in.
        told[way] = b"\x06\x01\x00\x00"
    assert transport.value() == told[way]
    checking.callback(b"alice")
    assert "decide" not in gateway.order
    assert len(gateway.lines()) == 1


@LOST
@pytest.mark.parametrize("way", WAYS)
def test_lostWhileJudged(gateway: Gateway, way: str, how: How, reason: str) -> None:
    """An answer of the policy that comes too late opens nothing."""
    gateway.steps["policy"] = Deferred[None]()
    transport = gateway.connect(WAYS[way])
    how(transport)
    assert gateway.steps["policy"].called
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("refused", reason)
    assert line["command"] == "connect"
    assert "dial" not in gateway.order
    assert not granted(transport, way)


@LOST
@pytest.mark.parametrize("way", WAYS)
def test_lostWhileRecorded(gateway: Gateway, way: str, how: How, reason: str) -> None:
    """A line that is written too late is followed by an end, not by a dial."""
    gateway.steps["audit"] = Deferred[None]()
    transport = gateway.connect(WAYS[way])
    how(transport)
    assert "dial" not in gateway.order
    assert not granted(transport, way)
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("end", reason)


@LOST
@pytest.mark.parametrize("way", WAYS)
def test_lostWhileDialling(gateway: Gateway, way: str, how: How, reason: str) -> None:
    """A dial that nobody waits for is given up; the session has its end."""
    gateway.steps["route"] = dialling = Deferred[None]()
    transport = gateway.connect(WAYS[way])
    how(transport)
    assert dialling.called
    assert "relay" not in gateway.order
    assert not granted(transport, way)
    decision, end = gateway.lines()
    assert decision["verdict"] == "allow"
    assert (end["event"], end["reason"], end["address"]) == ("end", reason, None)


@LOST
@BOTH
def test_lostWhileRelaying(gateway: Gateway, way: str, how: How, reason: str) -> None:
    """What was moved until then is in the record; there is no second reply."""
    gateway.steps["relay"] = Deferred[None]()
    transport = gateway.connect(WAYS[way])
    how(transport)
    assert transport.value() == answer(way, 0, BOUND)
    _, end = gateway.lines()
    assert (end["event"], end["reason"]) == ("end", reason)
    assert (end["sent"], end["received"]) == (11, 22)
    assert end["address"] == TARGET.text


def test_lostWhileRefused(gateway: Gateway) -> None:
    """Nor does it matter when somebody goes who is being refused."""
    gateway.decision = denied()
    gateway.steps["audit"] = Deferred[None]()
    gateway.connect(WAYS["socks5"]).lost()
    gateway.connect(WAYS["socks6"]).lost()
    gateway.connect(b"\x05\x01\x01").lost()
    assert "dial" not in gateway.order
    assert len(gateway.over) == 3


@pytest.mark.parametrize(
    "octets",
    [
        *(b"\x05", b"\x05\x01\x02", b"\x05\x01\x02" + LOGIN[:4], CONNECT4[:-1]),
        *(b"\x06", request6(option6(0xFC00, bytes(400)))[:-1]),
    ],
)
def test_handshakeTimesOut(gateway: Gateway, octets: bytes) -> None:
    """
    The deadline is absolute, from accept to request: octets that go on coming
    do not move it.
    """
    transport = gateway.connect(octets[:1])
    for octet in octets[1:]:
        gateway.reactor.advance(9.9 / len(octets))
        transport.protocol.dataReceived(bytes((octet,)))
    gateway.reactor.advance(9.9 / len(octets))
    assert transport.ending == ""
    gateway.reactor.advance(0.2)
    assert transport.ending == "aborted"
    assert [line["reason"] for line in gateway.lines()] == ["handshake-timeout"]
    assert not gateway.reactor.getDelayedCalls()


@pytest.mark.parametrize("left", [LOGIN, b"early" + LOGIN], ids=["login", "data"])
def test_messagesTimeOut(logged: Sequence[Any], left: bytes) -> None:
    """A login by messages of SOCKS 6 has no more time than the request."""
    gateway = Gateway([USERPASS])
    initial = bytes((0, len(left) - len(LOGIN), 2))
    transport = gateway.connect(request6(option6(2, initial)))
    for octet in left[:-1]:
        gateway.reactor.advance(9.9 / len(left))
        transport.protocol.dataReceived(bytes((octet,)))
    assert transport.ending == ""
    gateway.reactor.advance(9.9 / len(left) + 0.2)
    assert transport.ending == "aborted"
    assert [line["reason"] for line in gateway.lines()] == ["handshake-timeout"]
    assert transport.value() == bytes.fromhex("06 01 0008 0003 0008 02 000000")
    well(gateway)
    assert not logged


def test_lateInHttp(gateway: Gateway) -> None:
    """RFC 9110 section 15.5.9: who has begun is told; who has not is not."""
    transport = gateway.connect(CONNECTING)
    gateway.reactor.advance(10.1)
    assert transport.value().startswith(b"HTTP/1.1 408 ")
    assert transport.ending == ""
    gateway.reactor.advance(2.1)
    assert transport.ending == "closed"
    (line,) = gateway.lines("refused")
    assert (line["reason"], line["protocol"]) == ("handshake-timeout", "http")
    assert gateway.connect().value() == b""
    gateway.reactor.advance(10.1)
    assert len(gateway.lines("refused")) == 1


def test_loginTooLateInHttp(gateway: Gateway) -> None:
    """Whose login is not settled in time is told that, and has failed at nothing."""
    gateway.checker.held = Deferred()
    transport = gateway.connect(CONNECTING + BASIC + b"\r\n")
    gateway.reactor.advance(10.1)
    assert transport.value().startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in transport.value()
    gateway.reactor.advance(2.1)
    assert transport.ending == "closed"
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("refused", "handshake-timeout")
    well(gateway)


@pytest.mark.parametrize("goes", [True, False])
def test_toldToLogIn(logged: Sequence[Any], goes: bool) -> None:
    """
    A client that is told to log in, and goes away or waits, is no failed login: it
    is not counted, and its connection ends in order.
    """
    gateway = Gateway([USERPASS])
    transport = gateway.connect(CONNECTING + b"\r\n")
    assert transport.value().startswith(b"HTTP/1.1 407 ")
    if goes:
        transport.lost()
    else:
        gateway.reactor.advance(10.1)
        assert gateway.order[-1] == "ended"
        gateway.reactor.advance(2.1)
        assert transport.ending == "closed"
    (line,) = gateway.lines()
    assert (line["event"], line["reason"]) == ("refused", "login-wanted")
    assert (line["protocol"], line["wanted"]) == ("http", ["userpass"])
    assert transport.value().count(b"HTTP/1.1") == 1
    # The next one makes it.
    again = gateway.connect(CONNECTING + b"\r\n")
    again.protocol.dataReceived(WAYS["http-userpass"])
    assert again.value().endswith(answer("http-userpass", 0))
    well(gateway)
    assert not logged


def test_wrongInHttp(logged: Sequence[Any]) -> None:
    """
    An unknown user and a wrong password are the same 407, which closes; the
    record tells them apart from who made no login, and holds no password.
    """
    gateway = Gateway([USERPASS])
    answers = []
    for login in (b"alice:x" + CANARY, b"mallory:" + CANARY, b"alice", b"!"):
        field = b"Proxy-Authorization: Basic " + b64encode(login) + b"\r\n\r\n"
        transport = gateway.connect(CONNECTING + field)
        answers.append(transport.value())
        assert gateway.order[-2:] == ["sent", "ended"]
    assert len(set(answers)) == 1
    assert answers[0].startswith(b"HTTP/1.1 407 ")
    assert b"\r\nConnection: close\r\n" in answers[0]
    assert [line["reason"] for line in gateway.lines("login-failed")] == [
        "wrong-credentials",
        "wrong-credentials",
        "protocol",
        "protocol",
    ]
    assert b64encode(CANARY)[:12].decode() not in json.dumps(gateway.lines())
    well(gateway)
    assert not logged


@BOTH
def test_deadlineEndsWithTheRequest(gateway: Gateway, way: str) -> None:
    """Once the request is there the handshake's deadline is over."""
    gateway.steps["relay"] = Deferred[None]()
    transport = gateway.connect(WAYS[f"{way}-userpass"])
    gateway.reactor.advance(3600)
    assert transport.ending == ""


# Defects.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", ["policy", "audit", "route"])
def test_defectOfOurs(logged: Sequence[Any], way: str, stage: str) -> None:
    """
    A defect of the program grants nothing: 01 (RFC 1928 section 6), recorded
    where it can be, and logged as one.
    """
    gateway = Gateway()
    gateway.steps[stage] = RuntimeError("a defect")
    transport = gateway.connect(WAYS[way])
    assert "relay" not in gateway.order
    if stage == "audit":
        assert "dial" not in gateway.order
    assert transport.value() == answer(way, 1, None, "internal")
    assert gateway.lines()[-1]["reason"] == "internal"
    assert any("a defect" in eventAsText(event) for event in logged)
    assert gateway.order[-1] == "ended"
    well(gateway)


class Method:
    """An authenticator that fails when it has to tell the outcome."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.told: list[bool] = []

    async def readCredentials(self, exchange: Any) -> Any:
        return await USERPASS.authenticator.readCredentials(exchange)

    async def writeOutcome(
        self, exchange: Any, credentials: Any, granted: bool
    ) -> None:
        self.told.append(granted)
        raise self.error


class Refusing(Method):
    """A method that says no of its own accord."""

    async def readCredentials(self, exchange: Any) -> Any:
        raise self.error


def throttled(gateway: Gateway, perUser: int, perSource: int) -> LoginThrottle:
    """Let failures count."""
    throttle = LoginThrottle(gateway.clock, gateway.reactor.callLater)
    throttle.configure(Throttle(perUser, perSource))
    gateway.generation.login = Login(
        [gateway.checker], {}, 60, gateway.clock, throttle=throttle
    )
    return throttle


@BOTH
def test_throttled(logged: Sequence[Any], way: str) -> None:
    """
    Who failed too often hears the same octets as before, has a line of the
    same kind, and gets nowhere with the right password.
    """
    gateway = Gateway()
    begun, told = {
        "socks5": (b"\x05\x02", b"\x05\x02\x01\x01"),
        "socks6": (b"", bytes.fromhex("06 01 0008 0004 0008 02 01 01 00")),
    }[way]

    def tries(login: bytes) -> Transport:
        if way == "socks6":
            return gateway.connect(request6(option6(4, b"\2" + login)))
        return gateway.connect(b"\x05\x01\x02" + login + CONNECT)

    throttled(gateway, 2, 0)
    wrong = [WRONG[:-1] + end for end in (b"1", b"2")]
    failed = [tries(each) for each in wrong]
    assert len(logged) == 1
    late = tries(LOGIN)
    assert late.value() == begun
    gateway.reactor.advance(1)
    assert {each.value() for each in [*failed, late]} == {told}
    lines = {line["session"]: line for line in gateway.lines("login-failed")}
    assert lines[3].pop("reason") == "throttled"
    assert {lines[n].pop("reason") for n in (1, 2)} == {"wrong-credentials"}
    assert lines[3].pop("why") == (
        "throttled: too many logins failed, so this one was not checked"
    )
    assert lines[1].pop("why") == "wrong credentials"
    assert {**lines[1], "session": 3} == lines[3]
    assert "decide" not in gateway.order
    well(gateway)


@pytest.mark.parametrize("counts", [True, False])
def test_methodsRefusalCounts(logged: Sequence[Any], counts: bool) -> None:
    """
    A method that refuses a client counts against the client's source, unless
    it says that it is no fault of the client's.
    """
    refused = errors.AuthenticationFailed("no proof", reason="no-proof", counts=counts)
    gateway = Gateway([OfferedMethod("refusing", 1, Refusing(refused)), USERPASS])
    throttled(gateway, 0, 2)
    for _ in range(2):
        gateway.connect(b"\x05\x01\x01")
    gateway.connect(b"\x05\x01\x02" + WRONG)
    gateway.reactor.advance(1)
    reasons = [line["reason"] for line in gateway.lines()]
    last = "throttled" if counts else "wrong-credentials"
    assert reasons == ["no-proof", "no-proof", last]
    assert len(logged) == counts
    well(gateway)


@pytest.mark.parametrize(
    "name",
    [
        b"\0\r\n\x1b[2J\xff" * 20_000,
        "\udcff\ud800\u202e",
        'x","event":"decision","verdict":"allow',
        b"",
    ],
    ids=["long", "surrogates", "quotes", "empty"],
)
def test_claimedNames(logged: Sequence[Any], name: Any) -> None:
    """
    Whatever a method takes for a name, and for a reason, is one short line of
    ASCII in the journal.
    """
    gateway = Gateway()

    class Odd(Method):
        async def readCredentials(self, exchange: Any) -> Any:
            found = await super().readCredentials(exchange)
            found.username = name
            return found

        async def writeOutcome(self, *_: Any) -> None: ...

    odd = OfferedMethod("odd", 2, Odd(ValueError()))
    gateway.generation.methods = Methods([Choice([odd], None, None)])
    gateway.connect(b"\x05\x01\x02" + WRONG)
    refused = AuthenticationFailed("x", reason='"}\n{"')
    refusing = OfferedMethod("refusing", 2, Refusing(refused))
    gateway.generation.methods = Methods([Choice([refusing], None, None)])
    gateway.connect(b"\x05\x01\x02" + CONNECT)
    first, second = gateway.lines("login-failed")
    assert len(json.dumps(first)) < 8192
    assert first["claimed"].isprintable()
    assert second["reason"] == '"}\n{"'
    well(gateway)


@pytest.mark.parametrize("login", [LOGIN, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY.decode()),
        errors.AuthenticationFailed("no proof", reason="no-proof"),
        errors.ClientLost(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_defectOfAMethod(logged: Sequence[Any], login: bytes, error: Exception) -> None:
    """
    A method that cannot tell its outcome lets nobody in; the session is
    recorded and closed like any other, and the outcome is told once. But whom
    a method does not let in, although the Portal did, it is to tell that.
    """
    method = Method(error)
    gateway = Gateway([OfferedMethod("broken", 2, method)])
    transport = gateway.connect(b"\x05\x01\x02" + login + CONNECT)
    told = [login is LOGIN]
    if login is LOGIN and isinstance(error, errors.AuthenticationFailed):
        told.append(False)
    assert method.told == told
    assert "decide" not in gateway.order
    assert transport.value() == b"\x05\x02"
    assert gateway.order[-1] == "ended"
    assert len(gateway.lines()) == 1
    assert len(logged) == isinstance(error, ValueError)
    well(gateway)


def test_passwordsAreNowhere(gateway: Gateway) -> None:
    """
    The fixtures look for it: neither a good nor a bad login leaves its
    password in a record or in the log, not even when it comes in the place
    of a name.
    """
    for name, password in [(b"alice", CANARY), (b"alice", CANARY * 5), (b"x", CANARY)]:
        octets = userpass.encodeRequest(name, password)
        gateway.connect(b"\x05\x01\x02" + octets + CONNECT)
    gateway.connect(b"\x05\x01\x02" + b"\x05" + LOGIN[1:])
    gateway.connect(b"\x05\x01\x00" + LOGIN)
    for kind, login in ((4, b"\2" + LOGIN), (4, b"\2\5" + LOGIN[1:]), (1, LOGIN)):
        gateway.connect(request6(option6(kind, login)))
    assert len(gateway.lines()) == 11


def test_askedBySource() -> None:
    """A checker is asked in the turn of the client's source."""
    gateway, asking = Gateway(), []
    ask = gateway.checker.requestAvatarId

    def recorded(credentials: Any) -> Any:
        asking.append(ASKING.get())
        return ask(credentials)

    gateway.checker.requestAvatarId = recorded  # type: ignore[method-assign]
    transport = gateway.connect(b"\x05\x01\x02" + LOGIN)
    assert asking == [transport.protocol.client.source.sourceKey]
    assert ASKING.get() == b""


# The stages.


@pytest.mark.parametrize(
    ("held", "stage"),
    [
        ("policy", Stage.POLICY),
        ("audit", Stage.AUDIT),
        ("route", Stage.ROUTE),
        ("relay", Stage.RELAY),
    ],
)
def test_stageOfWhatIsWaitedFor(gateway: Gateway, held: str, stage: Stage) -> None:
    """A session that waits says for which of its stages."""
    gateway.steps[held] = waiting = Deferred[None]()
    gateway.connect(WAYS["socks5"])
    (session,) = gateway.sessions
    assert session.stage is stage
    waiting.callback(None)
    assert session in gateway.over


def test_onlyTheSessionSetsTheStage() -> None:
    """One module knows the order for one lane, and two for the other."""
    root = Path(socksgw.__path__[0])
    setting = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\bstage(: \w+)? = (Stage\.|_[A-Z])", path.read_text())
    }
    assert setting == {
        "session/session.py",
        "session/express.py",
        "session/hearing.py",
    }


@pytest.mark.parametrize(
    "way", ["socks5", "socks5-userpass", "http-userpass", "socks6", "socks6-userpass"]
)
@pytest.mark.parametrize("handsOn", [False, True])
@pytest.mark.parametrize("failure", [None, ConnectFailed("no")])
def test_aPasswordForAnUpstream(
    gateway: Gateway, way: str, handsOn: bool, failure: ConnectFailed | None
) -> None:
    """It is there while the way out is opened, and no longer, however that ends."""
    gateway.generation.handsOn = handsOn
    shown: list[Any] = []
    opening: Deferred[None] = Deferred()

    async def route() -> None:
        shown.append(gateway.sessions[0].shown)
        await opening

    gateway.steps["route"] = route()
    relaying: Deferred[None] = Deferred()
    gateway.steps["relay"] = relaying
    transport = gateway.connect(WAYS[way])
    known = (b"alice", CANARY) if handsOn and way.endswith("userpass") else None
    assert shown == [known]
    opening.errback(failure) if failure else opening.callback(None)
    assert gateway.sessions[0].shown is None
    if failure is None:
        relaying.callback(None)
    transport.loseConnection()


def test_aPasswordThatIsWrong(gateway: Gateway) -> None:
    """It is not kept, though the refusal is still to be told."""
    gateway.generation.handsOn = True
    for octets in (b"\x05\x01\x02" + WRONG, request6(option6(4, b"\2" + WRONG))):
        gateway.connect(octets)
        assert gateway.sessions[-1].shown is None


@pytest.mark.parametrize("way", WAYS)
def test_whichLane(gateway: Gateway, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is an express lane these sessions keep it to their end, but for HTTP;
    where there is none they do not come near it.
    """
    told: list[str] = []
    call = {name: getattr(Express, name) for name in ("begin", "_relayed")}
    for name in call:

        def noting(lane: Any, *what: Any, name: str = name) -> None:
            told.append(name)
            call[name](lane, *what)

        monkeypatch.setattr(Express, name, noting)
    # The second login is remembered.
    for _ in range(2):
        del told[:]
        gateway.connect(WAYS[way])
    whole = ["begin"] if way.startswith("http") else ["begin", "_relayed"]
    assert told == (whole if express.OPEN else [])
