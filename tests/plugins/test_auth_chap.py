"""
CHAP from the first message to the status: with our checker, and with
Twisted's.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.cred.checkers import (
    FilePasswordDB,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from socksgw.errors import AuthenticationFailed, ClientLost
from socksgw.interfaces import IAuthenticator
from socksgw.login.portal import Login
from socksgw.login.secrets import SecretsFile, setSecret
from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.negotiation import negotiate
from socksgw.plugins.auth_chap import ChallengeResponse, Chap, method
from socksgw.wire.chap import respond
from socksgw.wire.reader import WireError
from tests.fakes.client import Client
from tests.fakes.gateway import Gateway, well

CANARY = b"canary-c4a9"
CHALLENGE = bytes(range(32))
#: RFC 1928 section 3: method 03 is offered; and chosen.
OFFER, CHOSEN = b"\x05\x01\x03", b"\x05\x03"
#: ALGORITHMS(HMAC-MD5), then CHALLENGE, as the draft has the server answer.
CHALLENGED = b"\x01\x01\x11\x01\x85" + b"\x01\x01\x03\x20" + CHALLENGE
YES, NO = b"\x01\x01\x00\x01\x00", b"\x01\x01\x00\x01\x01"


def response(password: bytes = b"sesame") -> bytes:
    """RESPONSE(HMAC-MD5), made by Python's own HMAC."""
    return b"\x04\x10" + hmac.new(password, CHALLENGE, "md5").digest()


def user(name: bytes = b"alice") -> bytes:
    """USER-IDENTITY."""
    return b"\x02" + bytes((len(name),)) + name


ALGORITHMS = b"\x11\x01\x85"


def message(*attributes: bytes) -> bytes:
    """VER, NAVAS, and these."""
    return bytes((1, len(attributes))) + b"".join(attributes)


#: The two messages of clients that are let in.
SHAPES = {
    "draft": (message(ALGORITHMS), message(user(), response())),
    "draft, otherwise": (message(ALGORITHMS), message(response(), user())),
    "PuTTY": (message(ALGORITHMS, user()), message(response())),
    "twice the same": (message(user(), ALGORITHMS), message(response(), user())),
    "two algorithms": (message(b"\x11\x02\x05\x85"), message(user(), response())),
    "with more": (
        message(b"\x01\x02hi", ALGORITHMS, b"\x05\x05UTF-8", b"\x77\x00"),
        message(b"\x10\x01\x07", user(), b"\xfe\x01x", response(), b"\x01\x01x"),
    ),
}


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> SecretsFile:
    """A secrets file where alice has C{sesame}."""
    path = tmp_path_factory.mktemp("chap") / "secrets"
    setSecret(path, "alice", b"sesame")
    return SecretsFile(path)


def lead(checker: Any, *chunks: bytes, ends: bool = True) -> tuple[Client, Any]:
    """
    A whole login, as a session leads it.

    @param ends: whether it comes to its end.
    @return: the client, and the user or the exception.
    """
    client = Client(*chunks)
    offered = OfferedMethod("chap", 3, Chap(lambda octets: CHALLENGE[:octets]))
    login = Login([checker], {}, 60, Clock().seconds)

    async def session() -> Any:
        attempt: Attempt = await negotiate(client, await client.next(), [offered])
        if attempt.failure is not None:
            await attempt.report(False)
            raise attempt.failure
        try:
            user = await login.settle(attempt.credentials, "chap", client.source)
        except AuthenticationFailed:
            await attempt.report(False)
            raise
        await attempt.report(True)
        return user

    results: list[Any] = []
    Deferred.fromCoroutine(session()).addBoth(results.append)
    assert bool(results) is ends
    return client, getattr(results[0], "value", results[0]) if results else None


# The algorithm.


@pytest.mark.parametrize(
    ("key", "text", "digest"),
    [
        # RFC 2104, appendix "Test Vectors".
        (b"\x0b" * 16, b"Hi There", "9294727a3638bb1c13f48ef8158bfc9d"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "750c783e6ab0b503eaa86e310a5db738",
        ),
        (b"\xaa" * 16, b"\xdd" * 50, "56be34521d144c88dbb8c733f0e8b3f6"),
        # And one of a login.
        (b"sesame", bytes(range(16)), "dadc3e9c4ec4bb3da7a2ab0adfa2ea1b"),
    ],
)
def test_vectors(key: bytes, text: bytes, digest: str) -> None:
    """HMAC-MD5 is that of RFC 2104."""
    assert respond(key, text).hex() == digest


# Logins.


@pytest.mark.parametrize("shape", SHAPES)
def test_letIn(checker: SecretsFile, shape: str) -> None:
    """
    Both shapes of messages, attributes in any order and unknown ones among
    them: challenged, let in, told so in one octet.
    """
    client, user = lead(checker, OFFER, *SHAPES[shape])
    assert client.sent == CHOSEN + CHALLENGED + YES
    assert (user.name, user.method) == ("alice", "chap")


