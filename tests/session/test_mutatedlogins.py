"""
Logins by every method, with octets changed, lost, doubled and cut on the way,
and clients that go away at any moment: nothing is raised, nothing is logged,
and nothing is left.
"""

from __future__ import annotations

import os
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText

from socksgw.accept.listener import Listener
from socksgw.config.schema import Throttle
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.login.secrets import SecretsFile
from socksgw.login.throttle import LoginThrottle
from tests.fakes.gateway import Gateway, denied
from tests.fakes.gssapi import REALM
from tests.session.peers import ALPHABET, LISTENERS, WAYS, WAYS6, Peer, gatewayWith

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")

#: Conversations of each kind; more by hand, with another seed.
COUNT = int(os.environ.get("SOCKSGW_MUTATIONS", "250"))
MORE = {
    "inside": ["offer chap", "algorithms", "response", "request"],
    "partners": ["socks4"],
    "strangers": [
        "offer tls",
        "handshake",
        "offer chap",
        "algorithms",
        "response",
        "request",
    ],
    "open": ["offer none", "request"],
}
MORE6 = {
    "inside": ["six, first"],
    "partners": ["six, offer all"],
    "strangers": ["six, offer chap", "algorithms", "response"],
    "open": ["six"],
}
#: What the log says of such clients; the stub believes a realm whose case was changed.
TOLD = ("too many logins", "case counts in realms")


class Mutating(Peer):
    """A client whose octets somebody on the way does not leave alone."""

    chance: Random

    def say(self, octets: bytes) -> None:
        # Its own TLS may have been told of what never was.
        with suppress(SSL.Error):
            super().say(octets)

    def send(self, octets: bytes) -> None:
        chance = self.chance
        changed = bytearray(octets)
        if changed and chance.random() < 0.3:
            for _ in range(chance.choice((1, 1, 2, 5))):
                place = chance.randrange(len(changed))
                match chance.randrange(5):
                    case 0:
                        changed[place] ^= 1 << chance.randrange(8)
                    case 1:
                        changed[place] = chance.choice((0, 1, 5, 0x7F, 0x80, 0xFF))
                    case 2:
                        del changed[place : place + chance.choice((1, 3, 99))]
                    case 3:
                        changed[place:place] = changed[: chance.choice((2, 9, 99))]
                    case 4:
                        changed += chance.randbytes(chance.choice((1, 100, 70_000)))
                if not changed:
                    break
        octets = bytes(changed)
        cut = chance.randrange(len(octets) + 1)
        for part in (octets[:cut], octets[cut:]):
            super().send(part)


def held(gateway: Gateway, secrets: SecretsFile) -> LoginThrottle:
    """Let failures count, and checks take their time."""
    throttle = LoginThrottle(gateway.clock, gateway.reactor.callLater)
    throttle.configure(Throttle(3, 5))
    no = denied()

    async def never(*_: Any) -> Any:
        return no

    policy = gateway.generation.policy
    policy.expect = policy.resolve = never
    policy.associate = lambda _: no
    gateway.generation.login = Login(
        [gateway.checker, secrets, VerifiedIdentities([REALM])],
        {},
        60,
        gateway.clock,
        throttle=throttle,
    )
    return throttle


def converse(chance: Random, gateway: Gateway, listener: Listener, name: str) -> None:
    """One client, to its end."""
    peer = Mutating(gateway, listener, LISTENERS[name][1])
    peer.chance = chance
    letters = list(chance.choice((WAYS, WAYS6, MORE, MORE6))[name])
    if chance.random() < 0.3:
        letters.insert(chance.randrange(len(letters) + 1), chance.choice([*ALPHABET]))
    gateway.checker.held = Deferred() if chance.random() < 0.2 else None
    for letter in letters:
        ALPHABET[letter](peer)
        if peer.transport.ending:
            break
        match chance.randrange(40):
            case 0:
                peer.transport.lost()
            case 1:
                peer.transport.protocol.readConnectionLost()
            case 2:
                gateway.reactor.advance(11)
            case 3:
                gateway.reactor.advance(0.3)
        if peer.transport.ending:
            break
        peer.listen()
    waiting = gateway.checker.held
    if waiting is not None and chance.random() < 0.5 and not waiting.called:
        waiting.callback(b"alice")
    gateway.reactor.advance(chance.choice((0, 1, 3, 400)))
    peer.transport.lost()


@pytest.mark.parametrize("name", LISTENERS)
def test_mutated(secrets: SecretsFile, name: str) -> None:
    """Of a client that is gone nothing is left, whatever it said."""
    for seed in range(COUNT):
        chance = Random(f"{name} {seed}")
        gateway, listeners = gatewayWith(secrets)
        throttle = held(gateway, secrets)
        listener = listeners[name]
        with capturedLogs() as events:
            for _ in range(3):
                converse(chance, gateway, listener, name)
            gateway.reactor.advance(1)
        texts = [eventAsText(each) for each in events]
        assert all(any(each in text for each in TOLD) for text in texts), seed
        assert set(gateway.over) == set(gateway.sessions), seed
        assert not gateway.unhandled, seed
        assert gateway.limits.live == 0, seed
        assert not listener.clients, seed
        assert listener.admission.halfOpen == 0, seed
        assert gateway.census.clients == 0, seed
        assert len(throttle.past) <= 6, seed
        # A check goes on for a while, to count what it says.
        gateway.reactor.advance(60)
        assert not gateway.reactor.getDelayedCalls(), seed
        assert not gateway.generation.login.checks, seed
        for line in gateway.lines("decision"):
            # The stub believes whatever name arrives.
            known = line["user"] in ("alice", "anonymous")
            assert known or line["method"] == "gssapi", seed
