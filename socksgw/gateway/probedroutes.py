"""
Which addresses lead to this host, found without netlink.

Filters of containers and systemd's C{RestrictAddressFamilies=} may deny netlink.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, final

from socksgw.policy.networks import Network, Networks
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["ProbedRoutes"]

#: In /proc/net/fib_trie: a table, a prefix' first address, and its routes.
_TABLE: Final = re.compile(r"(\S.*):\n?\Z")
_PREFIX: Final = re.compile(r"\s+\|-- (\S+)\n?\Z")
_ROUTE: Final = re.compile(r"\s+/(\d+) \S+ (\S+)")
#: Tables that are asked whatever the packet; others want a mark or the like.
_TABLES: Final = ("Main", "Local")
#: RTF_LOCAL and RTF_ANYCAST of /proc/net/ipv6_route.
_HERE: Final = 0x80000000 | 0x00100000
#: Seconds that what was read is believed.
_FRESH: Final = 1.0
#: The same, as a multiple of what the reading took: a router's tables are long.
_SHARE: Final = 50


@final
class ProbedRoutes:
    """
    Routes from the tables in /proc/net, and from probes.

    A probe is a UDP socket that is connected to the address: if the address is
    one of this host, both ends have it.

    @ivar changes: the number of changes so far in the tables.
    """

    def __init__(
        self,
        proc: Path = Path("/proc/net"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param clock: monotonic seconds.
        """
        self._proc = proc
        self._clock = clock
        self._here = Networks(())
        self._seen: object = None
        self._until = clock()
        self.changes = 0
        self.look()

    def leadsHere(self, address: Address) -> bool:
        """
        Tell whether packets to the address stay on this host.

        @return: C{True} also when that cannot be found out.
        """
        self.look()
        return address in self._here or _probed(address)

    def look(self) -> None:
        """
        Read the tables again if they were read a second ago or earlier.
        """
        before = self._clock()
        if before < self._until:
            return
        found = (
            *_localRoutes4(_lines(self._proc / "fib_trie")),
            *_localRoutes6(_lines(self._proc / "ipv6_route")),
        )
        seen = frozenset((n.version, n.prefix, n.length) for n in found)
        if seen != self._seen:
            self.changes += self._seen is not None
            self._seen = seen
            self._here = Networks(found)
        now = self._clock()
        self._until = now + max(_FRESH, (now - before) * _SHARE)

    def close(self) -> None:
        """Do nothing: no file is open."""


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file; none if it is missing, as the probe remains."""
    try:
        with open(path, encoding="ascii") as opened:
            yield from opened
    except OSError:
        return


def _localRoutes4(lines: Iterable[str]) -> Iterator[Network]:
    """Yield the local routes of a /proc/net/fib_trie."""
    asked, first = False, ""
    for line in lines:
        if table := _TABLE.match(line):
            asked = table[1] in _TABLES
        elif prefix := _PREFIX.match(line):
            first = prefix[1]
        elif asked and (route := _ROUTE.match(line)) and route[2] == "LOCAL":
            yield Network(Address.parse(first), int(route[1]))


def _localRoutes6(lines: Iterable[str]) -> Iterator[Network]:
    """Yield the local routes of a /proc/net/ipv6_route."""
    for line in lines:
        # Destination, its length, source, its length, next hop, metric, two
        # counters, flags, interface; all but the last in hexadecimal.
        fields = line.split()
        if int(fields[8], 16) & _HERE:
            yield Network(Address(bytes.fromhex(fields[0])), int(fields[1], 16))


def _probed(address: Address) -> bool:
    """
    Tell whether a socket that is connected to the address has it itself.

    @return: C{True} also when no socket can be made.
    """
    try:
        probe = socket.socket(FAMILIES[address.version], socket.SOCK_DGRAM)
    except OSError:
        # A host without that family cannot connect there anyway.
        return True
    with probe:
        try:
            # connect(2) of UDP sends nothing: the kernel looks up a route.
            probe.connect((address.text, 9))
        except OSError:
            return False
        return Address.parse(probe.getsockname()[0].partition("%")[0]) == address
