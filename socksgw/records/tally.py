"""
Sums over requests and refusals: who reached what, by which rule, how much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from attrs import define, field

from socksgw.records.criteria import Line, hostOf
from socksgw.records.requests import Ended, allows
from socksgw.wire.codes import DATAGRAMS

__all__ = [
    "KEYS",
    "REFUSALS",
    "TABLES",
    "Amounts",
    "Key",
    "Sums",
    "Table",
    "Tally",
    "destinationOf",
]

#: How many different keys a table holds; the least are summed in one when there are
#: more, since clients choose names and destinations.
_MOST: Final = 250_000
#: Tables that are made of C{access} in the end: which part of its key is theirs.
_OF_ACCESS: Final[Mapping[str, int]] = {"users": 0, "destinations": 1, "rules": 2}
#: Octets that count as much as a request when the least are chosen.
_WEIGHT: Final = 1_000

Key = tuple[str, ...]

#: What each table is about: the titles of its key.
KEYS: Final[Mapping[str, Sequence[str]]] = {
    "access": ("user", "destination", "rule"),
    "users": ("user",),
    "destinations": ("destination",),
    "applications": ("application",),
    "server-names": ("server_name",),
    "rules": ("rule",),
    "listeners": ("listener",),
    "clients": ("client",),
    "commands": ("command",),
    "protocols": ("protocol",),
    "methods": ("method",),
    "tags": ("tag",),
    "tickets": ("ticket",),
    "grants": ("grant",),
    "policies": ("policy",),
    "certificates": ("fingerprint", "serial"),
    "tls": ("tls_version", "tls_group"),
    "upstreams": ("upstream",),
    "time": ("time",),
    "denials": ("user", "destination", "rule", "reason"),
    "logins": ("user", "client", "reason"),
    "refused": ("reason", "listener"),
}
TABLES: Final = tuple(KEYS)
#: Tables of denials alone, which count neither grants nor octets.
REFUSALS: Final = frozenset({"denials", "logins", "refused"})


class Amounts(NamedTuple):
    """
    What a line of a table counts.

    @ivar allowed: requests that were allowed.
    @ivar denied: requests that were denied; of the tables in L{REFUSALS} how many.
    @ivar sent: octets to destinations.
    @ivar received: octets from destinations.
    @ivar seconds: the durations of what was allowed, summed.
    @ivar first: the stamp of the first one.
    @ivar last: the stamp of the last one.
    """

    allowed: int = 0
    denied: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    first: str = ""
    last: str = ""

    @property
    def octets(self) -> int:
        """Return the octets in both directions."""
        return self.sent + self.received

    @property
    def requests(self) -> int:
        """Return how many requests there were."""
        return self.allowed + self.denied


def _weight(held: list[Any]) -> int:
    weight: int = held[2] + held[3] + _WEIGHT * (held[0] + held[1])
    return weight


@define
class Table:
    """
    Amounts by a key.

    @ivar held: of each key the fields of L{Amounts}.
    @ivar others: the same of what is not held by key any more.
    @ivar dropped: how often a key was dropped.
    """

    held: dict[Key, list[Any]] = field(factory=dict)
    others: list[Any] = field(factory=lambda: list(Amounts()))
    dropped: int = 0

    def add(self, key: Key, amounts: Sequence[Any]) -> None:
        """Add to what a key has."""
        held = self.held.get(key)
        if held is None:
            self.held[key] = list(amounts)
        else:
            _sum(held, amounts)

    def merge(self, other: Table) -> None:
        """Add what another table has."""
        for key, amounts in other.held.items():
            self.add(key, amounts)
        _sum(self.others, other.others)
        self.dropped += other.dropped

    def dropping(self) -> dict[Key, list[Any]]:
        """
        Hold the lesser half no longer, if there are too many.

        @return: what was dropped; C{others} has the sum.
        """
        if len(self.held) <= _MOST:
            return {}
        least = sorted(self.held, key=lambda key: _weight(self.held[key]))
        gone = {key: self.held.pop(key) for key in least[: len(least) // 2]}
        for amounts in gone.values():
            _sum(self.others, amounts)
        self.dropped += len(gone)
        return gone

    def rows(self) -> list[tuple[Key, Amounts]]:
        """Return keys and amounts, in no order."""
        return [(key, Amounts(*held)) for key, held in self.held.items()]


def _sum(held: list[Any], amounts: Sequence[Any]) -> None:
    held[0] += amounts[0]
    held[1] += amounts[1]
    held[2] += amounts[2]
    held[3] += amounts[3]
    held[4] += amounts[4]
    if amounts[5] and (not held[5] or amounts[5] < held[5]):
        held[5] = amounts[5]
    if amounts[6] > held[6]:
        held[6] = amounts[6]


def destinationOf(line: Line) -> str:
    """
    Return what a decision was about, for people: host, port and command.

    @param line: C{spoken} is the text itself, where a line counts several requests.
    """
    if "spoken" in line:
        spoken: str = line["spoken"]
        return spoken
    command = line.get("command", "connect")
    if command in DATAGRAMS and line.get("event") == "decision":
        return f"{command} association"
    if command == "noop":
        return "noop"
    host = line.get("name") or line.get("asked") or "?"
    if ":" in host:
        host = f"[{host}]"
    place = host if command == "resolve" else f"{host}:{line.get('port')}"
    return place if command == "connect" else f"{command} {place}"


def _clientOf(line: Line) -> str:
    if "uid" in line:
        return f"uid:{line['uid']}"
    return hostOf(line.get("client") or "") or line.get("source") or "many"


_KEY_OF: Final[Mapping[str, Callable[[Line, Mapping[str, str]], Key | None]]] = {
    "listeners": lambda line, _: (line["listener"],) if "listener" in line else None,
    "clients": lambda line, _: (_clientOf(line),),
    "commands": lambda line, _: (line["command"],) if "command" in line else None,
    "protocols": lambda line, _: (line["protocol"],) if "protocol" in line else None,
    "methods": lambda line, _: (line["method"],) if "method" in line else None,
    "tags": lambda line, _: (line["tag"],) if "tag" in line else None,
    "tickets": lambda line, _: (line["ticket"],) if "ticket" in line else None,
    "grants": lambda line, _: (line["grant"],) if "grant" in line else None,
    "policies": lambda line, _: (line["policy"],) if "policy" in line else None,
    "certificates": lambda line, _: (
        (line["fingerprint"], line.get("serial", "-"))
        if "fingerprint" in line
        else None
    ),
    "tls": lambda line, _: (
        (line["tls_version"], line.get("tls_group", "-"))
        if "tls_version" in line
        else None
    ),
    "applications": lambda _, more: (
        (more["application"],) if "application" in more else None
    ),
    "server-names": lambda _, more: (
        (more["server_name"],) if "server_name" in more else None
    ),
    "upstreams": lambda line, more: (
        (more.get("path") or line["via"],) if "via" in line or "path" in more else None
    ),
}


@define
class Sums:
    """
    Every sum of a report.

    @ivar tables: by name.
    @ivar open: how many of what was allowed has no end.
    @ivar lines: how many lines were counted.
    @ivar odd: how many were passed over that are not as the gateway writes them.
    @ivar lacks: how many lines of the journal are not in what was read.
    """

    tables: dict[str, Table]
    open: int = 0
    lines: int = 0
    odd: int = 0
    lacks: int = 0

    def merge(self, other: Sums) -> None:
        """Add other sums of the same tables."""
        for name, table in other.tables.items():
            self.tables[name].merge(table)
        self.open += other.open
        self.lines += other.lines
        self.odd += other.odd
        self.shrink()

    def shrink(self) -> None:
        """Keep the tables small enough, whatever clients ask for."""
        for name, table in self.tables.items():
            if name == "access":
                self._divide(table.dropping())
            elif name != "time":
                table.dropping()

    def close(self) -> None:
        """Make the tables that are sums of others."""
        # What is dropped is divided then, and must not be so twice.
        self.shrink()
        if "access" in self.tables:
            self._divide(self.tables["access"].held)
        for name in _OF_ACCESS.keys() & self.tables.keys():
            self.tables[name].dropping()

    def _divide(self, access: Mapping[Key, Sequence[Any]]) -> None:
        for name, part in _OF_ACCESS.items():
            table = self.tables.get(name)
            if table is not None:
                for key, amounts in access.items():
                    table.add((key[part],), amounts)

    def total(self) -> Amounts:
        """Return the sum of all requests."""
        total: list[Any] = list(Amounts())
        for amounts in self.tables["time"].held.values():
            _sum(total, amounts)
        return Amounts(*total)


@final
class Tally:
    """
    Sums up lines.

    @ivar sums: what they come to.
    """

    def __init__(self, tables: Sequence[str], unit: int) -> None:
        """
        Begin with nothing.

        @param tables: names of L{KEYS}; C{time} is always made, and C{access} where
            others are made of it.
        @param unit: how many characters of a stamp name the time of the table C{time}:
            13 for hours, 10 for days.
        """
        names = [*tables, "time"]
        if not _OF_ACCESS.keys().isdisjoint(names):
            names.append("access")
        self.sums = Sums({name: Table() for name in names})
        self._unit = unit
        self._time = self.sums.tables["time"]
        self._access = self.sums.tables.get("access")
        self._denials = self.sums.tables.get("denials")
        self._simple = [
            (self.sums.tables[name], _KEY_OF[name])
            for name in tables
            if name in _KEY_OF
        ]

    def request(self, line: Line, ended: Ended | None, count: int = 1) -> None:
        """
        Count a decision, or a sum of denials.

        @param count: how many requests the line stands for.
        """
        allowed = allows(line, ended)
        time = line["time"]
        sent = received = 0
        seconds = 0.0
        more: Mapping[str, str] = {}
        if ended is not None:
            # Of an association its flows are counted.
            if line["command"] not in DATAGRAMS or ended.place:
                sent, received = ended.sent, ended.received
            seconds, more = ended.seconds, ended.more
        amounts = (
            count if allowed else 0, 0 if allowed else count, sent, received, seconds,
            time, time,
        )  # fmt: skip
        sums = self.sums
        sums.lines += 1
        if allowed and ended is None:
            sums.open += 1
        for table, keyOf in self._simple:
            key = keyOf(line, more)
            if key is not None:
                table.add(key, amounts)
        self._time.add((time[: self._unit],), amounts)
        rule = more.get("rule") or line.get("rule") or "-"
        user = line["user"]
        destination = destinationOf(line)
        if self._access is not None:
            self._access.add((user, destination, rule), amounts)
        if not allowed and self._denials is not None:
            reason = line.get("reason", "") or ("" if ended is None else ended.reason)
            self._denials.add((user, destination, rule, reason), amounts)

    def refusal(self, table: str, line: Line, reason: str, count: int) -> None:
        """
        Count failed logins, or refusals before the policy was asked.

        @param table: C{logins} or C{refused}.
        """
        self.sums.lines += 1
        if table not in self.sums.tables:
            return
        if table == "logins":
            user: str = line.get("claimed") or line.get("user") or "-"
            key: Key = (user, _clientOf(line), reason)
        else:
            key = (reason, line.get("listener", "-"))
        time = line["time"]
        self.sums.tables[table].add(key, (0, count, 0, 0, 0.0, time, time))
