"""
Requests that show where the access list of a Squid server ends: made of its file.

Each is just inside, or just outside, of something that a condition says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from socksgw.importing.networks import after, inside
from socksgw.importing.squid.access import Asked, Client, Line
from socksgw.importing.squid.acls import Acl

__all__ = ["samples"]

#: An address that is in few lists: everybody may be there.
_ELSEWHERE: Final = "93.184.215.14"
_USUAL: Final = (443, 80)


def samples(
    lines: Sequence[Line], ports: Sequence[tuple[int, str]], hasUsers: bool
) -> Iterator[tuple[Client, Asked]]:
    """
    Return requests with their clients, each once.

    @param ports: those that clients connect to, with their names.
    @param hasUsers: whether users can log in.
    """
    acls = list(dict.fromkeys(term.acl for line in lines for term in line.terms))
    sources = _addresses(acls, "src")
    destinations = [(each, each) for each in _addresses(acls, "dst")]
    for acl in acls:
        if acl.kind == "dstdomain":
            for value in acl.values[:3]:
                host = value.removeprefix(".")
                destinations += [(host, _ELSEWHERE), (f"www.{host}", _ELSEWHERE)]
    users = [""]
    if hasUsers:
        named = [u for a in acls if a.kind == "proxy_auth" for u in a.values]
        users += ["somebody", *dict.fromkeys(u for u in named if u != "REQUIRED")]
    targets = _ports(acls)
    seen: set[tuple[Client, Asked]] = set()
    for source, user, (port, listener) in product(sources, users, ports):
        client = Client(source, user, port, listener)
        for (host, address), target, method in product(
            destinations, targets, ("CONNECT", "GET")
        ):
            found = client, Asked(method, host, address, target)
            if found not in seen:
                seen.add(found)
                yield found


def _addresses(acls: Sequence[Acl], kind: str) -> list[str]:
    found: dict[str, None] = {}
    for acl in acls:
        if acl.kind != kind:
            continue
        for network in acl.networks[:3]:
            if network.version == 4 and network.prefixlen:
                found[inside(network)] = None
                beyond = after(network)
                if beyond is not None:
                    found[beyond] = None
    found = {
        each: None for each in found if not each.startswith(("127.", "0.", "255."))
    }
    return [*found, _ELSEWHERE]


def _ports(acls: Sequence[Acl]) -> list[int]:
    found = dict.fromkeys(_USUAL)
    for acl in acls:
        if acl.kind == "port":
            for first, last in acl.ports:
                found |= dict.fromkeys((first - 1, first, last, last + 1))
    return [each for each in found if 0 < each <= 65535]
