"""
Every method on one listener: whatever clients say, in whatever order, nothing
is dialled but for who logged in on this very connection. Sessions, methods and
logins are real; dialler, relay and journal's disk are the test's.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from socksgw.accept.identity import CertificateIdentity
from socksgw.accept.listener import Listener
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.login.secrets import SecretsFile, setSecret
from socksgw.negotiate.methods import Choice, Methods, OfferedMethod
from socksgw.plugins import auth_certificate, auth_chap
from socksgw.plugins.auth_tls import TLSInside
from socksgw.plugins.gssapi_stub import StubInitiator, StubTokens
from socksgw.system.tls import Own, serverContext
from socksgw.wire.gssapi import MessageType, encode
from socksgw.wire.reader import WireError
from socksgw.wire.tls import Records, State, encodeRecords
from tests.fakes.gateway import (
    CANARY,
    CONNECT,
    CONNECT4,
    LOGIN,
    NONE,
    USERPASS,
    WRONG,
    Gateway,
    Transport,
    well,
)
from tests.fakes.gssapi import REALM, method
from tests.tools.certificates import Authority, server

OWN = server(Authority())
CHAP = OfferedMethod("chap", 3, auth_chap.method.build({}, None))
INSIDE = TLSInside(serverContext(Own(OWN.chain, OWN.key)), ("chap", "userpass"))
METHODS: Final = {
    "none": NONE,
    "userpass": USERPASS,
    "chap": CHAP,
    "gssapi": method(),
    "certificate": OfferedMethod(
        "certificate", 0, auth_certificate.method.build({}, None)
    ),
    "tls": OfferedMethod("tls", (6, 0x86), INSIDE, (CHAP, USERPASS)),
}
IDENTITY = CertificateIdentity(b"alice", 4e9, None, ())  # type: ignore[arg-type]
CHALLENGED = b"\x01\x01\x11\x01\x85\x01\x01\x03\x20"

#: What is wanted, and whether the client has shown a certificate.
LISTENERS: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    "inside": (("gssapi", "chap", "userpass", "tls"), False),
    "partners": (("certificate", "tls", "userpass", "gssapi"), True),
    "strangers": (("certificate", "chap", "tls", "gssapi"), False),
    "open": (("certificate", "userpass", "none"), False),
}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> SecretsFile:
    """Alice's password, to be read back."""
    path: Path = tmp_path_factory.mktemp("secrets") / "chap"
    setSecret(path, "alice", CANARY)
    return SecretsFile(path)


def gatewayWith(secrets: SecretsFile) -> tuple[Gateway, dict[str, Listener]]:
    """A gateway with these listeners."""
    gateway = Gateway()
    gateway.expiring = {}  # type: ignore[attr-defined]
    gateway.steps["relay"] = Deferred()
    gateway.generation.login = Login(
        [gateway.checker, secrets, VerifiedIdentities([REALM])], {}, 60, gateway.clock
    )
    choices, listeners = [], {}
    for name, (wanted, _) in LISTENERS.items():
        methods = [METHODS[each] for each in wanted]
        choices.append(Choice(methods, frozenset((name,)), None))
        listeners[name] = Listener(gateway, name)
        listeners[name].configure(("socks5", "socks4"), 100, 100, 10.0)
    gateway.generation.methods = Methods(choices)
    return gateway, listeners


