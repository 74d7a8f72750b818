"""
Find out of which kind an address is: loopback, multicast, private and so on.

The table here follows the IANA IPv4 and IPv6 Special-Purpose Address Registries as
of 2026-11-01, with multicast, broadcast, reserved space and the metadata addresses
of clouds. The longest prefix that matches counts. Python's C{ipaddress.is_*} are not
used: they differ between versions, and do not look into addresses that embed others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from socksgw.policy.networks import Network
from socksgw.wire.address import Address

__all__ = ["KINDS", "PRIVATE", "SPECIAL", "borders", "embedded", "kinds"]

#: Prefixes that are not globally reachable, each with its kind. C{-} exempts a
#: prefix that the registries call globally reachable. They call C{anycast} so, too,
#: but the nearest server of the local network answers it: PCP (RFC 7723), TURN
#: (RFC 8155), service registration (RFC 9665).
_TABLE: Final = """
    0.0.0.0/8            unspecified
    127.0.0.0/8          loopback
    169.254.0.0/16       link-local
    192.0.0.0/24         reserved
    192.0.0.9/32         anycast
    192.0.0.10/32        anycast
    192.0.2.0/24         documentation
    192.88.99.0/24       reserved
    198.18.0.0/15        benchmarking
    198.51.100.0/24      documentation
    203.0.113.0/24       documentation
    224.0.0.0/4          multicast
    240.0.0.0/4          reserved
    255.255.255.255/32   broadcast

    ::/3                 reserved
    ::/128               unspecified
    ::1/128              loopback
    64:ff9b::/96         -
    64:ff9b:1::/48       reserved
    100::/64             reserved
    2001::/23            reserved
    2001::/32            tunnel
    2001:1::1/128        anycast
    2001:1::2/128        anycast
    2001:1::3/128        anycast
    2001:2::/48          benchmarking
    2001:3::/32          -
    2001:4:112::/48      -
    2001:10::/28         reserved
    2001:20::/28         -
    2001:30::/28         -
    2001:db8::/32        documentation
    2002::/16            tunnel
    3fff::/20            documentation
    4000::/2             reserved
    8000::/1             reserved
    fc00::/7             -
    fe80::/10            link-local
    fec0::/10            reserved
    ff00::/8             multicast

    100.100.100.200/32   metadata
    168.63.129.16/32     metadata
    169.254.169.253/32   metadata
    169.254.169.254/32   metadata
    169.254.170.2/32     metadata
    169.254.170.23/32    metadata
    169.254.42.42/32     metadata
    192.0.0.192/32       metadata
    fd00:42::42/128      metadata
    fd00:ec2::23/128     metadata
    fd00:ec2::254/128    metadata
    fd20:ce::254/128     metadata
"""

#: RFC 1918, shared address space (RFC 6598), unique local (RFC 4193).
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
                   "fc00::/7")  # fmt: skip

SPECIAL: Final = "special"
PRIVATE: Final = "private"


def _parse() -> dict[int, list[tuple[int, dict[int, str]]]]:
    """Return by version: (shift, prefix → kind), longest prefix first."""
    byLength: dict[tuple[int, int], dict[int, str]] = {}
    for line in _TABLE.split("\n"):
        if line.strip():
            text, kind = line.split()
            network = Network.parse(text)
            prefixes = byLength.setdefault((network.version, network.length), {})
            prefixes[network.prefix] = kind
    table: dict[int, list[tuple[int, dict[int, str]]]] = {4: [], 6: []}
    for (version, length), prefixes in sorted(byLength.items(), reverse=True):
        table[version].append(((32 if version == 4 else 128) - length, prefixes))
    return table


_LOOKUP: Final = _parse()
_PRIVATES: Final = tuple(Network.parse(text) for text in _PRIVATE)

#: The names of kinds that a configuration may use.
KINDS: Final = frozenset(
    {line.split()[1] for line in _TABLE.split("\n") if line.strip()} - {"-"}
) | {SPECIAL, PRIVATE}


@lru_cache(maxsize=16384)
def kinds(address: Address) -> frozenset[str]:
    """
    Return the built-in names that cover an address itself, not what it embeds.

    These are C{special} and a kind, C{private}, or none: then the address is public.
    """
    number = int.from_bytes(address.packed, "big")
    found: list[str] = []
    for shift, prefixes in _LOOKUP[address.version]:
        kind = prefixes.get(number >> shift)
        if kind is not None:
            if kind != "-":
                found += [SPECIAL, kind]
            break
    if any(network.covers(address) for network in _PRIVATES):
        found.append(PRIVATE)
    return frozenset(found)


def borders(version: int) -> list[int]:
    """
    Return the addresses, as numbers and in order, at which L{kinds} can change.

    From one of them to the next, all addresses are of the same kinds.

    @param version: 4 or 6.
    """
    found = {0, 1 << (32 if version == 4 else 128)}
    for shift, prefixes in _LOOKUP[version]:
        for prefix in prefixes:
            found.update((prefix << shift, (prefix + 1) << shift))
    for network in _PRIVATES:
        if network.version == version:
            found.add(network.prefix << network.shift)
            found.add((network.prefix + 1) << network.shift)
    return sorted(found)


def embedded(address: Address) -> tuple[Address, ...]:
    """
    Return the IPv4 addresses that an IPv6 address embeds.

    The forms are IPv4-compatible, IPv4-translated, NAT64 (RFC 6052, RFC 8215), 6to4
    (RFC 3056), Teredo (RFC 4380: server and client) and ISATAP (RFC 5214). An
    IPv4-mapped address is an IPv4 address already.
    """
    return () if len(address.packed) == 4 else _embedded(address.packed)


@lru_cache(maxsize=16384)
def _embedded(octets: bytes) -> tuple[Address, ...]:
    found: list[bytes] = []
    if octets[:12] == bytes(12) and octets[12:] > b"\0\0\0\1":
        found.append(octets[12:])
    if octets[:12] == bytes(8) + b"\xff\xff\0\0":
        found.append(octets[12:])
    if octets[:12] == b"\0\x64\xff\x9b" + bytes(8):
        found.append(octets[12:])
    if octets[:6] == b"\0\x64\xff\x9b\0\1":
        # The local-use prefix, at every length that RFC 6052 allows in it.
        found.append(octets[6:8] + octets[9:11])
        found.append(octets[7:8] + octets[9:12])
        found.append(octets[9:13])
        found.append(octets[12:])
    if octets[:2] == b"\x20\x02":
        found.append(octets[2:6])
    if octets[:4] == b"\x20\x01\0\0":
        found.append(octets[4:8])
        found.append(bytes(octet ^ 0xFF for octet in octets[12:]))
    if octets[8:12] in (b"\0\0\x5e\xfe", b"\x02\0\x5e\xfe"):
        found.append(octets[12:])
    return tuple(Address(each) for each in dict.fromkeys(found))
