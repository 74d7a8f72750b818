"""
Conversations with changes.
"""

from __future__ import annotations

import random

__all__ = ["mutated"]


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
