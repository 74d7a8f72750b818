"""
Sets of addresses that can be calculated with, as tuples of networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from socksgw.policy.special import SPECIAL, kinds
from socksgw.wire.address import Address

__all__ = [
    "EVERYWHERE",
    "Network",
    "Networks",
    "after",
    "common",
    "includes",
    "inside",
    "isBanned",
    "isEverywhere",
    "without",
]

Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]

EVERYWHERE: Final[Networks] = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def common(some: Iterable[Network], others: Iterable[Network]) -> Networks:
    """Return what two sets of addresses share."""
    others = list(others)
    found: list[Network] = []
    for one in some:
        for other in others:
            if one.version != other.version:
                continue
            # One of them holds the other, or they share nothing.
            if one.subnet_of(other):  # type: ignore[arg-type]
                found.append(one)
            elif other.subnet_of(one):  # type: ignore[arg-type]
                found.append(other)
    return tuple(dict.fromkeys(found))


def without(some: Iterable[Network], others: Iterable[Network]) -> Networks:
    """Return a set of addresses without those of another one."""
    left = list(some)
    for other in others:
        rest: list[Network] = []
        for one in left:
            if one.version != other.version or not one.overlaps(other):
                rest.append(one)
            elif other.subnet_of(one) and other != one:  # type: ignore[arg-type]
                rest.extend(one.address_exclude(other))  # type: ignore[arg-type]
        left = rest
    return tuple(sorted(left, key=lambda each: (each.version, each)))


def isEverywhere(some: Iterable[Network]) -> bool:
    """Return whether a set has every address of both versions."""
    return not without(EVERYWHERE, some)


def inside(network: Network) -> str:
    """Return an address of a network: not its first, if it has others."""
    return str(network[1 if network.num_addresses > 2 else 0])


def after(network: Network) -> str | None:
    """Return the address behind a network; L{None} behind the last one."""
    last = int(network.broadcast_address) + 1
    if last == 1 << network.max_prefixlen:
        return None
    return str(type(network.network_address)(last))


def includes(some: Iterable[Network], address: str) -> bool:
    """Return whether a set has an address."""
    own = ip_address(address)
    return any(own in each for each in some)


def isBanned(host: str) -> bool:
    """Return whether an address is denied here before any rule ([never])."""
    return SPECIAL in kinds(Address.parse(host))
