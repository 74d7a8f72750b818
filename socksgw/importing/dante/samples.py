"""
Requests that show where the rules of a Dante server end: made of its file.

Each is just inside, or just outside, of something that a rule says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import product
from typing import Final
from zlib import crc32

from socksgw.importing.dante.rules import Asked, Client, Place, Rule
from socksgw.importing.networks import inside

__all__ = ["addressOf", "samples"]

#: An address that is in few rules: everybody may be there.
_ELSEWHERE: Final = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")


def samples(
    clients: Sequence[Rule],
    requests: Sequence[Rule],
    listening: Sequence[tuple[str, int]],
    logins: Sequence[tuple[str, str]],
    places: Sequence[Place] = (),
) -> Iterator[tuple[Client, Asked]]:
    """
    Return requests with their clients, each once.

    @param listening: the addresses and ports of the listeners.
    @param logins: Dante's methods with a user of each; C{("none", "")} for no login.
    @param places: where more of them lead: those of routes.
    """
    sources = _sources([*clients, *requests])
    seen: set[tuple[Client, Asked]] = set()
    ends: list[tuple[Rule | None, Place | None]] = [
        *((rule, rule.to) for rule in requests),
        *((None, place) for place in places),
        (None, None),
    ]
    for rule, place in ends:
        for host, port, name in _destinations(place):
            for source, at, (method, user), command in product(
                sources, listening, _logins(rule, logins), ("connect", "bind", "udp")
            ):
                if ip_address(source).version != ip_address(at[0]).version:
                    continue
                client = Client(source, at, method, user)
                found = client, Asked(command, host, port, name)
                if found in seen or (command == "bind" and not _isPeer(found)):
                    continue
                seen.add(found)
                yield found


def _isPeer(found: tuple[Client, Asked]) -> bool:
    """
    Return whether a BIND can be for somebody.

    Peers are addresses, of the version of IP by which Dante listens: the client's.
    """
    client, asked = found
    versions = {ip_address(each).version for each in (client.source, asked.host)}
    return not asked.name and len(versions) == 1


def _sources(rules: Sequence[Rule]) -> list[str]:
    found: dict[str, None] = {}
    for rule in rules:
        for network in rule.source.networks or ():
            if network.prefixlen:
                found[inside(network)] = None
    return [*found, _ELSEWHERE[0]]


def _destinations(to: Place | None) -> Iterator[tuple[str, int, str]]:
    """Return addresses, ports and names within a place, and beside it."""
    hosts = [(_ELSEWHERE[0], "")]
    ports = [443]
    if to is not None:
        for network in to.networks or ():
            if not network.prefixlen:
                continue
            hosts.append((inside(network), ""))
            last = int(network.broadcast_address)
            if last + 1 < 1 << network.max_prefixlen:
                hosts.append((str(ip_address(last + 1)), ""))
        if to.networks is None:
            rest = to.name.removeprefix(".")
            hosts += [(addressOf(each), each) for each in (rest, f"www.{rest}")]
        if not to.isAnyPort:
            ports = [
                port
                for first, last in to.ports
                for port in (first - 1, first, last, last + 1)
                if 0 < port <= 65535
            ]
    for (host, name), port in product(hosts, dict.fromkeys(ports)):
        yield host, port, name


def addressOf(name: str) -> str:
    """Return an address that a name has in samples: in no rule, and no other name's."""
    return f"93.184.{216 + crc32(name.encode()) % 4}.{crc32(name.encode()) >> 8 & 255}"


def _logins(
    rule: Rule | None, logins: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Return the logins, also as the users whom a rule names."""
    yield from logins
    for method, user in logins:
        if user:
            for name in (rule.users or ()) if rule else ():
                yield method, name
