"""
Logins whose credentials come with the request.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksgw.errors import AuthenticationFailed, NoAcceptableMethod, Unanswered
from socksgw.interfaces import IAnswering, IAnswers
from socksgw.negotiate.capabilities import Capabilities
from socksgw.negotiate.challenges import _TURNS
from socksgw.negotiate.methods import OfferedMethod
from socksgw.plugins import auth_certificate, auth_userpass
from socksgw.wire.codes import Reply
from tests.fakes.client import CANARY, Client, begun, result
from tests.fakes.gateway import NONE, USERPASS

CERTIFICATE = OfferedMethod("certificate", 0, auth_certificate.method.build({}, None))
CHAP = OfferedMethod("chap", 3, object())


def connect(credentials: str = "", more: str = "", version: str = "1.1") -> bytes:
    """A request with these credentials."""
    field = f"Proxy-Authorization: {credentials}\r\n" if credentials else ""
    return (
        f"CONNECT example.com:443 HTTP/{version}\r\nHost: example.com:443\r\n"
        f"{field}{more}\r\n"
    ).encode()


def basic(user: str = "alice", password: str = CANARY) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@implementer(IAnswering)
class Counting:
    """Wants answers until one is C{last}; tells how many there were."""

    async def readAnswers(self, answers: Any) -> Any:
        verifyObject(IAnswers, answers)
        count = 0
        answer = answers.answer
        while answer != b"last":
            count += 1
            answer = await answers.challenge(f"token-{count}")
        answers.conclude("done")
        return count, answers.secured, answers.identity

    async def readCredentials(self, exchange: Any) -> Any:
        raise AssertionError("that is for another protocol")

    async def writeOutcome(self, exchange: Any, credentials: Any, granted: bool) -> Any:
        raise AssertionError("that is for another protocol")


COUNTING = OfferedMethod(
    "counting", 9, Counting(), capabilities=Capabilities(challenge="Counting")
)


def test_basic() -> None:
    """RFC 7617: the credentials of the request; nothing is sent, neither of yes."""
    client = Client(connect(basic(password="a:b")))
    attempt = result(begun(client, USERPASS))
    assert attempt.method == "userpass"
    assert attempt.credentials.username == b"alice"
    assert attempt.credentials.password == b"a:b"
    assert attempt.event.port == 443
    assert result(Deferred.fromCoroutine(attempt.report(True))) is None
    assert client.sent == b""


@pytest.mark.parametrize("answer", ["", "!", "YWxpY2U", "YWxpY2U=", "YTpi YTpi"])
def test_malformedBasic(answer: str) -> None:
    """It is a failed login like any other, and counts."""
    attempt = result(begun(Client(connect(f"Basic {answer}")), USERPASS))
    assert attempt.failure.reason == "protocol"
    assert attempt.failure.counts


def test_challenged() -> None:
    """Who has no credentials is told what is wanted, and may go on."""
    client = Client(connect())
    waiting = begun(client, COUNTING, USERPASS, NONE)
    # Without credentials the method without messages serves.
    assert result(waiting).method == "none"
    client = Client(connect())
    waiting = begun(client, CHAP, COUNTING, USERPASS)
    assert client.sent.count(b"Proxy-Authenticate: ") == 2
    assert client.sent.index(b"Counting") < client.sent.index(b"Basic realm=")
    client.receive(connect(basic()))
    assert result(waiting).method == "userpass"


def test_aSchemeThatIsNotWanted() -> None:
    """It is no failed login: the client is told."""
    client = Client(connect("NTLM abc"), connect("counting last"))
    attempt = result(begun(client, COUNTING))
    assert attempt.credentials == (0, "clear", None)
    assert client.sent.count(b"HTTP/1.1 407 ") == 1


def test_severalLegs() -> None:
    """One connection, one method, as many requests as it wants."""
    client = Client(
        connect("Counting first"), connect("Counting"), connect("COUNTING last")
    )
    attempt = result(begun(client, USERPASS, COUNTING))
    assert attempt.credentials[0] == 2
    assert b"Proxy-Authenticate: Counting token-1\r\n" in client.sent
    assert b"Proxy-Authenticate: Counting token-2\r\n" in client.sent
    assert b"Basic" not in client.sent
    asking = client.conversation.asking
    assert asking is not None
    assert asking.conclusion == "Counting done"


def test_givenUp() -> None:
    """Another scheme amid the legs of one is no answer."""
    client = Client(connect("Counting first"), connect(basic()))
    attempt = result(begun(client, USERPASS, COUNTING))
    assert isinstance(attempt.failure, AuthenticationFailed)
    assert not attempt.failure.counts


def test_withoutEnd() -> None:
    """Neither legs nor challenges go on for ever."""
    client = Client(*[connect("Counting more")] * (_TURNS + 2))
    failure = result(begun(client, COUNTING)).failure
    assert failure.reason == "protocol"
    client = Client(*[connect()] * (_TURNS + 2))
    assert isinstance(result(begun(client, COUNTING)), Unanswered)
    assert client.sent.count(b"HTTP/1.1 407 ") == _TURNS


@pytest.mark.parametrize(
    "request_", [connect(version="1.0"), connect(more="Connection: close\r\n")]
)
def test_aConnectionThatIsNotKept(request_: bytes) -> None:
    """The last answer says what is wanted, and closes."""
    client = Client(request_)
    failure = result(begun(client, USERPASS))
    assert isinstance(failure, Unanswered)
    assert failure.reply is Reply.NOT_ALLOWED
    answer = client.conversation.deny(failure.reply, failure.reason, str(failure))
    assert b"HTTP/1.1 407 " in answer
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("wanted", [[], [CHAP], [CERTIFICATE]])
def test_nothingToAskFor(wanted: list[OfferedMethod]) -> None:
    """No scheme would help: that is no 407, which people would type into."""
    client = Client(connect(basic()))
    failure = result(begun(client, *wanted))
    assert isinstance(failure, NoAcceptableMethod)
    assert failure.reply is not None
    answer = client.conversation.deny(failure.reply, failure.reason, str(failure))
    assert answer.startswith(b"HTTP/1.1 403 ")


def test_certificate() -> None:
    """What the connection has proved needs no credentials."""
    client = Client(connect(basic()))
    client.identity = object()
    assert result(begun(client, CERTIFICATE, USERPASS)).method == "certificate"


def test_aDefect() -> None:
    """A method that fails is a failed login, without its words."""
    broken = OfferedMethod(
        "broken",
        9,
        object(),
        capabilities=Capabilities(challenge=auth_userpass.method.challenge),
    )
    failure = result(begun(Client(connect(basic())), broken))
    assert failure.reason == "method-failed"


def test_aLoginOfTheConnection() -> None:
    """
    What the connection has proved holds for requests without credentials, as long as
    the method is wanted (RFC 4559 section 6).
    """
    proof = object()
    client = Client(connect())
    client.proved = ("counting", proof)
    attempt = result(begun(client, NONE, COUNTING))
    assert (attempt.method, attempt.credentials) == ("counting", proof)
    assert attempt.event.port == 443
    client = Client(connect(basic()))
    client.proved = ("counting", proof)
    assert result(begun(client, COUNTING, USERPASS)).method == "userpass"
    client = Client(connect())
    client.proved = ("counting", proof)
    begun(client, USERPASS)
    assert client.sent.startswith(b"HTTP/1.1 407 ")
