"""
Conditions that have a name in Squid (C{acl}).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Final, NamedTuple

from socksgw.importing.networks import EVERYWHERE, Networks
from socksgw.login.userfile import isUserName

__all__ = ["BUILT_IN", "KNOWN", "Acl", "Time", "added", "isUnder"]

#: Types that have an equivalent.
KNOWN: Final = frozenset(
    [
        "src",
        "dst",
        "dstdomain",
        "port",
        "proxy_auth",
        "time",
        "method",
        "maxconn",
        "myportname",
        "localport",
        "myport",
    ]
)
_DAYS: Final = {"S": 0, "M": 1, "T": 2, "W": 3, "H": 4, "F": 5, "A": 6}
_HOURS: Final = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)\Z")
_OPTIONS: Final = ("-i", "-n", "+i", "--", "-m")
#: A name of a host, with a dot in front for those below it.
_HOST: Final = re.compile(r"\.?[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*\Z")
_NUMBER: Final = re.compile(r"[0-9]+\Z")


class Time(NamedTuple):
    """
    Days, of which 0 is Sunday, and minutes of them, the last one included.
    """

    days: frozenset[int]
    start: int
    last: int

    def covers(self, day: int, minute: int) -> bool:
        """Return whether a time is meant."""
        return day in self.days and self.start <= minute <= self.last


class Acl(NamedTuple):
    """
    A condition: any of its values.

    @ivar kind: Squid's type.
    @ivar values: as they are written, of kinds that are only compared.
    @ivar ports: ranges, both ends included.
    @ivar looksUp: whether a name is looked for where an address is asked for
        (C{dstdomain} without C{-n}).
    @ivar why: why it cannot be told; empty if it can.
    """

    name: str
    line: int
    kind: str
    values: tuple[str, ...] = ()
    networks: Networks = ()
    ports: tuple[tuple[int, int], ...] = ()
    times: tuple[Time, ...] = ()
    looksUp: bool = False
    why: str = ""


def added(acl: Acl, words: Sequence[str]) -> Acl:
    """Return a condition with the values of one more line."""
    options = [each for each in words if each in _OPTIONS]
    words = [each for each in words if each not in _OPTIONS]
    if acl.kind == "dst" and "-n" in options:
        return acl._replace(why="names are resolved before a rule is asked")
    if acl.kind == "proxy_auth" and "-i" in options:
        return acl._replace(why="capital letters count in names of users")
    if acl.kind not in KNOWN:
        return acl._replace(values=(*acl.values, *words), why=_why(acl.kind))
    try:
        if acl.kind in ("src", "dst"):
            found = tuple(one for each in words for one in _networks(each))
            return acl._replace(networks=acl.networks + found)
        if acl.kind in ("port", "localport", "myport"):
            return acl._replace(ports=(*acl.ports, *map(_range, words)))
        if acl.kind == "time":
            return acl._replace(times=(*acl.times, _time(words)))
        if acl.kind == "dstdomain":
            words = [_host(each.lower()) for each in words]
            acl = acl._replace(looksUp=acl.looksUp or "-n" not in options)
        if acl.kind == "proxy_auth":
            words = [_user(each) for each in words]
    except ValueError as e:
        return acl._replace(why=str(e))
    return acl._replace(values=(*acl.values, *words))


def _why(kind: str) -> str:
    if kind.endswith("regex"):
        return "expressions are not matched"
    if kind == "external":
        return "programs are not asked; a [[decider]] is, over HTTP"
    return f"there is no condition like {kind}"


def _networks(word: str) -> Networks:
    """
    @raise ValueError: it is no address.
    """
    if word == "all":
        return EVERYWHERE
    if word in ("ipv4", "ipv6"):
        return (EVERYWHERE[word == "ipv6"],)
    text, slash, _ = word.partition("/")
    first, dash, last = text.partition("-")
    try:
        if dash:
            if slash:
                raise ValueError
            return tuple(summarize_address_range(ip_address(first), ip_address(last)))
        return (ip_network(word, strict=False),)
    except (ValueError, TypeError):
        raise ValueError(f"{word!r} is no address, range or network here") from None


def _host(word: str) -> str:
    """
    @raise ValueError: it is no name.
    """
    last = word.rpartition(".")[2]
    if not _HOST.match(word) or _NUMBER.match(last):
        raise ValueError(f"{word!r} is no name of a host here; acl dst has addresses")
    return word


def _user(word: str) -> str:
    """
    @raise ValueError: the name means others here.
    """
    if not isUserName(word):
        raise ValueError(f"{word!r} is no name of a user here")
    return word


def _range(word: str) -> tuple[int, int]:
    first, dash, last = word.partition("-")
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise ValueError(f"{word!r} is no port or range of ports: write numbers")
    return int(first), int(last or first)


def _time(words: Sequence[str]) -> Time:
    days = frozenset(range(7))
    start, last = 0, 24 * 60 - 1
    for word in words:
        found = _HOURS.match(word)
        if found:
            h1, m1, h2, m2 = map(int, found.groups())
            start, last = h1 * 60 + m1, h2 * 60 + m2
            if start > last:
                raise ValueError(f"{word!r} ends before it begins")
        elif set(word) <= {*_DAYS, "D"}:
            days = frozenset(_DAYS[each] for each in word if each != "D")
            days |= frozenset(range(1, 6)) if "D" in word else frozenset()
        else:
            raise ValueError(f"{word!r} is no time")
    return Time(days, start, last)


def isUnder(pattern: str, host: str) -> bool:
    """Return whether a name of C{dstdomain} means a host."""
    host = host.lower().rstrip(".")
    if pattern.startswith("."):
        return host == pattern[1:] or host.endswith(pattern)
    return host == pattern


#: Those of Squid 5 that no file has to define.
BUILT_IN: Final = {
    each.name: each
    for each in (
        Acl("all", 0, "src", networks=EVERYWHERE),
        Acl("localhost", 0, "src", networks=(ip_network("127.0.0.1"), ip_network("::1"))),
        Acl(
            "to_localhost", 0, "dst",
            networks=tuple(
                map(ip_network, ("127.0.0.0/8", "0.0.0.0", "::1", "::"))
            ),
        ),
        Acl(
            "to_linklocal", 0, "dst",
            networks=(ip_network("169.254.0.0/16"), ip_network("fe80::/10")),
        ),
        Acl("CONNECT", 0, "method", ("CONNECT",)),
        Acl("manager", 0, "manager"),
    )
}  # fmt: skip
