"""
A great many broken conversations.
"""

from __future__ import annotations

import random

from socksgw.wire.server import State
from tests.tools.mutating import mutated
from tests.tools.samples import CLIENTS, serve

#: How many inputs.
INPUTS = 200_000
SEED = 1928


def test_mutations() -> None:
    """
    Of 200,000 mutated conversations nothing comes but events, L{WireError}
    and less held than one message has; L{serve} asserts the last.
    """
    chance = random.Random(SEED)
    valid = list(CLIENTS.values())
    ended: dict[tuple[State, bool], int] = {}
    for _ in range(INPUTS):
        octets = mutated(valid, chance)
        cut = chance.randrange(len(octets) + 1)
        course = serve((octets[:cut], octets[cut:]))
        end = course.state, course.error is not None
        ended[end] = ended.get(end, 0) + 1
    # Some broke off in every state that reads, some failed there, and some
    # were understood after all: the mutations do reach the code.
    for state in (State.START, State.SUBNEGOTIATING, State.REQUESTING):
        for failed in (True, False):
            assert ended[state, failed] > INPUTS // 1000, (state, failed)
    assert ended[State.REQUESTED, False] > INPUTS // 1000
    assert sum(ended.values()) == INPUTS
