"""
Values that several tables of the configuration hold.
"""

from collections.abc import Iterable
from typing import Literal, Self

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = [
    "CommandName",
    "Commands",
    "Listed",
    "Moment",
    "Port",
    "Quota",
    "Rate",
    "Sync",
    "Times",
    "Via",
    "Words",
    "Workers",
]

CommandName = Literal["connect", "bind", "udp", "multicast", "resolve"]
Commands = tuple[CommandName, ...] | Literal["any"]
Port = int | str
Sync = Duration | Literal["each", "never"]
Workers = int | Literal["auto"]
#: One word, or an array of them.
Words = tuple[str, ...] | str
#: The upstreams of a chain; in each place one, or several to choose from.
Via = tuple[tuple[str, ...], ...]


class Listed(tuple[str, ...]):  # noqa: SLOT001
    """
    Networks and names: an array, or a table with the C{file} that has one in each line.

    @ivar file: its path; empty for an array.
    """

    # A tuple has no room for slots.
    file: str

    def __new__(cls, words: Iterable[str] = (), file: str = "") -> Self:
        """Take the words, as they are in the file or the array."""
        made = super().__new__(cls, words)
        made.file = file
        return made


class Rate(int):
    """Octets per second, such as C{"10MB/s"}."""


class Times(int):
    """
    How often something may happen within a time, such as C{"10/1m"}.

    @ivar seconds: the time.
    """

    seconds: float

    def __new__(cls, count: int, seconds: float = 1.0) -> Self:
        """Return so many within some seconds."""
        made = super().__new__(cls, count)
        made.seconds = seconds
        return made


@frozen
class Quota:
    """Octets per window, such as C{"50GB/1d"}; windows begin at their multiples since the epoch."""

    octets: int
    seconds: float


class Moment(float):
    """Seconds since the epoch; in TOML a date and time with an offset."""
