"""
A great many broken conversations.
"""

from __future__ import annotations

import random

from socksgw.wire.server import State
from tests.tools.samples import CLIENTS, serve

#: How many inputs.
INPUTS = 200_000
SEED = 1928


def mutated(valid: list[bytes], chance: random.Random) -> bytes:
    """
    One to four changes of a valid conversation: bits flipped, octets put in,
    left out, said twice, cut off, or the end of another put behind.
    """
    octets = bytearray(chance.choice(valid))
    for _ in range(chance.randrange(1, 5)):
        size = len(octets)
        if not size:
            octets += chance.randbytes(3)
            continue
        # Most that is of interest is at the beginning.
        i = min(int(chance.expovariate(0.05)), size - 1)
        kind = chance.randrange(7)
        if kind == 0:
            octets[i] ^= 1 << chance.randrange(8)
        elif kind == 1:
            octets[i] = chance.choice((0, 1, 2, 3, 4, 5, 127, 128, 254, 255))
        elif kind == 2:
            octets[i:i] = chance.randbytes(chance.choice((1, 2, 4, 300)))
        elif kind == 3:
            del octets[i : i + chance.randrange(1, 8)]
        elif kind == 4:
            del octets[i:]
        elif kind == 5:
            octets[i:i] = octets[i : i + chance.randrange(1, 64)]
        else:
            other = chance.choice(valid)
            octets[i:] = other[chance.randrange(len(other)) :]
    return bytes(octets)


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
