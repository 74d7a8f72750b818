"""
Where keys come from, and what counts while they cannot be had.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.login.stores.keyset import UnknownKey, keySetIn
from socksgw.login.stores.keysource import FileKeys, URLKeys
from socksgw.login.stores.remote import Unavailable
from tests.tools.tokens import Issuer, setOf

PARSE = partial(keySetIn, algorithms=("ES256",))
OLD, NEW = Issuer("ES256", "old"), Issuer("ES256", "new")


def result(asking: Any) -> Any:
    """What a coroutine says, the text of its failure, or L{None} while it waits."""
    found: list[Any] = []
    Deferred.fromCoroutine(asking).addBoth(found.append)
    if not found:
        return None
    error = getattr(found[0], "value", None)
    return found[0] if error is None else getattr(error, "why", repr(error))


def asked(asking: Any) -> Deferred[Any]:
    """A coroutine that waits; its failure comes as a text."""
    waiting: Any = Deferred.fromCoroutine(asking)
    waiting.addErrback(lambda failure: failure.value.why)
    found: Deferred[Any] = waiting
    return found


def has(keys: Any, issuer: Issuer) -> bool:
    """Whether a key is in a set."""
    try:
        return bool(list(keys.of(issuer.kid, "ES256")))
    except UnknownKey:
        return False


# A file.


def kept(tmp_path: Path, clock: Clock) -> tuple[FileKeys, Callable[[bytes], None]]:
    """The keys of a file, and what changes it."""
    path = tmp_path / "keys.json"

    def write(octets: bytes) -> None:
        path.write_bytes(octets)
        path.chmod(0o644)
        os.utime(path, ns=(0, write.count))  # type: ignore[attr-defined]
        write.count += 1  # type: ignore[attr-defined]

    write.count = 1  # type: ignore[attr-defined]
    write(setOf(OLD))
    return FileKeys(path, PARSE, 60, clock.seconds), write


@pytest.mark.parametrize(
    "octets",
    [b"", b"{", setOf(OLD)[:-5], b'{"keys": []}'],
    # The keys are others in each process.
    ids=["empty", "a brace", "cut", "no keys"],
)
def test_fileBroken(tmp_path: Path, octets: bytes) -> None:
    """A file that is cut or empty leaves the keys for a time, and it is said."""
    clock = Clock()
    keys, write = kept(tmp_path, clock)
    before = keys.state
    write(octets)
    assert has(result(keys.current()), OLD)
    assert "keys.json" in keys.trouble
    assert "the keys that it had count for 60 s more" in keys.trouble
    assert keys.state == before
    clock.advance(61)
    assert "keys.json" in result(keys.current())
    write(setOf(NEW))
    assert has(result(keys.current()), NEW)
    assert keys.state != before
    assert keys.trouble == ""


def test_fileGone(tmp_path: Path) -> None:
    clock = Clock()
    keys, _ = kept(tmp_path, clock)
    (tmp_path / "keys.json").unlink()
    assert has(result(keys.current()), OLD)
    assert "No such file" in keys.trouble
    clock.advance(61)
    assert "No such file" in result(keys.current())


def test_fileRights(tmp_path: Path) -> None:
    """Whoever can change the file could log in as anybody."""
    keys, write = kept(tmp_path, Clock())
    write(setOf(NEW))
    (tmp_path / "keys.json").chmod(0o646)
    keys.look()
    assert "others can change it" in keys.trouble
    assert not has(result(keys.current()), NEW)
    (tmp_path / "keys.json").chmod(0o644)
    assert has(result(keys.current()), NEW)


# A URL.


class Service:
    """
    A server that answers when the test says so.

    @ivar asked: the questions that wait for an answer.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[bytes]] = []
        self.tokens: list[bytes] = []

    async def fetch(self, _url: str, token: bytes) -> bytes:
        asking: Deferred[bytes] = Deferred()
        self.asked.append(asking)
        self.tokens.append(token)
        return await asking

    def answer(self, octets: bytes) -> None:
        self.asked.pop().callback(octets)

    def fail(self, why: str) -> None:
        self.asked.pop().errback(Unavailable(why))


