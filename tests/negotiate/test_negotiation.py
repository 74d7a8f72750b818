"""
The choice of the authentication method, and its sub-negotiation.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.credentials import Anonymous, IAnonymous, IUsernamePassword
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, eventAsText
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksgw.errors import AuthenticationFailed, NoAcceptableMethod, SocksError
from socksgw.interfaces import (
    IAuthenticator,
    IConditional,
    IExchange,
    IVerifiedIdentity,
)
from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.capabilities import Capabilities
from socksgw.negotiate.exchange import Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.negotiation import negotiate
from socksgw.plugins import auth_certificate, auth_none, auth_userpass
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.events import MethodsOffered, Requested
from socksgw.wire.reader import Reader, WireError
from tests.fakes.client import CANARY, LOGIN, Client, begun, result
from tests.fakes.gateway import NONE, USERPASS

LOOPBACK = Address.parse("127.0.0.1")
SOCKS4 = bytes.fromhex("04 01 0050 c0000207 66726564 00")


class Authenticator:
    """
    A method whose parts a test gives.
    """

    def __init__(self, read: Any = None, write: Any = None) -> None:
        self._read = read
        self._write = write

    async def readCredentials(self, exchange: Any) -> Any:
        return await self._read(exchange)

    async def writeOutcome(self, exchange: Any, credentials: Any, granted: bool) -> Any:
        await self._write(exchange, credentials, granted)


# The choice of a method.

CERTIFICATE = OfferedMethod("certificate", 0, auth_certificate.method.build({}, None))


@implementer(IVerifiedIdentity)
class Identity:
    """What a connection has proved."""

    username, realm, expires = b"partner/bob", "", 5.0


@pytest.mark.parametrize("octets", [b"\5\2\0\2", SOCKS4], ids=["socks5", "socks4"])
@pytest.mark.parametrize(
    ("wanted", "proved", "method"),
    [
        ([CERTIFICATE, NONE], True, "certificate"),
        ([CERTIFICATE, NONE], False, "none"),
        ([NONE, CERTIFICATE], True, "none"),
        ([CERTIFICATE], True, "certificate"),
        ([CERTIFICATE], False, None),
    ],
)
def test_theSameNumber(
    octets: bytes, wanted: list[OfferedMethod], proved: bool, method: str | None
) -> None:
    """
    `certificate` and `none` are one number on the wire: the first that is for
    this connection is taken; in SOCKS 4, too.
    """
    client: Any = Client(octets)
    client.identity = identity = Identity() if proved else None
    found = result(begun(client, *wanted))
    if method is None:
        assert isinstance(found, NoAcceptableMethod)
        assert client.sent == b""
        return
    assert found.method == method
    assert (found.credentials is identity) is (method == "certificate")
    assert client.sent == (b"" if octets == SOCKS4 else b"\5\0")


def test_certificateGoesBeforeItsNumber() -> None:
    """Where it does not apply, the next method of the client's is looked for."""
    client = Client(b"\5\2\0\2")
    waiting = begun(client, CERTIFICATE, USERPASS)
    client.receive(LOGIN)
    assert result(waiting).method == "userpass"


def test_certificateWithoutOne() -> None:
    """Whoever asks it all the same is told no."""
    verifyObject(IAuthenticator, CERTIFICATE.authenticator)
    verifyObject(IConditional, CERTIFICATE.authenticator)
    exchange = Exchange(Client(b""))
    found = result(
        Deferred.fromCoroutine(CERTIFICATE.authenticator.readCredentials(exchange))
    )
    assert isinstance(found, AuthenticationFailed)