class Peer:
    """
    A client that does what a good one would with what it hears, and says it
    in any order.

    @ivar challenge: what it was asked.
    @ivar tokens: its GSSAPI context.
    """

    def __init__(self, gateway: Gateway, listener: Listener, certificate: bool) -> None:
        gateway.listener = listener
        self.transport: Transport = gateway.connect()
        if certificate:
            self.transport.protocol.identity = IDENTITY
        self.challenge = b""
        self.tokens: StubTokens | None = None
        self.initiator = StubInitiator(f"alice@{REALM}")
        self._tls: SSL.Connection | None = None
        self._records = Records(State.HANDSHAKE)
        self._seen = 0
        self._swallowed = 0

    @property
    def goesOn(self) -> bool:
        """Whether there is a point in saying more."""
        return not self.transport.ending and self._swallowed < 2

    def send(self, octets: bytes) -> None:
        """As they are."""
        if octets and not self.transport.ending:
            self.transport.protocol.dataReceived(octets)

    def came(self) -> bytes:
        """As they are."""
        octets = self.transport.value()[self._seen :]
        self._seen += len(octets)
        return octets

    def say(self, octets: bytes) -> None:
        """In what protects the connection, if it does."""
        if self._tls is not None:
            self._tls.send(octets)
            octets = encodeRecords(State.DATA, _outgoing(self._tls))
        elif self.tokens is not None and octets == CONNECT:
            octets = encode(MessageType.DATA, self.tokens.wrap(octets, True))
        self.send(octets)

    def listen(self) -> None:
        """Remember what a later message needs."""
        heard = self.came()
        held = self.transport.protocol.conversation.held
        self._swallowed = self._swallowed + 1 if held else 0
        if self._tls is not None:
            heard = _within(self._tls, self._records, heard)
        if CHALLENGED in heard:
            self.challenge = heard.partition(CHALLENGED)[2][:32]
        if self.tokens is None and heard[:2] == b"\1\1" and len(heard) == 20:
            self.tokens = self.initiator.established(heard[4:])

    def shake(self) -> None:
        """TLS's handshake, and the options."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        tls, records = SSL.Connection(context, None), Records(State.HANDSHAKE)
        tls.set_connect_state()
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except SSL.WantReadError:
                pass
            except SSL.Error:
                return
            self.send(encodeRecords(State.HANDSHAKE, _outgoing(tls)))
            try:
                data = records.receive(self.came())
            except WireError:
                return
            if data:
                tls.bio_write(data)
            elif not done:
                return
        self._tls, self._records = tls, records
        tls.send(b"\x01\x01")
        self.send(encodeRecords(State.OPTIONS, _outgoing(tls)))


def _outgoing(tls: SSL.Connection) -> bytes:
    try:
        return tls.bio_read(1 << 16)
    except SSL.WantReadError:
        return b""


def _within(tls: SSL.Connection, records: Records, octets: bytes) -> bytes:
    try:
        data = records.receive(octets)
        if data:
            tls.bio_write(data)
        return tls.recv(1 << 16)
    except (SSL.Error, WireError):
        return b""


def _response(peer: Peer) -> None:
    made = hmac.digest(CANARY, peer.challenge, "md5")
    peer.say(b"\x01\x02\x02\x05alice\x04\x10" + made)


def _level(peer: Peer) -> None:
    token = b"\2" if peer.tokens is None else peer.tokens.wrap(b"\2", False)
    peer.send(encode(MessageType.LEVEL, token))


#: What clients offer; none of it begins a request.
OFFERS: Final = {
    "offer none": b"\x00\xf0",
    "offer password": b"\x02\xf0",
    "offer gssapi": b"\x01\xf0",
    "offer chap": b"\x03\xf0",
    "offer tls": b"\x86\xf0",
    "offer all": b"\x00\x02\x86\x03\x01",
}


def _offer(codes: bytes) -> Callable[[Peer], None]:
    return lambda peer: peer.say(bytes((5, len(codes))) + codes)


#: What clients may say.
ALPHABET: Final[dict[str, Callable[[Peer], None]]] = {
    **{name: _offer(codes) for name, codes in OFFERS.items()},
    "password": lambda peer: peer.say(LOGIN),
    "wrong password": lambda peer: peer.say(WRONG),
    "first": lambda peer: peer.send(
        encode(MessageType.AUTHENTICATION, peer.initiator.first)
    ),
    "level": _level,
    "algorithms": lambda peer: peer.say(b"\x01\x01\x11\x01\x85"),
    "response": _response,
    "wrong response": lambda peer: peer.say(
        b"\x01\x02\x02\x05alice\x04\x10" + bytes(16)
    ),
    "handshake": Peer.shake,
    "request": lambda peer: peer.say(CONNECT),
    "request in the clear": lambda peer: peer.send(CONNECT),
    "socks4": lambda peer: peer.say(CONNECT4),
}
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
            if "socks4" in rest
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


@pytest.mark.parametrize("listener", LISTENERS)
def test_everySequence(secrets: SecretsFile, listener: str) -> None:
    """
    Every sequence of six messages, as long as the connection lasts: those
    reach a connect that are a login and a request, as the user that logged
    in, and no other. What a message leaves half said swallows those behind it,
    of which two are tried.
    """
    wanted, certificate = LISTENERS[listener]
    alive: list[tuple[str, ...]] = [()]
    tried, let = 0, set()
    with capturedLogs() as events:
        for _ in range(6):
            before, alive = alive, []
            for sequence in ((*x, letter) for x in before for letter in ALPHABET):
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
    reached = {"chap", "userpass"} if "tls" in wanted else set()
    assert let == reached | set(wanted) - {
        "tls",
        "none" if certificate else "certificate",
    }
    assert tried > 100


#: Good ways, to begin with.
WAYS: Final = {
    "inside": ["offer gssapi", "first", "level", "request"],
    "partners": ["offer none", "request"],
    "strangers": ["offer tls", "handshake", "offer password", "password", "request"],
    "open": ["offer password", "password", "request"],
}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(sorted(LISTENERS)), min_size=3, max_size=3),
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
    entries: list[str],
    turns: list[tuple[int, str | None, bool]],
) -> None:
    """
    Three clients on several listeners, in any turns, in possession of what the
    others were asked and have agreed on: what one has proved is nothing to
    another. L{None} is the next message of a good login.
    """
    gateway, listeners = gatewayWith(secrets)
    peers = [Peer(gateway, listeners[x], LISTENERS[x][1]) for x in entries]
    said: list[list[str]] = [[], [], []]
    let: list[tuple[str, str]] = []
    with capturedLogs() as events:
        for n, letter, steals in turns:
            peer, entry = peers[n], entries[n]
            if not peer.goesOn:
                continue
            if letter is None:
                letter = WAYS[entry][min(len(said[n]), len(WAYS[entry]) - 1)]
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
