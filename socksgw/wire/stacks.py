"""
Stack options of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 8.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum
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
    "Form",
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


class Form(Enum):
    """What the two octets of an option's data hold (sections 8.1.1 to 8.1.9)."""

    OCTET = "an octet, and padding"
    AVAILABILITY = "NO or YES, and padding"
    NUMBER = "a number of 16 bits"


class StackCode(NamedTuple):
    """
    One option of a stack.

    @ivar level: its L{Level}.
    @ivar code: its number there.
    @ivar word: its name in C{listen.stack}; empty where it has none there.
    @ivar form: what its data is.
    """

    level: int
    code: int
    word: str
    form: Form


class Stack(NamedTuple):
    """
    A Stack option, whose data is always four octets (sections 8.1.1 to 8.1.9).

    @ivar leg: a L{Leg}.
    @ivar which: the level and the code.
    @ivar value: what the first octet says; both octets of a number of 16 bits.
    """

    leg: int
    which: StackCode
    value: int


_OCTET, _AVAILABILITY, _NUMBER = Form.OCTET, Form.AVAILABILITY, Form.NUMBER
TOS: Final = StackCode(Level.IP, 1, "tos", _OCTET)
HAPPY_EYEBALLS: Final = StackCode(Level.IP, 2, "happy-eyeballs", _AVAILABILITY)
TTL: Final = StackCode(Level.IP, 3, "ttl", _OCTET)
NO_FRAGMENTATION: Final = StackCode(Level.IP, 4, "no-fragmentation", _AVAILABILITY)
FAST_OPEN: Final = StackCode(Level.TCP, 1, "fast-open", _NUMBER)
MULTIPATH: Final = StackCode(Level.TCP, 2, "multipath", _AVAILABILITY)
BACKLOG: Final = StackCode(Level.TCP, 3, "", _NUMBER)
UDP_ERRORS: Final = StackCode(Level.UDP, 1, "", _AVAILABILITY)
PORT_PARITY: Final = StackCode(Level.UDP, 2, "", _NUMBER)
#: What the options of availability say.
NO: Final = 1
YES: Final = 2
_STACKS: Final = {
    (each.level, each.code): each
    for each in (
        TOS, HAPPY_EYEBALLS, TTL, NO_FRAGMENTATION, FAST_OPEN, MULTIPATH, BACKLOG,
        UDP_ERRORS, PORT_PARITY,
    )
}  # fmt: skip


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
        leg, which = data[0] >> 6, _STACKS.get((data[0] & 0x3F, data[1]))
        if which is None or not leg:
            continue
        if len(data) != _HEAD:
            raise WireError(f"a Stack option with {len(data)} octets of data")
        value = int.from_bytes(data[2:], "big") if which.form is _NUMBER else data[2]
        for each in (Leg.CLIENT, Leg.REMOTE):
            if leg & each and found.setdefault(
                (each, which), Stack(each, which, value)
            ) != Stack(each, which, value):
                raise WireError("two Stack options that contradict one another")
    return tuple(found.values())


def encodeStack(stack: Stack) -> bytes:
    """Return the data of a Stack option (section 8.1)."""
    leg, which, value = stack
    said = value.to_bytes(2, "big") if which.form is _NUMBER else bytes((value, 0))
    return bytes((leg << 6 | which.level, which.code)) + said
