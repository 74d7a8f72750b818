"""
Values that several tables of the configuration hold.
"""

from typing import Literal

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = [
    "CommandName",
    "Commands",
    "Moment",
    "Port",
    "Quota",
    "Rate",
    "Sync",
    "Via",
    "Words",
    "Workers",
]

CommandName = Literal["connect", "bind", "udp", "resolve"]
Commands = tuple[CommandName, ...] | Literal["any"]
Port = int | str
Sync = Duration | Literal["each", "never"]
Workers = int | Literal["auto"]
#: One word, or an array of them.
Words = tuple[str, ...] | str
#: The upstreams of a chain; in each place one, or several to choose from.
Via = tuple[tuple[str, ...], ...]


class Rate(int):
    """Octets per second, such as C{"10MB/s"}."""


@frozen
class Quota:
    """Octets per window, such as C{"50GB/1d"}; windows begin at their multiples since the epoch."""

    octets: int
    seconds: float


class Moment(float):
    """Seconds since the epoch; in TOML a date and time with an offset."""
