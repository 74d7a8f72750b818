"""
Play clients of every method on listeners that offer several.

Each client is driven by letters of an alphabet, one for each message that it may
send; tests choose the words.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred

from socksgw.accept.identity import CertificateIdentity
from socksgw.accept.listener import Listener
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.portal import Login
from socksgw.login.secrets import SecretsFile
from socksgw.negotiate.methods import Choice, Methods, OfferedMethod
from socksgw.plugins import auth_certificate, auth_chap
from socksgw.plugins.auth_tls import TLSInside
from socksgw.plugins.gssapi_stub import StubInitiator, StubTokens
from socksgw.system.tlscontext import Own, serverContext
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
    option6,
    request6,
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
    "gssapi": method(protection=["confidentiality", "clear"]),
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


def gatewayWith(secrets: SecretsFile) -> tuple[Gateway, dict[str, Listener]]:
    """A gateway with these listeners."""
    gateway = Gateway()
    gateway.steps["relay"] = Deferred()
    gateway.generation.login = Login(
        [gateway.checker, secrets, VerifiedIdentities([REALM])], {}, 60, gateway.clock
    )
    choices, listeners = [], {}
    for name, (wanted, _) in LISTENERS.items():
        methods = [METHODS[each] for each in wanted]
        choices.append(Choice(methods, frozenset((name,)), None))
        listeners[name] = Listener(gateway, name)
        listeners[name].configure(("socks5", "socks4", "socks6"), 100, 100, 10.0)
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
            self.transport.protocol.client.identity = IDENTITY
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
        octets: bytes = self.transport.value()[self._seen :]
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
        client = self.transport.protocol.client
        # Asking for the conversation makes one, which the express lane goes on without.
        held = client.conversing and client.conversation.held
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


#: Requests of SOCKS 6: the method whose first message stands in an option, and the
#: methods that are advertised.
REQUESTS6: Final = {
    "six": ("none", ()),
    "six, password": ("userpass", ()),
    "six, wrong password": ("userpass", ()),
    "six, first": ("gssapi", ()),
    "six, algorithms": ("chap", ("chap",)),
    "six, algorithms alone": ("chap", ()),
    "six, offer password": ("none", ("userpass",)),
    "six, offer chap": ("none", ("chap",)),
    "six, offer all": ("none", ("tls", "chap", "userpass", "gssapi")),
}
ALGORITHMS: Final = b"\x01\x01\x11\x01\x85"


def _ask(letter: str) -> Callable[[Peer], None]:
    method, advertised = REQUESTS6[letter]
    codes = {"tls": b"\x86", "chap": b"\3", "userpass": b"\2", "gssapi": b"\1"}

    def ask(peer: Peer) -> None:
        messages = {
            "userpass": WRONG if "wrong" in letter else LOGIN,
            "gssapi": encode(MessageType.AUTHENTICATION, peer.initiator.first),
            "chap": ALGORITHMS,
        }
        options = []
        if advertised:
            said = b"\0\0" + b"".join(codes[each] for each in advertised)
            options.append(option6(2, said))
        if method in messages:
            options.append(option6(4, codes[method] + messages[method]))
        peer.send(request6(*options))

    return ask


#: What clients may say.
ALPHABET: Final[dict[str, Callable[[Peer], None]]] = {
    **{name: _offer(codes) for name, codes in OFFERS.items()},
    "password": lambda peer: peer.say(LOGIN),
    "wrong password": lambda peer: peer.say(WRONG),
    "first": lambda peer: peer.send(
        encode(MessageType.AUTHENTICATION, peer.initiator.first)
    ),
    "level": _level,
    "algorithms": lambda peer: peer.say(ALGORITHMS),
    "response": _response,
    "wrong response": lambda peer: peer.say(
        b"\x01\x02\x02\x05alice\x04\x10" + bytes(16)
    ),
    "handshake": Peer.shake,
    "request": lambda peer: peer.say(CONNECT),
    "request in the clear": lambda peer: peer.send(CONNECT),
    "socks4": lambda peer: peer.say(CONNECT4),
    **{letter: _ask(letter) for letter in REQUESTS6},
}
#: Good ways, to begin with.
WAYS: Final = {
    "inside": ["offer gssapi", "first", "level", "request"],
    "partners": ["offer none", "request"],
    "strangers": ["offer tls", "handshake", "offer password", "password", "request"],
    "open": ["offer password", "password", "request"],
}
#: The same in SOCKS 6.
WAYS6: Final = {
    "inside": ["six, offer all", "first"],
    "partners": ["six"],
    "strangers": ["six, algorithms", "response"],
    "open": ["six, password"],
}
