"""
Nothing tells why a login failed: not the octets, and not the time.
"""

from __future__ import annotations

import hmac
import itertools
import random
import time
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from socksgw.login import passwords
from socksgw.login.passwords import setPassword
from socksgw.login.secrets import setSecret
from tests.live.clients import exactly, opened
from tests.live.running import Running

# Time is what it measures.
pytestmark = pytest.mark.alone

PASSWORD = b"correct-horse"

#: Each try that is to be checked comes from an address of its own.
CONFIGURATION = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[auth]
checkers = ["passwd:{directory}/users", "secrets:{directory}/secrets"]
throttle = {{ per_user = 5, window = "10m" }}
[[auth.choose]]
methods = ["chap", "userpass"]
"""

#: Tries of each kind.
TRIES = 80
#: How far from a half the chance may be that a try of one kind took longer
#: than one of another. By Mann and Whitney its standard deviation is 0.046
#: where nothing differs; a refusal that takes no time has more than 0.4.
MOST = 0.25

Try = Callable[[int, str, bytes, bytes], bytes]


def _field(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def _userpass(port: int, source: str, name: bytes, password: bytes) -> bytes:
    """One try (RFC 1929 section 2), and all that it hears."""
    with closing(opened(port, source)) as client:
        client.sendall(b"\x05\x01\x02\x01" + _field(name) + _field(password))
        return exactly(client, 100)


def _chap(port: int, source: str, name: bytes, password: bytes) -> bytes:
    """
    One try (draft-ietf-aft-socks-chap-01), and all that it hears but for the
    challenge.
    """
    with closing(opened(port, source)) as client:
        client.sendall(b"\x05\x01\x03" + b"\x01\x01\x11\x01\x85")
        heard = exactly(client, 2 + 5 + 4)
        challenge = exactly(client, heard[-1])
        response = hmac.digest(password, challenge, "md5")
        client.sendall(b"\x01\x02\x02" + _field(name) + b"\x04" + _field(response))
        return heard + exactly(client, 100)


def _basic(port: int, source: str, name: bytes, password: bytes) -> bytes:
    """One try (RFC 7617 section 2), and all that it hears."""
    login = b64encode(name + b":" + password)
    with closing(opened(port, source)) as client:
        client.sendall(
            b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n"
            b"Proxy-Authorization: Basic " + login + b"\r\n\r\n"
        )
        return exactly(client, 1000)


def _longer(ones: Sequence[float], others: Sequence[float]) -> float:
    """
    The chance that one of these took longer than one of the others: the
    statistic of Mann and Whitney, as a part of all pairs.
    """
    others = sorted(others)
    smaller = (bisect_left(others, x) + bisect_right(others, x) for x in ones)
    return sum(smaller) / 2 / len(ones) / len(others)


@pytest.mark.parametrize("attempt", [_userpass, _chap, _basic])
def test_noOracle(
    gateway: Callable[..., Running],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attempt: Try,
) -> None:
    """
    An unknown user, a wrong password, and a source that is refused for a
    while, with a wrong password and with the right one: the same octets, in
    times that cannot be told apart.
    """
    monkeypatch.setattr(passwords, "_LN", 11)
    setPassword(tmp_path / "users", "alice", PASSWORD)
    setSecret(tmp_path / "secrets", "alice", PASSWORD)
    serving = gateway(CONFIGURATION.format(directory=tmp_path))
    sources = (f"127.1.{n >> 8}.{n & 255}" for n in itertools.count())
    names = (b"nobody%d" % number for number in itertools.count())
    # The same one again would not be checked, nor counted.
    guesses = (b"wrong%d" % number for number in itertools.count())
    kinds: dict[str, Callable[[], tuple[str, bytes, bytes]]] = {
        "wrong": lambda: (next(sources), b"alice", next(guesses)),
        "unknown": lambda: (next(sources), next(names), next(guesses)),
        "throttled": lambda: ("127.0.0.2", b"alice", next(guesses)),
        "throttled, right": lambda: ("127.0.0.2", b"alice", PASSWORD),
    }
    for _ in range(5):
        attempt(serving.port, *kinds["throttled"]())
    for _ in range(30):
        attempt(serving.port, *kinds["wrong"]())
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    heard = set()
    chance = random.Random(14)
    for _ in range(TRIES):
        # What comes after what tells nothing either.
        for kind in chance.sample(list(kinds), len(kinds)):
            arguments = kinds[kind]()
            began = time.perf_counter()
            heard.add(attempt(serving.port, *arguments))
            took[kind].append(time.perf_counter() - began)
    assert len(heard) == 1
    for one, other in itertools.combinations(kinds, 2):
        longer = _longer(took[one], took[other])
        assert abs(longer - 0.5) < MOST, (one, other, longer)
    reasons = [line["reason"] for line in serving.journal("login-failed")]
    assert reasons.count("throttled") == 2 * TRIES
    assert reasons.count("wrong-credentials") == 2 * TRIES + 35
