"""
Networks, ports and name patterns: the sets that rules are made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, final

from socksgw.wire.address import Address, parseHost

__all__ = ["NamePatterns", "Network", "Networks", "Ports", "Services"]

_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?\Z", re.ASCII)


@final
class Network:
    """
    A prefix, such as C{10.0.0.0/8}, or one address.

    @ivar version: 4 or 6.
    @ivar prefix: the leading bits, as a number.
    @ivar length: how many they are.
    """

    __slots__ = ("length", "prefix", "shift", "version")

    def __init__(self, address: Address, length: int) -> None:
        """
        @raise ValueError: C{length} is too long, or bits behind it are set.
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
        @raise ValueError: it is not a network, with a remedy where one is
            plain.
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
        """Whether the address is in it."""
        return (
            self.version == address.version
            and int.from_bytes(address.packed, "big") >> self.shift == self.prefix
        )

    def contains(self, other: Network) -> bool:
        """Whether all of the other is in it."""
        return (
            self.version == other.version
            and self.length <= other.length
            and other.prefix >> (other.length - self.length) == self.prefix
        )


@final
class Networks:
    """
    Many networks, asked once for each prefix length among them.
    """

    __slots__ = ("_four", "_six", "all")

    def __init__(self, networks: Iterable[Network]) -> None:
        self.all = tuple(networks)
        self._four = self._byLength(4)
        self._six = self._byLength(6)

    def _byLength(self, version: int) -> tuple[tuple[int, frozenset[int]], ...]:
        byShift: dict[int, set[int]] = {}
        for network in self.all:
            if network.version == version:
                byShift.setdefault(network.shift, set()).add(network.prefix)
        return tuple((s, frozenset(p)) for s, p in sorted(byShift.items()))

    def __contains__(self, address: Address) -> bool:
        packed = address.packed
        byLength = self._four if len(packed) == 4 else self._six
        if byLength:
            number = int.from_bytes(packed, "big")
            for shift, prefixes in byLength:
                if number >> shift in prefixes:
                    return True
        return False


@final
class Ports:
    """
    Single ports and ranges.
    """

    __slots__ = ("_ranges", "_single")

    def __init__(self, words: Sequence[int | str]) -> None:
        """
        @raise ValueError: one is no port and no range.
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

    def __contains__(self, port: int) -> bool:
        if port in self._single:
            return True
        return any(first <= port <= last for first, last in self._ranges)

    def contains(self, other: Ports) -> bool:
        """Whether all of the other's are among these."""
        return all(port in self for port in other._single) and all(
            any(low <= first and last <= high for low, high in self._ranges)
            for first, last in other._ranges
        )


@final
class Services:
    """
    Ports with their protocol: C{tcp/443}, C{udp/5000-5010}.
    """

    __slots__ = ("_byProtocol",)

    def __init__(self, words: Iterable[str]) -> None:
        """
        @raise ValueError: one is none of these.
        """
        byProtocol: dict[str, list[int | str]] = {}
        for word in words:
            protocol, slash, ports = word.partition("/")
            if not slash or protocol not in ("tcp", "udp"):
                raise ValueError(f'"{word}" is not of the form "tcp/443"')
            if "-" not in ports:
                ports = f"{ports}-{ports}"
            byProtocol.setdefault(protocol, []).append(ports)
        self._byProtocol = {p: Ports(w) for p, w in byProtocol.items()}

    def covers(self, command: str, port: int) -> bool:
        """Whether a command at a port is meant."""
        ports = self._byProtocol.get("udp" if command == "udp" else "tcp")
        return ports is not None and port in ports

    def contains(self, other: Services) -> bool:
        """Whether all of the other's are among these."""
        return all(
            protocol in self._byProtocol and self._byProtocol[protocol].contains(ports)
            for protocol, ports in other._byProtocol.items()
        )


@final
class NamePatterns:
    """
    Patterns of host names: C{*.x} is any name below x, C{.x} is x and below,
    C{=host} that name alone.
    """

    __slots__ = ("_below", "_exact")

    def __init__(self, patterns: Iterable[str]) -> None:
        """
        @raise ValueError: one can never match.
        """
        exact: set[str] = set()
        below: set[str] = set()
        for pattern in patterns:
            if pattern.startswith("*."):
                below.add(_name(pattern[2:], pattern))
            elif pattern.startswith("."):
                name = _name(pattern[1:], pattern)
                below.add(name)
                exact.add(name)
            else:
                exact.add(_name(pattern.removeprefix("="), pattern))
        self._exact = frozenset(exact)
        self._below = frozenset(below)

    @staticmethod
    def isOne(word: str) -> bool:
        """Whether a word is meant as a pattern."""
        return word.startswith(("*", ".", "="))

    def __contains__(self, name: str) -> bool:
        return name in self._exact or self._isBelow(name)

    def _isBelow(self, name: str) -> bool:
        below = self._below
        if below:
            dot = name.find(".")
            while dot >= 0:
                if name[dot + 1 :] in below:
                    return True
                dot = name.find(".", dot + 1)
        return False

    def contains(self, other: NamePatterns) -> bool:
        """Whether all that the other matches, these match."""
        return all(name in self for name in other._exact) and all(
            name in self._below or self._isBelow(name) for name in other._below
        )


def _name(text: str, pattern: str) -> str:
    host = parseHost(text.encode("ascii", "replace"))
    if not isinstance(host, str):
        raise ValueError(f'"{pattern}" can never match a host name')
    return host