@pytest.mark.parametrize("wanted", [[NONE, USERPASS], [USERPASS, NONE]])
@pytest.mark.parametrize("offered", [b"\0\2", b"\2\0", b"\1\3\2\0", bytes(range(128))])
def test_ourPreferenceWins(wanted: list[OfferedMethod], offered: bytes) -> None:
    """
    The server selects one of the methods given (RFC 1928 section 3): the
    first that is wanted here, in whatever order they are offered.
    """
    client = Client(bytes((5, len(offered))) + offered)
    begun(client, *wanted).addErrback(lambda _: None)
    assert client.sent == bytes((5, wanted[0].codes[0]))


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        (b"\0", [USERPASS, NONE], 0),
        (b"\2", [NONE, USERPASS], 2),
        (b"\1\2", [NONE, USERPASS], 2),
        (b"\0\2", [USERPASS], 2),
        (b"\0\0\0", [NONE], 0),
    ],
)
def test_firstThatWasOffered(
    offered: bytes, wanted: list[OfferedMethod], chosen: int
) -> None:
    """What was not offered is not selected (RFC 1928 section 3)."""
    client = Client(bytes((5, len(offered))) + offered)
    begun(client, *wanted).addErrback(lambda _: None)
    assert client.sent == bytes((5, chosen))


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        (b"", [NONE, USERPASS]),
        (b"\1", [NONE, USERPASS]),
        # No login being offered does not win where one is wanted.
        (b"\0", [USERPASS]),
        (b"\2", [NONE]),
        (b"\xff", [NONE]),
        (b"\0\2", []),
    ],
)
def test_noneAcceptable(offered: bytes, wanted: list[OfferedMethod]) -> None:
    """
    None of the methods is acceptable: X'FF' can be said still (RFC 1928
    section 3), by whoever records it first.
    """
    client = Client(bytes((5, len(offered))) + offered)
    failure = result(begun(client, *wanted))
    assert isinstance(failure, NoAcceptableMethod)
    assert failure.reply is None
    assert client.sent == b""
    assert client.conversation.chooseMethod(0xFF) == b"\x05\xff"


@pytest.mark.parametrize(
    ("offered", "wanted", "words"),
    [
        (b"\0", [USERPASS], "none of the methods offered is wanted here: userpass"),
        (b"\0", [USERPASS], "userpass = 02 (user and password) wanted"),
        (b"\0\x80", [USERPASS], "the client offered 00 (no authentication), 80"),
        (b"\x01", [], "the client offered 01 (GSSAPI)"),
        (bytes(range(1, 200)), [NONE], "0C, and 187 more"),
        (b"\0\2", [], "nobody may log in here: no [[auth.choose]]"),
        (b"\0\2", [CERTIFICATE], '"certificate" is wanted here, and this connection'),
    ],
)
def test_whyNoneIsAcceptable(
    offered: bytes, wanted: list[OfferedMethod], words: str
) -> None:
    """The journal says which of the three reasons it was."""
    client = Client(bytes((5, len(offered))) + offered)
    assert words in str(result(begun(client, *wanted)))


@pytest.mark.parametrize("wanted", [[NONE], [NONE, USERPASS], [USERPASS, NONE]])
def test_socks4(wanted: list[OfferedMethod]) -> None:
    """A SOCKS 4 client is taken where no login is wanted; nothing is sent."""
    client = Client(SOCKS4)
    attempt = result(begun(client, *wanted))
    assert attempt.method == "none"
    assert IAnonymous.providedBy(attempt.credentials)
    assert attempt.claimed == b""
    assert result(Deferred.fromCoroutine(attempt.report(True))) is None
    assert client.sent == b""


@pytest.mark.parametrize("wanted", [[], [USERPASS]])
def test_socks4HasNoLogin(wanted: list[OfferedMethod]) -> None:
    """Else it is refused with 91 (SOCKS 4, CONNECT), its USERID being no proof."""
    client = Client(SOCKS4)
    failure = result(begun(client, *wanted))
    assert isinstance(failure, NoAcceptableMethod)
    assert failure.reply is Reply.NOT_ALLOWED
    assert client.sent == b""
    assert client.conversation.reply(failure.reply)[:2] == b"\x00\x5b"


# The built-in methods.


@pytest.mark.parametrize("module", [auth_none, auth_userpass])
def test_builtInAuthenticators(module: Any) -> None:
    """What the built-in methods make is what the interface says."""
    verifyObject(IAuthenticator, module.method.build({}, None))


def test_exchange() -> None:
    """A sub-negotiation's view is what the interface says."""
    client = Client(b"\x05\x01\x80")
    verifyObject(IExchange, Exchange(client))


# A method of somebody else.


def test_severalRounds() -> None:
    """A method reads and writes as often as it wants to."""

    async def read(exchange: Any) -> Any:
        first = await exchange.read(Reader.u8, 1)
        exchange.write(b"challenge")
        second = await exchange.read(lambda reader: reader.take(first), 200)
        return type("Credentials", (), {"username": second.decode()})()

    async def write(exchange: Any, credentials: Any, granted: bool) -> None:
        # The client has the last word.
        exchange.write(b"proof")
        assert await exchange.read(Reader.u8, 1) == 7

    client = Client(b"\x05\x01\x80")
    chap = OfferedMethod("chap", 0x80, Authenticator(read, write))
    waiting = begun(client, chap)
    client.receive(b"\x03")
    assert client.sent == b"\x05\x80challenge"
    client.receive(b"bo")
    client.receive(b"b")
    attempt = result(waiting)
    assert attempt.claimed == b"bob"
    reporting = Deferred.fromCoroutine(attempt.report(True))
    assert client.sent == b"\x05\x80challengeproof"
    assert not reporting.called
    client.receive(b"\x07\x05")
    assert result(reporting) is None
    assert client.conversation.surplus() == b"\x05"


