"""
Networks, and sets of networks that share their large parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, final

from socksgw.wire.address import Address

__all__ = ["LARGE", "Network", "Networks"]


@final
class Network:
    """
    A prefix, such as C{10.0.0.0/8}, or one address.

    @ivar version: 4 or 6.
    @ivar prefix: the leading bits, as a number.
    @ivar length: how many bits these are.
    @ivar shift: how many bits follow them.
    """

    __slots__ = ("length", "prefix", "shift", "version")

    def __init__(self, address: Address, length: int) -> None:
        """
        Make the network of an address.

        @param length: how many leading bits count.
        @raise ValueError: the length is too large, or bits after it are set.
        """
        bits = len(address.packed) * 8
        if not 0 <= length <= bits:
            raise ValueError(f"a prefix has 0 to {bits} bits")
        self.version = address.version
        self.length = length
        self.shift = bits - length
        number = int.from_bytes(address.packed, "big")
        self.prefix = number >> self.shift
        if self.prefix << self.shift != number:
            right = Address((self.prefix << self.shift).to_bytes(bits // 8, "big"))
            raise ValueError(f"host bits are set; did you mean {right}/{length}?")

    @classmethod
    def parse(cls, text: str) -> Network:
        """
        Read a network as it is written in a configuration.

        @raise ValueError: it is not a network; the text may have a remedy.
        """
        host, slash, length = text.partition("/")
        address = Address.parse(host)
        if not slash:
            return cls(address, len(address.packed) * 8)
        if not (length.isascii() and length.isdigit() and len(length) < 4):
            raise ValueError("the prefix length is not a number")
        if ":" in host and address.version == 4:
            raise ValueError("write an IPv4-mapped network as an IPv4 network")
        return cls(address, int(length))

    def covers(self, address: Address) -> bool:
        """Tell whether an address is in the network."""
        return (
            self.version == address.version
            and int.from_bytes(address.packed, "big") >> self.shift == self.prefix
        )


#: Sets that are larger than this are shared, never copied.
LARGE: Final = 64

#: Prefixes, by the number of bits by which an address is shifted to be compared.
_ByShift = tuple[tuple[int, frozenset[int]], ...]


@final
class Networks:
    """
    A set of networks. A search takes one step for each prefix length among them.

    @ivar four: the IPv4 prefixes, by shift: 32 minus their length. The same shift may
        occur several times.
    @ivar six: the IPv6 prefixes, by shift: 128 minus their length.
    """

    __slots__ = ("four", "six")

    def __init__(
        self, networks: Iterable[Network], others: Sequence[Networks] = ()
    ) -> None:
        """
        Join networks and sets of networks.

        @param others: sets whose networks are included.
        """
        byVersion: dict[int, list[Network]] = {4: [], 6: []}
        for network in networks:
            byVersion[network.version].append(network)
        self.four: _ByShift = _byShift(byVersion[4], [other.four for other in others])
        self.six: _ByShift = _byShift(byVersion[6], [other.six for other in others])

    def __bool__(self) -> bool:
        return bool(self.four or self.six)

    def __contains__(self, address: Address) -> bool:
        packed = address.packed
        byShift = self.four if len(packed) == 4 else self.six
        if byShift:
            number = int.from_bytes(packed, "big")
            for shift, prefixes in byShift:
                if number >> shift in prefixes:
                    return True
        return False

    def names(self, address: Address) -> bool:
        """Tell whether the address itself is listed, not only a network around it."""
        number = int.from_bytes(address.packed, "big")
        byShift = self.four if address.version == 4 else self.six
        return any(not shift and number in prefixes for shift, prefixes in byShift)

    def contains(self, other: Networks) -> bool:
        """Tell whether each network of another set is inside one of these."""
        return _within(other.four, self.four) and _within(other.six, self.six)


def _byShift(networks: Iterable[Network], others: Iterable[_ByShift]) -> _ByShift:
    small: dict[int, set[int]] = {}
    for network in networks:
        small.setdefault(network.shift, set()).add(network.prefix)
    large: dict[int, tuple[int, frozenset[int]]] = {}
    for other in others:
        for shift, prefixes in other:
            if len(prefixes) > LARGE:
                large[id(prefixes)] = (shift, prefixes)
            else:
                small.setdefault(shift, set()).update(prefixes)
    found = [*((s, frozenset(p)) for s, p in small.items()), *large.values()]
    return tuple(sorted(found, key=itemgetter(0)))


def _within(inner: _ByShift, outer: _ByShift) -> bool:
    for shift, prefixes in inner:
        if any(prefixes is mine for _, mine in outer):
            continue
        wider = [(over - shift, mine) for over, mine in outer if over >= shift]
        for prefix in prefixes:
            if not any(prefix >> more in mine for more, mine in wider):
                return False
    return True
