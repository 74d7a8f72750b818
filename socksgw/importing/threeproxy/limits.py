"""
Limits of a 3proxy server in the words of ours.

The limits are lists of rules of their own, and all that match hold. A limit for everything, or for
some users or sources, is C{[[limit]]}. Of others, one whose condition is that of an C{allow}
belongs to that rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from socksgw.importing.draft import Draft
from socksgw.importing.threeproxy.conditions import NOBODY, asUser
from socksgw.importing.threeproxy.rules import Ace
from socksgw.importing.threeproxy.services import Service
from socksgw.login.userfile import isUserName

__all__ = ["Limits"]

#: Windows of quotas by the letters of 3proxy.
_WINDOWS: Final = {"H": "1h", "D": "1d"}
#: Seconds in which new sessions are counted, at most.
_LONGEST: Final = 3600
_DIGITS: Final = re.compile("[0-9]+")
#: The conditions of a limit that has none.
_EVERYTHING: Final = (None,) * 8


class Limits:
    """
    What the limits of a file come to.
    """

    def __init__(self, limits: Sequence[Ace], draft: Draft) -> None:
        self._draft = draft
        self._all: dict[str, Any] = {}
        self._by: dict[tuple[object, ...], dict[str, Any]] = {}
        self._lines: dict[tuple[object, ...], list[Ace]] = {}
        for each in limits:
            self._read(each)

    def _read(self, limit: Ace) -> None:
        if limit.action.startswith("no"):
            why = "left out: the limit holds for these, too"
            self._draft.leave(limit.line, limit.action, why)
            return
        value = self._valueOf(limit)
        if value is None:
            return
        key, number = value
        where = self._all
        if limit.condition != _EVERYTHING:
            where = self._by.setdefault(limit.condition, {})
            self._lines.setdefault(limit.condition, []).append(limit)
        if key not in where or _unit(where[key]) == _unit(number):
            where[key] = min(where.get(key, number), number, key=_number)
        else:
            why = f"left out: of the same clients there is {where[key]} already"
            self._draft.leave(limit.line, limit.action, why, wider=True)

    def _valueOf(self, limit: Ace) -> tuple[str, Any] | None:
        words = limit.limit
        if limit.action in ("bandlimin", "bandlimout"):
            why = "a rate holds for each direction by itself, with one number for both"
            self._draft.leave(limit.line, limit.action, why)
            return "rate", f"{max(1, int(words[0]) // 8)}B/s"
        if limit.action == "connlim":
            many, period = int(words[0]), int(words[1])
            if period == 0:
                return "sessions", many
            if period <= _LONGEST:
                return "new_sessions", many if period == 1 else f"{many}/{period}s"
            why = "left out: new sessions are counted within an hour at most here"
            self._draft.leave(limit.line, "connlim", why, wider=True)
            return None
        window = _WINDOWS.get(words[1])
        if window is None:
            why = "left out: quotas begin anew after hours or days here, as 30d"
            self._draft.leave(limit.line, limit.action, why, wider=True)
            return None
        if limit.action != "countall":
            why = "a quota holds for both directions together"
            self._draft.leave(limit.line, limit.action, why)
        return "quota", f"{int(words[2])}MB/{window}"

    def of(self, rule: Ace, services: Sequence[Service]) -> dict[str, Any] | None:
        """
        Return the limits of a rule that allows.

        @return: L{None} for none, and for those that L{write} has a place for: there
            they count also what rules before this one allow.
        """
        found = self._by.get(rule.condition)
        if found is None or _whose(rule.condition, services) is not None:
            return None
        self._lines.pop(rule.condition, None)
        return {"per": "rule", **found}

    def write(self, groups: Sequence[Service], services: Sequence[Service]) -> None:
        """
        Write the limits of everything, and tell which ones have no place.

        @param groups: one service of those that share rules each.
        """
        for condition, limits in self._lines.items():
            whose = _whose(condition, services)
            if whose is not None:
                found = {"per": "all", **whose, **self._by[condition]}
                lines = ", ".join(str(each.line) for each in limits)
                self._draft.add("[[limit]]", found, f"line {lines}")
                continue
            for each in limits:
                why = (
                    "left out: a limit has to be for all, for some users or sources, or "
                    "for what one allow says"
                )
                self._draft.leave(each.line, each.action, why, wider=True)
        for condition in self._by:
            if _whose(condition, services) is not None:
                continue
            rules = []
            isBehind = False
            for service in groups:
                allows = [each for each in service.rules if each.action == "allow"]
                own = [each for each in allows if each.condition == condition]
                rules += own
                isBehind = isBehind or (bool(own) and allows[0] != own[0])
            if len(rules) > 1:
                why = "each of several rules counts by itself here"
                self._draft.leave(rules[0].line, "limits", why, wider=True)
            if isBehind:
                why = "what an allow before it lets through does not count here"
                self._draft.leave(rules[0].line, "limits", why, wider=True)
        if self._all:
            self._draft.add("[[limit]]", {"per": "all", **self._all})
        most = {each.most for each in services}
        if len(most) > 1:
            why = f"one number holds for each listener: {min(most)}"
            self._draft.leave(0, "maxconn", why)
        if most:
            self._draft.add(
                "[[limit]]", {"per": "listener", "sessions": min(most)},
                "maxconn; 100 where the file says nothing",
            )  # fmt: skip


def _whose(
    condition: tuple[object, ...], services: Sequence[Service]
) -> dict[str, Any] | None:
    """
    Return the keys of C{[[limit]]} for a condition.

    @return: L{None} where it is about more than users who log in, and sources.
    """
    users: Any = condition[0]
    sources: Any = condition[1]
    if any(each is not None for each in condition[2:]):
        return None
    named = [each for each in users or () if each != NOBODY]
    if named and (
        not all(map(isUserName, named))
        or not any("strong" in each.methods for each in services)
    ):
        return None
    return {
        "who": users
        and ["anonymous" if each == NOBODY else asUser(each) for each in users],
        "from": None if sources is None else [*map(str, sources)],
    }


def _number(value: int | str) -> int:
    """Return the number of a value, as C{3}, C{"10/60s"}, C{"1000B/s"}, C{"5MB/1d"}."""
    found = _DIGITS.match(str(value))
    assert found is not None
    return int(found[0])


def _unit(value: int | str) -> str:
    """Return what a value counts: values of the same can be compared."""
    return _DIGITS.sub("", str(value), count=1)
