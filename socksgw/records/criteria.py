"""
What a line of the journal must have to be wanted.

Most lines are passed over without being parsed: each test knows octets of which a line
that passes it has at least one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from attrs import frozen

__all__ = ["DENIED", "EVERYTHING", "Criteria", "Matcher", "Test"]

Line = Mapping[str, Any]

#: Events that say that somebody was refused; a decision and a flow say so in `verdict`.
DENIED: Final = frozenset({"refused", "refusals", "denials", "login-failed"})
#: What is looked at for a word, by the name of the criterion. The order is that of how
#: few lines the octets of a value are in, as a rule.
_WORDS: Final[Mapping[str, Sequence[str]]] = {
    "tag": ("tag",),
    "ticket": ("ticket",),
    "fingerprint": ("fingerprint",),
    "serial": ("serial",),
    "policy": ("policy",),
    "server_name": ("server_name",),
    "user": ("user", "claimed"),
    "group": ("groups",),
    "reason": ("reason", "reasons"),
    "application": ("application",),
    "grant": ("grant",),
    "upstream": ("via", "path", "upstream"),
    "rule": ("rule", "rules"),
    "event": ("event",),
    "method": ("method",),
    "command": ("command",),
    "protocol": ("protocol",),
    "listener": ("listener",),
}
#: The shortest part of a pattern that is looked for in octets.
_SHORTEST: Final = 3
#: What separates the names of upstreams.
_APART: Final = re.compile(r"[,|] ?")


@frozen
class Test:
    """
    One condition.

    @ivar needles: a line that passes has one of these; empty where nothing is known.
    @ivar passes: tells whether a line passes.
    """

    needles: tuple[bytes, ...]
    passes: Callable[[Line], bool]


@frozen
class Criteria:
    """
    What is wanted. Several values of one criterion are alternatives.

    Words may have C{*}, which stands for any text.

    @ivar client: addresses and networks.
    @ivar to: hosts (with C{*}), addresses or networks, each with C{:PORT} or not.
    @ivar verdict: C{allow}, C{deny} or empty. A refusal before the policy was asked,
        and a failed login, is a denial, too.
    @ivar upstream: of C{via} and C{path}.
    @ivar where: names and values of any fields; all of them must be so.
    @ivar text: what the line contains, as it stands in the journal.
    @ivar since: a stamp (L{socksgw.records.times}); empty for none.
    @ivar until: a stamp, which is not included.
    """

    user: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    client: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    verdict: str = ""
    tag: tuple[str, ...] = ()
    ticket: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    fingerprint: tuple[str, ...] = ()
    serial: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    event: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    application: tuple[str, ...] = ()
    server_name: tuple[str, ...] = ()
    grant: tuple[str, ...] = ()
    session: int | None = None
    where: tuple[tuple[str, str], ...] = ()
    text: str = ""
    since: str = ""
    until: str = ""

    def matcher(self) -> Matcher:
        """
        Return what tells which lines are wanted.

        @raise ValueError: a value cannot be; the text names the criterion.
        """
        return Matcher(self)


#: Every line.
EVERYTHING: Final = Criteria()


class Matcher:
    """
    Tells which lines are wanted.

    @ivar needles: of each test that has some, what a line must have one of; the first
        are in the fewest lines.
    """

    def __init__(self, criteria: Criteria) -> None:
        self._criteria = criteria
        self._since, self._until = criteria.since, criteria.until
        tests = list(_tests(criteria))
        self._passes = [each.passes for each in tests]
        self.needles = [each.needles for each in tests if each.needles]

    def __reduce__(self) -> tuple[Any, ...]:
        return Matcher, (self._criteria,)

    @property
    def everything(self) -> bool:
        """Tell whether each line is wanted, whenever it was written."""
        return not (self._passes or self._since or self._until)

    def matches(self, line: Line) -> bool:
        """Tell whether a line is wanted."""
        time = line.get("time", "")
        if (self._since and time < self._since) or (
            self._until and time >= self._until
        ):
            return False
        return self.fits(line)

    def fits(self, line: Line) -> bool:
        """Tell whether a line is wanted, whenever it was written."""
        return all(passes(line) for passes in self._passes)


def _tests(criteria: Criteria) -> Sequence[Test]:
    tests: list[Test] = []
    if criteria.session is not None:
        number = criteria.session
        tests.append(
            Test(
                (b'"session":%d,' % number,), lambda line: line.get("session") == number
            )
        )
    if criteria.text:
        text = criteria.text
        # The journal is in ASCII.
        needle = quoted(text)[1:-1].encode("ascii")
        tests.append(Test((needle,), lambda line: _contains(line, text)))
    if criteria.to:
        tests.append(_anyOf([_destination(each) for each in criteria.to]))
    if criteria.client:
        tests.append(_anyOf([_client(each) for each in criteria.client]))
    for name, fields in _WORDS.items():
        values = getattr(criteria, name)
        if values:
            tests.append(_anyOf([_word(each, fields) for each in values]))
    for name, value in criteria.where:
        tests.append(_field(name, value))
    if criteria.verdict == "deny":
        needles = (b'"verdict":"deny"', *(b'"event":"%b"' % e.encode() for e in DENIED))
        tests.append(Test(needles, _denied))
    elif criteria.verdict == "allow":
        tests.append(
            Test((b'"verdict":"allow"',), lambda line: line.get("verdict") == "allow")
        )
    return tests


def _denied(line: Line) -> bool:
    return line.get("verdict") == "deny" or line["event"] in DENIED


def _anyOf(tests: Sequence[Test]) -> Test:
    """Return the test that one of several passes."""
    if len(tests) == 1:
        return tests[0]
    needles: tuple[bytes, ...] = ()
    if all(each.needles for each in tests):
        needles = tuple(needle for each in tests for needle in each.needles)
    checks = [each.passes for each in tests]
    return Test(needles, lambda line: any(passes(line) for passes in checks))


def _contains(value: Any, text: str) -> bool:
    """Tell whether some text inside of a value, or a name of a member, has a text."""
    if isinstance(value, Mapping):
        return any(text in key or _contains(each, text) for key, each in value.items())
    if isinstance(value, list):
        return any(_contains(each, text) for each in value)
    return text in (value if isinstance(value, str) else _text(value))


def _pattern(text: str) -> Callable[[str], object]:
    """Return what matches a text in which C{*} stands for anything."""
    if "*" not in text:
        return text.__eq__
    found = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
    return found.fullmatch


def _needle(text: str, whole: bool) -> tuple[bytes, ...]:
    """
    Return the octets that a line has in which a pattern matches.

    @param whole: whether the text stands between quotation marks.
    """
    if "*" not in text:
        octets = quoted(text)
        return ((octets if whole else octets[1:-1]).encode("ascii"),)
    part = max((quoted(each)[1:-1] for each in text.split("*")), key=len)
    return (part.encode("ascii"),) if len(part) >= _SHORTEST else ()


def _word(value: str, fields: Sequence[str]) -> Test:
    fits = _pattern(value)
    # Several upstreams stand in one text.
    apart = "via" in fields

    def passes(line: Line) -> bool:
        for field in fields:
            found = line.get(field)
            if isinstance(found, str):
                if fits(found) or (apart and any(map(fits, _APART.split(found)))):
                    return True
            elif isinstance(found, list | dict) and any(map(fits, found)):
                return True
        return False

    return Test(_needle(value, not apart), passes)


def _field(name: str, value: str) -> Test:
    fits = _pattern(value)

    def passes(line: Line) -> bool:
        if name not in line:
            return False
        found = line[name]
        values = found if isinstance(found, list) else [found]
        return any(
            fits(each if isinstance(each, str) else _text(each)) for each in values
        )

    needles = (quoted(name).encode("ascii") + b":",)
    return Test(needles, passes)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


# Addresses and destinations.


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


@lru_cache(1 << 12)
def _inside(network: IPv4Network | IPv6Network, text: str) -> bool:
    if (":" in text) != (network.version == 6):
        return False
    try:
        return ip_address(text) in network
    except ValueError:
        return False


def _beginning(network: IPv4Network | IPv6Network) -> tuple[bytes, ...]:
    """Return the octets that each text of an address in a network begins with."""
    whole = network.prefixlen // 8
    if network.version == 6 or not whole:
        # In IPv6 one network has texts of many beginnings.
        return ()
    text = ".".join(str(network.network_address).split(".")[:whole])
    return (f'"{text}{"." if whole < 4 else ""}'.encode("ascii"),)


def hostOf(place: str) -> str:
    """Return the host of C{HOST:PORT} or C{[ADDRESS]:PORT}, or of one without a port."""
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit() or (":" in host and host[-1] != "]"):
        return place.strip("[]")
    return host.strip("[]")


def _client(text: str) -> Test:
    if text.startswith("uid:") and text[4:].isdigit():
        uid = int(text[4:])
        return Test(
            (),
            lambda line: line.get("uid") == uid or line.get("source") == text,
        )
    network = _network(text)
    if network is None:
        raise ValueError(
            f'client "{text}": neither an address nor a network, nor uid:N'
        )

    def passes(line: Line) -> bool:
        found = line.get("client")
        if found is not None:
            return "uid" not in line and _inside(network, hostOf(found))
        found = line.get("source")
        return found is not None and _inside(network, found.partition("/")[0])

    return Test(_beginning(network), passes)


def _destination(text: str) -> Test:
    host, port = text, None
    head, colon, tail = text.rpartition(":")
    if colon and tail.isdigit() and (":" not in head or head[0] == "["):
        host, port = head, int(tail)
        if port > 65535:
            raise ValueError(f'to "{text}": a port is 65535 at most')
    host = host.strip("[]").lower()
    network = _network(host) if host else None
    if "/" in host and network is None:
        raise ValueError(f'to "{text}": not a network')
    fits = _pattern(host.rstrip(".")) if host else None

    def hosts(line: Line) -> list[str]:
        found = [line.get("name"), line.get("asked"), *line.get("addresses", ())]
        if "addresses" not in line and "address" in line:
            found.append(hostOf(line["address"] or ""))
        found += [_spoken(line[each])[0] for each in ("first", "last") if each in line]
        return [each.lower().rstrip(".") for each in found if each]

    def ports(line: Line) -> list[int]:
        if "port" in line:
            return [line["port"]]
        found = [line.get("first", ""), line.get("last", ""), line.get("address") or ""]
        return [int(p) for each in found if (p := _spoken(each)[1])]

    def passes(line: Line) -> bool:
        if port is not None and port not in ports(line):
            return False
        if fits is None:
            return True
        found = hosts(line)
        if network is not None:
            return any(_inside(network, each) for each in found)
        return any(map(fits, found))

    needles: tuple[bytes, ...] = ()
    if network is None and host:
        # A name in normal form is in small letters. These have it as the client spelled
        # it, and there are few of them.
        needles = _needle(host.rstrip("."), False)
        needles += (b'"event":"refused"', b'"event":"denials"') if needles else ()
    elif network is not None:
        needles = _beginning(network)
        needles += (b'"event":"denials"',) if needles else ()
    return Test(needles, passes)


def _spoken(text: str) -> tuple[str, str]:
    """Return host and port of a place behind a command's name, as in C{udp a:53}."""
    place = text.rpartition(" ")[2]
    host, _, port = place.rpartition(":")
    return (host.strip("[]"), port) if port.isdigit() else (place, "")
