"""
Read the values behind a word of a file: how many there are, numbers, ports.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["needed", "number", "port"]


def needed(values: Sequence[str], *names: str) -> None:
    """
    Check that values are there.

    @param names: what those are that have to be there, in order.
    @raise ValueError: there are fewer.
    """
    if len(values) < len(names):
        raise ValueError(
            f"{' '.join(names)} have to follow, and {names[len(values)]} is not there"
            if len(names) > 1
            else f"{names[0]} has to follow"
        )


def number(value: str) -> int:
    """
    Return what a value of decimal digits says.

    @raise ValueError: it is no such.
    """
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(f"{value!r} is no number: write decimal digits alone")
    return int(value)


def port(value: str) -> int:
    """
    Return the port that a value says.

    @raise ValueError: it is none.
    """
    if value.isascii() and value.isdecimal() and int(value) <= 65535:
        return int(value)
    raise ValueError(
        f"{value!r} is no port: write one number of 65535 at most, and for several "
        "ports a line each"
    )
