"""
Lines whose members are not what the gateway writes: somebody else has written them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from socksgw.audit.formats.facts import ENDS, REQUESTS, Fields, milliseconds
from socksgw.wire.bounded import shortened

__all__ = ["WRONG", "sound"]

#: What the formats raise at such lines.
WRONG: Final = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
#: Members that are texts, whole numbers, or lists of texts; null is one of each.
_TEXTS: Final = frozenset({
    "act", "address", "application", "asked", "bound", "checker", "claimed", "client",
    "command", "event", "fingerprint", "gateway", "hash", "listener", "method", "name", "network",
    "path", "policy", "protocol", "reason", "result", "rule", "serial", "server_name", "sink", "source",
    "state", "tag", "ticket", "time", "tls_group", "tls_version", "upstream", "user", "verdict", "via", "what",
    "who", "why",
})  # fmt: skip
_NUMBERS: Final = frozenset({
    "count", "grant", "n", "port", "received", "received_datagrams", "reply", "sent",
    "sent_datagrams", "session",
})  # fmt: skip
_LISTS: Final = frozenset({"addresses", "groups", "problems"})
#: Of numbers and seconds, the most that any program can take.
_LARGEST: Final = 1 << 53
#: Characters of a wrong member that are told.
_TOLD: Final = 200
_EPOCH: Final = "1970-01-01T00:00:00.000Z"


def _isNumber(value: Any) -> bool:
    return type(value) is int and abs(value) <= _LARGEST


def _isSeconds(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST


def _isTexts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _checkOf(name: str) -> Callable[[Any], bool] | None:
    """Return what tells whether a member is as the gateway writes it."""
    if name in _TEXTS:
        return lambda value: isinstance(value, str)
    if name in _NUMBERS:
        return _isNumber
    if name in _LISTS:
        return _isTexts
    return _isSeconds if name == "seconds" else None


def _isTime(text: Any) -> bool:
    try:
        return bool(math.isfinite(milliseconds(text)))
    except WRONG:
        return False


def sound(fields: Any) -> Fields:
    """
    Return the members of a line without those that are of a wrong type.

    What these have is told as text, shortened, in the member C{malformed}. What every
    line has is there.
    """
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    if not isinstance(fields, Mapping):
        fields, wrong["line"] = {}, shortened(repr(fields), _TOLD)
    for name, value in fields.items():
        check = _checkOf(name)
        if value is None or check is None or check(value):
            found[name] = value
        else:
            wrong[name] = shortened(repr(value), _TOLD)
    if not _isTime(found.get("time")):
        if found.get("time"):
            wrong["time"] = shortened(found["time"], _TOLD)
        found["time"] = _EPOCH
    event = found["event"] = found.get("event") or "unknown"
    found["n"] = found.get("n") or 0
    if event in REQUESTS:
        found["verdict"] = found.get("verdict") or ""
    names = ["sent", "received", "seconds"] if event in ENDS else []
    if "sent" in found:
        names += ["sent", "received"]
    if "sent_datagrams" in found:
        names += ["sent_datagrams", "received_datagrams"]
    for name in names:
        found[name] = found.get(name) or 0
    for name in _TEXTS | _LISTS:
        if name in found and found[name] is None:
            del found[name]
    if wrong:
        found["malformed"] = wrong
    return found
