"""
What a rule of 3proxy is about, in the words of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from socksgw.importing.draft import Draft
from socksgw.importing.threeproxy.rules import HTTP, SOCKS, Ace, Name
from socksgw.importing.threeproxy.services import Service
from socksgw.login.userfile import isUserName

__all__ = ["NOBODY", "Condition", "asUser", "conditionOf", "schedules"]

#: Who has no name: a client without a login.
NOBODY: Final = "-"
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LABELS: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z")


class Condition(NamedTuple):
    """
    What a rule is about.

    @ivar commands: ours.
    @ivar values: keys of C{[[rule]]}.
    @ivar hasNames: whether it names hosts.
    @ivar isSame: whether it means just the same here.
    """

    commands: list[str]
    values: dict[str, Any]
    hasNames: bool
    isSame: bool


def conditionOf(rule: Ace, service: Service, draft: Draft) -> Condition | None:
    """
    Return what a rule is about; L{None} if it matches nothing at this service.

    What is not the same is noted.
    """
    commands, isWhole = _commandsOf(rule, service.kind)
    if not commands:
        why = "left out: no request of this service is of the kind"
        draft.leave(rule.line, f"{rule.action} {_operations(rule)}", why)
        return None
    if not isWhole:
        if rule.action == "deny":
            why = "left out: rules do not tell requests of HTTP apart"
            draft.leave(rule.line, f"deny {_operations(rule)}", why, wider=True)
            return None
        why = (
            "rules do not tell requests of HTTP apart: tunnels and requests for "
            "http:// are both allowed"
        )
        draft.leave(rule.line, f"allow {_operations(rule)}", why, wider=True)
    who, isNobody = _who(rule, service, draft)
    if isNobody:
        return None
    names, isSame = _names(rule, draft)
    if rule.names and not names and not rule.networks:
        return None
    to = [str(each) for each in rule.networks or ()] + names
    ports = [
        first if first == last else f"{max(1, first)}-{last}"
        for first, last in rule.ports or ()
        if last
    ]
    if rule.ports and not ports:
        draft.leave(rule.line, "port 0", "left out: nobody connects there")
        return None
    return Condition(
        commands,
        {
            "from": [str(each) for each in rule.sources] if rule.sources else None,
            "who": who,
            "to": to or None,
            "ports": ports or None,
            "during": _schedulesOf(rule) or None,
        },
        bool(names),
        isSame and isWhole,
    )


def _operations(rule: Ace) -> str:
    return ",".join(sorted(rule.operations or ()))


def _commandsOf(rule: Ace, kind: str) -> tuple[list[str], bool]:
    """Return our commands, and whether they are no more than the rule's."""
    if rule.operations is None:
        return (["connect"] if kind == "proxy" else [*SOCKS.values()]), True
    found: list[str] = []
    isWhole = True
    own = rule.operations
    if kind != "proxy":
        found += [ours for operation, ours in SOCKS.items() if operation in own]
    if kind != "socks":
        isWhole = own >= HTTP if own & HTTP else kind == "proxy" or "CONNECT" not in own
        if kind == "auto":
            isWhole = isWhole and ("CONNECT" in own) == bool(own & HTTP)
        if own & HTTP and "connect" not in found:
            found.insert(0, "connect")
    return found, isWhole


def asUser(name: str) -> str:
    """Return the word for one user: C{*} and C{?} stand for themselves."""
    return re.sub(r"([*?])", r"\\\1", name)


def _who(rule: Ace, service: Service, draft: Draft) -> tuple[list[str] | None, bool]:
    """Return the users, and whether it matches nobody."""
    if rule.users is None:
        return None, False
    found: list[str] = []
    for user in rule.users:
        if user == NOBODY:
            found += ["anonymous"] if "iponly" in service.methods else []
        elif "strong" not in service.methods:
            continue
        elif not isUserName(user):
            why = "left out: this is no name of a user here"
            draft.leave(rule.line, f"{rule.action} {user}", why, rule.action == "deny")
        else:
            found.append(asUser(user))
    if not found:
        why = "left out: without a login nobody has such a name, and it never matches"
        draft.leave(rule.line, f"{rule.action} {','.join(rule.users)}", why)
        return None, True
    if rule.action == "deny" and "iponly" in service.methods and found != ["anonymous"]:
        why = "3proxy tries such a client without its name first; here the rule holds"
        draft.leave(rule.line, f"deny {','.join(found)}", why)
    return found, False


def _names(rule: Ace, draft: Draft) -> tuple[list[str], bool]:
    """Return the names as C{to} has them, and whether they are the same."""
    found: list[str] = []
    isSame = True
    for name in rule.names or ():
        text = name.text.removeprefix(".")
        isDenied = rule.action == "deny"
        if not _LABELS.match(text) or name.kind in ("begins", "has"):
            why = "left out: names are matched by their ends here, and whole labels"
            draft.leave(rule.line, f"{rule.action} {_written(name)}", why, isDenied)
            isSame = False
        elif name.kind == "is":
            found.append(f"={text}")
        else:
            found.append(f"*.{text}")
            if not name.text.startswith("."):
                why = f"only names below {text} are meant here, not all that end so"
                draft.leave(rule.line, f"{rule.action} {_written(name)}", why, isDenied)
                isSame = False
    return found, isSame


def _written(name: Name) -> str:
    begins, ends = name.kind in ("ends", "has"), name.kind in ("begins", "has")
    return f"{'*' * begins}{name.text}{'*' * ends}"


# Times.


def _schedulesOf(rule: Ace) -> list[str]:
    if rule.hours is None:
        return [f"line-{rule.line}"] if rule.days is not None else []
    many = len(rule.hours) > 1
    return [
        f"line-{rule.line}-{number}" if many else f"line-{rule.line}"
        for number in range(1, len(rule.hours) + 1)
    ]


def schedules(rules: Iterable[Ace], zone: str, draft: Draft) -> None:
    """
    Write the times of rules.

    @param zone: the time zone of the host.
    """
    found: dict[str, dict[str, Any]] = {}
    for rule in rules:
        names = _schedulesOf(rule)
        for name, hours in zip(names, rule.hours or (None,), strict=False):
            own: dict[str, Any] = {"zone": zone}
            if rule.days is not None:
                own["days"] = [_DAYS[day] for day in sorted(rule.days)]
            if hours is not None:
                own["hours"] = _hours(rule, hours, draft)
            found[name] = own
    if found:
        draft.add("[schedules]", found, "days and times, in the time zone of this host")


def _hours(rule: Ace, hours: tuple[int, int], draft: Draft) -> str:
    """Return hours in whole minutes: those of a deny are more, those of an allow less."""
    start, end = hours
    if start % 60 or end % 60:
        draft.leave(
            rule.line, f"{rule.action}: seconds", "times are whole minutes here"
        )
        if rule.action == "deny":
            end += 59
        else:
            start += 59
    start, end = start // 60, min(end // 60, 24 * 60)
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
