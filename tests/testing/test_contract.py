"""
Our own methods hold what is asked of everybody's.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from twisted.cred.checkers import (
    AllowAnonymousAccess,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import (
    Anonymous,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernamePassword,
)
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import (
    IAnswering,
    IAuthenticator,
    IAuthMethod,
    IVerifiedIdentity,
)
from socksgw.login.identities import VerifiedIdentities
from socksgw.plugins import (
    auth_certificate,
    auth_chap,
    auth_gssapi,
    auth_none,
    auth_userpass,
)
from socksgw.plugins.gssapi_stub import StubInitiator
from socksgw.testing.datagrams import AuthMethodContract, Script
from socksgw.wire.chap import Attribute, encodeMessage
from socksgw.wire.gssapi import MessageType


class Known(InMemoryUsernamePasswordDatabaseDontUse):
    """Twisted's keeps its users as text, and what clients send are octets."""

    def __init__(self) -> None:
        super().__init__()
        self.users = {b"alice": b"canary-5d1f"}


class TestNone(AuthMethodContract):
    """No authentication (RFC 1928, method 00)."""

    method = auth_none.method
    checker = AllowAnonymousAccess()
    good = ()
    bad = None


class TestUserpass(AuthMethodContract):
    """RFC 1929 section 2: VER ULEN UNAME PLEN PASSWD."""

    method = auth_userpass.method
    checker = Known()
    good = (b"\x01\x05alice\x0bcanary-5d1f",)
    bad = (b"\x01\x05alice\x03bad",)
    goodAnswers = (b64encode(b"alice:canary-5d1f"),)
    badAnswers = (b64encode(b"alice:bad"),)
    secret = b"canary-5d1f"


def responded(password: bytes) -> Callable[[bytes], bytes]:
    """What answers a challenge, which is the last that was heard."""

    def respond(heard: bytes) -> bytes:
        response = hmac.digest(password, heard[-32:], "md5")
        return encodeMessage({Attribute.RESPONSE: response})

    return respond


class TestChap(AuthMethodContract):
    """draft-ietf-aft-socks-chap-01, in PuTTY's shape; 85 is HMAC-MD5."""

    method = auth_chap.method
    checker = Known()
    first = encodeMessage(
        {Attribute.ALGORITHMS: b"\x85", Attribute.USER_IDENTITY: b"alice"}
    )
    good = (first, responded(b"canary-5d1f"))
    bad = (first, responded(b"bad"))
    secret = b"canary-5d1f"

    def describe(self, credentials: Any) -> object:
        """The challenge is another each time."""
        return credentials.username


def token(kind: MessageType, octets: bytes) -> bytes:
    """RFC 1961 section 3.3: VER MTYP LEN TOKEN."""
    return bytes((1, kind)) + len(octets).to_bytes(2, "big") + octets


def client(name: str) -> Script:
    """A client of the stub's, in two rounds; it asks for confidentiality."""
    initiator = StubInitiator(name, rounds=2, nonce=bytes(16))

    def level(heard: bytes) -> bytes:
        return token(
            MessageType.LEVEL, initiator.established(heard[4:]).wrap(b"\x02", False)
        )

    first, second = initiator.first, b"more"
    return (
        token(MessageType.AUTHENTICATION, first),
        token(MessageType.AUTHENTICATION, second),
        level,
    )


def answers(name: str) -> Script:
    """The same in HTTP: each token in base64."""
    first = StubInitiator(name, rounds=2, nonce=bytes(16)).first
    return b64encode(first), b64encode(b"more")


class TestGssapi(AuthMethodContract):
    """RFC 1961, with the mechanism that needs no Kerberos."""

    method = auth_gssapi.method
    settings = MappingProxyType({"mechanism": "stub"})
    checker = VerifiedIdentities()
    good = client("alice@EXAMPLE")
    #: A name that could be taken for another's.
    bad = client("al\\ice@EXAMPLE")
    goodAnswers = answers("alice@EXAMPLE")
    badAnswers = answers("al\\ice@EXAMPLE")
    mostOctets = 4 + 65535

    def describe(self, credentials: Any) -> object:
        """The context is another each time."""
        return credentials.username, credentials.realm


@implementer(IVerifiedIdentity)
class Proof:
    """What TLS has verified."""

    username = b"alice"
    realm = ""
    expires = None


class TestCertificate(AuthMethodContract):
    """No messages; whoever has proved nothing is refused."""

    method = auth_certificate.method
    checker = VerifiedIdentities()
    good = ()
    bad = ()
    identity = Proof()


def line(reader: Any) -> bytes:
    found: bytes = reader.until(0x0A, 200, "the line")
    return found


