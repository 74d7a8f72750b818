"""
Every method on one listener: whatever clients say, in whatever order, nothing
is dialled but for who logged in on this very connection. Sessions, methods and
logins are real; dialler, relay and journal's disk are the test's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from socksgw.config.schema import Throttle
from socksgw.errors import Draining, Revoked
from socksgw.login.portal import Login
from socksgw.login.secrets import SecretsFile
from socksgw.login.throttle import LoginThrottle
from tests.fakes.gateway import (
    LOGIN,
    Gateway,
    well,
)
from tests.session.peers import (
    ALPHABET,
    LISTENERS,
    OFFERS,
    REQUESTS6,
    WAYS,
    WAYS6,
    Peer,
    gatewayWith,
)
from tests.tools.garbage import withoutCollector

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")

#: What each method wants between the choice and the request.
STEPS: Final = {
    "none": [],
    "certificate": [],
    "userpass": ["password"],
    "gssapi": ["first", "level"],
    "chap": ["algorithms", "response"],
}
CODES: Final = {
    "none": b"\0",
    "certificate": b"\0",
    "userpass": b"\2",
    "gssapi": b"\1",
    "chap": b"\3",
    "tls": b"\x86",
}
#: What each method wants behind a request of SOCKS 6.
BEHIND: Final = {"userpass": ["password"], "gssapi": ["first"], "chap": STEPS["chap"]}
#: What else is said there.
MESSAGES: Final = (
    *("password", "wrong password", "first", "level"),
    *("algorithms", "response", "wrong response", "request", "offer all"),
)
#: What clients say in each version, and how many messages.
VERSIONS: Final[dict[str, tuple[Sequence[str], int]]] = {
    "socks5": ([each for each in ALPHABET if each not in REQUESTS6], 6),
    "socks6": ([*REQUESTS6, *MESSAGES], 4),
}
#: The methods of SOCKS 6 by which somebody is let in on each listener.
LET6: Final = {
    "inside": {"gssapi", "chap", "userpass"},
    # Whoever has shown a certificate has nothing to say.
    "partners": {"certificate"},
    "strangers": {"chap", "gssapi"},
    "open": {"userpass", "none"},
}


def entitled6(
    wanted: Sequence[str], certificate: bool, said: Sequence[str]
) -> tuple[str, str] | None:
    """
    As one reads sections 6, 8.2 and 8.3 of draft-olteanu-intarea-socks-6-11, and the
    chapter: what costs no message goes before what is advertised.
    """
    first, *rest = said
    brought, advertised = REQUESTS6[first]
    for name in wanted:
        if name in ("none", brought) or (name == "certificate" and certificate):
            break
    else:
        # There is no TLS inside it.
        found = [each for each in wanted if each in advertised and each != "tls"]
        if not found:
            return None
        name = found[0]
    due = BEHIND.get(name, [])
    if name == brought:
        due = due[1:]
        if "wrong" in first or (due and name not in advertised):
            return None
    if rest != due:
        return None
    return ("anonymous" if name == "none" else "alice"), name


def entitled(
    wanted: Sequence[str], certificate: bool, said: Sequence[str]
) -> tuple[str, str] | None:
    """
    As one reads RFC 1928: who may connect after these messages, and by which
    method; L{None} for nobody.
    """
    if not said:
        return None
    first, *rest = said
    if first in REQUESTS6:
        return entitled6(wanted, certificate, said)
    if first == "socks4":
        offered, request = b"\0", []
    elif first in OFFERS:
        offered, request = OFFERS[first], ["request"]
    else:
        return None
    for name in wanted:
        if CODES[name] in offered and (name != "certificate" or certificate):
            break
    else:
        return None
    if name == "tls":
        if rest[:1] != ["handshake"] or "request in the clear" in rest:
            return None
        return (
            None
            if "socks4" in rest or REQUESTS6.keys() & rest
            else entitled(["chap", "userpass"], False, rest[1:])
        )
    if name != "gssapi" and rest[-1:] == ["request in the clear"]:
        rest[-1] = "request"
    if rest != [*STEPS[name], *request]:
        return None
    return ("anonymous" if name == "none" else "alice"), name


def decided(gateway: Gateway) -> set[tuple[str, str]]:
    """Who was let in, and by what."""
    return {
        (line["user"], line["method"])
        for line in gateway.lines("decision")
        if line["verdict"] == "allow"
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("listener", LISTENERS)
def test_everySequence(secrets: SecretsFile, listener: str, version: str) -> None:
    """
    Every sequence of so many messages, as long as the connection lasts: those
    reach a connect that are a login and a request, as the user that logged
    in, and no other. What a message leaves half said swallows those behind it,
    of which two are tried.
    """
    wanted, certificate = LISTENERS[listener]
    alphabet, longest = VERSIONS[version]
    alive: list[tuple[str, ...]] = [()]
    tried, let = 0, set()
    with capturedLogs() as events:
        for _ in range(longest):
            before, alive = alive, []
            for sequence in ((*x, letter) for x in before for letter in alphabet):
                tried += 1
                gateway, listeners = gatewayWith(secrets)
                peer = Peer(gateway, listeners[listener], certificate)
                for each in sequence:
                    ALPHABET[each](peer)
                    peer.listen()
                found = decided(gateway)
                expected = entitled(wanted, certificate, sequence)
                assert found == ({expected} if expected else set()), sequence
                assert gateway.order.count("dial") == len(found), sequence
                if expected:
                    let.add(expected[1])
                elif peer.goesOn and not gateway.over:
                    alive.append(sequence)
                well(gateway)
    assert not events
    if version == "socks6":
        assert let == LET6[listener]
        return
    reached = {"chap", "userpass"} if "tls" in wanted else set()
    assert let == reached | set(wanted) - {
        "tls",
        "none" if certificate else "certificate",
    }
    assert tried > 100


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(LISTENERS)), st.sampled_from([WAYS, WAYS6])),
        min_size=3,
        max_size=3,
    ),
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.none() | st.sampled_from(sorted(ALPHABET)),
            st.booleans(),
        ),
        max_size=25,
    ),
)
def test_loginOfAnother(
    secrets: SecretsFile,
    entries: list[tuple[str, dict[str, list[str]]]],
    turns: list[tuple[int, str | None, bool]],
) -> None:
    """
    Three clients on several listeners, in any turns, in possession of what the
    others were asked and have agreed on: what one has proved is nothing to
    another. L{None} is the next message of a good login.
    """
    gateway, listeners = gatewayWith(secrets)
    peers = [Peer(gateway, listeners[x], LISTENERS[x][1]) for x, _ in entries]
    said: list[list[str]] = [[], [], []]
    let: list[tuple[str, str]] = []
    with capturedLogs() as events:
        for n, letter, steals in turns:
            peer, (entry, ways) = peers[n], entries[n]
            if not peer.goesOn:
                continue
            if letter is None:
                letter = ways[entry][min(len(said[n]), len(ways[entry]) - 1)]
            if steals:
                other = peers[n - 1]
                peer.challenge = peer.challenge or other.challenge
                peer.tokens = peer.tokens or other.tokens
            ALPHABET[letter](peer)
            peer.listen()
            said[n].append(letter)
            found = [
                (line["user"], line["method"])
                for line in gateway.lines("decision")
                if line["verdict"] == "allow"
            ]
            if found != let:
                assert found[:-1] == let
                assert found[-1] == entitled(*LISTENERS[entry], said[n])
                let = found
                # It is in.
                peer.transport.lost()
        assert gateway.order.count("dial") == len(let)
        well(gateway)
    assert not events


@pytest.mark.parametrize("throttles", [False, True])
@pytest.mark.parametrize("error", [UnauthorizedLogin, ValueError])
@pytest.mark.parametrize(
    "how", ["failed", "fails", "lost", "lost and fails", "revoked"]
)
def test_noExceptionKeepsALogin(
    how: str, error: type[Exception], throttles: bool
) -> None:
    """
    A checker fails, has failed before its answer is awaited, or is given up:
    nothing of the login waits for the garbage collector.
    """
    gateway = Gateway()
    if throttles:
        throttle = LoginThrottle(gateway.clock, gateway.reactor.callLater)
        throttle.configure(Throttle(3, 5))
        gateway.generation.login = Login(
            [gateway.checker], {}, 60, gateway.clock, throttle=throttle
        )
    with capturedLogs(), withoutCollector() as garbage:
        held = gateway.checker.held = fail(error()) if how == "failed" else Deferred()
        client = gateway.connect(b"\x05\x01\x02" + LOGIN)
        if how == "revoked":
            gateway.sessions[0].client.end(Revoked("no longer"))
        elif "lost" in how:
            client.lost()
        if "fails" in how and not held.called:
            held.errback(error())
        client.lost()
        # A check that no client waits for is given up.
        gateway.reactor.pump([10.0] * 10)
        assert gateway.over == gateway.sessions
        gateway.over.clear()
        gateway.sessions.clear()
        gateway.happened.clear()
        gateway.checker.held = client.protocol = None
        del client, held
    assert garbage == []


@pytest.mark.parametrize("lost", [True, False])
def test_whoHasGuessed(lost: bool) -> None:
    """Of a client that goes before its login is over, the name that it gave is kept."""
    gateway = Gateway()
    gateway.checker.held = Deferred()
    client = gateway.connect(b"\x05\x01\x02" + LOGIN)
    if lost:
        client.lost()
    else:
        gateway.sessions[0].client.end(Draining("the end"))
    (line,) = gateway.lines("refused")
    assert (line["claimed"], line["reason"]) == (
        "alice",
        "client-lost" if lost else "draining",
    )
    assert "user" not in line
    well(gateway)
