"""
Conversions of values for which TOML has no type, and the converter with all.
"""

from datetime import date, datetime
from typing import Any, Final, get_args

from attrs import frozen

from socksgw.config.convert import Wrong, duration, kindOf, makeConverter, octets
from socksgw.config.schema import (
    CommandName,
    Commands,
    Group,
    Listed,
    Moment,
    Port,
    Quota,
    Rate,
    Sync,
    Times,
    Via,
    Words,
    Workers,
)

__all__ = ["CONVERTER"]

#: The most processes that serve together.
MOST_WORKERS: Final = 64


def _words(value: Any, _: Any) -> Any:
    if type(value) is str:
        return (value,)
    if isinstance(value, list) and all(type(v) is str for v in value):
        return tuple(value)
    raise Wrong("must be a word or an array of words")


def _via(value: Any, _: Any) -> Via:
    places = (
        [[v] if type(v) is str else v for v in value] if type(value) is list else []
    )
    if not places or not all(
        isinstance(place, list) and place and all(type(v) is str for v in place)
        for place in places
    ):
        raise Wrong(
            'must be an array of names of upstreams, such as ["a", "b"], of which each '
            'may be an array to choose from: [["a1", "a2"], "b"]'
        )
    return tuple(map(tuple, places))


def _moment(value: Any, _: Any) -> Moment:
    moment = value
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise Wrong(
            "must be a date and time with its offset, such as 2026-03-02T10:00:00+01:00"
        )
    return Moment(moment.timestamp())


def _date(value: Any, _: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise Wrong("must be a date such as 2026-03-02")


def _commands(value: Any, _: Any) -> Any:
    words = get_args(CommandName)
    if value == "any":
        return value
    if not isinstance(value, list) or not all(
        type(v) is str and v in words for v in value
    ):
        raise Wrong(
            'must be "any" or an array of ' + ", ".join(f'"{w}"' for w in words)
        )
    return tuple(value)


def _sync(value: Any, _: Any) -> Any:
    if value in ("each", "never"):
        return value
    try:
        return duration(value, None)
    except Wrong:
        raise Wrong('must be "each", "never" or a duration such as "1s"') from None


def _workers(value: Any, _: Any) -> Any:
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_WORKERS):
        return value
    raise Wrong(f'must be "auto", or a number from 1 to {MOST_WORKERS}')


def _rate(value: Any, _: Any) -> Rate:
    try:
        amount = octets(value.removesuffix("/s"), None) if value.endswith("/s") else 0
    except (AttributeError, Wrong):
        amount = 0
    if amount <= 0:
        raise Wrong('must be octets per second, such as "10MB/s"')
    return Rate(amount)


def _quota(value: Any, _: Any) -> Quota:
    try:
        amount, window = value.split("/")
        found = Quota(octets(amount, None), duration(window, None))
    except (AttributeError, ValueError):
        found = Quota(0, 0)
    if found.octets <= 0 or found.seconds <= 0:
        raise Wrong('must be octets per window, such as "50GB/1d"')
    return found


def _times(value: Any, _: Any) -> Times:
    """Return how often: a number is that of one second."""
    if type(value) is int:
        return Times(value)
    try:
        count, time = value.split("/")
        found = Times(int(count), duration(time, None))
        if not (count.isascii() and count.isdigit() and 1 <= found.seconds <= 3600):
            raise ValueError
    except (AttributeError, ValueError):
        raise Wrong(
            'must be a number, of each second, or one of a time from "1s" to "1h", '
            'such as "10/1m"'
        ) from None
    return found


@frozen
class _GroupTable:
    """A group that is written as a table."""

    members: tuple[str, ...] = ()
    directory: tuple[str, ...] = ()
    sid: Words = ()
    token: tuple[str, ...] = ()


def _group(value: Any, _: Any) -> Group:
    if isinstance(value, dict):
        found = CONVERTER.structure(value, _GroupTable)
        return Group(found.members, found.directory, found.sid, found.token)
    if not isinstance(value, list):
        raise Wrong(
            "must be an array of users, or a table with members, directory, "
            f"sid and token, not {kindOf(value)}"
        )
    return Group(members=CONVERTER.structure(value, tuple[str, ...]))


@frozen
class _ListTable:
    """A list of networks and names that is written as a table."""

    file: str = ""


def _listed(value: Any, _: Any) -> Listed:
    if isinstance(value, dict):
        file = CONVERTER.structure(value, _ListTable).file
        if not file or "\0" in file:
            raise Wrong('file must be a path, such as "blocked.txt"')
        return Listed((), file)
    if not isinstance(value, list):
        raise Wrong(
            "must be an array of networks and names, or a table such as "
            f'{{ file = "blocked.txt" }}, not {kindOf(value)}'
        )
    return Listed(CONVERTER.structure(value, tuple[str, ...]))


def _port(value: Any, _: Any) -> Any:
    if type(value) not in (int, str):
        raise Wrong(
            f'must be a port or a range such as "8000-8099", not {kindOf(value)}'
        )
    return value


#: Converts TOML's values into those of the schema.
CONVERTER: Final = makeConverter(
    [
        (Commands, _commands),
        (Commands | None, _commands),
        (Port, _port),
        (Words, _words),
        (Words | None, _words),
        (Via | None, _via),
        (Moment, _moment),
        (Moment | None, _moment),
        (date, _date),
        (date | None, _date),
        (Sync, _sync),
        (Workers, _workers),
        (Rate, _rate),
        (Rate | None, _rate),
        (Quota, _quota),
        (Quota | None, _quota),
        (Times | None, _times),
        (Group, _group),
        (Listed, _listed),
    ]
)
