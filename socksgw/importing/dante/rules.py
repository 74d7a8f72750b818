"""
What the rules of a Dante server mean, and what it would decide.

What is said here of Dante 1.4.2 was seen: a rule whose login method or user is not the
client's does not match, whether it passes or blocks, and the next one decides; where no
rule matches, Dante blocks.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

from socksgw.importing.dante.file import Block
from socksgw.importing.networks import EVERYWHERE, Networks, common, isEverywhere

__all__ = [
    "Asked",
    "Client",
    "Place",
    "Rule",
    "Unknown",
    "Verdict",
    "admits",
    "decided",
    "isClients",
    "meeting",
    "placeOf",
    "ruleOf",
]

#: A port that the kernel may well choose, for a client, and for who listens.
_CLIENTS: Final = 49152

_PORTS: Final = ((0, 65535),)
#: Dante's commands, and those of each protocol: C{bind} is about the address that
#: Dante listens on, and C{bindreply} about who connects there; C{udpreply} about who
#: answers. Of replies C{from} is the other one, and C{to} the client.
_COMMANDS: Final = ("connect", "bind", "udpassociate", "bindreply", "udpreply")
_PROTOCOLS: Final = {
    "tcp": ("connect", "bind", "bindreply"),
    "udp": ("udpassociate", "udpreply"),
}


#: An address, a port, and the name that was asked for.
_There = (
    tuple[IPv4Address | IPv6Address, int, str] | tuple[IPv4Address | IPv6Address, int]
)


class Unknown(ValueError):
    """Something cannot be told; the text says what."""


class Place(NamedTuple):
    """
    Addresses, a name, or an interface, with ports.

    @ivar networks: L{None} where it is no address.
    @ivar name: the name of a host; C{.x} for the hosts of a domain; or an interface.
    @ivar ports: ranges, both ends included.
    """

    networks: Networks | None
    name: str = ""
    ports: tuple[tuple[int, int], ...] = _PORTS

    @property
    def isAnyPort(self) -> bool:
        """Whether all ports are meant."""
        return self.ports == _PORTS

    def covers(
        self, address: IPv4Address | IPv6Address, port: int, name: str = ""
    ) -> bool:
        """
        Return whether an address with a port is there.

        @param name: which it was asked for by; empty for none.
        """
        if not any(first <= port <= last for first, last in self.ports):
            return False
        if self.networks is None:
            # Also notx.example is of .x.example.
            rest = self.name.removeprefix(".")
            return name == rest or (rest != self.name and name.endswith(rest))
        return any(address in each for each in self.networks)


class Rule(NamedTuple):
    """
    One rule of clients or of requests.

    @ivar commands: Dante's; for a rule of requests.
    @ivar methods: Dante's names of login methods; L{None} for all that are configured.
    @ivar users: who it is about, and C{groups}: likewise; L{None} for everybody.
    @ivar block: what it was read from.
    """

    passes: bool
    source: Place
    to: Place
    commands: tuple[str, ...]
    methods: tuple[str, ...] | None
    users: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    block: Block


class Client(NamedTuple):
    """
    A client that has chosen a method, and has logged in if that wants it.

    @ivar user: its user; empty for none.
    """

    source: str
    listening: tuple[str, int]
    method: str
    user: str = ""


class Asked(NamedTuple):
    """
    A request: our command, an address and a port.

    @ivar name: the name that is asked for, which has the address; empty for none.
    """

    command: str
    host: str
    port: int
    name: str = ""


def placeOf(values: Sequence[str], isRules: bool = False) -> Place:
    """
    Read an address of a rule, or of a setting.

    @param isRules: whether an address needs a netmask. Without one in a rule, Dante
        does not start (1.4.2: "a netmask must be specified in this context").
    @raise Unknown: it is none.
    """
    if not values:
        raise Unknown("an address is missing")
    host, rest = values[0], list(values[1:])
    ports = _portsOf(rest)
    if host in ("0/0", "."):
        return Place(EVERYWHERE, "", ports)
    if isRules and _isAddress(host):
        bits = ip_address(host).max_prefixlen
        raise Unknown(
            f"{host} has no netmask, and Dante does not start so: write {host}/{bits} "
            "for this address alone"
        )
    if "/" in host or _isAddress(host):
        try:
            return Place((ip_network(host, strict=False),), "", ports)
        except ValueError:
            raise Unknown(f"{host!r} is no network") from None
    return Place(None, host.lower(), ports)


def _isAddress(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _portsOf(words: list[str]) -> tuple[tuple[int, int], ...]:
    if not words:
        return _PORTS
    if words[0] != "port" or len(words) < 2:
        raise Unknown(f"{' '.join(words)!r} is no condition of a port")
    text = " ".join(words[1:])
    for sign in ("=", "eq", "!=", "ne", ">=", "ge", "<=", "le", ">", "gt", "<", "lt"):
        if text.startswith(sign):
            port = _portOf(text[len(sign) :].strip())
            below, above = (0, port - 1), (port + 1, 65535)
            found = {
                "=": [(port, port)], "eq": [(port, port)],
                "!=": [below, above], "ne": [below, above],
                ">=": [(port, 65535)], "ge": [(port, 65535)],
                "<=": [(0, port)], "le": [(0, port)],
                ">": [above], "gt": [above], "<": [below], "lt": [below],
            }[sign]  # fmt: skip
            return tuple((low, high) for low, high in found if low <= high)
    low, dash, high = text.partition("-")
    first = _portOf(low.strip())
    return ((first, _portOf(high.strip()) if dash else first),)


def _portOf(text: str) -> int:
    try:
        port = int(text) if text.isdecimal() else socket.getservbyname(text)
    except OSError:
        raise Unknown(
            f"{text!r} is no port, and no service of this host: write one number; a range "
            "in a rule is written without =, as port 8000-8099"
        ) from None
    if port > 65535:
        raise Unknown(f"{text} is no port: write a number of 65535 at most")
    return port


def ruleOf(block: Block) -> Rule:
    """
    Return what a rule means.

    @raise Unknown: that cannot be told.
    """
    source, to = block.of("from"), block.of("to")
    if source is None or to is None:
        raise Unknown("a rule needs from and to")
    return Rule(
        block.passes,
        placeOf(source, isRules=True),
        placeOf(to, isRules=True),
        _commandsOf(block),
        block.of("socksmethod") or block.of("method"),
        block.of("user"),
        block.of("group"),
        block,
    )


def _commandsOf(block: Block) -> tuple[str, ...]:
    found = set(_COMMANDS)
    words = block.of("protocol")
    if words is not None:
        if unknown := set(words) - set(_PROTOCOLS):
            raise Unknown(f"protocol {min(unknown)!r}")
        found &= {each for word in words for each in _PROTOCOLS[word]}
    words = block.of("command")
    if words is not None:
        if unknown := set(words) - set(_COMMANDS):
            raise Unknown(f"command {min(unknown)!r}")
        found &= set(words)
    return tuple(each for each in _COMMANDS if each in found)


def isClients(place: Place) -> bool:
    """Return whether ports that the kernel chooses are within a place's ports."""
    return any(first <= _CLIENTS <= last for first, last in place.ports)


