"""
Write what the file of a 3proxy server says as a configuration of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.networks import isBanned
from socksgw.importing.threeproxy import chains, conditions
from socksgw.importing.threeproxy.file import commands
from socksgw.importing.threeproxy.limits import Limits
from socksgw.importing.threeproxy.passwords import usersOf
from socksgw.importing.threeproxy.rules import Ace, allows, matches
from socksgw.importing.threeproxy.samples import samples
from socksgw.importing.threeproxy.services import Script, Service

__all__ = ["draftOf"]

#: A Wednesday at noon: when the expected requests are made, where time counts.
_DAY: Final = (2026, 11, 25, 12)
_WEDNESDAY: Final = 3
_NOON: Final = 12 * 3600
_COMMANDS: Final = {"CONNECT": "connect", "BIND": "bind", "UDPASSOC": "udp"}
_PROTOCOLS: Final = {
    "socks": ["socks5", "socks4"],
    "proxy": ["http"],
    "auto": ["socks5", "socks4", "http"],
}


def draftOf(text: str, host: Host) -> Draft:
    """
    Make a draft of a file.

    @raise Unreadable: it is none of 3proxy's.
    """
    draft = Draft()
    script = Script(commands(text, host.text), draft)
    _Writing(script, host, draft).write()
    return draft


class _Writing:
    def __init__(self, script: Script, host: Host, draft: Draft) -> None:
        self._script = script
        self._host = host
        self._draft = draft
        self._limits = Limits(script.limits, draft)
        #: The services by the names of their listeners.
        self._listeners: dict[str, Service] = {}
        #: Rules whose meaning is not the same here.
        self._other: set[Ace] = set()

    def write(self) -> None:
        for service in self._script.services:
            if not service.methods:
                why = "left out: none of its kinds of auth is here, so nobody gets in"
                self._draft.leave(service.line, service.kind, why)
                continue
            kind = "http" if service.kind == "proxy" else "lan"
            taken = sum(each.startswith(kind) for each in self._listeners)
            name = f"{kind}-{taken + 1}" if taken else kind
            self._listeners[name] = service
        self._settings()
        self._listen()
        self._login()
        groups = self._groups()
        rules = {each for services, _ in groups for each in services.rules}
        conditions.schedules(sorted(rules), self._host.zone, self._draft)
        made = chains.upstreams(sorted(rules), self._script.isFaking, self._draft)
        for line, name in self._script.hidden:
            self._draft.add(
                "[[rule]]",
                {"id": f"line-{line}", "deny": "any", "to": [f"={name}"]},
                f"line {line}: nsrecord",
            )
        for number, (service, names) in enumerate(groups, 1):
            own = names if len(groups) > 1 else None
            suffix = f"-{number}" if len(groups) > 1 else ""
            self._rules(service, own, suffix, made)
        self._limits.write([each for each, _ in groups], [*self._listeners.values()])
        self._expect()

    def _groups(self) -> list[tuple[Service, list[str]]]:
        """Return services that share rules, one for each, with all their names."""
        found: dict[tuple[object, ...], tuple[Service, list[str]]] = {}
        for name, service in self._listeners.items():
            found.setdefault(service.asked, (service, []))[1].append(name)
        return [*found.values()]

    def _settings(self) -> None:
        times = self._script.timeouts
        idle = times[
            5 if any(each.kind != "proxy" for each in self._listeners.values()) else 4
        ]
        self._draft.add(
            "[timeouts]",
            {
                "handshake": f"{times[3]}s",
                "lookup": f"{times[6]}s",
                "connect": f"{times[8]}s",
                "idle": f"{idle}s",
            },
            "timeouts, or what 3proxy has where the file says nothing",
        )
        families = dict.fromkeys(
            each.family for each in self._listeners.values() if each.family
        )
        if len(families) > 1:
            why = "one preference holds for all: " + next(iter(families))
            self._draft.leave(0, "-4, -6, -46, -64", why)
        if self._script.servers or families:
            self._draft.add(
                "[resolver]",
                {
                    "servers": self._script.servers or None,
                    "family": next(iter(families), None),
                },
                "nserver",
            )
        why = "addresses of this host and special ones are denied ([never])"
        self._draft.leave(0, "every allow", why)

    def _listen(self) -> None:
        for name, service in self._listeners.items():
            address = service.address or "0.0.0.0"
            if address.startswith("unix:"):
                where = address
            elif ":" in address:
                where = f"[{address}]:{service.port}"
            else:
                where = f"{address}:{service.port}"
            tls = service.tls
            self._draft.add(
                "[[listen]]",
                {
                    "name": name,
                    "address": [where],
                    "protocols": _PROTOCOLS[service.kind],
                    "leave_by": [*service.external] or None,
                    "tls": {"certificate": tls[0], "key": tls[1]} if tls else None,
                },
                f"{service.place}: {service.kind}",
            )
            if service.device:
                why = "[[listen]] device holds for both sides: rule.device is for one"
                self._draft.leave(service.line, f"-De{service.device}", why)
            if "iponly" in service.methods:
                why = "clients that offer a login alone are refused, and asked for none"
                self._draft.leaveOnce(service.line, "auth iponly", why)
            if (
                "none" in service.methods
                or any(
                    each.action == "allow" and each.sources is None
                    for each in service.rules
                )
                or not service.rules
            ):
                if service.methods[0] in ("none", "iponly") and address == "0.0.0.0":
                    why = (
                        "anybody may use it: check does not take that before the rules, "
                        "or the listener, say from where"
                    )
                    self._draft.leave(service.line, service.kind, why)

    def _login(self) -> None:
        services = self._listeners.values()
        isStrong = any("strong" in each.methods for each in services)
        if isStrong:
            file = usersOf(self._script.users, self._draft)
            self._draft.add("[auth]", {"checkers": [f"passwd:{file}"]}, "users")
        elif self._script.users:
            self._draft.leave(
                self._script.users[0][0], "users", "no service asks for a password"
            )
        for name, service in self._listeners.items():
            methods = ["userpass"] if "strong" in service.methods else []
            if {"none", "iponly"} & set(service.methods):
                methods.append("none")
            self._draft.add(
                "[[auth.choose]]",
                {
                    "listener": [name] if len(services) > 1 else None,
                    "methods": methods,
                    "cleartext_passwords": True
                    if "userpass" in methods and service.tls is None
                    else None,
                },
                f"auth of the service of {service.place}",
            )

    # Rules.

    def _rules(
        self,
        service: Service,
        listener: list[str] | None,
        suffix: str,
        made: Mapping[Ace, chains.Way],
    ) -> None:
        if service.methods[0] == "none" or not service.rules:
            why = (
                "auth none: no rule counts"
                if service.rules
                else "no list: all may pass"
            )
            self._draft.add(
                "[[rule]]",
                {
                    "id": f"line-{service.line}{suffix}",
                    "allow": "any",
                    "listener": listener,
                },
                f"{service.place}: {why}",
            )
            return
        if "none" in service.methods:
            self._draft.leave(service.line, "auth none", "left out, behind other kinds")
        for rule in service.rules:
            own = conditions.conditionOf(rule, service, self._draft)
            if own is None or not own.isSame:
                self._other.add(rule)
            if own is None:
                continue
            way = made.get(rule)
            values: dict[str, Any] = {"id": f"line-{rule.line}{suffix}"}
            action = rule.action
            if way is not None and way.why:
                action = "deny"
                self._other.add(rule)
            words = own.commands
            if way is not None and action == "allow":
                # Rules with parents say nothing of BIND.
                words = [each for each in words if each != "bind"]
                if "udp" in words and not way.hasDatagrams:
                    words.remove("udp")
                    denied = {**values, "id": f"{values['id']}-udp", "deny": ["udp"]}
                    self._add(rule, {**denied, "listener": listener, **own.values})
            if not words:
                continue
            values |= {action: words, "listener": listener, **own.values}
            if action == "allow":
                values |= {"resolving_to": ["any"] if own.hasNames else None}
                values |= way.values if way else {}
                limits = self._limits.of(rule, [*self._listeners.values()])
                values |= {"limits": limits}
            else:
                values |= {"via": None}
            self._add(rule, values)

    def _add(self, rule: Ace, values: Mapping[str, Any]) -> None:
        self._draft.add("[[rule]]", values, f"{rule.place}: {rule.action}")

    def _expect(self) -> None:
        """Have the rules tried with some requests each."""
        zone = ZoneInfo(self._host.zone)
        hidden = {name for _, name in self._script.hidden}
        for service, names in self._groups():
            hasTimes = any(each.days or each.hours for each in service.rules)
            for client, asked in samples(service):
                if asked.operation == "HTTP_GET" or isBanned(asked.address):
                    continue
                moment = client, asked, _WEDNESDAY, _NOON
                of = [each for each in service.rules if matches(each, *moment)]
                if asked.host in hidden or self._other & {*of}:
                    continue
                if service.methods == ("iponly", "strong") and client.user:
                    continue
                by = of[0] if of else None
                if client.user == "" and "iponly" not in service.methods:
                    by = None
                if not self._draft.isWanted((by and by.line, names[0]) if by else None):
                    continue
                allowed = allows(service.rules, service.methods, *moment)
                self._draft.expect(
                    (by.line, names[0]) if by else None,
                    "allow" if allowed else "deny",
                    {
                        "from": client.source,
                        "listener": names[0],
                        "who": client.user or "anonymous",
                        "method": "userpass" if client.user else None,
                        "command": _COMMANDS.get(asked.operation, "connect"),
                        "to": f"{asked.host}:{asked.port}",
                        "resolving_to": [asked.address]
                        if asked.host != asked.address
                        else None,
                        "at": datetime(*_DAY, tzinfo=zone) if hasTimes else None,
                    },
                )
