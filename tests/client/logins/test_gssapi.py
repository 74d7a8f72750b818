"""
GSSAPI in SOCKS 5, with the stub mechanism and a proxy that the test plays.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from socksgw.client.errors import (
    LoginRefused,
    ProtocolBroken,
    ProxyClosed,
    ProxyError,
)
from socksgw.client.logins.gssapi import GssapiLogin
from socksgw.client.socks import Socks5Proxy
from socksgw.plugins.gssapi_stub import StubContext
from socksgw.system.coroutines import Running
from socksgw.wire.gssapi import (
    ABORT,
    Level,
    MessageType,
    Tokens,
    encode,
    readAuthentication,
    readLevel,
)
from socksgw.wire.reader import Reader
from tests.fakes.gssapi import StubTickets
from tests.fakes.links import MemoryLink, begun, failed, result

GRANTED = bytes.fromhex("05 00 00 01 c0000207 1f90")
REQUEST = bytes.fromhex("05 01 00 03 0b 6578616d706c652e636f6d 01bb")


class Proxy:
    """
    A proxy that accepts, message by message.

    @ivar context: its side.
    """

    def __init__(
        self, rounds: int = 1, protection: tuple[str, ...] = ("confidentiality",)
    ) -> None:
        self.tickets = StubTickets(rounds=rounds)
        login = GssapiLogin(self.tickets, "rcmd@gw2.example", protection)
        self.link = MemoryLink()
        self.running: Running[object] = begun(
            Socks5Proxy(login).connect(self.link, "example.com", 443)
        )
        self.context = StubContext(bytes(16))
        assert self.link.taken() == b"\x05\x01\x01"
        self.link.came(b"\x05\x01")

    def step(self) -> bytes:
        """Take a token of the client's, and return what answers it."""
        token = readAuthentication(Reader(self.link.taken()))
        answers: list[bytes] = []
        Deferred.fromCoroutine(self.context.step(token)).addCallback(answers.append)
        return encode(MessageType.AUTHENTICATION, answers[0])

    def established(self) -> None:
        """Establish the context."""
        while not self.context.complete:
            self.link.came(self.step())

    def agreed(self, level: int, wrapped: bool = True) -> int:
        """Take the level that is asked for, and answer with one."""
        asked, secret = self.context.unwrap(readLevel(Reader(self.link.taken())))
        assert not secret
        answer = bytes((level,))
        if wrapped:
            answer = self.context.wrap(answer, False)
        self.link.came(encode(MessageType.LEVEL, answer))
        return asked[0]

    def data(self, octets: bytes) -> bytes:
        return encode(MessageType.DATA, self.context.wrap(octets, True))

    @property
    def failure(self) -> BaseException:
        return failed(self.running)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_everythingIsProtected(rounds: int) -> None:
    """The request, its reply, and what came behind that."""
    proxy = Proxy(rounds)
    proxy.established()
    assert proxy.agreed(Level.CONFIDENTIALITY) == Level.CONFIDENTIALITY
    (token,) = Tokens().receive(proxy.link.taken())
    assert proxy.context.unwrap(token) == (REQUEST, True)
    proxy.link.came(proxy.data(GRANTED + b"220 "))
    accepted: object = result(proxy.running)
    assert accepted.protection.level == "confidentiality"  # type: ignore[attr-defined]
    assert proxy.link.surplus == b"220 "
    assert proxy.tickets.services == ["rcmd@gw2.example"]


@pytest.mark.parametrize(
    ("protection", "answer", "agreed"),
    [
        (("confidentiality", "integrity"), Level.INTEGRITY, "integrity"),
        (("integrity", "confidentiality"), Level.CONFIDENTIALITY, "confidentiality"),
        (("integrity",), Level.INTEGRITY, "integrity"),
        (("confidentiality",), Level.INTEGRITY, ""),
        (("confidentiality",), Level.CLEAR, ""),
        (("confidentiality", "integrity"), Level.CLEAR, ""),
        (("confidentiality", "integrity"), Level.SELECTIVE, ""),
        (("confidentiality", "integrity"), 0x7F, ""),
    ],
)
def test_levels(protection: tuple[str, ...], answer: int, agreed: str) -> None:
    """The proxy may choose among ours; it cannot choose less."""
    proxy = Proxy(protection=protection)
    proxy.established()
    asked = proxy.agreed(answer)
    assert Level(asked).name.lower() == protection[0]
    if agreed:
        assert proxy.link.taken()
        return
    assert isinstance(proxy.failure, LoginRefused)
    assert proxy.link.taken() == b""


def test_aLevelFromTheWay() -> None:
    """One that is not protected could come from anybody."""
    proxy = Proxy()
    proxy.established()
    proxy.agreed(Level.CONFIDENTIALITY, wrapped=False)
    assert isinstance(proxy.failure, ProtocolBroken)
    assert proxy.link.taken() == b""


def test_aborted() -> None:
    """The proxy refuses (section 3.8), before and behind the context."""
    proxy = Proxy()
    proxy.link.came(ABORT)
    assert isinstance(proxy.failure, LoginRefused)
    proxy = Proxy()
    proxy.established()
    proxy.link.came(ABORT)
    assert isinstance(proxy.failure, LoginRefused)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"\x01\x01\0\0", LoginRefused),
        (b"\x02\x01\0\1x", ProtocolBroken),
        (b"\x01\x02\0\1x", ProtocolBroken),
        (b"\x05\x00\x00\x01", ProtocolBroken),
    ],
)
def test_answersThatAreNone(answer: bytes, kind: type[ProxyError]) -> None:
    """A proxy without a proof, another version, another message."""
    proxy = Proxy(rounds=3)
    proxy.link.taken()
    proxy.link.came(answer)
    assert isinstance(proxy.failure, kind)
    assert proxy.link.taken() == b""


def test_withoutEnd() -> None:
    """A context that is never there is given up."""
    proxy = Proxy(rounds=100)
    for _ in range(10):
        proxy.link.came(proxy.step())
    assert isinstance(proxy.failure, LoginRefused)


def test_closedAtEachOctet() -> None:
    """It ends there, and says so."""
    whole = Proxy()
    answers = len(whole.step())
    for count in range(answers):
        proxy = Proxy()
        proxy.link.came(proxy.step()[:count])
        proxy.link.close()
        assert isinstance(proxy.failure, ProxyClosed)


@pytest.mark.parametrize("protection", [(), ("clear",), ("selective",)])
def test_wrongProtection(protection: tuple[str, ...]) -> None:
    """What protects nothing cannot be configured."""
    with pytest.raises(ValueError, match="protection"):
        GssapiLogin(StubTickets(), "rcmd@x", protection)