@pytest.mark.parametrize("shape", ["draft", "PuTTY"])
def test_everySplit(checker: SecretsFile, shape: str) -> None:
    """However the octets are cut, in two or one by one, it is the same."""
    octets = OFFER + b"".join(SHAPES[shape])
    whole = CHOSEN + CHALLENGED + YES
    for cut in range(len(octets) + 1):
        client, user = lead(checker, octets[:cut], octets[cut:])
        assert (client.sent, user.name) == (whole, "alice")
    client, user = lead(checker, *(bytes((octet,)) for octet in octets))
    assert (client.sent, user.name) == (whole, "alice")
    for end in range(len(octets)):
        client, _ = lead(checker, octets[:end], ends=False)
        assert whole.startswith(client.sent)
        assert len(client.sent) < len(whole)


WRONG = {
    "password": message(user(), response(b"Sesame")),
    "user": message(user(b"nobody"), response()),
    "no user's password": message(user(b"nobody"), response(b"")),
    "user's case": message(user(b"Alice"), response()),
    "nothing": message(user(b""), b"\x04\x00"),
    "short": message(user(), response()[:-1].replace(b"\x04\x10", b"\x04\x0f")),
    "long": message(user(), b"\x04\x11" + response()[2:] + b"\0"),
    "longest": message(user(b"x" * 255), b"\x04\xff" + bytes(255)),
    "for another challenge": message(
        user(), b"\x04\x10" + hmac.digest(b"sesame", bytes(32), "md5")
    ),
    "asking back": message(user(), response(b"x"), b"\x03\x04abcd"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong(checker: SecretsFile, kind: str) -> None:
    """Whatever is wrong, the same octets, and the same failure."""
    client, failure = lead(checker, OFFER, message(ALGORITHMS), WRONG[kind])
    assert client.sent == CHOSEN + CHALLENGED + NO
    assert type(failure) is AuthenticationFailed
    assert (failure.reason, failure.counts) == ("wrong-credentials", True)
    # The name comes first, as PuTTY has it: challenged all the same.
    name = b"nobody" if "user" in kind else b"alice"
    first = message(ALGORITHMS, user(name))
    client, failure = lead(checker, OFFER, first, message(response(b"x")))
    assert client.sent == CHOSEN + CHALLENGED + NO


@pytest.mark.parametrize(
    "first", [message(b"\x11\x01\x05"), message(user()), message(), message(b"\x11\0")]
)
def test_noAlgorithm(checker: SecretsFile, first: bytes) -> None:
    """
    "If the server is unable or unwilling to use any of the algorithms", it
    says STATUS(failure), and challenges nobody.
    """
    client, failure = lead(checker, OFFER, first)
    assert client.sent == CHOSEN + NO
    assert isinstance(failure, AuthenticationFailed)
    assert (failure.reason, failure.counts) == ("algorithm", False)


def test_noAlgorithmIsRecordedFirst() -> None:
    """Nothing is told of a failure before it is recorded."""
    gateway = Gateway([OfferedMethod("chap", 3, Chap())])
    gateway.connect(OFFER + message(b"\x11\x01\x05"))
    assert gateway.order == ["sent", "commit", "sent", "ended"]
    assert gateway.lines()[0]["reason"] == "algorithm"
    well(gateway)


@pytest.mark.parametrize(
    "messages",
    [
        (b"\x02" + message(ALGORITHMS)[1:],),
        (b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",),
        (message(ALGORITHMS), message(response())),
        (message(ALGORITHMS), message(user())),
        (message(ALGORITHMS), message()),
        (message(ALGORITHMS, user(b"bob")), message(user(), response())),
        (message(ALGORITHMS), message(user(b"bob"), user(), response())),
        (message(ALGORITHMS), b"\x01\xff" + b"\x01\xff" + bytes(255) * 20),
    ],
    ids=[
        "version",
        "a request",
        "nobody",
        "no response",
        "nothing",
        "two users",
        "two at once",
        "endless",
    ],
)
def test_broken(checker: SecretsFile, messages: tuple[bytes, ...]) -> None:
    """What breaks the protocol gets no status at all."""
    client, failure = lead(checker, OFFER, *messages)
    assert isinstance(failure, WireError)
    assert client.sent in (CHOSEN, CHOSEN + CHALLENGED)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                message(ALGORITHMS),
                message(ALGORITHMS, user()),
                message(user(), response(b"x")),
                message(response(b"x")),
                message(user()),
                YES,
                message(ALGORITHMS, user(), response(b"x")),
                b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
                b"\x01\x05alice\x06sesame",
                b"\x01",
            ]
        ),
        max_size=5,
    )
)
def test_nobodyWithoutResponse(checker: SecretsFile, messages: list[bytes]) -> None:
    """No sequence of messages without the right response lets anybody in."""
    client = Client(OFFER, *messages)
    results: list[Any] = []
    offered = OfferedMethod("chap", 3, Chap(lambda octets: CHALLENGE[:octets]))
    login = Login([checker], {}, 60, Clock().seconds)

    async def session() -> Any:
        attempt = await negotiate(client, await client.next(), [offered])
        return await login.settle(attempt.credentials, "chap", client.source)

    Deferred.fromCoroutine(session()).addBoth(results.append)
    outcome = results and getattr(results[0], "value", results[0])
    assert not outcome or isinstance(outcome, (WireError, AuthenticationFailed))
    assert YES not in client.sent


