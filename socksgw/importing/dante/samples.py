"""
Requests that show where the rules of a Dante server end: made of its file.

Each is just inside, or just outside, of something that a rule says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import product
from typing import Final

from socksgw.importing.dante.rules import Asked, Client, Place, Rule
from socksgw.importing.networks import inside

__all__ = ["samples"]

#: An address that is in few rules: everybody may be there.
_ELSEWHERE: Final = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")


def samples(
    clients: Sequence[Rule],
    requests: Sequence[Rule],
    listening: Sequence[tuple[str, int]],
    logins: Sequence[tuple[str, str]],
) -> Iterator[tuple[Client, Asked]]:
    """
    Return requests with their clients, each once.

    @param listening: the addresses and ports of the listeners.
    @param logins: Dante's methods with a user of each; C{("none", "")} for no login.
    """
    sources = _sources([*clients, *requests])
    seen: set[tuple[Client, Asked]] = set()
    for rule in [*requests, None]:
        for host, port in _destinations(rule.to if rule else None):
            for source, at, (method, user), command in product(
                sources, listening, _logins(rule, logins), ("connect", "bind", "udp")
            ):
                if ip_address(source).version != ip_address(at[0]).version:
                    continue
                found = Client(source, at, method, user), Asked(command, host, port)
                if found not in seen:
                    seen.add(found)
                    yield found


def _sources(rules: Sequence[Rule]) -> list[str]:
    found: dict[str, None] = {}
    for rule in rules:
        for network in rule.source.networks or ():
            if network.prefixlen:
                found[inside(network)] = None
    return [*found, _ELSEWHERE[0]]


def _destinations(to: Place | None) -> Iterator[tuple[str, int]]:
    """Return addresses and ports within a place, and beside it."""
    hosts = [_ELSEWHERE[0]]
    ports = [443]
    if to is not None:
        for network in to.networks or ():
            if not network.prefixlen:
                continue
            hosts.append(inside(network))
            last = int(network.broadcast_address)
            if last + 1 < 1 << network.max_prefixlen:
                hosts.append(str(ip_address(last + 1)))
        if not to.isAnyPort:
            ports = [
                port
                for first, last in to.ports
                for port in (first - 1, first, last, last + 1)
                if 0 < port <= 65535
            ]
    yield from product(hosts, dict.fromkeys(ports))


def _logins(
    rule: Rule | None, logins: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Return the logins, also as the users whom a rule names."""
    yield from logins
    for method, user in logins:
        if user:
            for name in (rule.users or ()) if rule else ():
                yield method, name
