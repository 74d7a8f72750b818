"""
Write what the file of a Squid server says as a configuration of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host, Unreadable
from socksgw.importing.networks import EVERYWHERE, Networks, isBanned
from socksgw.importing.squid.access import Line, Term, decided, falls
from socksgw.importing.squid.acls import BUILT_IN, Acl
from socksgw.importing.squid.delays import limits
from socksgw.importing.squid.file import directives
from socksgw.importing.squid.logins import Logins
from socksgw.importing.squid.peers import Peers
from socksgw.importing.squid.reading import Port, Reading
from socksgw.importing.squid.samples import samples
from socksgw.importing.squid.unfolding import Made, TooMany, Unfolding, Where

__all__ = ["draftOf", "isSame", "linesOf"]

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: A Wednesday at noon: when the expected requests are made, where time counts.
_NOON: Final = (2026, 11, 25, 12)
_WEDNESDAY: Final = 3
_MINUTE: Final = 12 * 60
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
#: A set of more networks than these gets a name.
_SHORT: Final = 4


def draftOf(text: str, host: Host) -> Draft:
    """
    Make a draft of a file.

    @raise Unreadable: it is none of Squid's.
    """
    draft = Draft()
    _Writing(Reading(directives(text, host), host, draft)).write()
    return draft


def linesOf(reading: Reading) -> list[Line]:
    """
    Return the lines of C{http_access} that can be written; what cannot is noted.
    """
    found: list[Line] = []
    lines = reading.lists.get("http_access", [])
    for line in lines:
        kept = _kept(line, reading.draft)
        if kept is not None:
            found.append(kept)
            continue
        if line is lines[-1]:
            # What no line is about is the opposite of the last one, also of this one.
            every = (Term(BUILT_IN["all"], False),)
            found.append(line._replace(allows=falls(lines), terms=every))
    return found


def _kept(line: Line, draft: Draft) -> Line | None:
    """Return a line without what is not known; L{None} if it goes."""
    terms: list[Term] = []
    for term in line.terms:
        acl = term.acl
        if acl.name == "manager" and not acl.line:
            # The cache manager is not here, so nobody asks for it.
            if term.isNot:
                continue
            draft.leaveOnce(line.line, "manager", "left out: there is no cache manager")
            return None
        if acl.kind == "method" and not acl.why and set(acl.values) != {"CONNECT"}:
            acl = acl._replace(why="methods of HTTP are not told apart, but CONNECT")
        if acl.kind == "maxconn" and not line.allows:
            return None
        if acl.kind == "maxconn":
            acl = acl._replace(why="a limit denies, and does not allow")
        if not acl.why:
            terms.append(term)
        elif line.allows and not term.isNot:
            draft.leave(line.line, str(line), f"left out: {acl.name}: {acl.why}")
            return None
        elif not line.allows and not term.isNot:
            draft.leave(line.line, str(line), f"left out: {acl.name}: {acl.why}", True)
            return None
        elif line.allows:
            why = f"!{acl.name} does not count: {acl.why}"
            draft.leave(line.line, str(line), why, True)
        else:
            why = f"!{acl.name} does not count, so more is denied: {acl.why}"
            draft.leave(line.line, str(line), why)
    return line._replace(terms=tuple(terms))


def isSame(reading: Reading) -> bool:
    """Return whether each line of C{http_access} can be written as it is."""
    return not any(
        term.acl.why
        for line in reading.lists.get("http_access", ())
        for term in line.terms
    )


class _Writing:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._draft = reading.draft
        self._lines = linesOf(reading)
        self._logins = Logins(reading)
        self._peers = Peers(reading)
        self._listeners: dict[str, Port] = {}
        for port in reading.ports:
            name = re.sub(r"[^a-z0-9-]", "-", port.name.lower()).strip("-")
            if not name.strip("-0123456789") or name in self._listeners:
                # It is where the port is, or another one's name.
                count = len(self._listeners)
                name = f"http-{count + 1}" if count else "http"
            self._listeners[name] = port
        self._named: dict[Networks, str] = {}

    @property
    def _hasUsers(self) -> bool:
        return any(
            term.acl.kind == "proxy_auth" for line in self._lines for term in line.terms
        )

    def write(self) -> None:
        if not self._listeners:
            self._draft.leave(0, "http_port", "no port is left: write [[listen]]")
        made = self._rules()
        self._settings()
        self._listen()
        self._logins.write()
        self._choose()
        self._name(made)
        self._times()
        self._peers.write()
        for number, each in enumerate(made, 1):
            self._rule(number, each)
        limits(self._reading)
        self._expect()
        self._lookedUp()

    def _lookedUp(self) -> None:
        """Tell where Squid looks for the name of an address that is asked for."""
        for line in self._lines:
            for term in line.terms:
                if term.acl.looksUp:
                    why = (
                        "an address that is asked for has no name here, and Squid asks "
                        f"the DNS for it: say acl {term.acl.name} dstdomain -n, and "
                        "write a line for the addresses"
                    )
                    isWider = line.allows == term.isNot
                    self._draft.leave(line.line, str(line), why, isWider)
                    break

    def _rules(self) -> list[Made]:
        def leave(line: Line, why: str, wider: bool) -> None:
            said = str(line)
            if not any((e.line, e.said) == (line.line, said) for e in self._draft.left):
                self._draft.leave(line.line, said, why, wider)

        unfolding = Unfolding(self._lines, self._meant, [*self._listeners], leave)
        try:
            made = [*unfolding]
        except TooMany:
            raise Unreadable(
                "http_access: the names that must not be there come to more than "
                "2,000 rules: write the rules by hand"
            ) from None
        if any(each.carries for each in made):
            why = (
                "rules tell tunnels from requests for http:// by what they carry: "
                "a tunnel to these ports that carries HTTP is allowed, too"
            )
            self._draft.leave(0, "CONNECT", why)
        return made

    def _meant(self, acl: Acl) -> Sequence[str]:
        return [
            name
            for name, port in self._listeners.items()
            if (acl.kind == "myportname" and port.name in acl.values)
            or any(first <= port.number <= last for first, last in acl.ports)
        ]

    # Settings.

    def _settings(self) -> None:
        of = self._reading
        self._draft.add(
            "[timeouts]",
            {
                "handshake": self._time("request_timeout", 300),
                "connect": self._time("connect_timeout", 60),
                "idle": self._time("read_timeout", 900),
                "lookup": self._time("dns_timeout", 30),
            },
            "request_timeout, connect_timeout, read_timeout, dns_timeout",
        )
        servers = [each for said in of.of("dns_nameservers") for each in said.rest]
        if servers:
            self._draft.add("[resolver]", {"servers": servers}, "dns_nameservers")
        for said in of.of("client_lifetime"):
            why = "left out: a session ends where nothing moves (idle)"
            self._draft.leave(said.line, said.name, why)
        why = "addresses of this host and special ones are denied ([never])"
        self._draft.leave(0, "every allow", why)

    def _time(self, name: str, default: int) -> str:
        found = self._reading.said.get(name)
        if not found:
            return f"{default}s"
        number, *unit = found[-1].rest
        seconds = _UNITS.get((unit or ["second"])[0].removesuffix("s"))
        if not number.isdecimal() or seconds is None:
            self._draft.leave(found[-1].line, name, "left out: it is no time")
            return f"{default}s"
        return f"{int(number) * seconds}s"

    def _listen(self) -> None:
        leave: list[str] = []
        for said in self._reading.of("tcp_outgoing_address"):
            if len(said.rest) > 1 and said.rest[1:] != ("all",):
                why = "left out: leave_by of the rules can say that"
                self._draft.leave(said.line, f"{said.name} {' '.join(said.rest)}", why)
            else:
                leave.append(said.rest[0])
        for name, port in self._listeners.items():
            values: dict[str, Any] = {"name": name, "address": [*port.addresses]}
            if port.divert:
                values["transparent"] = port.divert
            else:
                values["protocols"] = ["http"]
            values["leave_by"] = leave or None
            if port.tls is not None:
                values["tls"] = {
                    "certificate": port.tls[0], **({"key": port.tls[1]} if port.tls[1] else {})
                }  # fmt: skip
            self._draft.add("[[listen]]", values, f"{port.place}: {port.name}")

    def _choose(self) -> None:
        if not self._hasUsers:
            self._draft.add("[[auth.choose]]", {"methods": ["none"]}, "no proxy_auth")
            return
        methods = self._logins.methods
        isClear = "userpass" in methods and any(
            port.tls is None for port in self._listeners.values()
        )
        for line in self._lines:
            if not line.allows or any(t.acl.kind == "proxy_auth" for t in line.terms):
                continue
            sources = [t.acl for t in line.terms if t.acl.kind == "src" and not t.isNot]
            if not sources or set(sources[0].networks) >= set(EVERYWHERE):
                why = "everybody logs in first: by sources alone some may do without"
                self._draft.leave(line.line, str(line), why)
                continue
            self._draft.add(
                "[[auth.choose]]",
                {
                    "from": [*map(str, sources[0].networks)],
                    "methods": [*methods, "none"],
                    "cleartext_passwords": isClear or None,
                },
                f"{line.place}: {line}",
            )
            why = "who comes from there is not asked for a login, and may bring one"
            self._draft.leave(line.line, str(line), why)
        if not methods:
            why = "no login of the file is here, so nobody has one"
            self._draft.leave(0, "auth_param", why)
            return
        self._draft.add(
            "[[auth.choose]]",
            {"methods": [*methods], "cleartext_passwords": isClear or None},
            "proxy_auth",
        )

    # Rules.

    def _name(self, made: Sequence[Made]) -> None:
        """Have names for sets of addresses that are long to write."""
        for each in made:
            for own in (each.where.sources, each.where.networks):
                if own is not None and len(own) > _SHORT and own not in self._named:
                    self._named[own] = f"addresses-{len(self._named) + 1}"
        if self._named:
            networks = {name: [*map(str, of)] for of, name in self._named.items()}
            self._draft.add("[networks]", networks, "what acl says of addresses")

    def _told(self, networks: Networks) -> list[str]:
        name = self._named.get(networks)
        return [name] if name else [str(each) for each in networks]

    def _times(self) -> None:
        found: dict[str, dict[str, Any]] = {}
        for acl in self._reading.acls.values():
            for name, time in zip(_schedulesOf(acl), acl.times, strict=True):
                last = time.last + 1
                found[name] = {
                    "days": [_DAYS[day] for day in sorted(time.days)],
                    "hours": f"{time.start // 60:02}:{time.start % 60:02}-"
                    f"{last // 60:02}:{last % 60:02}",
                    "zone": self._reading.host.zone,
                }
        if found:
            self._draft.add("[schedules]", found, "acl time, in the zone of this host")

    def _rule(self, number: int, made: Made) -> None:
        where = made.where
        line = made.line
        own = f"line-{line.line}" if line else "otherwise"
        to = [*where.names] if where.names is not None else None
        if to is not None:
            to = [each if each.startswith(".") else f"={each}" for each in to]
        elif where.networks is not None:
            to = self._told(where.networks)
        resolved = [str(each) for each in where.resolved] if where.resolved else None
        if resolved is None and where.names is not None and made.allows:
            resolved = ["any"]
        self._draft.add(
            "[[rule]]",
            {
                "id": f"{own}-{number}",
                "allow" if made.allows else "deny": ["connect"],
                "listener": where.listeners,
                "from": self._told(where.sources) if where.sources else None,
                "who": where.users
                and [re.sub(r"([*?])", r"\\\1", u) for u in where.users],
                "to": to,
                "resolving_to": resolved,
                "ports": _portsOf(where),
                "during": _schedulesOf(where.time) if where.time else None,
                "application": ["http"] if made.carries else None,
                "via": self._peers.via if made.allows else None,
            },
            f"{line.place}: http_access {line}" if line else "what no line is about",
        )

    def _expect(self) -> None:
        """Have the rules tried with some requests each."""
        if any(e.wider for e in self._draft.left) or not isSame(self._reading):
            why = "with a line that is not the same, no request is expected"
            self._draft.leave(0, "[[expect]]", why)
            return
        zone = ZoneInfo(self._reading.host.zone)
        at = datetime(*_NOON, tzinfo=zone)
        hasTimes = any(t.acl.times for line in self._lines for t in line.terms)
        ports = {
            name: (port.number, port.name) for name, port in self._listeners.items()
        }
        names = {own: name for name, own in ports.items()}
        methods = self._logins.methods
        logs = [bool(methods) and self._hasUsers]
        for client, asked in samples(self._lines, [*ports.values()], logs[0]):
            line, allowed = decided(self._lines, client, asked, _WEDNESDAY, _MINUTE)
            if allowed is None or isBanned(asked.address):
                continue
            # Without a login it depends on where it comes from; see [[auth.choose]].
            if self._hasUsers and not client.user:
                continue
            by = line and (line.line, asked.method)
            if not self._draft.isWanted(by):
                continue
            isNamed = asked.host != asked.address
            self._draft.expect(
                by,
                "allow" if allowed else "deny",
                {
                    "from": client.source,
                    "listener": names[client.port, client.listener],
                    "who": client.user or "anonymous",
                    "method": methods[0] if client.user else None,
                    "to": f"{asked.host}:{asked.port}",
                    "resolving_to": [asked.address] if isNamed else None,
                    "application": "http" if asked.method == "GET" else "tls",
                    "at": at if hasTimes else None,
                },
            )


def _portsOf(where: Where) -> list[int | str] | None:
    if where.ports is None:
        return None
    return [
        first if first == last else f"{max(1, first)}-{last}"
        for first, last in where.ports
        if last
    ]


def _schedulesOf(acl: Acl) -> list[str]:
    name = re.sub(r"[^A-Za-z0-9_-]", "-", acl.name)
    if len(acl.times) == 1 and name == acl.name:
        return [name]
    # Two conditions never share one.
    return [f"{name}-line-{acl.line}-{i}" for i in range(1, len(acl.times) + 1)]
