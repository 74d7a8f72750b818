"""
Requests of SOCKS 6 that go on with a session (section 8.4), and tokens (section 8.5).
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from socksgw.login.portal import Login
from socksgw.plugins import auth_certificate
from socksgw.route.failures import failureFor
from tests.fakes.gateway import (
    BOUND,
    LOGIN,
    NONE,
    USERPASS,
    WRONG,
    Gateway,
    Transport,
    answer,
    option6,
    request6,
    well,
)

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")

REQUEST = option6(5, b"")
PASSWORD = option6(4, b"\x02" + LOGIN)
TEARDOWN = option6(10, b"")
OK, INVALID = option6(8, b""), option6(9, b"")
ACCEPTED, REJECTED = option6(14, b""), option6(15, b"")
GRANTED = answer("socks6", 0, BOUND)[4:]


def tokens(size: int) -> bytes:
    return option6(11, size.to_bytes(4, "big"))


def token(number: int) -> bytes:
    return option6(13, number.to_bytes(4, "big"))


def window(base: int, size: int) -> bytes:
    return option6(12, base.to_bytes(4, "big") + size.to_bytes(4, "big"))


def entered(transport: Transport, granted: bool = True) -> bytes:
    """The options of the authentication reply; a granted request follows."""
    sent = transport.value()
    end = int.from_bytes(sent[2:4], "big") + 4
    assert sent[:2] == (b"\x06\x00" if granted else b"\x06\x01")
    assert sent[end:] == (GRANTED if granted else b"")
    options: bytes = sent[4:end]
    return options


def begun(gateway: Gateway, *more: bytes) -> bytes:
    """The option with the ID of a session that has begun."""
    options = entered(gateway.connect(request6(PASSWORD, REQUEST, *more)))
    status, session = options[:8], options[8:28]
    assert status == option6(4, b"\x02\x01\x00")
    assert session[:4] == b"\x00\x06\x00\x14"
    return session


@pytest.fixture
def gateway() -> Any:
    """A gateway where a login is wanted."""
    made = Gateway([USERPASS])
    yield made
    well(made)


def test_further(gateway: Gateway) -> None:
    """No login is wanted, and none is looked at; the user is that of the session."""
    session = begun(gateway)
    assert entered(gateway.connect(request6(session))) == OK
    assert (
        entered(gateway.connect(request6(session, option6(4, b"\x02" + WRONG)))) == OK
    )
    lines = gateway.lines("decision")
    assert [line["user"] for line in lines] == ["alice"] * 3
    assert {line["method"] for line in lines} == {"userpass"}
    assert gateway.order.count("dial") == 3


def test_whatTheDestinationGets(gateway: Gateway) -> None:
    """What comes behind such a request goes there first."""
    session = begun(gateway)
    gateway.connect(request6(session) + b"GET /")
    relayed = [each for each in gateway.happened if each[0] == "relay"]
    assert relayed[-1] == ("relay", b"GET /")


def test_noSuchSession(gateway: Gateway) -> None:
    """The login has failed, and does not go on, whatever else the request has."""
    begun(gateway)
    options = request6(option6(6, b"x" * 16), PASSWORD, option6(2, b"\0\0\2\0"))
    transport = gateway.connect(options)
    assert entered(transport, False) == INVALID
    assert gateway.lines()[-1]["reason"] == "no-session"
    assert gateway.order.count("dial") == 1


def test_teardown(gateway: Gateway) -> None:
    """The request that ends it is not of it, and needs a login (section 8.4.3)."""
    session = begun(gateway)
    options = entered(gateway.connect(request6(session, TEARDOWN, PASSWORD)))
    assert options == option6(4, b"\x02\x01\x00")
    assert entered(gateway.connect(request6(session)), False) == INVALID
    session = begun(gateway)
    assert entered(gateway.connect(request6(session, TEARDOWN)), False) == b""
    assert entered(gateway.connect(request6(session)), False) == INVALID


def test_aUserWhoIsGone(gateway: Gateway) -> None:
    """So is the session."""
    session = begun(gateway)
    gateway.generation.login.now = lambda user: None
    assert entered(gateway.connect(request6(session)), False) == INVALID


def test_passwordsThatAreNotRemembered(gateway: Gateway) -> None:
    """No session stands for a password that is to be checked each time (auth.cache)."""
    session = begun(gateway)
    gateway.generation.login = Login([gateway.checker], {}, 0, gateway.clock)
    assert entered(gateway.connect(request6(session)), False) == INVALID
    options = entered(gateway.connect(request6(PASSWORD, REQUEST)))
    assert options == option6(4, b"\x02\x01\x00")


def test_directoriesAreAsked(gateway: Gateway) -> None:
    """Who the user is now; a token is spent once, though requests wait meanwhile."""
    session = begun(gateway, tokens(8))
    asked: list[Deferred[None]] = []

    async def again(user: Any) -> Any:
        asked.append(Deferred())
        await asked[-1]
        return evolve(user, groups=frozenset({"lately"}))

    gateway.generation.login.again = again
    waiting = [gateway.connect(request6(session, token(0))) for _ in range(2)]
    assert [each.value() for each in waiting] == [b"", b""]
    for each in asked:
        each.callback(None)
    assert entered(waiting[0]) == ACCEPTED + OK + window(1, 8)
    assert entered(waiting[1], False) == REJECTED
    assert gateway.lines("decision")[-1]["groups"] == ["lately"]


def test_methodsThatAreWantedNoMore(gateway: Gateway) -> None:
    """A session is worth what its login is."""
    session = begun(gateway)
    gateway.generation.methods = Gateway([NONE]).generation.methods
    assert entered(gateway.connect(request6(session)), False) == INVALID


def test_passwordsForUpstreams(gateway: Gateway) -> None:
    """There is no session where each request needs the password."""
    gateway.generation.handsOn = True
    options = entered(gateway.connect(request6(PASSWORD, REQUEST)))
    assert options == option6(4, b"\x02\x01\x00")


def test_whoTheConnectionHasProved(gateway: Gateway) -> None:
    """A certificate is shown by each connection: no session stands for it."""
    assert auth_certificate.method.certificate
    transport = gateway.connect()
    transport.protocol.client.identity = object()
    transport.protocol.dataReceived(request6(PASSWORD, REQUEST))
    assert entered(transport) == option6(4, b"\x02\x01\x00")


@pytest.mark.parametrize("behind", [b"x", b"\0\0\0\1", bytes(7)])
def test_oneMessageOfAnOption(gateway: Gateway, behind: bytes) -> None:
    """Whether the password is remembered or not."""
    begun(gateway)
    broken = request6(option6(4, b"\x02" + LOGIN + behind.rjust(8, b"\1")))
    assert entered(gateway.connect(broken), False) == b""
    assert gateway.lines()[-1]["reason"] == "protocol"
    zeros = request6(option6(4, b"\x02" + LOGIN + bytes(8)))
    assert entered(gateway.connect(zeros), False) == b""


def test_thePasswordIsDropped(gateway: Gateway) -> None:
    """As soon as it has done its work."""
    transport = gateway.connect()
    conversation = transport.protocol.client.conversation
    gateway.steps["route"] = Deferred()
    transport.protocol.dataReceived(request6(PASSWORD))
    assert conversation._request.options.data == {}
    transport.lost()


def test_withoutLogin() -> None:
    """A client without a login can have one, too."""
    gateway = Gateway([NONE])
    options = entered(gateway.connect(request6(REQUEST, tokens(4))))
    assert options[20:] == window(0, 4)
    assert entered(gateway.connect(request6(options[:20]))) == OK + window(0, 4)
    assert gateway.lines("decision")[1]["user"] == "anonymous"
    well(gateway)


def test_tokens(gateway: Gateway) -> None:
    """A request that spends one is served once, and its replay is not."""
    session = begun(gateway, tokens(8))
    first = request6(session, token(0))
    assert entered(gateway.connect(first)) == ACCEPTED + OK + window(1, 8)
    assert entered(gateway.connect(first), False) == REJECTED
    assert gateway.lines()[-1]["reason"] == "replayed"
    assert entered(gateway.connect(request6(session, token(2)))) == (
        ACCEPTED + OK + window(1, 8)
    )
    assert entered(gateway.connect(request6(session, token(9))), False) == REJECTED
    # There is one window, and it is told each time.
    assert entered(gateway.connect(request6(session, tokens(4)))) == OK + window(1, 8)
    assert gateway.order.count("dial") == 4


def test_aTokenIsSpentBeforeAnythingIsDone(gateway: Gateway) -> None:
    """A request that is refused afterwards has spent it."""
    session = begun(gateway, tokens(8))
    gateway.steps["route"] = failureFor(errno.ECONNREFUSED)
    spending = request6(session, token(0))
    gateway.connect(spending)
    gateway.steps.clear()
    assert entered(gateway.connect(spending), False) == REJECTED


@pytest.mark.parametrize("of", ["no session", "a new session", "no window"])
def test_tokensOfNothing(gateway: Gateway, of: str) -> None:
    """Without a session they are ignored; in one there is none to spend."""
    if of == "no session":
        options = entered(gateway.connect(request6(PASSWORD, token(0), tokens(4))))
        assert options == option6(4, b"\x02\x01\x00")
        return
    if of == "a new session":
        octets = request6(PASSWORD, REQUEST, tokens(4), token(0))
        expected = option6(4, b"\x02\x01\x00") + REJECTED
    else:
        octets, expected = request6(begun(gateway), token(0)), REJECTED
    assert entered(gateway.connect(octets), False) == expected
    assert len(gateway.resumptions) == (of == "no window")
