"""
Logins that processes count together: as one process would, whoever has them.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from socksgw.config.convert import Duration
from socksgw.config.schema import Throttle
from socksgw.login import ring as module
from socksgw.login.ring import Event, Ring
from socksgw.login.throttle import LoginThrottle
from socksgw.wire.address import Address

HERE = Address.parse("192.0.2.7")
LIMITS = Throttle(3, 6, Duration(60))


class Several:
    """Throttles of processes, each with the memory as its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.ring = Ring.made()
        self.fds = [self.ring.fd]

    def throttle(self) -> LoginThrottle:
        """Return that of a process that begins."""
        self.fds.append(self.ring.another())
        found = self.alone()
        found.join(Ring(self.fds[-1]))
        return found

    def alone(self) -> LoginThrottle:
        """Return one that counts for itself."""
        found = LoginThrottle(self.clock.seconds, self.clock.callLater)
        found.configure(LIMITS)
        return found

    def close(self) -> None:
        """Close the memory."""
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def several() -> Iterator[Several]:
    """The memory."""
    found = Several()
    yield found
    found.close()


@pytest.mark.parametrize("seed", range(8))
def test_asOneProcess(several: Several, seed: int) -> None:
    """
    Whatever happens at which of three, through deaths: each answers as one would that
    has had all of it.
    """
    chance = random.Random(seed)
    one, each = several.alone(), [several.throttle() for _ in range(3)]
    sources = [HERE, Address.parse("2001:db8::1"), Address.ofUser(1000)]
    names = [b"alice", b"bob", b"Alice ", None]
    for _ in range(400):
        here = chance.randrange(3)
        source, name = chance.choice(sources), chance.choice(names)
        what = chance.random()
        if what < 0.6:
            password = chance.choice([None, b"a", b"b"])
            assert one.failed(source, name, password) is each[here].failed(
                source, name, password
            )
        elif what < 0.8 and name is not None:
            one.succeeded(source, name)
            each[here].succeeded(source, name)
        elif what < 0.83:
            each[here] = several.throttle()
        for throttle in each:
            assert throttle.blocked == one.blocked
            assert len(throttle.past) == len(one.past)
            for name in (b"alice", b"bob", b"carol"):
                assert throttle.refusing(source, name) is one.refusing(source, name)
        several.clock.advance(chance.choice([0, 0.5, 5, 40]))


def test_whoStandsStill(several: Several) -> None:
    """
    While another one does in its turn, what fails here counts here, and for all
    afterwards.
    """
    here, there = several.throttle(), several.throttle()
    fcntl.flock(several.ring.fd, fcntl.LOCK_EX)
    for _ in range(3):
        assert here.failed(HERE, b"alice")
    assert here.refusing(HERE, b"alice")
    assert not there.refusing(HERE, b"alice")
    fcntl.flock(several.ring.fd, fcntl.LOCK_UN)
    assert here.failed(HERE, b"bob")
    assert there.refusing(HERE, b"alice")
    assert len(there.past) == len(here.past) == 4


def test_anotherJoins(several: Several) -> None:
    """
    What a process has counted alone counts for one that takes over from it, and from
    then on both count together.
    """
    one = several.alone()
    one.succeeded(HERE, b"alice")
    for password in (b"a", b"b"):
        assert one.failed(HERE, b"bob", password)
    assert one.failed(HERE, None)
    ring = one.together()
    assert one.together() is ring
    several.fds += [ring.fd, ring.another()]
    other = several.alone()
    other.join(Ring(several.fds[-1]))
    assert not other.refusing(HERE, b"bob")
    # The same password counts once.
    assert other.failed(HERE, b"bob", b"b")
    assert not other.refusing(HERE, b"bob")
    assert other.failed(HERE, b"bob", b"c")
    assert one.refusing(HERE, b"bob")
    assert other.refusing(HERE, b"bob")
    for name in (b"c", b"d", b"e"):
        one.failed(HERE, name, b"x")
    # The source is refused by now, and not whom it has known.
    for each in (one, other):
        assert each.refusing(HERE, b"eve")
        assert not each.refusing(HERE, b"alice")
    several.clock.advance(60)
    assert not other.refusing(HERE, b"bob")


def test_longKeys(several: Several) -> None:
    """A source with a long key is one source everywhere."""
    there = Address.parse("192.0.2.7")
    there.sourceKey = b"192.0.2.7@netns:a-network-with-a-name"
    one, other = several.throttle(), several.throttle()
    for _ in range(6):
        one.failed(there, None)
    assert other.refusing(there, b"anybody")
    assert not other.refusing(HERE, b"anybody")


def test_itGoesRound(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written over is not read; the rest is, once, and in order."""
    monkeypatch.setattr(module, "_EVENTS", 8)
    late, writer = Ring(several.ring.another()), several.ring
    several.fds.append(late.fd)
    for when in range(20):
        writer.add(Event(when, False, b"abcd", None, None))
    assert [each.when for each in late.news()] == [*range(12, 20)]
    assert [*late.news()] == []
    assert not late.isNews
    event = Event(21, True, b"", b"n" * 16, b"t" * 16)
    writer.add(event)
    assert late.isNews
    assert [*late.news()] == [event]


def test_anUnfinishedEvent(several: Several) -> None:
    """A process that is killed as it adds one leaves nothing; the next one does."""
    other = Ring(several.ring.another())
    several.fds.append(other.fd)
    several.ring._memory[4096:4200] = b"\xff" * 104
    assert not other.isNews
    event = Event(1.0, False, b"abcd", None, None)
    several.ring.add(event)
    assert [*other.news()] == [event]
