"""
Write what the file of a Dante server says as a configuration of ours.

Dante judges twice: rules of clients say who may connect, rules of requests what they
may ask for. Here one list of rules says both, and sources of addresses are sets that
can be calculated with: each rule of requests is written for the sources that the rules
of clients let through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any, Final, NamedTuple

from socksgw.importing.dante.file import Block, read
from socksgw.importing.dante.limits import limitsOf, timesOf
from socksgw.importing.dante.reading import METHODS, Reading
from socksgw.importing.dante.rules import (
    Asked,
    Client,
    Place,
    Rule,
    Verdict,
    admits,
    decided,
    isClients,
    meeting,
)
from socksgw.importing.dante.samples import samples
from socksgw.importing.dante.settings import (
    writeClientLimits,
    writeListeners,
    writeLogins,
    writeTimes,
)
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.networks import (
    EVERYWHERE,
    Networks,
    common,
    isBanned,
    isEverywhere,
    without,
)

__all__ = ["decidedBy", "draftOf"]

_ANYWHERE: Final = Place(EVERYWHERE)
#: So many requests at most are looked at for what should be tried.
_SAMPLES: Final = 20_000
#: So many of them are written.
_TRIED: Final = 500
#: A set of more networks than these gets a name.
_SHORT: Final = 2


def decidedBy(reading: Reading, client: Client, asked: Asked) -> Verdict:
    """Return what Dante says of a request, which also needs a way out."""
    said = decided(
        reading.clients,
        reading.requests,
        reading.groups,
        reading.external,
        client,
        asked,
    )
    if not said.passes or asked.command == "bind" or not reading.isRouted:
        return said
    if asked.command == "udp":
        return Verdict(False)
    source, host = ip_address(client.source), ip_address(asked.host)
    isFor = any(
        each.source.covers(source, 0) and each.to.covers(host, asked.port, asked.name)
        for each in reading.routes
    )
    return said if isFor else Verdict(False)


def draftOf(text: str, host: Host) -> Draft:
    """
    Return our configuration for a file.

    @raise Unreadable: it is not one of Dante's.
    """
    draft = Draft()
    _Writing(Reading(read(text), host, draft)).write()
    return draft


class _Admitted(NamedTuple):
    """Whom one rule of clients lets through, at one listener."""

    rule: Rule
    sources: Networks


class _Piece(NamedTuple):
    """Where a rule about replies decides, within another rule."""

    rule: Rule
    sources: Networks
    to: Place


class _Writing:
    """One file that is written."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._draft = reading.draft
        self._named: dict[Networks, str] = {}
        self._bound: dict[int, dict[str, Any]] = {}
        self._limited: Counter[int] = Counter()

    def write(self) -> None:
        """Make the draft."""
        reading, draft = self._reading, self._draft
        admitted = {name: self._admitted(*at) for name, at in reading.listeners.items()}
        self._name(admitted)
        writeTimes(reading)
        writeListeners(reading)
        self._choose(admitted, writeLogins(reading))
        if reading.groups:
            draft.add("[groups]", reading.groups)
        if self._named:
            networks = {name: [*map(str, of)] for of, name in self._named.items()}
            why = "whom the rules of clients let through"
            draft.add("[networks]", networks, why)
        writeClientLimits(reading)
        for route in reading.routes:
            if route.upstream:
                draft.add("[[upstream]]", route.upstream, f"line {route.line}: route")
        self._rules(self._sources(admitted))
        if reading.isRouted:
            why = "what none is for is refused, and so is UDP; Dante does so, too"
            draft.leave(0, "route", why)
        for line, many in self._limited.items():
            if many > 1:
                why = f"its limits hold for each of {many} rules that stand for it"
                draft.leave(line, "limits", why, wider=True)
        self._expect()
        if any(each.passes for each in reading.requests):
            why = (
                "special addresses (loopback, link-local) and those of this host are "
                "denied before every rule; [never] has exceptions"
            )
            draft.leave(0, "to", why)

    def _choose(
        self, admitted: Mapping[str, Sequence[_Admitted]], methods: Sequence[str]
    ) -> None:
        """Write who is asked to log in, and how."""
        line = self._reading.line
        for name, clients in admitted.items():
            for each in clients:
                own = each.rule.block.of("socksmethod") or each.rule.block.of("method")
                self._draft.add(
                    "[[auth.choose]]",
                    {
                        "listener": [name] if len(admitted) > 1 else None,
                        "from": self._told(each.sources),
                        "methods": self._reading.methods(own, line) if own else methods,
                        "cleartext_passwords": "userpass" in methods or None,
                    },
                    f"line {line}, and the rule of clients of line {each.rule.block.line}",
                )

    def _admitted(self, address: str, port: int) -> list[_Admitted]:
        """Return whom the rules of clients let through at a listener."""
        found: list[_Admitted] = []
        left: Networks = EVERYWHERE
        for rule in self._reading.clients:
            here = ip_address(address)
            if not here.is_unspecified and not rule.to.covers(here, port):
                continue
            sources = common(rule.source.networks or (), left)
            left = without(left, sources)
            if rule.passes and sources:
                found.append(_Admitted(rule, sources))
        return found

    def _name(self, admitted: Mapping[str, Sequence[_Admitted]]) -> None:
        """Have names for sets of sources that are long to write."""
        for of in self._sources(admitted):
            if len(of) > _SHORT:
                self._named[of] = f"clients-{len(self._named) + 1}"
        for clients in admitted.values():
            for each in clients:
                if len(each.sources) > _SHORT:
                    name = f"clients-of-line-{each.rule.block.line}"
                    self._named.setdefault(each.sources, name)

    def _told(self, networks: Networks) -> list[str]:
        name = self._named.get(networks)
        return [name] if name else [str(each) for each in networks]

    @staticmethod
    def _sources(
        admitted: Mapping[str, Sequence[_Admitted]],
    ) -> dict[Networks, list[str]]:
        """Return the listeners by whom the rules of clients let through there."""
        found: dict[Networks, list[str]] = {}
        for name, clients in admitted.items():
            of = tuple(each for one in clients for each in one.sources)
            found.setdefault(of, []).append(name)
        return found

    def _rules(self, sources: Mapping[Networks, Sequence[str]]) -> None:
        for number, (clients, names) in enumerate(sources.items(), 1):
            suffix = f"-{number}" if len(sources) > 1 else ""
            listener = [*names] if len(sources) > 1 else None
            for rule in self._reading.requests:
                own = common(clients, rule.source.networks or ())
                if not own:
                    continue
                commands = ["connect"] if "connect" in rule.commands else []
                if commands and rule.passes and self._reading.isRouted:
                    self._routed(rule, suffix, listener, own)
                    commands = []
                parts: list[tuple[str, str, Place, Sequence[_Piece]]] = []
                if "udpassociate" in rule.commands and not self._reading.isRouted:
                    pieces = self._replied(rule, own, "udpreply", rule.to)
                    if pieces is None:
                        commands.append("udp")
                    else:
                        parts.append(("udp", "udpassociate", rule.to, pieces))
                if "bind" in rule.commands and self._listens(rule):
                    pieces = self._replied(rule, own, "bindreply", _ANYWHERE)
                    if pieces is None and rule.to == _ANYWHERE:
                        commands.append("bind")
                    else:
                        if pieces is None:
                            pieces = [_Piece(rule, own, _ANYWHERE)]
                        parts.append(("bind", "bind", _ANYWHERE, pieces))
                if commands:
                    name = f"line-{rule.block.line}{suffix}"
                    self._whose(rule, name, commands, listener, own, rule.to)
                for ours, theirs, to, pieces in parts:
                    name = f"line-{rule.block.line}{suffix}-{ours}"
                    name = self._divided(rule, name, ours, listener, pieces)
                    self._rest(rule, theirs, name, ours, listener, own, to)

    def _routed(
        self, rule: Rule, suffix: str, listener: list[str] | None, own: Networks
    ) -> None:
        """Write by which proxies what a rule lets pass leaves."""
        name = f"line-{rule.block.line}{suffix}"
        for route in self._reading.routes:
            clients = common(own, route.source.networks or ())
            there = meeting(rule.to, route.to)
            if clients and there is not None:
                of = f"{name}-{route.line}"
                via = route.upstream.get("name")
                self._whose(rule, of, ["connect"], listener, clients, there, via)
                if there == rule.to and not without(own, clients):
                    return
        self._rest(rule, "connect", f"{name}-others", "connect", listener, own, rule.to)

    def _replied(
        self, rule: Rule, own: Networks, word: str, to: Place
    ) -> Sequence[_Piece] | None:
        """
        Return what decides about those who reply, in order.

        Dante asks one rule whether it may listen, or send a datagram, and then another
        one about the peer, or the answer.

        @param word: Dante's command of a reply.
        @param to: who may reply, as far as the first rule goes.
        @return: L{None} where they all may, or none comes in question.
        """
        if not rule.passes:
            return None
        found: list[_Piece] = []
        for reply in self._reading.requests:
            if word in reply.commands and isClients(reply.to):
                clients = common(own, reply.to.networks or ())
                there = meeting(to, reply.source)
                if clients and there is not None:
                    found.append(_Piece(reply, clients, there))
                    if there == to and not without(own, clients):
                        # What the last one says of all, the ones before need not.
                        while len(found) > 1 and (
                            found[-2].rule.passes == reply.passes
                        ):
                            del found[-2]
                        break
        isWhole = len(found) == 1 and found[0].rule.passes and found[0].to == to
        return None if isWhole and not without(own, found[0].sources) else found

    def _divided(
        self,
        rule: Rule,
        name: str,
        ours: str,
        listener: list[str] | None,
        pieces: Sequence[_Piece],
    ) -> str:
        """
        Write whom a rule lets listen, or send datagrams, by who may reply.

        @return: the name of the rule for the rest.
        """
        if not rule.passes:
            return name
        if not any(each.rule.passes for each in pieces):
            why = f"{ours} is left out: no rule lets replies come back ({ours}reply)"
            self._draft.leave(rule.block.line, "socks pass", why)
            return name
        for reply, clients, there in pieces:
            deciding = rule if reply.passes else rule._replace(passes=False)
            of = f"{name}-{reply.block.line}"
            self._whose(deciding, of, [ours], listener, clients, there)
        return f"{name}-others"

    def _rest(
        self,
        rule: Rule,
        theirs: str,
        name: str,
        ours: str,
        listener: list[str] | None,
        own: Networks,
        to: Place,
    ) -> None:
        """Deny what a rule was about, if a later one could be asked about it."""
        later = self._reading.requests[self._reading.requests.index(rule) + 1 :]
        if not rule.passes or any(theirs in each.commands for each in later):
            denied = rule._replace(passes=False)
            self._whose(denied, name, [ours], listener, own, to)

    def _listens(self, rule: Rule) -> bool:
        """Return whether a rule is about what listens for a BIND: at our address."""
        return isClients(rule.to) and (
            isEverywhere(rule.to.networks or ())
            or any(
                ip_address(each) in network
                for each in self._reading.external
                for network in rule.to.networks or ()
            )
        )

    def _whose(
        self,
        rule: Rule,
        name: str,
        commands: list[str],
        listener: list[str] | None,
        own: Networks,
        to: Place,
        via: str | None = None,
    ) -> None:
        """
        Write a rule for each kind of login that it is about.

        @param via: the upstream by which what it allows leaves.
        """
        for who, method in self._who(rule):
            kind = f"-{method[0]}" if method else ""
            everywhere = set(own) == set(EVERYWHERE)
            values = {
                "id": f"{name}{kind}",
                "allow" if rule.passes else "deny": commands,
                "listener": listener,
                "from": None if everywhere else self._told(own),
                "who": who,
                "method": method,
                "via": [via] if via else None,
            }
            self._rule(rule, values, to)

    def _expect(self) -> None:
        """Have the rules tried with some requests each."""
        reading = self._reading
        logins = [
            (word, "" if word == "none" else "somebody")
            for word in reading.words
            if word in METHODS
        ]
        names = {at: name for name, at in reading.listeners.items()}
        made = samples(
            reading.clients,
            reading.requests,
            [*names],
            logins,
            [each.to for each in reading.routes],
        )
        tried = 0
        for client, asked in islice(made, _SAMPLES):
            if tried >= _TRIED:
                break
            passes, rule = decidedBy(reading, client, asked)
            by: Hashable
            if rule is not None:
                by = rule.block.line, asked.command
            elif admits(reading.clients, client).passes:
                by = asked.host, asked.port
            else:
                # Where a stranger would go says nothing more.
                by = "stranger"
            if not self._draft.isWanted(by) or isBanned(asked.host):
                continue
            tried += 1
            host = asked.name or asked.host
            where = f"[{host}]" if ":" in host else host
            self._draft.expect(
                by,
                "allow" if passes else "deny",
                {
                    "from": client.source,
                    "listener": names[client.listening],
                    "who": client.user or "anonymous",
                    "method": METHODS[client.method] if client.user else None,
                    "command": asked.command,
                    "to": f"{where}:{asked.port}",
                    "resolving_to": [asked.host] if asked.name else None,
                },
            )

    def _who(self, rule: Rule) -> Iterator[tuple[list[str] | None, list[str] | None]]:
        """Return the users and the methods of the rules that stand for one."""
        words, line = self._reading.words, self._reading.line
        every = self._reading.methods(words, line)
        some = every
        if rule.methods is not None:
            own = self._reading.methods(rule.methods, rule.block.line)
            some = [each for each in every if each in own]
        logins = [each for each in some if each != "none"]
        isAll = logins == [each for each in every if each != "none"]
        named = rule.users or [f"@{each}" for each in rule.groups or ()]
        if named:
            if logins:
                yield [*named], None if isAll else logins
        elif some == every:
            yield None, None
        else:
            if "none" in some:
                yield ["anonymous"], None
            if logins:
                yield ["users"], None if isAll else logins

    def _rule(self, rule: Rule, values: dict[str, Any], to: Place) -> None:
        block = rule.block
        if to.networks is None:
            values["to"] = [to.name if to.name.startswith(".") else f"={to.name}"]
            if rule.passes:
                # Dante does not look where a name leads.
                values["resolving_to"] = ["any"]
        elif set(to.networks) != set(EVERYWHERE):
            values["to"] = [str(each) for each in to.networks]
        if not to.isAnyPort:
            values["ports"] = [
                first if first == last else f"{max(1, first)}-{last}"
                for first, last in to.ports
                if last
            ]
        if rule.passes:
            values |= self._bounds(block, values["allow"])
            self._limited[block.line] += "limits" in values
        verb = "pass" if block.passes else "block"
        self._draft.add(
            "[[rule]]", values, f"lines {block.line} to {block.last}: {verb}"
        )

    def _bounds(self, block: Block, commands: Sequence[str]) -> dict[str, Any]:
        """Return the limits and times of a rule that allows some commands."""
        if block.line not in self._bound:
            limits = limitsOf(block, self._draft, "rule")
            self._bound[block.line] = {"limits": limits} if limits else {}
        found = dict(self._bound[block.line])
        if times := timesOf(block, commands):
            found["timeouts"] = times
        if encryption := block.of("gssapi.enctype"):
            found["secured"] = [*encryption]
        return found