class Published:
    """Keys at a URL."""

    def __init__(self, token: Path | None = None) -> None:
        self.clock = Clock()
        self.service = Service()
        service: Any = self.service
        self.keys = URLKeys(
            self.clock, service, "https://i.example", PARSE, 5, 300, 3600, token
        )

    def started(self) -> Published:
        """Have the first keys."""
        result(self.keys.current())
        self.service.answer(setOf(OLD))
        return self


def test_urlOnce() -> None:
    """Nothing is asked before a login; all who wait get one answer."""
    found = Published()
    assert not found.service.asked
    waiting = [Deferred.fromCoroutine(found.keys.current()) for _ in range(3)]
    assert len(found.service.asked) == 1
    found.service.answer(setOf(OLD))
    assert all(has(each.result, OLD) for each in waiting)
    found.clock.advance(299)
    assert has(result(found.keys.current()), OLD)
    assert not found.service.asked


def test_urlRotated() -> None:
    """When the time is over it is asked again, before the old keys are used."""
    found = Published().started()
    before = found.keys.state
    found.clock.advance(300)
    asking = asked(found.keys.current())
    found.service.answer(setOf(NEW))
    assert has(asking.result, NEW)
    assert not has(asking.result, OLD)
    assert found.keys.state not in (None, before)
    before = found.keys.state
    # The same answer is no change.
    found.clock.advance(300)
    result(found.keys.current())
    found.service.answer(setOf(NEW))
    assert found.keys.state == before


def test_urlUnknown() -> None:
    """A key that is not known asks again, at most once in ten seconds."""
    found = Published().started()
    assert result(found.keys.newer()) is None
    assert not found.service.asked
    found.clock.advance(10)
    asking = asked(found.keys.newer())
    found.service.answer(setOf(OLD, NEW))
    assert has(asking.result, NEW)
    for _ in range(100):
        assert result(found.keys.newer()) is None
    assert not found.service.asked


@pytest.mark.parametrize("octets", [b"", b"<html>", b'{"keys": []}', b"x" * 65537])
def test_urlNoAnswer(octets: bytes) -> None:
    """What is no set is no answer."""
    found = Published()
    asking = asked(found.keys.current())
    found.service.answer(octets)
    assert str(asking.result).startswith(
        "https://i.example cannot be asked for keys: an "
    )


def test_urlDown() -> None:
    """Known keys go on for a time; then no token is good; each try is bounded."""
    found = Published().started()
    found.clock.advance(301)
    asking = asked(found.keys.current())
    found.service.fail("status 503")
    assert has(asking.result, OLD)
    assert found.keys.trouble.endswith("cannot be asked for keys: status 503")
    # Not asked again for each login.
    assert has(result(found.keys.current()), OLD)
    assert not found.service.asked
    found.clock.advance(3300)
    asking = asked(found.keys.current())
    found.service.fail("status 503")
    assert "status 503" in str(asking.result)
    assert "status 503" in result(found.keys.current())
    found.clock.advance(10)
    asking = asked(found.keys.current())
    found.service.answer(setOf(OLD))
    assert has(asking.result, OLD)
    assert found.keys.trouble == ""


def test_urlHangs() -> None:
    """A server that hangs costs one login its time, and no key."""
    found = Published().started()
    found.clock.advance(301)
    asking = asked(found.keys.current())
    found.clock.advance(5)
    assert has(asking.result, OLD)
    assert found.keys.trouble.endswith("no answer within 5 s")
    # The first time there are no keys to go on with.
    first = Published()
    asking = asked(first.keys.current())
    first.clock.advance(5)
    assert str(asking.result).endswith("no answer within 5 s")


def test_urlToken(tmp_path: Path) -> None:
    """The server is told a token that is renewed in its file."""
    path = tmp_path / "token"
    path.touch(0o600)
    found = Published(path)
    for octets in (b"one\n", b"two"):
        path.write_bytes(octets)
        result(found.keys.current())
        found.service.answer(setOf(OLD))
        found.clock.advance(300)
    assert found.service.tokens == [b"one", b"two"]
    path.chmod(0o644)
    assert has(result(found.keys.current()), OLD)
    assert "others can read it" in found.keys.trouble
