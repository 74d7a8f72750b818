"""
Stack options of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 8.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from socksgw.wire.reader import WireError

__all__ = [
    "BACKLOG",
    "FAST_OPEN",
    "HAPPY_EYEBALLS",
    "MULTIPATH",
    "NO",
    "NO_FRAGMENTATION",
    "PORT_PARITY",
    "TOS",
    "TTL",
    "UDP_ERRORS",
    "YES",
    "Leg",
    "Level",
    "Stack",
    "StackCode",
    "encodeStack",
    "readStacks",
]

_HEAD: Final = 4


class Leg(IntEnum):
    """Whose stack an option is about (section 8.1)."""

    CLIENT = 1
    REMOTE = 2
    BOTH = 3


class Level(IntEnum):
    """The layer that an option is about (section 8.1)."""

    IP = 1
    IPV4 = 2
    IPV6 = 3
    TCP = 4
    UDP = 5


class StackCode(NamedTuple):
    """
    One option of a stack.

    @ivar level: its L{Level}.
    @ivar code: its number there.
    """

    level: int
    code: int


class Stack(NamedTuple):
    """
    A Stack option, whose data is always four octets (sections 8.1.1 to 8.1.8).

    @ivar leg: a L{Leg}.
    @ivar which: the level and the code.
    @ivar value: what the first octet says; both octets of a number of 16 bits.
    """

    leg: int
    which: StackCode
    value: int


TOS: Final = StackCode(Level.IP, 1)
HAPPY_EYEBALLS: Final = StackCode(Level.IP, 2)
TTL: Final = StackCode(Level.IP, 3)
NO_FRAGMENTATION: Final = StackCode(Level.IP, 4)
FAST_OPEN: Final = StackCode(Level.TCP, 1)
MULTIPATH: Final = StackCode(Level.TCP, 2)
BACKLOG: Final = StackCode(Level.TCP, 3)
UDP_ERRORS: Final = StackCode(Level.UDP, 1)
PORT_PARITY: Final = StackCode(Level.UDP, 2)
#: Those whose value has 16 bits; of the others the second octet is padding.
_LONG: Final = frozenset({FAST_OPEN, BACKLOG, PORT_PARITY})
#: What the options of availability say.
NO: Final = 1
YES: Final = 2
_STACKS: Final = frozenset(
    {
        TOS, HAPPY_EYEBALLS, TTL, NO_FRAGMENTATION, FAST_OPEN, MULTIPATH, BACKLOG,
        UDP_ERRORS, PORT_PARITY,
    }
)  # fmt: skip


def readStacks(datas: Sequence[bytes]) -> tuple[Stack, ...]:
    """
    Read Stack options; those that are unknown are left out (section 8.1).

    @raise WireError: one is too short, or two are of the same leg and thing.
    """
    if not datas:
        return ()
    found: dict[tuple[int, StackCode], Stack] = {}
    for data in datas:
        if len(data) < _HEAD:
            raise WireError("a Stack option without data")
        leg, which = data[0] >> 6, StackCode(data[0] & 0x3F, data[1])
        if which not in _STACKS or not leg:
            continue
        if len(data) != _HEAD:
            raise WireError(f"a Stack option with {len(data)} octets of data")
        value = int.from_bytes(data[2:], "big") if which in _LONG else data[2]
        for each in (Leg.CLIENT, Leg.REMOTE):
            if leg & each and found.setdefault(
                (each, which), Stack(each, which, value)
            ) != Stack(each, which, value):
                raise WireError("two Stack options that contradict one another")
    return tuple(found.values())


def encodeStack(stack: Stack) -> bytes:
    """Return the data of a Stack option (section 8.1)."""
    leg, (level, code), value = stack
    said = value.to_bytes(2, "big") if stack.which in _LONG else bytes((value, 0))
    return bytes((leg << 6 | level, code)) + said
