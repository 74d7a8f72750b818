"""
The control channel of groups: what it takes of a client in one turn, and what waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.relay.groups import Unpermitted, Wanted, serveGroups
from socksgw.relay.membership import GroupSettings, Membership
from socksgw.relay.tally import Tally
from socksgw.wire.address import Address
from socksgw.wire.multicast import Outcome
from tests.fakes.connections import Client, Floor, Recorder
from tests.live.groups import BIND, INSIDE, MULTICAST, RECEIVE, asked
from tests.tools.waiting import until

HOME = Address.parse("127.0.0.1")
#: A reply that refuses: section 4.2, with no address of either side.
REPLY = 3 + 10 + 7 + 7
#: How many requests one read brings, at the most.
MANY = (1 << 16) // len(asked(BIND, 0))


class Judge:
    """
    Refuses every group.

    @ivar asked: the ports of the groups that were asked for.
    """

    most = 8
    tunnels = True

    def __init__(self) -> None:
        self.asked: list[int] = []

    def attach(self, memberships: Any) -> None:
        """Take note of nothing."""

    def ended(self, membership: Membership, reason: str) -> None:
        """Fail: there is none."""
        raise AssertionError(reason)

    async def permit(self, wanted: Wanted, before: Membership | None) -> Any:
        """Refuse it at once."""
        self.asked.append(wanted.port)
        raise Unpermitted(Outcome.NO_RECEIVING)


class Channels:
    """
    Channels on real connections, in one reactor.

    @ivar answered: how many octets of replies the clients have read.
    """

    def __init__(self) -> None:
        self.floor = Floor()
        self.served: list[Deferred[None]] = []
        self.tallies: list[Tally] = []
        self.answered = 0

    def open(self, judge: Any, early: bytes = b"") -> Any:
        """Serve a client, and return its socket."""
        client, connection = self.floor.connect(Recorder())
        inbound: Any = Client(connection)
        inbound.take = lambda taker: connection.take(taker or Recorder())
        watch = self.floor.watch
        timer = SimpleNamespace(clear=lambda: None)
        settings = GroupSettings(watch, watch.soon, lambda *_: timer, 300.0)
        tally = Tally()
        self.tallies.append(tally)
        serving = serveGroups(
            inbound, HOME, settings, judge, lambda: 0.0, None, early, tally
        )
        served = Deferred.fromCoroutine(serving)
        self.served.append(served.addBoth(lambda _: connection.abortConnection()))
        return client

    def turns(self, judge: Judge, count: int) -> list[int]:
        """
        Turn until so much was asked for, while all clients read.

        @return: how much was asked for in each turn.
        """
        found: list[int] = []

        def enough() -> bool:
            before = len(judge.asked)
            self.floor.reactor.iterate(0)
            found.append(len(judge.asked) - before)
            for each in self.floor.clients:
                with suppress(BlockingIOError):
                    self.answered += len(each.recv(1 << 16))
            return len(judge.asked) == count

        until(
            enough,
            turn=lambda: None,
            seen=lambda: f"{len(judge.asked)} {self.answered} {self.served}",
        )
        return found


@pytest.fixture
def channels() -> Iterator[Channels]:
    """A reactor that has nothing left in the end."""
    made = Channels()
    yield made
    for each in made.floor.clients:
        each.close()
    made.floor.until(lambda: all(each.called for each in made.served))
    made.floor.atBase()


def requests(count: int, group: str = "239.9.9.9") -> bytes:
    """Requests for a group, each for another port."""
    flags = RECEIVE | MULTICAST | INSIDE
    return b"".join(asked(BIND, flags, (group, port + 1)) for port in range(count))


def test_turns(channels: Channels) -> None:
    """
    What came in one read is asked for in many turns, in its order, and another client
    is answered meanwhile.
    """
    judge, other = Judge(), Judge()
    channels.open(judge, requests(MANY))
    assert len(judge.asked) <= 32
    neighbour = channels.open(other)
    neighbour.send(requests(1))
    channels.turns(other, 1)
    assert len(judge.asked) < MANY
    assert max(channels.turns(judge, MANY)) <= 32
    assert judge.asked == list(range(1, MANY + 1))
    whole = (MANY + 1) * REPLY
    until(
        lambda: channels.turns(judge, MANY) and channels.answered == whole,
        turn=lambda: None,
    )


def test_moreThanWait(channels: Channels) -> None:
    """Who reads no answers can ask no more at some time; nothing of it is lost."""
    judge, count = Judge(), 5000
    client = channels.open(judge)
    left = memoryview(requests(count))
    answers = bytearray()

    def push() -> None:
        nonlocal left
        with suppress(BlockingIOError):
            left = left[client.send(left) :]

    def read() -> bool:
        push()
        with suppress(BlockingIOError):
            answers.extend(client.recv(1 << 16))
        return len(answers) == count * REPLY

    quiet = 0
    while quiet < 20:
        before = len(left), len(judge.asked)
        push()
        channels.floor.reactor.iterate(0.005)
        quiet = quiet + 1 if before == (len(left), len(judge.asked)) else 0
    assert len(judge.asked) < count
    until(read, turn=lambda: channels.floor.reactor.iterate(0))
    assert judge.asked == list(range(1, count + 1))


def test_brokenBehindMany(channels: Channels) -> None:
    """What is no message ends the channel once it is reached, behind what waits."""
    judge = Judge()
    channels.open(judge, requests(200) + bytes(3))
    (tally,) = channels.tallies
    assert not tally.reason
    until(lambda: channels.turns(judge, 192) and tally.reason, turn=lambda: None)
    assert (tally.reason, tally.reset) == ("protocol", True)
