"""
Which one of several upstreams a session is led to, and which ones after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random
from typing import Final

from socksgw.route.upstreams.standing import Standing

__all__ = ["BALANCES", "Order", "orderOf"]

#: Puts upstreams in the order in which a session tries them.
Order = Callable[[Sequence[Standing], bytes], list[Standing]]


def _leastSessions(random: Random) -> Order:
    """Put the one with the fewest sessions first; among equals, any."""

    def order(members: Sequence[Standing], _whose: bytes) -> list[Standing]:
        found = random.sample(members, len(members))
        found.sort(key=lambda each: each.sessions)
        return found

    return order


def _anyone(random: Random) -> Order:
    """Put any one first."""

    def order(members: Sequence[Standing], _whose: bytes) -> list[Standing]:
        return random.sample(members, len(members))

    return order


def _sameForUser(_: Random) -> Order:
    """
    Put the same one first for a user each time: the one with the highest hash.

    This is rendezvous hashing: if a member is ejected, its users alone move, spread
    over all others, and they come back with it. The hash knows nothing of this
    process, so that all gateways with the same upstreams agree.
    """

    def order(members: Sequence[Standing], whose: bytes) -> list[Standing]:
        def weight(each: Standing) -> bytes:
            # The length keeps the two apart. A name has at most 64 KiB.
            head = len(whose).to_bytes(4, "big")
            return blake2b(head + whose + each.name.encode(), digest_size=8).digest()

        return sorted(members, key=weight, reverse=True)

    return order


#: The values of C{balance}, the first of which is the default.
BALANCES: Final[dict[str, Callable[[Random], Order]]] = {
    "sessions": _leastSessions,
    "random": _anyone,
    "user": _sameForUser,
}


def orderOf(
    members: Sequence[Standing], whose: bytes, order: Order, desperate: bool
) -> list[Standing]:
    """
    Return the upstreams that a session tries, best first.

    @param whose: what tells the session's user from others.
    @param order: one of L{BALANCES}.
    @param desperate: whether ejected ones follow, those that are tried again soonest
        first; else there are none where all are ejected.
    """
    usable: Sequence[Standing] = members
    ejected: list[Standing] = []
    for each in members:
        if each.health.out:
            usable = [each for each in members if each.health.open]
            ejected = [each for each in members if not each.health.open]
            break
    found = order(usable, whose)
    if desperate and ejected:
        found += sorted(ejected, key=lambda each: each.health.until)
    return found
