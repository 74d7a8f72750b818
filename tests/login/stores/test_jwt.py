"""
Logins by tokens, and the configuration of their checker.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import CancelledError
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from socksgw.interfaces import IBearerToken, Settings
from socksgw.login.refusal import Refused
from socksgw.login.stores.jwt import JWTChecker, jwtChecker
from tests.tools.tokens import AUDIENCE, ISSUER, Issuer, encoded, setOf


@implementer(IBearerToken)
class Bearer:
    """What a client says that has a token."""

    def __init__(self, token: bytes, username: bytes = b"") -> None:
        self.token, self.username = token, username


def checkerOf(path: Path, *issuers: Issuer, **table: Any) -> JWTChecker:
    """A checker with the keys in a file."""
    (path / "keys.json").write_bytes(setOf(*issuers))
    (path / "keys.json").chmod(0o644)
    said = {"issuer": ISSUER, "audience": AUDIENCE, "keys": "keys.json", **table}
    return jwtChecker(Settings(said, path, name="ci"), MemoryReactorClock())


def login(checker: JWTChecker, credentials: Any) -> Any:
    """Who has logged in, or the reason and the text of the refusal."""
    found: list[Any] = []
    checker.requestAvatarId(credentials).addBoth(found.append)
    (result,) = found
    if hasattr(result, "value"):
        assert isinstance(result.value, Refused), result
        return result.value.reason, result.value.why
    return result


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_login(tmp_path: Path, algorithm: str) -> None:
    """As a bearer's, and as a password where it fits."""
    issuer = Issuer(algorithm)
    checker = checkerOf(tmp_path, issuer, algorithms=[algorithm], groups_claim="roles")
    token = issuer.token(roles=["deploy"])
    for credentials in (
        Bearer(token),
        Bearer(token, b"build"),
        UsernamePassword(b"token", token),
        UsernamePassword(b"", token),
        UsernamePassword(b"build", token),
    ):
        proved = login(checker, credentials)
        assert (proved.name, proved.groups) == ("build", {"deploy"})
        assert 0 < proved.expires - time.time() <= 630


@pytest.mark.parametrize("name", [b"Build", b"alice", b"tokens", b"build ", b"\xff"])
def test_otherName(tmp_path: Path, name: bytes) -> None:
    """A user name beside a token is the token's, or says nothing."""
    issuer = Issuer()
    found = login(checkerOf(tmp_path, issuer), UsernamePassword(name, issuer.token()))
    assert found == (
        "bad-token",
        "the token is another user's than the user name beside it says",
    )


@pytest.mark.parametrize(
    ("credentials", "why"),
    [
        (UsernamePassword(b"alice", b"hunter2"), "the credential is no token"),
        (UsernamePassword(b"token", b""), "the credential is no token"),
        (Bearer(b"e" * 65536), "the token is longer than 16 KiB"),
        (
            Bearer(encoded({"alg": "ES256"}) + b".e30.AA"),
            "the token is of another issuer",
        ),
        (Bearer(encoded([]) + b".e30.AA"), "the credential is no token"),
        (
            Bearer(encoded(b'{"alg": "ES256", "alg": "none"}') + b".e30.AA"),
            "the credential is no token that can be read",
        ),
        (
            Bearer(encoded({"alg": "ES256"}) + b"." + encoded(b"[" * 9000) + b".AA"),
            "the credential is no token that can be read",
        ),
    ],
)
def test_noToken(tmp_path: Path, credentials: Any, why: str) -> None:
    """Another checker may know what this is: that is no more than wrong."""
    checker = checkerOf(tmp_path, Issuer())
    assert login(checker, credentials) == ("wrong-credentials", why)


def test_duplicates(tmp_path: Path) -> None:
    """Claims that stand twice are read in two ways by two programs."""
    issuer = Issuer()
    twice = b'{"iss": "%b", "sub": "a", "sub": "b"}' % ISSUER.encode()
    found = login(checkerOf(tmp_path, issuer), Bearer(issuer.sign(twice)))
    assert found == ("wrong-credentials", "the credential is no token that can be read")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://thief.example"}, "wrong-credentials"),
        ({"aud": "other"}, "bad-token"),
        ({"exp": 1}, "bad-token"),
        ({"exp": None}, "bad-token"),
        ({"sub": None}, "bad-token"),
    ],
)
def test_refused(tmp_path: Path, claims: dict[str, Any], reason: str) -> None:
    issuer = Issuer()
    found = login(checkerOf(tmp_path, issuer), Bearer(issuer.token(**claims)))
    assert found[0] == reason


def test_leeway(tmp_path: Path) -> None:
    """Within it a token is good that has ended, and the login ends with it."""
    issuer = Issuer()
    token = issuer.token(exp=int(time.time()) - 5)
    proved = login(checkerOf(tmp_path, issuer), Bearer(token))
    assert 0 < proved.expires - time.time() <= 26
    none = checkerOf(tmp_path, issuer, leeway="0s")
    assert login(none, Bearer(token)) == ("bad-token", "the token has expired")