class Good:
    """A method that holds it all: C{user:secret}, a line each way."""

    async def readCredentials(self, exchange: Any) -> Any:
        user, _, secret = (await exchange.read(line, 201)).partition(b":")
        return Quiet(user, secret)

    async def writeOutcome(self, exchange: Any, credentials: Any, ok: bool) -> None:
        exchange.write(b"yes\n" if ok else b"no\n")


class Quiet(UsernamePassword):
    """Prints nothing."""

    def __repr__(self) -> str:
        return "<Quiet>"


class Crashing(Good):
    """Raises what Python raises."""

    async def readCredentials(self, exchange: Any) -> Any:
        text = (await exchange.read(line, 201)).decode("ascii")
        user, secret = text.split(":")
        return Quiet(user.encode(), secret.encode())


class Boundless(Good):
    """Reads for ever."""

    async def readCredentials(self, exchange: Any) -> Any:
        return await exchange.read(lambda r: r.until(0x0A, 1 << 30, "it"), 1 << 30)


class Chatty(Good):
    """Asks again after a refusal."""

    async def writeOutcome(self, exchange: Any, credentials: Any, ok: bool) -> None:
        exchange.write(b"yes\n" if ok else b"no\n")
        if not ok:
            await exchange.read(line, 201)


class Lingering(Good):
    """Says something more, later."""

    reactor: Any

    async def writeOutcome(self, exchange: Any, credentials: Any, ok: bool) -> None:
        exchange.write(b"yes\n" if ok else b"no\n")
        if not ok:
            self.reactor.callLater(60, exchange.write, b"really\n")


class Telling(Good):
    """Says what was wrong."""

    async def writeOutcome(self, exchange: Any, credentials: Any, ok: bool) -> None:
        known = credentials.password == b"canary-5d1f"
        exchange.write(b"yes\n" if ok else b"not now\n" if known else b"wrong\n")


class Deaf(Good):
    """Says the same to everybody."""

    async def writeOutcome(self, exchange: Any, credentials: Any, ok: bool) -> None:
        exchange.write(b"done\n")


class Remembering(Good):
    """Keeps what is one connection's."""

    async def readCredentials(self, exchange: Any) -> Any:
        self.last = b""

        def octet(reader: Any) -> bytes:
            found: bytes = reader.take(1)
            return found

        while not self.last.endswith(b"\n"):
            # In a variable of all connections.
            came = await exchange.read(octet, 1)
            self.last += came
        user, _, secret = self.last[:-1].partition(b":")
        return Quiet(user, secret)


class Showing(Good):
    """Twisted's own credentials print no password; these do."""

    async def readCredentials(self, exchange: Any) -> Any:
        found = await super().readCredentials(exchange)
        found.__class__ = Loud
        return found


class Loud(UsernamePassword):
    """Prints the password."""

    def __repr__(self) -> str:
        return f"<{self.username!r} {self.password!r}>"


class Cutting(Good):
    """Believes that a message is what comes at once."""

    async def readCredentials(self, exchange: Any) -> Any:
        octets = await exchange.read(lambda r: r.take(len(r.octets)), 201)
        user, _, secret = octets.rstrip(b"\n").partition(b":")
        return Quiet(user, secret)


class Holding(Good):
    """Does not let go."""

    async def readCredentials(self, exchange: Any) -> Any:
        try:
            return await super().readCredentials(exchange)
        except BaseException:
            return Quiet(b"", b"")


def contractOf(
    kind: type[Good], takes: frozenset[str] = frozenset(), **declared: object
) -> Any:
    """The contract, for a method that reads as C{kind} does."""
    implementer(IAuthenticator)(kind)

    @implementer(IAuthMethod)
    class Declaration:
        name = "line"
        code = 0x80
        help = "for the test"

        def build(self, settings: Any, reactor: Any) -> Any:
            settings.only(*takes)
            made: Any = kind()
            made.reactor = reactor
            return made

    for name, value in declared.items():
        setattr(Declaration, name, value)

    class Contract(AuthMethodContract):
        method = Declaration()
        checker = Known()
        good = (b"alice:canary-5d1f\n",)
        bad = (b"alice:bad\n",)
        secret = b"canary-5d1f"
        mutations = 100

    return Contract()


def broken(contract: Any) -> set[str]:
    """Which tests of the contract fail."""
    found = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract, name)()
            except Exception:
                found.add(name.removeprefix("test_"))
    return found


