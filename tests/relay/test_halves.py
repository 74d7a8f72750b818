"""
The two halves of a connection: every order in which both sides can send, end
and fail.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from socksgw.relay.halves import Half, Input, Output


class Relay:
    """
    What the halves tell.

    @ivar told: the end, if it has come.
    """

    settings: Any = SimpleNamespace()

    def __init__(self) -> None:
        self.told: list[str] = []

    def finish(self, reason: str) -> None:
        self.told.append(reason)

    def lost(self, half: Any) -> None:
        assert half.output is Output.LOST
        self.told.append("lost")


class Connection(Half):
    """
    A connection whose peer may be slow to read.

    @ivar held: whether octets of it wait for the other one.
    @ivar ends: how often its own side was ended.
    """

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.held = False
        self.ends = 0

    def endOutput(self) -> None:
        # Nothing that came before is left behind.
        assert not self.other.held
        self.ends += 1
        self.output = Output.ENDED


class World:
    """A relay, and the connections at its two ends."""

    def __init__(self) -> None:
        self.relay = Relay()
        self.ends = (Connection(self.relay), Connection(self.relay))
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def hold(self, end: Connection) -> None:
        if end.input is Input.OPEN:
            end.held = True

    def drain(self, end: Connection) -> None:
        end.held = False
        end.drained()

    def end(self, end: Connection) -> None:
        if end.input is Input.OPEN:
            end.end(end.held)

    def fail(self, end: Connection) -> None:
        """It cannot be written to; what its peer had sent is still read."""
        end.output = Output.LOST
        end.other.held = False
        end.other.input = Input.LOST
        if end.input in (Input.ENDED, Input.LOST):
            self.relay.lost(end)


STEPS = (World.hold, World.drain, World.end, World.fail)


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), max_size=14))
def test_anyOrder(steps: list[tuple[Any, int]]) -> None:
    """
    An end is passed on once, behind all that came before it; the relay is over
    when both have ended, or when one broke and has told all it had.
    """
    world = World()
    for step, number in steps:
        step(world, world.ends[number])
        one, other = world.ends
        if world.relay.told:
            break
        for each in world.ends:
            assert (each.input is Input.DRAINING) <= each.held
            if each.output is not Output.LOST and each.other.output is not Output.LOST:
                assert each.ends == (each.other.input is Input.ENDED)
        assert not (one.input is other.input is Input.ENDED)
    if world.relay.told:
        told = world.relay.told[0]
        lost = Output.LOST in (world.ends[0].output, world.ends[1].output)
        assert (told == "lost") == lost
        if not lost:
            assert all(each.input is Input.ENDED for each in world.ends)
    assert all(each.ends <= 1 for each in world.ends)


def test_bothEnd() -> None:
    """The second end is told by closing, and not by ending a side."""
    world = World()
    one, other = world.ends
    one.held = True
    world.end(one)
    assert (one.input, other.output, other.ends) == (Input.DRAINING, Output.OPEN, 0)
    world.drain(one)
    assert (one.input, other.output, other.ends) == (Input.ENDED, Output.ENDED, 1)
    world.end(other)
    assert world.relay.told == ["closed"]
    assert one.ends == 0
