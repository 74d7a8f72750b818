"""
What the values in the journal's lines are.

Who reads the journal's files reads what somebody else may have changed meanwhile: a
line that is not as the gateway writes it is no line, and never a value of another type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from socksgw.audit.catalogue import CATALOGUE

__all__ = ["shaped"]

#: Beyond these numbers neither a database nor Parquet has a type.
_MOST: Final = (1 << 63) - 1
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]{8,15}Z", re.ASCII)
_EVENT: Final = re.compile(r"[a-z-]{1,40}", re.ASCII)
#: How deep the values may be nested of members that nothing is known of.
_DEEP: Final = 16

Check = Callable[[Any], bool]


def _isText(value: Any) -> bool:
    return type(value) is str


def _isTextOrNone(value: Any) -> bool:
    return value is None or type(value) is str


def _isNumber(value: Any) -> bool:
    return type(value) is int and -_MOST <= value <= _MOST


def _isSeconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _MOST


def _isTexts(value: Any) -> bool:
    return type(value) is list and all(type(each) is str for each in value)


def _isNumbers(value: Any) -> bool:
    return type(value) is list and all(map(_isNumber, value))


def _isPairs(value: Any) -> bool:
    return type(value) is list and all(
        _isTexts(each) and len(each) == 2 for each in value
    )


def _isCounts(value: Any) -> bool:
    return type(value) is dict and all(map(_isNumber, value.values()))


def _isShallow(value: Any, left: int = _DEEP) -> bool:
    if type(value) is int:
        return _isNumber(value)
    if not left:
        return not isinstance(value, list | dict)
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or all(_isShallow(v, left - 1) for v in value)


def _isTime(value: Any) -> bool:
    return type(value) is str and _TIME.fullmatch(value) is not None


def _isCommand(value: Any) -> bool:
    return value in ("connect", "bind", "udp", "multicast", "resolve", "noop")


def _isVerdict(value: Any) -> bool:
    return value in ("allow", "deny")


#: What is neither text nor of more than one type, whatever the event.
_CHECKS: Final[Mapping[str, Check]] = {
    **dict.fromkeys(
        ("v", "n", "session", "port", "uid", "pid", "before", "reply", "count", "octets", "sent",
         "received", "sent_datagrams", "received_datagrams", "strangers", "ended",
         "position", "behind", "missed", "aside", "sessions", "opened", "limited", "refused", "grant",
         "worker",
         "lost", "ttl"),
        _isNumber,
    ),
    **dict.fromkeys(("name", "rule", "address", "bound", "source"), _isTextOrNone),
    **dict.fromkeys(
        ("addresses", "groups", "problems", "wanted", "alpn", "files", "reports",
         "senders"),
        _isTexts,
    ),
    "time": _isTime,
    "seconds": _isSeconds,
    "struck": _isPairs,
    "offered": _isNumbers,
    "reasons": _isCounts,
    "failed": _isCounts,
    "command": _isCommand,
    "verdict": _isVerdict,
}  # fmt: skip
#: What is so in the lines of one event.
_OF: Final[Mapping[tuple[str, str], Check]] = {
    ("decision", "rules"): _isTexts,
    ("flow", "rules"): _isTexts,
    ("refused", "command"): _isText,
    ("reloaded", "rules"): _isNumber,
    ("missing", "from"): _isNumber,
    ("missing", "to"): _isNumber,
}
#: Members of which more is told where they are used, or that are of several types.
_ANY: Final = frozenset(("told", "inspect", "ech", "mismatch"))

_CLIENT: Final = ("session", "listener", "client", "protocol")
_DECISION: Final = (
    *_CLIENT, "user", "method", "command", "asked", "name", "port", "verdict", "rule",
    "why", "addresses",
)  # fmt: skip
#: What the lines of an event always have.
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "decision": _DECISION,
    "flow": _DECISION,
    "end": ("session", "address", "sent", "received", "seconds", "reason", "reply"),
    "flow-end": ("session", "address", "sent", "received", "seconds", "reason"),
    "refused": (*_CLIENT, "reason"),
    "login-failed": (*_CLIENT, "method", "claimed", "reason", "why"),
    "flows-refused": (*_CLIENT, "why"),
    "groups-failed": ("checker", "user", "reason"),
    "peer": (*_CLIENT, "user", "address", "bound"),
    "inspected": ("session", "verdict", "rule", "why"),
    "refusals": ("source", "count", "reasons"),
    "denials": ("source", "user", "count", "reasons", "first", "last"),
    "recovered": ("octets",),
    "missing": ("from", "to"),
    "resumed": ("refused", "lost"),
    "upstream": ("upstream", "state", "why"),
    "leave-by": ("address", "state"),
}


def _compiled(event: str) -> tuple[frozenset[str], Mapping[str, Check]]:
    """Return the members that lines of an event need, and how each value is checked."""
    members = ("v", "n", "time", "event", "worker", "hash", *CATALOGUE[event])
    return frozenset(("n", "time", "event", *_NEEDED.get(event, ()))), {
        name: _OF.get((event, name), _CHECKS.get(name, _isText))
        for name in members
        if name not in _ANY
    }


_SHAPES: Final = {event: _compiled(event) for event in CATALOGUE}
#: Of an event that a later version may write.
_FRAME: Final = (
    frozenset(("n", "time", "event")),
    {"v": _isNumber, "n": _isNumber, "time": _isTime, "event": _isText},
)


def shaped(octets: bytes) -> dict[str, Any] | None:
    """
    Return the members of a line; L{None} where it is not as the gateway writes lines.

    @param octets: the line, with its line feed or without.
    """
    try:
        line = json.loads(octets.decode("ascii"))
    except (ValueError, RecursionError):
        return None
    if type(line) is not dict:
        return None
    event = line.get("event")
    if type(event) is not str or not _EVENT.fullmatch(event):
        return None
    needed, checks = _SHAPES.get(event, _FRAME)
    if not needed <= line.keys():
        return None
    for name, value in line.items():
        if not checks.get(name, _isShallow)(value):
            return None
    return line
