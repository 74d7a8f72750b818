"""
Routes of a Dante server: by which other proxy CONNECT leaves.

Where a file has routes, a request that none of them is for is refused, and so is every
UDP ASSOCIATE, also with a direct route for everything (seen with 1.4.2; reply 03). BIND
does not ask them. Of several, a direct one is taken first,
then those of SOCKS 4, 5 and HTTP, each in the order of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from socksgw.importing.dante.file import Block
from socksgw.importing.dante.rules import Place, Unknown, placeOf
from socksgw.importing.draft import Draft

__all__ = ["Route", "routesOf"]

#: Our scheme for each of Dante's protocols, in the order in which it takes them.
_SCHEMES: Final = {"socks_v4": "socks4a", "socks_v5": "socks5", "http": "http"}
_BOTH: Final = ("socks_v4", "socks_v5")
#: What a route may say besides its places.
_SAID: Final = ("from", "to", "via", "proxyprotocol", "method", "command", "protocol")


class Route(NamedTuple):
    """
    A way by which what is asked for leaves.

    @ivar line: where it begins.
    @ivar source: whose requests it is for, and C{to}: where these lead.
    @ivar upstream: what is written of it (C{[[upstream]]}); empty for a direct one.
    @ivar rank: of several, that with the lowest is taken.
    """

    line: int
    source: Place
    to: Place
    upstream: dict[str, Any]
    rank: int


def routesOf(
    blocks: Iterator[Block], draft: Draft, looked: Callable[[Place], Place]
) -> list[Route]:
    """
    Read the routes, in the order in which they are tried.

    @param draft: where what is not the same is noted.
    @param looked: returns a place with the addresses of an interface, if it is one.
    """
    found: list[Route] = []
    for block in blocks:
        try:
            found.append(_routeOf(block, draft, looked))
        except Unknown as e:
            why = f"left out: {e}; what it is for is refused"
            draft.leave(block.line, "route", why)
    return sorted(found, key=lambda each: each.rank)


def _routeOf(block: Block, draft: Draft, looked: Callable[[Place], Place]) -> Route:
    via = block.of("via")
    if via is None:
        raise Unknown("a route needs via")
    source = looked(placeOf(block.of("from") or ("0/0",), isRules=True))
    to = looked(placeOf(block.of("to") or ("0/0",), isRules=True))
    if source.networks is None:
        raise Unknown(f"from: {source.name}: clients are told by addresses here")
    for each in block.said:
        if each.keyword not in _SAID:
            draft.leave(each.line, f"route: {each.keyword}", "there is nothing like it")
    if via[0] == "direct":
        return Route(block.line, source, to, {}, 0)
    place = placeOf(via)
    protocols = block.of("proxyprotocol") or _BOTH
    known = [each for each in _SCHEMES if each in protocols]
    if not known:
        raise Unknown(f"proxyprotocol: {' '.join(protocols)}: not spoken here")
    if place.isAnyPort:
        raise Unknown("via needs a port")
    # It speaks version 4 for an address where it may, and 5 for a name.
    scheme = _SCHEMES["socks_v5" if "socks_v5" in known else known[0]]
    host = place.name or str(place.networks[0].network_address)  # type: ignore[index]
    where = f"[{host}]" if ":" in host else host
    upstream: dict[str, Any] = {
        "name": f"route-{block.line}",
        "url": f"{scheme}://{where}:{place.ports[0][0]}",
    }
    methods = block.of("method") or ()
    if "username" in methods:
        # Dante hands on what its client has logged in with, in clear.
        upstream |= {"pass_through": True, "cleartext_passwords": True}
        if "none" in methods:
            why = "clients that have shown no password are refused by its upstream"
            draft.leave(block.line, "route: method", why)
    if "gssapi" in methods:
        why = "gssapi: no upstream is logged in to by Kerberos here"
        draft.leave(block.line, "route: method", why)
    rank = 1 + list(_SCHEMES).index(known[0])
    return Route(block.line, source, to, upstream, rank)