def test_challengesDiffer(checker: SecretsFile) -> None:
    """Each client gets a challenge of its own, of 16 octets at the very least."""
    challenges = set()
    for _ in range(20):
        client = Client(OFFER, message(ALGORITHMS))
        offered = OfferedMethod("chap", 3, method.build({}, None))

        async def session(client: Client = client, offered: Any = offered) -> None:
            await negotiate(client, await client.next(), [offered])

        Deferred.fromCoroutine(session()).addErrback(lambda _: None)
        head = CHOSEN + CHALLENGED[: -len(CHALLENGE)]
        assert client.sent.startswith(head)
        challenges.add(client.sent[len(head) :])
    assert len(challenges) == 20
    assert {len(challenge) for challenge in challenges} == {32}


# Mutual authentication.

THEIRS = b"\x03\x10" + b"their challenge!"


def test_mutual(checker: SecretsFile) -> None:
    """
    A client that challenges us gets our response with the status, made with
    the same password, and says a status of its own ("Mutual Authentication").
    """
    second = message(user(), THEIRS, response())
    client, user_ = lead(checker, OFFER, message(ALGORITHMS), second, YES)
    ours = hmac.new(b"sesame", b"their challenge!", "md5").digest()
    assert client.sent == CHOSEN + CHALLENGED + b"\x01\x02\x00\x01\x00\x04\x10" + ours
    assert user_.name == "alice"
    # Until it does, nothing goes on.
    lead(checker, OFFER, message(ALGORITHMS), second, ends=False)


@pytest.mark.parametrize("status", [NO, message(), message(b"\0\0"), message(user())])
def test_mutualInVain(checker: SecretsFile, status: bytes) -> None:
    """A client that does not take our response is not let in either."""
    second = message(user(), THEIRS, response())
    _, failure = lead(checker, OFFER, message(ALGORITHMS), second, status)
    assert type(failure) is ClientLost
    assert failure.reason == "distrust"


# Checkers, and what is never said.


def test_twistedsCheckers(tmp_path: Path) -> None:
    """Any checker of Twisted's that knows passwords will do."""
    file = tmp_path / "users"
    file.write_bytes(b"alice:sesame\n")
    memory = InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame")
    for checker in (memory, FilePasswordDB(str(file))):
        for shape in ("draft", "PuTTY"):
            _, user = lead(checker, OFFER, *SHAPES[shape])
            assert user.name == "alice"
        _, failure = lead(checker, OFFER, message(ALGORITHMS), WRONG["password"])
        assert isinstance(failure, AuthenticationFailed)


def test_notRemembered(checker: SecretsFile) -> None:
    """
    A response is good for its challenge only: what was right once is not
    remembered, and not right for another.
    """
    first = ChallengeResponse(b"alice", CHALLENGE, response()[2:], None)
    again = ChallengeResponse(b"alice", bytes(32), response()[2:], None)
    login = Login([checker], {}, 60, Clock().seconds)
    results: list[Any] = []
    for credentials in (first, again):
        settling = login.settle(credentials, "chap", Client().source)
        Deferred.fromCoroutine(settling).addBoth(results.append)
    assert results[0].name == "alice"
    assert results[1].value.reason == "wrong-credentials"


def test_interfaces() -> None:
    """What the Portal and the session expect."""
    verifyObject(IAuthenticator, method.build({}, None))
    verifyObject(
        IUsernameHashedPassword, ChallengeResponse(b"a", CHALLENGE, b"r", None)
    )
    with pytest.raises(ValueError, match='unknown key "algorithm"'):
        method.build({"algorithm": "md5"}, None)


def test_withoutMD5(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where policy forbids MD5 the method cannot be offered, and says why."""

    def digest(*_: object) -> bytes:
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr(hmac, "digest", digest)
    with pytest.raises(ValueError, match="FIPS"):
        method.build({}, None)


def test_neverPrinted(tmp_path: Path) -> None:
    """Neither the password nor a response is in any text."""
    path = tmp_path / "secrets"
    setSecret(path, "alice", CANARY)
    credentials = ChallengeResponse(b"alice", CHALLENGE, CANARY, CANARY)
    assert "canary" not in repr(credentials)
    with capturedLogs() as events:
        checker = SecretsFile(path)
        _, failure = lead(
            checker, OFFER, message(ALGORITHMS), message(user(), response())
        )
        _, found = lead(
            checker, OFFER, message(ALGORITHMS), message(user(), response(CANARY))
        )
    assert found.name == "alice"
    assert not events
    for text in (
        repr(failure),
        str(failure.args),
        repr(checker),
        repr(checker.users()),
    ):
        assert "canary" not in text