def meeting(one: Place, other: Place) -> Place | None:
    """Return what two places share; L{None} for nothing, and where that is unknown."""
    ports = tuple(
        (max(first, start), min(last, end))
        for first, last in one.ports
        for start, end in other.ports
        if max(first, start) <= min(last, end)
    )
    if not ports:
        return None
    if other.networks is None:
        same = one.name == other.name or isEverywhere(one.networks or ())
        return other._replace(ports=ports) if same else None
    if isEverywhere(other.networks):
        return one._replace(ports=ports)
    networks = common(one.networks or (), other.networks)
    return Place(networks, "", ports) if networks else None


# Decisions.


class Verdict(NamedTuple):
    """
    What Dante would say.

    @ivar passes: whether it lets a request pass, and what it is for.
    @ivar rule: which rule says so; of two the one about the other side, if both let it
        pass. L{None} where no rule is about it: then it blocks.
    """

    passes: bool
    rule: Rule | None = None


def decided(
    clients: Sequence[Rule],
    requests: Sequence[Rule],
    groups: Mapping[str, Sequence[str]],
    external: Sequence[str],
    client: Client,
    asked: Asked,
) -> Verdict:
    """
    Return what Dante would say of a request, and of what it is for.

    That is an answer from there, where it is UDP, and for BIND a peer from there.

    @param groups: the members of each group.
    @param external: the addresses that Dante leaves by.
    """
    comes = admits(clients, client)
    if not comes.passes:
        return comes
    source = ip_address(client.source)
    there = ip_address(asked.host), asked.port, asked.name
    if asked.command == "connect":
        return _passing(requests, "connect", groups, client, (source, 0), there)
    if asked.command == "udp":
        going = _passing(requests, "udpassociate", groups, client, (source, 0), there)
        back = _passing(requests, "udpreply", groups, None, there, (source, _CLIENTS))
        return back if going.passes and not back.passes else going
    for each in external:
        # It listens on a port of the kernel's choice, which is the one in question.
        at = ip_address(each), _CLIENTS
        if at[0].version == source.version:
            listens = _passing(requests, "bind", groups, client, (source, 0), at)
            if not listens.passes:
                return listens
            return _passing(
                requests, "bindreply", groups, None, there, (source, _CLIENTS)
            )
    return Verdict(False)


def admits(clients: Sequence[Rule], client: Client) -> Verdict:
    """Return whether the rules of clients let one through, with its method."""
    source, listening = ip_address(client.source), ip_address(client.listening[0])
    for rule in clients:
        if rule.source.covers(source, 0) and rule.to.covers(
            listening, client.listening[1]
        ):
            # Where the method is not his, he is told that none is acceptable.
            known = rule.methods is None or client.method in rule.methods
            return Verdict(rule.passes and known, rule)
    return Verdict(False)


def _passing(
    requests: Sequence[Rule],
    command: str,
    groups: Mapping[str, Sequence[str]],
    client: Client | None,
    source: _There,
    to: _There,
) -> Verdict:
    """
    Return what the rules say of one step.

    @param client: whose login counts; L{None} where none does.
    """
    for rule in requests:
        if (
            command in rule.commands
            and rule.source.covers(*source)
            and rule.to.covers(*to)
            and (client is None or _isHis(rule, groups, client))
        ):
            return Verdict(rule.passes, rule)
    return Verdict(False)


def _isHis(rule: Rule, groups: Mapping[str, Sequence[str]], client: Client) -> bool:
    return (
        (rule.methods is None or client.method in rule.methods)
        and (rule.users is None or client.user in rule.users)
        and (
            rule.groups is None
            or any(client.user in groups.get(each, ()) for each in rule.groups)
        )
    )
