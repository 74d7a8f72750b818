"""
What the lists of rules of a 3proxy server mean, and what it would decide.

What is said here of 3proxy 1.0.0 was seen: without C{auth} the lists count as with
C{auth iponly} (its manual says that they do not); a list without rules allows
everything; a list with rules denies what none matches; of names with C{*} in front,
what follows has to be shorter than the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Final, NamedTuple

from socksgw.importing.networks import Networks, includes

__all__ = [
    "HTTP",
    "SOCKS",
    "Ace",
    "Asked",
    "Client",
    "Name",
    "Parent",
    "aceOf",
    "allows",
    "matches",
]

#: Operations of a C{socks} service by our commands, and those of a C{proxy}.
SOCKS: Final = {"CONNECT": "connect", "BIND": "bind", "UDPASSOC": "udp"}
HTTP: Final = frozenset(
    ["HTTP_GET", "HTTP_PUT", "HTTP_POST", "HTTP_HEAD", "HTTP_OTHER", "HTTP_CONNECT"]
)
#: Words for several operations.
_SEVERAL: Final = {"HTTP": HTTP - {"HTTP_CONNECT"}, "HTTPS": {"HTTP_CONNECT"}}
#: Operations of services that are not here.
_OTHERS: Final = frozenset(
    [
        "ICMPASSOC",
        "FTP",
        "FTP_GET",
        "FTP_PUT",
        "FTP_LIST",
        "FTP_DATA",
        "ADMIN",
        "DNSRESOLVE",
    ]
)
DAY: Final = 24 * 60 * 60


class Name(NamedTuple):
    """
    A pattern of host names.

    @ivar kind: C{is}, C{ends}, C{begins} or C{has}.
    """

    kind: str
    text: str

    def matches(self, host: str) -> bool:
        """Return whether the name, or address, that a client asks for is meant."""
        host = host.lower()
        if self.kind == "ends":
            return len(host) > len(self.text) and host.endswith(self.text)
        if self.kind == "begins":
            return host.startswith(self.text)
        return self.text in host if self.kind == "has" else host == self.text


class Parent(NamedTuple):
    """
    Where a request is sent on to.

    @ivar weight: its share of 1000.
    """

    line: int
    weight: int
    kind: str
    host: str
    port: int
    user: str
    password: str


class Ace(NamedTuple):
    """
    A rule; what is L{None} matches everything.

    @ivar action: C{allow}, C{deny}; or the command of a limit.
    @ivar operations: those of 3proxy, without the words for several.
    @ivar days: 0 is Sunday.
    @ivar hours: seconds of the day, the second one is not included.
    @ivar limit: the arguments before the condition, of a limit.
    """

    line: int
    place: str
    action: str
    users: tuple[str, ...] | None
    sources: Networks | None
    networks: Networks | None
    names: tuple[Name, ...] | None
    ports: tuple[tuple[int, int], ...] | None
    operations: frozenset[str] | None
    days: frozenset[int] | None
    hours: tuple[tuple[int, int], ...] | None
    limit: tuple[str, ...] = ()
    chain: tuple[Parent, ...] = ()

    @property
    def condition(self) -> tuple[object, ...]:
        """What it is about."""
        return self[3:11]


class Client(NamedTuple):
    """
    A client; C{user} is empty without a login.
    """

    source: str
    user: str = ""


class Asked(NamedTuple):
    """
    A request.

    @ivar operation: 3proxy's.
    @ivar host: as the client writes it, and C{address}: where that leads.
    """

    operation: str
    host: str
    address: str
    port: int


def aceOf(line: int, place: str, action: str, words: Sequence[str]) -> Ace:
    """
    Read a rule, or a limit.

    @param words: the condition.
    @raise ValueError: 3proxy does not start with it.
    """
    users, sources, targets, ports, operations, days, hours = (
        None if word in ("*", "") else word
        for word in (*words[:7], *["*"] * (7 - len(words[:7])))
    )
    networks: list[Networks] = []
    names: list[Name] = []
    for each in _split(targets):
        found = _networks(each)
        if found is None:
            names.append(_name(each))
        else:
            networks.append(found)
    return Ace(
        line,
        place,
        action,
        tuple(_split(users)) or None,
        _sources(sources),
        tuple(one for some in networks for one in some) or None,
        tuple(names) or None,
        tuple(map(_range, _split(ports))) or None,
        _operations(operations),
        _days(days or "") or None,
        tuple(_hours(hours or "")) or None,
    )


def _split(words: str | None) -> list[str]:
    return [each for each in (words or "").split(",") if each]


def _networks(word: str) -> Networks | None:
    """
    Return the addresses of an address, a network or a range; L{None} for a name.

    @raise ValueError: its end is before its begin, or of another version.
    """
    first, _, last = word.partition("-")
    try:
        if last:
            # Each address of it, which are many networks.
            return tuple(summarize_address_range(ip_address(first), ip_address(last)))
        return (ip_network(word, strict=False),)
    except TypeError:
        raise ValueError(f"{word!r} is no range of addresses") from None
    except ValueError:
        try:
            ip_address(first.partition("/")[0])
        except ValueError:
            return None
        raise ValueError(f"{word!r} is no range of addresses, or network") from None


def _sources(words: str | None) -> Networks | None:
    found: list[Networks] = []
    for each in _split(words):
        networks = _networks(each)
        if networks is None:
            raise ValueError(f"{each!r} is no address, range or network")
        found.append(networks)
    return tuple(one for some in found for one in some) or None


def _name(word: str) -> Name:
    text = word.lower()
    begins, ends = text.endswith("*"), text.startswith("*")
    kind = {(0, 0): "is", (0, 1): "ends", (1, 0): "begins", (1, 1): "has"}
    return Name(kind[begins, ends], text[ends : len(text) - begins])


def _range(word: str) -> tuple[int, int]:
    first, dash, last = word.partition("-")
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise ValueError(f"{word!r} is no port, or range of ports")
    found = int(first), int(last or first)
    if max(found) > 65535:
        raise ValueError(f"{word!r} is no port, or range of ports")
    return found


def _operations(words: str | None) -> frozenset[str] | None:
    found: set[str] = set()
    for each in _split(words):
        if each not in _SEVERAL.keys() | SOCKS.keys() | HTTP | _OTHERS:
            raise ValueError(f"{each!r} is no operation of 3proxy")
        found |= _SEVERAL.get(each, {each})
    return frozenset(found) if found else None


def _days(word: str) -> frozenset[int]:
    found: set[int] = set()
    at = 0
    while at < len(word):
        each, at = word[at], at + 1
        if not each.isdecimal():
            continue
        first = last = int(each)
        if word[at : at + 1] == "-" and word[at + 1 : at + 2].isdecimal():
            last, at = max(first, int(word[at + 1])), at + 2
        found |= {day % 7 for day in range(first, last + 1)}
    return frozenset(found)


def _hours(words: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for each in _split(words):
        try:
            start, end = (
                sum(
                    int(part) * unit
                    for part, unit in zip(time.split(":"), (3600, 60, 1), strict=True)
                )
                for time in each.split("-")
            )
        except ValueError:
            raise ValueError(f"{each!r} is no time such as 08:00:00-18:00:00") from None
        found.append((start, end))
    return found


def allows(
    rules: Sequence[Ace], kinds: Sequence[str], client: Client, asked: Asked,
    day: int, second: int,
) -> bool:  # fmt: skip
    """
    Return whether 3proxy allows a request.

    @param kinds: of C{auth}: C{none}, C{iponly}, C{strong}.
    @param day: 0 is Sunday.
    @param second: of the day, in the time zone of the host.
    """
    for kind in kinds:
        if kind == "none":
            return True
        if kind == "iponly":
            nobody = client._replace(user="")
            if first(rules, nobody, asked, day, second) != "deny":
                return True
        elif client.user:
            return first(rules, client, asked, day, second) != "deny"
    return False


def first(
    rules: Sequence[Ace], client: Client, asked: Asked, day: int, second: int
) -> str:
    """Return what the first rule that matches does."""
    if not rules:
        return "allow"
    for rule in rules:
        if matches(rule, client, asked, day, second):
            return rule.action
    return "deny"


def matches(rule: Ace, client: Client, asked: Asked, day: int, second: int) -> bool:
    """Return whether a request is what a rule is about."""
    there = rule.networks is None and rule.names is None
    there |= includes(rule.networks or (), asked.address)
    there |= any(each.matches(asked.host) for each in rule.names or ())
    return (
        there
        and (rule.users is None or (client.user or "-") in rule.users)
        and (rule.sources is None or includes(rule.sources, client.source))
        and (
            rule.ports is None
            or any(low <= asked.port <= high for low, high in rule.ports)
        )
        and (rule.operations is None or asked.operation in rule.operations)
        and (rule.days is None or day in rule.days)
        and (
            rule.hours is None
            or any(start <= second < end for start, end in rule.hours)
        )
    )
