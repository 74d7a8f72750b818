"""
Write what the file of a Dante server says as a configuration of ours.

Dante judges twice: rules of clients say who may connect, rules of requests what they
may ask for. Here one list of rules says both, and sources of addresses are sets that
can be calculated with: each rule of requests is written for the sources that the rules
of clients let through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from socksgw.importing.dante.file import Block, read
from socksgw.importing.dante.reading import ELSEWHERE, METHODS, NARROWING, Reading
from socksgw.importing.dante.rules import Place, Rule, decided, isClients, meeting
from socksgw.importing.dante.samples import samples
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

__all__ = ["draftOf"]

#: Seconds that Dante waits where the file says nothing (danted.conf(5)).
_NEGOTIATE: Final = 30
_CONNECT: Final = 30
#: A set of more networks than these gets a name.
_SHORT: Final = 2


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


class _Writing:
    """One file that is written."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._draft = reading.draft
        self._named: dict[Networks, str] = {}

    def write(self) -> None:
        """Make the draft."""
        admitted = {
            name: self._admitted(*at) for name, at in self._reading.listeners.items()
        }
        self._name(admitted)
        self._settings()
        self._listen()
        self._login(admitted)
        if self._reading.groups:
            self._draft.add("[groups]", self._reading.groups)
        if self._named:
            networks = {name: [*map(str, of)] for of, name in self._named.items()}
            why = "whom the rules of clients let through"
            self._draft.add("[networks]", networks, why)
        self._rules(self._sources(admitted))
        self._expect()

    def _settings(self) -> None:
        seconds = {"negotiate": _NEGOTIATE, "connect": _CONNECT}
        idle: dict[str, int] = {}
        for said in self._reading.file.said:
            keyword, _, kind = said.keyword.partition(".")
            if said.keyword in NARROWING:
                self._draft.leave(
                    said.line, said.keyword, "there is nothing like it", True
                )
            elif (keyword == "timeout" and kind in seconds) or kind.startswith("io"):
                number = int(said.values[0]) if said.values[0].isdecimal() else 0
                if kind.startswith("io"):
                    idle[kind[3:] or "tcp"] = number
                    if kind == "io":
                        idle.setdefault("udp", number)
                elif number:
                    seconds[kind] = number
            elif said.keyword in ELSEWHERE:
                self._reading.elsewhere(said)
            elif keyword in ("cpu", "child") or kind.startswith(
                ("log", "tcp", "ip", "so")
            ):
                self._draft.leave(said.line, said.keyword, "there is nothing like it")
        if not idle.get("tcp"):
            self._draft.leave(
                0, "timeout.io", "connections idle for two hours end here"
            )
        self._draft.add(
            "[timeouts]",
            {
                "handshake": f"{seconds['negotiate']}s",
                "connect": f"{seconds['connect']}s",
                "idle": f"{idle['tcp']}s" if idle.get("tcp") else None,
                "udp_idle": f"{idle['udp']}s" if idle.get("udp") else None,
            },
        )

    def _listen(self) -> None:
        leave = self._leaveBy()
        lines = ", ".join(f"line {each.line}" for each in self._reading.of("internal"))
        for name, (address, port) in self._reading.listeners.items():
            where = f"[{address}]" if ":" in address else address
            self._draft.add(
                "[[listen]]",
                {"name": name, "address": [f"{where}:{port}"], "leave_by": leave},
                f"internal and external: {lines}",
            )

    def _leaveBy(self) -> Any:
        rotation = [each.values for each in self._reading.of("external.rotation")]
        if rotation and rotation[-1] == ("same-same",):
            return "same"
        if rotation and rotation[-1] == ("route",):
            return None
        found: dict[int, str] = {}
        for each in self._reading.external:
            # Dante takes the first of a version.
            found.setdefault(ip_address(each).version, each)
        return list(found.values()) or None

    def _login(self, admitted: Mapping[str, Sequence[_Admitted]]) -> None:
        words, line = self._reading.words, self._reading.line
        methods = self._reading.methods(words, line)
        auth: dict[str, Any] = {}
        if "gssapi" in methods:
            auth["gssapi"] = {"keytab": "/etc/danted.keytab"}
            why = "name the keytab in [auth] gssapi; its service is rcmd in Dante"
            self._draft.leave(line, "gssapi", why)
        if auth:
            self._draft.add("[auth]", auth)
        if "userpass" in methods:
            self._draft.add(
                "[[auth.checker]]",
                {
                    "kind": "pam",
                    "service": "danted" if "pam.username" in words else "login",
                },
                f"line {line}: the system's passwords, as PAM knows them "
                '(pip install "socksgw[pam]")',
            )
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
        for number, (admits, names) in enumerate(sources.items(), 1):
            suffix = f"-{number}" if len(sources) > 1 else ""
            listener = [*names] if len(sources) > 1 else None
            for rule in self._reading.requests:
                own = common(admits, rule.source.networks or ())
                if not own:
                    continue
                commands = ["connect"] if "connect" in rule.commands else []
                pieces = self._answered(rule, own)
                if pieces is None:
                    commands.append("udp")
                if commands:
                    name = f"line-{rule.block.line}{suffix}"
                    self._whose(rule, name, commands, listener, own, rule.to)
                if pieces is not None and "udpassociate" in rule.commands:
                    self._datagrams(rule, pieces, suffix, listener, own)
                if "bind" in rule.commands and self._listens(rule):
                    self._binds(rule, suffix, listener, own)

    def _answered(
        self, rule: Rule, own: Networks
    ) -> Sequence[tuple[Rule, Networks, Place]] | None:
        """
        Return what decides about answers to the datagrams of a rule, in order.

        @return: L{None} where all of them come back, or none are sent.
        """
        if "udpassociate" not in rule.commands:
            return ()
        if not rule.passes:
            return None
        found: list[tuple[Rule, Networks, Place]] = []
        for reply in self._reading.requests:
            if "udpreply" in reply.commands and isClients(reply.to):
                clients = common(own, reply.to.networks or ())
                there = meeting(rule.to, reply.source)
                if clients and there is not None:
                    found.append((reply, clients, there))
                    if there == rule.to and not without(own, clients):
                        break
        whole = len(found) == 1 and found[0][0].passes and found[0][2] == rule.to
        return None if whole and not without(own, found[0][1]) else found

    def _datagrams(
        self,
        rule: Rule,
        pieces: Sequence[tuple[Rule, Networks, Place]],
        suffix: str,
        listener: list[str] | None,
        own: Networks,
    ) -> None:
        """Write where datagrams may go: where answers come back from, and are told."""
        name = f"line-{rule.block.line}{suffix}-udp"
        if not any(reply.passes for reply, _, _ in pieces):
            why = "udp is left out: no rule lets answers come back (udpreply)"
            self._draft.leave(rule.block.line, "socks pass", why)
        else:
            for reply, clients, there in pieces:
                deciding = rule if reply.passes else rule._replace(passes=False)
                of = f"{name}-{reply.block.line}"
                self._whose(deciding, of, ["udp"], listener, clients, there)
            name += "-others"
        self._rest(rule, "udpassociate", name, "udp", listener, own, rule.to)

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

    def _binds(
        self, rule: Rule, suffix: str, listener: list[str] | None, own: Networks
    ) -> None:
        """
        Write who may listen for a BIND, and whom for.

        Dante asks one rule whether it may listen, and then another one about the peer.
        """
        anywhere = Place(EVERYWHERE)
        name = f"line-{rule.block.line}{suffix}-bind"
        if rule.passes:
            for reply in self._reading.requests:
                clients = common(own, reply.to.networks or ())
                if "bindreply" in reply.commands and clients:
                    of = f"{name}-{reply.block.line}"
                    peer = reply.source
                    if reply.passes:
                        self._whose(rule, of, ["bind"], listener, clients, peer)
                    else:
                        self._whose(reply, of, ["bind"], listener, clients, peer)
            name += "-others"
        self._rest(rule, "bind", name, "bind", listener, own, anywhere)

    def _whose(
        self,
        rule: Rule,
        name: str,
        commands: list[str],
        listener: list[str] | None,
        own: Networks,
        to: Place,
    ) -> None:
        """Write a rule for each kind of login that it is about."""
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
            }
            self._rule(rule, values, to)

    def _expect(self) -> None:
        """Have the rules tried with some requests each."""
        words = self._reading.words
        logins = [
            (word, "" if word == "none" else "somebody")
            for word in words
            if word in METHODS
        ]
        listening = [*self._reading.listeners.values()]
        names = {at: name for name, at in self._reading.listeners.items()}
        for client, asked in samples(
            self._reading.clients, self._reading.requests, listening, logins
        ):
            rule = decided(
                self._reading.clients,
                self._reading.requests,
                self._reading.groups,
                self._reading.external,
                client,
                asked,
            )
            by = rule.block.line if rule else None
            if not self._draft.isWanted(by) or isBanned(asked.host):
                continue
            where = f"[{asked.host}]" if ":" in asked.host else asked.host
            self._draft.expect(
                by,
                "allow" if rule else "deny",
                {
                    "from": client.source,
                    "listener": names[client.listening],
                    "who": client.user or "anonymous",
                    "method": METHODS[client.method] if client.user else None,
                    "command": asked.command,
                    "to": f"{where}:{asked.port}",
                },
            )

    def _who(self, rule: Rule) -> Iterator[tuple[list[str] | None, list[str] | None]]:
        """Return the users and the methods of the rules that stand for one."""
        if rule.users is not None:
            yield [*rule.users], None
            return
        if rule.groups is not None:
            yield [f"@{each}" for each in rule.groups], None
            return
        words, line = self._reading.words, self._reading.line
        every = self._reading.methods(words, line)
        some = (
            every if rule.methods is None else self._reading.methods(rule.methods, line)
        )
        some = [each for each in every if each in some]
        if some == every:
            yield None, None
            return
        if "none" in some:
            yield ["anonymous"], None
            some.remove("none")
        if some == [each for each in every if each != "none"]:
            yield ["users"], None
        elif some:
            yield ["users"], some

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
            values |= self._bounds(block)
        verb = "pass" if block.passes else "block"
        self._draft.add(
            "[[rule]]", values, f"lines {block.line} to {block.last}: {verb}"
        )

    def _bounds(self, block: Block) -> dict[str, Any]:
        """Return the limits and times of a rule that allows."""
        limits: dict[str, Any] = {}
        for keyword, key in (("session.max", "sessions"), ("bandwidth", "rate")):
            values = block.of(keyword)
            if values and values[-1].isdecimal():
                number = int(values[-1])
                limits[key] = number if key == "sessions" else f"{number}B/s"
        if limits:
            state = block.of("session.state.key")
            limits = {"per": "source" if state == ("from",) else "rule", **limits}
        idle = block.of("timeout.io") or block.of("timeout.io.tcp")
        connect = block.of("timeout.connect")
        times = {
            "connect": f"{connect[-1]}s" if connect and connect[-1] != "0" else None,
            "idle": f"{idle[-1]}s" if idle and idle[-1] != "0" else None,
        }
        times = {key: value for key, value in times.items() if value}
        found: dict[str, Any] = {}
        if limits:
            found["limits"] = limits
        if times:
            found["timeouts"] = times
        encryption = block.of("gssapi.enctype")
        if encryption:
            found["secured"] = [*encryption]
        return found
