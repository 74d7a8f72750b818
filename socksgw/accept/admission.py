"""
How many clients may be connected.

Two counts bound them: clients that have not made their request yet, in all and by
source; and connections, by the process's descriptors. A source is an IPv4 address
or the /64 of an IPv6 address (L{Address.sourceKey}).
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Final, Protocol, final

from socksgw.system.sockets import tellOnce
from socksgw.wire.address import Address

__all__ = ["Admission", "Census", "LastingAdmission", "raiseDescriptorLimit"]

#: Descriptors kept for the journal, look-ups, configuration and the reactor.
_RESERVED: Final = 64
#: The limit of most systems, where it cannot be asked for.
_USUAL: Final = 1024
#: The share of a listener's half-open clients above which a source counts as
#: large, as 1/n.
_LARGE: Final = 16


def raiseDescriptorLimit() -> int:
    """
    Raise the soft limit on descriptors to the hard one.

    @return: the limit now in force.
    """
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError as e:
        tellOnce("getrlimit(2)", e, f"{_USUAL} descriptors are taken for the limit")
        return _USUAL
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except OSError as e:
            tellOnce("setrlimit(2)", e, f"{soft} descriptors are all there are")
            hard = soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


@final
class Census:
    """
    The connections of the whole gateway, against its descriptors.

    Each client counts twice, for its own connection and the one it asks for.
    At the high-water mark every listener pauses (what waits then stays in
    the kernel's backlog, unharmed); when clients have left they go on. One source
    may have three quarters of the places, so that it does not shut others out;
    the clients of a loopback address, who are many users, may have all.

    @ivar clients: connected clients.
    @ivar most: most clients that the descriptors allow.
    @ivar pauses: how often the mark was reached.
    @ivar refused: connections closed at once because of a limit.
    @ivar checks: connections that were a balancer's own and asked for nothing: its
        health checks.
    """

    def __init__(self, descriptors: int) -> None:
        """
        @param descriptors: the process's limit on descriptors.
        """
        reserved = min(_RESERVED, descriptors // 4)
        self.most = max(1, (descriptors - reserved) // 2)
        self._slack = min(32, self.most // 4)
        self._share = max(1, self.most * 3 // 4)
        self._bySource: dict[bytes, int] = {}
        self.clients = 0
        self.pauses = 0
        self.refused = 0
        self.checks = 0
        self.paused = False
        self.pause: Callable[[], None] = lambda: None
        self.resume: Callable[[], None] = lambda: None

    def entered(self, source: Address, shared: bool = False) -> bool:
        """
        Count a client that came.

        @param shared: whether the clients of many sources come from there.
        @return: whether there is room for it; it is not counted otherwise.
        """
        key = source.sourceKey
        count = self._bySource.get(key, 0)
        if self.clients >= self.most or (
            count >= self._share
            and not shared
            and (source.isUser or not source.isLoopback)
        ):
            self.refused += 1
            return False
        self._bySource[key] = count + 1
        self.clients += 1
        if not self.paused and self.clients >= self.most - self._slack:
            self.exhausted()
        return True

    def left(self, source: Address) -> None:
        """Count a client no longer."""
        key = source.sourceKey
        count = self._bySource[key] - 1
        if count:
            self._bySource[key] = count
        else:
            del self._bySource[key]
        self.clients -= 1
        if self.paused and self.clients < self.most - 2 * self._slack:
            self.recovered()

    def exhausted(self) -> None:
        """
        Pause every listener.
        """
        if not self.paused:
            self.paused = True
            self.pauses += 1
            self.pause()

    def recovered(self) -> None:
        """
        Let every listener go on.
        """
        if self.paused:
            self.paused = False
            self.resume()


class HalfOpen(Protocol):
    """A client that has not made its request yet."""

    @property
    def source(self) -> Address:
        """Where it comes from."""

    def displaced(self) -> None:
        """End at once: another client takes its place."""


class Admission:
    """
    The half-open clients of one listener.

    When there are as many as there may be, the oldest of the source that has the
    most makes room for the next: so a source that opens many connections shuts
    itself out, and nobody else. Where no source has many, as when an attacker has
    many sources, the oldest of all makes room: else many users behind one address,
    who are soon done, would go before those who wait out their time.
    """

    __slots__ = (
        "_all", "_byCount", "_bySource", "_largest", "_most", "_mostPerSource", "census",
    )  # fmt: skip

    def __init__(self, census: Census, most: int, mostPerSource: int) -> None:
        self.census = census
        self.limit(most, mostPerSource)
        #: The clients, oldest first, and those of each source.
        self._all: dict[HalfOpen, None] = {}
        self._bySource: dict[bytes, dict[HalfOpen, None]] = {}
        #: The sources that have so many, and the largest such number; made when a
        #: client first has to make room, and kept while there are many.
        self._byCount: dict[int, dict[bytes, None]] | None = None
        self._largest = 0

    @property
    def halfOpen(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def limit(self, most: int, mostPerSource: int) -> None:
        """Set how many clients there may be from now on, in all and by source."""
        self._most = most
        self._mostPerSource = mostPerSource

    def admit(self, client: HalfOpen, shared: bool = False) -> bool:
        """
        Count a client that came, if it may stay.

        @param shared: whether the clients of many sources come from there, so that
            what bounds one source does not bound it: a balancer's connections, until
            it has told whose they are.
        @return: whether it may.
        """
        key = client.source.sourceKey
        full = not shared and len(self._bySource.get(key, ())) >= self._mostPerSource
        if full or not self._most:
            self.census.refused += 1
            return False
        if self.halfOpen >= self._most:
            self.census.refused += 1
            self._displace()
        if not self.census.entered(client.source, shared):
            return False
        clients = self._bySource.setdefault(key, {})
        clients[client] = self._all[client] = None
        if self._byCount is not None:
            self._moved(self._byCount, key, len(clients) - 1, len(clients))
        return True

    def left(self, client: HalfOpen) -> None:
        """Count a half-open client no longer, neither here nor in the census."""
        self.requested(client)
        self.census.left(client.source)

    def requested(self, client: HalfOpen) -> None:
        """Count a client as half-open no longer: it made its request, or went."""
        key = client.source.sourceKey
        clients = self._bySource[key]
        del clients[client], self._all[client]
        if self._byCount is not None:
            self._moved(self._byCount, key, len(clients) + 1, len(clients))
            if len(self._all) * 2 < self._most:
                self._byCount = None
        if not clients:
            del self._bySource[key]

    def _displace(self) -> None:
        """Have the oldest client of the largest source go, or of all."""
        byCount = self._byCount
        if byCount is None:
            byCount = self._byCount = {}
            for key, clients in self._bySource.items():
                byCount.setdefault(len(clients), {})[key] = None
            self._largest = max(byCount)
        among = self._all
        if self._largest > self._most // _LARGE:
            among = self._bySource[next(iter(byCount[self._largest]))]
        next(iter(among)).displaced()

    def _moved(
        self, byCount: dict[int, dict[bytes, None]], key: bytes, before: int, after: int
    ) -> None:
        """Take note that a source has another number of clients than before."""
        if before:
            same = byCount[before]
            del same[key]
            if not same:
                del byCount[before]
        if after:
            byCount.setdefault(after, {})[key] = None
        if after > self._largest or before == self._largest:
            # One more or one less: the next number below has some, or none has.
            self._largest = max(after, before if before in byCount else 0)


@final
class LastingAdmission(Admission):
    """
    Clients whose source nothing proves, counted as long as they last.

    Anybody can send a datagram in the name of any source.
    """

    __slots__ = ()

    def requested(self, client: HalfOpen) -> None:
        """Do nothing: the client counts until it goes (L{gone})."""

    def gone(self, client: HalfOpen) -> None:
        """Count a client no longer here; the census has it still."""
        super().requested(client)