@pytest.mark.parametrize("declared", [True, False, None])
def test_whoLogsNobodyInHasToDeclareIt(declared: bool | None) -> None:
    """
    What a configuration exposes was judged by the declaration: without it
    there is no such login, and the client is told as of any other failure.
    """
    told: list[Any] = []

    async def read(exchange: Any) -> Any:
        return Anonymous()

    async def write(exchange: Any, credentials: Any, granted: bool) -> None:
        told.append((credentials, granted))

    client = Client(b"\x05\x01\x80")
    can = Capabilities(anonymous=declared, credentials=())
    guest = OfferedMethod("guest", 0x80, Authenticator(read, write), capabilities=can)
    attempt = result(begun(client, guest))
    assert (attempt.failure is None) is bool(declared)
    assert IAnonymous.providedBy(attempt.credentials) is bool(declared)
    if attempt.failure is not None:
        assert not attempt.failure.counts
        assert "does not declare" in str(attempt.failure)
        result(Deferred.fromCoroutine(attempt.report(False)))
        assert told == [(None, False)]


TICKET = Capabilities(anonymous=False, credentials=(), verifies=True, protects=True)
READING = Capabilities(anonymous=False, credentials=(IUsernamePassword,))


@pytest.mark.parametrize(
    ("offered", "secured", "chosen"),
    [
        # As libcurl offers them when it has a password: in the clear the
        # order counts, and inside TLS there is nothing to be protected.
        (b"\0\1\2", "clear", "ticket"),
        (b"\0\1\2", "integrity", "ticket"),
        (b"\0\1\2", "confidentiality", "password"),
        # Who has a ticket only, or a password only.
        (b"\0\1", "confidentiality", "ticket"),
        (b"\1", "confidentiality", "ticket"),
        (b"\2", "confidentiality", "password"),
        (b"\0\2", "clear", "password"),
    ],
)
def test_insideTLSAPasswordIsPreferredToATicket(
    offered: bytes, secured: str, chosen: str
) -> None:
    """By what else is offered, where no password can be read on the way."""
    told: list[str] = []

    async def lead() -> Attempt:
        return await negotiate(client, await client.next(), wanted, told.append)

    wanted = [
        OfferedMethod("ticket", 1, Authenticator(readLogin), capabilities=TICKET),
        OfferedMethod("password", 2, Authenticator(readLogin), capabilities=READING),
        NONE,
    ]
    client = Client(bytes((5, len(offered))) + offered)
    client.secured = secured
    waiting = Deferred.fromCoroutine(lead())
    assert told == [chosen]
    assert client.sent == bytes((5, 1 if chosen == "ticket" else 2))
    waiting.cancel()
    assert isinstance(result(waiting), CancelledError)


def test_tooLong() -> None:
    """What a method does not take within its limit is the client's fault."""

    async def read(exchange: Any) -> Any:
        await exchange.read(lambda reader: reader.take(100), 10)

    client = Client(b"\x05\x01\x80" + bytes(50))
    chap = OfferedMethod("chap", 0x80, Authenticator(read))
    assert isinstance(result(begun(client, chap)), WireError)


def everything(events: Any) -> str:
    return "\n".join(f"{event!r}\n{eventAsText(event)}" for event in events)


async def readLogin(exchange: Any) -> Any:
    """Credentials with the canary, in a local variable too."""
    password = (await exchange.read(lambda reader: reader.take(len(LOGIN)), 99)).decode(
        "latin-1"
    )
    return type("Credentials", (), {"username": b"alice", "password": password})()


