"""
Sets of ports, and of ports with their protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, final

from socksgw.wire.codes import DATAGRAMS

__all__ = ["Ports", "Services"]

_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?\Z", re.ASCII)


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
                raise ValueError(f'"{word}" is neither a port nor a range')
            first = int(match[1])
            last = int(match[2] or first)
            if not 1 <= first <= last <= 65535:
                raise ValueError(f'"{word}": ports are 1 to 65535, in ascending order')
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

    def ranges(self) -> list[tuple[int, int]]:
        """Return the first and the last of each range, in order."""
        return sorted([*((port, port) for port in self._single), *self._ranges])

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
        ports = self.byProtocol.get("udp" if command in DATAGRAMS else "tcp")
        return ports is not None and port in ports

    def contains(self, other: Services) -> bool:
        """Tell whether all of another set's services are among these."""
        return all(
            protocol in self.byProtocol and self.byProtocol[protocol].contains(ports)
            for protocol, ports in other.byProtocol.items()
        )
