"""
Sets of networks, of ports and of name patterns, which rules are made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, final

from socksgw.wire.address import Address, parseHost

__all__ = [
    "NamePattern",
    "NamePatterns",
    "Network",
    "Networks",
    "Ports",
    "Services",
]

_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?\Z", re.ASCII)


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
_LARGE: Final = 64

#: Prefixes, by the number of bits by which an address is shifted to be compared.
_ByShift = tuple[tuple[int, frozenset[int]], ...]
_Names = tuple[frozenset[str], ...]


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
            if len(prefixes) > _LARGE:
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


@final
class Ports:
    """
    Single ports and ranges.
    """

    __slots__ = ("_each", "_ranges", "_single")

    def __init__(self, words: Sequence[int | str]) -> None:
        """
        Read ports as they are written in a configuration.

        @param words: numbers, and ranges such as C{"8000-8099"}.
        @raise ValueError: one is neither a port nor a range.
        """
        single: set[int] = set()
        ranges: list[tuple[int, int]] = []
        for word in words:
            if isinstance(word, str) and "-" not in word:
                raise ValueError(f'"{word}" is a string; a port is a number')
            match = _RANGE.match(str(word))
            if match is None:
                raise ValueError(f"{word!r} is neither a port nor a range")
            first = int(match[1])
            last = int(match[2] or first)
            if not 1 <= first <= last <= 65535:
                raise ValueError(f"{word!r} is not within 1 to 65535, in order")
            if first == last:
                single.add(first)
            else:
                ranges.append((first, last))
        self._single = frozenset(single)
        self._ranges = tuple(ranges)
        self._each: frozenset[int] | None = None

    def __bool__(self) -> bool:
        return bool(self._single or self._ranges)

    def __contains__(self, port: int) -> bool:
        if port in self._single:
            return True
        # A loop, since a generator expression costs more than the few steps.
        for first, last in self._ranges:  # noqa: SIM110
            if first <= port <= last:
                return True
        return False

    def few(self, limit: int) -> frozenset[int] | None:
        """
        Return all ports as a set, the same object each time; L{None} for too many.

        @param limit: how many may be listed.
        """
        told = len(self._single) + sum(last - first for first, last in self._ranges)
        if self._each is None and told <= limit:
            ranges = [range(first, last + 1) for first, last in self._ranges]
            self._each = self._single.union(*ranges)
        return self._each

    def one(self) -> int:
        """Return any one of the ports; there must be some."""
        return next(iter(self._single)) if self._single else self._ranges[0][0]

    def contains(self, other: Ports) -> bool:
        """Tell whether all ports of another set are among these."""
        return all(port in self for port in other._single) and all(
            any(low <= first and last <= high for low, high in self._ranges)
            for first, last in other._ranges
        )


@final
class Services:
    """
    Ports with their protocol: C{tcp/443}, C{udp/5000-5010}.

    @ivar byProtocol: the ports of C{tcp} and of C{udp}.
    """

    __slots__ = ("byProtocol",)

    def __init__(self, words: Iterable[str]) -> None:
        """
        Read services as they are written in a configuration.

        @raise ValueError: one is not of the form C{tcp/443}.
        """
        byProtocol: dict[str, list[int | str]] = {}
        for word in words:
            protocol, slash, ports = word.partition("/")
            if not slash or protocol not in ("tcp", "udp"):
                raise ValueError(f'"{word}" is not of the form "tcp/443"')
            if "-" not in ports:
                ports = f"{ports}-{ports}"
            byProtocol.setdefault(protocol, []).append(ports)
        self.byProtocol = {p: Ports(w) for p, w in byProtocol.items()}

    def covers(self, command: str, port: int) -> bool:
        """Tell whether a command with a port is one of these services."""
        ports = self.byProtocol.get("udp" if command == "udp" else "tcp")
        return ports is not None and port in ports

    def contains(self, other: Services) -> bool:
        """Tell whether all of another set's services are among these."""
        return all(
            protocol in self.byProtocol and self.byProtocol[protocol].contains(ports)
            for protocol, ports in other.byProtocol.items()
        )


@final
class NamePattern:
    """
    A pattern of host names.

    C{*.x} matches any name below x, C{.x} matches x and any name below it, C{=host}
    matches that name alone.

    @ivar name: the x or the host, in normal form.
    @ivar exact: whether that name itself matches.
    @ivar below: whether the names below it match.
    """

    __slots__ = ("below", "exact", "name")

    def __init__(self, pattern: str) -> None:
        """
        Read a pattern as it is written in a configuration.

        @raise ValueError: it can never match.
        """
        if pattern.startswith("*."):
            text, self.exact, self.below = pattern[2:], False, True
        elif pattern.startswith("."):
            text, self.exact, self.below = pattern[1:], True, True
        else:
            text, self.exact, self.below = pattern.removeprefix("="), True, False
        octets = text.encode("ascii", "replace")
        host = parseHost(octets)
        if self.below and text.startswith("-"):
            # The first label of a name must not begin with a hyphen, others may.
            host = parseHost(b"a." + octets)
            host = host[2:] if isinstance(host, str) else host
        if not isinstance(host, str):
            raise ValueError(f'"{pattern}" can never match a host name')
        self.name = host

    @staticmethod
    def isOne(word: str) -> bool:
        """Tell whether a word is written as a pattern."""
        return word.startswith(("*", ".", "="))


@final
class NamePatterns:
    """
    A set of patterns. A search takes one step for each label of the name.

    @ivar exact: sets of names that match.
    @ivar below: sets of names below which every name matches.
    """

    __slots__ = ("below", "exact")

    def __init__(
        self, patterns: Iterable[NamePattern], others: Sequence[NamePatterns] = ()
    ) -> None:
        """
        Join patterns and sets of patterns.

        @param others: sets whose patterns are included.
        """
        exact: set[str] = set()
        below: set[str] = set()
        for pattern in patterns:
            if pattern.exact:
                exact.add(pattern.name)
            if pattern.below:
                below.add(pattern.name)
        self.exact: _Names = _joined(exact, [other.exact for other in others])
        self.below: _Names = _joined(below, [other.below for other in others])

    def __bool__(self) -> bool:
        return bool(self.exact or self.below)

    def __contains__(self, name: str) -> bool:
        for names in self.exact:
            if name in names:
                return True
        if self.below:
            dot = name.find(".")
            while dot >= 0:
                rest = name[dot + 1 :]
                for names in self.below:
                    if rest in names:
                        return True
                dot = name.find(".", dot + 1)
        return False

    def contains(self, other: NamePatterns) -> bool:
        """Tell whether these match every name that another set matches."""
        for names in other.exact:
            if not any(names is mine for mine in self.exact):
                if not all(name in self for name in names):
                    return False
        for names in other.below:
            if not any(names is mine for mine in self.below):
                # One label below it stands for any.
                if not all(f"*.{name}" in self for name in names):
                    return False
        return True


def _joined(small: set[str], others: Iterable[_Names]) -> _Names:
    large: dict[int, frozenset[str]] = {}
    for other in others:
        for names in other:
            if len(names) > _LARGE:
                large[id(names)] = names
            else:
                small.update(names)
    return (*((frozenset(small),) if small else ()), *large.values())