DEFECTS = [
    ValueError(CANARY),
    KeyError(CANARY),
    AssertionError(CANARY),
    AttributeError(CANARY),
    RuntimeError(CANARY),
    UnicodeDecodeError("ascii", CANARY.encode(), 0, 1, CANARY),
    TypeError(CANARY),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("late", [True, False])
def test_defectInReading(defect: Exception, late: bool) -> None:
    """
    A method that fails by a defect lets nobody in; its author is told where,
    and the password is nowhere.
    """

    async def read(exchange: Any) -> Any:
        if late:
            await readLogin(exchange)
        raise defect

    client = Client(b"\x05\x01\x80" + LOGIN)
    with capturedLogs() as events:
        failure = result(
            begun(client, OfferedMethod("broken", 0x80, Authenticator(read)))
        )
    assertNothingLeaked(failure, events, type(defect).__name__)
    assert client.sent == b"\x05\x80"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("granted", [True, False])
def test_defectInReporting(defect: Exception, granted: bool) -> None:
    """The same when it fails to tell the outcome."""

    async def write(exchange: Any, credentials: Any, granted: bool) -> None:
        secret = credentials.password
        assert secret
        raise defect

    client = Client(b"\x05\x01\x80" + LOGIN)
    method = OfferedMethod("broken", 0x80, Authenticator(readLogin, write))
    attempt = result(begun(client, method))
    with capturedLogs() as events:
        failure = result(Deferred.fromCoroutine(attempt.report(granted)))
    assertNothingLeaked(failure, events, type(defect).__name__)


def assertNothingLeaked(failure: Any, events: Any, kind: str) -> None:
    assert type(failure) is AuthenticationFailed
    assert failure.reason == "method-failed"
    assert failure.reply is None
    assert CANARY not in f"{failure} {failure!r} {failure.args}"
    assert failure.__cause__ is None
    assert failure.__suppress_context__
    assert len(events) == 1
    text = everything(events)
    assert "broken" in text
    assert kind in text
    assert "test_negotiation.py" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "error",
    [WireError("broken"), SocksError("no", reason="x"), CancelledError()],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("reporting", [True, False])
def test_noDefect(error: Exception, reporting: bool) -> None:
    """
    The client's own faults, a method's honest refusal, and a client that goes
    away are no defects of the method, in the beginning or at the end.
    """

    async def fails(exchange: Any, *rest: Any) -> Any:
        raise error

    authenticator = (
        Authenticator(readLogin, fails) if reporting else Authenticator(fails)
    )
    client = Client(b"\x05\x01\x80" + LOGIN)
    with capturedLogs() as events:
        got = result(begun(client, OfferedMethod("m", 0x80, authenticator)))
        if reporting:
            got = result(Deferred.fromCoroutine(got.report(True)))
    assert got is error
    assert not events


@pytest.mark.parametrize("reading", [True, False])
def test_refusalOfAMethod(reading: bool) -> None:
    """
    Whom the method itself does not let in has not been told so by that: it is
    asked to, when the failure is recorded. Then it has.
    """
    refusal = AuthenticationFailed("not you", reason="x")

    async def refuses(exchange: Any, *rest: Any) -> Any:
        if rest[-1:] == (False,):
            assert reading == (rest[0] is None)
            exchange.write(b"no")
        else:
            raise refusal

    authenticator = Authenticator(refuses if reading else readLogin, refuses)
    client = Client(b"\x05\x01\x80" + LOGIN)
    attempt = result(begun(client, OfferedMethod("m", 0x80, authenticator)))
    if reading:
        assert attempt.failure is refusal
        assert attempt.credentials is None
    else:
        assert attempt.failure is None
        assert result(Deferred.fromCoroutine(attempt.report(True))) is refusal
    assert not attempt.told
    assert result(Deferred.fromCoroutine(attempt.report(False))) is None
    assert client.sent == b"\x05\x80no"
    assert attempt.told


def test_clientGoesAway() -> None:
    """A negotiation that is cancelled ends as such, without a word in the log."""
    client = Client(b"\x05\x01\x02" + LOGIN[:4])
    with capturedLogs() as events:
        waiting = begun(client, USERPASS)
        waiting.cancel()
        assert isinstance(result(waiting), CancelledError)
    assert not events


def test_claimedName() -> None:
    """For the record of a failure, whatever a method's credentials are."""
    exchange = Exchange(Client(b""))
    for credentials, claimed in [
        (auth_userpass.Credentials(b"al\xff", b"x"), b"al\xff"),
        (object(), b""),
        (type("C", (), {"username": "Jürgen"})(), "Jürgen".encode()),
        (type("C", (), {"username": b"al", "realm": "R"})(), b"al@R"),
        (type("C", (), {"username": b"al", "realm": ""})(), b"al"),
    ]:
        attempt = Attempt("m", None, exchange, credentials, MethodsOffered(b""))
        assert attempt.claimed == claimed
    assert not isinstance(MethodsOffered(b""), Requested)