def test_aMethodThatHolds() -> None:
    """The method that the others are made from breaks nothing."""
    assert broken(contractOf(Good)) == set()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Crashing, "nothingElseEscapes"),
        (Boundless, "nothingElseEscapes"),
        (Chatty, "whoIsBadIsNot"),
        (Lingering, "whoIsBadIsNot"),
        (Telling, "aRefusalTellsNoCause"),
        (Deaf, "aRefusalTellsNoCause"),
        (Remembering, "stateIsOfOneConnection"),
        (Showing, "secretsAreNotShown"),
        (Cutting, "anySplitIsTheSame"),
        (Holding, "theClientGoes"),
    ],
)
def test_whatAMethodBreaks(kind: type[Good], what: str) -> None:
    """Each mistake is found by the test that is there for it."""
    assert what in broken(contractOf(kind))


def test_aSettingThatIsIgnored() -> None:
    """So is a table that is not looked at."""
    contract = contractOf(Good, frozenset({"no_such_setting"}))
    assert broken(contract) == {"aSettingItDoesNotKnowIsAnError"}


class Open(Good):
    """Lets everybody in."""

    async def readCredentials(self, exchange: Any) -> Any:
        await super().readCredentials(exchange)
        return Anonymous()


@pytest.mark.parametrize(
    ("kind", "declared", "broken_"),
    [
        (Good, {}, False),
        (Good, {"anonymous": False, "cleartext": True}, False),
        (Good, {"credentials": (IUsernamePassword,)}, False),
        (Good, {"cleartext": False}, True),
        (Good, {"credentials": ()}, True),
        (Good, {"credentials": (IUsernameHashedPassword,)}, True),
        (Open, {}, True),
        (Open, {"anonymous": False}, True),
        (Open, {"anonymous": True, "credentials": ()}, False),
        (Good, {"anonymous": "no"}, True),
    ],
)
def test_whatIsDeclaredWrongly(
    kind: type[Good], declared: dict[str, object], broken_: bool
) -> None:
    """A declaration that is not true is found; what is left out is not."""
    found = broken(contractOf(kind, **declared))  # type: ignore[arg-type]
    assert ("whatItDeclaresIsTrue" in found) is broken_


class Answering(Good):
    """Holds it in HTTP, too: the user in one request, the secret in the next."""

    async def readAnswers(self, answers: Any) -> Any:
        user = answers.answer
        secret = await answers.challenge("secret?")
        if len(user) > 200 or not secret.isascii():
            raise AuthenticationFailed("no secret")
        answers.conclude("welcome")
        return Quiet(user, secret)


class CrashingAnswers(Answering):
    """Raises what Python raises."""

    async def readAnswers(self, answers: Any) -> Any:
        secret = (await answers.challenge("secret?")).decode("ascii")
        return Quiet(answers.answer and b"alice", secret.encode())


class EndlessAnswers(Answering):
    """Asks until it likes the answer."""

    async def readAnswers(self, answers: Any) -> Any:
        user = answers.answer
        while not (secret := await answers.challenge("secret?")).startswith(b"canary"):
            if secret == b"bad":
                raise AuthenticationFailed("no secret")
        return Quiet(user, secret)


class OtherAnswers(Answering):
    """Is somebody else in HTTP."""

    async def readAnswers(self, answers: Any) -> Any:
        found = await super().readAnswers(answers)
        found.username = found.username.upper()
        return found


class ShowingAnswers(Answering):
    """Says the secret back."""

    async def readAnswers(self, answers: Any) -> Any:
        found = await super().readAnswers(answers)
        answers.conclude(found.password.decode("ascii", "replace"))
        return found


class DeafAnswers(Answering):
    """Does not let go."""

    async def readAnswers(self, answers: Any) -> Any:
        try:
            return await super().readAnswers(answers)
        except BaseException:
            return Quiet(b"", b"")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Answering, set()),
        (CrashingAnswers, {"nothingElseEscapesOfAnswers"}),
        (EndlessAnswers, {"nothingElseEscapesOfAnswers"}),
        (OtherAnswers, {"answersAreAsGood"}),
        (ShowingAnswers, {"answersAreAsGood"}),
        (DeafAnswers, {"theClientGoesAmidAnswers"}),
    ],
)
def test_whatAMethodBreaksInHttp(kind: type[Answering], what: set[str]) -> None:
    """Each part of the contract that is about HTTP finds what it is for."""
    implementer(IAnswering)(kind)
    contract = contractOf(kind, challenge='Line realm="REALM"')
    contract.goodAnswers = (b"alice", b"canary-5d1f")
    contract.badAnswers = (b"alice", b"bad")
    assert broken(contract) == what


def test_answersThatAreMissing() -> None:
    """Whoever declares a challenge reads answers, and shows the contract some."""
    assert broken(contractOf(Answering, challenge="Line")) == {"answersAreAsGood"}
    contract = contractOf(Good, challenge="Line")
    contract.goodAnswers = (b"alice",)
    assert "answersAreAsGood" in broken(contract)
    contract = contractOf(Answering)
    contract.goodAnswers = (b"alice",)
    assert "answersAreAsGood" in broken(contract)