def test_rotated(tmp_path: Path) -> None:
    """The file is read again; who was remembered by other keys is asked again."""
    old, new = Issuer("ES256", "k1"), Issuer("ES256", "k2")
    checker = checkerOf(tmp_path, old)
    assert login(checker, Bearer(old.token())).name == "build"
    assert login(checker, Bearer(new.token()))[1] == (
        "the token names a key that the issuer does not have"
    )
    stamp = checker.stamp()
    (tmp_path / "keys.json").write_bytes(setOf(new))
    assert checker.stamp() != stamp
    # So a reload that comes at the same time remembers nobody either.
    assert checkerOf(tmp_path, new).stamp() == checker.stamp() != stamp
    assert login(checker, Bearer(new.token())).name == "build"
    assert login(checker, Bearer(old.token()))[0] == "bad-token"


# The configuration.

FILE = {"issuer": ISSUER, "audience": AUDIENCE, "keys": "keys.json"}
URL = {"issuer": ISSUER, "audience": AUDIENCE, "keys_url": "https://issuer.example/k"}


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ({**FILE, "issuer": ""}, "issuer", "is missing"),
        ({**FILE, "issuer": "spiffe://a/b/"}, "issuer", "must be a trust domain"),
        ({**FILE, "issuer": "SPIFFE://a"}, "issuer", "must be a trust domain"),
        ({**FILE, "audience": []}, "audience", "must be a string or an array"),
        ({**FILE, "audience": [7]}, "audience", "must be a string or an array"),
        ({**FILE, "audience": ""}, "audience", "must be a string or an array"),
        ({"issuer": ISSUER, "audience": "x"}, "keys", "either keys"),
        ({**FILE, "keys_url": "https://x/"}, "keys", "either keys"),
        ({**FILE, "keys": "gone.json"}, "keys", "No such file"),
        ({**FILE, "keys": "wide.json"}, "keys", "others can change it"),
        ({**FILE, "keys": "bad.json"}, "keys", "bad.json: not a set of keys"),
        ({**FILE, "refresh": "5m"}, "refresh", "is of no use without keys_url"),
        ({**FILE, "algorithms": ["none"]}, "algorithms", "could sign it"),
        ({**FILE, "algorithms": ["HS256"]}, "algorithms", "could sign it"),
        ({**FILE, "algorithms": []}, "algorithms", "is empty"),
        ({**FILE, "algorithms": ["RS1"]}, "algorithms", "is none of"),
        ({**FILE, "leeway": "6m"}, "leeway", "at most 300s"),
        ({**FILE, "name_claim": []}, "name_claim", "must be the name of a claim"),
        ({**FILE, "name_claim": [""]}, "name_claim", "must be the name of a claim"),
        ({**FILE, "name_claim": 7}, "name_claim", "must be the name of a claim"),
        ({**FILE, "prefix": "a\n"}, "prefix", "control characters"),
        ({**FILE, "require": "x"}, "require[0]", "must be a table"),
        ({**FILE, "require": [{"claim": "x"}]}, "require[0]", "must be a table"),
        (
            {**FILE, "require": [{"claim": "x", "is": "y"}]},
            "require[0].is",
            "must be an array",
        ),
        (
            {**FILE, "require": [{"claim": [], "is": ["y"]}]},
            "require[0].claim",
            "must be the name",
        ),
        ({**FILE, "secret": "x"}, "secret", "unknown key"),
        ({**URL, "keys_url": "http://issuer.example/k"}, "keys_url", "use https://"),
        ({**URL, "keys_url": "issuer.example"}, "keys_url", "must be a URL"),
        ({**URL, "hold": "1m"}, "hold", "must not be less than refresh"),
        ({**URL, "token_file": "bad.json"}, "token_file", "others can read it"),
        ({**URL, "timeout": "2m"}, "timeout", "at most 60s"),
    ],
)
def test_wrong(table: dict[str, Any], key: str, text: str, tmp_path: Path) -> None:
    """Each mistake is told by its key, with what helps."""
    for name, octets, mode in (
        ("keys.json", setOf(Issuer()), 0o644),
        ("wide.json", setOf(Issuer()), 0o666),
        ("bad.json", b"{}", 0o644),
    ):
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(mode)
    mistakes: list[tuple[str, str]] = []
    settings = Settings(table, tmp_path, name="ci", wrong=lambda *w: mistakes.append(w))
    try:
        jwtChecker(settings, MemoryReactorClock())
    except ValueError:
        assert mistakes
    assert [k for k, _ in mistakes] == [key]
    assert text in mistakes[0][1]


def test_cancelled(tmp_path: Path) -> None:
    """A login that nobody waits for ends, also while it waits for keys."""
    reactor: Any = MemoryReactorClock()
    checker = jwtChecker(Settings(URL, tmp_path, name="ci"), reactor)
    found: list[Any] = []
    asking = checker.requestAvatarId(Bearer(Issuer().token()))
    asking.addBoth(found.append)
    asking.cancel()
    assert found[0].check(CancelledError)
    reactor.advance(5.1)
    assert reactor.getDelayedCalls() == []
