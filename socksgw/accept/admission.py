"""
How many clients may be connected.

Two counts bound them: clients that have not made their request yet, in all and by
source; and connections, by the process's descriptors. A source is an IPv4 address
or the /64 of an IPv6 address (L{Address.sourceKey}).
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias, final

from socksgw.system.sockets import tellOnce
from socksgw.wire.address import Address

__all__ = ["Admission", "Census", "Commons", "LastingAdmission", "raiseDescriptorLimit"]

#: Descriptors kept for the journal, look-ups, configuration and the reactor.
_RESERVED: Final = 64
#: The limit of most systems, where it cannot be asked for.
_USUAL: Final = 1024
#: The part of a bound that each of several processes has for itself, as 1/n of its
#: equal share; the rest is in common.
_OWN: Final = 4
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


#: What is counted in common: what it is, per what, the listener, and the source.
Key: TypeAlias = tuple[str, str, str, str]


class Commons(Protocol):
    """Counts in common with other processes; of one that dies nothing counts any more."""

    @property
    def sharers(self) -> int:
        """How many processes there are."""

    def take(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        Count one more of every key, if none of them has as many as its number.

        @return: the first key that has as many; L{None} when all were counted.
        """

    def give(self, keys: Sequence[Key]) -> None:
        """Count one less of every key."""


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
    @ivar commons: what is counted together with other processes; L{None} without any.
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
        self.commons: Commons | None = None
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

    Of several processes each has a part of its own, which costs nothing to count; what
    is beyond that is counted in common. So all together never have more than there may
    be. Room is made among the clients of the process that needs it.
    """

    __slots__ = (
        "_all", "_beyond", "_beyondPerSource", "_borrowed", "_byCount", "_bySource",
        "_largest", "_most", "_name", "_own", "_ownPerSource", "census",
    )  # fmt: skip

    def __init__(
        self, census: Census, most: int, mostPerSource: int, name: str = ""
    ) -> None:
        """
        @param name: what tells it from others, where processes count in common.
        """
        self.census = census
        self._name = name
        #: What is counted in common of ours.
        self._borrowed: dict[Key, int] = {}
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
        commons = self.census.commons
        sharers = 1 if commons is None else commons.sharers
        self._most = most
        self._own, self._ownPerSource = most, mostPerSource
        if commons is not None:
            self._own //= _OWN * sharers
            self._ownPerSource //= _OWN * sharers
        self._beyond = most - sharers * self._own
        self._beyondPerSource = mostPerSource - sharers * self._ownPerSource

    def admit(self, client: HalfOpen, shared: bool = False) -> bool:
        """
        Count a client that came, if it may stay.

        @param shared: whether the clients of many sources come from there, so that
            what bounds one source does not bound it: a balancer's connections, until
            it has told whose they are.
        @return: whether it may.
        """
        key = client.source.sourceKey
        bySource = self._bySource.get(key)
        count = 0 if bySource is None else len(bySource)
        full = not shared and count >= self._ownPerSource
        if not self._most or (full and not self._borrow(key, self._beyondPerSource)):
            self.census.refused += 1
            return False
        if len(self._all) >= self._own and not self._borrow(b"", self._beyond):
            self.census.refused += 1
            if not self._makeRoom():
                self._giveBack(key)
                return False
        if not self.census.entered(client.source, shared):
            self._giveBack(key)
            self._giveBack(b"")
            return False
        clients = self._bySource.setdefault(key, {})
        clients[client] = self._all[client] = None
        if self._byCount is not None:
            self._moved(self._byCount, key, len(clients) - 1, len(clients))
        return True

    def _makeRoom(self) -> bool:
        """
        Have a client of ours go.

        @return: whether there is room then: another process may have taken it.
        """
        if not self._all:
            return False
        self._displace()
        return self.halfOpen < self._own or self._borrow(b"", self._beyond)

    def _borrow(self, source: bytes, most: int) -> bool:
        """
        Count one more in common.

        @param source: the key of the source; empty for all clients.
        @param most: how many there may be.
        """
        commons = self.census.commons
        if commons is None:
            return False
        key = self._keyOf(source)
        if commons.take([(key, most)]) is not None:
            return False
        self._borrowed[key] = self._borrowed.get(key, 0) + 1
        return True

    def _giveBack(self, source: bytes) -> None:
        """Count one less in common, if any is counted there."""
        if self._borrowed:
            key, commons = self._keyOf(source), self.census.commons
            left = self._borrowed.get(key, 0) - 1
            if left >= 0 and commons is not None:
                commons.give([key])
                self._borrowed[key] = left
                if not left:
                    del self._borrowed[key]

    def _keyOf(self, source: bytes) -> Key:
        return "half-open", "source", self._name, source.decode("latin-1")

    def left(self, client: HalfOpen) -> None:
        """Count a half-open client no longer, neither here nor in the census."""
        self.requested(client)
        self.census.left(client.source)

    def requested(self, client: HalfOpen) -> None:
        """Count a client as half-open no longer: it made its request, or went."""
        key = client.source.sourceKey
        clients = self._bySource[key]
        del clients[client], self._all[client]
        if self._borrowed:
            self._giveBack(key)
            self._giveBack(b"")
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
