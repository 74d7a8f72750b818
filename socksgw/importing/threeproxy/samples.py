"""
Requests that show where the rules of a 3proxy server end: made of its file.

Each is just inside, or just outside, of something that a rule says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from socksgw.importing.networks import Networks, after, inside
from socksgw.importing.threeproxy.rules import SOCKS, Ace, Asked, Client, Name
from socksgw.importing.threeproxy.services import Service

__all__ = ["samples"]

#: An address that is in few rules: everybody may be there.
_ELSEWHERE: Final = "93.184.215.14"


def samples(service: Service) -> Iterator[tuple[Client, Asked]]:
    """Return requests with their clients, each once."""
    operations: list[str] = []
    if service.kind != "proxy":
        operations += SOCKS
    if service.kind != "socks":
        operations += ["HTTP_CONNECT", "HTTP_GET"]
    sources = _insides([each.sources for each in service.rules])
    users = _users(service)
    seen: set[tuple[Client, Asked]] = set()
    for rule in [*service.rules, None]:
        for (host, address), port in product(_hosts(rule), _ports(rule)):
            for source, user, operation in product(
                sources, _of(rule, users), operations
            ):
                # A BIND is for an address, and so are most datagrams.
                if host != address and operation in ("BIND", "UDPASSOC"):
                    continue
                found = Client(source, user), Asked(operation, host, address, port)
                if found not in seen:
                    seen.add(found)
                    yield found


def _users(service: Service) -> list[str]:
    if "strong" not in service.methods:
        return [""]
    own = [each for rule in service.rules for each in rule.users or ()]
    return ["", "somebody", *dict.fromkeys(each for each in own if each != "-")]


def _of(rule: Ace | None, users: Sequence[str]) -> list[str]:
    """Return the users who matter to a rule, with one who does not."""
    if rule is None or rule.users is None:
        return [*users[:2]]
    return [each for each in users if each in ("", "somebody") or each in rule.users]


def _insides(sets: Sequence[Networks | None]) -> list[str]:
    found = dict.fromkeys(
        inside(each)
        for some in sets
        for each in (some or ())[:2]
        if each.version == 4 and each.prefixlen
    )
    return [*found, _ELSEWHERE]


def _hosts(rule: Ace | None) -> list[tuple[str, str]]:
    """Return hosts as a client writes them, with their addresses."""
    found = [(_ELSEWHERE, _ELSEWHERE)]
    if rule is None:
        return found
    for network in rule.networks or ():
        if network.version == 4 and network.prefixlen:
            found.append((inside(network), inside(network)))
            beyond = after(network)
            if beyond is not None:
                found.append((beyond, beyond))
    for name in rule.names or ():
        host = _named(name)
        if host.replace(".", "").replace("-", "").isalnum():
            found.append((host, _ELSEWHERE))
    return found


def _named(name: Name) -> str:
    if name.kind == "ends":
        return ("www" if name.text.startswith(".") else "www.") + name.text
    if name.kind == "has":
        return f"www.{name.text.strip('.')}.example"
    return f"{name.text.rstrip('.')}.example" if name.kind == "begins" else name.text


def _ports(rule: Ace | None) -> list[int]:
    if rule is None or rule.ports is None:
        return [443]
    return [
        *dict.fromkeys(
            port
            for first, last in rule.ports
            for port in (first - 1, first, last, last + 1)
            if 0 < port <= 65535
        )
    ]
